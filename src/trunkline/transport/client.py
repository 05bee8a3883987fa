"""The network as the port `Transport`: HTTP/1.1 over asyncio protocols and httptools.

Each object has one owner. `Http1Transport` has the pools, the connector and the deadlines. A `Connection` has the
socket and the parser, and outlives its calls. A `Http1Response` is one call.
"""

import asyncio
import contextlib
import ssl
from collections.abc import Callable, Collection

from trunkline.model.errors import UpstreamUnreachable
from trunkline.ports import Clock, Response, UpstreamRequest
from trunkline.transport.addresses import address_of
from trunkline.transport.connecting import STOPPING, Connector, translated
from trunkline.transport.connection import READ_BYTES, Connection
from trunkline.transport.deadlines import Deadlines
from trunkline.transport.limits import Limits
from trunkline.transport.pool import Pool
from trunkline.transport.proxy import Proxies
from trunkline.transport.response import AWAITING_HEAD, STALE, Http1Response
from trunkline.transport.tls import default_ssl_context

CLOSE_S = 1.0
"""Seconds that `close` waits for the sockets."""


def _call_now(function: Callable[[], None]) -> None:
    function()


class Http1Transport:
    """The port `DirectTransport`. Ready when made; `close` ends it.

    Counters, for metrics: `requests_sent`, `reused` (those on a pooled connection), `stale_retries`,
    `connections_open`, `connections_idle`.
    """

    __slots__ = (
        "_all_lost",
        "_clock",
        "_connector",
        "_max_connections",
        "_pools",
        "_proxies",
        "closed",
        "connections",
        "deadlines",
        "header_names",
        "limits",
        "read_buffer",
        "requests_sent",
        "reused",
        "schedule_write",
        "stale_retries",
    )

    def __init__(
        self,
        *,
        clock: Clock,
        ssl_context: ssl.SSLContext | None = None,
        proxies: Proxies | None = None,
        max_connections: int = 100_000,
        keepalive_s: float = 60.0,
        limits: Limits | None = None,
        schedule_write: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """A transport that is ready at once.

        Args:
            clock: for every time limit.
            ssl_context: verifies providers and proxies; None: `default_ssl_context`.
            proxies: the proxies of origins; None: every origin is reached directly.
            max_connections: per origin. A smaller `UpstreamRequest.max_connections` of the origin's first request
                comes before it.
            keepalive_s: seconds that a connection may stay idle.
            limits: bounds on responses; None: the defaults.
            schedule_write: `WriteBatcher.send`; None: requests leave at once.
        """
        self._clock = clock
        self._connector = Connector(ssl_context or default_ssl_context())
        self._proxies = proxies or Proxies()
        self._max_connections = max_connections
        self._pools: dict[str, Pool[Connection]] = {}
        self._all_lost: asyncio.Future[None] | None = None
        self.limits = limits or Limits()
        self.schedule_write = schedule_write or _call_now
        self.deadlines = Deadlines(clock, self._pools, keepalive_s=keepalive_s, drain_s=self.limits.drain_s)
        self.connections: set[Connection] = set()
        """Those whose socket is open."""
        self.header_names: dict[bytes, str] = {}
        self.read_buffer = memoryview(bytearray(READ_BYTES))
        self.closed = False
        self.requests_sent = 0
        self.reused = 0
        self.stale_retries = 0

    @property
    def active(self) -> Collection[Http1Response]:
        """The calls under way."""
        return self.deadlines.calls

    @property
    def connections_open(self) -> int:
        """Number of open connections, idle ones included."""
        return len(self.connections)

    @property
    def connections_idle(self) -> int:
        """Number of connections that wait to be used again."""
        return sum(len(pool.idle) for pool in self._pools.values())

    async def send(self, request: UpstreamRequest) -> Http1Response:
        """As `Transport.send`."""
        pool = self._pools.get(request.origin)
        if pool is None:
            pool = self._pools[request.origin] = Pool(
                address_of(request.origin, self._proxies), max(1, min(self._max_connections, request.max_connections))
            )
        if pool.idle:
            call = pool.idle.pop().begin(request)
            self.reused += 1
        else:
            call = await self._begin(pool, request, fresh=False)
        await call.wait()
        return await self.headed(call)

    def begin(
        self, request: UpstreamRequest, on_chunk: Callable[[bytes], None], on_end: Callable[[bool], None]
    ) -> Http1Response | None:
        """As `DirectTransport.begin`: on an idle connection, or not at all."""
        pool = self._pools.get(request.origin)
        if pool is None or not pool.idle:
            return None
        call = pool.idle.pop().begin(request)
        call.set_callbacks(on_chunk, on_end)
        self.reused += 1
        return call

    async def headed(self, response: Response) -> Http1Response:
        """As `DirectTransport.headed`. A request whose pooled connection was stale is sent again, once."""
        assert isinstance(response, Http1Response)
        call = response
        if call.phase == STALE:
            self.stale_retries += 1
            call = await self._begin(self._pools[call.request.origin], call.request, fresh=True)
            await call.wait()
        if call.error is not None and call.phase == AWAITING_HEAD:
            raise call.take_error()
        return call

    async def close(self) -> None:
        """As `Transport.close`. Returns when the sockets are closed, or after `CLOSE_S`."""
        self.closed = True
        self.deadlines.stop()
        self._connector.stop()
        for pool in self._pools.values():
            pool.fail_waiters(UpstreamUnreachable(STOPPING))
        for connection in list(self.connections):
            connection.stop()
        if self.connections:
            self._all_lost = asyncio.get_running_loop().create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._all_lost

    # For connections.

    def opened(self, connection: Connection) -> None:
        """As `ConnectionOwner.opened`."""
        self.connections.add(connection)

    def lost(self, connection: Connection) -> None:
        """As `ConnectionOwner.lost`."""
        self.connections.discard(connection)
        if self._all_lost is not None and not self.connections and not self._all_lost.done():
            self._all_lost.set_result(None)

    async def _begin(self, pool: Pool[Connection], request: UpstreamRequest, *, fresh: bool) -> Http1Response:
        """Start a call for *request*: on a connection that becomes idle, or on a new one (always where *fresh*)."""
        begun = self._clock.monotonic()
        connection = None
        if not self.closed:
            if not self.deadlines.frequent:
                self.deadlines.tick_frequently()
            connection = await pool.acquire(begun + request.timeouts.pool_wait_s, fresh=fresh)
            if connection is None:
                connection = await self._open(pool, request)
            else:
                self.reused += 1
        if connection is None or self.closed:
            raise UpstreamUnreachable(STOPPING)
        call = connection.begin(request)
        self.deadlines.set_begin(call, begun)
        return call

    async def _open(self, pool: Pool[Connection], request: UpstreamRequest) -> Connection:
        """Open a connection for a slot of *pool*, which the caller has."""
        connection = Connection(self, pool)
        try:
            await self._connector.open(
                pool.address, connection, min(request.timeouts.connect_s, request.timeouts.total_s)
            )
            if connection.closed:  # by the provider, before it could be used
                raise UpstreamUnreachable(STOPPING) if self.closed else translated(ConnectionResetError())
        except BaseException:
            connection.drop()
            self.lost(connection)  # uvloop does not call `connection_lost` when its opening was cancelled
            raise
        return connection
