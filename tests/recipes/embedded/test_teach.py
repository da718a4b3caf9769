"""The whole way at a size of seconds: pictures, both lessons, a checkpoint that the ordinary backend loads."""

import asyncio
import json

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ctgi.config import Endpoint
from ctgi.retrieval.images import ref
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.hf import open_hf
from recipes.embedded import fit as fit_module
from recipes.embedded.fit import fit
from recipes.embedded.pictures import PARTS, cover, load_samples
from recipes.embedded.qwen2vl import CELL, CELLS
from recipes.embedded.teach import Plan, teach

pytest.importorskip("skia", reason="skia-python draws the pictures: pip install 'ctgi[synth]'")


def regression(seed: int):
    torch.manual_seed(seed)
    module = nn.Linear(4, 1)

    def step(number, rng):
        inputs = torch.tensor([[rng.random() for _ in range(4)] for _ in range(8)])
        loss = (module(inputs).float() - inputs.sum(1, keepdim=True)).square().mean()
        return loss, {"half": 0.5}

    return module, step


def test_a_killed_run_ends_like_one_that_was_not(tmp_path, monkeypatch):
    whole, step = regression(0)
    fit(whole, step, steps=60, rate=0.05, state=tmp_path / "run.pt", log=tmp_path / "log")

    class Killed(Exception):
        pass

    monkeypatch.setattr(fit_module, "SAVE_EVERY_S", -1)  # after every step
    (tmp_path / "second").mkdir()
    options = {"steps": 60, "rate": 0.05, "state": tmp_path / "second" / "run.pt", "log": tmp_path / "second" / "log"}
    halved, step = regression(0)

    def dying(number, rng):
        if number == 37:
            raise Killed
        return step(number, rng)

    with pytest.raises(Killed):
        fit(halved, dying, **options)
    again, step = regression(7)
    fit(again, step, **options)

    torch.testing.assert_close(again.weight, whole.weight)
    assert [json.loads(line)["step"] for line in (tmp_path / "second" / "log").read_text().splitlines()] == [50, 60]


def test_pictures_are_drawn_once_and_alike_by_any_number_of_processes(tmp_path):
    first = load_samples(tmp_path / "one", 6, seed=3, workers=1)
    written = {path: path.stat().st_mtime_ns for path in (tmp_path / "one").iterdir()}
    again = load_samples(tmp_path / "one", 6, seed=3, workers=2)
    other = load_samples(tmp_path / "two", 6, seed=4, workers=1)

    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "one").iterdir()} == written
    assert [sample.scene for sample in first] == [sample.scene for sample in again]
    assert not np.array_equal(first[0].pixels, other[0].pixels)
    for sample in first:
        height, width, _ = sample.pixels.shape
        assert CELLS[0] <= (height // CELL) * (width // CELL) <= CELLS[1]
        assert sample.parts.shape == (height // 14, width // 14, PARTS)
        covered = sample.parts.astype(int).sum(-1)
        assert (covered > 240).all()
        assert sample.parts[..., 3].max() > 100 or not sample.scene.sees("upper")


def test_cover_counts_the_pixels_of_each_patch():
    labels = np.zeros((28, 28), np.uint8)
    labels[:14, :7] = 3
    shares = cover(labels, 28, 28)
    assert shares[0, 0].tolist()[:4] == [127, 0, 0, 127]
    assert shares[1, 1, 0] == 255


def test_a_taught_model_is_an_ordinary_checkpoint(tmp_path):
    plan = Plan(pictures=12, sight_steps=2, sight_batch=4, dialogue_steps=2, dialogue_batch=2, threads=1)
    teach(tmp_path / "work", tmp_path / "out", plan)

    assert {"sight.jsonl", "dialogue.jsonl", "sight.pt", "dialogue.pt"} <= {
        p.name for p in (tmp_path / "work").iterdir()
    }
    last = json.loads((tmp_path / "work" / "dialogue.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2
    assert 0 < last["loss"] < 40
    assert max(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 15_000_000
    image = tmp_path / "image.png"
    Image.effect_noise((60, 160), 80).convert("RGB").save(image)
    reply = asyncio.run(yes_or_no(str(tmp_path / "out"), str(image)))
    assert sum(reply.choices.values()) == pytest.approx(1)


async def yes_or_no(model, image):
    mllm = open_hf(model, Endpoint(min_pixels=1))
    try:
        return await mllm.chat(ChatRequest("Is it red?", ref(image), choices=("yes", "no")))
    finally:
        await mllm.aclose()
