"""The base class of methods, an Avalanche strategy: plugins and loggers attach as usual, `train(experience)` runs one session.

It replaces only what Avalanche 0.6 does wrongly or slowly in few-shot sessions (docs/ADDING_A_METHOD.md says what and why). Methods
override the hooks of hooks.py. Do not override anything in this file except where a docstring allows it.
"""

from __future__ import annotations

from collections.abc import Sequence, Sized
from functools import partial
from types import SimpleNamespace
from typing import Any, cast

import torch
from avalanche.training.plugins import EvaluationPlugin
from avalanche.training.templates import SupervisedTemplate
from torch import Tensor, nn

from methods.contract.config import MethodConfig, TrainConfig
from methods.contract.context import MethodContext
from methods.contract.hooks import Hooks
from methods.contract.plugins import acts_within_a_step
from methods.contract.selection import BestEpoch
from methods.parts.capture import Branch, CaptureError, recorder_for
from methods.parts.heads import GrowingHead
from methods.parts.network import begin_step, hold_still, set_batch_norm
from methods.parts.optimizer import make_capturable, optimizer_for, set_lr, state_tensors
from methods.parts.schedules import is_flat, learning_rate
from methods.parts.step import train_step
from methods.parts.vectors import WithVectors
from protocols.training import Training


