"""How the embedded multimodal model learns: first to see (warmup.py), then to describe, to answer and to judge."""

from random import Random
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from recipes.embedded.batches import Batches
from recipes.embedded.fit import Step
from recipes.embedded.lessons import draw_branches
from recipes.embedded.packing import IGNORED, Packed, Packer
from recipes.embedded.qwen2vl import PATCH, TEXT_DEPTH, WIDTH
from recipes.embedded.reading import read
from recipes.embedded.sight import see
from recipes.embedded.warmup import FIELDS, Heads

CLAIM_LAYER = TEXT_DEPTH - 2
"""Where each claim's truth is asked for, so that the layers above can sum up."""


SIGHT = 0.6
"""Share of the first lesson's loss that is kept up, so that the tower does not unlearn it."""


class Speaker(nn.Module):
    """The model with a head that judges each claim of a description at its last word; the head is thrown away later.

    One yes or no for a whole description says nothing about which word was wrong; with a judgement for every claim the
    model learns to compare in a fraction of the steps.
    """

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        self.heads = Heads(WIDTH)
        self.claim = nn.Linear(model.config.text_config.hidden_size, 1)

    def look(self, pixels: Tensor) -> tuple[Tensor, Tensor]:
        """[B, H, W, 3] -> features of the patches [B, P, D] and of the image tokens [B, P / 4, D]."""
        return see(self.model.model.visual, pixels)

    def read(self, tokens: Tensor, packed: Packed) -> tuple[Tensor, Tensor]:
        """Hidden states of the last layer and of CLAIM_LAYER, [B, L, D] each."""
        text = self.model.model.language_model
        embedded = text.embed_tokens(packed.ids)
        places = packed.ids == self.model.config.image_token_id
        embedded = embedded.masked_scatter(places[..., None], tokens.to(embedded.dtype))
        states = read(text, embedded, packed)
        return states[-1], states[CLAIM_LAYER]


def sight_step(speaker: Speaker, batches: Batches, size: int) -> Step:
    """A step of the first lesson; its figures are the shares of right answers by field."""

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, float]]:
        batch = batches.draw(size, rng)
        loss, told = speaker.heads.loss(*speaker.look(batch.pixels), batch)
        return loss, dict(zip(FIELDS, told.float().mean(0).tolist(), strict=True))

    return step


def dialogue_step(speaker: Speaker, packer: Packer, batches: Batches, size: int) -> Step:
    """A step of the second lesson: the weighted loss of the replies' tokens, of the claims, and some of the first."""

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, float]]:
        batch = batches.draw(size, rng)
        scenes = batch.scenes
        lessons = [draw_branches(scene, rng.choice(scenes), rng) for scene in scenes]
        rows, columns = (side // PATCH for side in batch.pixels.shape[1:3])
        packed = packer.pack(lessons, rows, columns, system=rng.random() < 0.9)
        patches, tokens = speaker.look(batch.pixels)
        of_sight, told = speaker.heads.loss(patches, tokens, batch)
        of_words, figures = _loss(speaker, packed, *speaker.read(tokens, packed))
        return of_words + SIGHT * of_sight, figures | {"fields": told.float().mean().item()}

    return step


def _loss(speaker: Speaker, packed: Packed, last: Tensor, middle: Tensor) -> tuple[Tensor, dict[str, float]]:
    learned = packed.labels[:, 1:] != IGNORED  # a token is foretold by the one before it
    logits = speaker.model.lm_head(last[:, :-1][learned]).float()
    wanted, weights = packed.labels[:, 1:][learned], packed.weights[:, 1:][learned]
    each = F.cross_entropy(logits, wanted, reduction="none")
    marked = packed.claims != IGNORED
    judged, true = speaker.claim(middle[marked]).float().squeeze(-1), packed.claims[marked].float()
    of_claims = F.binary_cross_entropy_with_logits(judged, true)
    verdict = weights == 4.0
    right = (logits.argmax(-1) == wanted).float()
    figures = {
        "words": right[~verdict & (weights > 0.4)].mean().item(),
        "verdicts": right[verdict].mean().item(),
        "claims": ((judged > 0) == (true > 0.5)).float().mean().item(),
        "tokens": float(packed.ids.shape[1]),
    }
    return (each * weights).sum() / weights.sum() + 0.5 * of_claims, figures
