"""The head of one HTTP/1.1 request, validated.

`read_head` is the only function that makes a `RequestHead` from parsed lines, so that cached heads (`head_cache`) and
received ones obey the same rules.

Sources: RFC 9110, RFC 9112.
"""

import re
from typing import Protocol

import httptools
from msgspec import Struct

from trunkline.engine.context import RequestHeaders

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_URL_BYTES = 8 * 1024

_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Za-z._~-]+)(?::[0-9]{1,5})?")
"""A host name or an IP address, and perhaps a port. Stricter than RFC 3986: no percent-encoding, no sub-delimiters."""


class RequestRefused(Exception):
    """The received bytes are not a valid or supported request. `status` is the HTTP status of the response."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RequestHead(Struct, kw_only=True, gc=False):
    """A request line and its headers. Immutable except for `parsed`: exchanges share a cached head."""

    method: bytes
    path: bytes
    query: bytes = b""
    headers: list[tuple[bytes, bytes]] = []
    """Names are lower-case; in the order of the wire."""
    fields: dict[bytes, bytes] = {}
    """The headers by name, the last of several."""
    http_1_0: bool = False
    keep_alive: bool = True
    """Whether the client allows another request on this connection."""
    content_length: int | None = None
    """None where the request has no such header."""
    chunked: bool = False
    expects_continue: bool = False
    authority: bytes | None = None
    """Host and port of an absolute target, which replace the Host header (RFC 9112 §3.2.2); None otherwise."""
    upgrades: bool = False
    """The client asks for another protocol, which is ignored (RFC 9110 §7.8)."""
    parsed: RequestHeaders | None = None
    """The parsed headers; None until a route needs them."""

    @property
    def host(self) -> bytes:
        """The host and port that the client asked: of an absolute target, else of the Host header; may be empty."""
        return self.authority if self.authority is not None else self.fields.get(b"host", b"")


NO_HEAD = RequestHead(method=b"", path=b"")
"""The head of a request that is refused before its head is complete."""


class Parser(Protocol):
    """The methods of `httptools.HttpRequestParser` that are used when a head is complete."""

    def get_method(self) -> bytes:
        """The method, upper-case."""
        ...

    def get_http_version(self) -> str:
        """Such as `1.1`."""
        ...

    def should_keep_alive(self) -> bool:
        """Whether another request may follow."""
        ...

    def should_upgrade(self) -> bool:
        """Whether the parser treats the request as a protocol change and stops after the head."""
        ...


def read_head(parser: Parser, url: bytes, headers: list[tuple[bytes, bytes]]) -> RequestHead:
    """The validated head that *parser* has read. *headers* have lower-case names.

    Raises:
        RequestRefused: a limit is exceeded, or the request is not supported.
    """
    version = parser.get_http_version()
    if version not in ("1.1", "1.0"):
        raise RequestRefused(505, "only HTTP/1.1 is supported")
    if len(headers) > MAX_HEADERS:
        raise RequestRefused(431, f"more than {MAX_HEADERS} headers")
    if len(url) + sum(len(name) + len(value) + 4 for name, value in headers) > MAX_HEAD_BYTES:
        raise head_too_long()
    method = parser.get_method()
    fields = dict(headers)
    coding = fields.get(b"transfer-encoding")
    if coding is not None:
        _check_transfer_encoding(coding, headers, http_1_0=version == "1.0")
    upgrades = parser.should_upgrade()
    if method == b"CONNECT" or (upgrades and coding is not None):
        raise RequestRefused(400, "upgrades and tunnels are not supported")
    _check_host(fields, headers, required=version == "1.1")
    length = fields.get(b"content-length")
    authority, target = _parse_target(url)
    path, _, query = target.partition(b"?")
    return RequestHead(
        method=method,
        path=path,
        query=query,
        headers=headers,
        fields=fields,
        http_1_0=version == "1.0",
        keep_alive=parser.should_keep_alive(),
        content_length=None if length is None else _parse_length(length),
        chunked=coding is not None,
        authority=authority,
        expects_continue=fields.get(b"expect", b"").lower() == b"100-continue",
        upgrades=upgrades,
    )


def head_too_long() -> RequestRefused:
    """The error for a head that exceeds its limit."""
    return RequestRefused(431, f"the request's head is longer than {MAX_HEAD_BYTES} bytes")


def _check_transfer_encoding(coding: bytes, headers: list[tuple[bytes, bytes]], *, http_1_0: bool) -> None:
    """Allow only a single `chunked` in HTTP/1.1; other values are ambiguous. Source: RFC 9112 §6.1."""
    if http_1_0:
        raise RequestRefused(400, "transfer-encoding is not allowed in HTTP/1.0")
    several = sum(name == b"transfer-encoding" for name, _ in headers) > 1
    if several or coding.lower() != b"chunked":
        raise RequestRefused(400, "the only supported transfer-encoding is chunked")


def _parse_length(value: bytes) -> int:
    if not value.isdigit() or len(value) > 18:
        raise RequestRefused(400, "content-length: not a length")
    return int(value)


def _check_host(fields: dict[bytes, bytes], headers: list[tuple[bytes, bytes]], *, required: bool) -> None:
    """Require one valid Host header; HTTP/1.0 requests may omit it. Source: RFC 9112 §3.2."""
    host = fields.get(b"host")
    if host is None:
        if required:
            raise RequestRefused(400, "the header Host is missing")
    elif not _HOST.fullmatch(host):
        raise RequestRefused(400, "the header Host is malformed")
    elif len(fields) != len(headers) and sum(name == b"host" for name, _ in headers) > 1:
        raise RequestRefused(400, "the header Host is repeated")


def _parse_target(url: bytes) -> tuple[bytes | None, bytes]:
    """The authority of an absolute target (RFC 9112 §3.2.2), else None; and path and query."""
    if url[:1] == b"/":
        return None, url
    try:
        parsed = httptools.parse_url(url)
    except httptools.HttpParserInvalidURLError as error:
        raise RequestRefused(400, "the URL cannot be read") from error
    if not url.lower().startswith((b"http://", b"https://")):
        return None, (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
    authority = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
    if not _HOST.fullmatch(authority):
        raise RequestRefused(400, "the URL's host is malformed")
    return authority, (parsed.path or b"/") + (b"?" + parsed.query if parsed.query else b"")
