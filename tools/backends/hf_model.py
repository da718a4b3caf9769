"""Answers a batch of prompts with a loaded vision-language model.

A batch is padded on the left and decoded row by row, so a reply does not depend on its neighbors.
"""

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import count
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import GenerationConfig
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ctgi.tools.backends import ChatReply
from ctgi.tools.backends.thoughts import is_mark, part
from ctgi.tools.types import Tokens

_ONE_TENSOR_PER_IMAGE = ("qwen2_vl", "qwen2_5_vl")
"""Architectures whose image features are exactly a list of [tokens, D], one per image."""
KEPT_IMAGES = 64
NEGLIGIBLE = 1e-6
"""Spellings of a choice that are less likely than this share of the likeliest one are not followed to their end."""
COLD = 0.1
"""Temperature below which sampling equals greedy decoding, except for near ties."""

Prefix = tuple[int, ...]


@dataclass(frozen=True)
class Prompt:
    """One request, as prepared by the processor."""

    tokens: dict[str, Tensor]
    """[1, L] each: input_ids, attention_mask and further per-token inputs of the processor."""
    image: dict[str, Tensor]
    """pixel_values and their shapes; empty without an image."""
    image_id: str
    """sha256 of the image; "" without one."""
    max_tokens: int
    """Limit of a free text; 0 for choices."""
    thinking: bool
    """Whether it ends inside a thought, with which the reply begins."""
    choices: tuple[tuple[str, tuple[Prefix, ...]], ...]
    """Each choice with the token sequences that spell it; empty for free text."""

    @property
    def length(self) -> int:
        """Number of tokens, including the image's."""
        return self.tokens["input_ids"].shape[1]


