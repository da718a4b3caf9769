"""A contact sheet of a synthetic set: four views of each of its first six people.

ctgi synth people --identities 6 && python docs/synthetic_sheet.py people docs/synthetic.jpg
"""

import json
import sys
from pathlib import Path

from PIL import Image, ImageOps

PEOPLE, VIEWS, ACROSS = 6, 4, 12
CELL = (112, 260)
GAP = 4


def main(folder: Path, out: Path) -> None:
    """Paste the pictures of `folder` into one at `out`."""
    rows = map(json.loads, (folder / "attributes.jsonl").read_text().splitlines())
    paths = [row["path"] for row in rows if row["id"] < PEOPLE]
    shown = [path for number, path in enumerate(paths) if number % 5 < VIEWS]
    width, height = CELL[0] + GAP, CELL[1] + GAP
    sheet = Image.new("RGB", (ACROSS * width + GAP, len(shown) // ACROSS * height + GAP), "white")
    for number, path in enumerate(shown):
        with Image.open(folder / path, formats=("JPEG", "PNG")) as picture:
            cell = ImageOps.pad(picture, CELL, color="white")
        sheet.paste(cell, (GAP + number % ACROSS * width, GAP + number // ACROSS * height))
    sheet.save(out, quality=85)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
