from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ctgi.errors import CtgiError
from ctgi.retrieval.clip_tokens import ClipTokens
from ctgi.training.irra import Irra
from ctgi.training.loader import Batch
from ctgi.training.masking import Masked, mask_words, uniform_draws
from tests.support.published_weights import clip_of, irra_names, load, tensors, weights
from tests.support.small_models import batch_of, captions, seeded, small_clip


def published(case, *losses: str, **options) -> Irra:
    model = Irra(clip_of(case), 9, losses=losses, **options)
    state = {irra_names(name): value for name, value in weights(case, "w_").items()}
    load(model, {name: value for name, value in state.items() if "mlm" in losses or "interaction" not in name})
    return model


def inputs(case) -> tuple[Batch, Masked]:
    pixels, ids, masked, labels, pids = tensors(
        case, "in_images", "in_caption_ids", "in_mlm_ids", "in_mlm_labels", "in_pids"
    )
    rows = torch.arange(len(ids))
    return Batch(pixels, ids, pids, rows, torch.ones(len(ids)), rows), Masked(masked, labels > 0)


@pytest.fixture
def clip() -> ClipTokens:
    return small_clip()


@pytest.fixture
def batch() -> Batch:
    return batch_of(captions(6, 12, 1, 20))


def test_parity_irra_e2e_features(golden) -> None:
    for case in golden("irra_e2e"):
        model = published(case, "sdm", "id", "mlm")
        batch, masked = inputs(case)
        with torch.no_grad():
            seen, read = model.encoder.image_tokens(batch.pixels), model.encoder.text_tokens(batch.ids)
            fused = model.interaction.fused(model.encoder.text_tokens(masked.ids).tokens, seen.tokens, None)
            logits = model.interaction.head(fused)
            for ours, theirs in (
                (seen.tokens, "image_tokens"),
                (read.tokens, "text_tokens"),
                (fused, "cross_former"),
                (logits, "mlm_logits"),
                (model.encode_images(batch.pixels), "encode_image"),
                (model.encode_texts(batch.ids), "encode_text"),
            ):
                np.testing.assert_allclose(ours.numpy(), case[f"out_{theirs}"], rtol=1e-4, atol=1e-4)


def test_parity_irra_e2e_losses_and_gradients(golden) -> None:
    for case in golden("irra_e2e"):
        model = published(case, "sdm", "itc", "cmpm_as_released", "id", "mlm", attend_padding=True)
        batch, masked = inputs(case)
        terms = model.terms(batch, masked)
        for name, term in terms.items():
            theirs = case[f"out_{name.removesuffix('_as_released')}_loss"]
            assert term.item() == pytest.approx(float(theirs), rel=1e-4), name
        total = torch.stack(list(terms.values())).sum()
        assert total.item() == pytest.approx(float(case["out_total_loss"]), rel=1e-4)
        total.backward()
        parameters = dict(model.named_parameters())
        norms = weights(case, "gradnorm_")
        assert {irra_names(name) for name in norms} == {n for n, p in parameters.items() if p.requires_grad}
        for name, norm in norms.items():
            ours = parameters[irra_names(name)].grad
            assert ours is not None and ours.norm().item() == pytest.approx(norm.item(), rel=1e-3, abs=1e-4), name


def test_logits_at_masked_places_alone_give_the_loss_of_all(clip: ClipTokens, batch: Batch) -> None:
    model = Irra(clip, 0, losses=("mlm",), attend_padding=True)
    masked = model_masks(model, batch)
    ours = model.terms(batch, masked)["mlm"]
    full = model.interaction.head(
        model.interaction.fused(
            clip.text_tokens(padded(masked.ids)).tokens, clip.image_tokens(batch.pixels).tokens, None
        )
    )
    labels = padded(torch.where(masked.chosen, batch.ids, 0))
    wanted = nn.functional.cross_entropy(full.flatten(0, 1), labels.flatten(), ignore_index=0)
    assert ours.item() == pytest.approx(wanted.item(), rel=1e-5)


def model_masks(model: Irra, batch: Batch) -> Masked:
    return mask_words(batch.ids, uniform_draws(batch.ids, batch.index, seeded()), model.encoder.mask_id)


def padded(ids: Tensor, length: int = 77) -> Tensor:
    return nn.functional.pad(ids, (0, length - ids.shape[1]))


def rows_of(batch: Batch, rows: slice) -> Batch:
    return Batch(*(getattr(batch, field.name)[rows] for field in fields(batch)))


def wide(batch: Batch) -> Batch:
    return replace(batch, ids=padded(batch.ids))


