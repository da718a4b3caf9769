"""Whose machine a URL names, and by which way it is reached."""

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from ctgi.errors import CtgiError
from ctgi.network import (
    Address,
    is_local,
    parse_address,
    place_of,
    proxy_for,
    proxy_of_client,
    public_url,
    trusted,
    without_user,
)


@pytest.fixture(autouse=True)
def _no_proxies(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    yield


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1", "127.0.0.1:8000", "127.255.0.9", "localhost", "LOCALHOST:8000", "localhost.", "[::1]",
        "[::1]:8000",
        "0.0.0.0:8000", "[::]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[0:0:0:0:0:0:0:1]",
        "127.1", "2130706433", "0x7f000001", "0x7f.1", "user:127.evil@127.0.0.1",
    ],
)  # fmt: skip
def test_loopback_in_every_spelling_is_this_machine(host: str) -> None:
    assert is_local(f"http://{host}/v1")
    assert place_of(f"https://{host}") == "this machine"


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1.nip.example/v1",
        "http://127.evil.example/v1",
        "http://localhost.evil.example/v1",
        "http://my-localhost.example/v1",
        "http://evil.example/x//127.0.0.1",
        "http://evil.example/v1?to=//127.0.0.1",
        "http://evil.example/v1?//localhost",
        "http://127.0.0.1@evil.example/v1",
        "http://localhost:80@evil.example/v1",
        "http://127.0.0.1\\@evil.example/v1",
        "http://evil.example#@127.0.0.1/",
        "http://[2001:db8::1]/v1",
        "http://[64:ff9b::7f00:1]/v1",
        "http://128.0.0.1/v1",
        "http://3232235521.example/v1",
        "http://203.0.113.7/v1",
        "http://127.0.0.1%2eevil.example/v1",
        "http://127.0.0.1 .evil.example/v1",
        "http://127.0.0.1:0/v1",
        "//127.0.0.1/v1",
        "127.0.0.1:8000",
        "",
    ],
)
def test_what_only_looks_like_this_machine_is_another_network(url: str) -> None:
    assert place_of(url) == "another network"
    assert not is_local(url)


@pytest.mark.parametrize(
    "host",
    [
        "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.20:8000", "3232235777", "169.254.1.1", "100.64.0.7",
        "[fd00::5]", "[fe80::1]", "[fe80::1%25eth0]", "[::ffff:192.168.0.1]", "gpu-box:8000", "gpu.local",
        "host.docker.internal", "nas.home.arpa",
    ],
)  # fmt: skip
def test_private_addresses_are_your_network(host: str) -> None:
    assert place_of(f"http://{host}/v1") == "your network"


def test_an_address_is_taken_apart_as_it_is_connected_to() -> None:
    url = "HTTPS://me:p%40ss:w@rd@GPU.Example:8443/openai/deployments/gpt/?api-version=2024-06-01&x="
    assert parse_address(url) == Address(
        "https", "gpu.example", 8443, "/openai/deployments/gpt", "?api-version=2024-06-01&x=", "me", "p@ss:w@rd"
    )
    assert str(parse_address(url)) == "https://gpu.example:8443/openai/deployments/gpt"
    assert str(parse_address("http://[::1]:80/v1/")) == "http://[::1]/v1"
    assert parse_address("http://h:80").origin == parse_address("http://H/v1").origin
    assert len({parse_address(url).origin for url in ("http://h", "https://h", "http://h:81", "http://i")}) == 4


@pytest.mark.parametrize(
    ("url", "cure"),
    [
        ("http://u:sec/ret@host/v1", "%2F"),
        ("http://u:1?secret@host/v1", "%3F"),
        ("http://u:12#secret@host/v1", "%23"),
        ("http://host/v1#secret", "%23"),
        ("http://u:secret@/v1", "expected an address"),
        ("http://u:secret@ho st/v1", "expected an address"),
        ("http://u:secret@host:99999/v1", "expected an address"),
        ("ftp://u:secret@host/v1", "expected an address"),
        ("http://u:secret@[::1/v1", "expected an address"),
        ("http://u:secret@host/v1?k=sec\tret", "expected an address"),
        ("http://u:secret@host/v\n1", "expected an address"),
    ],
)
def test_an_address_that_can_be_read_in_two_ways_is_refused_and_not_repeated(url: str, cure: str) -> None:
    with pytest.raises(ValueError, match=cure) as raised:
        parse_address(url)
    assert "sec" not in str(raised.value)
    assert "sec" not in public_url(url)


