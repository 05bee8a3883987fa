"""Bytes of one client's connection → its requests. A state machine over httptools.

    BETWEEN ── a message begins ──▶ HEAD ── the head is whole ──▶ BODY ── the message is complete ──▶ BETWEEN
       │                              │                            │
       │                              └── it asks for an upgrade ─▶ COUNTED ── the length has come ──▶ BETWEEN
       └── the cached head again: one whole request in one read, and BETWEEN still

Any state goes to CLOSED, where bytes are dropped: after a request that is refused, and after one that the client named
the last. The head cache is asked in BETWEEN alone: there the parser has consumed whole messages, and nothing behind
them.

Bounds: a head by `request_head`; what of a body is framing (chunk sizes, chunk extensions, trailers) by
`MAX_BARREN_BYTES` and `MAX_FRAMING_RATIO`. Trailers are dropped: no route looks at one, and a field that a head was
checked for must not come later.
"""

from typing import Protocol, cast

import httptools

from trunkline.model.errors import stripped
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.head_cache import CachedHead, parse_cacheable_head
from trunkline.server.http.request_head import MAX_HEAD_BYTES, MAX_URL_BYTES, RequestRefused, head_too_long, read_head

MAX_FRAMING_RUN_BYTES = 32 * 1024
"""Of a chunked body that carry nothing of it, at a stretch: a chunk extension, or all trailers."""
MAX_FRAMING_RATIO = 16
"""Bytes of framing for each byte of a chunked body, beyond `MAX_BARREN_BYTES`. Chunks of one byte take five."""
MAX_CACHE_MISSES = 4
"""Requests in a row that did not repeat the head before; then the connection's client is none that does."""

BETWEEN_REQUESTS, HEAD, BODY, UPGRADE_BODY, CLOSED = range(5)


class Receiver(Protocol):
    """Who is told of requests."""

    def exchange(self) -> Exchange:
        """A new exchange of this connection."""
        ...

    @property
    def idle(self) -> bool:
        """Whether a request that comes now could be answered at once."""
        ...

    def on_head(self, exchange: Exchange) -> None:
        """A request's head is whole; its body is fed to the exchange.

        Raises:
            Refused: there are too many.
        """
        ...

    def on_cached_request(self, exchange: Exchange) -> None:
        """A whole request came, body and all."""
        ...

    def on_refused(self, exchange: Exchange | None, path: bytes, refused: RequestRefused) -> None:
        """No more requests will come. *exchange* is the one whose body is wrong; None where a head was, for *path*."""
        ...


class RequestReader:
    """One connection's requests. Feed it what was read."""

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
        """When this head began, or this body last came on; monotonic seconds."""
        self._exchange: Exchange | None = None
        """Whose body is being received."""
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        """Of this head, in reads that began inside it."""
        self._framing_run = self._framing_bytes = 0
        """Of this body: bytes since the last that was content, and all that were none."""
        self._messages_begun = self._content_bytes = 0
        """In this read: messages that began, and bytes of content."""
        self._remaining = 0
        """Of a body that is read by count."""
        self._cached: CachedHead | None = None
        self._cache_misses = 0

    def close(self) -> None:
        """Take nothing more, and let go of the connection: parser, reader and connection hold one another."""
        self.state = CLOSED
        self._exchange = None
        self._parser = cast("httptools.HttpRequestParser", None)
        self._receiver = cast("Receiver", None)

    def feed(self, data: bytes, now: float) -> None:
        """Take *data*, read at *now* (monotonic seconds)."""
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
        """Have *data* parsed; what is left of it for another parser."""
        began = self.state
        self._messages_begun = self._content_bytes = 0
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            # The parser stops behind such a head and has no way on: Java's client asks for h2c with every POST.
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
        """*data* was parsed whole, from the state *began*: keep the bounds, and learn its head."""
        state = self.state
        if state != HEAD or self._messages_begun:
            self.since = now
        if state == HEAD:
            if self._messages_begun == (
                began == BETWEEN_REQUESTS
            ):  # else the head began somewhere inside what was read
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
        """Bound what is no content among *size* bytes that were read inside a body."""
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
        """Take nothing more: what came last is refused."""
        exchange, receiver = self._exchange, self._receiver
        path = self._url.partition(b"?")[0] if exchange is None else exchange.head.path
        self.close()
        receiver.on_refused(exchange, path, refused)

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        if self.state == BETWEEN_REQUESTS:
            self._messages_begun += 1
            self.state = HEAD
            self._url = b""
            self._headers = []
            self._head_bytes = 0

    def on_url(self, url: bytes) -> None:
        """The request's target, or a piece of it."""
        self._url += url
        if len(self._url) > MAX_URL_BYTES:
            raise RequestRefused(414, f"the URL is longer than {MAX_URL_BYTES} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or a trailer."""
        if self.state == HEAD:
            self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: the request can begin to be answered."""
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
        if self._exchange is not None:
            self._exchange.feed(body)
            self._content_bytes += len(body)

    def on_message_complete(self) -> None:
        """The request is whole. One that asks for an upgrade is not: only its head is."""
        if self.state == BODY:
            self._complete()

    def _complete(self) -> None:
        exchange, self._exchange = self._exchange, None
        assert exchange is not None
        self.state = BETWEEN_REQUESTS if exchange.head.keep_alive else CLOSED
        exchange.end_body()

    def _read_counted_body(self, data: bytes, now: float) -> bytes:
        """Body bytes by count; what is left behind them."""
        self.since = now
        mine, rest = data[: self._remaining], data[self._remaining :]
        self._remaining -= len(mine)
        if mine and self._exchange is not None:
            self._exchange.feed(mine)
        if not self._remaining:
            self._complete()
        return rest
