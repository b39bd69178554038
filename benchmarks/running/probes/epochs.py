"""A method's own numbers after every epoch (`SessionStrategy.epoch_log`), such as LEC-Net's gates for its Figure 6."""

from __future__ import annotations

from typing import Any

from avalanche.core import SupervisedPlugin

from benchmarks.running.probes.probe import Probe


class EpochLog(SupervisedPlugin):
    """Avalanche plugin, called after every epoch. What it holds is not counted as the strategy's (benchmarks/running/leaves.py).

    `heard` has one list per session, with one tuple per epoch: the values of `names`.
    """

    def __init__(self) -> None:
        super().__init__()
        self.names: tuple[str, ...] = ()
        self.heard: list[list[tuple[float, ...]]] = []

    def before_training_exp(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        self.heard.append([])

    def after_training_epoch(self, strategy: Any, *args: Any, **kwargs: Any) -> None:
        log = strategy.epoch_log()
        self.names = tuple(log)
        self.heard[-1].append(tuple(round(value, 4) for value in log.values()))


class Epochs(Probe):
    """`names` of the values, empty for a method without an epoch log, and `sessions`: per session from 1 on, the values per epoch."""

    name = "epochs"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.listener = EpochLog()
        self.contender.strategy.plugins.append(self.listener)

    def numbers(self) -> dict[str, Any]:
        return {"names": list(self.listener.names), "sessions": [[list(e) for e in epochs] for epochs in self.listener.heard[1:]]}
