"""Figures: their numbers, their words, their bytes; what they refuse."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.collections import FillBetweenPolyCollection
from numpy.typing import ArrayLike
from PIL import Image

from benchmarks.metrics.statistics import mean_and_half_width
from benchmarks.report.figures import (
    Drawing,
    drift,
    gate_evolution,
    gate_function,
    over_axis,
    over_sessions,
    save,
    sessions_over_axis,
    tsne,
)
from benchmarks.report.figures.ends import spread
from benchmarks.report.figures.numbers import number_of, summarise

ROOT = Path(__file__).parents[3]
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

DRAWINGS: dict[str, tuple[Callable[[], Drawing], list[str]]] = {
    "sessions": (
        lambda: over_sessions(rows_of(["iCaRL", "LEC-Net"], 3, 3), "accuracy (%)", "CIFAR", PUBLISHED),
        ["iCaRL", "LEC-Net", "FACT (published)", "session", "accuracy (%)", "CIFAR", "Hollow, dashed: published."],
    ),
    "one session": (lambda: over_sessions(rows_of(["iCaRL", "LEC-Net"], 3, 1), "accuracy (%)"), ["iCaRL", "Bars: 95 % interval"]),
    "axis": (
        lambda: over_axis(along({**GAMMAS, "learned": 29.0}), "coefficient γ", "accuracy (%)"),
        ["coefficient γ", "accuracy (%)", "learned", "0.8", "5 seeds"],
    ),
    "series": (
        lambda: over_axis(pd.concat([along(GAMMAS).assign(series=s) for s in ("test", "shots")]), "τ", "%"),
        ["τ", "test", "shots", "Bars: 95 % interval of the mean, 5 seeds."],
    ),
    "panels": (
        lambda: sessions_over_axis(pd.concat([along({**GAMMAS, "learned": 29.0}).assign(session=t) for t in (1, 2)]), "τ", "accuracy (%)"),
        ["session 1", "session 2", "learned", "τ", "accuracy (%)", "Star: the best setting"],
    ),
    "gate": (gate_function, ["β = 1", "β = 128", "node output v", "gate α"]),
    "evolution": (lambda: gate_evolution(traces()), ["session 1", "session 3", "session 5", "epoch", "mean α", "τ", "share saturated"]),
    "drift": (lambda: drift(turned()), ["final", "backbone", "baseline", "LEC-Net", "session", "drift (degrees)"]),
    "tsne": (lambda: tsne(plane()), ["baseline", "LEC-Net", "base class", "novel class"]),
}


@pytest.mark.parametrize("name", DRAWINGS)
def test_same_input_same_bytes_and_all_words_are_there(name: str, tmp_path: Path) -> None:
    draw, words = DRAWINGS[name]
    drawing = draw()
    first = save(drawing, tmp_path / "gamma_0.6")
    assert [path.name for path in first] == ["gamma_0.6.svg", "gamma_0.6.png", "gamma_0.6.csv"]
    bytes_of = [path.read_bytes() for path in first]
    assert [path.read_bytes() for path in save(drawing, tmp_path / "again")] == bytes_of  # one drawing, saved twice
    assert [path.read_bytes() for path in save(draw(), tmp_path / "anew")] == bytes_of
    svg = first[0].read_text()
    for word in words:
        assert word in svg
    assert "dc:date" not in svg and "Matplotlib v" not in svg
    with Image.open(first[1]) as picture:
        assert picture.width == 1500 and "Software" not in picture.info
    written = pd.read_csv(first[2], dtype={"label": str}, keep_default_na=False, na_values={"half_width": "", "seeds": ""})
    pd.testing.assert_frame_equal(written, drawing.numbers.round(4), check_dtype=False, check_names=False)


def test_numbers_are_means_and_half_widths_over_seeds() -> None:
    table = rows_of(["iCaRL", "LEC-Net"], 5, 3)
    numbers = over_sessions(table, "accuracy (%)", published=PUBLISHED).numbers
    assert list(numbers.columns) == ["label", "session", "mean", "half_width", "seeds", "source"]
    last = numbers[(numbers["label"] == "LEC-Net") & (numbers["session"] == 2) & (numbers["source"] == "measured")].iloc[0]
    values = [69 - 10 + 3 * noise for noise in NOISE[:5]]
    assert last["mean"] == pytest.approx(sum(values) / 5)
    deviation = math.sqrt(sum((value - sum(values) / 5) ** 2 for value in values) / 4)
    assert last["half_width"] == pytest.approx(2.7764451052 * deviation / math.sqrt(5))  # Student's t, four degrees
    assert last["seeds"] == 5
    published = numbers[numbers["source"] == "published"]
    assert published["mean"].tolist() == [64.1, 53.2, 70.0, 66.0]
    assert published[["half_width", "seeds"]].isna().all(axis=None)


def test_csv_has_four_decimals_and_a_plain_header(tmp_path: Path) -> None:
    table = pd.DataFrame({"label": "a", "seed": [0, 1, 2], "session": 0, "value": [1 / 3, 1 / 3, -2 / 3 - 1e-9]})
    text = save(over_sessions(table, "y"), tmp_path / "x")[2].read_text()
    _, half_width = mean_and_half_width(table["value"].tolist())
    assert text == f"label,session,mean,half_width,seeds,source\na,0,0.0,{half_width:.4f},3,measured\n"


def test_groups_with_different_seeds_have_their_own_intervals() -> None:
    table = pd.DataFrame({"label": ["a"] * 6 + ["b"] * 3, "seed": [*range(6), 3, 4, 9], "x": 0, "value": [1.0, 2, 4, 8, 16, 32, 5, 7, 9]})
    numbers = summarise(table, ["label", "x"]).set_index("label")
    assert tuple(numbers.loc["a", ["mean", "half_width"]]) == pytest.approx(mean_and_half_width([1, 2, 4, 8, 16, 32]))
    assert tuple(numbers.loc["b", ["mean", "half_width"]]) == pytest.approx(mean_and_half_width([5, 7, 9]))
    assert numbers["seeds"].tolist() == [6, 3]


@pytest.mark.parametrize(("seeds", "bands"), [(1, 0), (3, 2)])
def test_one_seed_has_no_band(seeds: int, bands: int) -> None:
    drawing = over_sessions(rows_of(["iCaRL", "LEC-Net"], seeds, 3), "accuracy (%)")
    drawn = [artist for artist in drawing.figure.axes[0].collections if isinstance(artist, FillBetweenPolyCollection)]
    assert len(drawn) == bands
    assert drawing.numbers["half_width"].isna().all() == (seeds == 1)
    assert any(("One seed: no intervals." in text.get_text()) == (seeds == 1) for text in drawing.figure.texts)


def test_published_values_are_hollow_in_the_colour_of_their_label() -> None:
    axes = over_sessions(rows_of(["iCaRL", "LEC-Net"], 3, 3), "accuracy (%)", published=PUBLISHED).figure.axes[0]
    (measured,) = [line for line in axes.lines if numbers_in(line.get_ydata()) == pytest.approx([69 + 0.2, 64 + 0.4, 59 + 0.6])]
    (published,) = [line for line in axes.lines if numbers_in(line.get_ydata()) == [64.1, 53.2]]
    assert published.get_color() == measured.get_color() and published.get_marker() == measured.get_marker()
    assert published.get_markerfacecolor() == "white" != measured.get_markerfacecolor()


def test_what_is_no_number_is_a_line_across() -> None:
    assert [number_of(label) for label in ("0.2", "-1", "1e2")] == [0.2, -1, 100]
    assert all(math.isnan(number_of(label)) for label in ("learned", "nan", "inf", ""))
    drawing = over_axis(along({"learned": 29.0, **GAMMAS}), "γ", "accuracy (%)")
    assert drawing.numbers["label"].tolist() == ["0.2", "0.8", "1.6", "learned"]
    lines = [(line, numbers_in(line.get_ydata())) for line in drawing.figure.axes[0].lines]
    (level,) = [heights for line, heights in lines if numbers_in(line.get_xdata()) == [0, 1] and len(set(heights)) == 1]
    assert level[0] == pytest.approx(drawing.numbers["mean"].iloc[-1])
    only = over_axis(along({"learned": 29.0}), "γ", "accuracy (%)")  # nothing but words
    assert only.numbers["label"].tolist() == ["learned"]


def test_all_points_and_bars_lie_within_the_axes() -> None:
    series = pd.concat([along({str(n): 20.0 * k + n for n in range(9)}).assign(series=f"s{k}") for k in range(3)])
    axes = over_axis(series, "x", "y").figure.axes[0]
    numbers = summarise(series, ["series", "label"])
    low, high = axes.get_ylim()
    assert low < (numbers["mean"] - numbers["half_width"]).min() and high > (numbers["mean"] + numbers["half_width"]).max()
    assert axes.get_xlim()[0] < 0 and axes.get_xlim()[1] > 8


def test_one_wide_interval_is_cut_and_does_not_flatten_the_lines() -> None:
    table = rows_of(["a", "b"], 3, 3)
    table.loc[(table["label"] == "a") & (table["session"] == 1), "value"] += table["seed"] * 100.0 - 100
    drawing = over_sessions(table, "accuracy (%)")
    low, high = drawing.figure.axes[0].get_ylim()
    assert 50 < low < drawing.numbers["mean"].min() and drawing.numbers["mean"].max() < high < 80
    assert drawing.numbers["half_width"].max() > 200
    assert "cut where they leave" in written_beneath(drawing)


def test_where_all_intervals_are_wide_none_is_cut() -> None:
    table = rows_of(["a", "b"], 3, 1)
    table["value"] += table["seed"] * 100.0
    drawing = over_sessions(table, "accuracy (%)")
    low, high = drawing.figure.axes[0].get_ylim()
    assert high - low > 2 * drawing.numbers["half_width"].max()
    assert "cut" not in written_beneath(drawing)


def written_beneath(drawing: Drawing) -> str:
    return " ".join(text.get_text() for text in drawing.figure.texts).replace("\n", " ")


@pytest.mark.parametrize(
    ("values", "seeds", "own", "mark"),
    [
        ({"0.2": 20.0, "0.4": 30.1, "0.6": 29.9}, 5, 1.0, "within noise"),
        ({"0.2": 20.0, "0.4": 31.0, "0.6": 29.9}, 5, 0.1, "ahead"),
        ({"0.2": 20.0, "0.4": 31.0, "0.6": 29.9, "learned": 99.0}, 5, 0.1, "ahead"),  # a word is never the best setting
        ({"0.2": 20.0, "0.4": 31.0, "0.6": 29.9}, 2, 0.1, "within noise"),  # too few seeds
        ({"0.2": 20.0, "0.4": 31.0, "0.6": 29.9}, 5, 0.0, "within noise"),  # no spread: no test
    ],
)
def test_the_best_point_is_filled_only_where_it_is_ahead(values: dict[str, float], seeds: int, own: float, mark: str) -> None:
    drawing = sessions_over_axis(along(values, seeds, own).assign(session=1), "τ", "accuracy (%)")
    marks = drawing.numbers.set_index("label")["best"]
    assert marks["0.4"] == mark and set(marks.drop("0.4")) == {""}
    (star,) = [line for line in drawing.figure.axes[0].lines if line.get_marker() == "*"]
    assert (star.get_markerfacecolor() == "white") == (mark == "within noise")


def test_no_star_where_two_settings_lead_together() -> None:
    drawing = sessions_over_axis(along({"0.2": 20.0, "0.4": 30.0, "0.6": 30.0}, 5, 0.0).assign(session=1), "τ", "accuracy (%)")
    assert set(drawing.numbers["best"]) == {""}
    assert not [line for line in drawing.figure.axes[0].lines if line.get_marker() == "*"]
    assert "Star" not in written_beneath(drawing)


def test_all_panels_have_one_span() -> None:
    table = pd.concat([along({label: value * t for label, value in GAMMAS.items()}).assign(session=t) for t in (1, 2, 3, 4)])
    spans = [axes.get_ylim()[1] - axes.get_ylim()[0] for axes in sessions_over_axis(table, "τ", "accuracy (%)").figure.axes]
    assert spans == pytest.approx([spans[0]] * 4)


def test_gate_is_the_formula() -> None:
    numbers = gate_function().numbers
    assert list(numbers.columns) == ["v"] + [f"alpha_beta_{2**n}" for n in range(8)]
    row = numbers[numbers["v"] == 0.25].iloc[0]
    assert row["alpha_beta_8"] == pytest.approx(1 / (1 + math.exp(-2)))


def test_gate_evolution_averages_over_the_seeds_that_got_so_far() -> None:
    table = traces(seeds=3, sessions=2)
    early = table[(table["seed"] < 2) | (table["epoch"] < 3)]
    numbers = gate_evolution(early).numbers.set_index(["session", "epoch"])
    assert numbers.loc[(1, 1), "mean"] == pytest.approx(0.5 + (0.3 - 0.2 + 0.5) / 300)
    assert numbers.loc[(1, 4), "mean"] == pytest.approx(0.2 + (0.3 - 0.2) / 200)
    assert numbers["seeds"].loc[1].tolist() == [3, 3, 2, 2]
    assert numbers["b3"].tolist() == pytest.approx([0.1] * 8)


def test_gate_evolution_without_a_threshold() -> None:
    drawing = gate_evolution(traces().assign(tau=math.nan), sessions=[2])
    assert "tau" not in drawing.numbers and set(drawing.numbers["session"]) == {2}
    assert len(drawing.figure.axes[1].lines) == 2
    with pytest.raises(ValueError, match="no trace of session 9"):
        gate_evolution(traces(), sessions=[9])


def test_drift_keeps_layers_apart() -> None:
    numbers = drift(turned()).numbers
    last = numbers[(numbers["label"] == "baseline") & (numbers["session"] == 3)].set_index("layer")
    degrees = last["degrees"]
    assert degrees["final"] == pytest.approx(70 + 15 + 4 * (0.3 - 0.2 + 0.5) / 3)
    assert degrees["backbone"] == pytest.approx(degrees["final"] / 2)


EMPTY = pd.DataFrame(columns=["label", "seed", "session", "value", "layer", "degrees", "x", "y"])


@pytest.mark.parametrize(
    ("draw", "complaint"),
    [
        (lambda: over_sessions(EMPTY, "y"), "no rows"),
        (lambda: over_axis(EMPTY, "x", "y"), "no rows"),
        (lambda: sessions_over_axis(EMPTY, "x", "y"), "no rows"),
        (lambda: drift(EMPTY), "no rows"),
        (lambda: tsne(EMPTY), "no rows"),
        (lambda: gate_evolution(traces().iloc[:0]), "no rows"),
        (lambda: gate_function([]), "no beta"),
        (lambda: over_sessions(rows_of(["a"], 1, 2).drop(columns="seed"), "y"), "needs the column seed"),
        (lambda: over_sessions(pd.concat([rows_of(["a"], 1, 2)] * 2), "y"), "label a session 0 seed 0 stands there twice"),
        (lambda: over_sessions(rows_of(["a"], 2, 2).iloc[:-1], "y"), "label a: not every seed has every point"),
        (lambda: over_sessions(rows_of(["a"], 2, 1).assign(value=[1.0, math.nan]), "y"), "label a session 0: some seeds"),
        (lambda: over_sessions(rows_of(["a"], 2, 1).assign(value=math.nan), "y"), "no number"),
        (lambda: over_sessions(rows_of(["a"], 2, 1), "y", published=pd.concat([PUBLISHED] * 2)), "published twice: label LEC-Net"),
        (lambda: tsne(plane().assign(x=math.nan)), "needs numbers"),
    ],
)
def test_refused(draw: Callable[[], Drawing], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        draw()


def test_sessions_without_a_number_are_left_out() -> None:
    """There is no harmonic mean before the first novel class."""
    table = rows_of(["a"], 3, 3)
    table.loc[table["session"] == 0, "value"] = math.nan
    assert over_sessions(table, "harmonic mean (%)").numbers["session"].tolist() == [1, 2]


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
