"""The network every method starts from: backbone, optional projection, growing head."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from methods.parts.heads import LinearHead


class Network(nn.Module):
    """Images [N, C, S, S] to logits [N, classes seen].

    The backbone runs in `precision` (fp32 or bf16 autocast) everywhere; features leave it as float32, and projection,
    head and loss are always float32. `projection` is the identity, or the bias-free square layer that LEC-Net's
    release trains in its base session (methods.md 5.1, F1).
    """

    def __init__(self, backbone: nn.Module, feature_dim: int, precision: str, projected: bool = False) -> None:
        super().__init__()
        self.backbone = backbone
        self.feature_dim = feature_dim
        self.precision = precision
        self.projection: nn.Module = nn.Linear(feature_dim, feature_dim, bias=False) if projected else nn.Identity()
        self.head: Any = LinearHead(feature_dim)  # a method may put another in its place

    def embed(self, images: Tensor) -> Tensor:
        """Images to backbone features [N, d], float32."""
        with torch.autocast(images.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
            features = self.backbone(images)
        return features.float()

    def classify(self, features: Tensor) -> Tensor:
        """Backbone features [N, d] to logits [N, classes seen]."""
        return self.head(self.projection(features))

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))


def freeze(module: nn.Module) -> None:
    """No gradients, and evaluation mode."""
    module.requires_grad_(False)
    module.eval()


def set_batch_norm(module: nn.Module, training: bool) -> None:
    """Batch norm over the batch (training) or over the stored statistics, whatever the rest of the module does."""
    for part in module.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            part.train(training)
