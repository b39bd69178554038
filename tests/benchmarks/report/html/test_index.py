"""results/index.html: its figures are those of the suite, and it needs nothing but itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli.main import asked_for
from benchmarks.cli.options import parser
from benchmarks.metrics.statistics import mean_and_half_width, paired_p
from benchmarks.records.predictions import origin_confusion, pack_predictions
from benchmarks.records.reading import read_record
from benchmarks.report import html, write_report
from benchmarks.report.command import command_of, repeating
from benchmarks.report.frame import label_of
from benchmarks.report.html import index, kept
from benchmarks.report.tables import escaped
from benchmarks.system.settings import Settings
from protocols import load_protocol
from protocols.schema import Protocol, Sessions
from protocols.seeds import in_ranges
from tests.benchmarks.conftest import MakeRecord
from tests.benchmarks.reading import row_of, table_after
from tests.benchmarks.report.conftest import FT_CNN
from tests.benchmarks.report.html.conftest import HOSTILE, page_of
from tests.conftest import ROOT

SHAS = {
    "d3.min.js": "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539",
    "plot.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}


def data_of(text: str) -> Any:
    return json.loads(text.partition('<script type="application/json" id="data">')[2].partition("</script>")[0])


def row_named(data: Any, variant: str, block: int = 0) -> Any:
    (row,) = [row for row in data["rows"] if row["variant"] == variant and row["block"] == block]
    return row


def cells_of(page: str, number: int) -> dict[str, str]:
    """The cells of a row of the page's table by heading, bold ones as on a protocol's page."""
    headings = re.findall(r'<th scope="col"><button type="button">(.*?)</button>', page)
    line = page.partition(f'<tr data-row="{number}">')[2].partition("</tr>")[0]
    cells = re.findall(r"<td([^>]*)>(.*?)</td>", line, re.DOTALL)[1:]
    assert len(cells) == len(headings)
    return {heading: f"**{text}**" if "bold" in kind else text for heading, (kind, text) in zip(headings, cells, strict=True)}


# Its figures --------------------------------------------------------------------------------------------------------------


def cell_of(mean: float, width: float | None) -> str:
    """What a protocol's page shows; in these stories, rows without an interval are of two seeds."""
    return f"{mean:.2f} (2 seeds)" if width is None else f"{mean:.2f} ± {width:.2f}"


def test_its_figures_are_those_of_the_protocols_page(hand: Protocol, story: Path) -> None:
    page, text = page_of(story, hand), write_report(hand, story)[0].read_text(encoding="utf-8")
    data = data_of(page)
    for variant, label in {
        "lecnet:paper": "LEC-Net (paper)",
        "base_only:default": "BaseOnly",
        "ft_cnn:topic": escaped(f"{HOSTILE} (topic)"),
    }.items():
        row = row_named(data, variant)
        last, cells = row_of(table_after(text, "### After the last session"), label), cells_of(page, data["rows"].index(row))
        both = [heading for heading in html.index.headings() if heading in last]
        assert len(both) > 5
        for heading in both:  # how many seeds there are is a column of the page
            assert cells[heading] == last[heading].removesuffix(" (2 seeds)"), heading
        sessions = row_of(table_after(text, "### Accuracy after each session"), label)
        assert [sessions[str(t)].strip("*") for t in range(3)] == [cell_of(*pair) for pair in row["curves"]["accuracy"]]
        assert sessions["Seeds"] == cells["Seeds"]
    assert cells_of(page, data["rows"].index(row_named(data, "base_only:default")))["Seeds"] == "3 of 4, 1 failed"
    assert row_named(data, "lecnet:paper")["matrix"][0] == [85.0], "17 of 20, 17 and 18 of 20, 90 %"
    assert row_named(data, "base_only:default")["curves"]["hm"][0] == [None, None], "no novel class yet: not a number, and not zero"


def test_pairs_and_standing_are_those_of_the_suite(hand: Protocol, story: Path) -> None:
    data = data_of(page_of(story, hand))
    own = [row["variant"] for row in data["rows"] if row["block"] == 0]
    scores = {
        "lecnet:paper": [75.0, 75.0, 82.5],
        "ft_cnn:topic": [35.0, 40.0],
        "base_only:default": [40.0, 42.5, 45.0],
        "proto:norm_mean": [75.0],
    }
    assert sorted(own) == sorted(scores)
    for (first, second), (mean, width, p, seeds) in zip(combinations(own, 2), data["blocks"][0]["pairs"]["accuracy"], strict=True):
        differences = np.array([one - other for one, other in zip(scores[first], scores[second], strict=False)])
        assert seeds == len(differences)
        assert mean == pytest.approx(differences.mean())
        by_suite = mean_and_half_width(differences.tolist())[1]
        assert width == (None if seeds < 3 else pytest.approx(by_suite, abs=1e-4))
        assert p == (None if seeds < 3 else pytest.approx(paired_p(differences), abs=1e-6))
    assert {variant: row_named(data, variant)["standing"] for variant in own} == {
        "lecnet:paper": "leader",
        "base_only:default": "behind",
        "ft_cnn:topic": "no test",
        "proto:norm_mean": "no test",
    }


