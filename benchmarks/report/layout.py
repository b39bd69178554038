"""The layout of pages: prose in short lines, and parts that are folded until a reader opens them."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from html import escape

WIDTH = 140
WIDEST = 400
"""Tables with a row of that many letters lose the padding of their cells."""
AS_THEY_ARE = ("#", "!", "<", "```")


def folded(summary: str, lines: Sequence[str]) -> list[str]:
    """The lines behind a heading that unfolds them. Nothing if there are none."""
    return ["<details>", f"<summary>{escape(summary, quote=False)}</summary>", "", *lines, "", "</details>", ""] if lines else []


def laid_out(lines: Iterable[str]) -> list[str]:
    """Prose and bullets broken at spaces into lines of at most 140 letters, tables of very wide rows without padding."""
    found: list[str] = []
    code = False
    for line in "\n".join(lines).split("\n"):
        code ^= line.startswith("```")
        if code or line.startswith(("|", *AS_THEY_ARE)) or len(line) <= WIDTH:
            found.append(line)
        else:
            found += broken(line)
    return narrowed(found)


def broken(line: str) -> list[str]:
    """One line of prose, or one bullet, whose further lines are indented. Code spans and links are not broken inside."""
    indent = "  " if line.startswith("- ") else ""
    whole = re.sub(r"`[^`]*`|\]\([^)]*\)", lambda span: span.group().replace(" ", "\0"), line)
    parts = textwrap.wrap(whole, WIDTH, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    return [safe(part.replace("\0", " "), number) for number, part in enumerate(parts)]


def safe(part: str, number: int) -> str:
    """A further line that begins as a heading, bullet, table or number would is joined by an escape."""
    if number and re.match(r"\s*([#|>]|[-+*] |\d+[.)] )", part):
        return re.sub(r"^(\s*)(\d*)(.)", r"\1\2\\\3", part, count=1)
    return part


def narrowed(lines: Sequence[str]) -> list[str]:
    found: list[str] = []
    table: list[str] = []
    for line in (*lines, ""):
        if line.startswith("|"):
            table.append(line)
            continue
        found += [re.sub(r"-{3,}", "---", re.sub(r" {2,}", " ", row)) for row in table] if too_wide(table) else table
        table = []
        found.append(line)
    return found[:-1]


def too_wide(table: Sequence[str]) -> bool:
    return any(len(row) >= WIDEST for row in table)
