"""Records to Markdown and figures."""

from benchmarks.report.study import write_study
from benchmarks.report.write import write_report

__all__ = ["write_report", "write_study"]
