"""SI: synaptic intelligence (Zenke et al., ICML 2017), class-incremental, with mammoth's rates (docs/methods.md 6.10)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from methods.contract import SessionStrategy, TrainConfig
from methods.parts.path_integral import PathIntegral, regrown


class Si(SessionStrategy):
    """A quadratic penalty pulls each parameter back to its value before the session, weighted by its importance for earlier tasks.

    Importance Omega = sum over tasks of omega / (displacement² + xi), where omega is the path integral of gradient times step. The
    gradient of c Omega (theta - theta*)² is added to the task's gradient, then clipped by value. Base training records the path
    integral too.
    """

    title = "SI"

    class Config(TrainConfig):
        batch_norm: Literal["eval", "train", "last_block"] = "train"
        c: float = Field(1.0, ge=0)
        xi: float = Field(0.9, gt=0)
        clip: float = Field(1.0, gt=0)

    presets = {"mammoth": {}}
    base = "path"

    @property
    def weights(self) -> list[nn.Parameter]:
        return list(self.model.parameters())

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        if "path" not in network.parts:
            raise ValueError("si: its base must have a path integral, as base kind path has")
        network.register_buffer("importance", torch.zeros_like(network.parts["path"].omega))

    def before_session(self) -> None:
        self.sizes = [p.numel() for p in self.weights]

    @property
    def path(self) -> Any:
        """The path integral of the present task."""
        return self.model.parts["path"]

    def head_grown(self) -> None:
        """The weights of new classes get importance 0; a new path integral starts from the current values of all parameters."""
        self.model.importance = regrown(self.model.importance, self.sizes, self.weights)
        self.model.parts["path"] = PathIntegral(self.weights)

    def before_update(self) -> None:
        parameters, path = self.weights, self.path
        path.note_gradient(parameters)
        pull = 2 * self.config.c * self.model.importance * (path.before - path.start)
        for parameter, own in zip(parameters, pull.split([p.numel() for p in parameters]), strict=True):
            if parameter.grad is not None:  # what the recipe freezes has none
                parameter.grad += own.view_as(parameter)
        nn.utils.clip_grad_value_(parameters, self.config.clip)

    def after_update(self) -> None:
        self.path.note_step(self.weights)

    def after_session(self) -> None:
        self.model.importance += self.path.importance(self.weights, self.config.xi)

    def session_log(self) -> dict[str, float]:
        """Mean and maximum of the importance."""
        importance: Tensor = self.model.importance
        return {"importance_mean": float(importance.mean()), "importance_max": float(importance.max())}
