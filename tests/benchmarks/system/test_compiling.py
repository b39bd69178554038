"""Compiled trainings as a user meets them: only where they pay and a compiler works, written down where they are, as good as plain ones."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._inductor.exc import InductorError

from benchmarks.cli.options import parser
from benchmarks.records.reading import to_json
from benchmarks.running.runner import Runner
from benchmarks.system import compiling
from benchmarks.system.errors import StorageError
from benchmarks.system.settings import Settings
from protocols.schema import Protocol
from tests.methods.runs import identity_of

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inductor's own

NAME = "g++ (a test) 99.1"


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any training is long enough to be compiled."""
    monkeypatch.setattr(compiling, "WORTH", 0)


@pytest.fixture
def searched() -> Any:
    """A compiler is searched for in this test, and what is found is forgotten after it."""
    compiling.find_compiler.cache_clear()
    torch._dynamo.reset()
    yield
    compiling.find_compiler.cache_clear()
    torch._dynamo.reset()


@pytest.fixture
def compiler() -> str:
    """One that works; a test that needs it is skipped where there is none, but not in CI."""
    name = compiling.find_compiler("cpu")
    if name is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a C++ compiler")
        pytest.skip("needs a C++ compiler")
    return name


def environment_of(protocol: Protocol, settings: Settings, variant: str = "base_only") -> dict[str, str | int]:
    runner = Runner(protocol, settings)
    return runner.environment(runner.complete(identity_of(protocol, variant)), runner.seed_context("paper", 0).split)


def run(protocol: Protocol, settings: Settings) -> tuple[bytes, bytes]:
    """Record and predictions of Ft-CNN, which trains the backbone in every session."""
    record, _, predictions = Runner(protocol, settings).run(identity_of(protocol, "ft_cnn"))
    return to_json(record.model_dump(mode="json")), predictions


def trained(protocol: Protocol, settings: Settings) -> tuple[Tensor, dict[str, str | int], float]:
    """All numbers of Ft-CNN's network after a session, its environment, and the seconds that its base took."""
    contender = Runner(protocol, settings).enter(identity_of(protocol, "ft_cnn"))
    for session in range(2):
        contender.train(session, 0)
    state = contender.strategy.model.state_dict()
    return torch.cat([value.double().flatten() for value in state.values()]), contender.environment, contender.base_seconds


def test_a_compiled_run_is_the_plain_one_but_for_rounding(
    long: None, compiler: str, tiny: Protocol, settings: Settings, tmp_path: Path
) -> None:
    """Base and session. Its bits differ, so its base is one of its own; they are the same whenever it is run.

    Held by its norm, of which 3e-7 was measured: a number may jump where rounding decides which of two pixels a max-pool takes.
    """
    plain, without, _ = trained(tiny, replace(settings, compile=False))
    compiled, environment, seconds = trained(tiny, settings)
    assert environment == {**without, "compiler": compiler}, "it is written down, and nothing else differs"
    assert "compiler" not in without
    assert seconds > 0, "the plain base was not taken for it"
    assert not torch.equal(compiled, plain), "it was not compiled"
    assert float((compiled - plain).norm() / plain.norm()) < 1e-3
    again, _, seconds = trained(tiny, settings)
    assert seconds == 0
    assert torch.equal(again, compiled)
    torch._dynamo.reset()  # compiled anew
    assert torch.equal(trained(tiny, replace(settings, results=tmp_path / "anew"))[0], compiled)


def test_a_short_recipe_looks_for_no_compiler(tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search takes many seconds. `--no-compile` looks for none either, however long the recipe."""

    def search(device: str) -> str:
        raise AssertionError("not to be asked for")

    monkeypatch.setattr(compiling, "find_compiler", search)
    assert "compiler" not in environment_of(tiny, settings)
    monkeypatch.setattr(compiling, "WORTH", 0)
    asked = Settings.of(parser().parse_args(["--no-compile"]))
    assert "compiler" not in environment_of(tiny, replace(settings, compile=asked.compile))


def test_all_methods_of_a_table_agree(tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a run is compiled hangs on the recipe, not on what it changes for one base: else one row would stand on another."""
    monkeypatch.setattr(compiling, "find_compiler", lambda device: NAME)
    shown = len(Runner(tiny, settings).seed_context("paper", 0).split.train[0]) * tiny.recipes["fast"].epochs
    monkeypatch.setattr(compiling, "WORTH", shown * (8 / 32) ** 2)
    recipe = tiny.recipes["fast"].model_copy(update={"bases": {"projected": {"epochs": 1}}})
    changed = tiny.model_copy(update={"recipes": {"fast": recipe}})
    assert [environment_of(changed, settings, variant)["compiler"] for variant in ("base_only", "lecnet:code")] == [NAME, NAME]


@pytest.mark.parametrize(
    "script", ["exit 1", f"case $1 in --version) echo '{NAME}';; *) exit 1;; esac", None], ids=["says nothing", "cannot compile", "none"]
)
def test_a_broken_compiler_is_as_good_as_none(
    script: str | None, searched: None, tiny: Protocol, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on uncompiled, to the same bytes as a short one, and says nothing of compilers."""
    from torch._inductor import config

    short = run(tiny, replace(settings, results=tmp_path / "short"))
    broken = tmp_path / "g++"
    if script is not None:
        broken.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        broken.chmod(0o755)
    monkeypatch.setattr(compiling, "WORTH", 0)
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    with config.patch({"cpp.cxx": (None, str(broken)), "fx_graph_cache": False}):
        assert run(tiny, settings) == short
    assert b"compiler" not in short[0]


@pytest.mark.parametrize("wrapped", [False, True], ids=["as it is", "as torch raises it"])
def test_a_full_disk_is_not_want_of_a_compiler(
    wrapped: bool, long: None, searched: None, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that went on uncompiled would have other bits than the rest of its sweep. It is said as of any other full disk."""

    def fails(function: Callable[[Tensor], Tensor], **options: Any) -> Callable[[Tensor], Tensor]:
        full = OSError(errno.ENOSPC, "No space left on device")
        raise InductorError(full, None) if wrapped else full

    monkeypatch.setattr(compiling, "cxx", lambda: NAME)
    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(StorageError, match=r"No space left on device\); free room"):
        run(tiny, settings)


def test_a_cards_kernels_are_kept_under_the_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder that another card or other versions do not share. A processor's stay where torch keeps them."""
    kept = []
    for name, version in (("H100", "2.11.0"), ("H100", "2.11.0"), ("H200", "2.11.0"), ("H100", "2.12.0")):
        monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR", raising=False)
        monkeypatch.setattr(torch.cuda, "get_device_name", lambda device, name=name: name)
        monkeypatch.setattr(torch, "__version__", version)
        compiling.keep_compiled(tmp_path, torch.device("cpu"))
        assert "TORCHINDUCTOR_CACHE_DIR" not in os.environ
        compiling.keep_compiled(tmp_path, torch.device("cuda"))
        kept.append(Path(os.environ["TORCHINDUCTOR_CACHE_DIR"]))
    assert kept[0] == kept[1]
    assert len(set(kept)) == 3
    assert {folder.parent for folder in kept} == {tmp_path / ".compiled"}
    compiling.keep_compiled(tmp_path / "elsewhere", torch.device("cuda"))
    assert os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(kept[-1]), "the user's own"
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
