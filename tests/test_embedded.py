from pathlib import Path

import pytest

from ctgi.embedded import embedded
from ctgi.errors import CtgiError


def test_an_installation_without_the_models_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(CtgiError, match=r"lacks the embedded model in .*make embedded, or bind others"):
        embedded(tmp_path / "mllm")


def test_a_model_that_is_there_is_named_by_its_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    assert embedded(tmp_path) == str(tmp_path)
