"""Every key of every YAML file: wrong in every way, and answered in one line or accepted because it makes sense."""

from __future__ import annotations

import math
import os
import random
import resource
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from benchmarks.planning.plan import identities, make_request, of_group
from benchmarks.planning.preflight import check_before_training
from benchmarks.planning.published import check_published
from benchmarks.system.errors import USER_ERRORS
from benchmarks.system.settings import Settings
from protocols import ProtocolError, load_protocol, load_published, load_published_study, loading, printed
from protocols.backbones import Weights
from protocols.printed import PublishedRow, PublishedStudy
from protocols.reading import parse_yaml
from protocols.schema import Augment, Backbone, Canonical, Data, Protocol, Recipe, Sessions
from tests.conftest import ROOT, TINY
from tests.trust.asking import Answer, ask, time_limit
from tests.trust.bad_protocols import LONG, Case, faults, places
from tests.trust.sensible import SENSIBLE

COMPLETE = ROOT / "tests" / "trust" / "complete.yaml"
LIKE_OTHERS = ("cub200-resnet18b", "cub200-lite0", "miniimagenet-32")
"""They have what cub200, cub200-features and cifar100 have."""
SHIPPED = sorted(path for path in (ROOT / "protocols").glob("*.yaml") if path.stem not in LIKE_OTHERS)
SHARE_OF_COMPLETE, SHARE_OF_TINY, SHARE_OF_SHIPPED = 8, 16, 300
"""One case of so many is asked; another one of each file's cases wherever the file changes. All of them: 1, 1, 1 (half an hour)."""


