"""detect_people by each kind of backend: the network that ships, checkpoints of transformers, own code, and MLLMs."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.ops import nms

from ctgi.agents.assemble import open_tools
from ctgi.agents.grounder import for_scenes
from ctgi.agents.pool import load_pool
from ctgi.config import load_settings
from ctgi.embedded import PEOPLE
from ctgi.errors import CtgiError, ToolError
from ctgi.retrieval.images import held, ref
from ctgi.testing import ScriptedServer
from ctgi.tools.detectors.shipped import ShippedDetector
from ctgi.tools.types import Box, Detections
from tests.support.footage import Block, draw_blocks

STANDS = Block((40, 40, 230), (240, 80, 280, 200))


def detect(path: Path, binding: str) -> Detections:
    settings = for_scenes(load_settings(binds=[f"detect_people={binding}"]))

    async def call() -> Any:
        async with open_tools(settings, ["detect_people"], load_pool()) as tools:
            return await tools["detect_people"](ref(str(path)))

    found: Detections = asyncio.run(call())
    return found


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    draw_blocks([STANDS]).save(tmp_path / "street.png")
    return tmp_path / "street.png"


def overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0, width) * max(0, height)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return float(shared / (sum(areas) - shared))


def test_the_detector_that_ships_finds_people_offline() -> None:
    found = detect(Path(__file__).parents[1] / "assets" / "two_people.jpg", "embedded").people
    assert [round(one.score or 0, 1) for one in found] == [0.9, 0.9]
    assert overlap(found[0].box, (60, 53, 138, 282)) > 0.7
    assert overlap(found[1].box, (181, 66, 231, 248)) > 0.7


def test_the_network_gives_what_tensorflow_gave_for_the_same_picture() -> None:
    """The two boxes and their scores are those of the package's own graph, run by TensorFlow 2.21.

    The weights that ship are its own in half precision.
    """
    picture = Image.open(Path(__file__).parents[1] / "assets" / "two_people.jpg")
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float()
    with torch.inference_mode():
        boxes, scores = ShippedDetector(PEOPLE, "cpu").network()(pixels / 127.5 - 1)
    kept = nms(boxes[0], scores[0], 0.6)[:3]
    assert scores[0][kept].tolist() == pytest.approx([0.9358, 0.9293, 0.0298], abs=0.004)
    assert boxes[0][kept[0]].tolist() == pytest.approx([59.5, 53.5, 138.5, 281.6], abs=5.0)
    assert boxes[0][kept[1]].tolist() == pytest.approx([181.2, 65.9, 230.8, 247.9], abs=5.0)


# --- transformers


def save_detector(folder: Path, kind: str) -> Path:
    import transformers

    labels = {"id2label": {0: "man", 1: "person", 2: "woman"}, "label2id": {"man": 0, "person": 1, "woman": 2}}
    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 8, 8], depths=[1, 1, 1, 1], out_features=["stage2", "stage3", "stage4"]
    )
    torch.manual_seed(0)
    small = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 2, "encoder_attention_heads": 2,
             "decoder_attention_heads": 2, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "num_queries": 12}  # fmt: skip
    if kind == "yolos":
        config = transformers.YolosConfig(
            hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, image_size=[64, 64],
            num_detection_tokens=12, **labels,
        )  # fmt: skip
    elif kind == "detr":
        one = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], out_features=["stage2"])
        config = transformers.DetrConfig(backbone_config=one, use_timm_backbone=False, backbone=None, **small, **labels)
    else:
        made = transformers.RTDetrConfig if kind == "rt_detr" else transformers.DFineConfig
        config = made(
            backbone_config=backbone, encoder_in_channels=[8, 8, 8], encoder_hidden_dim=16, feat_strides=[8, 16, 32],
            decoder_in_channels=[16, 16, 16], anchor_image_size=None, num_denoising=0, **small, **labels,
        )  # fmt: skip
    transformers.AutoModelForObjectDetection.from_config(config).save_pretrained(folder)
    reader = transformers.RTDetrImageProcessor if kind in ("rt_detr", "d_fine") else transformers.DetrImageProcessor
    size = {"height": 64, "width": 64} if kind in ("rt_detr", "d_fine") else {"shortest_edge": 64, "longest_edge": 96}
    reader(size=size).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("kind", ["rt_detr", "d_fine", "detr", "yolos"])
def test_any_object_detection_checkpoint_of_transformers(
    kind: str, photo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ctgi.tools.detectors.hf.LEAST_SCORE", 0.0)  # random weights are sure of nothing
    found = detect(photo, f"hf:{save_detector(tmp_path / kind, kind)}")
    assert found.people
    scores = [one.score or 0 for one in found.people]
    assert scores == sorted(scores, reverse=True)
    for one in found.people:
        left, top, right, bottom = one.box
        assert 0 <= left <= right <= 320
        assert 0 <= top <= bottom <= 240


def test_a_checkpoint_that_is_no_detector_or_knows_no_people_says_so(photo: Path, tmp_path: Path) -> None:
    folder = save_detector(tmp_path / "yolos", "yolos")
    config = json.loads((folder / "config.json").read_text())
    config |= {"id2label": {"0": "cat", "1": "dog", "2": "cow"}, "label2id": {"cat": 0, "dog": 1, "cow": 2}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CtgiError, match=r"none of its labels is a person \(they are cat, dog, cow"):
        detect(photo, f"hf:{folder}")
    (folder / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(CtgiError, match="'bert' model does not detect objects"):
        detect(photo, f"hf:{folder}")


# --- own code


def scored(picture: Image.Image) -> list[tuple[float, ...]]:
    return [(1, 2, 30, 40, 0.25), (5, 6, 70, 80, 0.75)]


async def unscored(picture: Image.Image) -> list[tuple[float, ...]]:
    return [(0, 0, picture.width, picture.height)]


def wrong(picture: Image.Image) -> Any:
    return [(1, 2, 3)]


def failing(picture: Image.Image) -> Any:
    raise RuntimeError("no weights")


def test_own_code_returns_boxes_with_or_without_scores(photo: Path) -> None:
    here = "python:tests.tools.test_detectors"
    assert [one.score for one in detect(photo, f"{here}:scored").people] == [0.75, 0.25]
    (one,) = detect(photo, f"{here}:unscored").people
    assert (one.box, one.score) == ((0, 0, 320, 240), None)
    with pytest.raises(ToolError, match="expected rows of left, top, right, bottom"):
        detect(photo, f"{here}:wrong")
    with pytest.raises(ToolError, match="failing raised RuntimeError: no weights"):
        detect(photo, f"{here}:failing")


def test_a_frame_that_is_no_file_is_detected_like_one(photo: Path) -> None:
    from ctgi.retrieval.images import ImageRef
    from ctgi.tools.detectors.own import OwnDetector
    from tests.support.footage import find_blocks

    frame = ImageRef("lobby.mp4#t=1.000", "0" * 64)
    with held(frame, Image.open(photo).convert("RGB")):
        found = asyncio.run(OwnDetector(find_blocks, "find_blocks", 1)(frame))
    assert [one.box for one in found.people] == [(240, 80, 280, 200)]


# --- multimodal models that return boxes

Reply = Callable[[Any], str]


@pytest.mark.parametrize(
    ("model", "reply", "expected"),
    [
        # 0 to 1000, as Qwen3-VL counts and others are asked to
        (
            "Qwen3-VL-8B",
            '```json\n[{"bbox_2d": [750, 333, 875, 833], "label": "person"}]\n```',
            (240, 79.9, 280, 199.9),
        ),
        # px of the picture as Qwen2.5-VL sees it: 320 x 240 becomes 308 x 252, whole patches of 28 px
        ("Qwen2.5-VL-7B-Instruct", '[{"bbox_2d": [231, 84, 269.5, 210], "label": "man"}]', (240, 80, 280, 200)),
        ("llava", "Here: [750, 333, 875, 833]", (240, 79.9, 280, 199.9)),
        # over the edge
        ("glm", '[{"bbox_2d": [-50, 500, 500, 1200]}]', (0, 120, 160, 240)),
    ],
)
def test_boxes_of_a_multimodal_model_are_read_in_its_own_units(
    double: ScriptedServer, photo: Path, model: str, reply: str, expected: Box
) -> None:
    with ScriptedServer(models=(model,)) as server:
        server.replies = lambda seen: reply
        (one,) = detect(photo, f"vllm:{model}@{server.url}").people
    assert one.box == pytest.approx(expected, abs=0.2)
    assert one.score is None


def test_a_model_that_sees_nobody_and_one_that_gives_no_boxes(double: ScriptedServer, photo: Path) -> None:
    binding = f"vllm:double@{double.url}"
    for nobody in ("[]", "There are no people in the image."):
        double.replies = lambda seen, nobody=nobody: nobody
        assert detect(photo, binding).people == ()
    double.replies = lambda seen: (
        '[{"bbox_2d": [1, 2, 3, 4], "label": "car"}, {"bbox_2d": [0, 0, 500, 500], "label": "woman"}]'
    )
    assert [one.box for one in detect(photo, binding).people] == [(0, 0, 160, 120)]
    double.replies = lambda seen: "A person stands at the right."
    with pytest.raises(ToolError, match="the model gave no boxes"):
        detect(photo, binding)
