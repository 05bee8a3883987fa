"""Ways through a proxy: which one, from the usual environment variables, and the CONNECT itself.

Sources: curl's manual ("Environment") for the variables, RFC 9110 §9.3.6 for CONNECT.
"""

import asyncio
import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from trunkline.model.errors import UpstreamUnreachable

MAX_HEAD = 16384
"""Bytes of a proxy's answer to CONNECT; it has no body."""


class Proxy(Struct, frozen=True):
    """Where a proxy listens. `authorization` is the value of its header, or None; `repr` hides it all."""

    host: str
    port: int
    tls: bool = False
    authorization: bytes | None = None

    def __repr__(self) -> str:
        return "Proxy(…)"


class Proxies(Struct, frozen=True):
    """The proxies of each scheme, and the origins that are reached without one."""

    http: Proxy | None = None
    https: Proxy | None = None
    bypass: tuple[str, ...] = ()
    """As in `no_proxy`: `host` and `.domain` (both with what is below), `*`, addresses, networks; each with `:port`."""

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> "Proxies":
        """What `http_proxy`, `https_proxy`, `all_proxy` and `no_proxy` say, in small letters first, then in capitals.

        Raises:
            ValueError: a proxy's URL is none, or of a kind that is not supported; names the variable.
        """

        def read(name: str) -> str:
            return (environ.get(name) or environ.get(name.upper()) or "").strip()

        def proxy(scheme: str) -> Proxy | None:
            name = f"{scheme}_proxy" if read(f"{scheme}_proxy") else "all_proxy"
            # HTTP_PROXY can be a client's `Proxy:` header where we run as CGI ("httpoxy"); curl ignores it always.
            if name == "http_proxy" and "REQUEST_METHOD" in environ and not environ.get(name):
                return None
            value = read(name)
            return _parse(name, value) if value else None

        rules = read("no_proxy").lower().replace(",", " ").split()
        return cls(http=proxy("http"), https=proxy("https"), bypass=tuple(rules))

    def find(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy that leads to an origin, or None where it is reached directly."""
        proxy = self.https if scheme == "https" else self.http
        if proxy is None or any(_matches(rule, host.lower().rstrip("."), port) for rule in self.bypass):
            return None
        return proxy


def _parse(name: str, value: str) -> Proxy:
    try:
        url = urlsplit(value if "://" in value else f"http://{value}")
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(url.scheme)
        port = url.port or (443 if url.scheme == "https" else 80)
    except ValueError:
        # Not the value itself: it may hold a password.
        raise ValueError(f"{name} is not the URL of an http or https proxy") from None
    authorization = None
    if url.username is not None:
        pair = f"{unquote(url.username)}:{unquote(url.password or '')}"
        authorization = b"Basic " + base64.b64encode(pair.encode())
    return Proxy(url.hostname, port, url.scheme == "https", authorization)


def _matches(rule: str, host: str, port: int) -> bool:
    """Whether *rule* of `no_proxy` names *host* and *port*."""
    if rule == "*":
        return True
    if rule.startswith("["):
        rule, _, wanted = rule[1:].partition("]")
        wanted = wanted.lstrip(":")
    elif rule.count(":") == 1:
        rule, _, wanted = rule.partition(":")
    else:
        wanted = ""
    if wanted and wanted != str(port):
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(rule, strict=False)
    except ValueError:
        name = rule.removeprefix("*").strip(".")
        return bool(name) and (host == name or host.endswith(f".{name}"))


class _Greeting(asyncio.Protocol):
    """Reads a proxy's answer to CONNECT: no byte more, what follows is the origin's."""

    __slots__ = ("_head", "ended")

    def __init__(self) -> None:
        self._head = b""
        self.ended: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self._head += data
        if b"\r\n\r\n" in self._head or len(self._head) > MAX_HEAD:
            self._end()

    def eof_received(self) -> None:
        self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end()

    def _end(self) -> None:
        if not self.ended.done():
            self.ended.set_result(self._head)


async def tunnel(transport: asyncio.Transport, host: str, port: int, authorization: bytes | None) -> None:
    """Make *transport*, which leads to a proxy, lead to *host* and *port*. The caller closes it and sets the time.

    Raises:
        UpstreamUnreachable: the proxy does not want to, or does not speak HTTP.
    """
    greeting = _Greeting()
    transport.set_protocol(greeting)
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    head = f"CONNECT {authority} HTTP/1.1\r\nhost: {authority}\r\n".encode()
    if authorization is not None:
        head += b"proxy-authorization: " + authorization + b"\r\n"
    transport.write(head + b"\r\n")
    answer = await greeting.ended
    head, found, rest = answer.partition(b"\r\n\r\n")
    words = head.split(b"\r\n", 1)[0].split(b" ", 2)
    if not found or rest or len(words) < 2 or not words[0].startswith(b"HTTP/1.") or not words[1].isdigit():
        raise UpstreamUnreachable("the proxy did not answer CONNECT with HTTP")
    if not 200 <= (status := int(words[1])) < 300:
        raise UpstreamUnreachable(f"the proxy refused with status {status}")
