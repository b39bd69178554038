"""LEC-Net's gate, alpha = 1 / (1 + exp(-beta v)), for growing beta (Figure 3). Drawn from the formula, not from runs."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.style import DASHES, new_figure, settle, styled

BETAS = (1, 2, 4, 8, 16, 32, 64, 128)
STEP = 0.005  # of v: gives a dozen points on the rise of the steepest curve


@styled
def gate_function(betas: Sequence[float] = BETAS, title: str = "") -> Drawing:
    """The gate against the node output v, one line per beta, darker for larger beta (later epochs)."""
    if not betas:
        raise ValueError("nothing to draw: no beta")
    v = np.round(np.arange(-1, 1 + STEP / 2, STEP), 3)
    curves = {f"{beta:g}": expit(beta * v) for beta in betas}
    colors = matplotlib.colormaps["viridis_r"](np.linspace(0.15, 1, len(curves)))  # without its yellow end, which is invisible on white
    figure = new_figure(3.2, title)
    axes = figure.add_subplot()
    for number, (beta, alpha) in enumerate(curves.items()):
        axes.plot(v, alpha, color=colors[number], linestyle=DASHES[number % len(DASHES)], label=f"β = {beta}")
    axes.set(xlabel="node output v", ylabel="gate α", xlim=(-1, 1), ylim=(-0.02, 1.02))
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    # No curve passes through this corner.
    axes.legend(loc="lower right", handlelength=2.6, labelspacing=0.25, frameon=True, framealpha=1, edgecolor="white")
    settle(figure)
    return Drawing(figure, pd.DataFrame({"v": v} | {f"alpha_beta_{beta}": alpha for beta, alpha in curves.items()}))