def test_a_row_says_what_it_stands_on(hand: Protocol, story: Path) -> None:
    data = data_of(page_of(story, hand))
    row = row_named(data, "ft_cnn:topic")
    cost = {"seeds": 2, "base": 2.0, "training": 0.6, "testing": 0.4, "memory": 64.0}
    assert row["cost"] == {"processor": data["texts"].index("x86_64"), **cost}
    assert data["settings"][row["settings"]] == {"gamma": 0.8, "lr": 0.01, "milestones": [3, 5]}
    environment = "device x86_64, precision fp32, threads 1, torch 2.11.0"
    assert row["environments"] == [[data["texts"].index(environment), [0, 1]]]
    (said,) = row["verdicts"]
    assert (said["row"], said["word"], said["gap"]) == ("Ft, Paper <b>", "reproduced", 2.5)
    assert said["reason"] == "within the stated ± 3.0; two seeds"
    assert [other["command"] for other in data["rows"] if other["state"] == "other settings"] == [None]
    assert row_named(data, "proto:norm_mean")["confusion"] == {
        "seeds": 1,
        "percent": [[100.0, 0.0, 0.0], [0.0, 100.0, 0.0], [100.0, 0.0, 0.0]],
    }
    assert row["confusion"] is None


def test_confusion_of_other_sessions_is_refused() -> None:
    packed = pack_predictions([np.array([0, 5], np.int16)], np.array([0, 1], np.int16))
    with pytest.raises(ValueError, match="not predictions of these sessions"):
        origin_confusion(packed, Sessions(base=2, way=1, count=2, shots=5))


COMMITTED = (
    "digits/paper.paper/lecnet-paper-*",
    "digits/paper.paper/*gamma=0.4*",
    "digits/*/proto-*@cosine*",
    "digits/*/teen-*",
    "cifar100/*/lecnet-paper-momentum=*",
    "seqmnist/*/si-*",
)


@pytest.mark.parametrize("folder", COMMITTED)
def test_the_command_repeats_the_runs(folder: str) -> None:
    path = next(path for path in sorted((ROOT / "results" / "records").glob(f"{folder}/seed00.json")))
    identity = read_record(path).identity
    program, script, *words = shlex.split(repeating(identity, [0, 1, 2, 4]))
    options = parser().parse_args(words)
    runs, _ = asked_for(options, load_protocol(options.protocol), Settings.of(options))
    assert (program, script, [run.seed for run in runs]) == ("python", "run_all.py", [0, 1, 2, 4])
    wanted = [identity.model_copy(update={"seed": run.seed}) for run in runs]
    assert all(run.same_as(one) for run, one in zip(runs, wanted, strict=True))


def test_the_command_of_odd_values(make_record: MakeRecord) -> None:
    """A small number is a number for YAML, a list is one word for the shell, and a foreign protocol is a file."""
    identity = make_record("lecnet:paper", overrides={"lr": 1e-5, "milestones": [1, 2]}, config={"lr": 1e-5, "milestones": [1, 2]}).identity
    words = shlex.split(repeating(identity, [3]))
    assert words[words.index("--protocol") + 1] == "hand.yaml"
    assert [words[n + 1] for n, word in enumerate(words) if word == "--set"] == ["lecnet.lr=1e-05", "lecnet.milestones=[1, 2]"]
    assert in_ranges([5, 1, 2, 0, 7]) == "0-2,5,7"


def test_a_page_names_what_is_not_the_suites_by_its_file(hand: Protocol) -> None:
    assert command_of(hand, "mine") == "python run_all.py --protocol hand.yaml --study mine.yaml"
    assert command_of(load_protocol("digits"), "gamma") == "python run_all.py --protocol digits --study gamma"


# The file -----------------------------------------------------------------------------------------------------------------


def test_it_needs_nothing_but_itself_and_runs_nothing_else(hand: Protocol, story: Path) -> None:
    text = page_of(story, hand)
    assert text == page_of(story, hand)
    assert "NaN" not in text.partition('id="data">')[2].partition("</script>")[0]
    markup = re.sub(r"<(script|style)\b[^>]*>.*?</\1>", "", text, flags=re.DOTALL)
    assert not re.search(r"<(link|img|iframe|object|embed|base)\b|\bsrc=|\bon\w+=|@import", markup.replace("&lt;img src=x onerror=", ""))
    assert {link for link in re.findall(r'href="([^"]*)"', markup)} == {"hand.md", "#signs", "#drawing"}
    assert "default-src 'none'" in markup
    assert text.count("<script") == text.count("</script>") == 4, "the data, the library's two files and the page's own"
    assert text.count("THE SOFTWARE IS PROVIDED") == 2, "the licences stay"