def chosen(path: Path, one_of: int) -> list[Case]:
    every = list(faults(yaml.safe_load(path.read_text(encoding="utf-8"))))
    return random.Random(path.stem).sample(every, len(every) // one_of)


def key_of(case: Case) -> str:
    return ".".join(part for part in case.place if isinstance(part, str))


def planned(file: Path, folder: Path) -> Answer:
    places = ("--results", str(folder / "results"), "--data-root", str(folder / "data"))
    return ask("--protocol", str(file), "--plan", "--workers", "1", *places)


def written(folder: Path, name: str, text: str) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def memory() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


# Protocols --------------------------------------------------------------------------------------------------------------


def test_the_complete_protocol_is_complete_and_right(tmp_path: Path) -> None:
    """A new key of the schema must be added to it, and so is tried below."""
    content = yaml.safe_load(COMPLETE.read_text(encoding="utf-8"))
    sections: dict[tuple[str, ...], type[BaseModel]] = {(): Protocol, ("data",): Data, ("augment",): Augment, ("sessions",): Sessions}
    sections |= {("backbone",): Backbone, ("backbone", "weights"): Weights, ("recipes", "paper"): Recipe, ("canonical",): Canonical}
    for path, model in sections.items():
        section = content
        for part in path:
            section = section[part]
        left_out = {Backbone: {"source"}, Data: {"features"}}.get(model, set())  # filled in by the loader; in place of images
        assert set(section) == set(model.model_fields) - left_out
    assert set(SENSIBLE) <= {".".join(part for part in place if isinstance(part, str)) for place in places(content)}
    assert planned(COMPLETE, tmp_path).status == 0


def test_every_key_wrong_in_every_way(tmp_path: Path) -> None:
    """Refused with file and key, or accepted because it makes sense."""
    before, wrong = memory(), []
    for case in chosen(COMPLETE, SHARE_OF_COMPLETE):
        answer = planned(written(tmp_path, "complete", case.text), tmp_path)
        fault = "" if answer.status == 0 else answer.fault(case.key, "complete.yaml: " if len(case.place) < 2 else case.key)
        if answer.status == 0 and case.what not in SENSIBLE.get(key_of(case), set()):
            fault = "accepted"
        if fault:
            wrong.append(f"{case.id}: {fault}")
    assert wrong == []
    assert memory() - before < 500 * 1024


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_protocols_with_one_fault(path: Path, tmp_path: Path) -> None:
    for case in chosen(path, SHARE_OF_SHIPPED):
        answer = planned(written(tmp_path, path.stem, case.text), tmp_path)
        assert answer.status == 0 or answer.fault(path.stem) == "", case.id


def test_what_is_accepted_is_also_checked_against_the_data(data_root: Path, tmp_path: Path) -> None:
    """Digits, of which there are ten classes of about 120 images."""
    refused = 0
    for case in chosen(TINY, SHARE_OF_TINY):
        file = written(tmp_path, "tiny", case.text)
        with time_limit(30):
            try:
                protocol = load_protocol(str(file))
                request = make_request(protocol, None, None, None, "base_only", [])
                check_before_training(protocol, identities(request), Settings(data_root, tmp_path / "results", "cpu"))
            except USER_ERRORS as error:
                refused += 1
                assert str(error).isprintable(), case.id
    assert refused > 30


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"sessions": {"base": 6, "way": 1, "count": 10**9, "shots": 5}}, "sessions.count"),
        ({"sessions": {"base": 90_000, "way": 1000, "count": 1000, "shots": 5}}, "sessions"),
        ({"seeds": "0-999999"}, "seeds"),
        ({"seeds": ",".join(f"{n}000-{n}999" for n in range(20))}, "seeds"),
        ({"seeds": "٣"}, "seeds"),
        ({"title": "a\nb"}, "title"),
        ({"printed": "cub2000"}, "printed: no protocol named 'cub2000'. Did you mean 'cub200'"),
        ({"title": LONG}, "title"),
        ({"notes": LONG}, "notes"),
        ({"backbone": {"name": "conv9"}}, "There are: conv2"),
        ({"backbone": {"name": "mlp"}}, "data.size 8"),
        ({"backbone": {"name": "conv4"}}, "data.size 8"),
        ({"backbone": {"name": "resnet18"}}, "data.channels 1"),
        ({"backbone": {"name": "conv2", "pretrained": "imagenet"}}, "data.channels"),
        ({"augment": {"pad": 8}}, "augment.pad"),
        ({"augment": {"cutout": 9}}, "augment.cutout is 9, but must be at most data.size, 8"),
        ({"augment": {"grey": 0.2}}, "augment.grey needs data.channels: 3"),
        ({"augment": {"hue": 0.1}}, "augment.hue needs data.channels: 3"),
        ({"augment": {"pad": 1, "scale": [0.2, 1]}}, "pad must be 0 beside scale"),
        ({"augment": {"jitter_p": 0.8}}, "jitter_p needs jitter or hue"),
        ({"methods": ["base_only", "lecnt"]}, "methods: no method named 'lecnt'. Did you mean 'lecnet'"),
        ({"methods": ["base_only", "base_only"]}, "stands twice"),
        ({"methods": []}, "methods"),
        ({"without": ["lecnt"]}, "without: no method"),
        ({"without": of_group("")}, "without: leaves no method"),
        ({"splits": ["paper", "paper"]}, "stands twice"),
        ({"data": {"mean": [123.7]}}, "data.mean"),
        ({"data": {"std": [1e-30]}}, "data.std"),
        ({"recipes": {"other": {"epochs": 1, "lr": 0.1, "methods": {"lecnt": {}}}}}, "recipe other, methods.lecnt"),
        ({"recipes": {"other": {"epochs": 1, "lr": 0.1, "methods": {"lecnet": {"epochs": -1}}}}}, "recipe other: epochs"),
        ({"recipes": {"other": {"epochs": 1, "lr": 0.1, "bases": {"linaer": {}}}}}, "recipe other, bases"),
        ({"recipes": {"o" * 65: {"epochs": 1, "lr": 0.1}}}, "at most 64"),
    ],
    ids=str,
)
def test_what_makes_no_sense_is_refused_before_it_is_tried(changes: dict[str, Any], named: str, tmp_path: Path) -> None:
    content = yaml.safe_load(TINY.read_text(encoding="utf-8"))
    for key, value in changes.items():
        content[key] = {**content[key], **value} if isinstance(value, dict) and key in content and key != "backbone" else value
    answer = planned(written(tmp_path, "tiny", yaml.safe_dump(content)), tmp_path)
    assert answer.fault(named) == ""


LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefghi", "bcdefghij", strict=True)
)
MERGES = "a: &a {k: 1, l: 2}\n" + "".join(
    f"b{n}: &b{n} {{<<: [*{'b' + str(n - 1) if n else 'a'}, *{'b' + str(n - 1) if n else 'a'}]}}\n" for n in range(40)
)


@pytest.mark.parametrize(
    "text",
    [
        LAUGHS,
        LAUGHS + "title: *j\n",
        MERGES,
        "".join(f"k{n}: 1\n" for n in range(2000)),
        "a: &a 1\nb: [" + "*a, " * 200 + "]",
        "x" * (2**20 + 1),
        "[" * 1000,
        "? " * 1000,
        "a: 0x" + "f" * 5000,
        "--- 1\n--- 2\n",
        "!!timestamp x",
        '!!float ""',
        "!!omap [1]",
        "{? {a: 1} : 2}",
    ],
    ids=lambda text: text[:12],
)
def test_yaml_that_unfolds(text: str, tmp_path: Path) -> None:
    before = memory()
    assert planned(written(tmp_path, "mine", text), tmp_path).fault("mine.yaml") == ""
    assert memory() - before < 500 * 1024


def test_mappings_may_still_be_shared() -> None:
    """Merge keys, also of a mapping that merges another and overrides it."""
    assert parse_yaml("a: &a {k: 1, l: 2}\nb: &b {<<: *a, k: 3}\nc: {<<: *b, l: 4}")["c"] == {"k": 3, "l": 4}


@pytest.mark.parametrize(
    ("text", "value"), [("1e-5", 1e-5), ("1e-05", 1e-5), ("2E+3", 2000.0), ("'1e-5'", "1e-5"), ("12e45", "12e45"), ("e-5", "e-5")]
)
def test_a_number_with_an_exponent_is_one_without_a_point_too(text: str, value: object) -> None:
    """Deep in `--set avalanche.options={ewc_lambda: 1e-5}` it stayed text. Digits of a hash stay text, and what stands in quotes."""
    assert parse_yaml(f"a: {{b: {text}}}") == {"a": {"b": value}}


@pytest.mark.parametrize("kind", ["pipe", "folder", "link to itself", "long name", "line break"])
def test_protocol_files_that_are_none(kind: str, tmp_path: Path) -> None:
    file = tmp_path / {"long name": f"{LONG}.yaml", "line break": "a\nb.yaml"}.get(kind, "mine.yaml")
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "folder":
        file.mkdir()
    elif kind == "link to itself":
        file.symlink_to(file)
    answer = planned(file, tmp_path)
    assert answer.status == 2
    assert len(answer.err.splitlines()) == 1


# Published rows ---------------------------------------------------------------------------------------------------------

PRINTED = {"source": "x", "backbone": "b", "pretrained": "imagenet", "split": "paper", "seeds": "1", "selection": "last"}
PRINTED |= {"note": "none", "misprint": "none"}
ROW = PRINTED | {"method": "ft_cnn", "presets": ["topic"], "label": "Ft", "accuracy": [1.0, 2.0, 3.0], "tolerance": 1.0, "base": "cosine"}
ROW |= {"carried": 1.5}
STUDY = PRINTED | {"protocol": "tiny", "values": {"SA": 31.96, "NE": 28.41}}
ANY_LINE = {"words", "number as text", "non-ASCII", "absolute", "backslashes", "home", "in and out", "parent"}
PRINTED_SENSIBLE = {key: ANY_LINE for key in ("source", "seeds", "selection")}
PRINTED_SENSIBLE |= {key: ANY_LINE | {"missing", "empty"} for key in ("note", "misprint")}
PRINTED_SENSIBLE |= {"pretrained": {"missing", "null"}, "backbone": {"number as text"}}
ROW_SENSIBLE = PRINTED_SENSIBLE | {
    "presets": {"missing", "empty list"},
    "base": {"missing", "null"},
    "label": ANY_LINE,
    "accuracy": {"fraction", "number as text", "zero", "null"},
    "tolerance": {"missing", "null", "number as text", "fraction"},
    "carried": {"missing", "null", "number as text", "fraction", "zero"},
}
STUDY_SENSIBLE = PRINTED_SENSIBLE | {key: {"missing", "fraction", "zero"} for key in ("values.SA", "values.NE")}
STUDY_SENSIBLE |= {"values": {"mapping"}, "values.zzz": {"stranger"}, "values.SAx": {"misspelt"}, "values.NEx": {"misspelt"}}


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Published rows of a protocol `tiny` that has three sessions, in a folder of this test's own."""
    (tmp_path / "published").mkdir()
    written(tmp_path, "tiny", TINY.read_text(encoding="utf-8"))
    monkeypatch.setattr(loading, "FOLDER", tmp_path)
    monkeypatch.setattr(printed, "PUBLISHED", tmp_path / "published")
    return tmp_path / "published" / "tiny.yaml"


