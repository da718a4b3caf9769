"""Lets uncertain captions count less, or not at all, by the confidences that MTG recorded."""

from dataclasses import replace

from ctgi.errors import CtgiError
from ctgi.retrieval.benchmarks.datasets import Split


def keep_confident(split: Split, at_least: float) -> Split:
    """The split with captions of at least this confidence; captions without a confidence stay.

    Images and people without captions are removed too, and people are renumbered.

    Raises:
        CtgiError: the captions have no confidences, or none reaches `at_least`.
    """
    known = _known(split)
    rows = [row for row, value in enumerate(split.confidences) if value is None or value >= at_least]
    if not rows:
        raise CtgiError(f"no caption has a confidence of {at_least} or more: the highest is {max(known):.3f}; lower it")
    return split.rows(rows)


def weigh_by_confidence(split: Split, power: float = 3.0) -> Split:
    """The split with weights proportional to confidence ** power, 1 on average; 1 for captions without a confidence.

    Confidences are close together, so a power of 1 hardly separates captions. At 3, wrong captions keep about two
    thirds of their share on the synthetic people of the tests, and the effective number of the others hardly falls.

    Raises:
        CtgiError: the captions have no confidences, or all of them are 0.
    """
    known = [value**power for value in _known(split)]
    mean = sum(known) / len(known)
    if mean == 0:
        raise CtgiError("all captions have a confidence of 0: nothing would be learned; remove data.confidence_power")
    return replace(split, weights=tuple(1.0 if value is None else value**power / mean for value in split.confidences))


def _known(split: Split) -> list[float]:
    known = [value for value in split.confidences if value is not None]
    if not known:
        raise CtgiError(
            "these captions have no confidences: expected mtg:FILE captions from a model that reports "
            "token probabilities; else remove data.min_confidence and data.confidence_power"
        )
    return known
