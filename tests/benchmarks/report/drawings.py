"""Numbers made up for figures."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

NOISE = (0.3, -0.2, 0.5, -0.4, 0.1, 0.0)


def rows_of(labels: list[str], seeds: int, sessions: int, slope: float = 5.0) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"label": label, "seed": seed, "session": t, "value": 70 - rank - slope * t + NOISE[seed] * (1 + t)}
            for rank, label in enumerate(labels)
            for seed in range(seeds)
            for t in range(sessions)
        ]
    )


def along(values: dict[str, float], seeds: int = 5, own: float = 0.1) -> pd.DataFrame:
    """A row a label and seed; every label has its seed's noise, and a tenth of it of its own."""
    return pd.DataFrame(
        [
            {"label": label, "seed": seed, "value": value + NOISE[seed] + own * NOISE[(seed + rank) % 6]}
            for rank, (label, value) in enumerate(values.items())
            for seed in range(seeds)
        ]
    )


def numbers_in(data: ArrayLike) -> list[float]:
    """What a line was drawn from."""
    found: list[float] = np.asarray(data).tolist()
    return found


def traces(seeds: int = 3, sessions: int = 5, epochs: int = 4) -> pd.DataFrame:
    rows = []
    for session in range(1, sessions + 1):
        for seed in range(seeds):
            for epoch in range(1, epochs + 1):
                alpha = 1 / (epoch + 1) + NOISE[seed] / 100
                share = {f"b{n}": 1 / 10 for n in range(10)}
                row = {"session": session, "seed": seed, "epoch": epoch, "mean": alpha, "tau": 0.5, "open": alpha, "saturated": 1 - alpha}
                rows.append(row | share)
    return pd.DataFrame(rows)


def plane(sessions: int = 3) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        [
            {"label": label, "x": x, "y": y, "session": n % sessions}
            for label in ("baseline", "LEC-Net")
            for n, (x, y) in enumerate(rng.normal(size=(30, 2)))
        ]
    )


def turned(seeds: int = 3) -> pd.DataFrame:
    table = rows_of(["baseline", "LEC-Net"], seeds, 4, slope=-5).rename(columns={"value": "degrees"})
    return pd.concat([table.assign(layer="final"), table.assign(layer="backbone", degrees=table["degrees"] / 2)])


PUBLISHED = pd.DataFrame({"label": ["LEC-Net", "LEC-Net", "FACT", "FACT"], "session": [0, 1, 0, 1], "value": [64.1, 53.2, 70.0, 66.0]})
GAMMAS = {"0.2": 24.0, "0.8": 30.0, "1.6": 22.0}
