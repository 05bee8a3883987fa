"""Parses the bytes of a client connection into requests: a state machine over httptools.

    BETWEEN_REQUESTS ── a message begins ──▶ HEAD ── the head is complete ──▶ BODY ── the body is complete ──▶ (start)
       │                                       │
       │                                       └── it asks for an upgrade ──▶ UPGRADE_BODY ── it was read ──▶ (start)
       └── the cached head again: one complete request in one read; the state remains BETWEEN_REQUESTS

Any state changes to CLOSED, where bytes are dropped, after a refused request and after a request that the client marked
as its last. The head cache is used only in BETWEEN_REQUESTS: there the parser has consumed complete messages and
nothing after them.

Limits: `request_head` limits the head; `MAX_FRAMING_RUN_BYTES` and `MAX_FRAMING_RATIO` limit a body's framing (chunk
sizes, chunk extensions, trailers). Trailers are dropped: no route uses them, and headers that are validated in the head
must not be replaced later.
"""

from typing import Protocol, cast

import httptools

from trunkline.model.errors import stripped
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.head_cache import CachedHead, parse_cacheable_head
from trunkline.server.http.request_head import MAX_HEAD_BYTES, MAX_URL_BYTES, RequestRefused, head_too_long, read_head

MAX_FRAMING_RUN_BYTES = 32 * 1024
"""The maximum number of consecutive framing bytes in a chunked body: a chunk extension, or all trailers."""
MAX_FRAMING_RATIO = 16
"""The maximum number of framing bytes per body byte beyond that. Chunks of one byte need five."""
MAX_CACHE_MISSES = 4
"""The number of consecutive requests with a new head after which heads are no longer cached."""

BETWEEN_REQUESTS, HEAD, BODY, UPGRADE_BODY, CLOSED = range(5)


class Receiver(Protocol):
    """Receives the parsed requests."""

    def exchange(self) -> Exchange:
        """A new exchange of this connection."""
        ...

    @property
    def idle(self) -> bool:
        """Whether a request that arrives now can be answered at once."""
        ...

    def on_head(self, exchange: Exchange) -> None:
        """A request's head is complete; its body is fed to the exchange.

        Raises:
            RequestRefused: too many requests are waiting.
        """
        ...

    def on_cached_request(self, exchange: Exchange) -> None:
        """A complete request with a cached head was received."""
        ...

    def on_refused(self, exchange: Exchange | None, path: bytes, refused: RequestRefused) -> None:
        """No more requests follow.

        *exchange* is the one with an invalid body; None where the head was invalid, for *path*.
        """
        ...


