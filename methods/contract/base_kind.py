"""The interface of a base kind: what is built, shown and minimised in the base session. One file of methods/bases/ each.

A kind is found by being there. Methods that start from the same kind with the same settings share its trained base model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from methods.contract.config import KindConfig
from methods.parts.capture import CaptureError

if TYPE_CHECKING:
    from methods.parts.network import Network
    from protocols.schema import Augment, Sessions


@dataclass(frozen=True)
class BaseStep:
    """Where base training is: `epoch` (from 0) of `epochs`, and `done`, the share of all steps that are behind, in [0, 1).

    `generator` draws on the CPU. It is seeded anew in every epoch, so that an interrupted training repeats the same numbers. `drawn` is
    what the kind's `draw` returned for this step, on the device.
    """

    epoch: int
    epochs: int
    done: float
    generator: torch.Generator = field(repr=False)
    drawn: Sequence[Tensor] = field(default=(), repr=False)


class RecordedStep(BaseStep):
    """Stands in for `step` where a step is recorded, to be replayed in all others: reading more than `drawn` raises CaptureError."""

    def __init__(self, drawn: Sequence[Tensor]) -> None:
        object.__setattr__(self, "drawn", drawn)

    def __getattribute__(self, name: str) -> Any:
        if name in BaseStep.__dataclass_fields__ and name != "drawn":
            raise CaptureError(f"its loss reads step.{name}")
        return super().__getattribute__(name)


class BaseKind:
    """Default: the backbone and its own head are trained with cross-entropy over the base classes."""

    Config: ClassVar[type[KindConfig]] = KindConfig
    """The kind's settings. They are set by their defaults, the method's `bases`, the recipe's `bases.KIND`, then `--set KIND.FIELD`.
    A name of the recipe (lr, epochs, ...) cannot be a field: the recipe's `bases.KIND` changes both."""
    version: ClassVar[int] = 1
    """Increase it when a change of the kind or of a `Config` default changes results. Base models and records of older versions are
    then computed again."""
    migrations: ClassVar[Mapping[int, Callable[[dict[str, Any]], dict[str, Any]]]] = {}
    """Version n -> function from Config values of version n to those of version n + 1, if runs on version n remain valid."""
    views: ClassVar[int] = 1
    """How many augmented views of each image a step shows; `other_views` says how."""
    parent: ClassVar[str | None] = None
    """Kind whose trained network this one goes on with: `build` gets it, head included. None: an untrained network."""
    bases: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Values of the parent's Config, {kind: {field: value}}, as a method states them."""
    drop: ClassVar[tuple[str, ...]] = ()
    """Names of `network.parts` that only base training needs. Methods get the network without them."""
    added: ClassVar[tuple[str, ...]] = ()
    """Names of `network.parts` that count as added by the method that uses them, since the backbone's other users do without."""
    knows_all_classes: ClassVar[bool] = False
    """Whether base training uses the number of novel classes. Tables say so."""
    capturable: ClassVar[bool] = True
    """Whether a GPU may record a step once and replay it. Say False where a step depends on state that is no tensor (a counter in Python),
    binds a buffer anew, or draws on the device. A loss that reads more of `step` than `drawn` is noticed, and done step by step."""

    def __init__(self, config: Any) -> None:
        self.config = config

    @property
    def name(self) -> str:
        return type(self).__module__.rpartition(".")[2]

    def build(self, network: Network, sessions: Sessions) -> None:
        """Change the new network before its head gets the base classes: replace the head or the neck, or add `network.parts`.

        Modules and buffers added here are trained, checkpointed and stored with the rest.
        """

    def class_rows(self, network: Network) -> list[Tensor]:
        """Weights of classes, as drawn, which a recipe's `head_gain` makes longer. Default: those of the head."""
        return [network.head.weight]

    def after_growth(self, network: Network) -> None:
        """Called once the head has the weights of the base classes, before training. Add here what needs all parameters."""

    def groups(self, network: Network) -> list[dict[str, Any]]:
        """Groups of parameters for the optimiser; `rate` is a factor on the recipe's learning rate. Default: one group of all."""
        return [{"params": list(network.parameters())}]

    def other_views(self, own: Augment) -> list[tuple[Augment, int | None]]:
        """Augmentation and side in pixels (None: the protocol's) of each view after the first, whose augmentation is `own`.

        Default: `views` - 1 views like the first.
        """
        return [(own, None)] * (self.views - 1)

    def expand(self, views: list[Tensor], labels: Tensor) -> tuple[list[Tensor], Tensor]:
        """The views [B, C, S, S] and labels [B] that `loss` gets, for example with rotations under joint labels. Default: as they are."""
        return views, labels

    @property
    def changes_images(self) -> bool:
        """Whether it turns or mixes what it is shown, as it may do with images alone. True of a kind that has `expand`; say it where `loss`
        does so, under the settings that do."""
        return type(self).expand is not BaseKind.expand

    def draw(self, network: Network, shape: torch.Size, step: BaseStep) -> list[Tensor]:
        """What `loss` needs at random in this step, as CPU tensors, from `step.generator`; it finds them in `step.drawn`. `shape` is that
        of a view before `expand`, [B, C, S, S]. A GPU records a step again only where these tensors have other shapes. Default: nothing."""
        return []

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        """Loss of a batch: `views` [B, C, S, S] each, `labels` [B] from 0. Returns one number. Default: cross-entropy."""
        return F.cross_entropy(network(views[0]), labels)

    def before_update(self, network: Network) -> None:
        """Called in each step after the backward pass, before the optimiser's step."""

    def after_update(self, network: Network) -> None:
        """Called in each step after the optimiser's step, for example for a moving average or a queue."""
