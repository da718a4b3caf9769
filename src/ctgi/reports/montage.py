"""One search as a picture: the query and its ranking before and after, like the paper's Figure 3."""

import io
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ctgi.errors import CtgiError, ImageError
from ctgi.files import write_whole
from ctgi.footage.scenes import full_picture, moment, source_name
from ctgi.records import Origin, SearchRecord
from ctgi.reports.rankings import TOP, Card, Relevant, added, after, before, is_reranked
from ctgi.retrieval.images import read_image
from ctgi.retrieval.sources.references import file_name
from ctgi.text import plain

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont, ImageFont

PHOTO = (132, 330)
"""Width and height of an image in px; crops of other shapes are fitted into it."""
GAP, MARGIN, FRAME = 14, 40, 5
WIDTH = 2 * MARGIN + TOP * PHOTO[0] + (TOP - 1) * GAP
MAX_LINES = 6
"""Lines of a query; what is longer ends in an ellipsis."""
LABEL_PX = 52
SCENE_PX = 96
"""Height of the full picture that a crop is from, below it."""
INK, MUTED, ACCENT, PAGE, WELL = "#191b20", "#5d626d", "#3450c8", "#ffffff", "#ececE7"
RIGHT, WRONG, ANCHOR, ANCHOR_TINT = "#1f9d57", "#d8393e", "#d99a1c", "#ffefcc"

