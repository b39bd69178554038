"""Figures from tables. A pure function draws each; it is saved as SVG, as PNG and as CSV of its numbers.

Only this package imports matplotlib, and no module imports this package at start-up, so that `--help` stays fast.
"""

from benchmarks.report.figures.drawing import Drawing, save, save_pdf
from benchmarks.report.figures.drift import drift
from benchmarks.report.figures.evolution import gate_evolution
from benchmarks.report.figures.gate import gate_function
from benchmarks.report.figures.over_axis import over_axis
from benchmarks.report.figures.over_sessions import over_sessions
from benchmarks.report.figures.sessions_over_axis import sessions_over_axis
from benchmarks.report.figures.tsne import tsne

__all__ = [
    "Drawing",
    "drift",
    "gate_evolution",
    "gate_function",
    "over_axis",
    "over_sessions",
    "save",
    "save_pdf",
    "sessions_over_axis",
    "tsne",
]
