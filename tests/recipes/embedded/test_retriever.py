"""How the embedded retriever learns: texts in parts, hard negatives, a contrast that knows people."""

import math
from pathlib import Path
from random import Random

import numpy as np
import pytest
import torch

from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.retrieval.tokenizer import CaptionTokenizer
from recipes.embedded.clip import CONFIG, GRID, new_clip, save_clip
from recipes.embedded.fields import CLASSES, FIELDS
from recipes.embedded.pair import Pair
from recipes.embedded.pairs import Pictures, Texts, parts
from recipes.embedded.retriever import Plan, Stock, contrast, draw, matching, reading, seeing
from recipes.embedded.teacher import CHANNELS, Taught, principal
from recipes.embedded.views import draw_places, moved, plain, vary

PLACES = {name: place for place, name in enumerate(FIELDS)}


def test_parts_of_a_caption_keep_its_order_and_begin_with_all_of_it() -> None:
    caption = "A man in a red coat. He has a hat. The shoes are white. He is walking."
    drawn = parts(caption, 40, Random(1))
    assert drawn[0] == caption
    whole = caption[:-1].split(". ")
    for one in drawn:
        places = [whole.index(sentence) for sentence in one.removesuffix(".").split(". ")]
        assert places == sorted(set(places))
    assert {len(one.split(". ")) for one in drawn} == {1, 2, 3, 4}


def test_a_picture_is_contrasted_with_the_texts_of_its_person_alone() -> None:
    people = torch.tensor([0, 0, 1])
    told_apart = torch.where(people[:, None] == people[None], 50.0, 0.0)
    assert contrast(told_apart, people).item() == pytest.approx(2 * math.log(2) / 3)
    assert contrast(torch.zeros(3, 3), people).item() == pytest.approx(math.log(3))
    assert contrast(-told_apart, people) > 25


def test_a_picture_tower_that_is_left_alone_ends_turned_as_the_texts_learned() -> None:
    pair, stock, _ = _pair()
    pair.eval()
    pixels = plain(stock.pixels)
    with torch.no_grad():
        before = pair.clip.encode_image(pixels)
        loss, _ = reading(pair, stock, Plan(read_batch=2))(0, Random(1))
        pair.turned.copy_(torch.linspace(-1, 1, 256**2).view(256, 256))
        expected = before @ pair.turned
        pair.turn()
    assert loss > 0
    torch.testing.assert_close(pair.clip.encode_image(pixels), expected, rtol=1e-3, atol=1e-3)


def test_half_of_a_batch_shares_two_attributes() -> None:
    fields = torch.randint(0, 4, (400, len(FIELDS)), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    drawn = draw(fields, 60, 0.5, torch.Generator().manual_seed(1))
    names = ("gender", "upper_color", "lower_color", "upper_type", "lower_type")
    shared = [name for name in names if len(fields[drawn[30:], PLACES[name]].unique()) == 1]
    assert len(shared) == 2
    assert len(fields[drawn[:30], PLACES[shared[0]]].unique()) > 1
    assert len(drawn[30:].unique()) > 5


def test_what_ships_reads_texts_as_what_was_trained() -> None:
    pair, stock, texts = _pair()
    pair.eval()
    with torch.inference_mode():
        trained = pair.read(stock.ids[0][0])
        shipped = ClipTokens(pair.whole(stock.words), CONFIG).encode_text(torch.from_numpy(texts[:2].astype(np.int64)))
    torch.testing.assert_close(shipped, trained)
    table = pair.clip.model.token_embedding.weight
    assert table.any(dim=1).sum() == len(stock.words)


def test_the_picture_tower_may_begin_with_that_of_another_retriever(tmp_path: Path) -> None:
    torch.manual_seed(5)
    other = new_clip()
    save_clip(other, tmp_path)
    pair, _, _ = _pair()
    words = pair.clip.model.token_embedding.weight.clone()
    pair.begin(tmp_path)
    torch.testing.assert_close(pair.clip.visual.proj, other.visual.proj, rtol=1e-3, atol=1e-4)  # half precision
    assert torch.equal(pair.clip.model.token_embedding.weight, words)


def test_both_lessons_teach_the_picture_tower_and_the_second_one_the_texts() -> None:
    pair, stock, _ = _pair()
    plan = Plan(see_batch=2, match_batch=2)
    loss, told = seeing(pair, stock, plan)(0, Random(1))
    loss.backward()
    assert pair.clip.visual.conv1.weight.grad.any()
    assert pair.clip.model.token_embedding.weight.grad is None
    assert told["whole"].shape == (2, len(FIELDS))
    assert told["told"] > 0
    loss, told = matching(pair, stock, plan)(0, Random(1))
    loss.backward()
    assert pair.clip.model.token_embedding.weight.grad.any()
    assert told["contrast"] > 0


def test_a_picture_is_seen_otherwise_at_each_visit_and_stays_what_it_is() -> None:
    pixels = torch.randint(0, 256, (8, 192, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pixels[:, 40:90] = torch.tensor([200, 30, 30], dtype=torch.uint8)
    seen = _varied(pixels, 1)
    assert seen.shape == (8, 3, 192, 64)
    assert torch.equal(seen, _varied(pixels, 1))
    assert not torch.equal(seen, _varied(pixels, 2))
    red, green = seen[:, 0, 50:80].mean((1, 2)), seen[:, 1, 50:80].mean((1, 2))
    assert ((red > green + 0.5).sum() >= 6).item()  # the others may have something before them
    assert plain(pixels).mean().abs() < 1


def test_features_move_with_their_picture() -> None:
    pixels = torch.zeros(1, 1, 192, 64)
    pixels[:, :, :96, :32] = 1
    places = draw_places(1, torch.Generator().manual_seed(3))
    grid = torch.nn.functional.interpolate(pixels, GRID, mode="area")
    there = torch.nn.functional.interpolate(moved(pixels, places), GRID, mode="area")
    assert (moved(grid, places) - there).abs().mean() < 0.1
    assert (grid - there).abs().mean() > 0.1


def test_the_teachers_features_are_told_by_their_principal_components() -> None:
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(40, 80, *GRID, generator=generator) * torch.linspace(0.1, 5, 80)[:, None, None]
    found = principal(tokens).float().transpose(0, 1).flatten(1)
    assert found.shape == (CHANNELS, 40 * GRID[0] * GRID[1])
    torch.testing.assert_close(found.std(1), torch.ones(CHANNELS), rtol=0.01, atol=0.01)
    assert (found[-1].abs() @ tokens[:, -1].flatten().abs()) / found[-1].norm() / tokens[:, -1].norm() > 0.5


def _varied(pixels: torch.Tensor, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return vary(pixels, draw_places(len(pixels), generator), generator)


def _pair() -> tuple[Pair, Stock, np.ndarray]:
    texts = CaptionTokenizer(248)(["a man in a red coat", "a woman with a bag", "red bag"], 16).numpy()
    fields = np.array([[min(1, len(classes) - 1) for classes in CLASSES]] * 2, np.uint8)
    pictures = Pictures(np.zeros((2, 192, 64, 3), np.uint8), np.array([7, 9]), fields, ("a", "b"))
    pools = [Texts(np.array([1]), texts[None, :2].astype(np.uint16)), Texts(np.array([0, 1]), texts[[0, 2], None])]
    taught = Taught(np.array([0, 1]), np.ones((2, CHANNELS, *GRID), np.float16))
    stock = Stock(pictures, pools, taught)
    return Pair(stock.words), stock, texts
