"""Settings of a training that the base session and the other sessions have in common: optimiser, and learning rate over time."""

from __future__ import annotations

from typing import ClassVar, Literal, Self

from pydantic import Field, model_validator

from protocols.fields import MOST_EPOCHS, Bounded, Milestones, Share

Trains = Literal["none", "last_block", "all"]
"""How much of the backbone is trained."""
Schedule = Literal["step", "onecycle", "cosine", "constant"]
"""Course of the learning rate (methods/parts/schedules.py)."""


class Training(Bounded):
    """Optimiser and learning rate. Momentum, Nesterov and dampening are SGD's; Adam has torch's betas and leaves these three aside."""

    without_effect: ClassVar[tuple[str, ...]] = ()
    """Schedules beside which milestones are accepted, though only `step` reads them."""

    epochs: int
    lr: float
    momentum: float = Field(0.9, ge=0, lt=1)
    nesterov: bool = True
    dampening: float = Field(0.0, ge=0, le=1)
    weight_decay: float = Field(5e-4, ge=0)
    optimizer: Literal["sgd", "adam"] = "sgd"
    schedule: Schedule = "step"
    milestones: Milestones = Field((), description="step: epochs after which the rate is lowered")
    warmup: float = Field(0.2, gt=0, lt=1, description="onecycle: share of the steps in which the rate rises")
    floor: Share = Field(0.0, description="cosine: what is left of lr at the end, as a share of it")
    ramp_epochs: float = Field(0.0, ge=0, le=MOST_EPOCHS, description="warm-up of the other schedules: epochs, or parts of one")
    ramp_from: Share = Field(0.1, description="the first rate of that warm-up, as a share of the schedule's")

    @model_validator(mode="after")
    def _optimiser_is_one(self) -> Self:
        if self.optimizer == "adam" and self.dampening:
            raise ValueError("dampening goes with optimizer sgd only; leave it out")
        if self.optimizer == "sgd" and self.nesterov and not self.momentum:
            raise ValueError("momentum 0 needs nesterov: false")
        if self.nesterov and self.dampening:
            raise ValueError("dampening needs nesterov: false")
        return self

    @model_validator(mode="after")
    def _schedule_is_one(self) -> Self:
        if self.milestones and self.schedule not in ("step", *self.without_effect):
            raise ValueError(f"milestones go with schedule step only; with {self.schedule}, milestones must be []")
        if self.floor and self.schedule != "cosine":
            raise ValueError(f"floor goes with schedule cosine only, and schedule is {self.schedule}")
        if self.ramp_epochs and self.schedule == "onecycle":
            raise ValueError("ramp_epochs must be 0 with schedule onecycle, whose own warm-up is warmup")
        return self
