"""Words of figures: names that do not overlap, text that is no formula; and matplotlib, which a figure leaves as it was."""

from __future__ import annotations

import re
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import matplotlib
import pandas as pd
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.report.figures import gate_function, over_sessions, save
from benchmarks.report.figures.ends import spread
from tests.benchmarks.report.drawings import rows_of

ROOT = Path(__file__).parents[3]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 0.08)), min_size=1, max_size=12))
def test_names_never_overlap_nor_change_places(names: list[tuple[float, float]]) -> None:
    wanted, heights = [name[0] for name in names], [name[1] for name in names]
    placed = spread(wanted, heights)
    order = sorted(range(len(names)), key=lambda n: wanted[n])
    for lower, upper in pairwise(order):
        assert placed[upper] - placed[lower] >= (heights[lower] + heights[upper]) / 2 - 1e-9
    for centre, height in zip(placed, heights, strict=True):
        assert height / 2 - 1e-9 <= centre <= 1 - height / 2 + 1e-9


def test_twelve_labels_at_one_place_have_names_that_do_not_overlap() -> None:
    labels = [f"LEC-Net (paper, gamma={n / 10})" for n in range(12)]
    table = pd.concat([rows_of([label], 2, 3) for label in labels])
    figure = over_sessions(table, "accuracy (%)").figure
    boxes = sorted((text.get_window_extent() for text in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 12
    assert all(upper.y0 >= lower.y1 - 1 for lower, upper in pairwise(boxes))
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_a_users_matplotlibrc_changes_nothing_and_nothing_of_ours_stays(tmp_path: Path) -> None:
    plain = save(gate_function(), tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "lines.linewidth": 9, "svg.fonttype": "path"}):
        before = dict(matplotlib.rcParams)
        other = save(gate_function(), tmp_path / "other")
        assert dict(matplotlib.rcParams) == before
    assert [path.read_bytes() for path in other] == [path.read_bytes() for path in plain]


def test_labels_are_text_and_not_formulas(tmp_path: Path) -> None:
    label = "<a> $x_1$ & b"
    svg = save(over_sessions(rows_of([label], 1, 2), "y"), tmp_path / "x")[0].read_text()
    assert "&lt;a&gt; $x_1$ &amp; b" in svg


def test_figures_are_drawn_without_pyplot() -> None:
    """Its global state is nobody's."""
    code = """
import sys
sys.modules["matplotlib.pyplot"] = None
from benchmarks.report.figures import drawing, gate_function
drawing.rendered(gate_function().figure, "png", {})
"""
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_only_this_package_imports_matplotlib_and_nothing_imports_it_at_start() -> None:
    importers = {
        path.parent.relative_to(ROOT).as_posix()
        for folder in ("benchmarks", "methods", "protocols")
        for path in (ROOT / folder).rglob("*.py")
        if re.search(r"^\s*(import|from) matplotlib", path.read_text(), re.MULTILINE)
    }
    assert importers == {"benchmarks/report/figures"}
    code = "import sys, benchmarks.cli.main, benchmarks.report; sys.exit('benchmarks.report.figures' in sys.modules)"
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=ROOT)
