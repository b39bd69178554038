"""results/index.html: its figures are those of the suite, it needs nothing but itself, and it does what its controls say."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.cli.main import asked_for
from benchmarks.cli.options import parser
from benchmarks.metrics.statistics import mean_and_half_width, paired_p
from benchmarks.records.costs import Costs
from benchmarks.records.failures import Failure
from benchmarks.records.predictions import origin_confusion, pack_predictions
from benchmarks.records.reading import read_record
from benchmarks.records.schema import Record
from benchmarks.records.store import Store
from benchmarks.report import blocks, html, write_report
from benchmarks.report.command import command_of, repeating
from benchmarks.report.frame import label_of
from benchmarks.report.html import index, kept
from benchmarks.report.tables import escaped
from benchmarks.system.settings import Settings
from protocols import load_protocol
from protocols.printed import PublishedRow
from protocols.schema import Protocol, Sessions
from protocols.seeds import in_ranges
from tests.benchmarks.reading import row_of, table_after
from tests.benchmarks.report.browser import chromium
from tests.conftest import ROOT

Make = Callable[..., Record]
HOSTILE = '<script>alert(1)</script> & "quoted" </script><img src=x onerror=alert(2)>'
SHAS = {
    "d3.min.js": "f2094bbf6141b359722c4fe454eb6c4b0f0e42cc10cc7af921fc158fceb86539",
    "plot.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}
# Right answers of ten images a class: sessions 0 (two base classes), 1 and 2 (one class each); one entry a seed.
BASE_ONLY = [((8, 8), (8, 8, 0), (8, 8, 0, 0)), ((8, 9), (8, 9, 0), (8, 9, 0, 0)), ((9, 9), (9, 9, 0), (9, 9, 0, 0))]
FT_CNN = [((8, 8), (5, 5, 8), (1, 2, 3, 8)), ((8, 9), (4, 5, 9), (2, 2, 2, 10))]
LECNET = [((8, 8), (7, 7, 4), (9, 8, 7, 6)), ((8, 9), (8, 7, 4), (9, 9, 6, 6)), ((9, 9), (8, 8, 4), (9, 9, 8, 7))]


@pytest.fixture
def save(tmp_path: Path, make_record: Make, costs: Costs) -> Callable[..., None]:
    """Saves one record a seed, 0 upwards, into tmp_path/results."""

    def save_all(variant: str, counts: Sequence[Any], title: str = "", **changes: Any) -> None:
        for seed, correct in enumerate(counts):
            record = make_record(variant, seed, correct, **changes)
            Store(tmp_path / "results").save(record.model_copy(update={"title": title or record.title}), costs, b"")

    return save_all


@pytest.fixture
def story(tmp_path: Path, save: Callable[..., None], make_record: Make, costs: Costs, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three methods, a variant, other settings; a hostile title; one run with its predictions; one failure."""
    facts = {"source": "Paper <b>", "backbone": "conv2", "split": "canonical", "seeds": "10", "selection": "test"}
    row = PublishedRow.model_validate({"method": "ft_cnn", "label": "Ft", "accuracy": (83.0, 58.5, 35.0), "tolerance": 3.0, **facts})
    monkeypatch.setattr(blocks, "printed_beside", lambda own, group="": (row,))
    save("lecnet:paper", LECNET)
    save("ft_cnn:topic", FT_CNN, HOSTILE)
    save("base_only:default", BASE_ONLY)
    save("proto:raw_mean", BASE_ONLY, split="canonical-order")
    save("lecnet:paper", LECNET, recipe_settings={"epochs": 2, "lr": 0.2})
    packed = pack_predictions([np.array([0, 1], np.int16), np.array([0, 0, 2, 0], np.int16)], np.array([0, 1, 2, 3], np.int16))
    kept = make_record("proto:norm_mean", 0, LECNET[0]).model_copy(update={"predictions_sha256": hashlib.sha256(packed).hexdigest()})
    Store(tmp_path / "results").save(kept, costs, packed)
    failed = make_record("base_only:default", 3).identity
    Store(tmp_path / "results").save_failure(failed, Failure("ValueError: <i>", "Traceback"))
    return tmp_path / "results"


def page_of(results: Path, hand: Protocol) -> str:
    path = html.write_index(results, [hand])
    assert path == results / "index.html"
    return path.read_text(encoding="utf-8")


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


def test_the_command_of_odd_values(make_record: Make) -> None:
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
    assert {link for link in re.findall(r'href="([^"]*)"', markup)} == {"hand.md", "#signs"}
    assert "default-src 'none'" in markup
    assert text.count("<script") == text.count("</script>") == 4, "the data, the library's two files and the page's own"
    assert text.count("THE SOFTWARE IS PROVIDED") == 2, "the licences stay"


def test_it_says_what_its_signs_mean(hand: Protocol, story: Path, make_record: Make) -> None:
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


# In a browser -------------------------------------------------------------------------------------------------------------

LABELS = "return [...document.querySelectorAll('tr[data-row]:not([hidden])')].map(r => r.cells[1].textContent)"
CLICK = "[...document.querySelectorAll(arguments[0])].find(e => e.textContent.trim() === arguments[1]).click()"
TYPE = "const e = document.querySelector(arguments[0]); e.value = arguments[1]; e.dispatchEvent(new Event('input', {bubbles: true}))"
TICK = """document.querySelectorAll('tr[data-row]').forEach(line => {
    if (arguments[0].includes(line.cells[1].textContent)) line.cells[0].firstChild.click()
})"""
HOVER = """const at = document.querySelector('#chart [aria-label=dot] *').getBoundingClientRect();
for (const type of ['pointerenter', 'pointermove']) document.querySelector('#chart svg').dispatchEvent(
    new PointerEvent(type, {clientX: at.x + 4, clientY: at.y + 4, pointerType: 'mouse', bubbles: true}));
return new Promise(done => setTimeout(done, 200))"""
TEXT = "return document.querySelector(arguments[0]).innerText"


