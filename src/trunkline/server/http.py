"""HTTP/1.1 as clients speak it: a protocol class for uvicorn, over httptools.

uvicorn keeps the sockets, signals and processes; this class takes the place of its own protocol because a gateway that
faces strangers needs what that one leaves out (time limits on heads and bodies, bounds on headers, idle clients, slow
readers) and because one answered request should cost one task and as few writes as the network allows. What
Starlette serves is served as ASGI; the inference routes get the `Exchange` itself.

One `Connection` serves one request after another; a pipelined request waits for the answer before it. `Timekeeper`
walks all connections twice a second: there are no timers of single requests.

Sources: RFC 9110, RFC 9112; reliability §6.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from typing import Any, Protocol, cast

import httptools

from trunkline.model.errors import InvalidRequest, RequestTimeout, TrunklineError
from trunkline.ports import EVENT_STREAM
from trunkline.server.config import ServerSettings
from trunkline.server.exchange import Exchange
from trunkline.server.heads import Head, learn
from trunkline.upstream.turns import Turns

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100
MAX_URL_BYTES = 8 * 1024
"""Source: reliability §6, C3."""

MAX_PIPELINED = 16
LINGER_S = 2.0
"""How long a client that is still sending may go on after its answer."""
HIGH_WATER = 32 * 1024
"""Bytes that wait for a slow reader before its upstream is paused. One read of an upstream's socket may come on top."""

MAX_UNLIKE = 4
"""Heads in a row, of one connection, that were not sent again; then it is no client that does so."""

