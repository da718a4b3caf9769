"""Where models run."""

import pytest
import torch

from ctgi.device import pick_device
from ctgi.errors import CtgiError


def test_auto_is_a_gpu_where_there_is_one() -> None:
    assert pick_device("auto", "run.device") == ("cuda" if torch.cuda.is_available() else "cpu")
    assert pick_device("cpu", "run.device") == "cpu"


@pytest.mark.parametrize("name", ["cuda:71", "warp"])
def test_a_device_that_is_not_there_is_named_with_the_cure(name: str) -> None:
    with pytest.raises(
        CtgiError, match=rf"device '{name}' cannot be used: .*; set \[retriever\] device to auto or cpu"
    ):
        pick_device(name, "[retriever] device")
