"""Prose is broken into lines that read the same, tables stay tables, and what is folded stays Markdown."""

from __future__ import annotations

import pytest

from benchmarks.report.layout import WIDTH, folded, laid_out


def test_prose_is_broken_at_spaces_outside_code_and_links() -> None:
    code, link = "`python run_all.py " + "--x y " * 30 + "`", "[a page](some page.md)"
    prose = " ".join(["word"] * 30 + [code, link] + ["word"] * 60)
    lines = laid_out([prose])
    assert " ".join(lines) == prose
    assert any(code in line for line in lines) and any(link in line for line in lines)
    assert all(len(line) <= WIDTH or code in line for line in lines)


def test_a_bullet_stays_one_bullet() -> None:
    first, *others = laid_out(["- " + "word " * 60])
    assert first.startswith("- word") and others
    assert all(line.startswith("  word") for line in others)


@pytest.mark.parametrize("mark", ["#", "-", "+", "|", ">", "12."])
def test_no_line_begins_as_something_else(mark: str) -> None:
    text = "x" * (WIDTH - 1) + f" {mark} " + "word " * 4
    _, second = laid_out([text])
    assert second.lstrip().startswith("12\\." if mark == "12." else f"\\{mark}")


def test_tables_headings_pictures_and_code_stay_unless_a_table_is_very_wide() -> None:
    row = "| " + "a " * 150 + "|"
    kept = ["# " + "title " * 40, "![" + "x " * 100 + "](y)", row, "```", "code " * 60, "```", "after"]
    assert laid_out(kept) == kept
    wide = ["| name" + " " * 400 + "| b |", "|:---" + "-" * 400 + "|--:|", "| x" + " " * 402 + "| c |", ""]
    assert laid_out([*wide, row]) == ["| name | b |", "|:---|--:|", "| x | c |", "", row]


def test_a_summary_is_text() -> None:
    assert folded("a <b>", ["x"])[1] == "<summary>a &lt;b&gt;</summary>"
    assert folded("nothing", []) == []
