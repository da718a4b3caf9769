"""Many dialogues about one picture in one sequence: they share the system's words and the image.

[system, image] [branch 1] [branch 2] ...: each branch attends to the shared part and to itself, and its positions go
on from the shared part's end, so every token sees exactly what it would see in a dialogue of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ctgi.agents.prompts import prompt
from recipes.embedded import emphasis
from recipes.embedded.lessons import Branch, Turn
from recipes.embedded.qwen2vl import IMAGE

WIDTHS = (48, 96)
"""Branches of up to so many tokens are attended to together."""
MULTIPLE = 16
"""Rows are filled up to a multiple of it, which the fused attention of a GPU asks for."""
VERDICT = 4.0
"""How much a verdict's word counts."""


@dataclass(frozen=True)
class Group:
    """N branches of at most W tokens."""

    rows: Tensor
    """[N]: the sequence that each is in."""
    places: Tensor
    """[N, W]: its tokens' places in all sequences one after the other; the last one again where it is shorter."""
    taken: Tensor
    """[M]: which of the N * W are tokens and no repetition."""
    put: Tensor
    """[M]: the places of those."""


@dataclass(frozen=True)
class Packed:
    """A batch of sequences. What is learned is listed by place in all sequences one after the other."""

    ids: Tensor
    """[B, L]."""
    positions: Tensor
    """[3, B, L]: frame, row and column as Qwen2-VL counts them."""
    image: int
    """Where the image tokens begin in each sequence."""
    shared: int
    """Length of the shared part."""
    branches: Tensor
    """[B, L]: which branch each token is of, from 1; 0 in the shared part, -1 where the row is filled up."""
    groups: list[Group]
    """The branches, those of like length together."""
    before: Tensor
    """[M]: the places of the tokens after which a token of a reply is to be foretold."""
    wanted: Tensor
    """[M]: that token."""
    weights: Tensor
    """[M]: how much it counts."""
    judged: Tensor
    """[C]: the places of the last tokens of claims."""
    true: Tensor
    """[C]: 1 for a true claim, 0 for a false one."""
    counts: Tensor
    """[C]: how much the claim counts."""

    def to(self, device: torch.device) -> "Packed":
        """The same on a device, without the groups, which a GPU does not use."""
        kept = self.pinned() if device.type == "cuda" else self
        tensors = {name: value.to(device, non_blocking=True) for name, value in vars(kept).items() if name in _TENSORS}
        return replace(self, **tensors, groups=self.groups if device.type == "cpu" else [])

    def pinned(self) -> "Packed":
        """The same where a GPU fetches it while the program goes on."""
        return replace(self, **{name: value.pin_memory() for name, value in vars(self).items() if name in _TENSORS})


_TENSORS = [field.name for field in fields(Packed) if field.type is Tensor]


@dataclass
class _Row:
    ids: list[int]
    replies: list[tuple[int, int, float]]
    """Place in the row, token, weight."""
    claims: list[tuple[int, int, float]]
    """Place in the row, whether it is true, weight."""
    branches: list[int]
    """Their lengths."""
    positions: list[int]
    """Distance from the end of the shared part."""

    def numbers(self) -> list[int]:
        """Which branch each token is of, from 1."""
        return [number for number, length in enumerate(self.branches, 1) for _ in range(length)]


