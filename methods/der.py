"""DER: dark experience replay (Buzzega et al., NeurIPS 2020, Eq. 6), with and without its buffer (docs/methods.md 6.10)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional as F

from methods.contract import SessionStrategy, TrainConfig
from protocols.schema import Sessions


class Der(SessionStrategy):
    """`no_buffer` is LEC-Net's DER* in Table 6: without replay it is plain fine-tuning. `buffer200` replays logits.

    The buffer is a uniform sample of all images seen, with the logits of the network at the end of their session (as in
    Avalanche; mammoth stores them during training). A head that has all classes from the start would also store logits of
    future classes. Here the head grows, so logits of new classes are added when these arrive, computed with their initial
    weights. Without them, nothing would keep old images from being assigned to new classes.
    """

    title = "DER"

    class Config(TrainConfig):
        batch_norm: Literal["eval", "train", "last_block"] = "train"
        buffer: int = Field(0, ge=0)
        replay_batch: int = Field(10, ge=1)
        alpha: float = Field(0.2, ge=0)

    presets = {"no_buffer": {}, "buffer200": {"buffer": 200}}

    @classmethod
    def budget(cls, config: Any, sessions: Sessions) -> int | None:
        return int(config.buffer)

    def adopt(self, network: Any) -> None:
        super().adopt(network)
        self.images_seen = 0
        if self.config.buffer:
            network.register_buffer("stored_logits", torch.empty(0, 0))  # [n, classes seen], in the order of memory.indices

    def buffer_logits(self, indices: Tensor) -> Tensor:
        """Logits [n, classes seen] of un-augmented training images under the current network."""
        self.model.eval()
        return self.model.classify(self.embed_indices(indices)) if len(indices) else torch.empty(0, self.classes_seen)

    def head_grown(self) -> None:
        indices, stored = self.context.memory.indices, self.model.stored_logits if self.config.buffer else None
        if stored is not None and len(indices):
            self.model.stored_logits = torch.cat([stored, self.buffer_logits(indices)[:, stored.shape[1] :]], dim=1)

    def session_loss(self) -> Tensor:
        loss = F.cross_entropy(self.mb_output, self.mb_y)
        indices = self.context.memory.indices
        if len(indices):
            picked = torch.randperm(len(indices))[: self.config.replay_batch]
            logits = self.model(self.context.images.plain(indices[picked]))
            loss = loss + self.config.alpha * F.mse_loss(logits, self.model.stored_logits[picked])
        return loss

    def after_session(self) -> None:
        """Reservoir sampling over all images so far: each is in the buffer with equal probability."""
        if not self.config.buffer:
            return
        kept, own = self.context.memory.indices, self.own_indices
        logits = {int(row): line for row, line in zip(kept, self.model.stored_logits, strict=True)}
        places: list[int] = kept.tolist()
        for row in own[torch.randperm(len(own))].tolist():
            self.images_seen += 1
            if len(places) < self.config.buffer:
                places.append(row)
            elif (place := int(torch.randint(self.images_seen, ()))) < self.config.buffer:
                places[place] = row
        indices = torch.tensor(sorted(places))
        new = indices[~torch.isin(indices, kept)]
        logits |= {int(row): line for row, line in zip(new, self.buffer_logits(new), strict=True)}
        self.context.memory.drop(kept[~torch.isin(kept, indices)])
        self.context.memory.keep(indices)
        self.model.stored_logits = torch.stack([logits[row] for row in indices.tolist()])
