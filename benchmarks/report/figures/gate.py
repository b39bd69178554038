"""LEC-Net's gate, alpha = 1 / (1 + exp(-beta v)), for a growing beta (Figure 3). A formula: no run is behind it."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from scipy.special import expit

from benchmarks.report.figures.drawing import Drawing
from benchmarks.report.figures.style import DASHES, new_figure, settle, styled

BETAS = (1, 2, 4, 8, 16, 32, 64, 128)
STEP = 0.005  # of v: the steepest curve still has a dozen points on its way up


@styled
def gate_function(betas: Sequence[float] = BETAS, title: str = "") -> Drawing:
    """The gate against the node's output v: the later the epoch, the larger beta, the darker the line."""
    if not betas:
        raise ValueError("nothing to draw: no beta")
    v = np.round(np.arange(-1, 1 + STEP / 2, STEP), 3)
    curves = {f"{beta:g}": expit(beta * v) for beta in betas}
    colors = matplotlib.colormaps["viridis_r"](np.linspace(0.15, 1, len(curves)))  # its yellow end would vanish on paper
    figure = new_figure(3.2, title)
    axes = figure.add_subplot()
    for number, (beta, alpha) in enumerate(curves.items()):
        axes.plot(v, alpha, color=colors[number], linestyle=DASHES[number % len(DASHES)], label=f"β = {beta}")
    axes.set(xlabel="node output v", ylabel="gate α", xlim=(-1, 1), ylim=(-0.02, 1.02))
    axes.set_xticks([-1, -0.5, 0, 0.5, 1])
    # No curve comes into this corner.
    axes.legend(loc="lower right", handlelength=2.6, labelspacing=0.25, frameon=True, framealpha=1, edgecolor="white")
    settle(figure)
    return Drawing(figure, pd.DataFrame({"v": v} | {f"alpha_beta_{beta}": alpha for beta, alpha in curves.items()}))
