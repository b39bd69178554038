"""Base model of SAVC: fantasy classes, and contrast with a queue of keys under joint labels (Song et al., CVPR 2023; docs/methods.md
6.6)."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from methods.contract import BaseKind, BaseStep, KindConfig
from methods.parts.fantasies import FantasyHead, Transforms
from methods.parts.heads import unit
from methods.parts.keys import Keys, drawn_to_keys
from methods.parts.network import Network
from protocols.augment import Scale
from protocols.fields import Share
from protocols.schema import Augment, Sessions


class Savc(BaseKind):
    """Cross-entropy over joint labels of a class and one of M transforms, + `global_weight` * contrast of a large crop with the key of
    another one + `local_weight` * contrast of small crops with that key. Every image is shown under all transforms, in all views.

    Positives are the own key and all keys in the queue under the same joint label. `local_order: released` assigns small crops to keys as
    the released code does, where a crop often meets another transform's key and label. `crops` is what happens to crops beside the
    cropping; None: what happens to the classified view. The source's crops of CUB-200 and miniImageNet overlap the key's by a tenth.
    """

    version = 2
    drop = ("projector", "key_network")

    class Config(KindConfig):
        scale: float = Field(16.0, gt=0)
        turns: Literal[1, 2, 4] = 2  # 4 on miniImageNet
        channel_orders: Literal[1, 3] = 1  # 3 on miniImageNet
        global_weight: float = Field(0.2, ge=0)  # alpha
        local_weight: float = Field(0.8, ge=0)  # beta
        temperature: float = Field(0.07, gt=0)
        width: int = Field(32, ge=1, le=100_000)  # 128 on CUB-200
        queue: int = Field(8192, ge=1, le=1_000_000)
        key_momentum: Share = 0.995  # .999 on CUB-200
        crops: Augment | None = None
        global_scale: Scale = (0.9, 1.0)  # .2-1 on miniImageNet and CUB-200, where local crops have .05-.14
        local_scale: Scale = (0.2, 0.7)
        local_crops: int = Field(4, ge=1, le=64)
        local_side: int = Field(18, ge=1, le=10_000)  # 50 on miniImageNet, 96 on CUB-200
        local_order: Literal["matched", "released"] = "matched"

    @property
    def transforms(self) -> Transforms:
        return Transforms(self.config.turns, self.config.channel_orders)

    def build(self, network: Network, sessions: Sessions) -> None:
        c, d = self.config, network.feature_dim
        network.head = FantasyHead(d, c.scale, self.transforms)
        project = nn.Sequential(nn.Linear(d, d), nn.ReLU(), nn.Linear(d, c.width))
        network.parts.update({"key_network": Keys(network, project, c.width, c.queue), "projector": project})

    def class_rows(self, network: Network) -> list[Tensor]:
        return network.head.class_tensors()

    def groups(self, network: Network) -> list[dict[str, Any]]:
        keys = {id(parameter) for parameter in network.parts["key_network"].parameters()}
        return [{"params": [parameter for parameter in network.parameters() if id(parameter) not in keys]}]

    def other_views(self, own: Augment) -> list[tuple[Augment, int | None]]:
        c = self.config
        large, small = (
            (c.crops or own).model_copy(update={"pad": 0, "crop_or_resized": False, "scale": scale})
            for scale in (c.global_scale, c.local_scale)
        )
        return [(large, None)] * 2 + [(small, c.local_side)] * c.local_crops

    def expand(self, views: list[Tensor], labels: Tensor) -> tuple[list[Tensor], Tensor]:
        return [self.transforms.shown(view) for view in views], self.transforms.joint_labels(labels)

    def loss(self, network: Network, views: list[Tensor], labels: Tensor, step: BaseStep) -> Tensor:
        c, (classified, query, key, *local) = self.config, views
        keys, project = network.parts["key_network"], network.parts["projector"]
        joint = F.cross_entropy(network.head.joint(network.embed(classified)), labels)
        large = unit(project(network.embed(query)))
        small = unit(project(network.embed(torch.cat(local))))
        met, queue, queued = keys.of(key), keys.queue.clone(), keys.labels.clone()  # type: ignore[operator]
        keys.add(met, labels)  # type: ignore[operator]
        rows = rows_met(len(labels), len(local), len(self.transforms), c.local_order == "released", labels.device)
        of_large = drawn_to_keys(large, met, queue, labels[:, None] == queued, c.temperature)
        of_small = drawn_to_keys(small, met[rows], queue, labels[rows, None] == queued, c.temperature)
        return joint + c.global_weight * of_large + c.local_weight * of_small

    def after_update(self, network: Network) -> None:
        network.parts["key_network"].follow(network, network.parts["projector"], self.config.key_momentum)  # type: ignore[operator]


def rows_met(count: int, crops: int, transforms: int, released: bool, device: torch.device) -> Tensor:
    """For each small crop, in the order (crop, image, transform), the row of the key that it is compared with, of `count` rows in the order
    (image, transform). `released`: crops in the order (image, crop, transform) are taken for (image, transform, crop)."""
    crop, image, transform = torch.meshgrid(
        *(torch.arange(n, device=device) for n in (crops, count // transforms, transforms)), indexing="ij"
    )
    met = (crop * transforms + transform) // crops if released else transform
    return (image * transforms + met).flatten()
