"""Residual networks. Initial values come from torch's global generator, in the order in which layers are made."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from methods.parts.backbone import Backbone, conv3x3, run


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut, a 1x1 projection where the shape changes (He et al., CVPR 2016, Fig. 2)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(c_in, c_out, stride), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = conv3x3(c_out, c_out), nn.BatchNorm2d(c_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or c_in != c_out:
            self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet20(Backbone):
    """The "ResNet18" of TOPIC's CIFAR tables: ResNet-20, 64-d features, 271,824 parameters (docs/methods.md 1.6).

    As in gluon's `cifar_resnet20_v1`, there is no ReLU between the stem's batch norm and the first block.
    """

    feature_dim = 64

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv3x3(channels, 16), nn.BatchNorm2d(16))
        widths = [(16, 16, 1), (16, 32, 2), (32, 64, 2)]
        self.stages = nn.Sequential(
            *(
                nn.Sequential(BasicBlock(c_in, c_out, stride), BasicBlock(c_out, c_out, 1), BasicBlock(c_out, c_out, 1))
                for c_in, c_out, stride in widths
            )
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def last_block(self) -> nn.Module:
        return list(self.stages)[2][2]  # type: ignore[index]

    def lower(self, images: Tensor) -> Tensor:
        first, second, third = self.stages
        return run(list(third)[:2], second(first(self.stem(images))))  # type: ignore[call-overload]

    def upper(self, x: Tensor) -> Tensor:
        return self.last_block(x)


class ResNet18(Backbone):
    """torchvision's ResNet-18 without its classifier: 7x7/2 stem and max-pool, 512-d, 11,176,512 parameters."""

    feature_dim = 512
    last_stage = 2
    """Blocks of the last stage."""

    def __init__(self, channels: int) -> None:
        if channels != 3:
            raise ValueError("backbone resnet18 reads 3 channels")
        super().__init__()
        from torchvision.models.resnet import BasicBlock, ResNet

        self.net = ResNet(BasicBlock, [2, 2, 2, self.last_stage])
        self.net.fc = nn.Identity()

    @property
    def last_block(self) -> nn.Module:
        return self.net.layer4[-1]

    def lower(self, images: Tensor) -> Tensor:
        net = self.net
        x = net.maxpool(net.relu(net.bn1(net.conv1(images))))
        return run(list(net.layer4)[:-1], net.layer3(net.layer2(net.layer1(x))))

    def upper(self, x: Tensor) -> Tensor:
        return self.last_block(x)


class ResNet18WithSmallStem(ResNet18):
    """ALICE's and WaRP's ResNet-18: a 3x3 stem of stride 1 and no max-pool, 512-d; 11,168,832 parameters on 3 channels.

    Maps are four times as wide and high as under torchvision's stem. docs/methods.md 1.6.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(3)
        self.net.conv1 = conv3x3(channels, 64)
        nn.init.kaiming_normal_(self.net.conv1.weight, mode="fan_out", nonlinearity="relu")
        self.net.maxpool = nn.Identity()


class ResNet18WithOneMoreBlock(ResNet18):
    """ResNet-18 with a third block in its last stage: 512-d, 15,897,152 parameters. The network of Microsoft's ImageNet featurizer, whose
    weights can be had where torchvision's cannot (docs/DATA.md)."""

    last_stage = 3


SLOPE = 0.1  # of ResNet-12's leaky ReLU


class PooledBlock(nn.Module):
    """Three 3x3 convolutions with a 1x1 projection as shortcut, leaky ReLU and 2x2 max-pool: a stage of ResNet-12."""

    def __init__(self, c_in: int, c_out: int) -> None:
        super().__init__()
        self.conv1, self.bn1 = conv3x3(c_in, c_out), nn.BatchNorm2d(c_out)
        self.conv2, self.bn2 = conv3x3(c_out, c_out), nn.BatchNorm2d(c_out)
        self.conv3, self.bn3 = conv3x3(c_out, c_out), nn.BatchNorm2d(c_out)
        self.shortcut = nn.Sequential(nn.Conv2d(c_in, c_out, 1, bias=False), nn.BatchNorm2d(c_out))

    def forward(self, x: Tensor) -> Tensor:
        y = F.leaky_relu(self.bn1(self.conv1(x)), SLOPE)
        y = F.leaky_relu(self.bn2(self.conv2(y)), SLOPE)
        y = F.leaky_relu(self.bn3(self.conv3(y)) + self.shortcut(x), SLOPE)
        return F.max_pool2d(y, 2)


class ResNet12(Backbone):
    """The few-shot literature's ResNet-12 (64-160-320-640), without DropBlock: 640-d, 12,424,320 parameters on 3 channels.

    NC-FSCIL, OrCo and ADBS use it on CIFAR-100 (docs/methods.md 1.6, docs/modern.md 2.3). Its last block is the fourth stage.
    """

    feature_dim = 640

    def __init__(self, channels: int) -> None:
        super().__init__()
        widths = [(channels, 64), (64, 160), (160, 320), (320, 640)]
        self.stages = nn.Sequential(*(PooledBlock(c_in, c_out) for c_in, c_out in widths))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, SLOPE, mode="fan_out", nonlinearity="leaky_relu")

    @property
    def last_block(self) -> nn.Module:
        return self.stages[3]

    def lower(self, images: Tensor) -> Tensor:
        return run(list(self.stages)[:3], images)

    def upper(self, x: Tensor) -> Tensor:
        return self.last_block(x)


def late_stages(backbone: Backbone) -> list[nn.Module]:
    """The stages after the second ("layer 3" on, of residual networks); of other networks, the last block. Raises ValueError for a network
    that names none."""
    if isinstance(backbone, ResNet18):
        return [backbone.net.layer3, backbone.net.layer4]
    if isinstance(backbone, ResNet20 | ResNet12):
        return list(backbone.stages)[2:]
    try:
        return [backbone.last_block]
    except (NotImplementedError, ValueError) as error:  # its own words may say "train all of it", which is no help here
        said = "the network names no last block, whose layers this needs; write a methods.parts.backbone.Backbone that does"
        raise ValueError(said) from error
