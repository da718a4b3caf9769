"""Requests to a server: where they go, what they carry, and how much may come back, in what time."""

import asyncio
import gzip
import json
import tracemalloc
import zlib
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from ctgi.config import Binding, Settings
from ctgi.errors import CtgiError, EndpointDownError, ToolError
from ctgi.testing import Fault, ScriptedServer, http_error
from ctgi.tools.backends import ChatReply, ChatRequest, Mllm, open_mllm
from ctgi.tools.backends.openai_client import MAX_BODY_BYTES

Result = TypeVar("Result")
HELLO = ChatRequest("What does the person wear?")


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def with_mllm(use: Callable[[Mllm], Awaitable[Result]], binding: str, **endpoints: dict[str, Any]) -> Result:
    """The result of `use` with the model of a binding."""
    fast = {"retries": 0, "backoff_s": 0.0, "timeout_s": 5}
    name = Binding.parse(binding).endpoint
    settings = Settings(endpoints=endpoints | {name: fast | endpoints.get(name, {})})  # type: ignore[arg-type]

    async def opened() -> Result:
        mllm = open_mllm(Binding.parse(binding), settings)
        try:
            return await use(mllm)
        finally:
            await mllm.aclose()

    return asyncio.run(opened())


def chat(binding: str, **endpoints: dict[str, Any]) -> ChatReply:
    return with_mllm(lambda mllm: mllm.chat(HELLO), binding, **endpoints)


# --- where requests go


