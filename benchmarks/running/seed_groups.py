"""What runs of a protocol share in one process, images and base models, and which seeds' runs are done together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from importlib.metadata import version
from typing import TypeVar

from benchmarks.base.memory import free_memory, memory_of, seeds_a_group
from benchmarks.base.model import BaseSessions, Seed, Tell
from benchmarks.base.network import kind_at
from benchmarks.base.together import prepare_bases, stored_at
from benchmarks.data.equal import equal_pictures
from benchmarks.data.images import ImageSet, load_images
from benchmarks.data.splits import Indices, Split, make_split
from benchmarks.data.tensors import labelled, to_device
from benchmarks.data.transforms import Transform
from benchmarks.data.weights import find_weights
from benchmarks.records.identity import Identity
from benchmarks.running.measuring import git_commit
from benchmarks.running.side_by_side import side_by_side
from benchmarks.system.compiling import compiler_for, keep_compiled
from benchmarks.system.device import allow_tf32, environment, pick_device, resolve_precision
from benchmarks.system.errors import BusyError, DataError, storage_error
from benchmarks.system.settings import Settings
from methods.contract.loading import load_method
from methods.parts.capture import steps_with
from protocols.messages import first_line
from protocols.schema import Protocol

T = TypeVar("T")


class SeedGroups:
    """Images on the device, base models, and groups of seeds.

    `images` replace the protocol's own. `verified` is the hash of images that this command has verified already. A run whose base model
    another process is training waits for it, or raises BusyError if `wait` is False.
    """

    def __init__(
        self, protocol: Protocol, settings: Settings, images: ImageSet | None = None, verified: str | None = None, wait: bool = True
    ) -> None:
        self.protocol, self.settings = protocol, settings
        self.commit = git_commit()  # before the first run: files may be edited while it goes on
        self.device = pick_device(settings.device)
        keep_compiled(settings.data_root, self.device)
        self.transform = Transform(protocol.data, protocol.augment)
        self.images = images or load_images(protocol.data, settings.data_root, verified)
        self.on_device = to_device(self.images, self.device)
        weights = find_weights(protocol.backbone, settings.data_root)
        self.bases = BaseSessions(protocol, settings.bases, self.device, weights, wait)
        self._prepared: set[str] = set()

    @cached_property
    def equal_pictures(self) -> tuple[str, ...]:
        """What is to be said of images that are equal pixel by pixel."""
        return equal_pictures(self.images)

    def split(self, split_name: str, seed: int, val: bool = False) -> tuple[Split, Indices | None]:
        """The split of this name under a seed; with `val`, without a tenth of the base training images, and these."""
        split = make_split(self.protocol, split_name, seed, self.images.train_classes, self.images.test_classes, self.images.keys)
        return split.without_held_out(self.images.train_classes, seed) if val else (split, None)

    def complete(self, identity: Identity) -> Identity:
        """The identity with the images and the precision of this process filled in, in which the device computes from now on.

        Raises DataError for a run on other images.
        """
        if identity.images not in (None, self.images.sha256):
            raise DataError(f"{self.protocol.name}: the run is of other images than those that are here now")
        precision = resolve_precision(identity.wanted_precision, self.device, self.settings.precision)
        allow_tf32(precision)
        return identity.model_copy(update={"images": self.images.sha256, "precision": precision})

    def environment(self, identity: Identity, split: Split) -> dict[str, str | int]:
        """Hardware and software on which the exact bytes of a run depend, beside its identity."""
        shown, compiled = len(split.train[0]), self.settings.compile
        compiler = compiler_for(self.protocol, identity.recipe_settings, shown, self.device) if compiled else None
        facts = environment(self.device, str(identity.precision), compiler)
        if identity.backbone.name.startswith("timm:"):
            facts["timm"] = version("timm")
        return facts

    def peers(self, identity: Identity, runs: Sequence[Identity]) -> list[Identity]:
        """Those of other seeds among `runs` that may go on side by side with this run: none on a CPU, and none of a method whose steps are
        not recorded. As many as the device's memory holds."""
        recorded = self.bases.recorder is not None and self.settings.record_sessions
        if not recorded or not load_method(identity.method).capturable:
            return []
        same = [run for run in runs if run.seed != identity.seed and run.same_settings(identity)]
        network = self.bases.fresh(identity, str(self.complete(identity).precision))()
        of_kind = kind_at(identity.stages[-1])
        batch = identity.config.get("batch") or identity.recipe_settings.batch
        sides = [view.side for view in self.bases.transforms(of_kind)]
        each = memory_of(network, of_kind, self.protocol.data.channels, sides, batch)
        return same[: seeds_a_group(free_memory(self.device), each + self.on_device.train.nbytes, 1 + len(same)) - 1]

    def side_by_side(self, works: Sequence[Callable[[], T]]) -> list[T]:
        """Does work that runs something each; what their sessions train is done together."""
        return side_by_side(works, steps_with(self.bases.recorder))

    def prepare(self, identity: Identity, group: Sequence[Identity], progress: Tell = lambda text: None) -> None:
        """Trains the base sessions of this run, and of other seeds' runs in `group` that stand on the same kind, together where the
        device can (benchmarks/base/together.py). Once for each kind, and not for a run whose base model is there.

        Where that fails, every run trains its own, and says what is wrong. Raises BusyError or StorageError.
        """
        if not self.bases.groups_seeds or (name := identity.base_session) in self._prepared:
            return
        stored = stored_at(self.bases, self.seed(self.complete(identity)))
        if stored.exists():  # whoever trains another group must not hold this run up
            return
        several = {other.seed: other for other in (*group, identity) if other.base_session == name}
        try:
            seeds = [self.seed(self.complete(several[number])) for number in sorted(several)]
            prepare_bases(self.bases, seeds, progress)
        except BusyError as error:
            raise BusyError(error.lock, stored) from None
        except Exception as error:
            if (refused := storage_error(error)) is not None:
                raise refused from None
            progress(f"seeds train one by one: {first_line(error)}")
        self._prepared.add(name)

    def seed(self, identity: Identity) -> Seed:
        """What the base session of a run is trained on. `identity` is complete."""
        split, _ = self.split(identity.split, identity.seed, identity.selection == "val")
        tensors = labelled(self.on_device, self.images, split)
        return Seed(identity, self.images.sha256, split, tensors, self.environment(identity, split))
