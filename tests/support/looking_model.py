"""A test double of a model that sees: it reads the colors of a drawn person and answers about shirt and trousers."""

import base64
import io
import json
import re
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor

from ctgi.testing import Reply, Request
from tests.support.people_dataset import COLORS, people


def name_shirts_alone(root: Path) -> Path:
    """Rewrite the captions of a drawn data set so that there is something left to ask; returns `root`."""
    file = root / "data_captions.json"
    entries = json.loads(file.read_text())
    everyone = people(max(entry["id"] for entry in entries) + 1)
    for entry in entries:
        entry["captions"] = [f"A person in a {everyone[entry['id']].upper} shirt."]
    file.write_text(json.dumps(entries))
    return root


def look(seen: Request) -> Reply:
    """Answers as an honest model would that knows nothing but the two garments."""
    if "image" not in seen.parts:
        return Reply(_refined(seen.prompts[-1]))
    upper, lower = _colors(seen.body)
    prompt = seen.prompts[-1].lower()
    if seen.choices:
        right = f"{upper} shirt" in prompt or f"{upper} top" in prompt
        return Reply("yes" if right else "no", top={"yes": 0.9, "no": 0.1} if right else {"yes": 0.1, "no": 0.9})
    if "number your answers" in prompt:
        return Reply(f"Answers:\n1. Yes, a person.\n3. The shirt is {upper}.\n4. The trousers are {lower}.\nno more")
    if "color" in prompt and "upper" in prompt:
        return Reply(upper)
    if "lower" in prompt:
        return Reply(f"{lower} trousers")
    return Reply("not visible")


def _refined(prompt: str) -> str:
    return " ".join(re.findall(r'"([^"]+)"', prompt))


def _colors(body: dict[str, Any]) -> tuple[str, str]:
    urls = [
        part["image_url"]["url"]
        for message in body["messages"]
        if isinstance(message["content"], list)
        for part in message["content"]
        if part["type"] == "image_url"
    ]
    image = Image.open(io.BytesIO(base64.b64decode(urls[0].partition(",")[2]))).convert("RGB")
    return _named(image, 0.37), _named(image, 0.72)


def _named(image: Image.Image, height: float) -> str:
    pixel = image.getpixel((image.width // 2 - image.width // 16, int(image.height * height)))
    return min(COLORS, key=lambda name: sum((a - b) ** 2 for a, b in zip(ImageColor.getrgb(name), pixel, strict=True)))