class Packer:
    """Packs branches for pictures of one size."""

    def __init__(self, processor: Any) -> None:
        self._encode = processor.tokenizer.backend_tokenizer.encode
        self._prefixes: dict[tuple[int, int, bool], tuple[list[int], int, Tensor]] = {}

    def pack(self, dialogues: Sequence[list[Branch]], rows: int, columns: int, *, system: bool) -> Packed:
        """The branches of each picture, whose patches stand in `rows` x `columns`."""
        prefix, image, places = self._prefix(rows, columns, system)
        packed = [self._row(branches) for branches in dialogues]
        shared, longest = len(prefix), max(len(row.ids) for row in packed)
        length = -(-(shared + longest) // MULTIPLE) * MULTIPLE
        start = int(places.max()) + 1

        def padded(values: list[list[int]], filler: int = 0) -> Tensor:
            return torch.tensor([one + [filler] * (length - shared - len(one)) for one in values])

        ids = torch.cat([torch.tensor([prefix] * len(packed)), padded([row.ids for row in packed])], 1)
        own = padded([row.positions for row in packed]) + start
        replies = [(number * length + shared + at, *rest) for number, row in enumerate(packed)
                   for at, *rest in row.replies]  # fmt: skip
        claims = [(number * length + shared + at, *rest) for number, row in enumerate(packed)
                  for at, *rest in row.claims]  # fmt: skip
        before, wanted, weights = zip(*replies, strict=True)
        judged, true, counts = zip(*claims, strict=True) if claims else ((), (), ())
        return Packed(
            ids=ids,
            positions=torch.cat([places[:, None].expand(3, len(packed), -1), own.expand(3, -1, -1)], 2),
            image=image,
            shared=shared,
            branches=F.pad(padded([row.numbers() for row in packed], -1), (shared, 0)),
            groups=_groups([row.branches for row in packed], shared, length),
            before=torch.tensor(before) - 1,
            wanted=torch.tensor(wanted),
            weights=torch.tensor(weights),
            judged=torch.tensor(judged, dtype=torch.long),
            true=torch.tensor(true, dtype=torch.float),
            counts=torch.tensor(counts, dtype=torch.float),
        )

    def _prefix(self, rows: int, columns: int, system: bool) -> tuple[list[int], int, Tensor]:
        """Ids of the shared part, where its image begins, and its positions [3, L]."""
        key = (rows, columns, system)
        if key not in self._prefixes:
            said = f"<|im_start|>system\n{prompt('system')}<|im_end|>\n" if system else ""
            cells = rows * columns // 4
            before = self._ids(f"{said}<|im_start|>user\n<|vision_start|>")
            ids = [*before, *self._ids(IMAGE * cells), *self._ids("<|vision_end|>")]
            self._prefixes[key] = (ids, len(before), _positions(len(before), rows // 2, columns // 2))
        return self._prefixes[key]

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._encode(text, add_special_tokens=False).ids
        return ids

    def _row(self, branches: list[Branch]) -> _Row:
        row = _Row([], [], [], [], [])
        for branch in branches:
            began = len(row.ids)
            for index, turn in enumerate(branch):
                self._add(row, turn, first=index == 0)
            row.branches.append(len(row.ids) - began)
            row.positions += range(len(row.ids) - began)
        return row

    def _add(self, row: _Row, turn: Turn, *, first: bool) -> None:
        opening = "" if first else "\n<|im_start|>user\n"
        asked = f"{opening}{turn.prompt}<|im_end|>\n<|im_start|>assistant\n"
        coded = self._encode(asked, add_special_tokens=False)
        began, at = len(row.ids), len(opening) + len(turn.before)
        for claim in turn.claims:
            at += len(claim.text)
            if claim.true is not None:
                count = emphasis.CLAIMS.get(claim.topic, 1.0)
                row.claims.append((began + _token_before(coded.offsets, at), int(claim.true), count))
        reply = self._ids(f"{turn.reply}<|im_end|>")
        weight = VERDICT if turn.claims else turn.weight * (1.5 if len(reply) < 8 else 0.5)
        row.ids += coded.ids + reply
        after = began + len(coded.ids)
        row.replies += [
            (after + place, token, weight if place < len(reply) - 1 else 0.3) for place, token in enumerate(reply)
        ]


def _positions(before: int, rows: int, columns: int) -> Tensor:
    """[3, L] of `before` words, an image of `rows` x `columns` tokens, and one more word, as Qwen2-VL counts them."""
    words = torch.arange(before).expand(3, -1)
    down, across = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    image = before + torch.stack([torch.zeros_like(down), down, across]).flatten(1)
    return torch.cat([words, image, torch.full((3, 1), before + max(rows, columns))], 1)


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
    taken = (steps < lengths[:, None]).flatten().nonzero().flatten()
    return Group(rows, places, taken, places.flatten()[taken])
