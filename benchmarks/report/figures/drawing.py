"""A figure with the numbers that it shows, and the three files that it is saved in."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure
from pandas.api.types import is_float_dtype

from benchmarks.report.figures.style import styled
from benchmarks.system.files import write_atomic

PNG_DPI = 300  # figures are five inches wide, so this is sharp at any column width
DECIMALS = 4


@dataclass(frozen=True)
class Drawing:
    figure: Figure
    numbers: pd.DataFrame
    """The numbers shown: means, half-widths, number of seeds."""


def save(drawing: Drawing, stem: Path) -> list[Path]:
    """Write `stem`.svg, .png and .csv, each atomically, and return their paths. Equal drawings give equal bytes. Raises StorageError."""
    contents = {
        ".svg": rendered(drawing.figure, "svg", {"Date": None, "Creator": None}),
        ".png": rendered(drawing.figure, "png", {"Software": None}),
        ".csv": csv_of(drawing.numbers).encode(),
    }
    paths = []
    for ending, content in contents.items():
        path = stem.with_name(stem.name + ending)  # with_suffix would cut `gamma_0.6` short
        write_atomic(path, content)
        paths.append(path)
    return paths


def save_pdf(drawing: Drawing, path: Path) -> Path:
    """Write a figure as PDF, for a paper. Equal drawings give equal bytes. Raises StorageError."""
    write_atomic(path, rendered(drawing.figure, "pdf", {"CreationDate": None, "Creator": None, "Producer": None}))
    return path


@styled
def rendered(figure: Figure, kind: str, metadata: dict[str, None]) -> bytes:
    target = io.BytesIO()
    figure.savefig(target, format=kind, dpi=PNG_DPI, metadata=metadata)
    return target.getvalue()


def csv_of(numbers: pd.DataFrame, decimals: Mapping[str, int] | None = None) -> str:
    """`decimals`: those of columns that have other than four."""
    places = {**dict.fromkeys(map(str, numbers), DECIMALS), **(decimals or {})}
    rounded = {  # + 0.0: no -0.0
        name: column.round(places[str(name)]) + 0.0 if is_float_dtype(column) else column for name, column in numbers.items()
    }
    return pd.DataFrame(rounded).to_csv(index=False, lineterminator="\n")
