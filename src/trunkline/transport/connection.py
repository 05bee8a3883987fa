"""One HTTP/1.1 connection to a provider: the socket and the calls that use it, one after another.

What makes it cheap, since every relayed byte passes here:

- A request on a pooled connection is one `write` and one future. A call has no task, no lock and no timer.
- The parser's body callback is `list.append`: what arrived in one wake-up is joined and passed on once.
- A call only records that bytes came. `Deadlines` reads the clock for all calls at once.

Sources: RFC 9110, RFC 9112.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol, cast

from httptools import HttpParserError, HttpParserUpgrade

from trunkline.model.errors import (
    TrunklineError,
    UpstreamGarbled,
    UpstreamTruncated,
    UpstreamUnreachable,
    stripped,
)
from trunkline.ports import UpstreamRequest
from trunkline.transport.connecting import STOPPING
from trunkline.transport.deadlines import Deadlines
from trunkline.transport.limits import Limits
from trunkline.transport.pool import Pool
from trunkline.transport.response import AWAITING_HEAD, STALE, Http1Response
from trunkline.transport.response_parser import ResponseParser

READ_BYTES = 64 * 1024
"""The most bytes that one read of a provider's socket returns."""


class ConnectionOwner(Protocol):
    """The transport of a connection, as the connection uses it."""

    closed: bool
    requests_sent: int

    @property
    def limits(self) -> Limits:
        """Bounds on responses."""
        ...

    @property
    def deadlines(self) -> Deadlines:
        """The calls under way."""
        ...

    @property
    def header_names(self) -> dict[bytes, str]:
        """As `ResponseParser` shares them."""
        ...

    @property
    def read_buffer(self) -> memoryview:
        """The buffer that all connections read into: each read is copied out of it before the next."""
        ...

    @property
    def schedule_write(self) -> Callable[[Callable[[], None]], None]:
        """Call a function soon, after the work of this event-loop iteration."""
        ...

    def opened(self, connection: "Connection") -> None:
        """The socket of *connection* is open."""
        ...

    def lost(self, connection: "Connection") -> None:
        """The socket of *connection* is closed."""
        ...


