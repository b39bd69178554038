"""Recipes that begin as another one of their protocol."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from protocols import load_protocol
from protocols.messages import explain
from protocols.schema import Protocol, Recipe

PAPER = {"epochs": 30, "lr": 0.1, "milestones": [20], "bases": {"etf": {"width": 64}}, "methods": {"topic": {"lr": 0.01, "epochs": 5}}}


def recipes(**more: Any) -> dict[str, Recipe]:
    content = load_protocol("digits").model_dump(mode="json")
    return Protocol.model_validate({**content, "recipe": "paper", "recipes": {"paper": PAPER, **more}}).recipes


def test_what_is_not_given_is_the_other_ones() -> None:
    short = recipes(short={"like": "paper", "epochs": 3, "milestones": []})["short"]
    assert short == Recipe(**{**PAPER, "epochs": 3, "milestones": []})


def test_entries_of_bases_and_methods_are_merged_by_name_and_lists_replaced() -> None:
    changed = recipes(other={"like": "paper", "bases": {"etf": {"lr": 1.0}, "closer": {}}, "methods": {"topic": {"epochs": 9}}})["other"]
    assert changed.bases == {"etf": {"width": 64, "lr": 1.0}, "closer": {}}
    assert changed.methods == {"topic": {"lr": 0.01, "epochs": 9}}
    assert recipes(other={"like": "paper", "bases": {"etf": None}})["other"].bases == {}
    assert recipes(other={"like": "bare", "bases": {"etf": {}}}, bare={"epochs": 1, "lr": 1.0})["other"].bases == {"etf": {}}
    assert recipes(other={"like": "paper", "milestones": [1, 2]})["other"].milestones == (1, 2)


def test_it_may_be_like_one_that_is_like_another_and_stand_before_it() -> None:
    found = recipes(c={"like": "b", "epochs": 25}, b={"like": "paper", "lr": 0.2})
    assert (found["c"].lr, found["c"].epochs, found["c"].bases) == (0.2, 25, PAPER["bases"])


def test_it_may_be_like_one_of_a_shipped_protocol() -> None:
    """A user's CUB on other weights: `like: cub200/paper`."""
    theirs = load_protocol("cub200").recipes["paper"]
    mine = recipes(mine={"like": "cub200/paper", "epochs": 5})["mine"]
    assert mine == Recipe(**{**theirs.model_dump(), "epochs": 5})


def test_a_name_may_be_used_in_both_protocols() -> None:
    """The shipped recipe is like its own `paper`: that is no circle."""
    found = recipes(paper={"like": "digits/one-base", "epochs": 4})["paper"]
    assert found == load_protocol("digits").recipes["one-base"].model_copy(update={"epochs": 4})


def test_a_protocol_that_was_read_says_all_itself() -> None:
    """So that it may be written anew, without what is a default, and read where the other recipe is not."""
    found = recipes(same={"like": "paper"})
    assert found["same"] == found["paper"] and found["same"].like is None
    assert "like" not in found["same"].shared.model_dump()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"a": {"like": "papr"}}, "a.like: no recipe named 'papr'. Did you mean 'paper'?"),
        ({"a": {"like": "b"}, "b": {"like": "a"}}, "it leads back to itself (a -> b -> a)"),
        ({"a": {"like": "a"}}, "a.like: it leads back to itself (a -> a)"),
        ({"a": {"like": "paper/paper"}}, "a.like: no protocol named 'paper'."),
        ({"a": {"like": "cub200/papr"}}, "a.like: no recipe named 'papr'. Did you mean 'paper'?"),
        ({"a": {"like": "../cub200/paper"}}, "a.like: no protocol named '../cub200'"),
        ({"a": {"like": 3}}, "a.like: must be the name of a recipe, or PROTOCOL/RECIPE of a shipped one (got 3)"),
        ({"a": {"like": ["paper"], "epochs": 1, "lr": 0.1}}, "a.like: must be the name of a recipe"),
        (
            {"a": {"like": "paper", "bases": {"eft": None}}},
            "a.bases: null leaves out what the other recipe has, so it cannot leave out 'eft', which that one has not. Did you",
        ),
        (
            {"a": {"like": "b", "methods": {"topic": None}}, "b": {"epochs": 1, "lr": 1}},
            "a.methods: null leaves out what the other recipe has",
        ),
        ({5: {"like": "paper"}, "a": {"like": "5"}}, "must be text; put it in quotes (got 5)"),
        ({"a": {"like": "paper", "epoch": 3}}, "unknown key 'recipes.a.epoch'. Did you mean 'epochs'?"),
        ({"a": [1], "b": {"like": "a"}}, "recipes.a"),
    ],
)
def test_what_is_wrong_is_named(more: dict[Any, Any], said: str) -> None:
    content = load_protocol("digits").model_dump(mode="json")
    with pytest.raises(ValidationError) as error:
        Protocol.model_validate({**content, "recipe": "paper", "recipes": {"paper": PAPER, **more}})
    assert said in explain(error.value, Protocol)
