"""Candidates side by side in one image, so that any backend can look at several people at once."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from ctgi.files import write_whole
from ctgi.retrieval.images import ImageRef, picture_at
from ctgi.tools.images import JPEG_QUALITY

MAX_CANDIDATES = 4
_HEIGHT, _WIDTH, _GAP, _LABEL = 384, 160, 12, 28  # px


def candidate_sheet(images: Sequence[ImageRef], folder: Path) -> ImageRef:
    """The images, numbered from left to right, as a JPEG in `folder`, which is made if it is missing.

    Raises:
        ImageError: one of them cannot be read.
        CtgiError: `folder` cannot be written.
    """
    sheet = Image.new("RGB", (len(images) * (_WIDTH + _GAP) + _GAP, _HEIGHT + _LABEL + _GAP), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(_LABEL - 6)
    for place, ref in enumerate(images):
        left = _GAP + place * (_WIDTH + _GAP)
        with picture_at(ref.path, ref.sha256) as picture:
            shown = _fitted(picture.image)
        sheet.paste(shown, (left + (_WIDTH - shown.width) // 2, _LABEL))
        pen.text((left + _WIDTH // 2, _LABEL // 2), str(place + 1), fill="black", font=font, anchor="mm")
    buffer = BytesIO()
    sheet.save(buffer, "JPEG", quality=JPEG_QUALITY)
    sha256 = hashlib.sha256(buffer.getvalue()).hexdigest()
    file = folder / f"{sha256[:24]}.jpg"
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(file, buffer.getvalue())
    return ImageRef(str(file), sha256)


def _fitted(image: Image.Image) -> Image.Image:
    scale = min(_WIDTH / image.width, _HEIGHT / image.height)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return image.resize(size, Image.Resampling.LANCZOS)
