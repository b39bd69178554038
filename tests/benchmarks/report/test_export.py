"""Tables for papers: the numbers of the pages, bold where the pages are, in LaTeX, CSV and Parquet, with figures as PDF."""

from __future__ import annotations

import errno
import importlib.util
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from benchmarks.cli.main import main
from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report import blocks, write, write_report, write_study
from benchmarks.report.paper import writing
from benchmarks.system.errors import RecordError, StorageError, UsageError
from benchmarks.tools.export import export_protocol, export_study
from protocols.printed import PublishedRow
from protocols.schema import Protocol
from protocols.study import Study
from tests.benchmarks.reading import row_of, table_after

# Right answers of ten images a class: sessions 0 (two base classes), 1 and 2 (one class each); one entry a seed.
GOOD = [((8, 8), (8, 8, 7), (8, 8, 7, 6)), ((8, 9), (8, 9, 7), (8, 9, 6, 6)), ((9, 9), (9, 9, 8), (9, 9, 8, 7))]
FAIR = [((8, 8), (8, 8, 2), (7, 7, 1, 2)), ((8, 9), (8, 9, 1), (7, 8, 1, 1)), ((9, 9), (9, 9, 3), (8, 8, 2, 2))]
PRINTED = (83.0, 58.5, None)
ODD = "50% & $x_1$ ~{}^\\ #<>"


