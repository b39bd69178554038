"""Writes results/index.html: all rows of all protocols on one page that needs no network."""

from benchmarks.report.html.index import write_index

__all__ = ["write_index"]