class Checkpoint:
    """A loaded model: greedy replies and choice probabilities for a batch. One thread at a time.

    The features of the last images are kept, so that further questions about an image do not run the vision tower
    again.
    """

    def __init__(self, network: Any, processor: Any, kept_images: int = KEPT_IMAGES) -> None:
        self.processor = processor
        self._kept_images = kept_images
        self.network = network
        self._pad = _first_id(processor.tokenizer.pad_token_id, network.generation_config.pad_token_id, 0)
        ends = network.generation_config.eos_token_id or processor.tokenizer.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        # The checkpoint's own sampling settings would make replies random or dependent on their neighbors.
        network.generation_config = GenerationConfig(
            do_sample=False, eos_token_id=sorted(self._ends), pad_token_id=self._pad
        )
        self._features: OrderedDict[str, Tensor] = OrderedDict()
        added = processor.tokenizer.added_tokens_decoder
        self._marks = {number: token.content for number, token in added.items() if is_mark(token.content)}

    @property
    def context_length(self) -> int:
        """Maximum number of tokens of prompt and reply together."""
        return int(self.network.config.get_text_config().max_position_embeddings)

    @torch.inference_mode()
    def generate(self, prompts: Sequence[Prompt], temperature: float, seed: int) -> list[ChatReply]:
        """Replies of up to the first prompt's `max_tokens`: greedy below COLD, else sampled, by seed and prompt.

        The confidence includes the end-of-text token, if the model reached it, but no thoughts.
        """
        inputs = self._collate([(prompt, ()) for prompt in prompts])
        steps: list[Tensor] = []
        noise = _no_noise if temperature < COLD else _gumbel(prompts, temperature, seed)
        sequences = self.network.generate(
            **inputs,
            max_new_tokens=prompts[0].max_tokens,
            logits_processor=[_recording(steps, noise)],
        )
        log_probs = torch.stack(steps, dim=1).tolist()  # [B, steps]
        rows = sequences[:, inputs["input_ids"].shape[1] :].tolist()
        return [self._reply(*row) for row in zip(prompts, rows, log_probs, strict=True)]

    def _reply(self, prompt: Prompt, ids: list[int], log_probs: list[float]) -> ChatReply:
        end = next((i + 1 for i, token in enumerate(ids) if token in self._ends), None)
        length = len(ids) if end is None else end
        said = part(self._decoded(ids[:length]), opened=prompt.thinking)
        begin = max((i + 1 for i, token in enumerate(ids[:length]) if token in self._marks), default=0)
        is_sure = begin < length and (begin > 0 or not said.thoughts)
        confidence = math.exp(sum(log_probs[begin:length]) / (length - begin)) if is_sure else None
        tokens = Tokens(prompt.length, length)
        return ChatReply(said.answer, confidence, tokens=tokens, thoughts=said.thoughts, cut=end is None)

    def _decoded(self, ids: list[int]) -> str:
        """The text without special tokens, but with markers of thoughts, which some tokenizers treat as special."""
        pieces: list[list[int]] = [[]]
        marks = [""]
        for number in ids:
            if number in self._marks:
                marks.append(self._marks[number])
                pieces.append([])
            else:
                pieces[-1].append(number)
        decode = self.processor.tokenizer.decode
        texts = [decode(piece, skip_special_tokens=True) for piece in pieces]
        return "".join(mark + text for mark, text in zip(marks, texts, strict=True)).strip()

    @torch.inference_mode()
    def choose(self, prompts: Sequence[Prompt], batch_size: int) -> list[ChatReply]:
        """The most probable choice of each prompt, with the probabilities of all."""
        after: list[dict[Prefix, Tensor]] = [{} for _ in prompts]  # log P of the token after each prefix, [V]
        while left := [(row, way) for row, prompt in enumerate(prompts) for way in _next_ways(prompt, after[row])]:
            for start in range(0, len(left), batch_size):
                some = left[start : start + batch_size]
                found = self._follow([(prompts[row], way) for row, way in some])
                for (row, _), known in zip(some, found, strict=True):
                    after[row] |= known
        return [_chosen(*pair) for pair in zip(prompts, after, strict=True)]

    def _follow(self, ways: Sequence[tuple[Prompt, Prefix]]) -> list[dict[Prefix, Tensor]]:
        """For each prompt log P of the token after each beginning of a way, and after all of it, [V]."""
        inputs = self._collate([(prompt, ()) for prompt, _ in ways])
        step = self.network.generate(
            **inputs,
            max_new_tokens=1 + max(len(way) for _, way in ways),
            logits_processor=[_forcing([way for _, way in ways], inputs["input_ids"].shape[1])],
            output_logits=True,
            return_dict_in_generate=True,
        )
        log_probs = [logits.log_softmax(dim=-1).cpu() for logits in step.logits]
        return [{way[:end]: log_probs[end][row] for end in range(len(way) + 1)} for row, (_, way) in enumerate(ways)]

    def _collate(self, rows: Sequence[tuple[Prompt, Prefix]]) -> dict[str, Any]:
        """Model inputs for prompts, each with the beginning of a reply, padded on the left to one length."""
        length = max(prompt.length + len(prefix) for prompt, prefix in rows)
        tokens = {name: torch.cat([self._padded(name, *row, length) for row in rows]) for name in rows[0][0].tokens}
        seen = [prompt for prompt, _ in rows if prompt.image_id]
        return {name: tensor.to(self.network.device) for name, tensor in tokens.items()} | self._images(seen)

    def _padded(self, name: str, prompt: Prompt, prefix: Prefix, length: int) -> Tensor:
        row = lengthened(name, prompt.tokens[name], prefix)
        return pad(row, (length - row.shape[1], 0), value=self._pad if name == "input_ids" else 0)

    def _images(self, prompts: Sequence[Prompt]) -> dict[str, Any]:
        if not prompts:
            return {}
        if self.network.config.model_type not in _ONE_TENSOR_PER_IMAGE:
            return _stacked(prompts, self.network)
        features = BaseModelOutputWithPooling(pooler_output=self._image_features(prompts))
        grids = torch.cat([prompt.image["image_grid_thw"] for prompt in prompts]).to(self.network.device)
        return {"image_grid_thw": grids, "mm_encoder_outputs": {"image": features}}

    def _image_features(self, prompts: Sequence[Prompt]) -> list[Tensor]:
        """Image features, [tokens, D] for each prompt; computed only for images not seen recently."""
        new = list({p.image_id: p for p in prompts if p.image_id not in self._features}.values())
        found = {p.image_id: self._features[p.image_id] for p in prompts if p.image_id in self._features}
        if new:
            output = self.network.get_image_features(**_stacked(new, self.network), return_dict=True)
            found |= zip([prompt.image_id for prompt in new], output.pooler_output, strict=True)
        for image_id, features in found.items():
            self._features[image_id] = features
            self._features.move_to_end(image_id)
        while len(self._features) > self._kept_images:
            self._features.popitem(last=False)
        return [found[prompt.image_id] for prompt in prompts]


def lengthened(name: str, tokens: Tensor, added: Sequence[int]) -> Tensor:
    """The per-token inputs, [1, L + len(added)], with text tokens appended."""
    told = {"input_ids": list(added), "attention_mask": [1] * len(added)}.get(name, [0] * len(added))
    return torch.cat([tokens, torch.tensor([told], dtype=torch.long)], dim=1)


def _stacked(prompts: Iterable[Prompt], network: Any) -> dict[str, Tensor]:
    images = [prompt.image for prompt in prompts]
    joined = {name: torch.cat([image[name] for image in images]).to(network.device) for name in images[0]}
    return {name: x.to(network.dtype) if x.is_floating_point() else x for name, x in joined.items()}


