"""A method's parameters: what every method has, and what those have that train."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from protocols.fields import MOST_EPOCHS, Bounded, Milestones

Selection = Literal["last", "oracle_test"]
"""The epoch of a session that stands: its last, or the one that test images choose (as in many papers; tables mark it)."""

LATER: dict[str, Any] = {"later": True}
"""Marks a field that came after the first records. Its default is what those runs did, so it is left out of an identity."""


class MethodConfig(Bounded):
    """A method's parameters. Every field is part of a run's identity and goes into its record."""

    def effective(self) -> dict[str, Any]:
        """All values as JSON has them, but for fields marked LATER that have their default."""
        fields = type(self).model_fields.items()
        silent = {name for name, field in fields if field.json_schema_extra == LATER and getattr(self, name) == field.default}
        return self.model_dump(mode="json", exclude=silent)


class TrainConfig(MethodConfig):
    """Parameters of methods that train in the sessions: SGD, all indices in one batch unless `batch` says otherwise.

    Momentum, Nesterov and weight decay are TOPIC's (methods.md 3.1); batch norm stays in evaluation mode, as DESIGN wants it
    where no source says otherwise. `new_row_std` draws new head indices N(0, std²); None is torch's Linear default. `views` is
    how many augmented epochs are drawn and shown in turn, each seen by what stands still below once; None draws every epoch anew.
    """

    epochs: int = Field(100, ge=0, le=MOST_EPOCHS)
    lr: float = Field(0.1, gt=0)
    milestones: Milestones = ()
    lr_decay: float = Field(0.1, gt=0, le=1)
    batch: int | None = Field(None, ge=1)
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    weight_decay: float = Field(5e-4, ge=0)
    batch_norm: Literal["eval", "train", "last_block"] = "eval"
    new_row_std: float | None = Field(None, ge=0)
    selection: Selection = "last"
    views: int | None = Field(None, ge=1, le=1000, json_schema_extra=LATER)