Handler = Callable[[Exchange], Coroutine[Any, Any, None]]
Direct = Callable[[Exchange], bool]
AsgiApp = Callable[[dict[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]


class Site(Protocol):
    """What is served: the routes, and how an error before any route looks."""

    date: bytes
    """The header `date` as a whole line; `Timekeeper` renews it."""

    settings: ServerSettings
    routes: dict[bytes, Handler]
    """Raw path → who answers POST there, given the exchange itself."""
    at_once: dict[bytes, Direct]
    """Raw path → who answers POST there without a task, given an exchange whose body is whole; False: a route must."""
    asgi: AsgiApp
    """Everything else."""
    turns: Turns
    connections: "set[Connection]"

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        """The JSON body of an error that a route did not see, in the dialect that *path* speaks."""
        ...


class Connection(asyncio.Protocol):
    """One client's connection, as httptools' callbacks and the loop's drive it."""

    __slots__ = (
        "_body_since",
        "_current",
        "_deferred",
        "_expects",
        "_head_bytes",
        "_head_since",
        "_headers",
        "_idle_since",
        "_known",
        "_lingers_since",
        "_out",
        "_parser",
        "_paused",
        "_paused_since",
        "_put_off",
        "_queue",
        "_raw_left",
        "_request",
        "_stopping",
        "_unlike",
        "_url",
        "clock",
        "local",
        "loop",
        "peer",
        "site",
        "transport",
    )

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self.site = site
        self.loop = loop
        self.clock = loop.time
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer: tuple[str, int] | None = None
        self.local: tuple[str, int] | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._request: Exchange | None = None
        """What is being received."""
        self._current: Exchange | None = None
        """What is being answered."""
        self._deferred: Exchange | None = None
        """What is current and nobody answers yet: the rest of what came with its head may be its body."""
        self._put_off = False
        self._queue: deque[Exchange] = deque()
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._head_bytes = 0
        self._head_since = 0.0
        self._body_since = 0.0
        self._idle_since = 0.0
        self._lingers_since = 0.0
        self._paused = False
        self._paused_since = 0.0
        self._raw_left = 0
        self._expects = False
        self._stopping = False
        self._out: list[bytes] = []
        """What is to be sent at the end of the turn."""
        self._known: Head | None = None
        """The last request's head."""
        self._unlike = 0
        """Heads in a row that were not the last one again."""

    # The loop's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self.peer = _address(transport.get_extra_info("peername"))
        self.local = _address(transport.get_extra_info("sockname"))
        self._idle_since = self.clock()
        connections = self.site.connections
        connections.add(self)
        if len(connections) > self.site.settings.max_connections:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        self.site.connections.discard(self)
        for exchange in (self._request, self._current, *self._queue):
            if exchange is not None:
                exchange.lost()
        self._request = self._current = None
        self._queue.clear()

    def eof_received(self) -> bool:
        """The client will send no more. It may still read, but no client that does so is known: it has gone."""
        return False

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._lingers_since:
            return
        if self._raw_left:
            data = self._raw(data)
            if not data:
                return
        request = self._request
        begins = request is None and not self._head_since
        if begins and self._again(data):
            return
        if request is None or not request.method:  # it has one when its head is whole
            if not self._head_since:
                self._head_since = self.clock()
            self._head_bytes += len(data)
        else:
            self._body_since = self.clock()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._upgrade(data, upgrade.args[0])
        except httptools.HttpParserCallbackError as error:
            cause = error.__context__
            self._refuse(cause if isinstance(cause, _Refused) else _Refused(400, "bad request"))
        except httptools.HttpParserError:
            self._refuse(_Refused(400, "not HTTP/1.1"))
        else:
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(_Refused(431, f"the request's head is longer than {MAX_HEAD_BYTES} bytes"))
        deferred = self._deferred
        if deferred is not None and not self._put_off:
            if begins and deferred.body_complete and deferred.keep_alive and self._unlike < MAX_UNLIKE:
                self._unlike += 1
                plain = not deferred.http_1_0
                self._known = learn(data, deferred.path, deferred.query, deferred.fields) if plain else None
            self._put_off = True
            self.site.turns.add(self._take_up)

    def _again(self, data: bytes) -> bool:
        """Take *data* for one whole request with the head of the one before, if it is that."""
        known = self._known
        if known is None or self._current is not None or self._stopping:
            return False
        at = known.body_at(data)
        if not at:
            return False
        self._unlike = 0
        exchange = self._current = self._deferred = Exchange(self)
        exchange.head, exchange.told, exchange.method = known, known.told, b"POST"
        exchange.path, exchange.query, exchange.fields = known.path, known.query, known.fields
        exchange.content_length = len(data) - at
        exchange.feed(data[at:])
        exchange.body_complete = True
        exchange.last_write = self.clock()
        self._put_off = True
        self.site.turns.add(self._take_up)
        return True

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._paused = True
        self._paused_since = self.clock()
        current = self._current
        if current is not None and current.listener is not None:
            current.listener.client_slow()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused = False
        current = self._current
        if current is not None and current.listener is not None:
            current.listener.client_ready()

    # httptools' callbacks.

    def on_message_begin(self) -> None:
        """A request's first byte."""
        self._url = b""

    def on_url(self, url: bytes) -> None:
        """The request's target, or a piece of it."""
        self._url += url
        if len(self._url) > MAX_URL_BYTES:
            raise _Refused(414, f"the URL is longer than {MAX_URL_BYTES} bytes")
        if self._request is None or self._request.body_complete:
            self._request = Exchange(self)
            self._headers = self._request.headers
            if len(self._queue) >= MAX_PIPELINED:
                raise _Refused(400, f"more than {MAX_PIPELINED} requests at once on one connection")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header."""
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        """The head is whole: the request can begin to be answered."""
        request = self._request
        assert request is not None
        parser = self._parser
        request.method = parser.get_method()
        version = parser.get_http_version()
        if version != "1.1":
            if version != "1.0":
                raise _Refused(505, "only HTTP/1.1 is spoken here")
            request.http_1_0 = True
        request.keep_alive = parser.should_keep_alive() and not self._stopping
        headers = request.headers
        if len(headers) > MAX_HEADERS:
            raise _Refused(431, f"more than {MAX_HEADERS} headers")
        if self._head_bytes > MAX_HEAD_BYTES:  # what came with the head's end may be body
            size = len(self._url) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size > MAX_HEAD_BYTES:
                raise _Refused(431, f"the request's head is longer than {MAX_HEAD_BYTES} bytes")
        request.path, _, request.query = self._target().partition(b"?")
        request.fields = fields = dict(headers)
        length = fields.get(b"content-length")
        if length is not None:
            request.content_length = size = int(length) if length.isdigit() and len(length) < 19 else -1
            request.too_large = size > self.site.settings.max_body_bytes
        self._expects = fields.get(b"expect", b"").lower() == b"100-continue"
        self._head_since = 0.0
        self._head_bytes = 0
        self._body_since = self.clock()
        if self._current is not None:
            self._queue.append(request)
        elif request.method == b"POST" and request.path in self.site.at_once:
            self._current = self._deferred = request
            request.last_write = self.clock()
        else:
            self._answer(request)

    def _target(self) -> bytes:
        """Path and query. A target with scheme and host (RFC 9112 §3.2.2) is taken without them."""
        if self._url[:1] == b"/":
            return self._url
        try:
            url = httptools.parse_url(self._url)
        except httptools.HttpParserInvalidURLError as error:
            raise _Refused(400, "the URL cannot be read") from error
        return (url.path or b"/") + (b"?" + url.query if url.query else b"")

    def on_body(self, body: bytes) -> None:
        """A piece of the body."""
        if self._request is not None:
            self._request.feed(body)

    def on_message_complete(self) -> None:
        """The request is whole."""
        if self._request is not None:
            self._request.complete()
            self._request = None

    # Answers.

    def _take_up(self) -> None:
        """Answer what was put off while its first bytes were read."""
        exchange, self._deferred, self._put_off = self._deferred, None, False
        if exchange is None or exchange.finished or exchange.gone:
            return
        if not exchange.body_complete or exchange.too_large or not self.site.at_once[exchange.path](exchange):
            self._answer(exchange)

    def _answer(self, exchange: Exchange) -> None:
        self._current = exchange
        exchange.last_write = self.clock()
        handler = self.site.routes.get(exchange.path) if exchange.method == b"POST" else None
        coroutine = self._asgi(exchange) if handler is None else handler(exchange)
        exchange.task = self.loop.create_task(coroutine)

    async def _asgi(self, exchange: Exchange) -> None:
        try:
            await self.site.asgi(exchange.scope(), exchange.receive, exchange.send)
        finally:
            if not exchange.finished:
                exchange.abort()

    def answered(self, exchange: Exchange) -> None:
        """The answer's last byte has been written: close, or take the next request."""
        if not exchange.body_complete:
            exchange.keep_alive = False
        self._current = None
        exchange.task = None  # the two hold each other
        self._idle_since = self.clock()
        if not exchange.keep_alive or self._stopping:
            self.flush()
            if exchange.body_complete:
                self.transport.close()
            else:
                # Closed with bytes unread, the kernel would reset the connection, and the answer be lost on its way.
                self._lingers_since = self.clock()
                self.transport.write_eof()
        elif self._queue:
            self._answer(self._queue.popleft())

    def send(self, data: bytes) -> None:
        """Send *data* at the end of this turn, with what else there is then."""
        if not self._out:
            self.site.turns.send(self.flush)
        self._out.append(data)

    def flush(self) -> None:
        """Send what waits to be sent."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            if not self.transport.is_closing():
                self.transport.write(data)

    def expect_continue(self, exchange: Exchange) -> None:
        """Somebody waits for the body: tell the client to send it, if it asked."""
        if self._expects and exchange is self._current:
            self._expects = False
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def shutdown(self) -> None:
        """Take no more requests; close when the answers that are under way have ended."""
        self._stopping = True
        if self._current is None and not self._queue:
            self.flush()
            self.transport.close()
        elif self._current is not None and not self._current.started:
            self._current.keep_alive = False

    def cancel(self) -> None:
        """Break off the answer that is under way: it ends in its dialect's error."""
        current = self._current
        if current is not None and current.task is not None:
            current.keep_alive = False
            current.task.cancel()

    def abort(self) -> None:
        """Close, whatever is under way."""
        self.transport.abort()

    def tick(self, now: float) -> None:
        """Look whether anything takes too long."""
        settings = self.site.settings
        current = self._current
        if self._lingers_since:
            if now - self._lingers_since > LINGER_S:
                self.transport.abort()
            return
        if current is not None:
            self._tick_answer(current, now, settings)
        elif self._head_since:
            if now - self._head_since > settings.header_timeout_s:
                self._refuse(_Refused(408, f"the request's head took longer than {settings.header_timeout_s:g} s"))
        elif now - self._idle_since > settings.idle_timeout_s:
            self.transport.close()

    def _tick_answer(self, current: Exchange, now: float, settings: ServerSettings) -> None:
        if self._paused:
            if now - self._paused_since > settings.write_stall_s:
                self.transport.abort()
            return
        if not current.body_complete and not current.too_large and now - self._body_since > settings.body_timeout_s:
            current.keep_alive = False
            current.fail(RequestTimeout(f"the body made no progress for {settings.body_timeout_s:g} s"))
            return
        if current.listener is not None:
            current.listener.tick(now)
        headers = current.stream_headers
        if headers is not None and not current.finished and now - current.last_write >= settings.keepalive_s:
            if not current.started:
                current.start(200, EVENT_STREAM, headers)
            current.write(current.comment)

    # What is not a request.

    def _refuse(self, refused: "_Refused") -> None:
        """Answer what cannot be a request, and close. Where an answer has begun, or another is due, only close."""
        current = self._current
        if current is not None:
            if current is not self._request or current.started:
                self.transport.abort()
                return
            if current.task is not None:
                current.task.cancel()
        exchange = self._request or Exchange(self)
        exchange.keep_alive = False
        error = InvalidRequest(refused.message)
        error.http_status = refused.status
        exchange.respond(refused.status, self.site.error(exchange.path, error, None))

    def _upgrade(self, data: bytes, offset: int) -> None:
        """An `Upgrade` is not taken up, and its request is answered as it is (RFC 9110 §7.8); CONNECT is refused.

        The parser stops behind the head then and calls the message complete, so the body is read by its length here:
        Java's client asks for h2c with every POST.
        """
        request = self._request or (self._queue[-1] if self._queue else self._current)
        length = -1
        if request is not None:
            self._request = request
            request.body_complete = False
            if not any(name == b"transfer-encoding" for name, _ in request.headers):
                length = request.content_length or 0
        if request is None or request.method == b"CONNECT" or length < 0:
            self._refuse(_Refused(400, "upgrades and tunnels are not served here"))
            return
        self._parser = httptools.HttpRequestParser(self)
        self._raw_left = length
        rest = self._raw(data[offset:]) if length else data[offset:]
        if not length:
            self.on_message_complete()
        if rest:
            self.data_received(rest)

    def _raw(self, data: bytes) -> bytes:
        """Body bytes by count; what is left behind them."""
        mine, rest = data[: self._raw_left], data[self._raw_left :]
        self._raw_left -= len(mine)
        self.on_body(mine)
        self._body_since = self.clock()
        if not self._raw_left:
            self.on_message_complete()
        return rest


class _Refused(Exception):
    """A request that is refused before it is one."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) and len(found) >= 2 else None


class Timekeeper:
    """Ticks every connection of a site twice a second, as long as it runs, and keeps its `date`."""

    INTERVAL_S = 0.5

    def __init__(self, site: Site, loop: asyncio.AbstractEventLoop) -> None:
        self._site = site
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._site.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
        self._handle = self._loop.call_later(self.INTERVAL_S, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        for connection in tuple(self._site.connections):
            connection.tick(now)
        self.start()