def _first_id(*ids: int | None) -> int:
    return next(i for i in ids if i is not None)


Noise = Callable[[Tensor], Tensor]
"""Scores [B, V] -> noise to add before taking the maximum."""


def _no_noise(scores: Tensor) -> Tensor:
    return torch.zeros((), device=scores.device)


def _gumbel(prompts: Sequence[Prompt], temperature: float, seed: int) -> Noise:
    """Noise that turns the maximum into a sample at this temperature (the Gumbel-max trick).

    Each row has its own randomness, so that a reply does not depend on its neighbors in the batch.
    """
    keys = [f"{seed}/{prompt.image_id}/{prompt.tokens['input_ids'].tolist()}" for prompt in prompts]
    digests = torch.tensor([int.from_bytes(sha256(key.encode()).digest()[:7]) for key in keys])
    drawn = count()

    def noise(scores: Tensor) -> Tensor:
        uniform = _uniform(digests.to(scores.device), next(drawn), scores.shape[1])
        return -temperature * (-uniform.clamp(1e-20, 1 - 1e-7).log()).log()

    return noise


def _uniform(keys: Tensor, step: int, size: int) -> Tensor:
    """[B, size] numbers in [0, 1), the step-th draw of each key: SplitMix64, all rows at once on the keys' device."""
    places = torch.arange(step * size + 1, (step + 1) * size + 1, device=keys.device)
    x = keys[:, None] + places * _signed(0x9E3779B97F4A7C15)  # products wrap around
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x = (x ^ _shifted(x, shift)) * _signed(factor)
    uniform: Tensor = _shifted(x ^ _shifted(x, 31), 40).float() / 2**24
    return uniform


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


def _shifted(x: Tensor, places: int) -> Tensor:
    """To the right, zeros coming in: torch's own shift keeps the sign."""
    moved: Tensor = (x >> places) & (2 ** (64 - places) - 1)
    return moved


def _recording(log_probs: list[Tensor], noise: Noise) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that adds the noise and records log P of the chosen token, [B], at each step."""

    def record(input_ids: Tensor, scores: Tensor) -> Tensor:
        noisy = scores + noise(scores)
        chosen = scores.gather(1, noisy.argmax(dim=-1, keepdim=True)).squeeze(1)
        log_probs.append(chosen - scores.logsumexp(dim=-1))
        return noisy

    return record


def _forcing(ways: Sequence[Prefix], length: int) -> Callable[[Tensor, Tensor], Tensor]:
    """A logits processor that makes each row go its way, whatever it would say, after a prompt of this length."""

    def force(input_ids: Tensor, scores: Tensor) -> Tensor:
        step = input_ids.shape[1] - length
        forced = scores.clone()  # they are what is reported
        for row, way in enumerate(ways):
            if step < len(way):
                forced[row] = -math.inf
                forced[row, way[step]] = 0.0
        return forced

    return force


def _next_ways(prompt: Prompt, after: dict[Prefix, Tensor]) -> list[Prefix]:
    """The beginnings of spellings to follow next: first the longest alone, then all that may still change a share."""
    spellings = [spelling for _, group in prompt.choices for spelling in group]
    if not after:
        return [max(spellings, key=len)[:-1]]
    reached = {spelling: _log_prob(spelling, after) for spelling in spellings}
    floor = max(reached.values()) + math.log(NEGLIGIBLE)
    left = {one[:-1] for one in spellings if one[:-1] not in after and reached[one] >= floor}
    return sorted(way for way in left if not any(other[: len(way)] == way for other in left - {way}))


def _log_prob(spelling: Prefix, after: dict[Prefix, Tensor]) -> float:
    """Of as much of it as is known: the whole has at most this probability."""
    return sum(float(after[spelling[:i]][token]) for i, token in enumerate(spelling) if spelling[:i] in after)


def _chosen(prompt: Prompt, after: dict[Prefix, Tensor]) -> ChatReply:
    def score(spellings: Sequence[Prefix]) -> Tensor:
        known = [_log_prob(one, after) if one[:-1] in after else -math.inf for one in spellings]
        return torch.tensor(known, dtype=torch.float64).logsumexp(dim=0)

    scores = [score(group) for _, group in prompt.choices]
    words = [choice for choice, _ in prompt.choices]
    shares = dict(zip(words, torch.stack(scores).softmax(dim=0).tolist(), strict=True))
    best = max(words, key=lambda word: shares[word])
    length = len(dict(prompt.choices)[best][0])
    return ChatReply(best, shares[best], shares, Tokens(prompt.length, length))
