import json
from pathlib import Path
from typing import Any

import jsonpatch
import pytest

from ctgi.errors import CtgiError
from ctgi.runs.annotation_patch import Correction, apply_patch, make_patch

IMAGE = "cam_a/1.jpg"
FIRST, SECOND = "A man in red.", "A woman."
WANTED = [Correction(IMAGE, FIRST, "A man in blue.", "blue"), Correction(IMAGE, SECOND, None, "a man")]


def patched(tmp_path: Path, content: Any, wanted: list[Correction] = WANTED, **style: Any) -> tuple[Any, str]:
    """The annotations as the patch leaves them, and the text of the new file."""
    file, patch, out = tmp_path / "ann.json", tmp_path / "patch.json", tmp_path / "new.json"
    file.write_text(json.dumps(content, **style))
    operations, lost = make_patch(file, wanted)
    assert lost == []
    patch.write_text(json.dumps(operations))
    assert apply_patch(file, patch, out) == len(wanted)
    assert json.loads(file.read_text()) == content
    text = out.read_text()
    assert json.loads(text) == jsonpatch.apply_patch(content, operations)
    return json.loads(text), text


def entry(**more: Any) -> dict[str, Any]:
    return {"id": 1, "file_path": IMAGE, "captions": [FIRST, SECOND], "split": "train"} | more


def test_captions_are_replaced_and_removed_where_they_stand(tmp_path: Path) -> None:
    other = entry(file_path="cam_a/2.jpg")
    found, text = patched(tmp_path, [other, entry()], indent=3)
    assert found == [other, entry(captions=["A man in blue."])]
    assert text == json.dumps(found, indent=3)  # so that a diff shows the changes alone


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"train": [entry()], "test": []}, ("train", 0)),
        ({"annotations": [entry(file_path="imgs\\cam_a\\1.jpg")]}, ("annotations", 0)),
        ({"a/b~c": entry()}, ("a/b~c",)),
    ],
)
def test_files_of_other_shapes_are_patched_too(tmp_path: Path, content: Any, where: tuple[Any, ...]) -> None:
    found, _ = patched(tmp_path, content, separators=(",", ":"))
    for step in where:
        found = found[step]
    assert found["captions"] == ["A man in blue."]


def test_the_words_beside_captions_follow_them(tmp_path: Path) -> None:
    tokens = [["a", "man", "in", "red"], ["a", "woman"]]
    found, _ = patched(tmp_path, [entry(processed_tokens=tokens)])
    assert found[0]["processed_tokens"] == [["a", "man", "in", "blue"]]


def test_a_caption_that_is_one_text_is_replaced(tmp_path: Path) -> None:
    found, _ = patched(tmp_path, [entry(captions=FIRST)], WANTED[:1])
    assert found[0]["captions"] == "A man in blue."


def test_lines_stay_lines(tmp_path: Path) -> None:
    file, patch = tmp_path / "ann.jsonl", tmp_path / "patch.json"
    file.write_text(f"{json.dumps(entry())}\n{json.dumps(entry(file_path='2.jpg'))}\n")
    patch.write_text(json.dumps(make_patch(file, WANTED)[0]))
    apply_patch(file, patch, file)
    first, second = map(json.loads, file.read_text().splitlines())
    assert (first["captions"], second["captions"]) == (["A man in blue."], [FIRST, SECOND])


def test_a_patch_for_other_annotations_writes_nothing(tmp_path: Path) -> None:
    file, patch, out = tmp_path / "ann.json", tmp_path / "patch.json", tmp_path / "new.json"
    file.write_text(json.dumps([entry()]))
    patch.write_text(json.dumps(make_patch(file, WANTED)[0]))
    file.write_text(json.dumps([entry(captions=["Another.", "Text."])]))
    with pytest.raises(CtgiError, match="made for other annotations"):
        apply_patch(file, patch, out)
    for wrong in ('{"a": 1}', '[{"op": "add"}]', '[{"op": "remove", "path": "/0"}]', "[1]", "3"):
        patch.write_text(wrong)
        with pytest.raises(CtgiError, match=r"patch.json, operation 0: expected a test of a caption, then"):
            apply_patch(file, patch, out)
    assert not out.exists()


def test_a_caption_that_is_not_there_is_told(tmp_path: Path) -> None:
    file = tmp_path / "ann.json"
    file.write_text(json.dumps([entry()]))
    lost = Correction("other.jpg", FIRST, None, "")
    assert make_patch(file, [lost]) == ([], [lost])