def test_clicking_through_it(hand: Protocol, story: Path, tmp_path: Path) -> None:
    page_of(story, hand)
    hostile = f"{HOSTILE} (topic)"
    with chromium(tmp_path / "profile") as browser:
        browser.open(story / "index.html")
        assert set(browser.js(LABELS)) == {"LEC-Net (paper)", hostile, "BaseOnly", "Proto (norm_mean)", "Proto (raw_mean)"}
        # Sort: as numbers, both ways, missing last.
        browser.js(CLICK, "#rows thead button", "All")
        rising = browser.js(LABELS)
        assert rising[0] == hostile and rising[1:3] == ["BaseOnly", "Proto (raw_mean)"]
        browser.js(CLICK, "#rows thead button", "All")
        assert browser.js(LABELS)[-1] == hostile
        # Filter: by a choice, by text, and what is hidden at first.
        browser.js(TYPE, "[name=split]", "canonical-order")
        assert browser.js(LABELS) == ["Proto (raw_mean)"]
        browser.js(TYPE, "[name=split]", "")
        browser.js(TYPE, "[name=text]", "lec-net")
        assert browser.js(LABELS) == ["LEC-Net (paper)"]
        browser.js(CLICK.replace("textContent.trim()", "name"), "#filters input", "others")
        assert browser.js(LABELS) == ["LEC-Net (paper)"] * 2
        assert browser.js(TEXT, "#count") == "2 of 6 rows"
        browser.js(TYPE, "[name=text]", "")
        # Open a row, and close it.
        browser.js(CLICK, "#rows tbody button", hostile)
        opened = browser.js(TEXT, "tr.opened")
        for said in ("--methods ft_cnn:topic", "threads 1", "reproduced: within", "memory 64 MiB", "Paper <b>"):
            assert said in opened, said
        browser.js(CLICK, "#rows tbody button", hostile)
        assert browser.js("return document.querySelector('tr.opened')") is None
        browser.js(CLICK, "#rows tbody button", "Proto (norm_mean)")
        assert "taken for 2" in browser.js(TEXT, "tr.opened")
        # Curves: a dot a session for what is ticked, and a band from three seeds on; none, two, another metric.
        browser.js(CLICK, "button", "draw none")
        assert browser.js(TEXT, "#chart") == "No row is ticked."
        browser.js(CLICK.replace("textContent.trim()", "name"), "#filters input", "others")
        browser.js(TICK, ["BaseOnly", hostile])
        assert browser.js("return document.querySelectorAll('#chart [aria-label=dot] *').length") == 6
        assert browser.js("return document.querySelectorAll('#chart [aria-label=area] path').length") == 1
        assert len(browser.js("return [...document.querySelectorAll('#legend li')].map(e => e.textContent)")) == 2
        browser.js(HOVER)
        assert "session 0: 85.00" in browser.js("return document.querySelector('#chart [aria-label=tip]').textContent")
        # Two rows that are ticked are held against each other; so are any two that are chosen.
        assert "2" in browser.js(TEXT, "#held tr:nth-child(2) td:nth-child(6)")
        options = browser.js("return Object.fromEntries([...document.querySelector('#first').options].map(o => [o.text, o.value]))")
        of = {
            label: next(value for text, value in options.items() if text.startswith(label))
            for label in ("LEC-Net", "BaseOnly", "Proto (raw")
        }
        browser.js(TYPE, "#first", of["BaseOnly"])
        browser.js(TYPE, "#second", of["LEC-Net"])
        cells = browser.js("return [...document.querySelectorAll('#held tr:nth-child(2) td')].map(e => e.textContent)")
        mean, width = mean_and_half_width([-35.0, -32.5, -37.5])
        p = paired_p(np.array([-35.0, -32.5, -37.5]))
        assert cells[1:] == ["42.50 ± 6.21", "77.50 ± 10.76", f"{mean:.2f} ± {width:.2f}", f"{p:.3f}", "3"]
        browser.js(TYPE, "#second", of["Proto (raw"])
        assert "No paired test" in browser.js(TEXT, "#pair")
        assert browser.js("return document.querySelectorAll('img, script[src]').length") == 0
        assert browser.console() == []


def test_long_names_wrap(hand: Protocol, story: Path, tmp_path: Path) -> None:
    """A name of a hundred letters takes lines of its cell, not the room of the figures beside it."""
    page_of(story, hand)
    with chromium(tmp_path / "profile") as browser:
        browser.open(story / "index.html")
        cells = browser.js(LABELS.replace("r.cells[1].textContent", "[r.cells[1].offsetWidth, r.cells[1].offsetHeight]"))
        assert {width for width, _ in cells} < set(range(200, 420))
        assert max(height for _, height in cells) > 1.8 * min(height for _, height in cells)


def test_the_committed_page_in_a_browser(tmp_path: Path) -> None:
    with chromium(tmp_path / "profile") as browser:
        browser.open(ROOT / "results" / "index.html")
        assert len(browser.js(LABELS)) > 80
        assert browser.js("return document.querySelectorAll('#chart [aria-label=dot] *').length") > 20
        assert browser.console() == []


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
    for damage in ("", "[]", '{"state": "1"}', "{" * 5000):
        (story / ".index" / "hand.json").write_text(damage)
        assert page_of(story, hand) == first, damage
    assert asked == ["hand"] * 7


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
