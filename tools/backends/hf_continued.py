"""Batches whose prompts go on from what is computed already: a dialogue's next turn adds only its own tokens.

In a batch the computed beginnings come first, padded on the left to one length, then what is left of the prompts,
padded on the left as well. Positions are those of the whole prompts, so that nothing depends on the padding.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache
from transformers.modeling_outputs import BaseModelOutputWithPooling

from ctgi.tools.backends.hf_features import ImageFeatures
from ctgi.tools.backends.hf_padded import ONE_TENSOR_PER_IMAGE, padded
from ctgi.tools.backends.hf_prefixes import Computed, KeptDialogues, Start, allowed_bytes, start_of
from ctgi.tools.backends.hf_prompt import Prompt
from ctgi.tools.backends.hf_room import RoomyLayer


def can_continue(network: Any) -> bool:
    """Whether computed beginnings may be used again: in Qwen2-VL and Qwen2.5-VL, if each token sees all before it."""
    layers = getattr(network.config.get_text_config(), "layer_types", ())
    return network.config.model_type in ONE_TENSOR_PER_IMAGE and set(layers) == {"full_attention"}


@dataclass(frozen=True)
class Batch:
    """Prompts in one forward pass."""

    prompts: Sequence[Prompt]
    starts: Sequence[Start]
    inputs: dict[str, Any]
    """Of the network; the keys and values in it grow."""

    @property
    def begun(self) -> int:
        """Length of the longest computed beginning."""
        return max(start.length for start in self.starts)

    @property
    def length(self) -> int:
        """Length of the longest of what was left to compute of the prompts."""
        return int(self.inputs["input_ids"].shape[1])


class Continued:
    """Computes of each prompt what it does not have in common with the last dialogue about the same image."""

    def __init__(self, network: Any, kept_images: int) -> None:
        self._network = network
        self._features = ImageFeatures(network, kept_images)
        self._kept = KeptDialogues(kept_images, allowed_bytes(network.device))

    def generate(self, prompts: Sequence[Prompt], **options: Any) -> Any:
        """What transformers' `generate` returns for a batch, its sequences without the prompts."""
        batch = self._batch(prompts, self._starts(prompts))
        output = self._network.generate(**batch.inputs, return_dict_in_generate=True, **options)
        output.sequences = output.sequences[:, batch.length :]
        self._keep(batch, [self._until_end(row) for row in output.sequences.cpu()])
        return output

    def _starts(self, prompts: Sequence[Prompt]) -> list[Start]:
        """What is computed of each prompt.

        A new image is computed first where others need not wait for it, and once where several prompts are about it.
        """
        starts = [self._kept.start(prompt) for prompt in prompts]
        new = _new_images(prompts, starts)
        if not new or len(new) == len(prompts):
            return starts
        batch = self._batch([prompts[row] for row in new], [starts[row] for row in new])
        self._network(**batch.inputs, use_cache=True, logits_to_keep=1)
        computed = {one.image_id: one for one in self._keep(batch, [prompts[0].ids[:0]] * len(new))}
        return [
            start_of(prompt, computed[prompt.image_id]) if prompt.image_id in computed else start
            for prompt, start in zip(prompts, starts, strict=True)
        ]

    def _batch(self, prompts: Sequence[Prompt], starts: Sequence[Start]) -> Batch:
        device, fill = self._network.device, self._network.generation_config.pad_token_id
        pairs = [*zip(prompts, starts, strict=True)]
        begun = _ones([start.length for start in starts])
        left = _ones([prompt.length - start.length for prompt, start in pairs])
        ids = padded([prompt.ids[start.length :] for prompt, start in pairs], fill)
        positions = padded([self._positions(prompt)[:, start.length :] for prompt, start in pairs])
        inputs = {
            "input_ids": torch.stack(ids).to(device),
            "attention_mask": torch.cat([begun, left], dim=1).to(device),
            "position_ids": torch.stack(positions, dim=1).to(device),
            "past_key_values": _joined(starts, self._network.config.get_text_config().num_hidden_layers),
        }
        return Batch(prompts, starts, inputs | self._images(pairs))

    def _positions(self, prompt: Prompt) -> Tensor:
        """[3, L]: in time, height and width."""
        positions: Tensor = self._network.model.get_rope_index(
            prompt.tokens["input_ids"],
            prompt.tokens["mm_token_type_ids"],
            image_grid_thw=prompt.image.get("image_grid_thw"),
        )[0]
        return positions[:, 0]

    def _images(self, pairs: Sequence[tuple[Prompt, Start]]) -> dict[str, Any]:
        """The features of the image tokens that are left."""
        new = [(prompt, start) for prompt, start in pairs if _has_image(prompt, start.length)]
        if not new:
            return {}
        features = self._features.of([prompt for prompt, _ in new])
        left = [feature[_images_before(*pair) :] for feature, pair in zip(features, new, strict=True)]
        return {"mm_encoder_outputs": {"image": BaseModelOutputWithPooling(pooler_output=left)}}

    def _until_end(self, said: Tensor) -> Tensor:
        ends = torch.isin(said, torch.tensor(self._network.generation_config.eos_token_id)).nonzero()
        return said[: int(ends[0]) + 1] if len(ends) else said

    def _keep(self, batch: Batch, said: Sequence[Tensor]) -> list[Computed]:
        """Keep the prompts and the replies, of which the last token may not have been computed."""
        computed = [_row(batch, row, reply) for row, reply in enumerate(said)]
        for one in computed:
            self._kept.keep(one)
        return computed


