"""Writes Markdown pages and figures from records."""

from benchmarks.report.pages import write_report
from benchmarks.report.study import write_study

__all__ = ["write_report", "write_study"]
