"""Parameters of methods and of base kinds: those of all, and those of methods that train in the sessions."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from protocols.fields import MOST_EPOCHS, Bounded
from protocols.schema import Augment
from protocols.training import Training

Selection = Literal["last", "val", "oracle_test"]
"""Which epoch's model a session keeps: the last; `val`: trained for a number of epochs found on left-out shots and held-out base images;
or the one chosen on test images (as in many papers; tables mark it)."""


class OwnConfig(Bounded):
    """Parameters that belong to one method or base kind. Every field is part of a run's identity and goes into its record.

    A new field needs a default that reproduces older runs, because they count as run with that default. If a default changes,
    the owner needs a new `version`.
    """

    def at_default(self) -> tuple[str, ...]:
        """Names of the fields that have their default value, sorted."""
        fields = type(self).model_fields.items()
        return tuple(sorted(name for name, field in fields if getattr(self, name) == field.get_default(call_default_factory=True)))

    def changed(self) -> dict[str, Any]:
        """The values that differ from their default, as they go into a record."""
        return self.model_dump(mode="json", exclude=set(self.at_default()))


class MethodConfig(OwnConfig):
    """A method's parameters."""


class KindConfig(OwnConfig):
    """A base kind's settings, beside those of the recipe. `augment` replaces the protocol's in the base session."""

    augment: Augment | None = None


class TrainConfig(MethodConfig, Training):
    """Parameters of methods that train in the sessions: SGD with all images in one batch unless `batch` is set.

    Momentum, Nesterov and weight decay are TOPIC's (docs/methods.md 3.1). A schedule other than `step` runs over a phase of training
    (`SessionStrategy.restart`); `lr_decay` is the factor at each milestone. Batch norm stays in evaluation mode unless a source
    says otherwise. `new_row_std`: the weights of new classes are drawn from N(0, std²); None uses torch's Linear default.
    `views`: number of augmented epochs that are drawn once and then repeated in turn, so that the frozen part of the network
    processes each only once; None draws every epoch anew. `augment` replaces the protocol's in the sessions.
    """

    epochs: int = Field(100, ge=0, le=MOST_EPOCHS)
    lr: float = Field(0.1, gt=0)
    lr_decay: float = Field(0.1, gt=0, le=1)
    batch: int | None = Field(None, ge=1)
    batch_norm: Literal["eval", "train", "last_block"] = "eval"
    new_row_std: float | None = Field(None, ge=0)
    selection: Selection = "last"
    views: int | None = Field(None, ge=1, le=1000)
    augment: Augment | None = None
