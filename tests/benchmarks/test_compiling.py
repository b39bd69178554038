"""Compiled trainings: only where they pay and a compiler is found, written down where they are, and as good as the plain ones."""

from __future__ import annotations

import copy
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.utils import counters
from torch._inductor.exc import InductorError
from torch.nn import functional

from benchmarks.base.cache import Checkpoint
from benchmarks.base.key import BaseKey
from benchmarks.base.network import build_network, to_fast_layout
from benchmarks.base.training import train_base
from benchmarks.data.batches import Batches
from benchmarks.records.reading import to_json
from benchmarks.running.runner import Contender, Runner
from benchmarks.system import compiling
from benchmarks.system.compiling import compiler_for, compiling_pays, cxx
from benchmarks.system.errors import StorageError
from benchmarks.system.settings import Settings
from methods.parts import network as network_module
from methods.parts.backbones import build_backbone
from methods.parts.network import Network, frozen_copy, plain_embed
from protocols.schema import Protocol
from tests.methods.runs import identity_of

pytestmark = pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated:DeprecationWarning")  # inductor's own

CPU = torch.device("cpu")
BATCH = 64  # of the tiny recipe
NAME = "g++ (a test) 99.1"

search_compiler: Callable[[str], str | None] = compiling.find_compiler.__wrapped__
"""As it is behind its cache."""


def environment_of(protocol: Protocol, settings: Settings, variant: str = "base_only") -> dict[str, str | int]:
    runner = Runner(protocol, settings)
    return runner.environment(identity_of(protocol, variant), runner.seed_context("paper", 0))


def refuse(*arguments: object, **options: object) -> Any:
    raise AssertionError("not to be asked for")


