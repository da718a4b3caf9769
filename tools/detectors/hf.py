"""detect_people by any object-detection checkpoint of transformers: `hf:PATH_OR_ID` (RT-DETR, D-FINE, DETR, YOLOS)."""

import asyncio
import threading
from typing import Any, NamedTuple

import torch
import transformers
from PIL import Image

from ctgi.bindings import Binding
from ctgi.device import pick_device
from ctgi.errors import CtgiError
from ctgi.retrieval.images import ImageRef, picture_at
from ctgi.settings import Settings
from ctgi.tools.backends.hf_checkpoint import be_quiet, check_checkpoint, explained_memory, place_of, readable
from ctgi.tools.detectors.shipped import LEAST_SCORE
from ctgi.tools.types import Detection, Detections

_PEOPLE = frozenset({"person", "people", "pedestrian", "human", "man", "woman"})
"""Labels of people in the data sets that detectors are trained on."""
_SHOWN = 8


class _Loaded(NamedTuple):
    network: Any
    processor: Any
    people: frozenset[int]
    """Numbers of the labels that mean people."""


def open_hf_detector(binding: Binding, settings: Settings) -> "HfDetector":
    """The detector; its weights are loaded at the first picture.

    Raises:
        CtgiError: no such folder or device, or no checkpoint in the folder.
    """
    check_checkpoint(binding.model)
    return HfDetector(binding.model, pick_device(settings.endpoint(binding).device, "the endpoint's device"))


class HfDetector:
    """detect_people by a transformers checkpoint."""

    def __init__(self, model: str, device: str) -> None:
        self._model, self._device = model, device
        self._loaded: _Loaded | None = None
        self._turn = threading.Lock()

    async def __call__(self, image: ImageRef) -> Detections:
        """Picture -> people.

        Raises:
            ImageError: it cannot be read.
            CtgiError: no checkpoint that finds people.
        """
        return await asyncio.to_thread(self._read, image)

    async def aclose(self) -> None:
        """Let go of the weights."""
        self._loaded = None

    def _read(self, image: ImageRef) -> Detections:
        with picture_at(image.path, image.sha256) as picture, self._turn:
            return Detections(tuple(self._detect(picture.image)))

    def _detect(self, picture: Image.Image) -> list[Detection]:
        loaded = self._loaded = self._loaded or _load(self._model, self._device)
        with explained_memory(f"hf:{self._model}"), torch.inference_mode():
            inputs = loaded.processor(images=picture, return_tensors="pt").to(self._device)
            (found,) = loaded.processor.post_process_object_detection(
                loaded.network(**inputs), threshold=LEAST_SCORE, target_sizes=[(picture.height, picture.width)]
            )
        people = [
            Detection(_inside(box, picture), round(score, 4))
            for box, score, label in zip(
                found["boxes"].tolist(), found["scores"].tolist(), found["labels"].tolist(), strict=True
            )
            if label in loaded.people
        ]
        return sorted(people, key=lambda one: -(one.score or 0))


def _inside(box: list[float], picture: Image.Image) -> tuple[float, float, float, float]:
    left, top, right, bottom = (
        round(min(max(edge, 0), end), 1) for edge, end in zip(box, picture.size * 2, strict=True)
    )
    return left, top, right, bottom


def _load(model: str, device: str) -> _Loaded:
    path = place_of(model)
    place, options = (str(path), {"local_files_only": True}) if path.exists() else (model, {})
    options |= {"trust_remote_code": False}
    be_quiet()
    with readable(model, online=not path.exists()), explained_memory(f"loading hf:{model}"):
        config = transformers.AutoConfig.from_pretrained(place, **options)
        if type(config) not in transformers.MODEL_FOR_OBJECT_DETECTION_MAPPING:
            raise CtgiError(
                f"hf:{model}: a {config.model_type!r} model does not detect objects: expected one such as RT-DETR, "
                "D-FINE, DETR or YOLOS; a model that speaks is served and bound with vllm: or openai:"
            )
        people = frozenset(number for number, label in config.id2label.items() if str(label).lower() in _PEOPLE)
        if not people:
            known = ", ".join(map(str, list(config.id2label.values())[:_SHOWN]))
            raise CtgiError(
                f"hf:{model}: none of its labels is a person (they are {known}...): choose another detector"
            )
        processor = transformers.AutoImageProcessor.from_pretrained(place, **options)
        network = transformers.AutoModelForObjectDetection.from_pretrained(place, weights_only=True, **options)
    return _Loaded(network.to(device).eval(), processor, people)
