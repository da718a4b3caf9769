"""How many wrong captions an audit puts first, where it is known which are wrong.

    ctgi synth people --identities 62 --val 1 --test 60 --seed 4242
    python -m benchmarks.audit people [--images 200] [--out runs/audit-benchmark] [--bind images=...]

Twice: with a tenth of the captions exchanged between people, and with one color of a tenth of the captions replaced by
another. n is the number of captions that were changed. Balanced is the mean of the shares of changed and of unchanged
captions that are told rightly: by the verdict alone, and by verdict and answers. AUC is the chance that a changed
caption stands before an unchanged one. Replies are kept in the cache of ctgi, audits in `--out`.
"""

import argparse
import asyncio
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from benchmarks.machine import describe_machine
from ctgi.config import load_settings
from ctgi.runs.audit import audit, chosen
from ctgi.runs.audit_records import AuditedCaption
from ctgi.runs.events import Logged
from ctgi.runs.human_captions import Described, described_images

SHARE = 0.1
COLORS = ("black", "white", "red", "blue", "green", "gray", "brown", "yellow", "purple", "orange")
_COLOR = re.compile(rf"\b(?:{'|'.join(COLORS)})\b")

Slot = tuple[int, int]
"""Image and caption."""


def exchanged(images: Sequence[Described], random: Random) -> dict[Slot, str]:
    """A share of the captions, each now of another person."""
    slots = _slots(images)
    drawn = random.sample(slots, round(SHARE * len(slots)))
    givers = drawn[:]
    while any(images[slot[0]].pid == images[giver[0]].pid for slot, giver in zip(drawn, givers, strict=True)):
        random.shuffle(givers)
    return {slot: images[giver[0]].captions[giver[1]] for slot, giver in zip(drawn, givers, strict=True)}


def recolored(images: Sequence[Described], random: Random) -> dict[Slot, str]:
    """A share of the captions, each with one color replaced by another."""
    slots = [slot for slot in _slots(images) if _COLOR.search(images[slot[0]].captions[slot[1]])]
    changed = {}
    for image, number in random.sample(slots, round(SHARE * len(_slots(images)))):
        caption = images[image].captions[number]
        color = random.choice([*_COLOR.finditer(caption)])
        other = random.choice([one for one in COLORS if one != color[0]])
        changed[image, number] = caption[: color.start()] + other + caption[color.end() :]
    return changed


def _slots(images: Sequence[Described]) -> list[Slot]:
    return [(row, number) for row, image in enumerate(images) for number in range(len(image.captions))]


def with_changes(images: Sequence[Described], changed: dict[Slot, str]) -> list[Described]:
    """The images with those captions instead of their own."""
    return [
        replace(one, captions=tuple(changed.get((row, number), text) for number, text in enumerate(one.captions)))
        for row, one in enumerate(images)
    ]


def row(kind: str, worst: Sequence[AuditedCaption], wrong: set[tuple[str, int]]) -> str:
    """A line of the table; `worst` is in the order of the audit."""
    truth = [(one.image, one.number) in wrong for one in worst]
    first = sum(truth[: len(wrong)])
    balanced = [
        100 * balanced_accuracy_score(truth, told)
        for told in ([not one.match for one in worst], [one.is_doubted for one in worst])
    ]
    area = roc_auc_score(truth, [one.doubt for one in worst])
    return f"| {kind} | {len(worst)} | {len(wrong)} | {first} | {area:.3f} | {balanced[0]:.1f} | {balanced[1]:.1f} |"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("people", type=Path)
    parser.add_argument("--images", type=int)
    parser.add_argument("--out", type=Path, default=Path("runs/audit-benchmark"))
    parser.add_argument("--bind", action="append", default=[])
    options = parser.parse_args()
    settings = load_settings(binds=options.bind)
    images = chosen(described_images(options.people, "rstp", "test").images, options.images)
    print(describe_machine())
    print("| changed | captions | n | of these in the worst n | AUC | balanced, verdict | balanced, with answers |")
    print("|---|---|---|---|---|---|---|")
    kinds: dict[str, Callable[[Sequence[Described], Random], dict[Slot, str]]] = {
        "exchanged between people": exchanged,
        "one color replaced": recolored,
    }
    for kind, change in kinds.items():
        changed = change(images, Random(0))
        wrong = {(images[image].name, number) for image, number in changed}
        out = options.out / change.__name__
        found = asyncio.run(audit("rstp", with_changes(images, changed), out, settings, Logged(), trace=False))
        print(row(kind, found.captions, wrong), flush=True)


if __name__ == "__main__":
    main()
