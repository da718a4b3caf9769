import json
from pathlib import Path
from typing import Any

import pytest

from ctgi.testing import ScriptedServer, http_error
from tests.support.commands import Run
from tests.support.looking_model import look
from tests.support.people_dataset import save_people_dataset


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Six images with two captions; the first of the first image is that of another person."""
    root = save_people_dataset(tmp_path / "rstp", train=1, val=1, test=4, views=1)
    entries = json.loads((root / "data_captions.json").read_text())
    entries[0]["captions"][0] = "A person wears a purple shirt and blue trousers."  # who wears green and orange
    (root / "data_captions.json").write_text(json.dumps(entries, indent=1))
    return root


@pytest.fixture
def command(data: Path, double: ScriptedServer) -> list[Any]:
    double.replies = look
    return ["data", "audit", data, "-b", f"images={double.binding}", "-o", "found", "--no-cache", "--no-trace"]


def test_the_caption_of_another_person_comes_first(ctgi: Run, command: list[Any], data: Path) -> None:
    before = (data / "data_captions.json").read_bytes()
    done = ctgi(*command, "--json")
    assert done.code == 0, done.err
    found = done.json
    assert (found["images"], found["captions"], found["denied"]) == (6, 12, 1)
    worst = found["worst"][0]
    assert (worst["image"], worst["number"], worst["match"]) == ("0000_c0.jpg", 0, False)
    assert worst["probability"] == pytest.approx(0.1)
    told = {answer["attribute"] for answer in worst["against"]}
    assert told == {"upper_color", "lower_color"}
    page = Path("found/audit.html").read_text()
    assert "may not fit their picture" in page
    assert "<mark>" in page
    assert "default-src 'none'" in page
    assert (data / "data_captions.json").read_bytes() == before


def test_a_dry_run_counts_the_calls_and_makes_none(ctgi: Run, command: list[Any], double: ScriptedServer) -> None:
    expected = ctgi(*command, "--dry-run", "--json").json
    assert (expected["images"], expected["captions"]) == (6, 12)
    assert "nothing was sent" in ctgi(*command, "--dry-run").out
    assert not double.seen
    assert not Path("found").exists()
    made = ctgi(*command, "--json").json["calls"]
    assert expected["calls"] <= made <= expected["calls_most"]


def test_what_was_audited_is_not_asked_again(ctgi: Run, command: list[Any], double: ScriptedServer) -> None:
    small = ctgi(*command, "--limit", "2", "--json").json
    asked = len(double.seen)
    assert (small["images"], small["already"]) == (2, 0)
    whole = ctgi(*command, "--json").json
    assert (whole["images"], whole["already"]) == (6, 4)
    asked, before = len(double.seen), asked
    assert asked > before
    again = ctgi(*command, "--json").json
    assert len(double.seen) == asked
    assert {**again, "already": 0, "calls": 0} == {**whole, "already": 0, "calls": 0}
    assert again["already"] == 12


def test_an_image_that_fails_is_named_and_audited_the_next_time(
    ctgi: Run, command: list[Any], double: ScriptedServer, data: Path
) -> None:
    kept = (data / "imgs/0002_c0.jpg").read_bytes()
    (data / "imgs/0002_c0.jpg").write_bytes(b"broken")
    double.replies = lambda seen: look(seen) if seen.choices else http_error(400, "refused")
    done = ctgi(*command, "--json")
    assert done.code == 1
    assert len(done.json["failed"]) == 6
    assert "0002_c0.jpg" in done.err
    (data / "imgs/0002_c0.jpg").write_bytes(kept)
    double.replies = look
    done = ctgi(*command, "--json")
    assert (done.code, done.json["failed"], done.json["captions"]) == (0, [], 12)


def test_the_patch_is_applied_where_one_says(ctgi: Run, command: list[Any], data: Path) -> None:
    ctgi(*command)
    annotations = json.loads((data / "data_captions.json").read_text())
    assert "give --out FILE" in ctgi("data", "patch", data, "found/corrections.json").err
    done = ctgi("data", "patch", data, "found/corrections.json", "--out", "new.json")
    assert "new.json: 1 captions corrected" in done.out
    changed = json.loads(Path("new.json").read_text())
    assert changed[0]["captions"] == annotations[0]["captions"][1:]  # it seems to be another person's
    assert changed[1:] == annotations[1:]
    assert json.loads((data / "data_captions.json").read_text()) == annotations
    assert ctgi("data", "patch", data, "found/corrections.json", "--in-place", "--json").json["corrected"] == 1
    assert json.loads((data / "data_captions.json").read_text()) == changed


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        (["--split", "dev"], "no captions in split 'dev': expected one of train, val, test"),
        (["--data", "market1501"], "which have captions"),
        (["--data", "rsp"], "did you mean rstp"),
    ],
)
def test_wrong_options_are_explained(ctgi: Run, command: list[Any], more: list[str], complaint: str) -> None:
    done = ctgi(*command, *more)
    assert done.code == 2
    assert complaint in done.err


def test_text_of_models_and_people_is_text_on_the_page(
    ctgi: Run, command: list[Any], double: ScriptedServer, data: Path
) -> None:
    entries = json.loads((data / "data_captions.json").read_text())
    entries[0]["captions"] = ["A person in a <script>red</script> shirt & \u202egreen trousers."]
    (data / "data_captions.json").write_text(json.dumps(entries))
    done = ctgi(*command)
    assert done.code == 0, done.err
    page = Path("found/audit.html").read_text()
    assert "&lt;script&gt;" in page
    assert "<script" not in page
    assert "\u202e" not in page + done.out
