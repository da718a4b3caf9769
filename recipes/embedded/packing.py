"""Many dialogues about one picture in one sequence: they share the system's words and the image.

[system, image] [branch 1] [branch 2] ...: each branch attends to the shared part and to itself, and its positions go
on from the shared part's end, so every token sees exactly what it would see in a dialogue of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from ctgi.agents.prompts import prompt
from recipes.embedded.lessons import Branch, Turn
from recipes.embedded.qwen2vl import IMAGE

IGNORED = -100
WIDTHS = (64, 128)
"""Branches of up to so many tokens are attended to together."""


@dataclass(frozen=True)
class Group:
    """N branches of at most W tokens."""

    rows: Tensor
    """[N]: the sequence that each is in."""
    places: Tensor
    """[N, W]: its tokens' places in all sequences one after the other; the last one again where it is shorter."""
    real: Tensor
    """[N, W]: false where it is shorter."""


@dataclass(frozen=True)
class Packed:
    """A batch of sequences."""

    ids: Tensor
    """[B, L]."""
    labels: Tensor
    """[B, L]: the token itself where it is to be learned, else IGNORED."""
    weights: Tensor
    """[B, L]: how much each learned token counts."""
    claims: Tensor
    """[B, L]: 1 at the last token of a true claim, 0 of a false one, else IGNORED."""
    positions: Tensor
    """[3, B, L]: frame, row and column as Qwen2-VL counts them."""
    shared: int
    """Length of the shared part."""
    groups: list[Group]
    """The branches, those of like length together."""


@dataclass
class _Row:
    ids: list[int]
    labels: list[int]
    weights: list[float]
    claims: list[int]
    branches: list[int]
    """Their lengths."""
    place: list[int]
    """Distance from the end of the shared part."""


class Packer:
    """Packs branches for pictures of one size."""

    def __init__(self, processor: Any, model: Any) -> None:
        self._tokenizer = processor.tokenizer
        self._model = model
        self._prefixes: dict[tuple[int, int, bool], tuple[list[int], Tensor]] = {}

    def pack(self, dialogues: Sequence[list[Branch]], rows: int, columns: int, *, system: bool) -> Packed:
        """The branches of each picture, whose patches stand in `rows` x `columns`."""
        prefix, places = self._prefix(rows, columns, system)
        packed = [self._row(branches) for branches in dialogues]
        longest = max(len(row.ids) for row in packed)
        start = int(places.max()) + 1

        def padded(values: list[list[Any]], filler: Any) -> Tensor:
            return torch.tensor([row + [filler] * (longest - len(row)) for row in values])

        def after_prefix(values: Tensor, filler: float) -> Tensor:
            return torch.cat([torch.full((len(packed), len(prefix)), filler, dtype=values.dtype), values], 1)

        ids = torch.cat([torch.tensor([prefix] * len(packed)), padded([row.ids for row in packed], 0)], 1)
        own = padded([row.place for row in packed], 0) + start
        shared = places[:, None].expand(3, len(packed), -1)
        return Packed(
            ids,
            after_prefix(padded([row.labels for row in packed], IGNORED), IGNORED),
            after_prefix(padded([row.weights for row in packed], 0.0), 0.0),
            after_prefix(padded([row.claims for row in packed], IGNORED), IGNORED),
            torch.cat([shared, own.expand(3, -1, -1)], 2),
            len(prefix),
            _groups([row.branches for row in packed], len(prefix), ids.shape[1]),
        )

    def _prefix(self, rows: int, columns: int, system: bool) -> tuple[list[int], Tensor]:
        """Ids of the shared part and their positions [3, L]."""
        key = (rows, columns, system)
        if key not in self._prefixes:
            said = f"<|im_start|>system\n{prompt('system')}<|im_end|>\n" if system else ""
            image = IMAGE * (rows * columns // 4)
            ids = self._tokenizer(f"{said}<|im_start|>user\n<|vision_start|>{image}<|vision_end|>")["input_ids"]
            tokens = torch.tensor([ids])
            kinds = (tokens == self._tokenizer.convert_tokens_to_ids(IMAGE)).long()
            grid = torch.tensor([[1, rows, columns]])
            places, _ = self._model.model.get_rope_index(tokens, kinds, grid)
            self._prefixes[key] = (ids, places[:, 0])
        return self._prefixes[key]

    def _row(self, branches: list[Branch]) -> _Row:
        row = _Row([], [], [], [], [], [])
        for branch in branches:
            began = len(row.ids)
            for index, turn in enumerate(branch):
                self._add(row, turn, first=index == 0)
            row.branches.append(len(row.ids) - began)
            row.place += range(len(row.ids) - began)
        return row

    def _add(self, row: _Row, turn: Turn, *, first: bool) -> None:
        opening = "" if first else "\n<|im_start|>user\n"
        asked = f"{opening}{turn.prompt}<|im_end|>\n<|im_start|>assistant\n"
        coded = self._tokenizer(asked, return_offsets_mapping=True)
        marks = [IGNORED] * len(coded["input_ids"])
        at = len(opening) + len(turn.before)
        for claim in turn.claims:
            at += len(claim.text)
            if claim.true is not None:
                marks[_token_before(coded["offset_mapping"], at)] = int(claim.true)
        reply = self._tokenizer(f"{turn.reply}<|im_end|>")["input_ids"]
        weight = 4.0 if turn.claims else 1.5 if len(reply) < 8 else 0.5
        row.ids += coded["input_ids"] + reply
        row.labels += [IGNORED] * len(marks) + reply
        row.weights += [0.0] * len(marks) + [weight] * (len(reply) - 1) + [0.3]
        row.claims += marks + [IGNORED] * len(reply)


def _token_before(offsets: list[tuple[int, int]], at: int) -> int:
    """The token that holds the character before `at`."""
    return next(index for index, (start, end) in enumerate(offsets) if start < at <= end)


def _groups(lengths: list[list[int]], shared: int, row_length: int) -> list[Group]:
    branches = [
        (row, row * row_length + shared + sum(own[:index]), own[index])
        for row, own in enumerate(lengths)
        for index in range(len(own))
    ]
    limits = [0, *WIDTHS, max(length for *_, length in branches)]
    alike = [[b for b in branches if low < b[2] <= high] for low, high in pairwise(limits)]
    return [_group(group) for group in alike if group]


def _group(branches: list[tuple[int, int, int]]) -> Group:
    rows, starts, lengths = (torch.tensor(values) for values in zip(*branches, strict=True))
    steps = torch.arange(int(lengths.max()))
    places = starts[:, None] + torch.minimum(steps, lengths[:, None] - 1)
    return Group(rows, places, steps < lengths[:, None])