def test_a_public_url_has_no_credentials() -> None:
    assert public_url("http://host:9/v1/") == "http://host:9/v1/"
    assert public_url("https://user:p@ss:w%40rd@host:9/v1?key=k") == "https://host:9/v1"


def test_a_new_password_leaves_the_same_server() -> None:
    assert (
        without_user("http://me:one@host/v1/?a=b") == without_user("http://me:two@host/v1?a=b") == "http://host/v1?a=b"
    )
    assert without_user("http://host/v1/?a=b") == "http://host/v1/?a=b"


# --- proxies


@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "Https_Proxy", "ALL_PROXY", "all_proxy"])
def test_a_proxy_is_named_by_its_variable_without_its_credentials(
    variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "http://me:secret@proxy.example:3128")
    proxy = proxy_for("https://api.example/v1", "remote")
    assert str(proxy) == f"the proxy http://proxy.example:3128 ({variable})"
    assert proxy_for("http://api.example/v1", "remote") == (proxy if "all" in variable.lower() else None)
    made = proxy_of_client("https://api.example/v1", "remote")
    assert made and (str(made.url), made.auth) == ("http://proxy.example:3128", ("me", "secret"))


def test_small_letters_win_and_a_scheme_before_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://c:1")
    monkeypatch.setenv("HTTP_PROXY", "http://a:1")
    monkeypatch.setenv("http_proxy", "b:1")  # without a scheme, as many write it
    assert str(proxy_for("http://api.example", "remote")) == "the proxy http://b:1 (http_proxy)"


@pytest.mark.parametrize("host", ["127.0.0.1:8000", "localhost", "[::1]", "192.168.1.20", "gpu-box"])
def test_this_machine_and_your_network_need_no_proxy_unless_told(host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_PROXY", "http://proxy.example:3128")
    assert proxy_for(f"http://{host}/v1", "remote") is None
    assert proxy_for(f"http://{host}/v1", "all") is not None


@pytest.mark.parametrize(
    ("listed", "direct"),
    [
        ("api.example", True),
        ("example", True),
        (".example", True),
        ("other, *", False),
        ("*", True),
        ("notapi.example,pi.example", False),
        ("api.example:8080", False),
        ("203.0.113.0/24", False),
    ],
)
def test_no_proxy_is_heeded(listed: str, direct: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("NO_PROXY", listed)
    assert (proxy_for("https://api.example/v1", "remote") is None) == direct


def test_no_proxy_takes_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("no_proxy", "203.0.113.0/24, 2001:db8::/32")
    assert proxy_for("http://203.0.113.9/v1", "remote") is None
    assert proxy_for("http://[2001:db8::7]/v1", "remote") is None
    assert proxy_for("http://198.51.100.1/v1", "remote") is not None


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("socks://u:secret@127.0.0.1:7890", "a socks proxy"),
        ("socks5://127.0.0.1:7890", "a socks5 proxy"),
        ("socks5h://127.0.0.1", "a socks5h proxy"),
        ("quic://secret", "a quic proxy"),
        ("http://u:secret@", "something else"),
        ("http://u:secret@proxy:port", "something else"),
        ("secret secret://x", "something else"),
    ],
)
def test_a_proxy_that_cannot_be_used_is_one_line_with_its_variable(
    value: str, what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALL_PROXY", value)
    assert proxy_for("http://127.0.0.1:8000/v1", "remote") is None
    with pytest.raises(CtgiError) as raised:
        proxy_for("https://api.example/v1", "remote")
    assert str(raised.value).startswith(f"ALL_PROXY names {what}: expected")
    assert str(raised.value).endswith("NO_PROXY=api.example")
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_certificates_that_cannot_be_read_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    assert isinstance(trusted(), ssl.SSLContext)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing.pem"))
    with pytest.raises(CtgiError, match="SSL_CERT_FILE or SSL_CERT_DIR: no certificates"):
        trusted()
