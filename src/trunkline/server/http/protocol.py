"""The HTTP/1.1 server protocol: a protocol class for uvicorn, using httptools.

uvicorn manages sockets, signals and processes. This class replaces uvicorn's protocol, because a gateway exposed to
untrusted clients needs time limits on heads and bodies, limits on headers, and handling of idle clients and slow
readers, and because a request should cost one task and as few writes as possible. Starlette's routes are served through
ASGI; the inference routes get the `Exchange` itself.

`request_reader` parses bytes into requests. A `Connection` answers them one after another; a pipelined request waits
for the response before it, and reading pauses while one waits. `ConnectionTimer` checks all connections twice a second:
requests have no timers of their own.

Sources: RFC 9110, RFC 9112.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from typing import Any, Protocol, cast

from trunkline.model.errors import Forbidden, InvalidRequest, Overloaded, RequestTimeout, TrunklineError
from trunkline.ports import EVENT_STREAM
from trunkline.server.config import ServerSettings
from trunkline.server.http.exchange import Exchange, too_many_bodies
from trunkline.server.http.origins import OriginPolicy
from trunkline.server.http.request_head import RequestHead, RequestRefused
from trunkline.server.http.request_reader import BETWEEN_REQUESTS, CLOSED, HEAD, RequestReader
from trunkline.transport.write_batching import WriteBatcher

BACKLOG = 4096
"""Connections that the kernel accepts before this process does."""
MAX_PIPELINED = 16
LINGER_S = 2.0
"""How long a client may continue to send after its response."""
HIGH_WATER = 32 * 1024
"""The number of bytes buffered for a slow client before its upstream is paused. What one more read of the upstream's
socket (`transport.connection.READ_BYTES`) turns into can be added to it."""

Handler = Callable[[Exchange], Coroutine[Any, Any, None]]
DirectHandler = Callable[[Exchange], bool]
AsgiApp = Callable[[dict[str, Any], Callable[..., Awaitable[Any]], Callable[..., Awaitable[None]]], Awaitable[None]]


class Server(Protocol):
    """The routes, and the error response for requests that reach no route."""

    date: bytes
    """The header `date` as a complete line; `ConnectionTimer` updates it."""

    settings: ServerSettings
    origins: OriginPolicy
    """Which hosts and web pages are accepted."""
    routes: dict[bytes, Handler]
    """Raw path → the handler of POST, which gets the exchange itself."""
    direct_routes: dict[bytes, DirectHandler]
    """Raw path → the handler of POST that works without a task, on an exchange with a complete body. It returns False
    where the route's task is needed."""
    asgi: AsgiApp
    """Handles all other requests."""
    batcher: WriteBatcher
    connections: "set[Connection]"
    buffered_bytes: int
    """Bytes of request bodies in memory. Requests release theirs when they have been answered."""
    max_buffered_bytes: int
    """Beyond this many, requests with a body are refused."""

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        """The JSON body of an error before any route, in the dialect of *path*."""
        ...


