"""`precision: auto`: what it comes to here, what the command line may say of it, and a sweep that changes machines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.planning.ledger import Ledger
from benchmarks.planning.preflight import check_before_training, done_in_another_precision
from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.running.runner import Runner
from benchmarks.system import device as precision
from benchmarks.system.device import resolve_precision
from benchmarks.system.errors import UsageError
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.benchmarks.conftest import MakeIdentity, MakeRecord
from tests.conftest import TINY
from tests.methods.runs import identity_of
from tests.trust.asking import ask

CPU = torch.device("cpu")
AUTO: dict[str, Any] = {"recipe_settings": {"epochs": 2, "lr": 0.1, "precision": "auto"}}


@pytest.fixture(params=["bf16", "fp32"])
def here(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """What `auto` comes to on this processor, or so it seems."""
    monkeypatch.setattr(precision, "cpuinfo", lambda: "flags : fma avx512_bf16" if request.param == "bf16" else "flags : fma")
    return str(request.param)


def test_auto_is_what_the_processor_does_fast(here: str) -> None:
    assert resolve_precision("auto", CPU) == here


@pytest.mark.parametrize("said", ["bf16", "fp32"])
def test_the_command_line_decides_where_the_recipe_does_not(here: str, said: str) -> None:
    assert resolve_precision("auto", CPU, said) == said
    assert resolve_precision(said, CPU, said) == said


@pytest.mark.parametrize(("fixed", "said"), [("fp32", "bf16"), ("bf16", "fp32")])
def test_a_recipe_that_fixes_its_own_is_not_overruled(fixed: str, said: str, tiny: Protocol, settings: Settings) -> None:
    assert resolve_precision(fixed, CPU) == fixed
    identity = identity_of(with_precision(tiny, fixed), "base_only")
    asked = Settings(settings.data_root, settings.results, "cpu", 1, precision=said)
    with pytest.raises(UsageError, match=f"--precision {said}: the recipe fixes {fixed}"):
        check_before_training(tiny, [identity], asked)
    assert not settings.results.exists(), "nothing is written before it is known what to do"


def test_every_method_runs_in_bf16(each_method: str, tiny: Protocol, data_root: Path, results: Path) -> None:
    """A session each; what no processor has in bf16 (eigenvectors, inverses) is computed in fp32."""
    short = tiny.model_copy(update={"sessions": tiny.sessions.model_copy(update={"count": 1})})
    identity = identity_of(with_precision(short, "bf16"), each_method)
    record, *_ = Runner(with_precision(short, "bf16"), Settings(data_root, results, "cpu", 1)).run(identity)
    assert record.environment["precision"] == "bf16"


def with_precision(protocol: Protocol, wanted: str) -> Protocol:
    recipes = {name: recipe.model_copy(update={"precision": wanted}) for name, recipe in protocol.recipes.items()}
    return protocol.model_copy(update={"recipes": recipes})


def test_a_run_computes_in_what_was_said(tiny: Protocol, settings: Settings) -> None:
    """And its record says so; all else of its identity stays."""
    protocol, records = with_precision(tiny, "auto"), {}
    for said in ("fp32", "bf16"):
        asked = Settings(settings.data_root, settings.results, "cpu", 1, precision=said)
        records[said] = Runner(protocol, asked).run(identity_of(protocol, "proto"))
        assert records[said][0].environment["precision"] == said
    one, other = (record.identity for record, _, _ in records.values())
    assert (one.precision, other.precision) == ("fp32", "bf16")
    assert one.model_copy(update={"precision": "bf16"}) == other
    assert not one.same_as(other)
    assert all(costs.base_seconds for _, costs, _ in records.values()), "each has a base of its own"


def stored(store: Store, make_record: MakeRecord, costs: Any, seeds: range, done_in: str) -> list[Identity]:
    for seed in seeds:
        store.save(make_record("proto:raw_mean", seed, **AUTO, precision=done_in), costs, b"")
    return [make_record("proto:raw_mean", seed, **AUTO).identity.model_copy(update={"precision": None}) for seed in range(4)]


@pytest.mark.parametrize("done_in", ["bf16", "fp32"])
def test_a_sweep_that_changes_machines_is_told(here: str, done_in: str, make_record: MakeRecord, costs: Any, tmp_path: Path) -> None:
    """Three of four runs are done; the line names their number, both precisions and what to do."""
    runs = stored(Store(tmp_path), make_record, costs, range(3), done_in)
    ledger = Ledger(Store(tmp_path))
    assert ledger.missing(runs) == runs[3:], "what is done in any precision is done"
    lines = done_in_another_precision(runs, ledger, Settings(tmp_path, tmp_path, "cpu", 1))
    if done_in == here:
        assert lines == []
    else:
        assert len(lines) == 1
        assert lines[0].startswith(f"3 of these runs are done in {done_in}, the others would be in {here}")
        assert f"--precision {done_in} goes on" in lines[0]
    said = Settings(tmp_path, tmp_path, "cpu", 1, precision=done_in)
    assert done_in_another_precision(runs, ledger, said) == []


def test_nothing_is_said_where_nothing_is_done(make_identity: MakeIdentity, tmp_path: Path) -> None:
    settings = Settings(tmp_path, tmp_path, "cpu", 1)
    assert done_in_another_precision([make_identity(**AUTO, precision=None)], Ledger(Store(tmp_path)), settings) == []


def test_the_command_says_so_before_it_goes_on(data_root: Path, tmp_path: Path) -> None:
    here = resolve_precision("auto", CPU)
    other = "fp32" if here == "bf16" else "bf16"
    text = TINY.read_text(encoding="utf-8")
    (tmp_path / "tiny.yaml").write_text(text.replace("    epochs:", "    precision: auto\n    epochs:", 1), encoding="utf-8")
    places = ("--results", str(tmp_path), "--data-root", str(data_root), "--device", "cpu", "--workers", "1")
    command = ("--protocol", str(tmp_path / "tiny.yaml"), "--methods", "base_only", *places)
    assert ask(*command, "--seeds", "0", "--precision", other).status == 0
    told = f"1 of these runs are done in {other}, the others would be in {here}"
    assert told in ask(*command, "--seeds", "0-1").err
    assert told not in ask(*command, "--seeds", "0-1").err, "all done: nothing to choose"


# tf32, which only cards have ----------------------------------------------------------------------------------------------


def test_tf32_is_refused_on_a_processor(tmp_path: Path) -> None:
    """In one line, before anything is written."""
    places = ("--results", str(tmp_path / "results"), "--data-root", str(tmp_path / "data"), "--device", "cpu")
    answer = ask("--protocol", "cifar100", "--precision", "tf32", *places)
    assert answer.fault("--precision tf32") == ""
    assert "cpu does not compute in it" in answer.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("capability", "had"), [((7, 5), False), ((8, 0), True), ((9, 0), True)])
def test_tf32_needs_a_card_that_has_it(capability: tuple[int, int], had: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    if had:
        assert resolve_precision("auto", torch.device("cuda"), "tf32") == "tf32"
        with pytest.raises(UsageError, match="the recipe fixes bf16"):
            resolve_precision("bf16", torch.device("cuda"), "tf32")
    else:
        with pytest.raises(UsageError, match="--precision tf32: cuda does not compute in it"):
            resolve_precision("auto", torch.device("cuda"), "tf32")


def test_a_run_in_tf32_lets_convolutions_alone_round(tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here on a processor that claims to have it: what is set, and what is recorded. The next run sets it back."""
    monkeypatch.setattr(precision, "has_tf32", lambda device: True)
    protocol, identity = with_precision(tiny, "auto"), identity_of(with_precision(tiny, "auto"), "base_only")
    allowed: dict[str, tuple[bool, bool]] = {}
    stems = set()
    for said in ("tf32", "fp32"):
        runner = Runner(protocol, Settings(settings.data_root, settings.results, "cpu", 1, precision=said))
        record, costs, *_ = runner.watch(identity, ())
        allowed[said] = torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32
        assert (record.identity.precision, record.environment["precision"]) == (said, said)
        assert costs.base_seconds > 0, "a base of its own"
        stems.add(record.identity.stem)
    assert allowed == {"tf32": (True, False), "fp32": (False, False)}
    assert len(stems) == 2
