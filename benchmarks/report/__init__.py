"""Records to Markdown."""

from benchmarks.report.write import write_report

__all__ = ["write_report"]