class SessionStrategy(Hooks, SupervisedTemplate):
    """Base class of all methods."""

    def __init__(self, *, context: MethodContext, config: MethodConfig, plugins: Sequence[Any] = ()) -> None:
        self.context = context
        self.config: Any = config
        self.session = 0
        self.has_frozen_part = False
        self.fixed_epochs: int | None = None  # set by the runner under selection val
        self.epochs_chosen = 0
        self.now = SimpleNamespace()
        self.adopt(context.network)
        self._refuse_full_head(context.network.head)
        super().__init__(
            model=context.network,
            optimizer=no_optimizer(),
            train_mb_size=1,
            eval_mb_size=1,
            device=context.device,
            plugins=list(plugins),
            evaluator=EvaluationPlugin(),
        )
        self.plugins.remove(self.evaluator)  # it has no metrics, yet copies the experience ten times per iteration

    def _refuse_full_head(self, head: Any) -> None:
        """Raises ValueError where sessions would train on logits that the head of the base has for no class to come."""
        trains_on_logits = isinstance(self.config, TrainConfig) and type(self).forward is Hooks.forward
        if trains_on_logits and isinstance(head, GrowingHead) and not head.has_room(self.context.sessions.classes):
            raise ValueError(
                "the head of its base has targets of base classes alone, and its sessions train logits of new ones; choose another base"
            )

    def _before_training_exp(self, **kwargs: Any) -> None:
        self.session = self.experience.current_experience
        # Session 0 is not trained: the hooks run on the loaded base model.
        self.train_epochs = 0 if self.session == 0 else self.fixed_epochs or self.session_epochs()
        self.now = SimpleNamespace(modes=[], held=[])  # training flags after set_modes; weights of frozen classes
        self.now.best_epoch = BestEpoch() if self.session and self.may_measure else None
        self._stop_training = False  # Avalanche does not reset it if the last epoch stopped the session
        self.model.eval()
        with torch.no_grad():
            self.before_session()
        self.model.train()
        super()._before_training_exp(**kwargs)

    def make_train_dataloader(self, **kwargs: Any) -> None:
        if self.train_epochs:
            self.load(self.session_indices(), f"session{self.session}", self.train_epochs)

    def load(self, indices: Tensor, stream: str, epochs: int) -> None:
        """Train on the images `indices` from the next epoch on, for at most `epochs` epochs."""
        frozen_part, c = self.frozen_part(), self.config
        self.has_frozen_part = frozen_part is not None
        batch = c.batch or max(1, len(indices))
        self.model.compiled_batch = batch if not self.has_frozen_part and self.context.compiling_pays(len(indices) * epochs) else 0
        images = self.context.images.batches(indices, batch, stream, frozen_part=frozen_part, views=c.views, epochs=epochs)
        stored = self.session_vectors()
        if stored is None and not len(indices):
            raise ValueError("session_indices: no image to train on, and no session_vectors")
        if stored is not None and not self.has_frozen_part:
            raise ValueError("session_vectors: they take the place of a frozen part's outputs, and this session trains the whole network")
        self.dataloader = images if stored is None else WithVectors(images if len(indices) else None, len(indices), *stored, c.batch)

    def check_model_and_optimizer(self, **kwargs: Any) -> None:
        self.model = self.model_adaptation()
        if self.session:
            with torch.no_grad():
                self.head_grown()
        self.make_optimizer()

    def make_optimizer(self, **kwargs: Any) -> None:
        """Create a new optimiser in every session, so that no momentum carries over from the previous one."""
        if self.train_epochs:
            self.restart(self.config.lr, self.first_phase_epochs())

    def restart(self, lr: float, epochs: int | None = None) -> None:
        """Create a new optimiser over the currently trainable parameters, and begin the schedule anew with learning rate `lr`.

        `epochs` is the length of the phase that begins, as `cosine` and `onecycle` need it. Default: the rest of `session_epochs()`,
        also where selection `val` ends the session before: its length was found under that schedule.
        """
        self.model.requires_grad_(False)
        chosen = list(self.trainable())
        for parameter in chosen:
            parameter.requires_grad_(True)
        self.optimizer = optimizer_for(self.parameter_groups(chosen), self.config, lr, self.context.device)
        watched = any(acts_within_a_step(plugin) for plugin in self.plugins)
        records = self.capturable and self.context.records_sessions and not watched
        recorder = recorder_for(self.context.device) if records else None
        self.now.steps, self.now.branch, self.model.recorded = self.context.steps(recorder), None, recorder is not None
        self.now.phase_epochs = self.session_epochs() - self.clock.train_exp_epochs if epochs is None else epochs
        self.now.phase_step, self.now.highest_rates = 0, [group["lr"] for group in self.optimizer.param_groups]
        self.set_rates()
        if recorder is not None:
            make_capturable(self.optimizer, self.context.device)
        self.now.modes = []

    def set_rates(self) -> None:
        """Set the learning rate of the next step in every group, as the schedule says."""
        now, steps = self.now, len(cast(Sized, self.dataloader))
        c = self.course(steps)
        if is_flat(c):
            return
        for group, lr in zip(self.optimizer.param_groups, now.highest_rates, strict=True):
            set_lr(group, learning_rate(c, now.phase_step, steps, self.config.lr_decay, lr=lr, epochs=now.phase_epochs, products=True))

    def course(self, steps: int) -> Training:
        """Settings of the learning rate's course in this session, of `steps` steps an epoch. Override it where they depend on those."""
        course: Training = self.config
        return course

    def parameter_groups(self, parameters: list[nn.Parameter]) -> list[dict[str, Any]]:
        """Optimiser groups. Override this to exempt parameters from weight decay, for example."""
        return [{"params": parameters, "weight_decay": self.config.weight_decay}]

    def _before_training_epoch(self, **kwargs: Any) -> None:
        if not self._stop_training:  # Avalanche calls this once more before it ends a session early
            self.before_epoch(self.clock.train_exp_epochs)
        if not self.now.modes or any(part.training is not mode for part, mode in self.now.modes):
            self.set_modes()
            self.now.modes = [(part, part.training) for part in self.model.modules()]
        frozen = self.frozen_classes()
        self.now.held = [tensor[:frozen].detach().clone() for tensor in self.model.head.class_tensors()] if frozen else []
        super()._before_training_epoch(**kwargs)

    def set_modes(self) -> None:
        """Set training mode, and batch norm as configured. Called when a phase begins, and before an epoch if a mode has changed."""
        self.model.train()
        set_batch_norm(self.model, self.config.batch_norm == "train")
        if self.config.batch_norm == "last_block":
            set_batch_norm(self.model.backbone.last_block, True)
        hold_still(self.model, self.part if self.has_frozen_part else self.context.trains)

    def training_epoch(self, **kwargs: Any) -> None:
        """Avalanche's loop, with the suite's own step: the same as in the base session."""

        def loss_of() -> Tensor:
            self._before_forward(**kwargs)
            self.mb_output = self.forward()
            self._after_forward(**kwargs)
            self.loss = self.criterion()
            self._before_backward(**kwargs)
            return self.loss

        def before_update() -> None:
            self._after_backward(**kwargs)
            self._before_update(**kwargs)

        def step(batch: Sequence[Tensor], recorded: bool) -> Tensor:
            if recorded and self.now.held:
                raise CaptureError("the weights that it holds are copied anew in every epoch")
            self.mbatch = list(batch)
            self.loss = train_step(loss_of, self.optimizer, before_update, partial(self._after_update, **kwargs))
            self.mb_output = self.mb_output.detach()  # or gradients of the next step go to this one's stream, which breaks a recording
            return self.loss

        if self.now.branch is None:
            self.now.branch = Branch(step, self.state_of_step)
        for batch in self.dataloader:
            if self._stop_training:
                break
            self.mbatch = batch
            self._unpack_minibatch()
            self._before_training_iteration(**kwargs)
            begin_step(self.context.device)
            [self.loss] = self.now.steps([self.now.branch], [self.mbatch])
            self.now.phase_step += 1
            self.set_rates()
            self._after_training_iteration(**kwargs)

    def state_of_step(self) -> list[Tensor]:
        """The tensors that a training step changes."""
        return [*self.model.parameters(), *self.model.buffers(), *state_tensors(self.optimizer)]

    def _before_update(self, **kwargs: Any) -> None:
        self.before_update()
        super()._before_update(**kwargs)

    def _after_update(self, **kwargs: Any) -> None:
        if self.now.held:  # weight decay and momentum would change these weights even without a gradient
            for tensor, held in zip(self.model.head.class_tensors(), self.now.held, strict=True):
                tensor.data[: len(held)] = held
        self.after_update()
        super()._after_update(**kwargs)

    def _after_training_epoch(self, **kwargs: Any) -> None:
        if self.finished():
            self.stop_training()
        super()._after_training_epoch(**kwargs)

    def criterion(self) -> Tensor:
        return self.session_loss()

    def _after_training_exp(self, **kwargs: Any) -> None:
        best = self.now.best_epoch
        self.epochs_chosen = self.clock.train_exp_epochs
        if best is not None and best.offered:  # epochs that are not offered, such as a warm-up, come first
            self.epochs_chosen += best.epochs - best.offered
        if best is not None:
            best.restore(self.model)
        self.model.eval()
        with torch.no_grad():
            self.after_session()
        super()._after_training_exp(**kwargs)
        self.now = SimpleNamespace()
        self.model.recorded = False
        self.optimizer = no_optimizer()


def no_optimizer() -> torch.optim.SGD:
    """A stand-in between sessions: Avalanche wants an optimiser, and a session's own dies with it."""
    return torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
