"""The detector that ships with ctgi: an SSDLite for people, 6 MB, which works offline at once on a CPU."""

import asyncio
import threading
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torchvision.ops import nms

from ctgi.bindings import Binding
from ctgi.device import pick_device
from ctgi.embedded import PEOPLE
from ctgi.errors import CtgiError
from ctgi.retrieval.images import ImageRef, picture_at
from ctgi.settings import Settings
from ctgi.tools.detectors.ssdlite_net import SsdLite
from ctgi.tools.types import Detection, Detections

LEAST_SCORE = 0.3
SHORT_SIDE_PX = 352
"""Pictures are scaled to this: of the sizes tried, the best in people found and false boxes together."""
_LONG_SIDE_PX = 1280
_STEP_PX = 32
_OVERLAP = 0.5
"""Boxes that share more than this, as intersection over union, are one person."""
_COVERED = 0.7
"""And so is a box of which a surer one covers this share: a head and shoulders found once more."""


def open_shipped(binding: Binding, settings: Settings) -> "ShippedDetector":
    """The detector; its weights are loaded at the first picture.

    Raises:
        CtgiError: this installation came without it, or there is no such device.
    """
    if not PEOPLE.is_file():
        raise CtgiError(
            f"this installation lacks the detector of people, {PEOPLE}: install ctgi again, "
            "or bind another one, like --bind detect_people=hf:PekingU/rtdetr_v2_r18vd"
        )
    return ShippedDetector(PEOPLE, pick_device(settings.endpoint(binding).device, "the endpoint's device"))


class ShippedDetector:
    """detect_people by the detector that ships with ctgi."""

    def __init__(self, weights: Path, device: str) -> None:
        self._weights, self._device = weights, device
        self._network: SsdLite | None = None
        self._loading = threading.Lock()

    async def __call__(self, image: ImageRef) -> Detections:
        """Picture -> people. Raises ImageError if it cannot be read."""
        return await asyncio.to_thread(self._read, image)

    async def aclose(self) -> None:
        """Let go of the weights."""
        self._network = None

    def _read(self, image: ImageRef) -> Detections:
        with picture_at(image.path, image.sha256) as picture:
            return Detections(tuple(self.detect(picture.image)))

    def detect(self, picture: Image.Image) -> list[Detection]:
        """The people in an RGB picture, surest first."""
        small = picture.resize(_size(picture), Image.Resampling.BILINEAR, reducing_gap=2.0)
        pixels = torch.from_numpy(np.array(small)).to(self._device).permute(2, 0, 1)[None].float() / 127.5 - 1
        with torch.inference_mode():
            boxes, scores = self.network()(pixels.contiguous(memory_format=torch.channels_last))
        middle = (boxes[0][:, :2] + boxes[0][:, 2:]) / 2
        inside = (middle > 0) & (middle < torch.tensor(small.size, device=middle.device))  # padding looks like somebody
        kept = (scores[0] >= LEAST_SCORE) & inside.all(dim=1)
        there = boxes[0][kept].cpu() * torch.tensor([picture.width / small.width, picture.height / small.height] * 2)
        return [
            Detection((round(left, 1), round(top, 1), round(right, 1), round(bottom, 1)), round(score, 4))
            for (left, top, right, bottom), score in _distinct(_inside(there, picture), scores[0][kept].cpu())
        ]

    def network(self) -> SsdLite:
        """The network, loaded at the first call."""
        with self._loading:
            if self._network is None:
                network = SsdLite()
                network.load_state_dict(load_file(self._weights))
                self._network = network.eval().to(self._device).to(memory_format=torch.channels_last)
        return self._network


def _size(picture: Image.Image) -> tuple[int, int]:
    """(width, height) for the network."""
    scale = min(SHORT_SIDE_PX / min(picture.size), _LONG_SIDE_PX / max(picture.size))
    width, height = (max(1, round(side * scale / _STEP_PX)) * _STEP_PX for side in picture.size)
    return width, height


def _inside(boxes: torch.Tensor, picture: Image.Image) -> torch.Tensor:
    edges = torch.tensor([picture.width, picture.height] * 2, dtype=boxes.dtype)
    return torch.minimum(boxes.clamp(min=0), edges)


def _distinct(boxes: torch.Tensor, scores: torch.Tensor) -> list[tuple[list[float], float]]:
    """One box for each person, surest first."""
    kept: list[int] = []
    for one in nms(boxes, scores, _OVERLAP).tolist():
        if all(_covered(boxes[one], boxes[surer]) <= _COVERED for surer in kept):
            kept.append(one)
    return [(boxes[one].tolist(), float(scores[one])) for one in kept]


def _covered(box: torch.Tensor, other: torch.Tensor) -> float:
    """The share of the smaller box that both have."""
    shared = (torch.minimum(box[2:], other[2:]) - torch.maximum(box[:2], other[:2])).clamp(min=0).prod()
    least = min(float((box[2:] - box[:2]).prod()), float((other[2:] - other[:2]).prod()))
    return float(shared) / least if least else 1.0