class RequestReader:
    """Parses the requests of one connection."""

    __slots__ = (
        "_cache_misses",
        "_cached",
        "_content_bytes",
        "_exchange",
        "_framing_bytes",
        "_framing_run",
        "_head_bytes",
        "_headers",
        "_messages_begun",
        "_parser",
        "_receiver",
        "_remaining",
        "_url",
        "since",
        "state",
    )  # fmt: skip

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver
        self._parser = httptools.HttpRequestParser(self)
        self.state = BETWEEN_REQUESTS
        self.since = 0.0
        """When this head began, or this body last progressed; monotonic seconds."""
        self._exchange: Exchange | None = None
        """The exchange whose body is being received."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        """Bytes of this head in reads that began inside it."""
        self._framing_run = self._framing_bytes = 0
        """Of this body: framing bytes since the last content byte, and all framing bytes."""
        self._messages_begun = self._content_bytes = 0
        """In this read: messages that began, and content bytes."""
        self._remaining = 0
        """Remaining bytes of a body that is read by its length."""
        self._cached: CachedHead | None = None
        self._cache_misses = 0

    def close(self) -> None:
        """Accept no more data and break the reference cycle of parser, reader and connection."""
        self.state = CLOSED
        self._exchange = None
        self._parser = cast("httptools.HttpRequestParser", None)
        self._receiver = cast("Receiver", None)

    def feed(self, data: bytes, now: float) -> None:
        """Parse *data*, received at *now* (monotonic seconds)."""
        cached = self._cached
        if cached is not None and self.state == BETWEEN_REQUESTS and self._receiver.idle:
            at = cached.body_offset(data)
            if at:
                self._cache_misses = 0
                exchange = self._receiver.exchange()
                exchange.begin_cached(cached.head, data[at:])
                self._receiver.on_cached_request(exchange)
                return
        while data and self.state != CLOSED:
            data = self._read_counted_body(data, now) if self.state == UPGRADE_BODY else self._parse(data, now)

    def _parse(self, data: bytes, now: float) -> bytes:
        """Parse *data*; returns the rest of it for another parser."""
        began = self.state
        self._messages_begun = self._content_bytes = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The parser stops after such a head and cannot continue. Java's client asks for h2c with every POST.
            self._parser = httptools.HttpRequestParser(self)
            return self._read_counted_body(data[upgrade.args[0] :], now) if self.state == UPGRADE_BODY else b""
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            stripped(error)
            self.refuse(cause if isinstance(cause, RequestRefused) else RequestRefused(400, "bad request"))
            del cause
        except httptools.HttpParserError:
            if self.state != CLOSED:
                self.refuse(RequestRefused(400, "not HTTP/1.1"))
        else:
            self._check_bounds(data, began, now)
        return b""

    def _check_bounds(self, data: bytes, began: int, now: float) -> None:
        """Check the limits after *data* was parsed from the state *began*, and cache its head."""
        state = self.state
        if state != HEAD or self._messages_begun:
            self.since = now
        if state == HEAD:
            if self._messages_begun == (began == BETWEEN_REQUESTS):  # otherwise the head began inside the data
                self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self.refuse(head_too_long())
        elif state == BODY:
            if began == BODY and not self._messages_begun:
                self._check_framing(len(data))
        elif state == BETWEEN_REQUESTS and began == BETWEEN_REQUESTS and self._cache_misses < MAX_CACHE_MISSES:
            self._cache_misses += 1
            self._cached = parse_cacheable_head(data)

    def _check_framing(self, size: int) -> None:
        """Limit the framing bytes among *size* bytes received inside a body."""
        exchange, content = self._exchange, self._content_bytes
        if exchange is None or not exchange.head.chunked:
            return
        self._framing_run = 0 if content else self._framing_run + size
        self._framing_bytes += size - content
        if (
            self._framing_run > MAX_FRAMING_RUN_BYTES
            or self._framing_bytes > MAX_FRAMING_RUN_BYTES + MAX_FRAMING_RATIO * exchange.body_size
        ):
            self.refuse(RequestRefused(400, "the body has too much framing: chunk extensions or trailers"))

    def refuse(self, refused: RequestRefused) -> None:
        """Refuse the current request and accept no more data."""
        exchange, receiver = self._exchange, self._receiver
        path = self._url.partition(b"?")[0] if exchange is None else exchange.head.path
        self.close()
        receiver.on_refused(exchange, path, refused)

    # Callbacks of httptools.

    def on_message_begin(self) -> None:
        """The first byte of a request."""
        if self.state == BETWEEN_REQUESTS:
            self._messages_begun += 1
            self.state = HEAD
            self._url = b""
            self._headers = []
            self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """The request target, or a piece of it."""
        self._url += url
        if len(self._url) > MAX_URL_BYTES:
            raise RequestRefused(414, f"the URL is longer than {MAX_URL_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header or a trailer."""
        if self.state == HEAD:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is complete: the request can be answered."""
        if self.state != HEAD:
            return
        head = read_head(self._parser, self._url, self._headers)
        exchange = self._receiver.exchange()
        exchange.begin(head)
        self._framing_run = self._framing_bytes = 0
        self._receiver.on_head(exchange)
        self._exchange = exchange
        if head.upgrades:
            self._remaining = head.content_length or 0
            self.state = UPGRADE_BODY
        else:
            self.state = BODY

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        exchange = self._exchange
        if exchange is not None:
            exchange.feed(body)
            self._content_bytes += len(body)
            if exchange.refused is not None:
                raise exchange.refused

    def on_message_complete(self) -> None:
        """The request is complete, unless it asks for an upgrade: then only its head is."""
        if self.state == BODY:
            self._complete()

    def _complete(self) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self.state = BETWEEN_REQUESTS if exchange.head.keep_alive else CLOSED
        exchange.end_body()

    def _read_counted_body(self, data: bytes, now: float) -> bytes:
        """Read body bytes by length; returns the bytes after them."""
        self.since = now
        mine, rest = data[: self._remaining], data[self._remaining :]
        self._remaining -= len(mine)
        exchange = self._exchange
        if mine and exchange is not None:
            exchange.feed(mine)
            if exchange.refused is not None:
                self.refuse(exchange.refused)
                return b""
        if not self._remaining:
            self._complete()
        return rest
