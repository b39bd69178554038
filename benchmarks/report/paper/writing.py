"""A table as the bytes of a file."""

from __future__ import annotations

import importlib.util
import io
import math
import re

import pandas as pd

from benchmarks.report.figures.drawing import csv_of
from benchmarks.report.paper.tables import PaperRow, PaperTable
from benchmarks.system.errors import UsageError
from protocols.messages import unknown

FORMATS = {"latex": ".tex", "csv": ".csv", "parquet": ".parquet"}
"""Names of formats, and the endings of their files."""
EXACT = 12
"""Decimals of a p in CSV, which may be far below any that a table would print."""
CURVES = "tensorboard"
"""No table: the curves of every run, which benchmarks/tools/tensorboard.py writes."""
# Every character that LaTeX does not print as it stands, and the signs of our labels that a Type 1 font lacks.
IN_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "`": r"\textasciigrave{}",
    "†": r"\textdagger{}",
    "‡": r"\textdaggerdbl{}",
    "§": r"\S{}",
    "±": r"$\pm$",
    "−": "$-$",
    "·": r"$\cdot$",
    "→": r"$\rightarrow$",
    "–": "--",
    "…": r"\ldots{}",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "×": r"$\times$",
    "α": r"$\alpha$",
    "β": r"$\beta$",
    "γ": r"$\gamma$",
    "τ": r"$\tau$",
    "Δ": r"$\Delta$",
}


def encoded(table: PaperTable, kind: str) -> bytes:
    """The table in one of FORMATS. Equal tables give equal bytes, in Parquet with one version of its library.

    Raises UsageError for another format, or for Parquet without pyarrow.
    """
    if kind == "latex":
        return latex(table).encode()
    if kind == "csv":
        return csv_of(frame_of(table), {name: EXACT for name, digits in table.decimals.items() if digits > 2}).encode()
    check_format(kind)
    target = io.BytesIO()
    frame_of(table).to_parquet(target, engine="pyarrow", index=False)
    return target.getvalue()


def check_format(kind: str) -> None:
    """Raises UsageError for a format that there is not, or that cannot be written here."""
    if kind not in (known := [*FORMATS, CURVES]):
        raise UsageError(f"--export: {unknown('format', kind, known)}")
    if kind == "parquet" and importlib.util.find_spec("pyarrow") is None:
        raise UsageError("--export parquet: needs pyarrow, which is not installed; `pip install pyarrow`, or take --export csv")


def frame_of(table: PaperTable) -> pd.DataFrame:
    """One row a method: Method, Seeds, and for each column its mean, its half-width (`NAME ±`), and whether it is bold (`NAME bold`);
    the last two only where a row has them."""
    content: dict[str, list[object]] = {"Method": [row.label for row in table.rows], "Seeds": [row.seeds for row in table.rows]}
    with_width = {name for row in table.rows for name, cell in row.cells.items() if not math.isnan(cell[1])}
    with_bold = {name for row in table.rows for name in row.bold}
    nothing = (float("nan"), float("nan"))
    for name in table.columns:
        content[name] = [row.cells.get(name, nothing)[0] for row in table.rows]
        if name in with_width:
            content[f"{name} ±"] = [row.cells.get(name, nothing)[1] for row in table.rows]
        if name in with_bold:
            content[f"{name} bold"] = [name in row.bold for row in table.rows]
    return pd.DataFrame(content)


def latex(table: PaperTable) -> str:
    """A `tabular` with the rules of booktabs, to be put into a `table` with \\input; the legend stands above it as a comment."""
    names = table.columns
    lines = [f"% {comment(table.title)}", f"% {comment(table.legend)}", r"% needs \usepackage{booktabs} and \usepackage[T1]{fontenc}"]
    lines += [rf"\begin{{tabular}}{{ll{'r' * len(names)}}}", r"\toprule"]
    lines += [" & ".join(["Method", "Seeds", *map(in_latex, names)]) + r" \\", r"\midrule"]
    for row in table.rows:
        lines.append(" & ".join([in_latex(row.label), in_latex(row.seeds), *(cell(table, row, name) for name in names)]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"]) + "\n"


def cell(table: PaperTable, row: PaperRow, name: str) -> str:
    mean, width = row.cells.get(name, (float("nan"), float("nan")))
    if math.isnan(mean):
        return "--"
    digits = table.decimals.get(name, 2)
    least = 10.0**-digits
    if digits > 2 and mean < least:  # a p
        return f"$<{least:.{digits}f}$"
    text = f"{mean:.{digits}f}" + ("" if math.isnan(width) else rf" \pm {width:.{digits}f}")
    return rf"$\mathbf{{{text}}}$" if name in row.bold else f"${text}$"


def in_latex(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(IN_LATEX.get(letter, letter) for letter in text)


def comment(text: str) -> str:
    return re.sub(r"\s+", " ", text)
