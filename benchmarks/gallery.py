"""build_gallery against a plain open_clip + DataLoader loop: same model, same images, same batch size.

Both sides read, decode, squash and encode; ours also digests, writes, indexes and commits. Weights are random,
which costs the same as trained ones.

Example: python -m benchmarks.gallery --model ViT-B-32 --images 512
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from torch.utils.data import DataLoader, Dataset

from benchmarks.machine import describe_machine
from ctgi.config import RetrieverSettings
from ctgi.retrieval.encoder import Encoder, load_encoder
from ctgi.retrieval.gallery import build_gallery


class Files(Dataset[torch.Tensor]):
    """Images by index, preprocessed."""

    def __init__(self, paths: list[Path], transform: object) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> torch.Tensor:
        with Image.open(self.paths[index], formats=("JPEG",)) as image:
            return self.transform(image.convert("RGB"))  # type: ignore[operator, no-any-return]


def write_images(folder: Path, count: int) -> list[Path]:
    """JPEGs of a person crop's size, all different."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    for i in range(count):
        coarse = generator.integers(0, 256, (24, 8, 3), np.uint8)
        Image.fromarray(coarse).resize((128, 384)).save(folder / f"{i:05}.jpg", quality=90)
    return sorted(folder.iterdir())


def save_model(folder: Path, name: str) -> str:
    """A checkpoint folder with random weights; returns its binding."""
    folder.mkdir()
    model = open_clip.create_model(name, load_weights=False, pretrained_text=False)
    save_file(
        {key: value.contiguous() for key, value in model.state_dict().items()}, folder / "open_clip_model.safetensors"
    )
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": open_clip.get_model_config(name)}))
    return f"open_clip:local-dir:{folder}"


def plain_loop(binding: str, paths: list[Path], settings: RetrieverSettings, device: str) -> float:
    """Images per second of the loop one would write first."""
    model = open_clip.create_model(binding.partition(":")[2], force_image_size=settings.image_size).eval().to(device)
    height, width = model.visual.image_size
    cfg = open_clip.transform.PreprocessCfg(size=(height, width), resize_mode="squash")
    files = Files(paths, open_clip.transform.image_transform_v2(cfg, is_train=False))
    loader = DataLoader(files, batch_size=settings.batch_size, num_workers=settings.workers)
    with torch.inference_mode():
        model.encode_image(torch.zeros(1, 3, height, width, device=device))
        started = time.perf_counter()
        features = torch.cat([model.encode_image(batch.to(device), normalize=True).cpu() for batch in loader])
    assert len(features) == len(paths)
    return len(paths) / (time.perf_counter() - started)


def our_build(folder: Path, encoder: Encoder, settings: RetrieverSettings) -> float:
    """Images per second of a first build."""
    with tempfile.TemporaryDirectory() as out:
        started = time.perf_counter()
        report = build_gallery([str(folder)], Path(out), encoder, settings)
        seconds = time.perf_counter() - started
    assert not report.failed
    return report.total / seconds


def main() -> None:
    """Print both sides and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--images", type=int, default=512)
    parser.add_argument("--image-size", type=int, nargs=2, metavar=("H", "W"), default=(384, 128))
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe_machine())
    settings = RetrieverSettings(image_size=tuple(arguments.image_size), workers=arguments.workers)
    with tempfile.TemporaryDirectory() as work:
        paths = write_images(Path(work, "images"), arguments.images)
        binding = save_model(Path(work, "model"), arguments.model)
        encoder = load_encoder(binding, settings)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        rounds = [
            (our_build(paths[0].parent, encoder, settings), plain_loop(binding, paths, settings, device))
            for _ in range(arguments.rounds)
        ]
    ours, plain = (statistics.median(side) for side in zip(*rounds, strict=True))
    print(f"{arguments.model}, {arguments.images} JPEGs, input {settings.image_size}, median of {len(rounds)} rounds")
    print(f"ctgi {ours:.1f} images/s, plain loop {plain:.1f} images/s: ratio {ours / plain:.3f}")


if __name__ == "__main__":
    main()
