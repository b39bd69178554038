"""What a user is told before anything trains: a backbone that does not suit, images that are not there, an option that does not exist."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.cli.options import parser
from benchmarks.planning.plan import identities, make_request
from benchmarks.planning.preflight import check_before_training, check_plan, small_maps
from benchmarks.running.runner import names_in_order
from benchmarks.system.errors import DataError
from benchmarks.system.settings import Settings
from protocols import load_protocol
from protocols.schema import Protocol


@pytest.mark.parametrize(("name", "size", "warns"), [("resnet18", 28, True), ("resnet18", 84, False), ("resnet20", 28, False)])
def test_a_backbone_that_leaves_one_pixel_is_named(tiny: Protocol, name: str, size: int, warns: bool) -> None:
    data = tiny.data.model_copy(update={"size": size})
    lines = small_maps(tiny.model_copy(update={"data": data, "backbone": tiny.backbone.model_copy(update={"name": name})}))
    assert [f"backbone {name}" in line and f"data.size {size}" in line for line in lines] == [True] * warns


def test_a_plan_says_what_it_could_not_check_and_fetches_nothing(tmp_path: Path) -> None:
    """The weights of `cub200` would be fetched by a run; a plan names what is missing."""
    for name in ("omniglot", "cub200"):
        protocol = load_protocol(name)
        runs = identities(make_request(protocol, None, None, "0", "base_only", []))
        said = check_plan(protocol, runs, Settings(tmp_path, tmp_path / "results", "cpu", 1))
        assert said.startswith(f"not checked: {protocol.data.source}") and "\n" not in said
    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]


@pytest.mark.parametrize("name", ["cub200-resnet18b", "miniimagenet", "cub200-features", "mine"])
def test_what_is_not_there_is_no_fault_of_a_plan(name: str, tiny: Protocol, tmp_path: Path) -> None:
    protocol = of_folder(tiny) if name == "mine" else load_protocol(name)
    runs = identities(make_request(protocol, None, None, "0", "base_only", []))
    said = check_plan(protocol, runs, Settings(tmp_path, tmp_path / "results", "cpu", 1))
    assert said.startswith("not checked: ") and "\n" not in said


def test_what_is_there_and_wrong_is(tiny: Protocol, tmp_path: Path) -> None:
    """A run would stop with the same line."""
    (tmp_path / "mine").mkdir()
    protocol = of_folder(tiny)
    runs = identities(make_request(protocol, None, None, "0", "base_only", []))
    for check in (check_plan, check_before_training):
        with pytest.raises(DataError, match=r"mine: .* must hold train/<class>/<images>"):
            check(protocol, runs, Settings(tmp_path, tmp_path / "results", "cpu", 1))


def of_folder(protocol: Protocol) -> Protocol:
    return protocol.model_copy(update={"data": protocol.data.model_copy(update={"source": "folder", "path": "mine"})})


@pytest.mark.parametrize(("written", "meant"), [("--method", "--methods"), ("--seed", "--seeds"), ("--result", "--results")])
def test_an_option_that_does_not_exist_names_the_nearest(written: str, meant: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        parser().parse_args([written, "1"])
    assert caught.value.code == 2
    assert f"(did you mean {meant}?)" in capsys.readouterr().err


def test_classes_are_named_in_the_order_of_their_labels() -> None:
    assert names_in_order(("ant", "bee", "cat"), (2, 0, 1)) == ("cat", "ant", "bee")
    assert names_in_order(("0", "1"), (1, 0)) == (), "numbers are no names"