@pytest.fixture
def long(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any recipe is long enough."""
    monkeypatch.setattr(compiling, "WORTH", 0)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is a compiler, or so it seems."""
    monkeypatch.setattr(compiling, "find_compiler", lambda device_type: NAME)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of images in every pass that would be a compiled one; the plain one is taken in its place."""
    calls: list[int] = []

    def embed(network: Network, images: Tensor) -> Tensor:
        calls.append(len(images))
        return plain_embed(network, images)

    monkeypatch.setattr(network_module, "compiled_embed", lambda device_type: embed)
    return calls


# Whether it pays ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "images"), [(32, 300_000), (64, 75_000), (16, 1_200_000), (8, 4_800_000), (224, 6_123)])
def test_it_pays_from_so_many_images_of_that_size(size: int, images: int) -> None:
    """By their area, as the work is."""
    assert compiling_pays(size, images)
    assert not compiling_pays(size, images - 1)


@pytest.mark.parametrize(("epochs", "images", "name"), [(100, 3000, NAME), (99, 3000, None), (100, 2999, None), (1, 300_000, NAME)])
def test_a_recipe_is_as_long_as_its_epochs_and_images(epochs: int, images: int, name: str | None, tiny: Protocol, found: None) -> None:
    protocol = tiny.model_copy(update={"data": tiny.data.model_copy(update={"size": 32})})
    recipe = tiny.recipes["fast"].model_copy(update={"epochs": epochs})
    assert compiler_for(protocol, recipe, images, CPU) == name


def test_a_short_recipe_looks_for_no_compiler(tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """The search takes many seconds."""
    monkeypatch.setattr(compiling, "find_compiler", refuse)
    assert "compiler" not in environment_of(tiny, settings)


# Whether there is a compiler ----------------------------------------------------------------------------------------------


def works(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return function


def cannot_compile(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    raise RuntimeError("no Python.h")


def cannot_run(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """As torch does: what is wrong shows when the function is first called."""
    return refuse


def miscompiles(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    return lambda x: function(x) + 1


@pytest.mark.parametrize(
    ("name", "compile", "expected"),
    [(NAME, works, NAME), (None, refuse, None), (NAME, cannot_compile, None), (NAME, cannot_run, None), (NAME, miscompiles, None)],
    ids=["works", "none", "cannot compile", "cannot run", "miscompiles"],
)
def test_a_compiler_is_one_that_works(
    name: str | None, compile: Callable[..., Any], expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is wrong with a tool chain, a run goes on without."""
    monkeypatch.setattr(compiling, "cxx", lambda: name)
    monkeypatch.setattr(torch, "compile", compile)
    assert search_compiler("cpu") == expected


@pytest.mark.parametrize(
    ("error", "raised"),
    [(OSError(errno.ENOSPC, "No space left on device"), (StorageError,)), (MemoryError("no room"), (MemoryError, InductorError))],
    ids=["disk", "memory"],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["as it is", "as torch raises it"])
def test_want_of_room_is_not_want_of_a_compiler(
    error: Exception, raised: tuple[type[Exception], ...], wrapped: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run that went on without would have other bits than the rest of its sweep. Within torch's compiler it becomes an InductorError."""

    def fails(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        raise InductorError(error, None) if wrapped else error

    monkeypatch.setattr(compiling, "cxx", lambda: NAME)
    monkeypatch.setattr(torch, "compile", fails)
    with pytest.raises(raised):
        search_compiler("cpu")


def test_it_is_searched_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(compiling, "cxx", lambda: asked.append("cxx"))
    compiling.find_compiler.cache_clear()
    assert [compiling.find_compiler("cpu") for _ in range(2)] == [None, None]
    assert asked == ["cxx"]
    compiling.find_compiler.cache_clear()


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo 'g++ (a test) 99.1'; echo 'Copyright'", NAME),
        ("echo '  g++ (a test) 99.1  '", NAME),
        ("echo 'g++ (a test) 99.1'; exit 1", None),
        ("true", None),
        (None, None),
    ],
    ids=["two lines", "spaces", "fails", "says nothing", "is not there"],
)
def test_a_cpp_compiler_says_its_version(script: str | None, expected: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import cpp_builder

    path = tmp_path / "g++"
    if script is not None:
        path.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        path.chmod(0o755)
    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", lambda: str(path))
    assert cxx() == expected


def test_no_cpp_compiler_is_no_error() -> None:
    """torch looks at $CXX, or for g++ and others."""
    from torch._inductor import config

    with config.patch({"cpp.cxx": (None, "/nonexistent/g++")}):  # type: ignore[attr-defined]
        assert cxx() is None


# What a run says of it ----------------------------------------------------------------------------------------------------


def test_a_long_run_names_its_compiler(long: None, found: None, tiny: Protocol, settings: Settings) -> None:
    """And nothing else of its environment changes."""
    with_it = environment_of(tiny, settings)
    without = environment_of(tiny, Settings(settings.data_root, settings.results, "cpu", 1, compile=False))
    assert with_it == {**without, "compiler": NAME}
    assert "compiler" not in without


def test_no_compile_looks_for_no_compiler(long: None, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling, "find_compiler", refuse)
    assert "compiler" not in environment_of(tiny, Settings(settings.data_root, settings.results, "cpu", 1, compile=False))


def test_all_methods_of_a_table_agree(found: None, tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a run is compiled hangs on the recipe, not on what it changes for one base: else one row would stand on another."""
    shown = len(Runner(tiny, settings).seed_context("paper", 0).split.train[0]) * 2
    monkeypatch.setattr(compiling, "WORTH", shown / 16)
    recipe = tiny.recipes["fast"].model_copy(update={"bases": {"projected": {"epochs": 1}}})
    changed = tiny.model_copy(update={"recipes": {"fast": recipe}})
    assert (
        environment_of(changed, settings, "base_only")["compiler"] == environment_of(changed, settings, "lecnet:code")["compiler"] == NAME
    )


def test_a_run_without_a_compiler_is_the_plain_one(
    tiny: Protocol, data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Long as it is: the same bytes as a short one, which says nothing of compilers."""

    def run(folder: str) -> tuple[bytes, bytes]:
        record, _, predictions = Runner(tiny, Settings(data_root, tmp_path / folder, "cpu", 1)).run(identity_of(tiny, "ft_cnn"))
        return to_json(record.model_dump(mode="json")), predictions

    short = run("short")
    monkeypatch.setattr(compiling, "WORTH", 0)
    monkeypatch.setattr(compiling, "find_compiler", search_compiler)
    monkeypatch.setattr(compiling, "cxx", lambda: None)
    monkeypatch.setattr(network_module, "compiled_embed", refuse)
    assert run("long") == short
    assert b"compiler" not in short[0]


def test_compiled_and_plain_bases_are_two(
    long: None, found: None, compiled: list[int], tiny: Protocol, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their bits differ, so neither may be taken for the other: a base of its own, and of its own for each compiler."""
    bases = settings.results / ".base"

    def enter(compile: bool) -> Contender:
        return Runner(tiny, Settings(settings.data_root, settings.results, "cpu", 1, compile)).enter(identity_of(tiny, "base_only"))

    assert enter(compile=False).base_seconds > 0
    assert not compiled
    assert enter(compile=True).base_seconds > 0
    assert len(list(bases.glob("*.safetensors"))) == 2
    assert enter(compile=True).base_seconds == enter(compile=False).base_seconds == 0
    monkeypatch.setattr(compiling, "find_compiler", lambda device_type: "another")
    assert enter(compile=True).base_seconds > 0
    assert len(list(bases.glob("*.safetensors"))) == 3


# What goes through the compiled pass --------------------------------------------------------------------------------------


def passes(contender: Contender, compiled: list[int], session: int) -> list[int]:
    compiled.clear()
    contender.train(session, 0)
    contender.seed_context.evaluator.evaluate(contender.strategy, session)
    return list(compiled)


def test_a_base_is_trained_on_compiled_batches(long: None, found: None, compiled: list[int], tiny: Protocol, settings: Settings) -> None:
    """Two epochs of whole batches; the last one of each, which is smaller, is plain, and so are features and tests."""
    contender = Runner(tiny, settings).enter(identity_of(tiny, "base_only"))
    images = len(contender.seed_context.split.train[0])
    assert images % BATCH
    assert compiled == [BATCH] * 2 * (images // BATCH)
    assert passes(contender, compiled, 0) == []


@pytest.mark.parametrize(
    ("variant", "overrides", "expected"),
    [
        ("ft_cnn", (), [10, 10, 10]),  # 2 classes of 5 shots, 3 epochs
        ("ft_cnn", ("batch=4",), [4, 4] * 3),  # and one of 2
        ("lecnet:paper", (), []),  # its backbone stands: nothing to compile
        ("icarl:topic", (), []),
        ("lecnet:paper", ("train_backbone=true",), [10, 10, 10]),
    ],
)
def test_long_sessions_are_compiled_and_short_ones_are_not(
    variant: str,
    overrides: tuple[str, ...],
    expected: list[int],
    found: None,
    compiled: list[int],
    tiny: Protocol,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """10 images shown 3 times, of 8 x 8: worth 30/16 of 32 x 32. Without a compiler in the environment, none is."""
    for worth, worthwhile in ((30 / 16, expected), (31 / 16, [])):
        monkeypatch.setattr(compiling, "WORTH", worth)
        contender = Runner(tiny, settings).enter(identity_of(tiny, variant, *overrides))
        assert contender.environment["compiler"] == NAME
        passes(contender, compiled, 0)
        assert passes(contender, compiled, 1) == worthwhile
        assert contender.strategy.model.compiled_batch == max(worthwhile, default=0)
    monkeypatch.setattr(compiling, "WORTH", 0)
    without = Settings(settings.data_root, settings.results, "cpu", 1, compile=False)
    contender = Runner(tiny, without).enter(identity_of(tiny, variant, *overrides))
    assert [passes(contender, compiled, session) for session in range(3)] == [[], [], []]


@pytest.fixture
def small() -> Network:
    torch.manual_seed(0)
    network = Network(build_backbone("conv2", 1), "fp32")
    network.head.grow(2)
    return network


def test_only_whole_training_batches_are_compiled(small: Network, compiled: list[int]) -> None:
    """Every other size would be compiled anew, and so would be a pass without a gradient."""
    small.compiled_batch = 4
    for images in (1, 3, 5, 4):
        small(torch.zeros(images, 1, 8, 8))
    assert compiled == [4]
    with torch.no_grad():
        small(torch.zeros(4, 1, 8, 8))
    with torch.inference_mode():
        small(torch.zeros(4, 1, 8, 8))
    assert compiled == [4]
    small.eval()(torch.zeros(4, 1, 8, 8))
    assert compiled == [4, 4], "batch norm in evaluation mode is trained through too"


@pytest.mark.parametrize("images", [1, 4, 0])
def test_none_is_compiled_where_none_is_asked_for(images: int, small: Network, compiled: list[int]) -> None:
    """`icarl:topic` with train: all and no exemplars embeds no image at all."""
    assert small.compiled_batch == 0
    small(torch.zeros(images, 1, 8, 8))
    assert compiled == []


def test_a_teachers_pass_is_plain(small: Network, compiled: list[int]) -> None:
    """A copy of a network in compiled training, asked without a gradient."""
    small.compiled_batch = 4
    images = torch.randn(4, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    teacher = frozen_copy(small)
    with torch.no_grad():
        found = teacher.embed(images)
        assert torch.equal(found, plain_embed(copy.deepcopy(small).eval(), images))
    assert compiled == []
    small.embed(images)
    assert compiled == [4]


# The real thing, compiled once --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def compiler() -> str:
    """A compiler that works; a test that needs one is skipped where there is none, but not in CI."""
    name = compiling.find_compiler("cpu")
    if name is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a C++ compiler")
        pytest.skip("needs a C++ compiler")
    return name


@dataclass(frozen=True)
class Workshop:
    """The tiny base session, to be trained compiled or plain on the same initial values and batches."""

    protocol: Protocol
    runner: Runner

    def fresh(self) -> Network:
        network = build_network(self.protocol, "linear", "fp32", 0, None, 1.0)
        return to_fast_layout(network, CPU).train()

    def batches(self) -> Batches:
        seed_context = self.runner.seed_context("paper", 0)
        rows = torch.from_numpy(seed_context.split.train[0])
        return Batches(seed_context.tensors.train, seed_context.tensors.labels, rows, self.runner.transform, BATCH, 0, "base")

    def one_pass(self, compiled_batch: int) -> tuple[Tensor, Tensor, Tensor]:
        """Features of one batch, the gradient of its loss, and the statistics that it leaves."""
        network = self.fresh()
        network.compiled_batch = compiled_batch
        x, y, _ = next(iter(self.batches()))
        features = network.embed(x)
        functional.cross_entropy(network.classify(features), y).backward()
        gradient = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
        return features.detach(), gradient, torch.cat([b.flatten() for b in network.buffers()])

    def train(self, compiled_batch: int, folder: Path) -> tuple[Tensor, list[float]]:
        """All numbers of the network after the recipe's two epochs, and the loss of each."""
        network, losses = self.fresh(), []
        network.compiled_batch = compiled_batch
        checkpoint = Checkpoint(folder / "none", BaseKey({}))
        train_base(network, self.batches(), self.protocol.recipes["fast"], CPU, checkpoint, lambda epoch, loss: losses.append(loss))
        return numbers(network), losses


def numbers(network: Network) -> Tensor:
    return torch.cat([value.double().flatten() for value in network.state_dict().values()])


@pytest.fixture
def workshop(tiny: Protocol, settings: Settings) -> Workshop:
    return Workshop(tiny, Runner(tiny, settings))


def graphs() -> int:
    """How many graphs torch has compiled in this process."""
    return int(counters["stats"]["unique_graphs"])


def test_a_compiled_pass_is_the_plain_one_but_for_rounding(compiler: str, workshop: Workshop) -> None:
    """Measured: 6e-6 on features up to 2.4, 2e-7 on statistics up to 1, 2e-6 of the gradient.

    A gradient may jump where rounding decides which of two pixels a max-pool takes; so it is held by its norm, less tightly.
    """
    (features, gradient, statistics), (own, own_gradient, own_statistics) = (workshop.one_pass(batch) for batch in (0, BATCH))
    assert not torch.equal(features, own), "it was not compiled"
    torch.testing.assert_close(own, features, rtol=0, atol=2e-5)
    torch.testing.assert_close(own_statistics, statistics, rtol=0, atol=1e-6)
    assert float((own_gradient - gradient).norm() / gradient.norm()) < 1e-3


def test_a_compiled_training_repeats(compiler: str, workshop: Workshop, tmp_path: Path) -> None:
    """The same bytes again: from what is compiled already, whichever network runs it, and compiled anew.

    It ends where the plain one does, but for a millionth of the way that training goes; for three thousandths in a measured case
    where a max-pool took another pixel.
    """
    torch._dynamo.reset()
    before = graphs()
    first, losses = workshop.train(BATCH, tmp_path)
    assert graphs() == before + 1, "one shape, one mode"
    plain, plain_losses = workshop.train(0, tmp_path)
    assert not torch.equal(first, plain)
    assert float((first - plain).norm() / (plain - numbers(workshop.fresh())).norm()) < 1e-2
    assert losses == pytest.approx(plain_losses, rel=1e-3)
    assert torch.equal(workshop.train(BATCH, tmp_path)[0], first)
    assert graphs() == before + 1, "another network runs what the first has compiled"
    torch._dynamo.reset()
    assert torch.equal(workshop.train(BATCH, tmp_path)[0], first)
    assert graphs() == before + 2


def test_one_thing_is_compiled_in_one_process(compiler: str) -> None:
    """A pool of compiling processes, which torch starts where it has Triton, would outlive a killed worker."""
    from torch._inductor import config

    assert config.compile_threads == 1
    assert config.cpp.threads == torch.get_num_threads()  # in the code, so it has to be in the key that it is cached under
    assert network_module.compiled_embed("cpu") is network_module.compiled_embed("cpu")


def test_a_shape_too_many_is_an_error(compiler: str) -> None:
    """It must not go on uncompiled: its bits would be others than the record says. Until then there is room for many."""
    config: Any = torch._dynamo.config
    assert config.recompile_limit >= 64
    double = torch.compile(lambda x: 2 * x, dynamic=False, backend="eager")
    with config.patch(recompile_limit=2):
        double(torch.ones(1))
        double(torch.ones(2))
        with pytest.raises(torch._dynamo.exc.FailOnRecompileLimitHit):
            double(torch.ones(3))
