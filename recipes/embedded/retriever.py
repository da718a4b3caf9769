"""Makes the embedded retriever: pictures and texts in memory, three lessons, an open_clip folder.

python -m recipes.embedded.retriever --work WORK --people PEOPLE --captions FILE --witnesses --teacher MLLM --out FOLDER

First it learns to see: what is true of each picture, and what the multimodal model sees in each patch. Then to match:
pictures with captions that the multimodal model wrote and, with --witnesses, with what the generator's witnesses say.
Last to read: the texts alone, of pictures that are looked at once, which is quick. `--match-steps 0` leaves out a
lesson.
A killed run goes on where its state was saved.
"""

import argparse
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from recipes.embedded.clip import save_clip
from recipes.embedded.fields import FIELDS
from recipes.embedded.fit import Length, Step, fit
from recipes.embedded.pair import Pair
from recipes.embedded.pairs import Pictures, Texts, captions_of, people_of
from recipes.embedded.teacher import Taught, taught_of
from recipes.embedded.views import draw_places, moved, plain, vary


@dataclass(frozen=True)
class Plan:
    """How long each lesson is; from random weights. The model that ships began with another one's tower."""

    see_steps: int = 8000
    see_minutes: float = 0.0
    see_batch: int = 64
    see_rate: float = 7e-4
    match_steps: int = 2000
    match_minutes: float = 0.0
    match_batch: int = 128
    match_rate: float = 7e-4
    read_steps: int = 400
    read_minutes: float = 0.0
    read_batch: int = 192
    read_rate: float = 4e-4
    share: float = 0.25
    """Of the captions in a batch, where there are witnesses too."""
    seeing: float = 0.5
    """Weight of the first lesson in the second."""
    alike: float = 0.5
    """Of a batch: pictures of people who share two attributes, each a hard negative of the others."""
    seed: int = 1


class Stock:
    """Pictures, and pools of texts about them, on torch's default device; words are numbered without gaps."""

    def __init__(self, pictures: Pictures, pools: Sequence[Texts], taught: Taught) -> None:
        device = torch.get_default_device()
        self.pixels = torch.from_numpy(pictures.pixels).to(device)
        self.people = torch.from_numpy(pictures.people).to(device)
        self.fields = torch.from_numpy(pictures.fields).to(device)
        self.taught = torch.full((len(pictures.names),), -1, device=device)
        """[N]: the place of each picture's features, -1 where the teacher has not seen it."""
        self.taught[torch.from_numpy(taught.rows).to(device)] = torch.arange(len(taught.rows), device=device)
        self.features = torch.from_numpy(taught.features).to(device)
        self.words = np.unique(np.concatenate([np.unique(pool.ids) for pool in pools])).astype(np.int64)
        numbers = np.zeros(self.words[-1] + 1, np.int16)
        numbers[self.words] = np.arange(len(self.words))
        self.rows = [torch.from_numpy(pool.rows).to(device) for pool in pools]
        self.ids = [torch.from_numpy(numbers[pool.ids]).to(device) for pool in pools]


def seeing(pair: Pair, stock: Stock, plan: Plan) -> Step:
    """A step of the first lesson: pictures, varied; what is true of them, and the teacher's features."""

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        generator = torch.Generator(stock.pixels.device).manual_seed(rng.getrandbits(62))
        chosen = torch.randint(len(stock.pixels), (plan.see_batch,), generator=generator, device=stock.pixels.device)
        _, loss, told = look(pair, stock, chosen, generator)
        return loss, told

    return step


def matching(pair: Pair, stock: Stock, plan: Plan) -> Step:
    """A step of the second: the same, of pictures that have a text each, and both contrasted."""

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        generator = torch.Generator(stock.pixels.device).manual_seed(rng.getrandbits(62))
        chosen, texts = pairs(stock, plan, plan.match_batch, generator)
        seen, loss, told = look(pair, stock, chosen, generator)
        alike = contrast(pair.scores(seen, pair.read(texts)), stock.people[chosen])
        return alike + plan.seeing * loss, {"contrast": alike.detach()} | told

    return step


def reading(pair: Pair, stock: Stock, plan: Plan) -> Step:
    """A step of the third, for the texts alone: pictures are looked at once, and then only turned as a whole."""
    shown = torch.unique(torch.cat(stock.rows))
    with torch.no_grad(), torch.autocast(shown.device.type, torch.bfloat16):
        parts = [pair.clip.image_tokens(plain(stock.pixels[part])).global_.float() for part in shown.split(_LOOKED)]
    seen = torch.zeros(len(stock.pixels), pair.clip.dim, device=shown.device).index_copy(0, shown, torch.cat(parts))

    def step(number: int, rng: Random) -> tuple[Tensor, dict[str, Tensor]]:
        generator = torch.Generator(shown.device).manual_seed(rng.getrandbits(62))
        chosen, texts = pairs(stock, plan, plan.read_batch, generator)
        loss = contrast(pair.scores(seen[chosen] @ pair.turned, pair.read(texts)), stock.people[chosen])
        return loss, {"contrast": loss.detach()}

    return step


_LOOKED = 250
"""Pictures looked at together."""