_FORMATS = {"": "PNG", ".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
_WORD = re.compile(r"\s+|\S+")
Word = tuple[str, str]
"""Letters without a break in them, or the space between such, and their color."""


def image_format(out: Path) -> str:
    """PNG or JPEG, by the ending of a file's name; PNG for a name without one.

    Raises:
        CtgiError: any other ending.
    """
    ending = out.suffix.lower()
    if ending not in _FORMATS:
        raise CtgiError(f"--montage {plain(str(out))}: expected a name that ends in .png or .jpg")
    return _FORMATS[ending]


def write_montage(result: SearchRecord, out: Path, *, relevant: Relevant | None = None) -> None:
    """Write one search as a PNG or JPEG to `out`: query, top ten before, refined query, top ten after.

    `relevant` tells which paths show the right person; they get green frames with a tick, the others red
    ones with a cross. Letters that Pillow's own font lacks come out as boxes.

    Raises:
        CtgiError: `out` cannot be written, or has another ending.
    """
    buffer = io.BytesIO()
    _compose(_blocks(result, relevant)).save(buffer, image_format(out), optimize=True, quality=90)
    write_whole(out, buffer.getvalue())


def _blocks(result: SearchRecord, relevant: Relevant | None) -> list[tuple[str, list[Word], list[Card]]]:
    """(heading, text, row of images) from top to bottom."""
    query, refined = result.query, result.refined_query
    typed = [(word, INK) for word in _WORD.findall(plain(query))]
    ranked = after(result, relevant)[:TOP]
    if not is_reranked(result):
        return [("Query", typed, ranked)]
    if refined is None:
        return [("Query", typed, before(result, relevant)), ("Query and confirmed image", typed, ranked)]
    marked = [
        (word, ACCENT if new else INK)
        for piece, new in added(plain(query), plain(refined))
        for word in _WORD.findall(piece)
    ]
    return [("Query", typed, before(result, relevant)), ("Refined query", marked, ranked)]


def _compose(blocks: list[tuple[str, list[Word], list[Card]]]) -> "Image":
    from PIL import Image, ImageDraw

    lines = [_wrap(words, WIDTH - 2 * MARGIN) for _, words, _ in blocks]
    scenes = [SCENE_PX if any(card.origin for card in cards) else 0 for _, _, cards in blocks]
    heights = [
        30 + 32 * len(wrapped) + 12 + PHOTO[1] + LABEL_PX + more for wrapped, more in zip(lines, scenes, strict=True)
    ]
    canvas = Image.new("RGB", (WIDTH, 2 * MARGIN + sum(heights) + 28 * (len(blocks) - 1)), PAGE)
    draw = ImageDraw.Draw(canvas)
    y = MARGIN
    for (heading, _, cards), wrapped, more in zip(blocks, lines, scenes, strict=True):
        y = _write(draw, y, heading, wrapped)
        for place, card in enumerate(cards):
            x = MARGIN + place * (PHOTO[0] + GAP)
            _place(canvas, draw, card, x, y)
            if card.origin:
                _scene(canvas, draw, card.origin, x, y + PHOTO[1] + LABEL_PX)
        y += PHOTO[1] + LABEL_PX + more + 28
    return canvas


@cache
def _font(size: int) -> "FreeTypeFont | ImageFont":
    from PIL import ImageFont

    return ImageFont.load_default(size)


def _wrap(words: list[Word], width: int) -> list[list[Word]]:
    """Words in lines that fit `width` px; a word wider than a line is broken between its letters."""
    lines: list[list[Word]] = [[]]
    x = 0.0
    for word, color in words:
        for part in _fitting(word, width):
            length = _font(24).getlength(part)
            if x + length > width:
                lines.append([])
                x = 0.0
            if lines[-1] or not part.isspace():
                lines[-1].append((part, color))
                x += length
        if len(lines) > MAX_LINES:
            return [*lines[: MAX_LINES - 1], [*lines[MAX_LINES - 1][:-1], ("…", MUTED)]]
    return lines


def _fitting(word: str, width: int) -> list[str]:
    parts, part, x = [], "", 0.0
    for char in word:
        length = _font(24).getlength(char)
        if x + length > width:
            parts.append(part)
            part, x = "", 0.0
        part, x = part + char, x + length
    return [*parts, part]


def _write(draw: "ImageDraw", y: int, heading: str, lines: list[list[Word]]) -> int:
    """Heading and wrapped text from `y` on; returns where the next thing goes."""
    draw.text((MARGIN, y), heading, fill=MUTED, font=_font(17))
    y += 30
    for line in lines:
        x = float(MARGIN)
        for word, color in line:
            draw.text((x, y), word, fill=color, font=_font(24))
            x += _font(24).getlength(word)
        y += 32
    return y + 12


def _place(canvas: "Image", draw: "ImageDraw", card: Card, x: int, y: int) -> None:
    """One image of a row with its frame, rank, anchor mark and what stands below it."""
    right, bottom = x + PHOTO[0] - 1, y + PHOTO[1] - 1
    draw.rectangle((x, y, right, bottom), fill=WELL)
    _paste(canvas, draw, card, x, y)
    if card.anchor:
        draw.rectangle((x, bottom - 26, right, bottom), fill=ANCHOR_TINT)
        _center(draw, x, bottom - 14, "ANCHOR", "#7a4d00", 14)
    if card.right is not None or card.anchor:
        color = ANCHOR if card.right is None else RIGHT if card.right else WRONG
        draw.rectangle((x, y, right, bottom), outline=color, width=FRAME)
    draw.rounded_rectangle((x + 8, y + 8, x + 38, y + 32), 12, fill="#191b20")
    draw.text((x + 23, y + 20), str(card.rank), fill="white", font=_font(15), anchor="mm")
    if card.right is not None:
        _mark(draw, right - 20, y + 20, good=card.right)
    _label(draw, card, x, bottom + 8)


def _paste(canvas: "Image", draw: "ImageDraw", card: Card, x: int, y: int) -> None:
    from PIL import ImageOps

    if card.path is None:
        _center(draw, x, y + PHOTO[1] // 2, "left the list", MUTED, 15)
        return
    try:
        photo = ImageOps.contain(read_image(card.path), PHOTO)
    except ImageError as error:
        _center(draw, x, y + PHOTO[1] // 2 - 12, "No picture", INK, 15)
        _center(draw, x, y + PHOTO[1] // 2 + 12, error.reason, MUTED, 13)
        return
    canvas.paste(photo, (x + (PHOTO[0] - photo.width) // 2, y + (PHOTO[1] - photo.height) // 2))


def _scene(canvas: "Image", draw: "ImageDraw", origin: Origin, x: int, y: int) -> None:
    """The full picture with the person marked, and where it is from; without the picture if the source is gone."""
    try:
        picture = full_picture(origin, (PHOTO[0], SCENE_PX - 18))
    except ImageError:
        draw.text((x, y), "source not here", fill=MUTED, font=_font(13))
    else:
        canvas.paste(picture, (x, y))
    told = " ".join(filter(None, (source_name(origin), moment(origin))))
    draw.text((x, y + SCENE_PX - 16), _cut(plain(told), 12), fill=MUTED, font=_font(12))


def _mark(draw: "ImageDraw", x: int, y: int, *, good: bool) -> None:
    """A tick or a cross on a disc, so that the verdict does not hang on color alone."""
    draw.ellipse((x - 12, y - 12, x + 12, y + 12), fill=RIGHT if good else WRONG)
    if good:
        draw.line([(x - 6, y), (x - 2, y + 5), (x + 6, y - 5)], fill="white", width=3)
    else:
        draw.line([(x - 5, y - 5), (x + 5, y + 5)], fill="white", width=3)
        draw.line([(x - 5, y + 5), (x + 5, y - 5)], fill="white", width=3)


def _label(draw: "ImageDraw", card: Card, x: int, y: int) -> None:
    """Score, rank change and file name below an image."""
    if card.score is not None:
        draw.text((x, y), f"{card.score:.3f}", fill=INK, font=_font(16))
    if card.moved is None or card.moved != 0:
        rising = card.moved is None or card.moved > 0
        text = "new" if card.moved is None else f"from {card.rank_before}"
        tip, base = (y + 4, y + 13) if rising else (y + 14, y + 5)
        draw.polygon([(x + 60, base), (x + 70, base), (x + 65, tip)], fill=ACCENT if rising else MUTED)
        draw.text((x + 75, y + 1), text, fill=ACCENT if rising else MUTED, font=_font(14))
    if card.path is not None:
        draw.text((x, y + 23), _cut(plain(file_name(card.path)), 13), fill=MUTED, font=_font(13))


def _center(draw: "ImageDraw", x: int, y: int, text: str, color: str, size: int) -> None:
    draw.text((x + PHOTO[0] // 2, y), _cut(plain(text), size), fill=color, font=_font(size), anchor="mm")


def _cut(text: str, size: int) -> str:
    """`text` as far as it fits the width of an image."""
    if len(text) <= PHOTO[0] and _font(size).getlength(text) <= PHOTO[0]:
        return text
    text = text[: PHOTO[0]]
    while text and _font(size).getlength(text + "…") > PHOTO[0]:
        text = text[:-1]
    return text + "…"
