"""A few queries that stand for all of a split."""

from collections import defaultdict
from collections.abc import Sequence
from random import Random


def spread_queries(pids: Sequence[int], count: int, seed: int) -> list[int]:
    """The rows of `count` queries over all people, in their order.

    Every query is as likely as any other, a person with more queries is asked for more often, and a larger sample
    with the same seed holds the smaller one.

    Args:
        pids: whom each query looks for.
        count: how many to draw, at most.
        seed: another seed draws others.
    """
    rows_of: dict[int, list[int]] = defaultdict(list)
    for row, pid in enumerate(pids):
        rows_of[pid].append(row)
    random, order = Random(seed), list[tuple[float, int]]()
    for rows in rows_of.values():
        random.shuffle(rows)
        start = random.random()
        order += [((place + start) / len(rows), row) for place, row in enumerate(rows)]
    return sorted(row for _, row in sorted(order)[:count])
