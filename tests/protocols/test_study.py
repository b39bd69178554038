"""Studies as files: what they may say, and that those shipped say what the paper varies."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from protocols import ProtocolError, load_published_study
from protocols.study import load_study, study_names

GOOD: dict[str, Any] = {
    "name": "mine",
    "title": "Mine",
    "reference": "slow",
    "variants": [
        {"label": "slow", "method": "ft_cnn"},
        {"label": "0.5", "method": "ft_cnn", "set": {"lr": 0.5}},
    ],
}


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., str]:
    def write(**changes: Any) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(yaml.safe_dump({**GOOD, **changes}))
        return str(path)

    return write


def test_a_users_study_needs_no_code(write: Callable[..., str]) -> None:
    study = load_study(write())
    assert [variant.label for variant in study.variants] == ["slow", "0.5"]
    assert study.variants[1].set == {"lr": 0.5}
    assert study.figures == ("accuracy",)
    assert study.probes == ()


def test_figures_say_what_is_to_be_looked_at(write: Callable[..., str]) -> None:
    study = load_study(write(figures=["fit", "sessions", "gates", "drift", "tsne", "hm"], axis="lr"))
    assert study.probes == ("fit", "epochs", "drift", "tsne")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"reference": "slwo"}, "no variant named 'slwo'. Did you mean 'slow'?"),
        ({"also_against": ["slwo"]}, "also_against: no variant named 'slwo'. Did you mean 'slow'?"),
        ({"also_against": ["slow"]}, "'slow' stands twice"),
        ({"referense": "slow"}, "unknown key 'referense'. Did you mean 'reference'?"),
        ({"variants": []}, "variants: must have at least 1 item"),
        ({"variants": [GOOD["variants"][0]] * 2}, "'slow' stands twice"),
        ({"variants": [{"label": "slow"}]}, "variants.0.method: is required"),
        ({"figures": ["drift", "drift"]}, "stands twice"),
        ({"figures": ["fit"]}, "axis must be given with figures fit"),
        ({"seeds": "0-"}, "seeds"),
        ({"name": "other"}, "must be 'mine'"),
        ({"title": "two\nlines"}, "title"),
    ],
)
def test_a_bad_study_is_told_by_file_and_key(write: Callable[..., str], changes: dict[str, Any], said: str) -> None:
    path = write(**changes)
    with pytest.raises(ProtocolError) as error:
        load_study(path)
    assert str(error.value).startswith(path)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_no_such_study() -> None:
    with pytest.raises(ProtocolError, match=r"no study named 'gama'\. Did you mean 'gamma'\?"):
        load_study("gama")
    with pytest.raises(ProtocolError, match="no such file"):
        load_study("nowhere/mine.yaml")


def test_a_study_is_a_mapping(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("- gamma\n")
    with pytest.raises(ProtocolError, match="a study is a mapping"):
        load_study(str(tmp_path / "mine.yaml"))


@pytest.mark.parametrize("name", study_names())
def test_shipped_studies(name: str) -> None:
    study = load_study(name)
    assert study.claim
    printed = load_published_study(name)
    labels = [variant.label for variant in study.variants]
    assert printed is None or set(printed.values) <= set(labels), "a printed figure that stands beside no variant"


def test_the_papers_studies_are_there() -> None:
    assert {"components", "layers", "gamma", "tau", "gates", "drift", "tsne"} <= set(study_names())
    gammas = [variant.set.get("gamma", 0.8) for variant in load_study("gamma").variants]
    assert gammas == [0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6]
    assert [variant.label for variant in load_study("gamma").variants] == [f"{gamma:.1f}" for gamma in gammas]
    for variant in load_study("tau").variants:
        fixed = {} if variant.label == "learned" else {"tau_init": float(variant.label), "tau_learns": False}
        assert variant.set == fixed
