"""The base class of methods on features of a frozen network: nothing is trained after the base session."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from methods.contract.config import MethodConfig
from methods.contract.strategy import SessionStrategy
from methods.parts.features import class_means
from methods.parts.heads import unit


class FeatureMethod(SessionStrategy):
    """Learns from the features of a session's images, once. Default: one row a class, compared by cosine.

    A subclass overrides `learn` where means are not its rows, and `scores` where rows and cosines are not its rule. It keeps rows with
    `add_rows`; other tensors that it keeps between sessions are attributes. All of them are counted (docs/ADDING_A_METHOD.md).
    """

    Config: ClassVar[type[MethodConfig]] = MethodConfig

    def learn(self, features: Tensor, labels: Tensor) -> None:
        """Learn from the features [n, d] of the session's training images under the test transform, with labels [n].

        Called once in every session, session 0 included, without gradients. Default: class means become the rows.
        """
        self.add_rows(class_means(features, labels))

    def add_rows(self, rows: Tensor) -> None:
        """Set the rows [classes, d] of the classes that this session added, in label order. They replace trained base rows, too."""
        span = self.context.sessions.span(self.session)
        if rows.shape != (expected := (len(span), self.model.head.weight.shape[1])):
            raise ValueError(f"add_rows: rows must be {list(expected)}, one for each new class, and are {list(rows.shape)}")
        self.model.head.weight.data[span.start : span.stop] = rows

    @property
    def rows(self) -> Tensor:
        """Rows of all classes seen, [classes seen, d]."""
        weight: Tensor = self.model.head.weight.data
        return weight

    @property
    def base_rows(self) -> Tensor:
        """Rows of the base classes, [base classes, d]: the trained ones in session 0 until `add_rows` has replaced them."""
        return self.rows[: self.context.sessions.base]

    def after_session(self) -> None:
        indices = self.own_indices
        self.learn(self.embed_indices(indices), self.context.images.labels(indices))

    def scores(self, features: Tensor) -> Tensor:
        """Cosines [N, classes seen] between features [N, d] and rows."""
        return unit(features) @ unit(self.rows).T

    def model_adaptation(self, model: Any = None) -> Any:
        """Avalanche's, after which the rows of new classes are as they were drawn."""
        self.now.drawn, self.now.normed = None, self._batches_normed()
        model = super().model_adaptation(model)
        if self.session and type(self).scores is FeatureMethod.scores:
            self.now.drawn = model.head.weight.data[self.old_classes :].clone()
        return model

    def _batches_normed(self) -> list[int]:
        """How many batches each batch norm of the backbone has taken into its statistics."""
        counts = [count for name, count in self.model.backbone.named_buffers() if name.endswith("num_batches_tracked")]
        return torch.stack(counts).tolist() if counts else []

    def _after_training_exp(self, **kwargs: Any) -> None:
        drawn, normed = self.now.drawn, self.now.normed
        super()._after_training_exp(**kwargs)
        if not self.train_epochs and self._batches_normed() != normed:
            raise ValueError(
                "statistics of batch norm moved in a network that is not trained: embed images in evaluation mode, self.model.eval(); "
                "a method that means to estimate them anew derives from SessionStrategy"
            )
        if drawn is not None and torch.equal(drawn, self.rows[self.old_classes :]):
            raise ValueError("learn: the rows of the new classes, which scores() compares with, are as they were drawn; call add_rows()")
