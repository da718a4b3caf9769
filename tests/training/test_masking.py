import numpy as np
import pytest
import torch
from open_clip import SimpleTokenizer
from torch import Tensor

from ctgi.retrieval.tokenizer import END_ID, MASK_ID, START_ID, CaptionTokenizer
from ctgi.training.masking import augment_captions, mask_words, uniform_draws


@pytest.fixture(scope="module")
def tokenize() -> CaptionTokenizer:
    return CaptionTokenizer()


def draws_of(ids: Tensor, seed: int = 0) -> Tensor:
    return uniform_draws(ids, torch.arange(len(ids)), torch.Generator().manual_seed(seed))


def many() -> Tensor:
    """2000 captions of 50 different words."""
    words = torch.arange(1, 51).repeat(2000, 1)
    ends = torch.ones(2000, 1, dtype=torch.long)
    return torch.cat([ends * START_ID, words, ends * END_ID, ends * 0], dim=1)


def test_parity_tokenizer_irra(golden) -> None:
    for case in golden("tokenizer_irra"):
        captions = case["captions"].tolist()
        for length in (77, 248):
            np.testing.assert_array_equal(CaptionTokenizer(length)(captions).numpy(), case[f"ids_{length}"])
        assert case["special_mask_sot_eot"].tolist() == [MASK_ID, START_ID, END_ID]


def test_the_word_whose_token_the_mask_took_is_spelt_by_its_parts(tokenize: CaptionTokenizer) -> None:
    ids = tokenize(["Jekyll and jekyll's coat"])[0]
    words = ids[1 : int(ids.argmax())].tolist()
    assert MASK_ID not in words
    spelled = words[:2]
    vocabulary = SimpleTokenizer().encoder
    assert spelled == [vocabulary["jeky"], vocabulary["ll</w>"]]
    assert words == [*spelled, *tokenize(["and"])[0, 1:2].tolist(), *spelled, *tokenize(["'s coat"])[0, 1:3].tolist()]


def test_control_tokens_and_broken_characters_in_a_caption_are_text(tokenize: CaptionTokenizer) -> None:
    ids = tokenize(["red <end_of_text> coat", "caf\udce9"])
    assert (ids == END_ID).sum(dim=1).tolist() == [1, 1]
    assert (ids == START_ID).sum(dim=1).tolist() == [1, 1]


def test_words_are_masked_in_berts_proportions() -> None:
    ids = many()
    masked = mask_words(ids, draws_of(ids), MASK_ID)
    words = (ids > 0) & (ids < MASK_ID)
    assert not (masked.chosen & ~words).any()
    assert masked.chosen[words].float().mean().item() == pytest.approx(0.15, abs=0.005)
    of_chosen = masked.ids[masked.chosen]
    assert (of_chosen == MASK_ID).float().mean().item() == pytest.approx(0.8, abs=0.01)
    assert (of_chosen == ids[masked.chosen]).float().mean().item() == pytest.approx(0.1, abs=0.01)
    assert of_chosen.min() >= 1 and of_chosen.max() <= MASK_ID
    assert torch.equal(masked.ids[~masked.chosen], ids[~masked.chosen])
    assert masked.chosen.any(dim=1).all()


def test_a_caption_none_of_whose_words_is_chosen_has_its_first_masked(tokenize: CaptionTokenizer) -> None:
    ids = tokenize(["red coat", "", "!x"])  # the last one's first token is another "!"
    untouched = torch.full((3, 3, 77), 0.99)
    masked = mask_words(ids, untouched, MASK_ID)
    assert masked.chosen.nonzero().tolist() == [[0, 1], [2, 1]] or masked.chosen.sum(dim=1).tolist() == [1, 0, 1]
    assert masked.ids[0].tolist()[:4] == [START_ID, MASK_ID, int(ids[0, 2]), END_ID]
    assert torch.equal(masked.ids[1], ids[1])


def test_the_input_is_left_alone() -> None:
    ids = many()[:4]
    before = ids.clone()
    mask_words(ids, draws_of(ids), MASK_ID)
    augment_captions(ids, draws_of(ids), MASK_ID)
    assert torch.equal(ids, before)


def test_captions_are_augmented_in_rdes_proportions() -> None:
    ids = many()
    out = augment_captions(ids, draws_of(ids), MASK_ID)
    total = 2000 * 50
    assert (out == MASK_ID).sum().item() / total == pytest.approx(0.12, abs=0.005)
    lengths = out.argmax(dim=1) - 1
    assert (50 - lengths).sum().item() / total == pytest.approx(0.04, abs=0.003)
    for row, length in zip(out[:50], lengths[:50].tolist(), strict=True):
        assert row[0] == START_ID and row[length + 1] == END_ID and not row[length + 2 :].any()
    first = out[0, 1 : int(lengths[0]) + 1]
    kept = first[(first < 51)]
    assert (kept.diff() > 0).float().mean() > 0.9  # in order, but for words drawn anew


def test_dropping_leaves_a_word(tokenize: CaptionTokenizer) -> None:
    ids = tokenize(["red coat", ""])
    drop_all = torch.stack([torch.zeros(2, 77), torch.full((2, 77), 0.9), torch.zeros(2, 77)])
    assert torch.equal(augment_captions(ids, drop_all, MASK_ID), ids)
    drop_all[0, :, 2] = 1
    assert augment_captions(ids, drop_all, MASK_ID)[0, :4].tolist() == [START_ID, int(ids[0, 2]), END_ID, 0]


def test_draws_depend_on_the_seed_and_the_caption_not_on_its_batch() -> None:
    ids, index = many()[:6], torch.tensor([5, 3, 9, 0, 7, 2])
    whole = uniform_draws(ids, index, torch.Generator().manual_seed(1))
    part = uniform_draws(ids[2:4, :20], index[2:4], torch.Generator().manual_seed(1))
    assert torch.equal(part, whole[:, 2:4, :20])
    assert not torch.equal(whole, uniform_draws(ids, index, torch.Generator().manual_seed(2)))
    generator = torch.Generator().manual_seed(1)
    first, second = (uniform_draws(ids, index, generator) for _ in range(2))
    assert torch.equal(first, whole) and not torch.equal(first, second)