def test_trimming_a_batch_changes_nothing(clip: ClipTokens, batch: Batch) -> None:
    model = Irra(clip, 3)
    narrow, full = model(batch, seeded()), model(wide(batch), seeded())
    assert narrow.keys() == {"sdm", "id", "mlm"}
    for name in narrow:
        assert narrow[name].item() == pytest.approx(full[name].item(), rel=1e-5)
    released = Irra(clip, 3, losses=("mlm",), attend_padding=True)
    released.interaction.load_state_dict(model.interaction.state_dict())
    assert released(batch, seeded())["mlm"].item() == pytest.approx(released(wide(batch), seeded())["mlm"].item(), 1e-5)
    assert released(batch, seeded())["mlm"].item() != pytest.approx(narrow["mlm"].item(), rel=1e-5)


def test_the_masked_caption_stays_out_of_sdm_and_id_unless_asked(clip: ClipTokens, batch: Batch) -> None:
    clean, leaking = Irra(clip, 3), Irra(clip, 3, clean_global=False)
    leaking.load_state_dict(clean.state_dict())
    unmasked = Irra(clip, 3, losses=("sdm", "id"))
    unmasked.load_state_dict({n: v for n, v in clean.state_dict().items() if "interaction" not in n})
    wanted = unmasked(batch, seeded())
    for seed in (3, 4):
        got = clean(batch, seeded(seed))
        assert [got[name].item() for name in ("sdm", "id")] == [wanted[name].item() for name in ("sdm", "id")]
    assert leaking(batch, seeded())["sdm"].item() != pytest.approx(wanted["sdm"].item(), rel=1e-6)


def test_the_parts_of_a_batch_make_the_loss_of_the_whole(clip: ClipTokens, batch: Batch) -> None:
    """A gather that answers with the rows of both halves, as two processes would."""
    model = Irra(clip, 3)
    whole = model(batch, seeded())
    halves = [rows_of(batch, slice(0, 1)), rows_of(batch, slice(1, 4))]
    given: list[list[Tensor]] = [[], []]
    for half, kept in zip(halves, given, strict=True):
        model(half, seeded(), lambda rows, kept=kept: kept.append(rows) or rows)
    for half in halves:
        calls = iter(zip(*given, strict=True))
        terms = model(half, seeded(), lambda rows, calls=calls: torch.cat(next(calls)))
        for name in whole:
            assert terms[name].item() == pytest.approx(whole[name].item(), rel=1e-5), name


def test_248_tokens_and_bf16_and_checkpointing() -> None:
    model = Irra(small_clip(248), 3)
    batch = batch_of(captions(246, 90, 150, 20))
    plain = gradients(model, batch)
    model.set_grad_checkpointing()
    for name, gradient in gradients(model, batch).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-6)
    with torch.autocast("cpu", torch.bfloat16):
        terms = model(batch, seeded())
    full = model(batch, seeded())
    for name, term in terms.items():
        assert term.item() == pytest.approx(full[name].item(), rel=0.05), name


def gradients(model: Irra, batch: Batch) -> dict[str, Tensor]:
    model.zero_grad()
    torch.stack(list(model(batch, seeded()).values())).sum().backward()
    return {name: p.grad.clone() for name, p in model.named_parameters() if p.requires_grad}


def test_hard_batches_stay_finite(clip: ClipTokens, batch: Batch) -> None:
    model = Irra(clip, 3)
    for hard in (batch_of(captions(0, 0, 0, 0)), batch_of(batch.ids, (0, 0, 0, 0))):
        model.zero_grad()
        total = torch.stack(list(model(hard, seeded()).values())).sum()
        total.backward()
        assert torch.isfinite(total)
        assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


def test_weights_of_pairs_and_of_losses_count(clip: ClipTokens, batch: Batch) -> None:
    model = Irra(clip, 3, loss_weights={"mlm": 0.5})
    plain = Irra(clip, 3)
    plain.load_state_dict(model.state_dict())
    assert model(batch, seeded())["mlm"].item() == pytest.approx(plain(batch, seeded())["mlm"].item() / 2)
    last_left_out = replace(batch, weights=torch.tensor([1.0, 1, 1, 0]))
    wanted = plain(rows_of(batch, slice(0, 3)), seeded())["mlm"].item()
    assert plain(last_left_out, seeded())["mlm"].item() == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("losses", "classes", "message"),
    [(("sdm", "triplet"), 3, "triplet.*expected some of sdm"), (("sdm", "id"), 0, "id needs identity labels")],
)
def test_wrong_losses_say_what_is_right(clip: ClipTokens, losses, classes: int, message: str) -> None:
    with pytest.raises(CtgiError, match=message):
        Irra(clip, classes, losses=losses)