def test_every_key_of_a_published_row_wrong_in_every_way(published: Path) -> None:
    assert set(ROW) == set(PublishedRow.model_fields)
    published.write_text(yaml.safe_dump([ROW]))
    assert load_published("tiny")[0].accuracy == (1.0, 2.0, 3.0)
    wrong = []
    for case in faults([ROW]):
        published.write_text(case.text)
        sensible = case.what in ROW_SENSIBLE.get(key_of(case), set()) and len(case.place) > 1
        sensible |= len(case.place) == 1 and case.what in ("missing", "empty list")
        try:
            check_published("tiny")
            fault = "" if sensible else "accepted"
        except ProtocolError as error:
            fault = Answer(2, "", str(error)).fault(case.key)
        if fault:
            wrong.append(f"{case.id}: {fault}")
    assert wrong == []


def test_every_key_of_a_printed_study_wrong_in_every_way(published: Path) -> None:
    assert set(STUDY) == set(PublishedStudy.model_fields)
    file = published.parent / "studies" / "mine.yaml"
    file.parent.mkdir()
    wrong = []
    for case in faults(STUDY):
        file.write_text(case.text)
        try:
            load_published_study("mine")
            fault = "" if case.what in STUDY_SENSIBLE.get(key_of(case), set()) else "accepted"
        except ProtocolError as error:
            fault = Answer(2, "", str(error)).fault(case.key)
        if fault:
            wrong.append(f"{case.id}: {fault}")
    assert wrong == []


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"accuracy": [-3, 1, 1]}, "0.accuracy.0: must be at least 0"),
        ({"accuracy": [1, 140, 1]}, "0.accuracy.1: must be at most 100"),
        ({"accuracy": [1, 1, math.nan]}, "0.accuracy.2: must be a finite number"),
        ({"accuracy": [1, 1]}, "0.accuracy: must have 3 values"),
        ({"accuracy": []}, "0.accuracy"),
        ({"split": "lec"}, "0.split: must be one of paper, canonical-order, unknown"),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", ["--plan", "--report-only"])
def test_published_rows_that_do_not_fit(change: dict[str, Any], named: str, mode: str, published: Path, tmp_path: Path) -> None:
    published.write_text(yaml.safe_dump([{**ROW, **change}]))
    assert ask("--protocol", "tiny", mode, "--results", str(tmp_path / "out")).fault(named) == ""


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"method": "ft_cn"}, "0.method: no method named 'ft_cn'. Did you mean 'ft_cnn'"),
        ({"presets": ["topci"]}, "0.presets: no preset named 'topci'. Did you mean 'topic'"),
    ],
    ids=str,
)
def test_published_rows_of_methods_that_are_not_there(change: dict[str, Any], named: str, published: Path, tmp_path: Path) -> None:
    """Refused before anything is run. A report looks at no method, so that none can stop it."""
    published.write_text(yaml.safe_dump([{**ROW, **change}]))
    assert ask("--protocol", "tiny", "--plan", "--results", str(tmp_path / "out")).fault(named) == ""
    assert ask("--protocol", "tiny", "--report-only", "--results", str(tmp_path / "out")).status == 0