class Connection(asyncio.Protocol):
    """One client connection: callbacks of the event loop and of the request reader."""

    __slots__ = (
        "_current",
        "_deferral_scheduled",
        "_deferred",
        "_idle_since",
        "_lingering_since",
        "_out",
        "_out_bytes",
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
        """The exchange that is being answered."""
        self._deferred: Exchange | None = None
        """The current exchange while no handler runs: the rest of the received bytes may be its body."""
        self._deferral_scheduled = False
        self._queue: deque[Exchange] = deque()
        self._reading = True
        self._idle_since = 0.0
        self._lingering_since = 0.0
        self._paused_since = 0.0
        """Since when the client has not read its buffered data; 0 where it reads."""
        self._stopping = False
        self._out: list[bytes] = []
        """Data to send at the end of the event loop's turn."""
        self._out_bytes = 0

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """A client has connected."""
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
        """The connection is closed."""
        self.server.connections.discard(self)
        self._reader.close()
        for exchange in (self._current, *self._queue):
            if exchange is not None:
                exchange.client_disconnected()
                exchange.release_body()
        self._current = self._deferred = None
        self._queue.clear()

    def eof_received(self) -> bool:
        """The client will send no more. No known client still reads then: it is treated as disconnected."""
        return False

    def data_received(self, data: bytes) -> None:
        """Bytes were received."""
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

    # Callbacks of the request reader.

    def exchange(self) -> Exchange:
        """As `Receiver.exchange`."""
        return Exchange(self)

    @property
    def idle(self) -> bool:
        """As `Receiver.idle`: no response is running or waits to be read by the client."""
        return self._current is None and not self._paused_since and not self._stopping

    def on_head(self, exchange: Exchange) -> None:
        """As `Receiver.on_head`."""
        refused = self._refusal(exchange.head)
        if refused is not None:
            raise refused
        if self._stopping:
            exchange.keep_alive = False
        if self._current is not None or self._paused_since:
            if len(self._queue) >= MAX_PIPELINED:
                raise RequestRefused(400, f"more than {MAX_PIPELINED} requests at once on one connection")
            self._queue.append(exchange)
        else:
            self._begin(exchange)

    def on_cached_request(self, exchange: Exchange) -> None:
        """As `Receiver.on_cached_request`."""
        if exchange.refused is None:
            exchange.refused = self._refusal(exchange.head)
        self._begin(exchange)

    def _refusal(self, head: RequestHead) -> RequestRefused | None:
        """Why a request is refused for its head; None where it is accepted."""
        server = self.server
        if server.buffered_bytes + (head.content_length or 0) > server.max_buffered_bytes:
            return too_many_bodies()
        return server.origins.refusal(head)

    def on_refused(self, exchange: Exchange | None, path: bytes, refused: RequestRefused) -> None:
        """As `Receiver.on_refused`: earlier requests are answered, then the error is sent and the connection closed."""
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

    # Responses.

    def _begin(self, exchange: Exchange) -> None:
        """Answer *exchange*, now or at the end of the event loop's turn."""
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
        """Answer the next request, if one is waiting and the client has read the previous response."""
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
        """Answer the exchange that was deferred while its first bytes were read."""
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
        """The last byte of the response was written: close the connection, or answer the next request."""
        if not exchange.body_complete:
            exchange.keep_alive = False
        exchange.release_body()
        self._current = None
        exchange.task = None  # break the reference cycle
        self._idle_since = self.clock()
        if not exchange.keep_alive or self._stopping:
            self._reader.close()
            self.flush()
            if exchange.body_complete:
                self.transport.close()
            else:
                # Closing with unread bytes makes the kernel reset the connection, and the response could be lost.
                self._lingering_since = self.clock()
                if not self._reading:
                    self._reading = True
                    self.transport.resume_reading()
                self.transport.write_eof()
        elif self._queue:
            self._answer_next()

    def send(self, data: bytes) -> None:
        """Send *data* at the end of the event loop's turn, together with other data.

        Much data is sent at once, so that the socket can say in time that the client reads too slowly.
        """
        out = self._out
        if not out:
            self.server.batcher.send(self.flush)
            self._out_bytes = 0
        out.append(data)
        self._out_bytes += len(data)
        if self._out_bytes > HIGH_WATER:
            self.flush()

    def flush(self) -> None:
        """Write the waiting data."""
        out = self._out
        if out:
            data = out[0] if len(out) == 1 else b"".join(out)
            out.clear()
            if not self.transport.is_closing():
                self.transport.write(data)

    def expect_continue(self, exchange: Exchange) -> None:
        """Send `100 Continue` where the client waits for it."""
        if exchange.expects_continue and exchange is self._current:
            exchange.expects_continue = False
            self.send(b"HTTP/1.1 100 Continue\r\n\r\n")

    def shutdown(self) -> None:
        """Accept no more requests; close when the running responses have ended."""
        self._stopping = True
        if self._current is None and not self._queue:
            self.flush()
            self.transport.close()
        elif self._current is not None and not self._current.started:
            self._current.keep_alive = False

    def cancel(self) -> None:
        """Cancel the running response: it ends with its dialect's error."""
        current = self._current
        if current is not None and current.task is not None:
            current.keep_alive = False
            current.task.cancel()

    def abort(self) -> None:
        """Close the connection at once."""
        self.transport.abort()

    def tick(self, now: float) -> None:
        """Check the time limits at *now* (monotonic seconds)."""
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
        if not current.body_complete and not current.too_large:
            late = None
            if now - self._reader.since > settings.body_timeout_s:
                late = f"the body made no progress for {settings.body_timeout_s:g} s"
            elif now - current.last_write > settings.body_total_s and not current.started:
                late = f"the body took longer than {settings.body_total_s:g} s"
            if late is not None:
                current.keep_alive = False
                current.fail_body(RequestTimeout(late))
                return
        if current.listener is not None:
            current.listener.tick(now)
        headers = current.stream_headers
        if headers is not None and not current.finished and now - current.last_write >= settings.keepalive_s:
            if not current.started:
                current.start(200, EVENT_STREAM, headers)
            current.write(current.comment)

    def _refuse(self, exchange: Exchange, refused: RequestRefused) -> None:
        """Respond with the error to an invalid request, and close."""
        exchange.keep_alive = exchange.body_complete = False
        error = _ERRORS.get(refused.status, InvalidRequest)(refused.message)
        error.http_status = refused.status
        headers = b"retry-after: 1\r\n" if refused.status == 503 else b""
        exchange.respond(refused.status, self.server.error(exchange.head.path, error, None), headers=headers)


_ERRORS: dict[int, type[TrunklineError]] = {403: Forbidden, 503: Overloaded}


def _address(found: Any) -> tuple[str, int] | None:
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) and len(found) >= 2 else None


class ConnectionTimer:
    """Calls `tick` of every connection of a server twice a second and updates its `date`."""

    INTERVAL_S = 0.5

    def __init__(self, server: Server, loop: asyncio.AbstractEventLoop) -> None:
        self._server = server
        self._loop = loop
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start."""
        self._server.date = b"date: %s\r\n" % formatdate(usegmt=True).encode()
        self._handle = self._loop.call_later(self.INTERVAL_S, self._tick)

    def stop(self) -> None:
        """Stop."""
        if self._handle is not None:
            self._handle.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        for connection in tuple(self._server.connections):
            connection.tick(now)
        self.start()
