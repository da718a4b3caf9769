"""Drawing needs skia-python, and that the system's graphics libraries."""

from pathlib import Path

import pytest

from ctgi.synth.dataset import Splits, write_dataset

SPLITS = Splits(train=3, val=1, test=2)


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set of 6 people, drawn in one process. Look, do not touch."""
    pytest.importorskip("skia", reason="drawing people needs skia-python that loads", exc_type=ImportError)
    out = tmp_path_factory.mktemp("synth") / "drawn"
    write_dataset(out, SPLITS, seed=7)
    return out
