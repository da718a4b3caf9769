from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import mean_attention
from ctgi.retrieval.token_selection import TokenSelection, TwoBranches, image_places, text_places
from ctgi.training.loader import Batch
from ctgi.training.rde import Rde
from tests.support.published_weights import clip_of, load, tensors, weights
from tests.support.small_models import batch_of, captions, seeded, small_clip


def test_parity_rde_clip_attention(golden) -> None:
    for case in golden("rde_clip_attention"):
        clip = clip_of(case)
        load(clip.model, weights(case, "w_"))
        pixels, ids = tensors(case, "in_images", "in_caption_ids")
        seen = whole_attention(clip.image_tokens, pixels, clip.visual.transformer)
        read = whole_attention(clip.text_tokens, ids, clip.text.transformer, clip.text.attn_mask)
        for (tokens, attention), name in ((seen, "image"), (read, "text")):
            np.testing.assert_allclose(tokens.tokens.detach(), case[f"out_{name}_tokens"], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(attention, case[f"out_{name}_attention"], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(seen[0].attention, seen[1][:, 0])
        torch.testing.assert_close(read[0].attention, read[1][torch.arange(3), ids.argmax(dim=1)])


def whole_attention(forward, batch: Tensor, transformer, mask: Tensor | None = None):
    """The tokens, and the attention of every token in the last block where the model makes one row of it."""
    inputs: list[Tensor] = []
    hook = transformer.resblocks[-1].register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    tokens = forward(batch, attention=True)
    hook.remove()
    everyone = torch.arange(inputs[0].shape[1]).expand(len(inputs[0]), -1)
    return tokens, mean_attention(transformer.resblocks[-1], inputs[0], everyone, mask)


OURS = {"mlp.layers.0": "dense", "mlp.bns.0": "norm", "mlp.layers.1": "out"}


def selection_of(case, kind: str, **options) -> TokenSelection:
    state = weights(case, f"{kind}_w_")
    skip = "fc" if kind == "img" else "linear"
    names = OURS | {skip: "skip"}
    module = TokenSelection(32, 64, **options)
    module.load_state_dict(
        {
            f"{ours}.{name.removeprefix(f'{theirs}.')}": value
            for theirs, ours in names.items()
            for name, value in state.items()
            if name.startswith(f"{theirs}.")
        }
    )
    return module


@pytest.mark.parametrize("kind", ["img", "txt77", "txt248"])
def test_parity_tse(golden, kind: str) -> None:
    for case in golden("tse"):
        features, attention = tensors(case, f"{kind}_features", f"{kind}_attention")
        kept = attention.clone()
        places, real = places_of(case, kind, attention)
        assert torch.equal(attention, kept)
        counts = case[f"{kind}_n_pooled"].tolist()
        for ours, theirs, count in zip(places, case[f"{kind}_topk_indices"], counts, strict=True):
            assert len(ours) == int(case[f"{kind}_k"])
            assert set(ours[:count].tolist()) == set(theirs[:count].tolist())
        if real is not None:
            assert real.sum(dim=1).tolist() == counts
        module = selection_of(case, kind, fillers=True).eval()
        pooled = module(features, places, real)
        np.testing.assert_allclose(pooled.detach(), case[f"{kind}_eval_pooled"], rtol=1e-4, atol=1e-5)
        # In training the filler tokens count in the batch norm, and any order of theirs is right: take the reference's.
        theirs = torch.from_numpy(case[f"{kind}_topk_indices"])
        counted = None if real is None else torch.arange(theirs.shape[1]) < torch.tensor(counts)[:, None]
        pooled = module.train()(features, theirs, counted)
        np.testing.assert_allclose(pooled.detach(), case[f"{kind}_train_pooled"], rtol=1e-4, atol=1e-4)
        for statistic in ("running_mean", "running_var"):
            ours = getattr(module.norm, statistic)
            np.testing.assert_allclose(ours, case[f"{kind}_bn0_{statistic}_after_train"], rtol=1e-4, atol=1e-6)


def places_of(case, kind: str, attention: Tensor) -> tuple[Tensor, Tensor | None]:
    if kind == "img":
        return image_places(attention[:, 0], 0.3), None
    ids = torch.from_numpy(case[f"{kind}_caption_ids"])
    row = attention[torch.arange(len(ids)), ids.argmax(dim=1)]
    return text_places(row, ids, int((ids.shape[1] - 2) * 0.3))


def test_batch_norm_counts_words_alone_unless_asked(golden) -> None:
    for case in golden("tse"):
        (features, attention) = tensors(case, "txt77_features", "txt77_attention")
        places, real = places_of(case, "txt77", attention)
        means = []
        for fillers in (False, True):
            module = selection_of(case, "txt77", fillers=fillers).train()
            before = module(features, places, real)
            assert torch.isfinite(before).all()
            means.append(module.norm.running_mean)
        assert not torch.allclose(*means)
        of_words = selection_of(case, "txt77")
        chosen = torch.cat([features[row, places[row][real[row]]] for row in range(5)])
        wanted = of_words.dense(nn.functional.normalize(chosen, dim=1)).mean(dim=0) * 0.1
        torch.testing.assert_close(means[0], wanted + 0.9 * of_words.norm.running_mean, rtol=1e-4, atol=1e-6)


def model_of(context_length: int = 77, **options) -> Rde:
    torch.manual_seed(0)
    return Rde(TwoBranches(small_clip(context_length), out_dim=32), **options)


@pytest.fixture
def batch() -> Batch:
    return batch_of(captions(6, 0, 30, 1))


def test_an_empty_caption_blanks_itself_alone(batch: Batch) -> None:
    encoder = model_of().encoder.eval()
    _, together = encoder.text_branches(batch.ids)
    assert not together[1].any()
    for row in (0, 2, 3):
        _, single = encoder.text_branches(batch.ids[row : row + 1])
        torch.testing.assert_close(together[row], single[0], rtol=1e-4, atol=1e-5)
        assert single.any()


def test_similarity_is_the_mean_of_both_cosines(batch: Batch) -> None:
    model = model_of().eval()
    images, texts = model.encode_images(batch.pixels), model.encode_texts(batch.ids)
    cosines = [
        nn.functional.normalize(image, dim=1) @ nn.functional.normalize(text, dim=1).T
        for image, text in zip(
            model.encoder.image_branches(batch.pixels), model.encoder.text_branches(batch.ids), strict=True
        )
    ]
    torch.testing.assert_close(images @ texts.T, (cosines[0] + cosines[1]) / 2, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("length", "max_words", "words"), [(77, 22, 22), (248, 22, 22), (248, None, 73), (16, 22, 4)])
def test_words_taken_of_a_text(length: int, max_words: int | None, words: int) -> None:
    assert TwoBranches(small_clip(length), max_words=max_words, out_dim=32).words == words
    assert TwoBranches(small_clip(length), max_words=None, ratio=0.5, out_dim=32).words == (length - 2) // 2


@pytest.mark.parametrize("fillers", [False, True])
def test_trimming_a_batch_changes_nothing(batch: Batch, fillers: bool) -> None:
    model = Rde(TwoBranches(small_clip(), out_dim=32, fillers=fillers), augment=False).train()
    wide = replace(batch, ids=nn.functional.pad(batch.ids, (0, 77 - batch.ids.shape[1])))
    for mode in (True, False):
        terms = [model.train(mode)(either, seeded()) for either in (batch, wide)]
        for name in ("bge", "tse"):
            assert terms[0][name].item() == pytest.approx(terms[1][name].item(), rel=1e-4)


@pytest.mark.parametrize("loss", ["tal", "trl", "sdm", "infonce"])
def test_pairs_called_noisy_do_not_count(batch: Batch, loss: str) -> None:
    model = model_of(loss=loss, augment=False).eval()
    bge, tse = model.per_sample_losses(batch)
    assert bge.shape == tse.shape == (4,)
    keep = replace(batch, weights=torch.tensor([1.0, 0, 0, 1]))
    terms = model(keep, seeded())
    for name, losses in (("bge", bge), ("tse", tse)):
        kept = losses[[0, 3]]
        wanted = kept.sum() if loss in ("tal", "trl") else kept.mean()
        assert terms[name].item() == pytest.approx(wanted.item(), rel=1e-4)


def test_captions_are_augmented_in_training_only_when_asked(batch: Batch) -> None:
    plain, varied = (model_of(augment=augment).eval() for augment in (False, True))
    assert plain(batch, seeded(1))["bge"].item() == plain(batch, seeded(2))["bge"].item()
    assert varied(batch, seeded(1))["bge"].item() != varied(batch, seeded(2))["bge"].item()
    clean, changed = varied.per_sample_losses(batch)[0], varied.per_sample_losses(batch, seeded(1))[0]
    torch.testing.assert_close(clean, plain.per_sample_losses(batch)[0])
    assert not torch.allclose(clean, changed)


def test_248_tokens_bf16_and_checkpointing() -> None:
    model = model_of(248).train()
    batch = batch_of(captions(246, 90, 150, 20))
    plain = gradients(model, batch)
    assert plain["encoder.text_selection.dense.weight"].any()
    model.set_grad_checkpointing()
    for name, gradient in gradients(model, batch).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-3, atol=1e-5)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model(batch, seeded())
    full = model(batch, seeded())
    for name, term in terms.items():
        assert term.item() == pytest.approx(full[name].item(), rel=0.1), name


def gradients(model: Rde, batch: Batch) -> dict[str, Tensor]:
    model.zero_grad()
    torch.stack(list(model(batch, seeded()).values())).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


@pytest.mark.parametrize("words", [(0, 0, 0, 0), (1, 0, 0, 0), (2,)])
def test_batches_with_hardly_a_word_stay_finite(words: tuple[int, ...]) -> None:
    model = model_of().train()
    found = gradients(model, batch_of(captions(*words)))
    assert all(torch.isfinite(gradient).all() for gradient in found.values())
    assert all(torch.isfinite(buffer).all() for buffer in model.encoder.text_selection.buffers())


def test_every_trained_parameter_is_used(batch: Batch) -> None:
    """What data-parallel training takes for granted."""
    model = model_of(loss="sdm")
    torch.stack(list(model(batch, seeded()).values())).sum().backward()
    unused = [name for name, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []


def test_a_wrong_loss_says_what_is_right() -> None:
    with pytest.raises(CtgiError, match="expected one of tal, trl"):
        model_of(loss="triplet")
