"""Who gets an answer, what an address may name, and text that stays text."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from ctgi.testing import ScriptedMllm
from ctgi.ui.guard import COOKIE, MAX_BODY, Door, is_loopback
from tests.support.page import seen, visited

pytestmark = pytest.mark.anyio
EVIL = '"><script>document.documentElement.dataset.owned=1</script><img src=x onerror=alert(1)> {{ 7*7 }}'


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8321", "127.0.0.1.evil.example", "", "10.0.0.1:8321", "["]
)
async def test_a_foreign_name_for_this_machine_gets_nothing(host: str, people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        assert (await visit.get("/", host=host)).status_code == 403
        assert (await visit.get("/images/0/small", host=host)).status_code == 403


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:9", "http://localhost:8321", "http://["]
)
async def test_a_form_of_another_site_changes_nothing(origin: str, people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        assert (await visit.post("/searches", origin=origin, query="a man")).status_code == 403
        plain = await visit.client.post("/searches", data={"query": "a man"})
        assert plain.status_code == 403, "nor one without an Origin"
        assert visit.site.store.latest(9) == []


async def test_any_other_address_needs_the_token(people: Path, tmp_path: Path) -> None:
    door = Door("0.0.0.0", 8321, "s3cret")
    async with visited(people, ScriptedMllm(), tmp_path, door) as visit:
        for address in ("/", "/static/ui.css", "/?token=wrong", "/?token="):
            assert (await visit.get(address)).status_code == 401
        shown = await visit.get("/?token=s3cret")
        assert shown.status_code == 200
        assert "token" not in str(shown.url), "it does not stay in the address, which is shared and logged"
        assert (await visit.get("/gallery", host="10.0.0.1:8321")).status_code == 200


@pytest.mark.parametrize("token", ["a+b", "a b;c", "a&b#c", "a%20b", 'a"b', "schlüssel"])
async def test_a_token_of_ones_own_opens_the_printed_address(token: str, people: Path, tmp_path: Path) -> None:
    door = Door("127.0.0.1", 8321, token)
    async with visited(people, ScriptedMllm(), tmp_path, door) as visit:
        assert (await visit.get(door.url)).status_code == 200
        assert (await visit.get("/gallery")).status_code == 200


@pytest.mark.parametrize("other", ["a:b=1", "a[b]=1", 'c={"d": 1}', "bare"])
async def test_cookies_of_other_programs_do_not_matter(other: str, people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path, Door("0.0.0.0", 8321, "s3cret")) as visit:
        assert (await visit.get("/", cookie=f"{other}; {COOKIE}=s3cret")).status_code == 200
        assert (await visit.get("/", cookie=f"{other}; {COOKIE}=wrong")).status_code == 401


async def test_bodies_are_bounded(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        assert (await visit.post("/searches", query="x" * MAX_BODY)).status_code == 413


@pytest.mark.parametrize("name", ["..%2f..%2fetc%2fpasswd", "0" * 64, "%2e%2e", "0_a.png"])
async def test_an_address_names_no_file(name: str, people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        assert (await visit.get(f"/images/{name}/full")).status_code == 404
        assert (await visit.get(f"/static/{name}")).status_code == 404


async def test_every_page_forbids_what_it_does_not_need(people: Path, tmp_path: Path) -> None:
    async with visited(people, ScriptedMllm(), tmp_path) as visit:
        address = await visit.finished()
        for place in ("/", address, "/gallery", "/nowhere", "/static/ui.js", "/images/0/small"):
            headers = (await visit.get(place)).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; img-src 'self'")
            assert headers["x-content-type-options"] == "nosniff"


async def test_hostile_text_stays_text(people: Path, tmp_path: Path) -> None:
    shutil.move(people / "0_a.png", people / "\"><img src=x onerror=alert(1)>{{ 7*7 }}'.png")

    def says(request: Any) -> str:
        return f"yes {EVIL}" if "kind of shoes" in request.prompt else "yes"

    async with visited(people, ScriptedMllm(says), tmp_path) as visit:
        address = await visit.finished(EVIL)
        for image in (await visit.see(address)).order:
            await visit.post(f"{address}/keep", image=image, note=EVIL)
        pages = [address, "/", "/gallery", f"{address}/images/{image}"]
        for place in pages:
            page = (await visit.get(place)).text
            shown = seen(page)
            assert "data-owned" not in page.replace("&", "")
            assert [one["src"] for tag, one in shown.elements if tag == "script"] == ["/static/ui.js"]
            assert all(one["src"].startswith("/images/") for tag, one in shown.elements if tag == "img")
            assert not [name for _, one in shown.elements for name in one if name.startswith("on")]
        whole = (await visit.see(address)).text
        assert EVIL in whole, "it is shown as it was typed"
        assert "{{ 7*7 }}" in (await visit.see("/gallery")).text


@pytest.mark.parametrize(
    ("host", "mine"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("::", False), ("10.0.0.1", False)],
)
def test_which_addresses_are_this_machine(host: str, mine: bool) -> None:
    assert is_loopback(host) is mine