def _ones(lengths: Sequence[int]) -> Tensor:
    """A mask of rows that end together, [B, the greatest length]."""
    return torch.stack(padded([torch.ones(length, dtype=torch.long) for length in lengths]))


def _has_image(prompt: Prompt, start: int) -> bool:
    return bool(prompt.tokens["mm_token_type_ids"][0, start:].any())


def _images_before(prompt: Prompt, start: Start) -> int:
    """Number of image tokens in the beginning."""
    return int((prompt.tokens["mm_token_type_ids"][0, : start.length] != 0).sum())


def _new_images(prompts: Sequence[Prompt], starts: Sequence[Start]) -> list[int]:
    """Rows with the first prompt of each image that is not computed."""
    rows = [row for row, start in enumerate(starts) if _has_image(prompts[row], start.length)]
    return [*{prompts[row].image_id: row for row in reversed(rows)}.values()]


def _joined(starts: Sequence[Start], layers: int) -> Cache:
    """The keys and values of the beginnings, padded on the left to one length."""
    cache = Cache(layers=[RoomyLayer() for _ in range(layers)])
    length = max(start.length for start in starts)
    if length:
        for number in range(layers):
            keys, values = (_filled(starts, length, number, which) for which in (0, 1))
            cache.update(keys, values, number)
    return cache


def _filled(starts: Sequence[Start], length: int, layer: int, which: int) -> Tensor:
    """Keys (0) or values (1) of a layer, [B, H, length, D]."""
    some = next(start.states[layer][which] for start in starts if start.length)
    joined = some.new_zeros(len(starts), some.shape[0], length, some.shape[2])
    for row, start in enumerate(starts):
        if start.length:
            joined[row, :, length - start.length :] = start.states[layer][which][:, : start.length]
    return joined


def _row(batch: Batch, row: int, said: Tensor) -> Computed:
    """A prompt and its reply, as far as they are computed, taken out of the batch."""
    prompt, start, cache = batch.prompts[row], batch.starts[row], batch.inputs["past_key_values"]
    middle = batch.begun + batch.length
    spoken = min(len(said), cache.get_seq_length() - middle)
    begun = slice(batch.begun - start.length, batch.begun)
    added = slice(middle - (prompt.length - start.length), middle + spoken)

    def taken(states: Tensor) -> Tensor:
        return torch.cat([states[row, :, begun], states[row, :, added]], dim=1)

    states = [(taken(layer.keys), taken(layer.values)) for layer in cache.layers]
    return Computed(prompt.image_id, torch.cat([prompt.ids, said[:spoken]]), states)