def test_it_says_what_its_signs_mean(hand: Protocol, story: Path, make_record: MakeRecord) -> None:
    """± and each mark that a name can bear, in the glossary's order; the words of the page stand where it says."""
    text = page_of(story, hand)
    signs = dict(re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text))
    glossary = re.findall(r"^\| (\W) \| (.*) \|$", (ROOT / "docs" / "GLOSSARY.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert list(signs) == [sign for sign, _ in glossary] == ["±", "†", "‡", "§"]
    assert all(signs[sign].startswith(meaning[0].upper() + meaning[1:]) for sign, meaning in glossary)
    assert "not corrected for the number of comparisons" in signs["±"]
    marked = make_record("ft_cnn:topic", 0, FT_CNN[0]).model_copy(update={"selection": "oracle_test", "knows_all_classes": True})
    assert label_of(marked).endswith(" † ‡") and set("†‡") < set(signs)
    assert "README" not in text and all((ROOT / name).is_file() for name in re.findall(r"docs/\w+\.md", text.partition("<form")[0]))


def test_the_library_is_what_its_makers_published() -> None:
    folder = Path(index.__file__).parent / "library"
    assert {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in SHAS} == SHAS


def test_a_foreign_protocol_is_named_and_an_empty_folder_has_no_page(story: Path, tmp_path: Path) -> None:
    assert html.write_index(story) is None, "nobody knows a protocol `hand`"
    assert html.write_index(tmp_path / "none") is None
    told, faults = index.told_of(story, [])
    assert told == []
    assert len(faults) == 1 and faults[0].startswith("records of hand are not on this page") and "--protocol" in faults[0]


def test_the_committed_page(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    """Every variant with a record stands on it, and it stays under 2 MB; byte for byte by `make test-all`."""
    path = ROOT / "results" / "index.html"
    assert path.stat().st_size < 2_000_000
    data = data_of(path.read_text(encoding="utf-8"))
    shown = {(data["blocks"][row["block"]]["protocol"], row["variant"]) for row in data["rows"]}
    runs = (ROOT / "results" / "records").glob("*/*/*/seed00.json")
    assert len(shown) > 100
    assert {(identity.protocol, identity.variant) for run in runs for identity in [read_record(run).identity]} <= shown
    if request.config.getoption("--all-presets"):
        for run in (ROOT / "results" / "records").rglob("*.json"):
            link = tmp_path / run.relative_to(ROOT / "results")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(run)
        again = html.write_index(tmp_path)
        assert again is not None and again.read_bytes() == path.read_bytes()


# What is kept of it ---------------------------------------------------------------------------------------------------------


def test_it_is_told_anew_only_where_something_has_changed(hand: Protocol, story: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every command writes the page over all protocols of a folder, and most of them have not changed."""
    first = page_of(story, hand)
    asked: list[str] = []
    honest = index.told_of_one

    def told(protocol: Protocol, *others: Any) -> dict[str, Any]:
        asked.append(protocol.name)
        return honest(protocol, *others)

    monkeypatch.setattr(index, "told_of_one", told)
    assert page_of(story, hand) == first and asked == []
    next(story.rglob("seed00.cost.json")).touch()
    assert page_of(story, hand) == first and asked == ["hand"]
    assert page_of(story, hand.model_copy(update={"title": "Another"})) != first and asked == ["hand"] * 2
    next(story.rglob("seed00.npz")).unlink()
    assert (first := page_of(story, hand)) and asked == ["hand"] * 3, "predictions, which give the confusion"
    record = next(story.rglob("seed00.json"))
    (record.parent / "gates").mkdir()
    (record.parent / "gates" / "seed00.json").write_text("{}")
    assert page_of(story, hand) == first and asked == ["hand"] * 4, "a trace, without which a study has no page"
    for damage in ("", "[]", '{"state": "1"}', "{" * 5000):
        (story / ".index" / "hand.json").write_text(damage)
        assert page_of(story, hand) == first, damage
    assert asked == ["hand"] * 8


def test_a_source_that_changes_is_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows say which methods have been edited since; an own method's file is watched, too."""
    (own := tmp_path / "own").mkdir()
    (own / "venv" / "site-packages").mkdir(parents=True)
    (own / "mine.py").write_text("1\n")
    states = [kept.state_of_sources()]
    monkeypatch.setattr(kept, "own_folder", lambda: own)
    for text in ("1\n", "22\n"):
        (own / "mine.py").write_text(text)
        states.append(kept.state_of_sources())
    (own / "venv" / "site-packages" / "theirs.py").write_text("3\n")
    assert len(set(states)) == 3 and kept.state_of_sources() == states[-1]


def test_whatever_lies_among_the_records_is_a_change(hand: Protocol, story: Path, tmp_path: Path) -> None:
    """Also behind links, and what is no file of a run: the page says so."""
    folder = next(story.rglob("seed00.json")).parent
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    pages = [page_of(story, hand)]
    (tmp_path / "elsewhere" / "seed01.json").unlink()
    pages.append(page_of(story, hand))
    (story / "records" / "hand" / "stray").write_text("x")
    pages.append(page_of(story, hand))
    os.mkfifo(folder / "seed05.json")
    pages.append(page_of(story, hand))
    (folder / "seed07.json").symlink_to(tmp_path / "nothing")
    pages.append(page_of(story, hand))
    (folder / "seed08.json").mkdir()
    pages.append(page_of(story, hand))
    assert len(set(pages)) == len(pages)
    shutil.rmtree(story / ".index")
    assert page_of(story, hand) == pages[-1]
