"""Cache of parsed request heads: clients repeat the same headers on every request of a connection.

Between two requests of such a client only the digits of `content-length` differ. `parse_cacheable_head` parses the
bytes of a head with a separate parser, so that the cached values (including the client's key) depend only on those
bytes, not on the connection's parser or on earlier requests. `CachedHead.body_offset` compares bytes: the same head
except for those digits, followed by a body of exactly that length. Everything else is parsed.

The reader decides when the cache may be used: between two messages, never inside one (`request_reader`).
"""

import re

import httptools
from msgspec import Struct

from trunkline.server.http.request_head import MAX_HEAD_BYTES, RequestHead, RequestRefused, read_head

_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*([0-9]{1,18})\r\n", re.IGNORECASE)
_UNCACHEABLE = (b"upgrade", b"expect")
"""Headers that change how the body is read."""


class CachedHead(Struct, frozen=True, gc=False):
    """A head: the bytes around the digits of its content-length, and the parsed head.

    The content-length is removed from `head`: `content_length` is None, and neither `headers` nor `fields` contains it.
    """

    before: bytes
    after: bytes
    head: RequestHead

    def body_offset(self, data: bytes) -> int:
        """The offset of the body, if *data* is exactly one request with this head and a body; else 0."""
        before, after = self.before, self.after
        if not data.startswith(before):
            return 0
        start = len(before)
        end = data.find(b"\r", start, start + 19)
        if end < 0 or not data.startswith(after, end):
            return 0
        digits, at = data[start:end], end + len(after)
        return at if len(data) > at and digits.isdigit() and int(digits) == len(data) - at else 0


def parse_cacheable_head(data: bytes) -> CachedHead | None:
    """The head of *data*, if that is exactly one request with a body and a content-length; else None."""
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES) + 4
    if end < 4:
        return None
    raw = data[:end]
    length = _LENGTH.search(raw)
    if length is None or not 0 < int(length[1]) == len(data) - end or raw.count(b"\n") != raw.count(b"\r\n"):
        return None
    head = _HeadParser().parse(raw)
    if head is None or head.http_1_0 or not head.keep_alive:
        return None
    if head.content_length is None or head.chunked or any(name in head.fields for name in _UNCACHEABLE):
        return None
    others = [(name, value) for name, value in head.headers if name != b"content-length"]
    if len(others) != len(head.headers) - 1:
        return None
    plain = RequestHead(
        method=head.method, path=head.path, query=head.query, headers=others, fields=dict(others)
    )  # fmt: skip
    return CachedHead(raw[: length.start(1)], raw[length.end(1) :], plain)


class _HeadParser:
    """Parses one head."""

    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head: RequestHead | None = None

    def parse(self, raw: bytes) -> RequestHead | None:
        """The head in *raw*; None where it is not a valid head."""
        try:
            self._parser.feed_data(raw)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return None
        return self._head

    def on_url(self, url: bytes) -> None:
        """Called by httptools."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Called by httptools."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """Called by httptools."""
        try:
            self._head = read_head(self._parser, self._url, self._headers)
        except RequestRefused:
            self._head = None