def pairs(stock: Stock, plan: Plan, batch: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Pictures drawn for a batch, and a text about each."""
    rows, texts = [], []
    for about, ids, count in zip(stock.rows, stock.ids, _counts(len(stock.rows), batch, plan.share), strict=True):
        drawn = draw(stock.fields[about], count, plan.alike, generator)
        which = torch.randint(ids.shape[1], (count,), generator=generator, device=ids.device)
        rows.append(about[drawn])
        texts.append(ids[drawn, which])
    return torch.cat(rows), torch.cat(texts)


def look(
    pair: Pair, stock: Stock, chosen: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor, dict[str, Tensor]]:
    """What is compared of each picture, varied; the loss of the lesson to see, and its figures."""
    with torch.autocast(stock.pixels.device.type, enabled=False):
        places = draw_places(len(chosen), generator)
        pixels = vary(stock.pixels[chosen], places, generator)
        taught = stock.features[stock.taught[chosen]].float()
        wanted = moved(taught, places).flatten(2).transpose(1, 2)
    seen = pair.clip.image_tokens(pixels)
    named, right = pair.names(seen, stock.fields[chosen].long())
    known = (stock.taught[chosen] >= 0).float()
    missed = (pair.told(seen.tokens[:, 1:]).float() - wanted).square().mean((1, 2))
    told = (missed * known).sum() / known.sum().clamp_min(1)
    return seen.global_, named + _TELLING * told, right | {"told": told.detach()}


_TELLING = 2.0
"""Weight of telling the teacher's features, beside naming."""


def draw(fields: Tensor, count: int, alike: float, generator: torch.Generator) -> Tensor:
    """Places of `count` pictures at random, the last `alike` of them sharing two attributes with one another."""
    device = fields.device
    drawn = torch.randint(len(fields), (count,), generator=generator, device=device)
    wanted = int(count * alike)
    if wanted:
        two = torch.randperm(len(_SHARED), generator=generator, device=device)[:2]
        shared = fields[:, torch.tensor(_SHARED, device=device)[two]]
        fellows = (shared == shared[drawn[0]]).all(1).nonzero()[:, 0]
        drawn[-wanted:] = fellows[torch.randint(len(fellows), (wanted,), generator=generator, device=device)]
    return drawn


_SHARED = [list(FIELDS).index(name) for name in ("gender", "upper_color", "lower_color", "upper_type", "lower_type")]


def contrast(scores: Tensor, people: Tensor) -> Tensor:
    """Each picture's texts are those of its person in the batch, and the reverse: mean cross-entropy of both ways."""
    same = (people[:, None] == people[None]).float()
    wanted = same / same.sum(1, keepdim=True)
    found = scores.log_softmax(1) + scores.T.log_softmax(1)
    return -(wanted * found).sum(1).mean() / 2


def _counts(pools: int, batch: int, share: float) -> list[int]:
    """Rows of each pool in a batch: the first pool is the captions'."""
    if pools == 1:
        return [batch]
    of_captions = round(batch * share)
    return [of_captions, batch - of_captions]


def make(options: argparse.Namespace, plan: Plan) -> None:
    """Train and save, as the command line says."""
    pictures, by_witnesses = people_of(options.people, options.workers)
    pools = [captions_of(file, pictures, first=options.first) for file in options.captions]
    if options.witnesses:
        pools.append(by_witnesses)
    taught = taught_of(options.teacher, options.people, pictures)
    torch.manual_seed(plan.seed)
    torch.set_float32_matmul_precision("high")
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        stock = Stock(pictures, pools, taught)
        pair = Pair(stock.words)
        if options.start:
            pair.begin(options.start)
        pair.names.tokens.weigh(stock.fields)
        work: Path = options.work
        work.mkdir(parents=True, exist_ok=True)
        sight = nn.ModuleDict({"visual": pair.clip.visual, "names": pair.names, "told": pair.told})
        lessons: list[tuple[str, nn.Module, Callable[[Pair, Stock, Plan], Step], int, float, float]] = [
            ("see", sight, seeing, plan.see_steps, plan.see_minutes, plan.see_rate),
            ("match", pair, matching, plan.match_steps, plan.match_minutes, plan.match_rate),
            ("read", pair, reading, plan.read_steps, plan.read_minutes, plan.read_rate),
        ]
        with sdpa_kernel(SDPBackend.MATH):  # on a CPU in bfloat16 the fused one takes a third of the time of all
            for name, learner, lesson, steps, minutes, rate in lessons:
                if steps:
                    _teach(learner, lesson(pair, stock, plan), Length(steps, minutes or None), rate, work / name)
    pair.turn()
    save_clip(pair.whole(stock.words), options.out)


def _teach(learner: nn.Module, step: Step, length: Length, rate: float, files: Path) -> None:
    fit(learner, lambda _: step, length, rate=rate, state=files.with_suffix(".pt"), log=files.with_suffix(".jsonl"))


def main() -> None:
    """The command line of `make embedded`'s last stage."""
    plan = Plan()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, required=True, help="folder of the state and the log")
    parser.add_argument("--people", type=Path, required=True, help="folder of ctgi synth")
    parser.add_argument("--captions", type=Path, action="append", default=[], help="captions of these people")
    parser.add_argument("--out", type=Path, required=True, help="folder of the open_clip model")
    parser.add_argument("--start", type=Path, help="an open_clip folder, whose picture tower to begin with")
    parser.add_argument("--teacher", type=Path, required=True, help="folder of the multimodal model")
    parser.add_argument("--first", action="store_true", help="learn the first captions instead of the dense ones")
    parser.add_argument("--witnesses", action="store_true", help="learn from the generator's descriptions too")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    for name, value in vars(plan).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value)
    options = parser.parse_args()
    make(options, Plan(**{name: getattr(options, name) for name in vars(plan)}))


if __name__ == "__main__":
    main()
