"""HTTP/1.1 as clients speak it: a protocol class for uvicorn, over httptools.

uvicorn keeps the sockets, signals and processes; this class takes the place of its own protocol because a gateway that
faces strangers needs what that one leaves out (time limits on heads and bodies, bounds on headers, idle clients, slow
readers) and because one answered request should cost one task and as few writes as the network allows. What
Starlette serves is served as ASGI; the inference routes get the `Exchange` itself.

`request_reader` makes requests of bytes. One `Connection` answers them one after another; a pipelined request waits for
the answer before it, and while one waits nothing more is read. `Timekeeper` walks all connections twice a second: there
are no timers of single requests.

Sources: RFC 9110, RFC 9112.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from typing import Any, Protocol, cast

from trunkline.model.errors import InvalidRequest, RequestTimeout, TrunklineError
from trunkline.ports import EVENT_STREAM
from trunkline.server.config import ServerSettings
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.request_head import RequestHead, RequestRefused
from trunkline.server.http.request_reader import BETWEEN_REQUESTS, CLOSED, HEAD, RequestReader
from trunkline.transport.write_batching import WriteBatcher

MAX_PIPELINED = 16
LINGER_S = 2.0
"""How long a client that is still sending may go on after its answer."""
HIGH_WATER = 32 * 1024
"""Bytes that wait for a slow reader before its upstream is paused. One read of an upstream's socket may come on top."""

