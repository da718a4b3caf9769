"""The whole way at a size of seconds: pictures, both lessons, a checkpoint that the ordinary backend loads."""

import asyncio
import json
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from ctgi.config import Endpoint
from ctgi.retrieval.images import ref
from ctgi.synth.renderers import Render
from ctgi.tools.backends import ChatRequest
from ctgi.tools.backends.hf import open_hf
from recipes.embedded import fit as fit_module
from recipes.embedded.fields import truth
from recipes.embedded.fit import Length, fit
from recipes.embedded.pictures import PARTS, Supply, cover, read_scenes, read_shard
from recipes.embedded.qwen2vl import CELL, CELLS
from recipes.embedded.teach import Plan, teach

pytest.importorskip("skia", reason="skia-python draws the pictures: pip install 'ctgi[synth]'")


def regression(seed: int):
    torch.manual_seed(seed)
    module = nn.Linear(4, 1)

    def step(number, rng):
        inputs = torch.tensor([[rng.random() for _ in range(4)] for _ in range(8)])
        loss = (module(inputs).float() - inputs.sum(1, keepdim=True)).square().mean()
        return loss, {"half": torch.tensor(0.5), "right": torch.tensor([True, False])}

    return module, lambda first: step


def test_a_killed_run_ends_like_one_that_was_not(tmp_path, monkeypatch):
    whole, step = regression(0)
    fit(whole, step, Length(60), rate=0.05, state=tmp_path / "run.pt", log=tmp_path / "log")

    class Killed(Exception):
        pass

    monkeypatch.setattr(fit_module, "SAVE_EVERY_S", -1)  # after every step
    (tmp_path / "second").mkdir()
    options = {"length": Length(60), "rate": 0.05}
    options |= {"state": tmp_path / "second" / "run.pt", "log": tmp_path / "second" / "log"}
    halved, step_from = regression(0)

    def dying(number, rng):
        if number == 37:
            raise Killed
        return step_from(0)(number, rng)

    with pytest.raises(Killed):
        fit(halved, lambda first: dying, **options)
    again, step = regression(7)
    fit(again, step, **options)

    torch.testing.assert_close(again.weight, whole.weight)
    rows = [json.loads(line) for line in (tmp_path / "second" / "log").read_text().splitlines()]
    assert [row["step"] for row in rows] == [50, 60]
    assert (rows[0]["half"], rows[0]["right"]) == (0.5, 0.5)


def test_minutes_end_a_lesson_whose_steps_are_not_over(tmp_path):
    module, step = regression(0)
    fit(module, step, Length(10**9, minutes=0.002), rate=0.05, state=tmp_path / "run.pt", log=tmp_path / "log")
    row = json.loads((tmp_path / "log").read_text().splitlines()[-1])
    assert 0 < row["step"] < 10**9


def test_a_lesson_ends_with_the_average_of_its_weights(tmp_path):
    module, step = regression(0)
    fit(module, step, Length(30), rate=0.05, state=tmp_path / "run.pt", log=tmp_path / "log")
    saved = torch.load(tmp_path / "run.pt", weights_only=True)
    torch.testing.assert_close(module.weight, saved["average"][0])
    assert not torch.allclose(module.weight, saved["module"]["weight"])


def test_a_finished_lesson_is_not_gone_on_with(tmp_path):
    options = {"rate": 0.05, "state": tmp_path / "run.pt", "log": tmp_path / "log"}
    first, step = regression(0)
    fit(first, step, Length(20), **options)
    written = (tmp_path / "run.pt").stat().st_mtime_ns
    again, step = regression(5)
    fit(again, step, Length(20), **options)
    torch.testing.assert_close(again.weight, first.weight)
    assert (tmp_path / "run.pt").stat().st_mtime_ns == written


def supplied(folder, seed, workers):
    with Supply(folder, 6, seed, workers=workers) as supply:
        while len(supply.taken) < len(supply.paths):
            supply.arrived()
            time.sleep(0.05)  # the processor is for those that draw
    (path,) = supply.paths
    return path


def test_pictures_are_drawn_once_and_alike_by_any_number_of_processes(tmp_path):
    first = supplied(tmp_path / "one", seed=3, workers=1)
    written = first.stat().st_mtime_ns
    assert supplied(tmp_path / "one", seed=3, workers=2) == first
    assert first.stat().st_mtime_ns == written
    assert supplied(tmp_path / "again", seed=3, workers=2).read_bytes() == first.read_bytes()

    scenes, sizes = read_scenes(first)
    shard, other = read_shard(first), read_shard(supplied(tmp_path / "two", seed=4, workers=1))
    assert set(shard.pixels) == set(sizes)
    assert sorted(place for places in shard.places.values() for place in places) == list(range(6))
    assert [scene for scene in scenes] != read_scenes(tmp_path / "two" / first.name.replace("3-", "4-", 1))[0]
    for (height, width), pixels in shard.pixels.items():
        assert CELLS[0] <= (height // CELL) * (width // CELL) <= CELLS[1]
        assert pixels.shape[1:] == (height, width, 3)
        assert shard.parts[height, width].shape[1:] == (height // 14, width // 14, PARTS)
        assert (shard.parts[height, width].astype(int).sum(-1) > 240).all()
        for row, place in enumerate(shard.places[height, width]):
            assert shard.fields[height, width][row].tolist() == truth(scenes[place])
            assert shard.parts[height, width][row, ..., 3].max() > 100 or not scenes[place].sees("upper")
    assert other.pixels


def test_cover_counts_the_pixels_of_each_patch():
    labels = np.zeros((28, 28), np.uint8)
    labels[:14, :7] = 3
    shares = cover(labels, 28, 28)
    assert shares[0, 0].tolist()[:4] == [127, 0, 0, 127]
    assert shares[1, 1, 0] == 255


def test_a_taught_model_is_an_ordinary_checkpoint(tmp_path):
    lessons = {"sight_steps": 2, "sight_batch": 4, "dialogue_steps": 2, "dialogue_batch": 2}
    plan = Plan(pictures=12, render=Render.DRAWN, workers=1, threads=1, **lessons)
    teach(tmp_path / "work", tmp_path / "out", plan)

    assert {"sight.jsonl", "dialogue.jsonl", "sight.pt", "dialogue.pt"} <= {
        p.name for p in (tmp_path / "work").iterdir()
    }
    last = json.loads((tmp_path / "work" / "dialogue.jsonl").read_text().splitlines()[-1])
    assert last["step"] == 2
    assert 0 < last["loss"] < 40
    assert max(path.stat().st_size for path in (tmp_path / "out").iterdir()) < 15_000_000
    again = replace(plan, seed=2, heads_steps=1)
    teach(tmp_path / "second", tmp_path / "out2", again, start=tmp_path / "out")
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
