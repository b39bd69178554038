"""The contract of a method: one file, one class, deriving from `SessionStrategy`.

A strategy is an Avalanche `SupervisedTemplate`, so Avalanche's plugins and loggers attach to it, and `train(experience)`
runs Avalanche's life-cycle. Only what Avalanche 0.6 does wrongly or slowly for few-shot sessions is replaced
(docs/ADDING_A_METHOD.md says what and why). What a method does differently it says through the hooks below.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import torch
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract.config import MethodConfig, TrainConfig
from methods.contract.context import Below, Kit
from methods.contract.selection import BestEpoch
from methods.parts.network import Network, begin_step, set_batch_norm
from methods.parts.optimizer import sgd
from protocols.schema import Sessions


class SessionStrategy(SupervisedTemplate):
    """Base class of all methods. By default: train everything by cross-entropy on the session's shots."""

    title: ClassVar[str]
    Config: ClassVar[type[MethodConfig]] = TrainConfig
    presets: ClassVar[dict[str, dict[str, Any]]] = {"default": {}}
    """Named settings; the first is the default. A literal, so that `--list` can read it without importing torch."""
    bases: ClassVar[dict[str, str]] = {}
    """Preset -> base model it starts from, where that is not `linear` (see methods/bases/)."""
    memory_budget: ClassVar[int | None] = 0
    """Images of past sessions kept at most; None: all of them."""
    version: ClassVar[int] = 1
    """Raise it when a change of the code changes numbers: older records are then run again."""

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        """Images kept at most, where it depends on parameters or on the protocol."""
        return cls.memory_budget

    def __init__(self, *, kit: Kit, config: MethodConfig, plugins: Sequence[Any] = ()) -> None:
        self.kit = kit
        self.config: Any = config
        self.session = 0
        self.stands = False
        self._modes: list[tuple[nn.Module, bool]] = []  # as set_modes left them
        self.adopt(kit.network)
        super().__init__(
            model=kit.network,
            optimizer=torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0),  # replaced in every session
            train_mb_size=1,
            eval_mb_size=1,
            device=kit.device,
            plugins=list(plugins),
            evaluator=EvaluationPlugin(),
        )
        self.plugins.remove(self.evaluator)  # without metrics it only copies the experience, ten times an iteration

    # Hooks: what methods differ in ------------------------------------------------------------------------------------

    def adopt(self, network: Network) -> None:
        """Reshape the base model once, before session 0 (another head, say). Its base accuracy should survive."""
        if isinstance(self.config, TrainConfig):
            network.head.new_row_std = self.config.new_row_std

    def before_session(self) -> None:
        """Before the head grows: keep a teacher, say. Evaluation mode, no gradients; in session 0 too."""

    def head_grown(self) -> None:
        """The head has the session's rows, nothing is trained yet: draw them otherwise, say. Not in session 0."""

    def trainable(self) -> Iterable[nn.Parameter]:
        """Parameters that this session's optimiser gets; all others get no gradient. `self.clock` still counts the last session."""
        return self.model.parameters()

    def below(self) -> Below | None:
        """The part of the network that stands still all session long, if any: its outputs are what `self.mb_x` then holds.

        Computed for many batches at once, and once a view under `views`. Asked before the head grows, whenever rows are loaded;
        called with batch norm in evaluation mode. Under `views` a batch comes again: never write into it. Whoever gives one
        overrides `forward` to go on from there (`self.stands` says whether mb_x is below's output).
        """
        return None

    def frozen_rows(self) -> int:
        """Head rows of that many first classes stay bit-equal through the epoch, though the head trains."""
        return 0

    def session_epochs(self) -> int:
        """Epochs of a session, at most."""
        return int(getattr(self.config, "epochs", 0))

    def before_epoch(self, epoch: int) -> None:
        """Before epoch `epoch` (from 0) of a session. `self.restart(lr)` here begins another phase of training."""

    def finished(self) -> bool:
        """After an epoch: whether the session ends here. The network is in training mode."""
        if self.best_epoch is not None:
            self.best_epoch.offer(self.model, self.test_accuracies(), self.classes_by_session)
        return False

    def test_accuracies(self) -> list[float]:
        """By session, the present one last. Raises RuntimeError unless the runner has granted test images."""
        if self.kit.oracle is None:
            raise RuntimeError("test images are granted under selection oracle_test only")
        return self.kit.oracle(self)

    def session_rows(self) -> Tensor:
        """Rows that the session trains on: its own images. Add `self.kit.memory.rows` to rehearse."""
        return self.own_rows

    def session_loss(self) -> Tensor:
        """Loss of the batch `self.mb_x`, `self.mb_y` with logits `self.mb_output` [N, seen]. Default: cross-entropy."""
        return F.cross_entropy(self.mb_output, self.mb_y)

    def after_session(self) -> None:
        """Bookkeeping in evaluation mode and without gradients, after session 0 too: prototypes, exemplars."""

    def session_log(self) -> dict[str, float]:
        """The method's own numbers of this session, for the record."""
        return {}

    def epoch_log(self) -> dict[str, float]:
        """The method's own numbers after an epoch; asked where a study draws them, and must change nothing."""
        return {}

    def represent(self, features: Tensor) -> list[Tensor]:
        """Backbone features [N, d] to what each head reads, the base head's first; asked where a study measures or draws it."""
        return [self.model.projection(features)]

    def embed(self, images: Tensor) -> Tensor:
        """Test or training images [N, C, S, S] to backbone features [N, d]."""
        return self.model.embed(images)

    def scores(self, features: Tensor) -> Tensor:
        """Backbone features [N, d] to scores [N, classes seen]; the highest is predicted."""
        return self.model.classify(features)

    # The rest is plumbing ---------------------------------------------------------------------------------------------

    @property
    def own_rows(self) -> Tensor:
        """Rows of the images that the current session brings."""
        return torch.tensor(list(self.experience.dataset.row), dtype=torch.int64)

    @property
    def old_classes(self) -> int:
        """Classes of earlier sessions."""
        return self.kit.sessions.span(self.session).start

    @property
    def classes_by_session(self) -> list[int]:
        """How many classes each session so far has brought, the current one last."""
        return [len(self.kit.sessions.span(number)) for number in range(self.session + 1)]

    @property
    def classes_seen(self) -> int:
        """Including those of the current session."""
        return self.kit.sessions.span(self.session).stop

    def embed_rows(self, rows: Tensor) -> Tensor:
        """Features [n, d] of training images under the test transform, in evaluation mode."""
        if type(self).embed is SessionStrategy.embed and not self.model.training:
            stored = self.kit.images.stored_features(rows, self.model)
            if stored is not None:
                return stored
        return torch.cat([self.embed(self.kit.images.plain(part)) for part in self.kit.images.pieces(rows)])

    def _before_training_exp(self, **kwargs: Any) -> None:
        self.session = self.experience.current_experience
        # Session 0 is adopted, not trained: all hooks fire on the loaded base model (avalanche.md 3).
        self.train_epochs = 0 if self.session == 0 else self.session_epochs()
        chosen_by_test = self.session and getattr(self.config, "selection", "last") == "oracle_test"
        self.best_epoch = BestEpoch() if chosen_by_test else None
        self._stop_training = False  # Avalanche leaves it set by a stop at the very last epoch
        self.model.eval()
        with torch.no_grad():
            self.before_session()
        self.model.train()
        self._modes = []
        super()._before_training_exp(**kwargs)

    def make_train_dataloader(self, **kwargs: Any) -> None:
        if self.train_epochs:
            self.load(self.session_rows(), f"session{self.session}", self.train_epochs)

    def load(self, rows: Tensor, stream: str, epochs: int) -> None:
        """Train on these rows from the next epoch on, for `epochs` at most."""
        below, c = self.below(), self.config
        self.stands = below is not None
        batch = c.batch or len(rows)
        self.model.compiled_batch = batch if not self.stands and self.kit.pays(len(rows) * epochs) else 0
        self.dataloader = self.kit.images.batches(rows, batch, stream, below=below, views=c.views, epochs=epochs)

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        self.model = self.model_adaptation()
        if self.session:
            with torch.no_grad():
                self.head_grown()
        self.make_optimizer()

    def make_optimizer(self, **kwargs: Any) -> None:
        """A fresh optimiser over the trainable parameters: momentum never leaks from one session into the next."""
        if self.train_epochs:
            self.restart(self.config.lr)

    def restart(self, lr: float) -> None:
        """A fresh optimiser and schedule from rate `lr` over what is trainable now."""
        self.model.requires_grad_(False)
        chosen = list(self.trainable())
        for parameter in chosen:
            parameter.requires_grad_(True)
        c = self.config
        self.optimizer = sgd(self.parameter_groups(chosen), self.kit.device, lr=lr, momentum=c.momentum, nesterov=c.nesterov)
        stones = list(c.milestones)
        self.schedule = torch.optim.lr_scheduler.MultiStepLR(self.optimizer, stones, c.lr_decay) if stones else None
        self._modes = []

    def parameter_groups(self, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        """Optimiser groups; override to exempt parameters from weight decay."""
        return [{"params": parameters, "weight_decay": self.config.weight_decay}]

    def _before_training_epoch(self, **kwargs: Any) -> None:
        if not self._stop_training:  # Avalanche comes here once more before it ends a session early
            self.before_epoch(self.clock.train_exp_epochs)
        if not self._modes or any(part.training is not mode for part, mode in self._modes):
            self.set_modes()
            self._modes = [(part, part.training) for part in self.model.modules()]
        frozen = self.frozen_rows()
        self._held = [tensor[:frozen].detach().clone() for tensor in self.model.head.class_tensors()] if frozen else []
        super()._before_training_epoch(**kwargs)

    def set_modes(self) -> None:
        """Training mode, with batch norm as the config says: when a phase begins, and after anything that changed a mode."""
        self.model.train()
        set_batch_norm(self.model, self.config.batch_norm == "train")
        if self.config.batch_norm == "last_block":
            set_batch_norm(self.model.backbone.last_block, True)

    def _before_forward(self, **kwargs: Any) -> None:
        begin_step(self.kit.device)
        super()._before_forward(**kwargs)

    def _after_update(self, **kwargs: Any) -> None:
        if self._held:  # weight decay and momentum would move them even without a gradient
            for tensor, held in zip(self.model.head.class_tensors(), self._held, strict=True):
                tensor.data[: len(held)] = held
        super()._after_update(**kwargs)

    def _after_training_epoch(self, **kwargs: Any) -> None:
        if self.schedule is not None:
            self.schedule.step()
        if self.finished():
            self.stop_training()
        super()._after_training_epoch(**kwargs)

    def criterion(self) -> Tensor:
        return self.session_loss()

    def _after_training_exp(self, **kwargs: Any) -> None:
        if self.best_epoch is not None:
            self.best_epoch.restore(self.model)
        self.model.eval()
        with torch.no_grad():
            self.after_session()
        super()._after_training_exp(**kwargs)
