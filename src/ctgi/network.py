"""Addresses: whose machine a URL names, its proxy, and the HTTP client.

Only the address itself counts. A name is never looked up: what it resolves to now need not be what the request meets.
"""

import ipaddress
import os
import re
import socket
import ssl
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal, TypeAlias
from urllib.parse import quote, unquote
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # public, and missing in typeshed

from ctgi.errors import CtgiError

if TYPE_CHECKING:
    import httpx2

Place = Literal["this machine", "your network", "another network"]
Proxies = Literal["remote", "all"]
"""Which hosts are reached through the proxies of the environment: remote ones, or all of them."""

_Ip: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_SHAPE = re.compile(r"(https?)://([^/?#]*)([^?#]*)(\?[^#]*)?(#.*)?", re.IGNORECASE | re.DOTALL)
_HOST = re.compile(r"[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f:.]*(%[\w.~%-]+)?")
_BETWEEN = re.compile(r"\s*,\s*(?=https?://)", re.IGNORECASE)
_OLD_NUMBER = re.compile(r"(0x[0-9a-f]*|\d+)(\.(0x[0-9a-f]*|\d+)){0,3}")
"""An IPv4 address as resolvers still take it: short, octal, hexadecimal or one number."""
_PRIVATE = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "100.64.0.0/10", "fc00::/7", "fe80::/10",
    )
)  # fmt: skip
_PRIVATE_NAMES = (".local", ".internal", ".home.arpa")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_EXPECTED = "expected an address like http://127.0.0.1:8000/v1"


