"""Uncertain captions count less, or not at all: by the confidences that MTG recorded."""

from dataclasses import replace

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split


def keep_confident(split: Split, at_least: float) -> Split:
    """The split with the captions of this confidence or more; one without a confidence stays.

    Images and people that lose all captions go too, and people are numbered anew.

    Raises:
        CtgiError: the captions have no confidences, or none reaches `at_least`.
    """
    known = _known(split)
    rows = [row for row, value in enumerate(split.confidences) if value is None or value >= at_least]
    if not rows:
        raise CtgiError(f"no caption has a confidence of {at_least} or more: the highest is {max(known):.3f}; lower it")
    return split.rows(rows)


def weigh_by_confidence(split: Split, power: float = 3.0) -> Split:
    """The split with weights in proportion to confidence ** power and 1 on average; 1 for a caption without one.

    Confidences lie close together, so a power of 1 hardly tells captions apart. At 3 wrong captions keep about
    two thirds of their share on the synthetic people of the tests, and the others nearly all of their number.

    Raises:
        CtgiError: the captions have no confidences, or all of them are 0.
    """
    known = [value**power for value in _known(split)]
    mean = sum(known) / len(known)
    if mean == 0:
        raise CtgiError("all captions have a confidence of 0: nothing would be learnt; train without weights")
    return replace(split, weights=tuple(1.0 if value is None else value**power / mean for value in split.confidences))


def _known(split: Split) -> list[float]:
    known = [value for value in split.confidences if value is not None]
    if not known:
        raise CtgiError(
            "these captions have no confidences: expected mtg:FILE captions from a model that gives "
            "token probabilities; train without filter and weights"
        )
    return known
