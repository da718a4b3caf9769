from pathlib import Path

import pytest
from PIL import Image

from ctgi.retrieval.images import ImageRef, ref


@pytest.fixture
def picture(tmp_path: Path) -> ImageRef:
    Image.new("RGB", (200, 400), "red").save(tmp_path / "a.png")
    return ref(str(tmp_path / "a.png"))