class Connection(asyncio.BufferedProtocol):
    """One connection. It belongs to a pool, and gives its slot back when it is dropped.

    It reads into the buffer of its owner, at most `READ_BYTES` at a time: uvloop would read up to 256,000 bytes into a
    protocol without a buffer, all of which a client that stops reading could leave in memory.
    """

    __slots__ = (
        "_bytes_without_body",
        "_call",
        "_head_size",
        "_owner",
        "_parser",
        "_pool",
        "_socket",
        "closed",
        "idle_since",
        "reused",
    )

    def __init__(self, owner: ConnectionOwner, pool: "Pool[Connection]") -> None:
        self._owner = owner
        self._pool = pool
        self._socket: asyncio.Transport | None = None
        self._call: Http1Response | None = None
        self.closed = False
        self.reused = False
        """It has served a call before."""
        self.idle_since = -1.0
        self._head_size = 0  # bytes of the head, in the reads before the one that completes it
        self._bytes_without_body = 0  # received since the last slice of a body
        self._parser: ResponseParser | None = None
        """While the socket is open: it is in a cycle with the parser of httptools, which `connection_lost` ends."""

    def __repr__(self) -> str:
        return f"<Connection closed={self.closed}>"

    # For the transport.

    def begin(self, request: UpstreamRequest) -> Http1Response:
        """Start a call. Its request leaves when the work of this event-loop iteration is done."""
        owner = self._owner
        call = self._call = Http1Response(owner.limits, self, request)
        deadlines = owner.deadlines
        deadlines.calls[call] = None
        if not deadlines.frequent:
            deadlines.tick_frequently()
        owner.requests_sent += 1
        owner.schedule_write(self._write)
        return call

    def _write(self) -> None:
        """Send the request, unless the call has ended meanwhile."""
        call, socket = self._call, self._socket
        if call is None or socket is None or socket.is_closing():
            return
        request = call.request
        if request.body or not request.head.startswith(b"GET "):
            length = b"content-length: %d\r\n\r\n" % len(request.body)
            socket.write(b"".join((request.head, length, request.body)))
        else:
            socket.write(request.head + b"\r\n")

    def drop(self, *, free_slot: bool = True) -> None:
        """As `Pooled.drop`. The call's waiter is not woken."""
        if self.closed:
            return
        self.closed = True
        call, self._call = self._call, None
        if call is not None:
            self._owner.deadlines.calls.pop(call, None)
        else:
            self._pool.remove(self)
        if self._socket is not None:
            self._socket.abort()
        if free_slot:
            self._pool.release_slot()

    def unsent_bytes(self) -> int:
        """Return how many bytes of the request the kernel has not accepted yet."""
        return 0 if self._socket is None else self._socket.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Stop reading, so that TCP makes the provider wait."""
        if self._socket is not None and not self.closed:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Read again."""
        if self._socket is not None and not self.closed:
            self._socket.resume_reading()

    def stop(self) -> None:
        """End the call and the connection, because the gateway is stopping."""
        call = self._call
        unanswered = call is not None and call.phase == AWAITING_HEAD
        self.fail(UpstreamUnreachable(STOPPING, maybe_billed=True) if unanswered else UpstreamTruncated(STOPPING))

    def fail(self, error: TrunklineError) -> None:
        """End the call, if there is one, with *error*, and the connection."""
        call = self._call
        if call is None:
            self.drop()
        else:
            call.fail(error)

    # Callbacks of the event loop.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As `asyncio.Protocol`."""
        self._socket = cast("asyncio.Transport", transport)  # uvloop's transports do not inherit from it
        owner = self._owner
        self._parser = ResponseParser(owner.header_names, max_headers=owner.limits.max_headers)
        owner.opened(self)
        if self.closed:
            self._socket.abort()

    def get_buffer(self, sizehint: int) -> memoryview:
        """As `asyncio.BufferedProtocol`."""
        return self._owner.read_buffer

    def buffer_updated(self, nbytes: int) -> None:
        """As `asyncio.BufferedProtocol`."""
        self.data_received(bytes(self._owner.read_buffer[:nbytes]))

    def data_received(self, data: bytes) -> None:
        """Process *data*, the bytes of one read."""
        call, parser = self._call, self._parser
        if call is None or parser is None:
            self.drop()  # nobody asked for these bytes
            return
        call.active = True
        failure: UpstreamGarbled | None = None
        try:
            parser.feed(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            failure = parser.failure(error)
        if parser.head_fields is not None or call.phase == AWAITING_HEAD:
            failure = self._process_head(call, parser, len(data), failure)
            if call.phase == AWAITING_HEAD:
                if failure is not None:
                    self.fail(failure)
                return
        chunks = parser.chunks
        if chunks:
            self._bytes_without_body = 0
            chunk = chunks[0] if len(chunks) == 1 else b"".join(chunks)
            chunks.clear()
            call.feed(chunk)
            if self._call is not call:  # the call was ended
                return
        else:
            self._bytes_without_body += len(data)
            if self._bytes_without_body > self._owner.limits.max_head_bytes and call.phase != AWAITING_HEAD:
                failure = UpstreamGarbled("the answer has too much that is neither head nor body")
        if parser.complete:
            self._end(call, parser)
        elif failure is not None:
            self.fail(failure)

    def eof_received(self) -> None:
        """As `asyncio.Protocol`. It is the end of a body that has no other end."""
        call, parser = self._call, self._parser
        if call is not None and parser is not None and parser.until_eof and call.phase != AWAITING_HEAD:
            self._end(call, parser)
        else:
            self._on_lost()

    def connection_lost(self, exc: Exception | None) -> None:
        """As `asyncio.Protocol`."""
        self._on_lost()
        if self._parser is not None:
            self._parser.close()
            self._parser = None
        self._owner.lost(self)

    # The course of a call.

    def _process_head(
        self, call: Http1Response, parser: ResponseParser, arrived: int, failure: UpstreamGarbled | None
    ) -> UpstreamGarbled | None:
        """Bound the head's size. Once the head is complete, store it on the call and wake the waiter.

        Args:
            call: the call under way.
            parser: the connection's parser.
            arrived: bytes of this read.
            failure: the parser's error in this read, or None.

        Returns:
            The error that ends the call: *failure*, or else that of the head; None where there is none.
        """
        limit = self._owner.limits.max_head_bytes
        size = self._head_size + arrived
        fields, parser.head_fields = parser.head_fields, None
        if fields is None:
            self._head_size = size
        else:
            try:
                call.start_body(parser.status, fields)
            except UpstreamGarbled as error:
                return stripped(error)
            if size > limit:  # most of it may be the body
                size = self._head_size + sum(len(name) + len(value) + 4 for name, value in fields.items())
        if size > limit:
            call.phase = AWAITING_HEAD  # the caller must not get the head
            return failure or UpstreamGarbled(f"the answer's head is longer than {limit} bytes")
        if call.phase != AWAITING_HEAD:
            call.head_received()
        return failure

    def _end(self, call: Http1Response, parser: ResponseParser) -> None:
        """End *call*, whose response is complete. The connection is free first, whatever the caller does then."""
        owner, keep = self._owner, parser.keep_alive and not self.unsent_bytes()
        owner.deadlines.calls.pop(call, None)
        self._call = None
        self._head_size = self._bytes_without_body = 0
        parser.begin_next()
        if keep and not owner.closed:
            if call.is_held():
                self.resume_reading()
            self.reused = True
            self._pool.put(self)
        else:
            self.drop()
        call.end_body()

    def _on_lost(self) -> None:
        """End the call, if there is one: the provider has closed the connection."""
        call = self._call
        if call is None:
            self.drop()
            return
        error = self._loss(call)
        if self.reused and call.phase == AWAITING_HEAD and not self._head_size:
            call.phase = STALE
        self.fail(error)

    def _loss(self, call: Http1Response) -> TrunklineError:
        if call.phase != AWAITING_HEAD:
            return UpstreamTruncated("the connection ended before the answer did")
        if self._head_size:
            return UpstreamTruncated("the connection ended inside the answer's head")
        return UpstreamUnreachable("the connection was closed without an answer", maybe_billed=True)
