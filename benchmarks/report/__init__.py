"""Writes Markdown pages and figures from records."""

from benchmarks.report.study import write_study
from benchmarks.report.write import write_report

__all__ = ["write_report", "write_study"]
