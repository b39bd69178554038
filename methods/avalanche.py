"""Stock strategies of Avalanche as they come, on real pixels and slower than the suite's own methods (docs/methods.md 9)."""

from __future__ import annotations

import copy
import warnings
from typing import Any, Literal

import torch
from avalanche.benchmarks.utils import ConstantSequence, DataAttribute, TaskAwareSupervisedClassificationDataset
from avalanche.benchmarks.utils.data_attribute import TaskLabels
from avalanche.training import supervised
from avalanche.training.plugins import EvaluationPlugin
from pydantic import Field
from torch import Tensor, nn

from methods.contract import SessionStrategy, TrainConfig
from methods.contract.strategy import no_optimizer
from methods.parts.network import Network
from methods.parts.optimizer import optimizer_for
from protocols.fields import MOST_EPOCHS
from protocols.schema import Sessions

WITHOUT_EFFECT = (
    "augment",
    "batch_norm",
    "floor",
    "lr_decay",
    "milestones",
    "ramp_epochs",
    "ramp_from",
    "schedule",
    "selection",
    "views",
    "warmup",
)
REHEARSES = ("GDumb", "Replay")
MEM_SIZE = 200
"""Images that both keep where `options` do not say."""


class Pixels(torch.utils.data.Dataset):
    """Training images by their indices, normalised and not augmented, each with its label. One is fetched when a loader asks for it."""

    def __init__(self, images: Any, indices: list[int], labels: list[int]) -> None:
        self.images, self.indices, self.labels = images, indices, labels

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        return self.images.plain(torch.tensor([self.indices[number]]))[0], self.labels[number]


class StockAvalanche(SessionStrategy):
    """Hands each session to a strategy of `avalanche.training.supervised`, whose model is the network. The base session is handed over
    without training, so that importances, teacher and memory are made from the base model. Batch norm and loss are the stock strategy's.
    """

    title = "Stock Avalanche"
    presets = {
        "Naive": {"strategy": "Naive"},
        "EWC": {"strategy": "EWC", "options": {"ewc_lambda": 1.0}},
        "LwF": {"strategy": "LwF", "options": {"alpha": 1.0, "temperature": 2.0}},
        "Replay": {"strategy": "Replay"},
        "GDumb": {"strategy": "GDumb"},
    }

    class Config(TrainConfig):
        """`options` are the stock strategy's own arguments, such as `ewc_lambda` or `mem_size`. The learning rate is constant, images are
        not augmented, and the last epoch is taken, as stock strategies do."""

        strategy: Literal["Naive", "EWC", "LwF", "Replay", "GDumb"] = "Naive"
        options: dict[str, float | int | str] = {}
        epochs: int = Field(50, ge=1, le=MOST_EPOCHS)
        lr: float = Field(0.01, gt=0)
        batch: int | None = Field(128, ge=1)
        batch_norm: Literal["eval", "train", "last_block"] = "train"

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        return int(config.options.get("mem_size", MEM_SIZE)) if config.strategy in REHEARSES else 0

    def adopt(self, network: Network) -> None:
        super().adopt(network)
        c = self.config
        if idle := sorted(name for name in WITHOUT_EFFECT if name in c.changed()):
            raise ValueError(f"avalanche:{c.strategy}: {idle[0]} has no effect on a stock strategy; leave it out")
        if self.context.trains != "all":
            raise ValueError(
                f"avalanche:{c.strategy}: a stock strategy trains the whole backbone, but trains is {self.context.trains} in this recipe"
            )
        try:
            self.stock = getattr(supervised, c.strategy)(
                model=network,
                optimizer=no_optimizer(),
                criterion=nn.CrossEntropyLoss(),
                train_mb_size=1,
                device=self.context.device,
                evaluator=EvaluationPlugin(),
                **({"mem_size": MEM_SIZE} if c.strategy in REHEARSES else {}) | c.options,
            )
        except TypeError as error:
            raise ValueError(f"avalanche:{c.strategy}: options {c.options} do not suit it ({error})") from None

    def session_epochs(self) -> int:
        return 0  # the stock strategy trains when the head has grown

    def after_session(self) -> None:
        c, stock = self.config, self.stock
        self.model.requires_grad_(True)
        groups = self.parameter_groups(list(self.trainable()))
        stock.model, stock.train_epochs, stock.train_mb_size = self.model, c.epochs if self.session else 0, c.batch or len(self.own_indices)
        stock.optimizer, stock.optimized_param_id = optimizer_for(groups, c, c.lr, self.context.device), None
        shown = copy.copy(self.experience)
        shown._dataset = self.with_pixels(self.own_indices)
        with warnings.catch_warnings(record=True), torch.enable_grad():  # of Avalanche's own calls of what it calls deprecated
            stock.train(shown, eval_streams=[])
        self.model = stock.model.eval()  # GDumb puts another in its place
        self.model.zero_grad()
        stock.optimizer, stock.optimized_param_id = no_optimizer(), None
        kept = self.kept()
        memory = self.context.memory
        memory.drop(memory.indices[~torch.isin(memory.indices, kept)])
        memory.keep(kept)

    def with_pixels(self, indices: Tensor) -> Any:
        """Avalanche's data set of these images."""
        images, numbers = self.context.images, indices.tolist()
        labels = images.labels(indices).tolist()
        attributes = [
            DataAttribute(labels, "targets"),
            DataAttribute(numbers, "image_index"),
            TaskLabels(ConstantSequence(0, len(numbers))),
        ]
        return TaskAwareSupervisedClassificationDataset([Pixels(images, numbers, labels)], data_attributes=attributes)

    def kept(self) -> Tensor:
        """Indices of the images in the stock strategy's memory."""
        policies = [plugin.storage_policy for plugin in self.stock.plugins if hasattr(plugin, "storage_policy")]
        numbers = sorted({int(index) for policy in policies if len(policy.buffer) for index in policy.buffer.image_index})
        return torch.tensor(numbers, dtype=torch.int64)