@dataclass(frozen=True)
class Address:
    """A URL, parsed exactly as it is connected to; its text form has no credentials."""

    scheme: str
    host: str
    """In lower case, an IPv6 address without its brackets."""
    port: int
    path: str
    """Without a slash at its end."""
    query: str = ""
    """The query that ends every request's URL, with its question mark."""
    user: str = ""
    password: str = ""

    @property
    def origin(self) -> tuple[str, str, int]:
        """Scheme, host and port; equal for URLs of the same server."""
        return self.scheme, self.host, self.port

    def whole(self) -> str:
        """The URL with its credentials, for libraries that accept them in no other way."""
        who = f"{quote(self.user, safe='')}:{quote(self.password, safe='')}@" if self.user or self.password else ""
        return f"{self.scheme}://{who}{self._place()}{self.query}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self._place()}"

    def _place(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{host}{port}{self.path}"


@lru_cache(maxsize=256)
def parse_address(url: str) -> Address:
    """An http or https URL.

    Raises:
        ValueError: it is none, or can be read in two ways. The message repeats nothing of the URL.
    """
    import httpx2

    shape = _SHAPE.fullmatch(url.strip())
    if not shape:
        raise ValueError(_EXPECTED)
    scheme, authority, path, query, fragment = shape.groups()
    if fragment is not None:
        raise ValueError("it has a # in it: leave out what follows, or write %23 where it is part of a password")
    if "@" in path + (query or ""):
        raise ValueError("it has an @ behind its host: write /, ? and @ in a password as %2F, %3F and %40")
    userinfo, _, host = authority.rpartition("@")
    try:
        parsed = httpx2.URL(f"{scheme}://{host}{path}{query or ''}")
    except httpx2.InvalidURL:
        raise ValueError(_EXPECTED) from None
    port = _DEFAULT_PORTS[parsed.scheme] if parsed.port is None else parsed.port
    if not _HOST.fullmatch(parsed.host) or not 0 < port < 2**16:
        raise ValueError(_EXPECTED)
    user, _, password = map(unquote, userinfo.partition(":"))
    path, mark, query = parsed.raw_path.decode().partition("?")
    return Address(parsed.scheme, parsed.host, port, path.rstrip("/"), mark + query, user, password)


def addresses(urls: str) -> tuple[str, ...]:
    """The URLs of servers that share one setting, separated by commas; each once."""
    return tuple(dict.fromkeys(filter(None, _BETWEEN.split(urls.strip().rstrip(", ")))))


def public_url(urls: str) -> str:
    """URLs without a user's name, password, query and fragment; one that cannot be read safely is left out."""
    return ",".join(map(_public_url, addresses(urls))) if "," in urls else _public_url(urls)


def _public_url(url: str) -> str:
    if not {"@", "?", "#"} & set(url):
        return url
    try:
        return str(parse_address(url))
    except ValueError:
        return "(an address that cannot be shown)"


def without_user(url: str) -> str:
    """A URL without its user's name and password, for what must not change with them; others as they are."""
    if "@" not in url:
        return url
    try:
        address = parse_address(url)
    except ValueError:
        return public_url(url)
    return f"{address}{address.query}"


def place_of(url: str) -> Place:
    """Where the host of a URL is.

    This machine: loopback addresses in any spelling, and `localhost`. Your network: private and link-local addresses,
    and names that no public server has (without a dot, .local, .internal, .home.arpa). Another network: all else.
    """
    try:
        host = parse_address(url).host
    except ValueError:
        return "another network"
    ip = _ip(host)
    if host.removesuffix(".") == "localhost" or (ip and (ip.is_loopback or ip.is_unspecified)):
        return "this machine"
    if ip:
        return "your network" if any(ip in network for network in _PRIVATE) else "another network"
    return "your network" if "." not in host or host.endswith(_PRIVATE_NAMES) else "another network"


def is_local(url: str) -> bool:
    """Whether a request to this URL stays on this machine."""
    return place_of(url) == "this machine"


def _ip(host: str) -> _Ip | None:
    try:
        ip = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        if not _OLD_NUMBER.fullmatch(host):
            return None
        try:
            return ipaddress.IPv4Address(socket.inet_aton(host))
        except OSError:
            return None
    return getattr(ip, "ipv4_mapped", None) or ip


# --- proxies


@dataclass(frozen=True)
class Proxy:
    """A proxy of the environment; as text, without its credentials."""

    variable: str
    address: Address

    def __str__(self) -> str:
        return f"the proxy {self.address} ({self.variable})"


def proxy_for(url: str, proxies: Proxies) -> Proxy | None:
    """The proxy through which this URL is reached: HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY in any case.

    Raises:
        CtgiError: the variable names a kind of proxy that cannot be used.
    """
    address = parse_address(url)
    if proxies == "remote" and place_of(url) != "another network":
        return None
    variable, named = _variable(f"{address.scheme}_proxy", "all_proxy")
    if not named or _excepted(address):
        return None
    try:
        return Proxy(variable, parse_address(named if "://" in named else f"http://{named}"))
    except ValueError:
        scheme = named.partition("://")[0] if "://" in named else ""
        what = f"a {scheme} proxy" if re.fullmatch(r"(?!https?$)[a-z0-9]{1,12}", scheme) else "something else"
        raise CtgiError(
            f"{variable} names {what}: expected an address like http://proxy:3128; "
            f"to reach {address.host} without a proxy, set NO_PROXY={address.host}"
        ) from None


def _variable(*names: str) -> tuple[str, str]:
    """The first of these variables that is set, as it is spelled, and its value; small letters win, as in curl."""
    for name in names:
        for spelled in sorted(os.environ, reverse=True):
            if spelled.lower() == name and os.environ[spelled].strip():
                return spelled, os.environ[spelled].strip()
    return "", ""


def _excepted(address: Address) -> bool:
    _, listed = _variable("no_proxy")
    if not listed:
        return False
    ip = _ip(address.host)
    return bool(proxy_bypass_environment(f"{address.host}:{address.port}", {"no": listed})) or any(
        ip is not None and ip in network for network in _networks(listed)
    )


def _networks(listed: str) -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    found = []
    for entry in listed.split(","):
        try:
            found.append(ipaddress.ip_network(entry.strip().strip("[]"), strict=False))
        except ValueError:
            continue
    return found


# --- clients


def proxy_of_client(url: str, proxies: Proxies) -> "httpx2.Proxy | None":
    """The same as `proxy_for`, for an HTTP client. Raises as it does."""
    import httpx2

    proxy = proxy_for(url, proxies)
    if proxy is None:
        return None
    address = proxy.address
    auth = (address.user, address.password) if address.user or address.password else None
    return httpx2.Proxy(str(address), auth=auth)


def trusted() -> ssl.SSLContext:
    """Certificates to trust: the system's, or those of SSL_CERT_FILE or SSL_CERT_DIR.

    Raises:
        CtgiError: what these variables name cannot be read.
    """
    import httpx2

    try:
        return httpx2.create_ssl_context()
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or str(error)
        raise CtgiError(f"SSL_CERT_FILE or SSL_CERT_DIR: no certificates can be read from it ({reason})") from None
