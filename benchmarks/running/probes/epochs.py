"""What a method says of itself after every epoch (`SessionStrategy.epoch_log`): LEC-Net's gates, for its Figure 6."""

from __future__ import annotations

from typing import Any

from avalanche.core import SupervisedPlugin

from benchmarks.running.probes.probe import Probe


class Listener(SupervisedPlugin):  # type: ignore[type-arg]
    """Avalanche calls it after every epoch. It holds plain numbers only: whatever a strategy leads to is audited.

    `heard`: a list a session, in it a tuple an epoch, of the values of `names`.
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
    """`names` of what is said, and in `sessions`, from 1 on, for each epoch its values; no names where a method says nothing."""

    name = "epochs"

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.listener = Listener()
        self.contender.strategy.plugins.append(self.listener)

    def numbers(self) -> dict[str, Any]:
        return {"names": list(self.listener.names), "sessions": [[list(e) for e in epochs] for epochs in self.listener.heard[1:]]}
