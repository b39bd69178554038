"""Markdown tables, read as a test wants them."""

from __future__ import annotations

import re

Row = dict[str, str]


def tables(text: str) -> list[list[Row]]:
    """Every Markdown table, as rows by column name."""
    found: list[list[Row]] = []
    header: list[str] | None = None
    for line in text.splitlines():
        if not line.startswith("|"):
            header = None
            continue
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if header is None:
            header = cells
            found.append([])
        elif not set(cells[0]) <= set(":-"):
            found[-1].append(dict(zip(header, cells, strict=True)))
    return found


def table_after(text: str, heading: str) -> list[Row]:
    return tables(text[text.index(heading) :])[0]


def row_of(rows: list[Row], label: str) -> Row:
    (row,) = [row for row in rows if row["Method"] == label]
    return row


def unbroken(text: str) -> str:
    """A page with each paragraph and each bullet in one line."""
    return re.sub(r"(?<=[^\n|>])\n(?: {2})?(?=[^\s|#<!`-])", " ", text)
