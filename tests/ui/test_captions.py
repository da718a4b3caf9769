"""Captions on the page: read, filtered, corrected and compared; nothing of them acts."""

from pathlib import Path
from typing import Any

import pytest

from ctgi import captions_index
from ctgi.captions import read_captions
from ctgi.corrections import Change, correct, corrected_captions, corrections_path
from ctgi.retrieval.images import digest
from ctgi.testing import ScriptedMllm
from tests.support.caption_records import BAG, SHOES, record, turn, write
from tests.support.page import Seen, Visit, seen, visited

pytestmark = pytest.mark.anyio
HOSTILE = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>{{ 7 * 7 }}"


@pytest.fixture
def captions(people: Path, tmp_path: Path) -> Path:
    records = [record(str(path), sha256=digest(str(path))) for path in sorted(people.iterdir())[:2]]
    hostile = record(f"/gone/{HOSTILE}.png", sha256=HOSTILE, caption=HOSTILE, turns=[turn(HOSTILE, HOSTILE)])
    return write(tmp_path / "captions.jsonl", *records, hostile)


def address(captions: Path, place: int = 0) -> str:
    return f"/captions/0/{list(read_captions(captions))[place].image}"


def form(page: Seen) -> dict[str, Any]:
    """What a browser sends if nothing is changed. A text area's text is that of its hidden twin."""
    fields: dict[str, Any] = {"caption": page.all("input", name="caption_seen")[0]["value"]}
    for one in page.all("input"):
        fields.setdefault(one["name"], [])
        if isinstance(fields[one["name"]], list):
            fields[one["name"]].append(one["value"])
    return fields


async def corrected(visit: Visit, where: str, by: str = "Ann", **changes: Any) -> Seen:
    sent = form(await visit.see(where)) | {"by": by} | changes
    return seen((await visit.post(where, **sent)).text)


async def test_records_are_shown_beside_their_images(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        page = await visit.see("/captions")
        lines = list(read_captions(captions))
        assert [one["src"] for one in page.all("img", loading="lazy")] == [
            f"/images/{line.sha256}/small" for line in lines[:2]
        ]
        assert page.text.count("A man. The person wears white sneakers.") == 2
        assert f"{BAG} a red bag 90 % sure Dropped as redundant: 0.9 similar to what is known" in page.text
        assert "not in this gallery" in page.text
        assert (await visit.get(f"/images/{lines[0].sha256}/small")).status_code == 200


async def test_nothing_of_a_caption_acts(people: Path, captions: Path, tmp_path: Path) -> None:
    other = write(tmp_path / "other.jsonl", record("a", sha256=HOSTILE, caption=f"{HOSTILE} {HOSTILE}"))
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions, other)) as visit:
        hostile = address(captions, 2)
        await corrected(visit, hostile, by=HOSTILE, caption=f"A {HOSTILE}")
        for place in ("/captions", hostile, f"/captions/0?text={HOSTILE}", "/captions/compare"):
            page = await visit.see(place)
            assert HOSTILE in page.text or HOSTILE in str(page.elements)
            assert [one["src"] for one in page.all("script")] == ["/static/ui.js"]
            assert not [name for _, given in page.elements for name in given if name.startswith("on")]
            assert not page.all("img", src="x")


