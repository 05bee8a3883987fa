"""The parser of one connection: httptools' callbacks, collected for `Connection`. Source: RFC 9112."""

from collections.abc import Callable
from typing import Final, Never

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from trunkline.model.errors import UpstreamGarbled, stripped

MAX_NAMES: Final = 1000
"""Spellings of header names whose lower-case form is remembered. Further ones are converted each time."""

_SPECIAL: Final = frozenset({"content-encoding", "transfer-encoding", "set-cookie"})
"""Headers of which more than the last value counts, or none."""


class ResponseParser:
    """Parses the responses of one connection, one after another.

    `feed` parses bytes. After it, the other public attributes are the result. `Connection` reads and resets them
    directly, without a call for each chunk.
    """

    __slots__ = (
        "_fields",
        "_informational",
        "_max_headers",
        "_names",
        "_parser",
        "chunks",
        "complete",
        "error",
        "feed",
        "head_fields",
        "headers_left",
        "keep_alive",
        "on_body",
        "status",
        "until_eof",
    )

    def __init__(self, names: dict[bytes, str], *, max_headers: int) -> None:
        """A parser for a new connection.

        Args:
            names: lower-case form of header names by their spelling; shared by connections, added to here.
            max_headers: most headers and trailers of one response.
        """
        self._names = names
        self._max_headers = max_headers
        self._fields: dict[str, bytes] = {}
        self._informational = False
        self.headers_left = max_headers
        self.chunks: list[bytes] = []
        """Slices of the body that the last `feed` found, the framing removed."""
        self.on_body = self.chunks.append
        """The callback of `HttpResponseParser`: no Python frame for a slice of the body."""
        self.head_fields: dict[str, bytes] | None = None
        """The header fields, when the last `feed` completed a head; None otherwise."""
        self.status = 0
        """The status of that head."""
        self.complete = False
        """The response has ended."""
        self.keep_alive = True
        """The connection can serve another call."""
        self.until_eof = False
        """The body ends where the connection ends."""
        self.error: UpstreamGarbled | None = None
        parser = HttpResponseParser(self)
        self._parser: HttpResponseParser | None = parser
        self.feed: Callable[[bytes], object] = parser.feed_data

    def close(self) -> None:
        """Remove the references between this object and httptools' parser. Not to be called from inside `feed`."""
        self._parser = None
        self.feed = _reject

    def failure(self, error: HttpParserError | HttpParserUpgrade) -> UpstreamGarbled | None:
        """Return the error of the call for *error*, which `feed` raised; None where the response was complete."""
        stripped(error)
        own, self.error = self.error, None
        if self.complete:
            self.keep_alive = False  # the bytes after the response do not concern the call
            return None
        return own or UpstreamGarbled("the answer is not HTTP")

    def begin_next(self) -> None:
        """Prepare for the next response of the connection."""
        self.complete = False
        self.headers_left = self._max_headers
        if self._fields:
            self._fields = {}  # trailers

    # Callbacks of `HttpResponseParser`.

    def on_message_begin(self) -> None:
        """A response begins. One that nobody asked for stops the parser, so that no byte of it reaches the call."""
        if self.complete:
            self._refuse("the upstream sent a response that nobody asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or a trailer is complete."""
        self.headers_left -= 1
        if self.headers_left < 0:
            self._refuse("the answer has too many headers")
        lower = self._names.get(name) or self._lower(name)
        fields = self._fields
        if lower in _SPECIAL:
            if lower == "set-cookie":
                return
            if lower in fields:
                value = fields[lower] + b", " + value  # a list in several lines
        fields[lower] = value

    def _lower(self, name: bytes) -> str:
        lower = name.lower().decode("latin-1")
        if len(self._names) < MAX_NAMES:
            self._names[name] = lower
        return lower

    def on_headers_complete(self) -> None:
        """A head is complete."""
        parser, fields = self._parser, self._fields
        if parser is None or self.complete:
            return
        self._fields = {}  # for trailers, which nobody reads
        status = parser.get_status_code()
        if status < 200:
            if status == 101:
                self._refuse("the upstream switched protocols unasked")
            self._informational = True
            return
        coding = fields.get("transfer-encoding")
        if coding is not None and coding.lower() not in (b"chunked", b"identity"):
            self._refuse("the answer has a transfer-encoding that is not supported")
        if not parser.should_keep_alive():
            self.keep_alive = False
            self.until_eof = "content-length" not in fields and coding != b"chunked"
        self.status = status
        self.head_fields = fields

    def on_message_complete(self) -> None:
        """A response has ended."""
        if self._informational:
            self._informational = False
            return
        self.complete = True

    def _refuse(self, message: str) -> Never:
        """Stop the parser. httptools raises an error of its own, so ours is stored for `failure`.

        Raises:
            UpstreamGarbled: always.
        """
        self.error = UpstreamGarbled(message)
        raise self.error


def _reject(_: bytes) -> None:
    raise HttpParserError("the parser is closed")
