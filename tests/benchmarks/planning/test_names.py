"""From a command line to runs: seeds, names of methods, recipes and splits."""

from __future__ import annotations

import pytest

from benchmarks.planning.plan import make_request, of_group, parse_methods, parse_seeds
from benchmarks.system.errors import UsageError
from methods.contract.registry import MethodError
from protocols.schema import Protocol


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("3", (3,)),
        ("0-4", (0, 1, 2, 3, 4)),
        ("0,2,5-7", (0, 2, 5, 6, 7)),
        ("7,1-3,2", (1, 2, 3, 7)),
        (" 1 , 2 ", (1, 2)),
        ("4-4", (4,)),
        ("007", (7,)),
        ("0-999", tuple(range(1000))),
    ],
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert parse_seeds(text) == seeds


BAD_SEEDS = [
    "",
    ",",
    "1,",
    "a",
    "1-",
    "-1",
    "1-2-3",
    "3-1",
    "1.5",
    "0x1",
    "1 2",
    "0-1000",
    "0-1000000000",
    "²",
    "0-" + "9" * 30,
    "1" * 5000,
]


@pytest.mark.parametrize("text", BAD_SEEDS, ids=lambda text: text[:20])
def test_bad_seeds(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_seeds(text)
    assert type(caught.value) is UsageError
    assert "\n" not in str(caught.value)
    assert "seeds" in str(caught.value)


def test_seeds_that_run_backwards_are_told_so() -> None:
    with pytest.raises(UsageError, match="3-1 runs backwards"):
        parse_seeds("0,3-1")


# Names ------------------------------------------------------------------------------------------------------------------


def test_methods_and_presets(tiny: Protocol) -> None:
    assert parse_methods("lecnet", tiny) == (("lecnet", "paper", None),), "the first preset is the default"
    assert parse_methods("lecnet:code, base_only", tiny) == (("lecnet", "code", None), ("base_only", "default", None))
    assert parse_methods("lecnet,lecnet:paper,lecnet:code", tiny) == (("lecnet", "paper", None), ("lecnet", "code", None)), "each once"


def test_without_methods_the_protocols_list_or_all(tiny: Protocol) -> None:
    assert [name for name, *_ in parse_methods(None, tiny)] == [name for name in of_group("") if name not in FULL_DATA]
    chosen = tiny.model_copy(update={"methods": ("proto:norm_mean", "base_only")})
    assert parse_methods(None, chosen) == (("proto", "norm_mean", None), ("base_only", "default", None))


def test_a_group_takes_part_when_asked(tiny: Protocol) -> None:
    modern = of_group("modern")
    assert "teen" in modern and not set(modern) & set(of_group(""))
    assert [name for name, *_ in parse_methods("modern,proto", tiny)] == [*modern, "proto"]
    assert parse_methods("teen, modern", tiny)[0] == ("teen", "default", None)


def test_who_is_left_out_by_default_can_still_be_asked_for(tiny: Protocol) -> None:
    """Protocol.without: the methods of another protocol's table."""
    protocol = tiny.model_copy(update={"without": ("topic", "si")})
    assert [name for name, *_ in parse_methods(None, protocol)] == [name for name in of_group("") if name not in ("topic", *FULL_DATA)]
    assert parse_methods("der,si", protocol) == (("der", "no_buffer", None), ("si", "mammoth", None))
    listed = protocol.model_copy(update={"methods": ("si", "proto")})
    assert [name for name, *_ in parse_methods(None, listed)] == ["si", "proto"], "a list says itself who takes part"


FULL_DATA = ("avalanche", "der", "lwf", "si")


def test_methods_for_full_data_take_part_in_few_shots_only_when_asked(tiny: Protocol) -> None:
    """A user's own protocol has no `without`."""
    everyone = of_group("")
    assert [name for name, *_ in parse_methods(None, tiny)] == [name for name in everyone if name not in FULL_DATA]
    whole = tiny.model_copy(update={"sessions": tiny.sessions.model_copy(update={"shots": "all"})})
    assert [name for name, *_ in parse_methods(None, whole)] == everyone
    assert [name for name, *_ in parse_methods("si,proto", tiny)] == ["si", "proto"]


@pytest.mark.parametrize("methods", [None, "base_only"])
@pytest.mark.parametrize(("name", "said"), [("derr", "Did you mean 'der'"), ("der:buffer200", "There are: ")])
def test_leaving_out_what_is_not_there_is_an_error(name: str, said: str, methods: str | None, tiny: Protocol) -> None:
    with pytest.raises(MethodError, match=said) as caught:
        parse_methods(methods, tiny.model_copy(update={"without": (name,)}))
    assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    ("text", "near"),
    [("lecnt", "'lecnet'"), ("base-only", "'base_only'"), ("lecnet:papr", "'paper'"), ("proto:norm-mean", "'norm_mean'")],
)
def test_a_wrong_name_is_answered_with_the_nearest(text: str, near: str, tiny: Protocol) -> None:
    with pytest.raises(MethodError, match=f"Did you mean {near}") as caught:
        parse_methods(text, tiny)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["../lecnet", "strategy", "registry", "__init__", "lecnet:paper:code", ":paper"])
def test_what_is_no_method(text: str, tiny: Protocol) -> None:
    with pytest.raises(MethodError, match="There are: "):
        parse_methods(text, tiny)


@pytest.mark.parametrize("text", ["", " ", "lecnet,", "lecnet,,proto"])
def test_an_empty_name_is_none(text: str, tiny: Protocol) -> None:
    with pytest.raises(UsageError, match="a name is empty"):
        parse_methods(text, tiny)


def test_recipes_and_splits(tiny: Protocol) -> None:
    request = make_request(tiny, None, None, None, "base_only", [])
    assert (request.recipe, request.split, request.seeds) == ("fast", "paper", (0, 1))
    assert request.settings.epochs == 2
    assert make_request(tiny, "fast", "canonical-order", "5", "base_only", []).split == "canonical-order"
    with pytest.raises(UsageError, match=r"'fsat'\. Did you mean 'fast'\? There are: fast\."):
        make_request(tiny, "fsat", None, None, None, [])
    with pytest.raises(UsageError, match=r"'canonical-ordr'\. Did you mean 'canonical-order'\?"):
        make_request(tiny, None, "canonical-ordr", None, None, [])
    with pytest.raises(UsageError, match="lec"):
        make_request(tiny, None, "lec", None, None, [])


@pytest.mark.parametrize(("recipe", "split", "seeds"), [("", None, None), (None, "", None), (None, None, "")])
def test_an_empty_option_is_not_the_default(recipe: str | None, split: str | None, seeds: str | None, tiny: Protocol) -> None:
    """`--seeds "$SEEDS"` with the variable unset must not start ten seeds."""
    with pytest.raises(UsageError):
        make_request(tiny, recipe, split, seeds, "base_only", [])
