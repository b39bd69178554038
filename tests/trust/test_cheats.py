"""The test set, and images of other sessions, are out of reach: every cheat that we could think of is run, and found out.

What a method is not handed it cannot use (the first tests); what it might do unawares is found by watching what it holds.
A method runs in the suite's own process, so one that means to deceive can: docs/ADDING_A_METHOD.md says where this ends.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Callable
from pathlib import Path
from types import BuiltinFunctionType, FunctionType, ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from benchmarks.planning.ledger import Ledger
from benchmarks.planning.plan import identities, make_request
from benchmarks.records.identity import Identity
from benchmarks.records.store import Store
from benchmarks.report.frame import label_of
from benchmarks.running.audit import TraceError
from benchmarks.running.contender import SeedError
from benchmarks.running.evaluate import ScoreError
from benchmarks.running.runner import Runner
from benchmarks.running.shared_state import MethodState, SharedStateError
from benchmarks.sweeping.progress import Event
from benchmarks.sweeping.worker import Task, one_run
from benchmarks.system.process_settings import ProcessSettings
from benchmarks.system.settings import Settings
from methods.contract import files, registry
from methods.contract.loading import load_method
from methods.contract.memory import BudgetError, LeakError
from methods.contract.registry import MethodError, method_names
from protocols.schema import Protocol

CHEATS = Path(__file__).parent / "cheats"

CAUGHT: dict[str, tuple[type[Exception], str]] = {
    "peeks_at_test:accuracy": (RuntimeError, "granted under selection val or oracle_test only"),
    "peeks_at_test:images": (LeakError, r"opened .*test\.npy"),
    "peeks_at_test:features": (LeakError, r"opened .*\.features"),
    "peeks_at_test:process": (LeakError, "looked through all objects"),
    "peeks_at_test:runner": (AttributeError, "__self__"),
    "learns_while_tested:adapts": (TraceError, r"testing changed self\.model.*running_mean"),
    "learns_while_tested:adapts_quietly": (TraceError, r"testing changed self\.model.*running_mean"),
    "learns_while_tested:batch_statistics": (ScoreError, "features of a test image depend on the images beside it"),
    "learns_while_tested:centres": (ScoreError, "session 0: the scores of a test image depend on the images beside it"),
    "learns_while_tested:majority": (ScoreError, "session [12]: the scores of a test image depend on the images beside it"),
    "learns_while_tested:first_of_batch": (ScoreError, "session [12]: the scores of a test image depend on the images beside it"),
    "learns_while_tested:counts_calls": (TraceError, r"testing changed self\.calls"),
    "learns_while_tested:stashes": (TraceError, r"testing changed self\.drawer"),
    "learns_while_tested:stashes_in_file": (TraceError, r"testing changed methods\.learns_while_tested\.SEEN"),
    "learns_while_tested:stashes_in_class": (TraceError, r"testing changed LearnsWhileTested\.pile"),
    "learns_while_tested:stashes_in_function": (TraceError, r"testing changed self\.closed"),
    "learns_while_tested:stashes_by_pair": (TraceError, r"testing changed self\.pairs\[\.\.\.\]"),
    "learns_while_tested:stashes_beside": (TraceError, r"testing changed self\.beside"),
    "learns_while_tested:prototypes": (TraceError, r"testing changed self\.model\.head\.weight"),
    "hoards:memory": (BudgetError, "keeps 5 images, but declares a budget of 3"),
    "hoards:raised_budget": (BudgetError, "session 0: keeps 5 images, but declares a budget of 3"),
    "hoards:attribute": (LeakError, r"session 0: self\.saved holds 5 images"),
    "hoards:list": (LeakError, r"session 0: self\.saved\[0\]\['image'\] holds 1 image"),
    "hoards:flat": (LeakError, r"session 0: self\.saved holds 5 images"),
    "hoards:bytes": (LeakError, r"session 0: self\.saved holds 5 images"),
    "hoards:buffer": (LeakError, r"session 0: self\.model\.saved holds 5 images"),
    "hoards:file": (LeakError, r"session 0: methods\.hoards\.CHEST\[0\] holds 5 images"),
    "hoards:shots": (LeakError, r"session 1: self\.saved holds 5 images"),
    "hoards:shots_in_memory": (BudgetError, "session 1: keeps 5 images, but declares a budget of 3"),
    "hoards:batches": (LeakError, r"session 1: self\.saved holds 5 images"),
    "looks_elsewhere:asks": (LeakError, "outside this session and its memory"),
    "looks_elsewhere:asks_for_batches": (LeakError, "outside this session and its memory"),
    "looks_elsewhere:keeps": (LeakError, "outside this session and its memory"),
    "looks_elsewhere:opens_memory": (LeakError, "not shown in this session"),
    "looks_elsewhere:writes_memory": (LeakError, "the memory lists images that the session did not show"),
    "looks_elsewhere:past_shots": (LeakError, "outside this session and its memory"),
    "looks_elsewhere:stored_features": (LeakError, "not shown in this session"),
    "looks_elsewhere:next_experience": (IndexError, "out of bounds"),
    "hides:deque": (LeakError, r"session 0: self\.saved\[0\] holds 1 image when"),
    "hides:nested_list": (LeakError, r"self\.saved holds 5 images"),
    "hides:flat_list": (LeakError, r"self\.saved holds 5 images"),
    "hides:slots": (LeakError, r"self\.saved\.images holds 5 images"),
    "hides:hidden_slots": (LeakError, r"self\.saved\._Drawer__hidden holds 5 images"),
    "hides:cache": (LeakError, r"the cache of methods\.hides\.remember\[0\]\[0\] holds 5 images"),
    "hides:default": (LeakError, r"a default of methods\.hides\.by_default\[0\] holds 5 images"),
    "hides:keyword": (LeakError, r"a default of methods\.hides\.by_keyword\['images'\] holds 5 images"),
    "hides:function": (LeakError, r"methods\.hides\.by_keyword\.pile holds 5 images"),
    "hides:method": (LeakError, r"self\.saved\[0\] holds 5 images"),
    "hides:partial": (LeakError, r"self\.saved\[0\] holds 5 images"),
    "hides:iterator": (LeakError, r"self\.saved\[0\] holds 5 images"),
    "hides:chain": (LeakError, r"self\.saved\[0\]\[0\] holds 2 images"),
    "hides:generator": (LeakError, r"self\.saved holds 5 images"),
    "hides:bytes": (LeakError, r"self\.saved holds 5 images"),
    "hides:list_of_bytes": (LeakError, r"self\.saved\[0\] holds 4 images"),  # of one byte a pixel; it is one of four
    "hides:bytearray": (LeakError, r"self\.saved holds 5 images"),
    "hides:memoryview": (LeakError, r"self\.saved holds 5 images"),
    "hides:array": (LeakError, r"self\.saved holds 5 images"),
    "hides:key": (LeakError, r"a key of self\.saved holds 1 image"),
    "hides:set": (LeakError, r"self\.saved\[0\] holds 1 image"),
    "hides:objects": (LeakError, r"self\.saved\[0\] holds 5 images"),
    "hides:picture": (LeakError, r"self\.saved\[0\] holds 1 image"),
    "hides:of_tensor": (LeakError, r"self\.saved\.images holds 5 images"),
    "hides:channels_last": (LeakError, r"self\.saved holds 5 images"),
    "hides:single": (LeakError, r"self\.saved\[0\] holds 1 image"),
    "hides:no_channels": (LeakError, r"self\.saved holds 5 images"),
    "hides:padded": (LeakError, r"self\.saved holds 5 images"),
    "hides:tiled": (LeakError, r"self\.saved holds 4 images"),
    "hides:numpy_file": (LeakError, r"opened .*images\.npy for writing"),
    "hides:open_file": (LeakError, r"opened .*images for writing"),
    "hides:torch_file": (LeakError, r"opened .*images that was written while the command ran"),
    "seeds:torch": (SeedError, "session 0: the method seeds torch's generator"),
    "carries:class_dictionary": (SharedStateError, r"changes methods\.carries\.Carries\.prototypes, which all runs share; keep .* in self"),
    "carries:class_attribute": (SharedStateError, r"changes methods\.carries\.Carries\.runs"),
    "carries:class_list": (SharedStateError, r"changes methods\.carries\.Carries\.names"),
    "carries:object": (SharedStateError, r"changes methods\.carries\.Carries\.notes\.last"),
    "carries:nested": (SharedStateError, r"changes methods\.carries\.BEST\['accuracy'\]"),
    "carries:global": (SharedStateError, r"changes methods\.carries\.SEEN"),
    "carries:global_list": (SharedStateError, r"changes methods\.carries\.SEEN"),
    "carries:global_tensor": (SharedStateError, r"changes methods\.carries\.TABLE"),
    "carries:generator": (SharedStateError, r"changes methods\.carries\.DRAWS"),
    "carries:count": (SharedStateError, r"changes methods\.carries\.COUNT"),
    "carries:default": (SharedStateError, r"changes methods\.carries\.memo"),
    "carries:closure": (SharedStateError, r"changes methods\.carries\.calls"),
    "carries:function": (SharedStateError, r"changes methods\.carries\.memo\.calls"),
    "carries:patch": (SharedStateError, r"changes methods\.parts\.losses\.distillation"),
    "carries:patch_class": (SharedStateError, r"changes methods\.contract\.strategy\.SessionStrategy\.session_loss"),
    "carries:threads": (SharedStateError, "sets torch's number of threads to 2; a method must leave it as it was"),
    "carries:dtype": (SharedStateError, r"sets torch's default dtype to torch\.float64"),
    "carries:environment": (SharedStateError, "sets the environment variable OMP_NUM_THREADS to '1"),
    "carries:directory": (SharedStateError, "sets the working directory to '/'"),
}

COUNTED = {
    "hoards:flat": 5 * 64,
    "hides:flat_list": 5 * 64,
    "hides:pooled": 5 * 16,
    "hides:joined": 5 * 64,
    "oracle_by_default:default": 0,
    "seeds:forked": 0,
}
"""Numbers that stand in the record where nothing is found out, as docs/ADDING_A_METHOD.md says. Features of the tiny network are as wide
as its images are large."""


@pytest.fixture(autouse=True)
def among_the_methods(methods_in: Callable[[Path], None]) -> None:
    """The cheats are methods like any other: files in a methods/ folder."""
    methods_in(CHEATS)


def identity(protocol: Protocol, variant: str, settings: Settings) -> Identity:
    where = {"peeks_at_test:images": settings.data_root, "peeks_at_test:features": settings.results}.get(variant)
    overrides = [f"peeks_at_test.where={json.dumps(str(where))}"] if where else []
    recipes = {name: recipe.model_copy(update={"methods": {}}) for name, recipe in protocol.recipes.items()}  # these are not here
    bare = protocol.model_copy(update={"recipes": recipes})
    return identities(make_request(bare, None, None, "0", variant, overrides))[0]


def test_every_cheat_is_tried() -> None:
    names = set(method_names()) - {"imports_the_runner"}
    assert {f"{name}:{preset}" for name in names for preset in registry.read_entry(name).presets} == set(CAUGHT) | set(COUNTED)


@pytest.mark.parametrize("variant", CAUGHT)
def test_a_cheat_is_found_out(variant: str, tiny: Protocol, runner: Runner) -> None:
    error, text = CAUGHT[variant]
    if variant in ("hoards:flat", "hides:flat_list"):  # features of the tiny network are as wide as its images are large
        tiny = tiny.model_copy(update={"data": tiny.data.model_copy(update={"size": 10})})
        runner = Runner(tiny, runner.settings)
    settings = ProcessSettings()
    with pytest.raises(error, match=text):
        runner.run(identity(tiny, variant, runner.settings))
    assert settings.put_back() == []


@pytest.mark.parametrize("how", ["class_dictionary", "generator", "threads", "environment"])
def test_what_a_failed_run_changed_is_as_before(how: str, tiny: Protocol, runner: Runner) -> None:
    """A sweep goes on in the same process. A setting that may be the cause of the failure is named."""
    failing = identity(tiny, f"carries:{how}", runner.settings)
    failing = failing.model_copy(update={"config": {**failing.config, "fails": True}})
    load_method("carries")
    settings, state = ProcessSettings(), MethodState()
    with pytest.raises(SharedStateError if how in ("threads", "environment") else ArithmeticError) as caught:
        runner.run(failing)
    assert isinstance(caught.value.__cause__ or caught.value, ArithmeticError)
    assert settings.put_back() == state.put_back() == []


def test_honest_tensors_that_are_as_wide_as_an_image(tiny: Protocol, runner: Runner, monkeypatch: pytest.MonkeyPatch) -> None:
    """SI's importances, and LwF's teacher, of a network whose first layer reads every pixel."""
    monkeypatch.undo()
    update = {"data": tiny.data.model_copy(update={"size": 28}), "backbone": tiny.backbone.model_copy(update={"name": "mlp"})}
    seen = tiny.model_copy(update=update)
    for variant in ("si", "lwf"):
        record, _, _ = Runner(seen, runner.settings).run(identity(seen, variant, runner.settings))
        assert record.sessions[-1].images_kept == 0


@pytest.mark.parametrize("variant", COUNTED)
def test_what_escapes_by_its_shape_is_counted(variant: str, tiny: Protocol, runner: Runner) -> None:
    """Images in disguise are numbers kept: they stand in the record, and in the table beside those of the others."""
    record, _, _ = runner.run(identity(tiny, variant, runner.settings))
    assert [session.numbers_kept for session in record.sessions] == [COUNTED[variant]] * 3


def test_a_cheat_gets_no_record_but_a_note(tiny: Protocol, runner: Runner, settings: Settings) -> None:
    """By the way of a sweep: the run fails, the reason is kept, and no figure of it reaches a table."""
    store, told = Store(settings.results), list[Event]()
    task = Task(tiny, settings, Ledger(store), started=0.0, sweep="a test")
    one_run(lambda: runner, task, runner.complete(identity(tiny, "hoards:attribute", settings)), told.append)
    assert [event.kind for event in told if event.kind != "progress"] == ["start", "failed"]
    records, faults, failures = store.load("tiny")
    assert (records, faults) == ([], [])
    assert "self.saved holds 5 images" in str(failures[0])


def test_a_method_cannot_import_the_runner() -> None:
    with pytest.raises(MethodError, match=r"imports_the_runner\.py, line 12: imports benchmarks; .* from its context"):
        load_method("imports_the_runner")


@pytest.mark.parametrize(
    "line", ["import gc", "import benchmarks.running.runner", "from ctypes import cdll", "from benchmarks import run as r"]
)
def test_imports_that_lead_to_everything(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mine.py").write_text(f'class Mine:\n    title = "Mine"\n    def scores(self):\n        {line}\n')
    monkeypatch.setattr(files, "FOLDER", tmp_path)
    with pytest.raises(MethodError, match="line 4: imports"):
        registry.read_entry("mine")


def test_who_asks_for_the_oracle_openly_is_marked(tiny: Protocol, runner: Runner) -> None:
    record, _, _ = runner.run(identity(tiny, "oracle_by_default", runner.settings))
    assert record.selection == "oracle_test"
    assert label_of(record).endswith("†")


# By construction ----------------------------------------------------------------------------------------------------------


def reachable(start: Any) -> list[Any]:
    """Every object that attributes, containers, closures and bound methods lead to; not what modules and classes hold for all."""
    found, queue = {id(start): start}, [start]
    while queue:
        here = queue.pop()
        inner = list(here.__closure__ or ()) if isinstance(here, FunctionType) else gc.get_referents(here)
        for item in inner:
            if id(item) not in found and not isinstance(item, ModuleType | type | BuiltinFunctionType):
                found[id(item)] = item
                queue.append(item)
    return list(found.values())


def test_nothing_that_a_method_is_handed_leads_to_test_images_or_other_sessions(tiny: Protocol, runner: Runner) -> None:
    """Whichever private parts it goes through: in session 1, the ten shots of that session are the only images there are."""
    contender = runner.enter(identity(tiny, "hoards:memory", runner.settings))
    seed_context = contender.seed_context
    contender.open(0)
    contender.open(1)
    contender.strategy.experience = seed_context.experiences[1]
    objects = reachable(contender.strategy)
    assert seed_context.tensors.test.data_ptr() not in {item.data_ptr() for item in objects if isinstance(item, Tensor)}
    images = [item for item in objects if isinstance(item, Tensor) and item.shape[-3:] in seed_context.image_shapes]
    assert [len(item) for item in images] == [10]
    assert torch.equal(images[0], seed_context.tensors.train[torch.from_numpy(np.sort(seed_context.split.train[1]))])
    assert not [
        item for item in objects if type(item).__name__ in ("Runner", "SeedContext", "Evaluator", "Tensors", "ImageSet", "BaseFeatures")
    ]
