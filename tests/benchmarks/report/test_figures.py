"""Figures: their numbers and their bytes; what they refuse."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from matplotlib.collections import FillBetweenPolyCollection
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
from benchmarks.report.figures.numbers import number_of, summarise
from tests.benchmarks.report.drawings import GAMMAS, NOISE, PUBLISHED, along, numbers_in, plane, rows_of, traces, turned

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
