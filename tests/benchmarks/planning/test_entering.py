"""What settings alone rule out is refused before anything is trained, all of it at once, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.planning.plan import identities, make_request
from benchmarks.running.entering import refuse_impossible
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from methods.contract.loading import load_method
from methods.contract.registry import method_names, read_entry
from protocols.schema import Protocol
from tests.conftest import TINY
from tests.methods.runs import identity_of
from tests.trust.asking import ask

OWN = '''"""Somebody's own."""

import numpy as np

from methods.contract import SessionStrategy


class Own(SessionStrategy):
    title = "Own"

    @classmethod
    def budget(cls, config, sessions):
        {budget}

    def adopt(self, network):
        super().adopt(network)
        {adopts}
'''


@pytest.fixture
def refused(tiny: Protocol, settings: Settings) -> Callable[..., str]:
    """refused(methods, *sets, **of_recipe): why these cannot run on the tiny protocol; '' if they can."""

    def refused(methods: str, *sets: str, **of_recipe: Any) -> str:
        recipes = {name: recipe.model_copy(update=of_recipe) for name, recipe in tiny.recipes.items()}
        protocol = tiny.model_copy(update={"recipes": recipes})
        try:
            refuse_impossible(protocol, identities(make_request(protocol, None, None, "0-1", methods, list(sets))), settings)
        except UsageError as error:
            return str(error)
        return ""

    return refused


@pytest.mark.parametrize(
    ("methods", "sets", "said"),
    [
        ("cec@linear", [], "cec:default@linear: cec: its base must have attention"),
        ("si@linear", [], "si:mammoth@linear: si: its base must have a path integral"),
        ("orco@structure", [], "orco:default@structure: orco: its base must have a projector and a target for each class"),
        ("adbs", ["cosine.margins=false", "cosine.margin_rate=1"], "]: adbs: its base must have margins"),
        ("orco", ["targets.number=5"], "orco:default[targets.number=5]: base kind targets: 10 classes need as many targets"),
        ("fecam@etf", [], "fecam:default@etf: fecam: the head of its base does not read the rows"),
        ("proto@targets", ["proto.base_rows=trained"], "proto: the head of its base does not read the rows"),
        ("ft_cnn@cosface", [], "ft_cnn:topic@cosface: the head of its base has targets of base classes alone"),
        ("ncm:topic@structure", [], "the head of its base has targets of base classes alone"),
        ("nc_fscil@cosface", [], "the head of its base has targets of base classes alone"),
        ("avalanche:Naive@cosface", [], "the head of its base has targets of base classes alone"),
        ("lwf@etf", [], "lwf: the head of its base does not read the rows that the warm-up would train"),
        ("lecnet@etf", [], "lecnet: the head of its base has parts of its own"),
        ("lecnet@rotations", [], "lecnet: the head of its base has parts of its own"),
        ("avalanche:Naive", ["avalanche.milestones=[3]"], "avalanche:Naive: milestones has no effect"),
        ("avalanche:Naive", ["avalanche.batch_norm=eval"], "avalanche:Naive: batch_norm has no effect"),
        ("avalanche:EWC", ["avalanche.options={foo: 1}"], "avalanche:EWC: options {'foo': 1"),
    ],
)
def test_a_base_that_no_session_can_stand_on(methods: str, sets: list[str], said: str, refused: Callable[..., str]) -> None:
    assert said in refused(methods, *sets)


@pytest.mark.parametrize("trains", ["none", "last_block"])
def test_a_stock_strategy_cannot_leave_a_backbone_as_it_came(trains: str, refused: Callable[..., str]) -> None:
    """Its batch norm and its weights would move where the page says that no session trains them."""
    assert f"avalanche:Naive: a stock strategy trains the whole backbone, but trains is {trains}" in refused(
        "avalanche:Naive", trains=trains
    )


@pytest.mark.parametrize("trains", ["none", "last_block"])
@pytest.mark.parametrize(("method", "kind", "plain"), [("cec", "episodes", ""), ("alice", "cosface", "pairs"), ("nc_fscil", "etf", "mix")])
def test_outputs_of_a_frozen_part_are_neither_turned_nor_mixed(
    method: str, kind: str, plain: str, trains: str, refused: Callable[..., str]
) -> None:
    """A turned map is not the map of a turned image, though below the last block nothing would fail."""
    asked = [f"{kind}.mix=true"] if plain == "mix" else []
    assert f"base kind {kind} changes images; it goes with trains all only" in refused(method, *asked, trains=trains)
    assert not plain or refused(method, f"{kind}.{plain}=false", trains=trains) == ""


@pytest.mark.parametrize("start", [0, 1])
def test_maps_inside_a_frozen_part_are_not_mixed_in_a_later_epoch_either(start: int, refused: Callable[..., str]) -> None:
    """The trial is the first epoch's; the mixing of a later one ended in torch's words there."""
    asked = f"virtual.start={start}"
    assert "base kind virtual changes images; it goes with trains all only" in refused("fact", asked, trains="last_block")
    assert refused("fact", asked) == ""


def test_all_that_are_refused_are_named_at_once_and_once(refused: Callable[..., str]) -> None:
    said = refused("proto,closer,s3c,base_only", trains="none", stored_views=2)
    assert said.startswith("tiny: cannot be run, leave out or change closer:default: base kind closer shows 3 views of an image")
    assert said.count("base kind") == 2 and "; s3c:default: base kind rotations changes images" in said


def test_a_method_that_trains_layers_needs_some(refused: Callable[..., str]) -> None:
    assert "warp:default: warp: it trains the layers of the network" in refused("warp,proto", trains="none", stored_views=2)
    assert refused("warp,proto", trains="last_block", stored_views=2) == ""


def test_warp_refuses_a_network_without_convolutions_to_rotate(tiny: Protocol, settings: Settings) -> None:
    """It said so in torch's words, "expected a non-empty list of Tensors", after the base session."""
    changed = {"data": tiny.data.model_copy(update={"size": 28}), "backbone": tiny.backbone.model_copy(update={"name": "mlp"})}
    protocol = tiny.model_copy(update=changed)
    with pytest.raises(UsageError, match="warp:default: warp: it rotates convolutions, and the last block of this network has none"):
        refuse_impossible(protocol, [identity_of(protocol, "warp")], settings)


def test_a_head_without_room_for_classes_to_come_stops_no_method_that_does_without(refused: Callable[..., str]) -> None:
    """Whose scores are of its own rows, whose targets are its own, and who predicts base classes alone; and fixed targets have room."""
    runs = "proto@cosface,base_only@cosface,alice,alice@structure,concm,warp@structure,ft_cnn@etf,icarl@targets,orco@etf,lecnet@cosine"
    assert refused(runs) == ""


def test_no_shipped_variant_is_refused(refused: Callable[..., str]) -> None:
    entries = [read_entry(name) for name in method_names()]
    assert refused(",".join(f"{entry.name}:{preset}" for entry in entries if entry.needs != "texts" for preset in entry.presets)) == ""


@pytest.fixture
def own(tiny: Protocol, settings: Settings, tmp_path: Path, methods_in: Callable[[Path], None]) -> Callable[..., str]:
    """own(adopts, budget, **of_recipe): why a method with such code cannot run; '' if it may be tried."""

    def own(adopts: str, budget: str = "return 0", **of_recipe: Any) -> str:
        (tmp_path / "own").mkdir()
        (tmp_path / "own" / "own.py").write_text(OWN.format(adopts=adopts, budget=budget))
        methods_in(tmp_path / "own")
        recipes = {name: recipe.model_copy(update={"methods": {}, **of_recipe}) for name, recipe in tiny.recipes.items()}
        bare = tiny.model_copy(update={"recipes": recipes})
        try:
            refuse_impossible(bare, [identity_of(bare, "own")], settings)
        except UsageError as error:
            return str(error)
        return ""

    return own


@pytest.mark.parametrize(
    ("adopts", "budget"),
    [
        ("self.context.images.plain(self.own_indices)", "return 0"),
        ("np.linalg.inv(np.zeros((2, 2)))", "return 0"),
        ("self.context.untrained_network()", "return 0"),
        ("pass", "return {}['none']"),
        ("raise SystemExit", "return 0"),
    ],
)
def test_an_own_method_is_left_to_its_run_where_it_does_not_refuse_itself(adopts: str, budget: str, own: Callable[..., str]) -> None:
    """Images are not there yet, and numbers that nobody has trained may be anything to a library; a run fails alone."""
    assert own(adopts, budget) == ""


def test_its_own_word_is_taken(own: Callable[..., str]) -> None:
    assert own("raise ValueError('own: not on this network')").endswith("leave out or change own:default: own: not on this network")


def test_it_sees_what_the_recipe_says(own: Callable[..., str]) -> None:
    code = "assert self.context.trains == 'none'; raise ValueError('seen')"
    assert own(code, trains="none").endswith("own:default: seen")


def test_the_trial_leaves_nothing_behind(own: Callable[..., str], tmp_path: Path) -> None:
    """Its run is told of that, as ever: the trial does not hide it."""
    before = torch.random.get_rng_state()
    assert own(f"type(self).seen = 1; import torch; torch.rand(3); open({str(tmp_path / 'left')!r}, 'w')") == ""
    assert not (tmp_path / "left").exists() and not hasattr(load_method("own"), "seen")
    assert torch.equal(torch.random.get_rng_state(), before)


def test_recipes_are_asked_each_for_itself(tiny: Protocol, settings: Settings) -> None:
    fast = tiny.recipes["fast"]
    recipes = {
        "two": fast.model_copy(update={"trains": "none", "stored_views": 2}),
        "all": fast,
        "one": fast.model_copy(update={"trains": "none", "stored_views": 1}),
    }
    protocol = tiny.model_copy(update={"recipes": recipes})
    runs = [identities(make_request(protocol, recipe, None, "0", "proto@closer", []))[0] for recipe in recipes]
    with pytest.raises(UsageError) as refused:
        refuse_impossible(protocol, runs, settings)
    said = str(refused.value)
    assert "proto:raw_mean@closer under recipe two: " in said and "stored_views is 2" in said
    assert "proto:raw_mean@closer under recipe one: " in said and "recipe all" not in said


@pytest.mark.parametrize("plan", [[], ["--plan"]])
def test_the_command_refuses_it_with_a_plan_and_without(plan: list[str], tmp_path: Path, data_root: Path) -> None:
    place = ["--protocol", str(TINY), "--results", str(tmp_path / "results"), "--data-root", str(data_root)]
    asked = ask(*place, "--methods", "cec@linear", "--seeds", "0", *plan)
    assert asked.status == 2 and "cec: its base must have attention" in asked.err
    assert not list(tmp_path.rglob("*.safetensors"))
