"""Answers a batch of prompts with a loaded vision-language model.

A batch is padded on the left and decoded row by row, so a reply does not depend on its neighbors.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import GenerationConfig

from ctgi.tools.backends import ChatReply
from ctgi.tools.backends.hf_choices import chosen, forcing, next_ways
from ctgi.tools.backends.hf_continued import Continued, can_continue
from ctgi.tools.backends.hf_features import KEPT_IMAGES
from ctgi.tools.backends.hf_padded import Padded
from ctgi.tools.backends.hf_prompt import Ids, Prompt
from ctgi.tools.backends.hf_sampling import COLD, gumbel, no_noise, recording
from ctgi.tools.backends.thoughts import is_mark, part
from ctgi.tools.types import Tokens


class Checkpoint:
    """A loaded model: replies and choice probabilities for a batch. One thread at a time.

    Further questions about one of the last images do not run the vision tower again; in a family where that is safe,
    the earlier turns of a dialogue are not computed again either.
    """

    def __init__(self, network: Any, processor: Any, kept_images: int = KEPT_IMAGES) -> None:
        self.processor = processor
        self.network = network
        pad = _first_id(processor.tokenizer.pad_token_id, network.generation_config.pad_token_id, 0)
        ends = network.generation_config.eos_token_id or processor.tokenizer.eos_token_id
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        # The checkpoint's own sampling settings would make replies random or dependent on their neighbors.
        network.generation_config = GenerationConfig(do_sample=False, eos_token_id=sorted(self._ends), pad_token_id=pad)
        self._batches = Continued(network, kept_images) if can_continue(network) else Padded(network, kept_images)
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
        steps: list[Tensor] = []
        noise = no_noise if temperature < COLD else gumbel(prompts, temperature, seed)
        said = self._batches.generate(
            prompts, max_new_tokens=prompts[0].max_tokens, logits_processor=[recording(steps, noise)]
        )
        log_probs = torch.stack(steps, dim=1).tolist()  # [B, steps]
        return [self._reply(*row) for row in zip(prompts, said.sequences.tolist(), log_probs, strict=True)]

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
        after: list[dict[Ids, Tensor]] = [{} for _ in prompts]  # log P of the token after each prefix, [V]
        while left := [(row, way) for row, prompt in enumerate(prompts) for way in next_ways(prompt, after[row])]:
            for start in range(0, len(left), batch_size):
                some = left[start : start + batch_size]
                found = self._follow([(prompts[row], way) for row, way in some])
                for (row, _), known in zip(some, found, strict=True):
                    after[row] |= known
        return [chosen(*pair) for pair in zip(prompts, after, strict=True)]

    def _follow(self, ways: Sequence[tuple[Prompt, Ids]]) -> list[dict[Ids, Tensor]]:
        """For each prompt log P of the token after each beginning of a way, and after all of it, [V]."""
        step = self._batches.generate(
            [prompt for prompt, _ in ways],
            max_new_tokens=1 + max(len(way) for _, way in ways),
            logits_processor=[forcing([way for _, way in ways])],
            output_logits=True,
        )
        log_probs = [logits.log_softmax(dim=-1).cpu() for logits in step.logits]
        return [{way[:end]: log_probs[end][row] for end in range(len(way) + 1)} for row, (_, way) in enumerate(ways)]


def _first_id(*ids: int | None) -> int:
    return next(i for i in ids if i is not None)
