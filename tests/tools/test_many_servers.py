"""Several servers of one model: the least busy is asked, one that fails is left out for a while, nothing is lost."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ctgi.agents.senders import senders
from ctgi.config import Settings, load_settings
from ctgi.errors import CtgiError, EndpointDownError, ToolError
from ctgi.testing import Reply, Request, ScriptedServer, http_error
from ctgi.tools.backends import ChatReply, ChatRequest, Mllm, open_mllm
from tests.support.asked_server import HELLO


@pytest.fixture
def other() -> Any:
    with ScriptedServer(models=["double"]) as server:
        yield server


def settings_of(*servers: ScriptedServer, **more: Any) -> Settings:
    defaults = {"retries": 1, "backoff_s": 0, "timeout_s": 10, "concurrency": 4}
    return Settings(endpoints={"vllm": defaults | {"base_url": [server.url for server in servers]} | more})


def asked(settings: Settings, use: Callable[[Mllm], Any]) -> Any:
    """What `use` makes of the model, opened in a loop of its own."""

    async def opened() -> Any:
        mllm = open_mllm(settings.binding("caption_image")._replace(endpoint="vllm", model="double"), settings)
        try:
            return await use(mllm)
        finally:
            await mllm.aclose()

    return asyncio.run(opened())


async def many(mllm: Mllm, count: int = 24) -> list[ChatReply | BaseException]:
    asking = (mllm.chat(ChatRequest(f"Question {number}?")) for number in range(count))
    return await asyncio.gather(*asking, return_exceptions=True)


def test_calls_are_shared_out(double: ScriptedServer, other: ScriptedServer) -> None:
    double.latency_s = other.latency_s = 0.02
    found = asked(settings_of(double, other), many)
    assert all(isinstance(one, ChatReply) for one in found)
    assert len(double.seen) + len(other.seen) == 24
    assert min(len(double.seen), len(other.seen)) >= 4
    assert max(double.peak_in_flight, other.peak_in_flight) <= 4  # `concurrency` is that of each


def test_a_slow_server_gets_fewer_calls(double: ScriptedServer, other: ScriptedServer) -> None:
    def slow(request: Request) -> Reply:
        while len(other.seen) < 20:
            time.sleep(0.01)
        return Reply("a coat")

    double.replies = slow
    asked(settings_of(double, other), many)
    assert [len(double.seen), len(other.seen)] == [4, 20]


def test_a_server_that_dies_loses_no_call(
    double: ScriptedServer, other: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    def dies(request: Request) -> Reply:
        if len(double.seen) == 3:
            double.stop()
        return Reply("a coat")

    double.replies = dies
    found = asked(settings_of(double, other, retries=0), many)
    assert all(isinstance(one, ChatReply) for one in found)
    assert caplog.text.count("left out") <= 1  # however often it fails


def test_a_server_that_comes_back_is_asked_again(
    double: ScriptedServer, other: ScriptedServer, caplog: pytest.LogCaptureFixture
) -> None:
    async def through(mllm: Mllm) -> None:
        await mllm.chat(HELLO)
        double.stop()
        await many(mllm, 4)
        with ScriptedServer(models=["double"], port=double.port) as back:
            while not back.seen:
                await many(mllm, 4)
                await asyncio.sleep(0.05)
            await many(mllm, 8)
            assert len(back.seen) > 1

    asked(settings_of(double, other), through)
    assert f"{double.url} answers again" in caplog.text


def test_a_server_that_is_busy_or_broken_leaves_its_calls_to_the_other(
    double: ScriptedServer, other: ScriptedServer
) -> None:
    double.replies = http_error(503, "still loading", retry_after="60")
    found = asked(settings_of(double, other, retries=0), many)
    assert all(isinstance(one, ChatReply) for one in found)
    assert len(double.seen) <= 4


def test_where_none_is_there_each_is_named(double: ScriptedServer, other: ScriptedServer) -> None:
    double.stop()
    other.stop()
    with pytest.raises(EndpointDownError, match="no connection") as error:
        asked(settings_of(double, other), lambda mllm: mllm.chat(HELLO))
    assert all(f"{server.url}: " in str(error.value) for server in (double, other))


def test_an_error_names_its_server(double: ScriptedServer, other: ScriptedServer) -> None:
    other.models = ["another"]
    with pytest.raises(CtgiError, match=f"{other.url} has no model 'double': it serves another"):
        asked(settings_of(double, other), lambda mllm: asyncio.gather(*(mllm.chat(HELLO) for _ in range(2))))
    other.replies, other.models = http_error(400, "too long"), ["double"]
    double.stop()
    with pytest.raises(ToolError, match=f"{other.url} refused the request: too long"):
        asked(settings_of(double, other), lambda mllm: mllm.chat(HELLO))


def test_a_server_that_comes_back_with_another_model_stays_out(double: ScriptedServer, other: ScriptedServer) -> None:
    async def through(mllm: Mllm) -> list[ChatReply | BaseException]:
        double.stop()
        await many(mllm, 4)
        with ScriptedServer(models=["another"], port=double.port) as back:
            found = []
            while not back.seen:
                found += await many(mllm, 4)
                await asyncio.sleep(0.05)
            return found + await many(mllm, 4)

    assert all(isinstance(one, ChatReply) for one in asked(settings_of(double, other), through))


@pytest.mark.parametrize(
    "written",
    [
        'base_url = ["http://a.example/v1", "http://b.example/v1"]',
        'base_url = "http://a.example/v1, http://b.example/v1"',
        'base_url = "http://a.example/v1,http://a.example/v1,http://b.example/v1,"',
    ],
)
def test_servers_are_a_list_or_separated_by_commas(tmp_path: Path, written: str) -> None:
    (tmp_path / "ctgi.toml").write_text(f"[endpoints.vllm]\n{written}\nconcurrency = 3\n")
    settings = load_settings(config=tmp_path / "ctgi.toml", bindings={"images": "vllm:m"})
    endpoint = settings.endpoint(settings.binding("caption_image"))
    assert endpoint.servers == ("http://a.example/v1", "http://b.example/v1")
    assert endpoint.at_once == 6
    told = senders(settings, ["caption_image"])
    assert [line.split(" to ")[1].split(":")[1] for line in told] == ["//a.example/v1", "//b.example/v1"]


def test_servers_may_come_from_the_environment_and_a_binding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CTGI_ENDPOINTS__VLLM__BASE_URL", "http://a/v1,http://b/v1?key=secret")
    settings = load_settings(
        bindings={"caption_image": "vllm:m", "verify_match": "vllm:m@http://me:pw@c/v1,http://d/v1"}
    )
    assert settings.endpoint(settings.binding("caption_image")).servers == ("http://a/v1", "http://b/v1?key=secret")
    assert settings.endpoint(settings.binding("verify_match")).servers == ("http://me:pw@c/v1", "http://d/v1")
    assert str(settings.binding("verify_match")) == "vllm:m@http://c/v1,http://d/v1"
    assert settings.public()["endpoints"]["vllm"]["base_url"] == "http://a/v1,http://b/v1"
    assert {"secret", "pw"} <= settings.secrets()


def test_a_key_goes_to_no_server_but_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "key")
    lab = {"provider": "vllm", "base_url": ["http://a/v1", "http://b/v1"], "api_key_env": "LAB_KEY"}
    own, others = ("http://b/v1", "http://b/v1,http://a/v1"), ("http://c/v1", "http://a/v1,http://c/v1")
    for urls, key in {**dict.fromkeys(own, "LAB_KEY"), **dict.fromkeys(others)}.items():
        settings = Settings(endpoints={"lab": lab}, bindings={"caption_image": f"lab:m@{urls}"})
        assert settings.endpoint(settings.binding("caption_image")).api_key_env == key


@pytest.mark.parametrize("wrong", [[], [1], ["http://a/v1", ""], [["http://a/v1"]]])
def test_a_wrong_list_is_told(wrong: list[object]) -> None:
    with pytest.raises(ValueError, match="or a list of them"):
        Settings(endpoints={"vllm": {"base_url": wrong}})
