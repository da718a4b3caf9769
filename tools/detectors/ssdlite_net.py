"""SSDLite on MobileNetV2, for one class: the network behind the detector that ships with ctgi.

Layers as in TensorFlow's object detection API (ssdlite_mobilenet_v2), whose weights it takes, with batch norms folded
into the convolutions. It is fully convolutional: anchors are in pixels, so that pictures of any size are taken.
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

TRAINED_PX = 300
"""The side of the square pictures that it was trained on: anchors are shares of it."""
_BLOCKS = [  # expansion, channels, stride
    (1, 16, 1), (6, 24, 2), (6, 24, 1), (6, 32, 2), (6, 32, 1), (6, 32, 1), (6, 64, 2), (6, 64, 1), (6, 64, 1),
    (6, 64, 1), (6, 96, 1), (6, 96, 1), (6, 96, 1), (6, 160, 2), (6, 160, 1), (6, 160, 1), (6, 320, 1),
]  # fmt: skip
_TAPPED = 13
"""The block whose expanded input is the first feature map."""
_EXTRAS = [(1280, 256, 512), (512, 128, 256), (256, 128, 256), (256, 64, 128)]
_MAPS = (576, 1280, 512, 256, 256, 128)
"""Channels of the feature maps, finest first."""
_HALVINGS = 4
"""Convolutions of stride 2 before the first feature map; each further map has one more."""
_SCALES = (0.2, 0.35, 0.5, 0.65, 0.8, 0.95, 1.0)
_RATIOS = (1.0, 2.0, 0.5, 3.0, 0.3333)


class Conv(nn.Conv2d):
    """A convolution with TensorFlow's "SAME" padding, which is uneven where the stride is 2."""

    def __init__(self, into: int, out: int, side: int = 1, stride: int = 1, *, each: bool = False, act: bool = True):
        super().__init__(into, out, side, stride, groups=into if each else 1)
        self.act = act

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, out, ceil(H / stride), ceil(W / stride)]."""
        side, stride = self.kernel_size[0], self.stride[0]
        if side > 1:
            height, width = ((max((math.ceil(n / stride) - 1) * stride + side - n, 0)) for n in x.shape[2:])
            x = F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2))
        x = super().forward(x)
        return x.clamp(0, 6) if self.act else x


class Block(nn.Module):
    """An inverted residual."""

    def __init__(self, into: int, expansion: int, out: int, stride: int):
        super().__init__()
        wide = into * expansion
        self.expand = Conv(into, wide) if expansion > 1 else nn.Identity()
        self.depthwise = Conv(wide, wide, 3, stride, each=True)
        self.project = Conv(wide, out, act=False)
        self.keeps = stride == 1 and into == out

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The output, and the expanded input."""
        wide = self.expand(x)
        out = self.project(self.depthwise(wide))
        return (x + out if self.keeps else out), wide