Handler = Callable[[Exchange], Coroutine[Any, Any, None]]
DirectHandler = Callable[[Exchange], bool]
AsgiApp = Callable[[dict[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]


class Server(Protocol):
    """What is served: the routes, and how an error before any route looks."""

    date: bytes
    """The header `date` as a whole line; `Timekeeper` renews it."""

    settings: ServerSettings
    routes: dict[bytes, Handler]
    """Raw path → who answers POST there, given the exchange itself."""
    direct_routes: dict[bytes, DirectHandler]
    """Raw path → who answers POST there without a task, given an exchange whose body is whole; False: a route must."""
    asgi: AsgiApp
    """Everything else."""
    batcher: WriteBatcher
    connections: "set[Connection]"

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        """The JSON body of an error that a route did not see, in the dialect that *path* speaks."""
        ...


class Connection(asyncio.Protocol):
    """One client's connection, as the loop's callbacks and the reader's drive it."""

    __slots__ = (
        "_current",
        "_deferral_scheduled",
        "_deferred",
        "_idle_since",
        "_lingering_since",
        "_out",
        "_paused_since",
        "_queue",
        "_reader",
        "_reading",
        "_stopping",
        "clock",
        "local",
        "loop",
        "peer",
        "server",
        "transport",
    )

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self.server = server
        self.loop = loop
        self.clock = loop.time
        self.transport: asyncio.Transport = cast("asyncio.Transport", None)
        self.peer: tuple[str, int] | None = None
        self.local: tuple[str, int] | None = None
        self._reader = RequestReader(self)
        self._current: Exchange | None = None
        """What is being answered."""
        self._deferred: Exchange | None = None
        """What is current and nobody answers yet: the rest of what came with its head may be its body."""
        self._deferral_scheduled = False
        self._queue: deque[Exchange] = deque()
        self._reading = True
        self._idle_since = 0.0
        self._lingering_since = 0.0
        self._paused_since = 0.0
        """Since when the client has not read what waits for it; 0 where it reads."""
        self._stopping = False
        self._out: list[bytes] = []
        """What is to be sent at the end of the turn."""

    # The loop's callbacks.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has come."""
        self.transport = cast("asyncio.Transport", transport)
        self.transport.set_write_buffer_limits(HIGH_WATER)
        self.peer = _address(transport.get_extra_info("peername"))
        self.local = _address(transport.get_extra_info("sockname"))
        self._idle_since = self.clock()
        connections = self.server.connections
        connections.add(self)
        if len(connections) > self.server.settings.max_connections:
            self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone, or we have closed."""
        self.server.connections.discard(self)
        self._reader.close()
        for exchange in (self._current, *self._queue):
            if exchange is not None:
                exchange.client_disconnected()
        self._current = self._deferred = None
        self._queue.clear()

    def eof_received(self) -> bool:
        """The client will send no more. It may still read, but no client that does so is known: it has gone."""
        return False

    def data_received(self, data: bytes) -> None:
        """Bytes came."""
        if self._lingering_since:
            return
        self._reader.feed(data, self.clock())
        if self._deferred is not None and not self._deferral_scheduled:
            self._deferral_scheduled = True
            self.server.batcher.add(self._answer_deferred)
        if self._queue and self._reading:
            self._reading = False
            self.transport.pause_reading()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._paused_since = self.clock()
        current = self._current
        if current is not None and current.listener is not None:
            current.listener.client_slow()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._paused_since = 0.0
        current = self._current
        if current is None:
            self._answer_next()
        elif current.listener is not None:
            current.listener.client_ready()

    # The reader's callbacks.

    def exchange(self) -> Exchange:
        """As `Receiver.exchange`."""
        return Exchange(self)

    @property
    def idle(self) -> bool:
        """As `Receiver.idle`: nothing is being answered or waits to be read by the client."""
        return self._current is None and not self._paused_since and not self._stopping

    def on_head(self, exchange: Exchange) -> None:
        """As `Receiver.on_head`."""
        if self._stopping:
            exchange.keep_alive = False
        if self._current is not None or self._paused_since:
            if len(self._queue) >= MAX_PIPELINED:
                raise RequestRefused(400, f"more than {MAX_PIPELINED} requests at once on one connection")
            self._queue.append(exchange)
        else:
            self._begin(exchange)

    def on_cached_request(self, exchange: Exchange) -> None:
        """As `Receiver.on_repeated`."""
        self._begin(exchange)

    def on_refused(self, exchange: Exchange | None, path: bytes, refused: RequestRefused) -> None:
        """As `Receiver.on_refused`: the requests before it are answered, then this is, and the connection closes."""
        if exchange is None:
            exchange = Exchange(self)
            exchange.head = RequestHead(method=b"", path=path)
            self._queue.append(exchange)
        exchange.refused = refused
        current = self._current
        if current is None:
            self._answer_next()
        elif exchange is current:
            if exchange.started:
                self.transport.abort()
            else:
                if exchange.task is not None:
                    exchange.task.cancel()
                self._deferred = None
                self._refuse(exchange, refused)

    # Answers.

    def _begin(self, exchange: Exchange) -> None:
        """Answer *exchange*, now or at the end of the turn."""
        self._current = exchange
        exchange.last_write = self.clock()
        head = exchange.head
        if exchange.refused is not None:
            self._refuse(exchange, exchange.refused)
        elif head.method == b"POST" and head.path in self.server.direct_routes:
            self._deferred = exchange
        else:
            self._answer(exchange)

    def _answer_next(self) -> None:
        """Answer the next request, if one has come and the client has read the answer before."""
        if self._paused_since or not self._queue:
            return
        exchange = self._queue.popleft()
        if not self._queue and not self._reading:
            self._reading = True
            self.transport.resume_reading()
        self._begin(exchange)
        if self._deferred is not None and not self._deferral_scheduled:
            self._deferral_scheduled = True
            self.server.batcher.add(self._answer_deferred)

    def _answer_deferred(self) -> None:
        """Answer what was put off while its first bytes were read."""
        exchange, self._deferred, self._deferral_scheduled = self._deferred, None, False
        if exchange is None or exchange.finished or exchange.gone:
            return
        if (
            not exchange.body_complete
            or exchange.too_large
            or not self.server.direct_routes[exchange.head.path](exchange)
        ):
            self._answer(exchange)

    def _answer(self, exchange: Exchange) -> None:
        head = exchange.head
        handler = self.server.routes.get(head.path) if head.method == b"POST" else None
        coroutine = self._asgi(exchange) if handler is None else handler(exchange)
        exchange.task = self.loop.create_task(coroutine)

    async def _asgi(self, exchange: Exchange) -> None:
        try:
            await self.server.asgi(exchange.scope(), exchange.receive, exchange.send)
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
            self._reader.close()
            self.flush()
            if exchange.body_complete:
                self.transport.close()
            else:
                # Closed with bytes unread, the kernel would reset the connection, and the answer be lost on its way.
                self._lingering_since = self.clock()
                if not self._reading:
                    self._reading = True
                    self.transport.resume_reading()
                self.transport.write_eof()
        elif self._queue:
            self._answer_next()

    def send(self, data: bytes) -> None:
        """Send *data* at the end of this turn, with what else there is then."""
        if not self._out:
            self.server.batcher.send(self.flush)
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
        if exchange.expects_continue and exchange is self._current:
            exchange.expects_continue = False
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
        settings = self.server.settings
        if self._lingering_since:
            if now - self._lingering_since > LINGER_S:
                self.transport.abort()
            return
        if self._paused_since:
            if now - self._paused_since > settings.write_stall_s:
                self.transport.abort()
            return
        current, reader = self._current, self._reader
        if reader.state == HEAD and now - reader.since > settings.header_timeout_s:
            reader.refuse(RequestRefused(408, f"the request's head took longer than {settings.header_timeout_s:g} s"))
        elif current is not None:
            self._tick_answer(current, now, settings)
        elif reader.state in (BETWEEN_REQUESTS, CLOSED) and now - self._idle_since > settings.idle_timeout_s:
            self.transport.close()

    def _tick_answer(self, current: Exchange, now: float, settings: ServerSettings) -> None:
        if not current.body_complete and not current.too_large and now - self._reader.since > settings.body_timeout_s:
            current.keep_alive = False
            current.fail_body(RequestTimeout(f"the body made no progress for {settings.body_timeout_s:g} s"))
            return
        if current.listener is not None:
            current.listener.tick(now)
        headers = current.stream_headers
        if headers is not None and not current.finished and now - current.last_write >= settings.keepalive_s:
            if not current.started:
                current.start(200, EVENT_STREAM, headers)
            current.write(current.comment)

    def _refuse(self, exchange: Exchange, refused: RequestRefused) -> None:
        """Answer what cannot be a request, and close."""
        exchange.keep_alive = exchange.body_complete = False
        error = InvalidRequest(refused.message)
        error.http_status = refused.status
        exchange.respond(refused.status, self.server.error(exchange.head.path, error, None))


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) and len(found) >= 2 else None


class ConnectionTimer:
    """Ticks every connection of a site twice a second, as long as it runs, and keeps its `date`."""

    INTERVAL_S = 0.5

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin to tick."""
        self._server.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
        self._handle = self._loop.call_later(self.INTERVAL_S, self._tick)

    def stop(self) -> None:
        """Tick no more."""
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        for connection in tuple(self._server.connections):
            connection.tick(now)
        self.start()