@pytest.mark.parametrize("end", ["/", "//", ""])
def test_a_query_ends_every_requests_url(double: ScriptedServer, end: str) -> None:
    url = f"{double.url}{end}?api-version=2024-06-01&sig=a%2Fb"
    chat(f"openai:double@{url}")
    with pytest.raises(CtgiError, match="it serves double"):
        chat(f"openai:other@{url}")
    assert double.targets == [
        "POST /v1/chat/completions?api-version=2024-06-01&sig=a%2Fb",
        "POST /v1/chat/completions?api-version=2024-06-01&sig=a%2Fb",
        "GET /v1/models?api-version=2024-06-01&sig=a%2Fb",
    ]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_carries_nothing_to_another_server(
    double: ScriptedServer, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-of-the-lab")
    with ScriptedServer(models=("double",)) as elsewhere:
        double.replies = Fault(status, b"", {"location": f"{elsewhere.url}/chat/completions"})
        with pytest.raises(CtgiError, match=f"answers with status {status}: check base_url"):
            chat("lab:double", lab={"provider": "vllm", "base_url": double.url, "api_key_env": "LAB_KEY"})
        assert elsewhere.targets == []


def test_this_machine_is_never_asked_through_a_proxy(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "socks5://127.0.0.1:9")
    assert chat(f"vllm:double@{double.url}").text


def test_a_remote_server_is_asked_through_the_proxy(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://me:proxy-secret@127.0.0.1:{double.port}")
    assert chat("vllm:double@http://api.example/v1").text
    assert double.targets == ["POST http://api.example/v1/chat/completions"]
    sent = double.seen[0].headers["proxy-authorization"]
    assert sent == f"Basic {b64encode(b'me:proxy-secret').decode()}"


def test_a_proxy_that_is_down_is_named(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    double.stop()
    monkeypatch.setenv("HTTP_PROXY", f"http://me:proxy-secret@127.0.0.1:{double.port}")
    with pytest.raises(EndpointDownError) as raised:
        chat("vllm:double@http://api.example/v1")
    assert f"(through the proxy http://127.0.0.1:{double.port} (HTTP_PROXY))" in str(raised.value)
    assert str(raised.value).endswith("Check HTTP_PROXY, or set NO_PROXY=api.example")
    assert "proxy-secret" not in str(raised.value)


def test_the_proxy_may_be_asked_for_everywhere(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{double.port}")
    chat("vllm:double@http://127.0.0.1:9/v1", vllm={"proxies": "all"})
    assert double.targets == ["POST http://127.0.0.1:9/v1/chat/completions"]
    assert Settings(network={"proxies": "all"}).endpoint(Binding.parse("vllm:m")).proxies == "all"  # type: ignore[arg-type]


def test_a_socks_proxy_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:7890")
    with pytest.raises(CtgiError, match="ALL_PROXY names a socks5 proxy"):
        chat("vllm:double@http://api.example/v1")


# --- what they carry


def test_a_key_goes_to_its_own_endpoint_alone(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-of-the-lab")
    monkeypatch.setenv("VLLM_API_KEY", "sk-of-vllm")
    with ScriptedServer(models=("double",)) as other:
        lab = {"provider": "vllm", "base_url": f"{double.url}/", "api_key_env": "LAB_KEY"}
        chat("lab:double", lab=lab)
        chat(f"lab:double@{double.url}", lab=lab)
        chat(f"lab:double@{other.url}", lab=lab)
        chat(f"vllm:double@{other.url}")
        chat("mine:double", mine={"provider": "vllm", "base_url": other.url})
        chat("vllm:double", vllm={"base_url": double.url})
    assert [seen.headers.get("authorization") for seen in double.seen] == [
        "Bearer sk-of-the-lab",
        "Bearer sk-of-the-lab",
        "Bearer sk-of-vllm",
    ]
    assert ["authorization" in seen.headers for seen in other.seen] == [False] * 3


def test_a_server_that_wants_a_key_says_how_it_is_given(
    double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VLLM_API_KEY", "sk-of-vllm")
    double.key = "sk-of-vllm"
    with pytest.raises(CtgiError) as raised:
        chat(f"vllm:double@{double.url}")
    assert "was sent none" in str(raised.value)
    assert "api_key_env under [endpoints.NAME]" in str(raised.value)
    assert "NAME:double" in str(raised.value)
    assert chat("gpu:double", gpu={"provider": "vllm", "base_url": double.url, "api_key_env": "VLLM_API_KEY"}).text


def test_a_wrong_password_is_named_as_such(double: ScriptedServer) -> None:
    double.key = "another"
    with pytest.raises(CtgiError, match=r"refuses the user and password of its base_url \(status 401\)"):
        chat(f"vllm:double@{double.url.replace('//', '//me:pa55word@')}")


def test_a_proxy_that_wants_a_password_is_named(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{double.port}")
    double.replies = Fault(407)
    with pytest.raises(CtgiError, match=r"\(http_proxy\) refuses the request: .* into http_proxy"):
        chat("vllm:double@http://api.example/v1")


def test_certificates_matter_where_there_is_tls_alone(double: ScriptedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    assert chat(f"vllm:double@{double.url}").text
    with pytest.raises(CtgiError, match="SSL_CERT_FILE"):
        chat(f"vllm:double@{double.url.replace('http:', 'https:')}")


def test_a_password_with_every_sign_reaches_its_server(double: ScriptedServer) -> None:
    host = double.url.removeprefix("http://")
    chat(f"vllm:double@http://me:p@ss:w%2Frd@{host}")
    assert double.seen[0].headers["authorization"] == f"Basic {b64encode(b'me:p@ss:w/rd').decode()}"


def test_what_a_server_echoes_of_our_credentials_is_hidden(
    double: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_KEY", "sk-of-the-lab")
    host = double.url.removeprefix("http://")
    lab = {"provider": "vllm", "base_url": double.url, "api_key_env": "LAB_KEY"}
    double.replies = lambda seen: f"I see {seen.headers['authorization']}."
    assert chat("lab:double", lab=lab).text == "I see Bearer ***."
    assert chat(f"vllm:double@http://me:pa55word@{host}").text.rstrip("=.") == "I see Basic ***"
    basic = b64encode(b"me:hunter2").decode()
    for echoed in (basic, "hunter2", "me:hunter2@host"):
        double.replies = Fault(400, json.dumps({"error": {"message": f"bad {echoed} here"}}).encode())
        with pytest.raises(ToolError) as raised:
            chat(f"vllm:double@http://me:hunter2@{host}")
        assert "hunter2" not in str(raised.value)
        assert basic.rstrip("=") not in str(raised.value)
        assert "***" in str(raised.value)


# --- how much comes back, and when

BOMB = b'{"choices":[{"message":{"content":"' + b"a" * 60_000_000 + b'"}}]}'
SMALL = b'{"choices":[{"message":{"content":"a red coat"}}]}'


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("GZIP", gzip.compress)]
)
def test_a_packed_reply_is_read_and_one_far_too_large_is_not(
    double: ScriptedServer, encoding: str, pack: Callable[[bytes], bytes]
) -> None:
    double.replies = Fault(body=pack(SMALL), headers={"content-encoding": encoding})
    assert chat(f"vllm:double@{double.url}").text == "a red coat"
    for status in (200, 400):
        double.replies = Fault(status, pack(BOMB), headers={"content-encoding": encoding})
        tracemalloc.start()
        with pytest.raises(ToolError, match=f"more than {MAX_BODY_BYTES:,} bytes"):
            chat(f"vllm:double@{double.url}")
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 25_000_000


def test_a_reply_packed_twice_or_damaged_is_named(double: ScriptedServer) -> None:
    for body, encoding, said in (
        (gzip.compress(gzip.compress(SMALL)), "gzip, gzip", "compressed more than once"),
        (b"no gzip at all", "gzip", "cannot be decompressed"),
        (b"\x28\xb5\x2f\xfd packed", "zstd", "not a chat completion"),
    ):
        double.replies = Fault(body=body, headers={"content-encoding": encoding})
        with pytest.raises(ToolError, match=said):
            chat(f"vllm:double@{double.url}")


def test_a_list_of_models_that_comes_in_drips_is_left_after_the_timeout(double: ScriptedServer) -> None:
    double.models_fault = Fault(body=b" " * 100_000, drip_s=0.05)
    with pytest.raises(CtgiError, match="check the model's name"):
        chat(f"vllm:other@{double.url}", vllm={"timeout_s": 0.3})


@pytest.mark.parametrize(
    "after",
    [
        "Thu, 01 Jan 10970 00:00:00 GMT", "Thu, 01 Jan 99999 00:00:00 GMT", "Thu, 99 Foo 2026 99:99:99 GMT",
        "Thu, 01 Jan 0000 00:00:00 GMT", "250ms", "0.1 s", "-5", "nan", "inf", "1e400", "", "soon", "9" * 400,
        "Thu, 01 Jan 1970 00:00:00 GMT",
    ],
)  # fmt: skip
def test_a_retry_after_that_means_nothing_is_no_reason_to_wait_or_to_end(double: ScriptedServer, after: str) -> None:
    double.faults.append(http_error(429, retry_after=after))
    assert chat(f"vllm:double@{double.url}", vllm={"retries": 1}).text
    assert len(double.seen) == 2
