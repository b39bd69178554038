"""What settings alone rule out is refused before anything is trained, all of it at once, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.planning.plan import identities, make_request
from benchmarks.running.entering import refuse_impossible
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from methods.contract.registry import method_names, read_entry
from protocols.schema import Protocol
from tests.conftest import TINY
from tests.methods.runs import identity_of
from tests.trust.asking import ask

OWN = '''"""Somebody's own."""

from methods.contract import SessionStrategy


class Own(SessionStrategy):
    title = "Own"

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
        ("adbs", ["cosine.margins=false"], "adbs:default[cosine.margins=false]: adbs: its base must have margins"),
        ("orco", ["targets.number=5"], "orco:default[targets.number=5]: base kind targets: 10 classes need as many targets"),
        ("avalanche:Naive", ["avalanche.milestones=[3]"], "avalanche:Naive: milestones has no effect"),
        ("avalanche:EWC", ["avalanche.options={foo: 1}"], "avalanche:EWC: options {'foo': 1"),
    ],
)
def test_a_base_that_no_session_can_stand_on(methods: str, sets: list[str], said: str, refused: Callable[..., str]) -> None:
    assert said in refused(methods, *sets)


def test_all_that_are_refused_are_named_at_once_and_once(refused: Callable[..., str]) -> None:
    said = refused("proto,closer,s3c,base_only", trains="none", stored_views=2)
    assert said.startswith("tiny: cannot be run, leave out or change closer:default: base kind closer shows 3 views of an image")
    assert said.count("base kind") == 2 and "; s3c:default: base kind rotations changes images" in said


def test_no_shipped_variant_is_refused(refused: Callable[..., str]) -> None:
    entries = [read_entry(name) for name in method_names()]
    assert refused(",".join(f"{entry.name}:{preset}" for entry in entries if entry.needs != "texts" for preset in entry.presets)) == ""


@pytest.mark.parametrize(
    ("adopts", "passes"),
    [
        ("self.context.images.plain(self.own_indices)", True),
        ("open('records/own', 'w')", True),
        ("type(self).seen = network", True),
        ("raise ValueError('own: not on this network')", False),
    ],
)
def test_an_own_method_is_refused_by_its_own_word_alone(
    adopts: str, passes: bool, tiny: Protocol, settings: Settings, tmp_path: Path, methods_in: Callable[[Path], None]
) -> None:
    """Images are not there yet; what it may not do is told by its run, as ever."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "own.py").write_text(OWN.format(adopts=adopts))
    methods_in(tmp_path / "own")
    bare = tiny.model_copy(update={"recipes": {name: recipe.model_copy(update={"methods": {}}) for name, recipe in tiny.recipes.items()}})
    try:
        refuse_impossible(bare, [identity_of(bare, "own")], settings)
    except UsageError as error:
        assert not passes and "own:default: own: not on this network" in str(error)
    else:
        assert passes


@pytest.mark.parametrize("plan", [[], ["--plan"]])
def test_the_command_refuses_it_with_a_plan_and_without(plan: list[str], tmp_path: Path, data_root: Path) -> None:
    place = ["--protocol", str(TINY), "--results", str(tmp_path / "results"), "--data-root", str(data_root)]
    asked = ask(*place, "--methods", "cec@linear", "--seeds", "0", *plan)
    assert asked.status == 2 and "cec: its base must have attention" in asked.err
    assert not list(tmp_path.rglob("*.safetensors"))