class SsdLite(nn.Module):
    """Pictures to boxes with a score each."""

    def __init__(self) -> None:
        super().__init__()
        channels = [32, *(out for _, out, _ in _BLOCKS)]
        self.stem = Conv(3, 32, 3, 2)
        self.blocks = nn.ModuleList(
            Block(into, expansion, out, stride)
            for into, (expansion, out, stride) in zip(channels, _BLOCKS, strict=False)
        )
        self.last = Conv(320, 1280)
        self.extras = nn.ModuleList(
            nn.Sequential(Conv(into, middle), Conv(middle, middle, 3, 2, each=True), Conv(middle, out))
            for into, middle, out in _EXTRAS
        )
        anchors = [len(_sizes(level)) for level in range(len(_MAPS))]
        self.boxes = nn.ModuleList(_head(into, 4 * n) for into, n in zip(_MAPS, anchors, strict=True))
        self.scores = nn.ModuleList(_head(into, 2 * n) for into, n in zip(_MAPS, anchors, strict=True))

    def forward(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """[B, 3, H, W] in [-1, 1] -> boxes [B, N, 4] as x0, y0, x1, y1 in px, and scores [B, N] in [0, 1]."""
        maps = self._maps(pictures)
        batch, height, width = len(pictures), *pictures.shape[2:]
        boxes = [head(x).permute(0, 2, 3, 1).reshape(batch, -1, 4) for head, x in zip(self.boxes, maps, strict=True)]
        logits = [head(x).permute(0, 2, 3, 1).reshape(batch, -1, 2) for head, x in zip(self.scores, maps, strict=True)]
        anchors = [_anchors(level, x, height, width) for level, x in enumerate(maps)]
        return _decoded(torch.cat(boxes, 1), torch.cat(anchors)), torch.cat(logits, 1)[..., 1].sigmoid()

    def _maps(self, x: Tensor) -> list[Tensor]:
        x = self.stem(x)
        maps = []
        for number, block in enumerate(self.blocks):
            x, wide = block(x)
            if number == _TAPPED:
                maps.append(wide)
        maps.append(self.last(x))
        for extra in self.extras:
            maps.append(extra(maps[-1]))
        return maps


def _head(into: int, out: int) -> nn.Sequential:
    return nn.Sequential(Conv(into, into, 3, each=True), Conv(into, out, act=False))


def _sizes(level: int) -> list[tuple[float, float]]:
    """(width, height) in px of the anchors at each place of a feature map."""
    if level == 0:
        shapes = [(0.1, 1.0), (0.2, 2.0), (0.2, 0.5)]
    else:
        scale, following = list(pairwise(_SCALES))[level]
        shapes = [*((scale, ratio) for ratio in _RATIOS), (math.sqrt(scale * following), 1.0)]
    return [(TRAINED_PX * s * math.sqrt(ratio), TRAINED_PX * s / math.sqrt(ratio)) for s, ratio in shapes]


def _anchors(level: int, features: Tensor, height: int, width: int) -> Tensor:
    """[rows * columns * shapes, 4] as center and size in px."""
    rows, columns = features.shape[2:]
    y, x = _centers(level, height, rows), _centers(level, width, columns)
    sizes = torch.tensor(_sizes(level))
    centers = torch.stack(torch.meshgrid(y, x, indexing="ij"), -1).flip(-1)[:, :, None].expand(-1, -1, len(sizes), -1)
    return torch.cat([centers, sizes.expand(rows, columns, -1, -1)], -1).reshape(-1, 4).to(features)


def _centers(level: int, side: int, count: int) -> Tensor:
    """Where a feature map's places lie in a picture of this side, in px, as far off as they were in training."""
    trained = [TRAINED_PX, *_halved(TRAINED_PX, level)][-1]
    step, first = _lattice(TRAINED_PX, level)
    learned = (torch.arange(trained) + 0.5) * TRAINED_PX / trained - (torch.arange(trained) * step + first)
    step, first = _lattice(side, level)
    return torch.arange(count) * step + first + learned.mean()


def _halved(side: int, level: int) -> list[int]:
    """The sides of all maps up to this level; each halving rounds up."""
    sides = []
    for _ in range(_HALVINGS + level):
        side = -(-side // 2)
        sides.append(side)
    return sides


def _lattice(side: int, level: int) -> tuple[int, int]:
    """What a map's places see the middle of: every how many px, and the first. Uneven padding shifts even sides."""
    step, first = 1, 0
    for entering in [side, *_halved(side, level)][:-1]:
        first += step * (1 - entering % 2)
        step *= 2
    return step, first


def _decoded(codes: Tensor, anchors: Tensor) -> Tensor:
    """Boxes out of what the network says about each anchor: ty, tx, th, tw."""
    center = anchors[:, :2] + codes[..., [1, 0]] / 10 * anchors[:, 2:]
    half = (codes[..., [3, 2]] / 5).exp() * anchors[:, 2:] / 2
    return torch.cat([center - half, center + half], -1)
