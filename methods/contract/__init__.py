"""The interface between methods and the suite. Authors write `from methods.contract import SessionStrategy, TrainConfig`.

Names are imported on first use, because the registry in this package must work without importing torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from methods.contract.base_kind import BaseKind, BaseStep
    from methods.contract.config import KindConfig, MethodConfig, TrainConfig
    from methods.contract.context import FrozenPart, MethodContext
    from methods.contract.feature_method import FeatureMethod
    from methods.contract.hooks import Trains
    from methods.contract.strategy import SessionStrategy

HOMES = {
    "BaseKind": "base_kind",
    "BaseStep": "base_kind",
    "FeatureMethod": "feature_method",
    "FrozenPart": "context",
    "KindConfig": "config",
    "MethodConfig": "config",
    "MethodContext": "context",
    "SessionStrategy": "strategy",
    "TrainConfig": "config",
    "Trains": "hooks",
}
__all__ = [
    "BaseKind",
    "BaseStep",
    "FeatureMethod",
    "FrozenPart",
    "KindConfig",
    "MethodConfig",
    "MethodContext",
    "SessionStrategy",
    "TrainConfig",
    "Trains",
]


def __getattr__(name: str) -> Any:
    if name not in HOMES:
        raise AttributeError(f"methods.contract has no {name}")
    return getattr(importlib.import_module(f"methods.contract.{HOMES[name]}"), name)