async def test_a_caption_is_corrected_and_used(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        page = await corrected(visit, address(captions), caption="A woman.")
        assert "Saved. Export, training and search use it from now on." in page.text
        assert "The model wrote: A man. The person wears white sneakers." in page.text
        assert page.all("input", name="by")[0]["value"] == "Ann"
        assert next(corrected_captions(captions)).caption == "A woman."
        listed = await visit.see("/captions/0?only=corrected")
        assert "1 of 3" in listed.text
        assert "A woman." in listed.text


async def test_an_answer_is_corrected_and_the_caption_follows(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        page = await corrected(visit, address(captions), answer=["black boots", "a red bag"])
        assert "Saved: 2 corrections" in page.text
        assert "The model said: white sneakers" in page.text
    line = next(corrected_captions(captions))
    assert (line.turns[0]["answer"], line.caption) == ("black boots", "A man. The person wears black boots.")


@pytest.mark.parametrize("name", ["Zoë", "李 雷", "50% Ann; b"])
async def test_a_name_in_any_letters_is_remembered(people: Path, captions: Path, tmp_path: Path, name: str) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        page = await corrected(visit, address(captions), by=name, caption="A woman.")
        assert page.all("input", name="by")[0]["value"] == name
        assert f"{name}, 20" in page.text


async def test_a_caption_that_does_not_follow_is_told(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        page = await corrected(visit, address(captions), answer=["white sneakers", "a blue bag"])
        assert "The caption was left as it is" in page.text


async def test_nothing_changed_is_nothing_saved(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        for place in (0, 2):
            assert "Nothing was changed" in (await corrected(visit, address(captions, place))).text
    assert not corrections_path(captions).exists() or not corrections_path(captions).read_bytes()


async def test_a_form_sent_twice_is_one_correction(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        sent = form(await visit.see(address(captions))) | {"caption": "A woman."}
        for _ in range(2):
            await visit.post(address(captions), **sent)
    assert len(corrections_path(captions).read_text().splitlines()) == 1


async def test_two_people_correct_the_same_caption(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        both = form(await visit.see(address(captions)))
        await visit.post(address(captions), **both | {"caption": "A woman.", "by": "Ann"})
        second = seen((await visit.post(address(captions), **both | {"caption": "A girl.", "by": "Bob"})).text)
        assert "In the meantime Ann had changed the same caption to “A woman.”. Yours counts now" in second.text
    assert next(corrected_captions(captions)).caption == "A girl."
    assert len(corrections_path(captions).read_text().splitlines()) == 2


async def test_what_one_did_not_touch_stays_as_another_corrected_it(
    people: Path, captions: Path, tmp_path: Path
) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        before = form(await visit.see(address(captions)))
        await visit.post(address(captions), **before | {"caption": "A woman."})
        await visit.post(address(captions), **before | {"answer": ["white sneakers", "a blue bag"]})
    line = next(corrected_captions(captions))
    assert (line.caption, line.turns[1]["answer"]) == ("A woman.", "a blue bag")


async def test_a_correction_from_elsewhere_is_refused(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        sent = form(await visit.see(address(captions))) | {"caption": "A woman."}
        assert (await visit.post(address(captions), origin="http://evil.example", **sent)).status_code == 403
    assert not corrections_path(captions).exists()


async def test_filters_stay_in_the_address(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        page = await visit.see("/captions/0?text=SNEAKERS&attribute=shoes&below=95&only=")
        assert "2 of 3" in page.text
        links = [one["href"] for one in page.all("a") if one.get("aria-label", "").startswith("Correct")]
        first = await visit.see(links[0])
        assert first.all("a", rel="next")[0]["href"] == links[1]
        assert (await visit.see(f"{links[1]}&saved=1")).all("a", rel="prev")[0]["href"] == links[0]
        for odd in ("below=much", "only=nonsense", "page=999", "attribute=hat"):
            assert (await visit.get(f"/captions/0?{odd}")).status_code == 200


async def test_a_long_file_comes_in_pages(people: Path, tmp_path: Path) -> None:
    many = write(tmp_path / "many.jsonl", *[record(f"{number}.png") for number in range(130)])
    async with visited(people, ScriptedMllm(), tmp_path, captions=(many,)) as visit:
        page = await visit.see("/captions/0?text=sneakers&page=3")
        assert len([one for one in page.all("a") if one.get("aria-label", "").startswith("Correct")]) == 10
        assert "Page 3 of 3" in page.text
        assert page.all("a", rel="prev")[0]["href"] == "/captions/0?text=sneakers&page=2"


async def test_two_files_are_compared(people: Path, captions: Path, tmp_path: Path) -> None:
    lines = list(read_captions(captions))
    boots = {"caption": "A man. The person wears boots.", "turns": [turn(SHOES, "boots")]}
    other = write(
        tmp_path / "other.jsonl",
        record(lines[0].path, sha256=lines[0].sha256),
        record(lines[1].path, sha256=lines[1].sha256, **boots),
    )
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions, other)) as visit:
        page = await visit.see("/captions/compare")
        assert "1 image differs" in page.text
        assert "1 of 3 images of captions.jsonl have no record in other.jsonl" in page.text
        assert "1 answer differs" in page.text
        assert len(page.all("ins")) == 2
        assert "3 images" in (await visit.see("/captions/compare?every=1")).text


async def test_what_is_captioned_meanwhile_appears(people: Path, captions: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        assert "3 images" in (await visit.see("/captions")).text
        write(captions, *[line.fields for line in read_captions(captions)], record("new.png"))
        assert "4 images" in (await visit.see("/captions")).text


@pytest.mark.parametrize("place", ["/captions/7", "/captions/0/nobody", "/captions/compare?b=9"])
async def test_what_is_not_there(people: Path, captions: Path, tmp_path: Path, place: str) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        assert (await visit.get(place)).status_code == 404


async def test_without_a_captions_file(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        assert "No captions file is open" in (await visit.see("/captions")).text


async def test_a_damaged_file_is_told(people: Path, captions: Path, tmp_path: Path) -> None:
    captions.write_text("[]\n")
    async with visited(people, ScriptedMllm(), tmp_path, captions=(captions,)) as visit:
        told = await visit.get("/captions")
        assert told.status_code == 409
        assert "line 1: not a caption record" in told.text


async def test_names_that_are_no_utf8(people: Path, tmp_path: Path) -> None:
    odd = write(tmp_path / "odd.jsonl", record("\udcff.png", sha256=None, caption="\ud800 cap"))
    async with visited(people, ScriptedMllm(), tmp_path, captions=(odd,)) as visit:
        page = await corrected(visit, address(odd), caption="A woman.")
        assert "Saved." in page.text
    assert next(corrected_captions(odd)).caption == "A woman."


def test_corrections_of_another_process_are_seen(captions: Path) -> None:
    index = captions_index.CaptionsIndex(captions)
    index.refresh()
    line = next(read_captions(captions))
    correct(captions, line, [Change(None, line.caption, "A woman.")], "")
    index.refresh()
    assert index.entries[0].corrected