@pytest.fixture
def results(tmp_path: Path, make_record: Callable[..., Record], costs: Costs, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two methods, a variant, three seeds; a title that LaTeX would stumble over; a printed row."""
    facts = {"source": "Paper", "backbone": "conv2", "split": "canonical", "seeds": "10", "selection": "test"}
    row = PublishedRow.model_validate({"method": "ft_cnn", "label": "Ft", "accuracy": PRINTED, **facts})
    monkeypatch.setattr(blocks, "printed_beside", lambda own, group="": (row,))
    monkeypatch.setattr(write, "printed_beside", lambda own: (row,))
    store = Store(tmp_path / "results")
    made: list[tuple[str, Sequence[Any], dict[str, Any]]] = [
        ("lecnet:paper", GOOD, {}),
        ("lecnet:paper", FAIR, {"overrides": {"gamma": 0.6}, "config": {"gamma": 0.6}}),
        ("ft_cnn:topic", FAIR, {}),
    ]
    for variant, counts, changes in made:
        for seed, correct in enumerate(counts):
            record = make_record(variant, seed, correct, **changes)
            title = ODD if variant == "ft_cnn:topic" else record.title
            store.save(record.model_copy(update={"title": title}), costs, b"")
    return tmp_path / "results"


@pytest.fixture
def study() -> Study:
    variants = [{"label": "0.8", "method": "lecnet:paper"}, {"label": "0.6", "method": "lecnet:paper", "set": {"gamma": 0.6}}]
    content = {"name": "widths", "title": "Widths", "reference": "0.8", "variants": variants, "axis": "gamma", "figures": ["axis"]}
    return Study.model_validate(content)


def names(paths: Sequence[Path]) -> list[str]:
    return [path.name for path in paths]


def test_csv_holds_the_numbers_of_the_page(hand: Protocol, results: Path) -> None:
    paths = list(export_protocol(hand, results, "csv"))
    stem = "hand.quick.paper"
    tables = [f"{stem}.{kind}.csv" for kind in ("sessions", "last", "pairs", "definitions")]
    assert names(paths) == [*tables, f"{stem}.accuracy.pdf", f"{stem}.hm.pdf"]
    assert {path.parent for path in paths} == {results / "export"}
    page = write_report(hand, results)[0].read_text(encoding="utf-8")
    for path, heading in zip(paths[:2], ("### Accuracy after each session", "### After the last session"), strict=True):
        found = pd.read_csv(path, dtype={"Seeds": str})
        for label in ("LEC-Net (paper)", "LEC-Net (paper, gamma=0.6)"):
            shown = row_of(table_after(page, heading), label)
            row = found[found["Method"] == label].iloc[0]
            for name, text in shown.items():
                if f"{name} ±" in found:
                    cell = f"{row[name]:.2f} ± {row[f'{name} ±']:.2f}"
                    assert text == (f"**{cell}**" if row.get(f"{name} bold", False) else cell), name
    sessions = pd.read_csv(paths[0])
    printed = sessions[sessions["Method"] == "printed: Ft, Paper"].iloc[0]
    assert [printed["0"], printed["1"]] == [83.0, 58.5]
    assert printed[["2", "Average", "PD", "0 ±"]].isna().all()
    last = pd.read_csv(paths[1])
    assert last["Harmonic mean bold"].tolist() == [False, True, False], "ahead of both by the suite's rule"
    pairs = pd.read_csv(paths[2])
    gap = "Accuracy − LEC-Net (paper)"
    assert pairs[gap].isna().tolist() == [False, True, False]
    assert pairs[gap][0] == pytest.approx((17 + 17 + 20) / 40 * 100 / 3 - (29 + 29 + 33) / 40 * 100 / 3, abs=1e-4)
    ahead = row_of(table_after(page, "### Who is ahead"), pairs["Method"][0])
    assert f", p {pairs[f'p of {gap}'][0]:.3f}" in ahead[gap], "Holm-corrected, as on the page"


def test_latex_is_whole_and_bold_where_the_page_is(hand: Protocol, results: Path) -> None:
    path = next(iter(export_protocol(hand, results, "latex")))
    assert path.name == "hand.quick.paper.sessions.tex"
    text = path.read_text(encoding="utf-8")
    page = table_after(write_report(hand, results)[0].read_text(encoding="utf-8"), "### Accuracy after each session")
    rules = [line for line in text.splitlines() if line.startswith("\\") and "rule" in line]
    assert rules == ["\\toprule", "\\midrule", "\\bottomrule"]
    body = text.partition("\\midrule\n")[2].partition("\\bottomrule")[0].splitlines()
    assert len(body) == 4
    header = next(line for line in text.splitlines() if line.startswith("Method"))
    for line in [header, *body]:
        assert line.endswith(" \\\\")
        assert len(re.findall(r"(?<!\\)&", line)) == 1 + 5, line
    assert body[2].startswith("LEC-Net (paper) & 3 & $85.00 \\pm 12.42$ &")
    shown = row_of(page, "LEC-Net (paper)")
    assert ["mathbf" in cell for cell in body[2].split(" & ")[2:]] == [
        shown[name].startswith("**") for name in ("0", "1", "2", "Average", "PD")
    ]
    assert "mathbf" in body[2]
    odd = r"50\% \& \$x\_1\$ \textasciitilde{}\{\}\textasciicircum{}\textbackslash{} \#\textless{}\textgreater{} (topic) & 3 &"
    assert any(line.startswith(odd) for line in body)
    assert body[1] == r"printed: Ft, Paper &  & $83.00$ & $58.50$ & -- & -- & -- \\"


def test_the_same_bytes_and_pdf_of_a_study(hand: Protocol, results: Path, study: Study) -> None:
    first = {path: path.read_bytes() for path in export_study(hand, study, results, "latex")}
    assert names(list(first)) == [f"hand.study-widths.quick.paper.{end}" for end in ("last.tex", "sessions.tex", "pairs.tex", "axis.pdf")]
    assert {path: path.read_bytes() for path in export_study(hand, study, results, "latex")} == first
    assert [content[:5] for path, content in first.items() if path.suffix == ".pdf"] == [b"%PDF-"]
    page = write_study(hand, study, results)[0].read_text(encoding="utf-8")
    cells = {row["Variant"]: row["All"] for row in table_after(page, "### After the last session")}
    last = next(content for path, content in first.items() if path.name.endswith("last.tex")).decode()
    pairs = next(content for path, content in first.items() if path.name.endswith("pairs.tex")).decode()
    held = {row["Variant"]: row["Accuracy"] for row in table_after(page, "### Against `0.8`, paired over seeds")}
    mean, width = re.match(r"(\S+) ± (\S+), p", held["0.6"]).groups()  # type: ignore[union-attr]
    assert f"0.6 & 3 & ${float(mean):.2f} \\pm {width}$ &" in pairs
    for label, cell in cells.items():
        assert re.search(rf"^{label} & 3 & \${cell.replace(' ± ', r' .pm ')}\$ &", last, re.MULTILINE)


def test_a_method_of_which_no_run_succeeded_has_its_row(hand: Protocol, results: Path, make_record: Callable[..., Record]) -> None:
    Store(results).save_failure(make_record("icarl:topic", 0).identity, Failure("the loss is NaN", ""))
    paths = {path.name.split(".")[-2]: path for path in export_protocol(hand, results, "csv")}
    for kind in ("sessions", "last"):
        rows = pd.read_csv(paths[kind], dtype={"Seeds": str}).set_index("Method")
        assert rows.loc["`icarl:topic`", "Seeds"] == "0 of 3, 1 failed"
        assert rows.loc["`icarl:topic`"].drop("Seeds").isna().sum() > 4


def test_parquet_or_one_line_that_says_what_to_install(hand: Protocol, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if importlib.util.find_spec("pyarrow") is not None:
        path = next(iter(export_protocol(hand, results, "parquet")))
        table = pd.read_parquet(path)
        assert table["Method"].tolist()[-2] == "LEC-Net (paper)"
        assert table["0"].tolist()[0] == pytest.approx(85.0)
    monkeypatch.setattr(writing.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"^--export parquet: needs pyarrow, .*`pip install pyarrow`") as caught:
        list(export_protocol(hand, results, "parquet"))
    assert "\n" not in str(caught.value)


def test_a_full_disk_under_tensorboard_is_named(hand: Protocol, results: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The logger writes in a thread of its own, and its error names no file."""
    [folder] = export_protocol(hand, results, "tensorboard")
    before = sorted(path.name for path in folder.rglob("*"))

    def full(*args: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("benchmarks.tools.tensorboard.write_runs", full)
    with pytest.raises(StorageError, match=f"^{folder}: cannot be written"):
        list(export_protocol(hand, results, "tensorboard"))
    assert sorted(path.name for path in folder.rglob("*")) == before
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_tensorboard_gets_the_curves_of_every_run(hand: Protocol, results: Path) -> None:
    """Twice, since a second export must not draw every point twice."""
    for _ in range(2):
        [folder] = export_protocol(hand, results, "tensorboard")
    runs = sorted(path.name for path in folder.iterdir())
    assert len(runs) == 9
    assert "LEC-Net (paper) seed 0" in runs
    events = EventAccumulator(str(folder / "LEC-Net (paper) seed 0")).Reload()
    scalars = events.Scalars("accuracy")
    assert [event.step for event in scalars] == [0, 1, 2]
    assert [event.value for event in scalars] == pytest.approx([80.0, 76.667, 72.5], abs=1e-2)


def test_what_cannot_be_exported_is_said(hand: Protocol, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(RecordError, match="no records to export"):
        list(export_protocol(hand, tmp_path, "csv"))
    line = ["--results", str(tmp_path)]
    assert main(["--export", "latx", "--protocol", "digits", *line]) == 2
    assert "--export: no format named 'latx'. Did you mean 'latex'?" in capsys.readouterr().err
    assert main(["--export", "csv", *line]) == 2
    assert "--export: the protocol must be named" in capsys.readouterr().err
    assert main(["--export", "csv", "--protocol", "digits", "--seeds", "0", *line]) == 2
    assert "--export cannot choose among runs" in capsys.readouterr().err
