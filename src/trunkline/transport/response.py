"""The network as the port `Transport`: HTTP/1.1 over asyncio protocols and httptools. Sources: RFC 9110, RFC 9112.

What makes it cheap, since every relayed byte passes here:

- A request on a pooled connection is one `write` and one future. There is no task, no lock and no timer per call.
- The parser's body callback is `list.append`: what arrived in one wake-up is joined and handed on once.
- The clock is read by one ticker for all calls. A call notes only *that* bytes came; the ticker notes when it saw that.
  So every limit is late by up to two ticks, never early.

Three objects, each with one owner. `Http1Transport` has the pools and the ticker. A `Connection` has the socket and
the parser, and outlives its calls. A `Http1Response` is one call: what it knows of the connection ends with the body,
so that whoever keeps it longer cannot disturb the call that uses the connection next.

Futures only wake; what happened is written on the call. So a call that was cancelled while it failed leaves no
exception that nobody retrieved.
"""

import asyncio
import contextlib
import os
import ssl
from collections.abc import Callable, Iterator, Mapping
from typing import Final, cast

import certifi
from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser
from msgspec import Struct

from trunkline.model.errors import (
    TrunklineError,
    UpstreamGarbled,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
    settled,
    stripped,
)
from trunkline.ports import Clock, Response, UpstreamRequest
from trunkline.transport.content_encoding import Decoder, decoder_for
from trunkline.transport.pool import Pool, address_of, connect, translated
from trunkline.transport.proxy import Proxies

TICK_S: Final = 0.1
"""Between two looks at the deadlines of calls, in seconds."""
IDLE_TICK_S: Final = 1.0
"""The same where there are only idle connections."""
TURN_BYTES: Final = 1 << 20
"""Decoded until other connections have their turn."""
NAMES: Final = 1000
"""Spellings of header names that are remembered; beyond them, each is lower-cased anew."""

# Why a connection is not read from; any of them is enough.
_UNREAD, _PAUSED, _BACKLOG = 1, 2, 4
# Where a call is.
_HEAD, _BODY, _ENDED, _DRAINING = range(4)

_UNLIKE = frozenset({"content-encoding", "transfer-encoding", "set-cookie"})
"""Headers of which not simply the last counts."""
_STOPPING = "the gateway is stopping"
_RAISED = UpstreamTruncated("the call has failed")
"""Stands for the error of a call once that was raised. Never raised itself."""


class Limits(Struct, frozen=True, kw_only=True):
    """Bounds on what an upstream may send, in bytes unless said otherwise."""

    max_head_bytes: int = 65536
    """Of status line and headers, informational answers included; and of what is neither head nor body at a stretch."""
    max_headers: int = 128
    max_body_bytes: int = 1 << 30
    """Of a body, as it came and as it decodes."""
    free_decoded_bytes: int = 64 << 20
    """A body may decode to this, whatever the ratio. Source: reliability U34."""
    max_ratio: int = 200
    """Times a body's size that it may decode to, beyond `free_decoded_bytes`."""
    unread_bytes: int = 256 << 10
    """Of a body that nobody asked for yet; then reading stops. Source: reliability C8."""
    drain_bytes: int = 65536
    """Of a body that was released."""
    drain_s: float = 1.0
    """For a body that was released, in seconds."""


class Headers(Mapping[str, str]):
    """Header fields, decoded when looked at. Names are lower-case; the last of several counts, `set-cookie` never."""

    __slots__ = ("_fields",)

    def __init__(self, fields: dict[str, bytes]) -> None:
        self._fields = fields

    def __getitem__(self, name: str) -> str:
        return self._fields[name].decode("latin-1")

    def __iter__(self) -> Iterator[str]:
        return iter(self._fields)

    def __len__(self) -> int:
        return len(self._fields)

    def __contains__(self, name: object) -> bool:
        return name in self._fields

    def __repr__(self) -> str:
        return f"Headers({', '.join(self._fields)})"


def _now(send: Callable[[], None]) -> None:
    send()


def _nothing(_: bytes) -> None:
    """Takes what nobody wants any more."""


class Http1Response:
    """As `ports.Response`; and the call that it answers, from the request's first byte on."""

    # What most calls never change stands in the class.
    status: int
    headers: Mapping[str, str]
    phase = _HEAD
    error: Exception | None = None
    stale = False
    """The connection had been used before and closed without a byte: the request can be sent again."""
    seen = False
    """Bytes came since the last tick."""
    _begun = -1.0  # monotonic seconds; below 0 until the first tick sees the call
    _since = -1.0  # of the last progress
    _unsent = -1  # bytes of the request that wait here, as last seen; below 0 until then
    _waiter: "asyncio.Future[None] | None" = None
    _on_chunk: Callable[[bytes], None] | None = None
    _on_head: Callable[[bytes], None] | None = None  # what `_on_chunk` will be once the status is 200
    _on_end: Callable[[bool], None] | None = None
    _size = 0
    _decoder: Decoder | None = None
    _holds = 0
    _backlogged = False
    _released = False
    _done = False

    def __init__(self, transport: "Http1Transport", connection: "Connection", request: UpstreamRequest) -> None:
        self._transport = transport
        self._connection: Connection | None = connection
        self.request = request
        self._buffer: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Http1Response phase={self.phase}>"

    # What the port has.

    async def read(self, limit: int) -> bytes:
        """As `Response.read`."""
        pieces: list[bytes] = []
        size = 0

        def keep(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if size > limit:
                raise UpstreamGarbled(f"the answer is longer than {limit} bytes")
            pieces.append(chunk)

        await self.pump(keep)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def pump(self, on_chunk: Callable[[bytes], None]) -> None:
        """As `Response.pump`."""
        self._on_chunk = on_chunk
        self._flush()
        if not self._done and self.error is None and not self._released:
            await self.wait()
        if self.error is not None and not self._released:
            raise self.given()

    def pause(self) -> None:
        """As `Response.pause`."""
        self._hold(_PAUSED)

    def resume(self) -> None:
        """As `Response.resume`."""
        self._unhold(_PAUSED)
        if self._decoder is not None:
            self._pull_later()

    def abort(self) -> None:
        """As `Response.abort`."""
        self._buffer.clear()
        self.cut(UpstreamTruncated("the call was aborted"))

    def release(self) -> None:
        """As `Response.release`."""
        self._on_chunk = _nothing
        self._decoder = None
        self._buffer.clear()
        connection = self._connection
        if connection is not None:
            self._released = True
            self.phase = _DRAINING
            self._size = 0
            self._since = -1.0
            if self._holds:
                self._holds = 0
                connection.resume_reading()
        elif self.error is None:
            self._released = self._done = True
        self._wake()

    # What the connection says.

    async def wait(self) -> None:
        """Until the head is there, the body has ended or the call has failed. Cancelling it closes the connection."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except BaseException:
            self.abort()
            raise

    def go_by_itself(self, on_chunk: Callable[[bytes], None], on_end: Callable[[bool], None]) -> None:
        """Nobody waits for this call: tell it to these; as `DirectTransport.begin`."""
        self._on_head, self._on_end = on_chunk, on_end

    def began(self, monotonic: float) -> None:
        """The call began before it had a connection."""
        self._begun = monotonic

    def headed(self, status: int, fields: dict[str, bytes]) -> None:
        """The head is there.

        Raises:
            UpstreamGarbled: the body cannot be understood.
        """
        self.status = status
        self.headers = Headers(fields)
        if (encoding := fields.get("content-encoding")) is not None:
            limits = self._transport.limits
            self._decoder = decoder_for(
                encoding.decode("latin-1"),
                max_bytes=limits.max_body_bytes,
                free_bytes=limits.free_decoded_bytes,
                max_ratio=limits.max_ratio,
            )
        self.phase = _BODY
        self._since = -1.0

    def feed(self, data: bytes) -> None:
        """A slice of the body, framing removed."""
        self._size += len(data)
        limits = self._transport.limits
        if self.phase == _DRAINING:
            if self._size > limits.drain_bytes and self._connection is not None:
                self._connection.drop()
        elif self._size > limits.max_body_bytes:
            self.cut(UpstreamGarbled(f"the answer is longer than {limits.max_body_bytes} bytes"))
        elif self._on_chunk is None:
            self._buffer.append(data)
            if self._size > limits.unread_bytes:
                self._hold(_UNREAD)
        elif self._decoder is None:
            self._emit(data)
        else:
            self._decoder.feed(data)
            self._pull()

    def ended(self) -> None:
        """The body has ended on the wire; the connection is somebody else's now."""
        self._connection = None
        if self.phase == _DRAINING:
            self._done = True
            return
        self.phase = _ENDED
        if self._on_chunk is None:
            return
        if self._decoder is None:
            self._finish()
        else:
            self._pull()

    def cut(self, error: Exception) -> None:
        """Close the connection for *error*, and tell whoever waits; does nothing once the call is over."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.drop()
        if self._done or self.error is not None:
            return
        self.error = error
        if self._on_chunk is not None:
            self._on_chunk = _nothing
            self._decoder = None
            self._buffer.clear()
        self._wake()

    def wake(self) -> None:
        """The head is there: wake the one who waits for it."""
        if self._on_end is None:
            self._wake()
        elif self.status == 200:
            self._on_chunk = self._on_head
        else:
            self._tell(whole=False)

    def given(self) -> Exception:
        """The error that ended the call, for its one raise. What is raised must not be held by what its frames hold."""
        error, self.error = self.error, _RAISED
        assert error is not None
        return error if error is not _RAISED else UpstreamTruncated("the call has failed")

    def check(self, now: float) -> None:
        """Fail if a deadline has passed; *now* is monotonic."""
        connection, timeouts = self._connection, self.request.timeouts
        if connection is None:
            return
        if self._begun < 0:
            self._begun = now
        if self._since < 0:
            self._since = now
        if self.phase == _DRAINING:
            if now - self._since >= self._transport.limits.drain_s:
                connection.drop()
        elif now - self._begun >= timeouts.total_s:
            self.cut(UpstreamTimeout(f"not at its end within {timeouts.total_s:g} s", maybe_billed=True))
        elif self.phase == _HEAD:
            self._check_head(connection, now)
        elif self.seen or self._holds:
            self._since = now
        elif now - self._since >= timeouts.idle_s:
            self.cut(UpstreamTimeout(f"no byte for {timeouts.idle_s:g} s", maybe_billed=True))
        self.seen = False

    def _check_head(self, connection: "Connection", now: float) -> None:
        timeouts = self.request.timeouts
        if self._unsent:
            unsent = connection.unsent()
            if unsent == 0 or unsent < self._unsent or self._unsent < 0:
                self._since = now
            self._unsent = unsent
            if unsent and now - self._since >= timeouts.idle_s:
                self.cut(UpstreamTimeout(f"the request was not taken for {timeouts.idle_s:g} s"))
        elif now - self._since >= timeouts.first_byte_s:
            self.cut(UpstreamTimeout(f"no answer within {timeouts.first_byte_s:g} s", maybe_billed=True))

    def held(self) -> bool:
        """Whether the connection is not read from on behalf of this call."""
        return self._holds != 0

    # How the body goes on.

    def _flush(self) -> None:
        """Hand on what came before anybody asked for it."""
        buffer = self._buffer
        if buffer:
            data = buffer[0] if len(buffer) == 1 else b"".join(buffer)
            buffer.clear()
            if self._decoder is None:
                self._emit(data)
            else:
                self._decoder.feed(data)
        if self._holds:
            self._unhold(_UNREAD)
        if self._decoder is not None:
            self._pull()
        elif self.phase == _ENDED and self.error is None:
            self._done = True

    def _emit(self, data: bytes) -> None:
        on_chunk = self._on_chunk
        assert on_chunk is not None
        try:
            on_chunk(data)
        except Exception as error:  # noqa: BLE001 the caller's own, given back to it by `pump`
            self.cut(settled(error))

    def _pull(self) -> None:
        """Hand on what the decoder has, for one turn, and as long as the client wants it."""
        given = 0
        while given < TURN_BYTES:
            decoder = self._decoder
            if decoder is None or self._on_chunk is None or self._holds & _PAUSED:
                return
            try:
                piece = decoder.read()
                if not piece:
                    self._unhold(_BACKLOG)
                    if self.phase == _ENDED:
                        decoder.close()
                        self._finish()
                    return
            except TrunklineError as error:
                self.cut(stripped(error))
                return
            given += len(piece)
            self._emit(piece)
        self._hold(_BACKLOG)
        self._pull_later()

    def _pull_later(self) -> None:
        if not self._backlogged:
            self._backlogged = True
            asyncio.get_running_loop().call_soon(self._pull_now)

    def _pull_now(self) -> None:
        self._backlogged = False
        self._pull()

    def _finish(self) -> None:
        if self.error is None:
            self._done = True
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
        elif self._on_end is not None:
            self._tell(whole=self.error is None)

    def _tell(self, *, whole: bool) -> None:
        on_end, self._on_end = self._on_end, None
        assert on_end is not None
        on_end(whole)

    def _hold(self, reason: int) -> None:
        held, self._holds = self._holds, self._holds | reason
        if not held and self._connection is not None and self.phase == _BODY:
            self._connection.pause_reading()

    def _unhold(self, reason: int) -> None:
        held, self._holds = self._holds, self._holds & ~reason
        if held and not self._holds and self._connection is not None:
            # The time that was spent waiting for the client is not the upstream's.
            self._since = -1.0
            self._connection.resume_reading()


class Connection(asyncio.Protocol):
    """One connection: frames of one call after the other. Belongs to a pool, whose slot it gives back when dropped."""

    __slots__ = (
        "_barren",
        "_call",
        "_complete",
        "_fault",
        "_fields",
        "_fresh_head",
        "_head_size",
        "_informational",
        "_keep",
        "_left",
        "_owner",
        "_parser",
        "_pieces",
        "_pool",
        "_socket",
        "_until_eof",
        "closed",
        "idle_since",
        "on_body",
        "reused",
    )

    def __init__(self, owner: "Http1Transport", pool: "Pool[Connection]") -> None:
        self._owner = owner
        self._pool = pool
        self._socket: asyncio.Transport | None = None
        self._call: Http1Response | None = None
        self.closed = False
        self.reused = False
        self.idle_since = -1.0
        self._pieces: list[bytes] = []
        self.on_body = self._pieces.append
        self._fields: dict[str, bytes] = {}
        self._left = owner.limits.max_headers  # headers and trailers that this message may still have
        self._head_size = 0  # bytes of the head, in the reads before the one that ended it
        self._barren = 0  # bytes since the last that belonged to a body
        self._fault: UpstreamGarbled | None = None
        self._fresh_head = False  # the head ended in this read
        self._informational = False
        self._complete = False
        self._keep = True
        self._until_eof = False
        self._parser: HttpResponseParser | None = HttpResponseParser(self)

    def __repr__(self) -> str:
        return f"<Connection closed={self.closed}>"

    # What the transport does with it.

    def begin(self, request: UpstreamRequest) -> Http1Response:
        """Send *request* at the end of this turn."""
        owner = self._owner
        call = self._call = Http1Response(owner, self, request)
        owner.active.add(call)
        if not owner.fast:
            owner.quicken()
        owner.requests_sent += 1
        owner.at_end(self._write)
        return call

    def _write(self) -> None:
        """Send the request, if it still is to be sent."""
        call, socket = self._call, self._socket
        if call is None or socket is None or socket.is_closing():
            return
        request = call.request
        if request.body or not request.head.startswith(b"GET "):
            length = b"content-length: %d\r\n\r\n" % len(request.body)
            socket.write(b"".join((request.head, length, request.body)))
        else:
            socket.write(request.head + b"\r\n")

    def drop(self, *, free: bool = True) -> None:
        """As `Pooled.drop`. Whoever waits for the call is not told."""
        if self.closed:
            return
        self.closed = True
        call, self._call = self._call, None
        if call is not None:
            self._owner.active.discard(call)
        else:
            self._pool.forget(self)
        if self._socket is not None:
            self._socket.abort()
        if free:
            self._pool.freed()

    def unsent(self) -> int:
        """Bytes of the request that the kernel has not taken yet."""
        return 0 if self._socket is None else self._socket.get_write_buffer_size()

    def pause_reading(self) -> None:
        """Let the upstream wait."""
        if self._socket is not None and not self.closed:
            self._socket.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._socket is not None and not self.closed:
            self._socket.resume_reading()

    # What the event loop says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As `asyncio.Protocol`."""
        self._socket = cast("asyncio.Transport", transport)  # uvloop's do not inherit from it
        self._owner.connections.add(self)
        if self.closed:
            self._socket.abort()

    def data_received(self, data: bytes) -> None:
        """As `asyncio.Protocol`."""
        call, parser = self._call, self._parser
        if call is None or parser is None:
            self.drop()  # nobody asked
            return
        call.seen = True
        failure: UpstreamGarbled | None = None
        try:
            parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            stripped(error)
            fault, self._fault = self._fault, None
            if self._complete:
                self._keep = False  # what follows the answer is no business of the call's
            else:
                failure = fault or UpstreamGarbled("the answer is not HTTP")
        if self._fresh_head or call.phase == _HEAD:
            refusal = self._check_head(call, len(data))
            if call.phase == _HEAD:
                if (trouble := failure or refusal) is not None:
                    self.fail(trouble)
                return
        pieces = self._pieces
        if pieces:
            self._barren = 0
            chunk = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            call.feed(chunk)
            if self._call is not call:  # it was cut
                return
        else:
            self._barren += len(data)
            if self._barren > self._owner.limits.max_head_bytes and call.phase != _HEAD:
                failure = UpstreamGarbled("the answer has too much that is neither head nor body")
        if self._complete:
            self._end(call)
        elif failure is not None:
            self.fail(failure)

    def eof_received(self) -> None:
        """As `asyncio.Protocol`: the upstream has said all; where it did not say how much that is, this is the end."""
        call = self._call
        if call is not None and self._until_eof and call.phase != _HEAD:
            self._end(call)
        else:
            self._lost()

    def connection_lost(self, exc: Exception | None) -> None:
        """As `asyncio.Protocol`."""
        self._lost()
        self._parser = None  # it holds us, and we it
        self._owner.lost(self)

    # What the parser says.

    def on_message_begin(self) -> None:
        """As `HttpResponseParser`."""
        if self._complete:
            self._keep = False  # the beginning of an answer to nothing

    def on_header(self, name: bytes, value: bytes) -> None:
        """As `HttpResponseParser`."""
        self._left -= 1
        if self._left < 0:
            self._refuse("the answer has too many headers")
        lower = self._owner.names.get(name) or self._lower(name)
        fields = self._fields
        if lower in _UNLIKE:
            if lower == "set-cookie":
                return
            if lower in fields:
                value = fields[lower] + b", " + value  # lists: the rest of it is in another line
        fields[lower] = value

    def _lower(self, name: bytes) -> str:
        lower = name.lower().decode("latin-1")
        names = self._owner.names
        if len(names) < NAMES:
            names[name] = lower
        return lower

    def on_headers_complete(self) -> None:
        """As `HttpResponseParser`."""
        parser, call, fields = self._parser, self._call, self._fields
        if parser is None or call is None or self._complete:
            return
        self._fields = {}  # trailers go there, and nowhere
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
            self._keep = False
            self._until_eof = "content-length" not in fields and coding != b"chunked"
        try:
            call.headed(status, fields)
        except UpstreamGarbled as error:
            self._fault = error
            raise
        self._fresh_head = True

    def on_message_complete(self) -> None:
        """As `HttpResponseParser`."""
        if self._informational:
            self._informational = False
            return
        self._complete = True

    # How a call ends.

    def stop(self) -> None:
        """The gateway is stopping."""
        call = self._call
        unanswered = call is not None and call.phase == _HEAD
        self.fail(UpstreamUnreachable(_STOPPING, maybe_billed=True) if unanswered else UpstreamTruncated(_STOPPING))

    def fail(self, error: TrunklineError) -> None:
        """End the call under way, if any, and the connection with it."""
        call = self._call
        if call is None:
            self.drop()
        else:
            call.cut(error)

    def _lost(self) -> None:
        call = self._call
        if call is not None:
            call.stale = self.reused and call.phase == _HEAD and not self._head_size
            self.fail(self._loss(call))
        else:
            self.drop()

    def _loss(self, call: Http1Response) -> TrunklineError:
        if call.phase != _HEAD:
            return UpstreamTruncated("the connection ended before the answer did")
        if self._head_size:
            return UpstreamTruncated("the connection ended inside the answer's head")
        return UpstreamUnreachable("the connection was closed without an answer", maybe_billed=True)

    def _check_head(self, call: Http1Response, arrived: int) -> UpstreamGarbled | None:
        """Bound the head, wake the caller once it is whole."""
        limit = self._owner.limits.max_head_bytes
        size = self._head_size + arrived
        if not self._fresh_head:
            self._head_size = size
        else:
            self._fresh_head = False
            if size > limit:  # most of it may be body
                size = self._head_size + sum(len(name) + len(call.headers[name]) + 4 for name in call.headers)
        if size > limit:
            call.phase = _HEAD  # the caller is not to see it
            return UpstreamGarbled(f"the answer's head is longer than {limit} bytes")
        if call.phase != _HEAD:
            call.wake()
        return None

    def _end(self, call: Http1Response) -> None:
        """The answer is whole: the connection goes first, so that it is free whatever the caller does."""
        owner, keep = self._owner, self._keep and not self.unsent()
        owner.active.discard(call)
        self._call = None
        self._complete = False
        self._head_size = self._barren = 0
        self._left = owner.limits.max_headers
        if self._fields:
            self._fields = {}  # trailers
        if keep and not owner.closed:
            if call.held():
                self.resume_reading()
            self.reused = True
            self._pool.put(self)
        else:
            self.drop()
        call.ended()

    def _refuse(self, message: str) -> None:
        """Stop the parser. It gives an error of its own, so ours is put aside.

        Raises:
            UpstreamGarbled: always.
        """
        self._fault = UpstreamGarbled(message)
        raise self._fault


def default_ssl_context() -> ssl.SSLContext:
    """Verifies against the system's authorities, or certifi's where the system has none."""
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    paths = ssl.get_default_verify_paths()
    # A folder of authorities is read on demand and not counted until then.
    folder = bool(paths.capath) and any(os.listdir(paths.capath))
    if not context.cert_store_stats()["x509_ca"] and not folder:
        context.load_verify_locations(certifi.where())
    return context


class Http1Transport:
    """As `ports.Transport`, over the network. Opened by its first `send`, closed by `close`.

    Counters, for metrics: `requests_sent`, `reused` (those on a pooled connection), `stale_retries`,
    `connections_open`, `connections_idle`.
    """

    __slots__ = (
        "_all_lost",
        "_clock",
        "_connecting",
        "_context",
        "_keepalive_s",
        "_max_connections",
        "_pools",
        "_proxies",
        "_sweep_at",
        "_ticker",
        "active",
        "at_end",
        "closed",
        "connections",
        "fast",
        "limits",
        "names",
        "requests_sent",
        "reused",
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
        at_end: Callable[[Callable[[], None]], None] | None = None,
    ) -> None:
        """A transport that is open at once.

        Args:
            clock: for every limit of time.
            ssl_context: verifies upstreams and proxies; `default_ssl_context` where None.
            proxies: the ways to origins that are not reached directly.
            max_connections: per origin; what the origin's first request says counts where it is less.
            keepalive_s: how long a connection may stay idle.
            limits: bounds on what an upstream may send.
            at_end: `WriteBatcher.send`; without it requests leave at once.
        """
        self._clock = clock
        self._context = ssl_context or default_ssl_context()
        self._proxies = proxies or Proxies()
        self._max_connections = max_connections
        self._keepalive_s = keepalive_s
        self.limits = limits or Limits()
        self.at_end = at_end or _now
        self._pools: dict[str, Pool[Connection]] = {}
        self._connecting: set[asyncio.Timeout] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self.fast = False
        self._sweep_at = 0.0
        self._all_lost: asyncio.Future[None] | None = None
        self.connections: set[Connection] = set()
        self.active: set[Http1Response] = set()
        self.names: dict[bytes, str] = {}
        self.closed = False
        self.requests_sent = 0
        self.reused = 0
        self.stale_retries = 0

    @property
    def connections_open(self) -> int:
        """Connections that are established, idle ones included."""
        return len(self.connections)

    @property
    def connections_idle(self) -> int:
        """Connections that wait to be used again."""
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
        """As `DirectTransport.begin`: on a pooled connection."""
        pool = self._pools.get(request.origin)
        if pool is None or not pool.idle:
            return None
        call = pool.idle.pop().begin(request)
        call.go_by_itself(on_chunk, on_end)
        self.reused += 1
        return call

    async def headed(self, response: Response) -> Http1Response:
        """As `DirectTransport.headed`."""
        assert isinstance(response, Http1Response)
        call = response
        if call.stale:
            self.stale_retries += 1
            call = await self._begin(self._pools[call.request.origin], call.request, fresh=True)
            await call.wait()
        if call.error is not None and call.phase == _HEAD:
            raise call.given()
        return call

    async def close(self) -> None:
        """As `Transport.close`. Returns when the sockets are closed, or after a second."""
        self.closed = True
        loop = asyncio.get_running_loop()
        if self._ticker is not None:
            self._ticker.cancel()
            self._ticker = None
        for scope in self._connecting:
            scope.reschedule(loop.time())
        for pool in self._pools.values():
            pool.refuse(UpstreamUnreachable(_STOPPING))
        for connection in list(self.connections):
            connection.stop()
        if self.connections:
            self._all_lost = loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):
                    await self._all_lost

    def lost(self, connection: Connection) -> None:
        """*connection*'s socket is closed."""
        self.connections.discard(connection)
        if self._all_lost is not None and not self.connections and not self._all_lost.done():
            self._all_lost.set_result(None)

    async def _begin(self, pool: Pool[Connection], request: UpstreamRequest, *, fresh: bool) -> Http1Response:
        """*request*, on its way, where no idle connection is at hand or a new one is wanted."""
        begun = self._clock.monotonic()
        connection = None
        if not self.closed:
            if not self.fast:
                self.quicken()
            connection = await pool.acquire(begun + request.timeouts.pool_wait_s, fresh=fresh)
            if connection is None:
                connection = await self._connect(pool, request)
            else:
                self.reused += 1
        if connection is None or self.closed:
            raise UpstreamUnreachable(_STOPPING)
        call = connection.begin(request)
        call.began(begun)
        return call

    async def _connect(self, pool: Pool[Connection], request: UpstreamRequest) -> Connection:
        """A new connection for a slot of *pool*."""
        connection = Connection(self, pool)
        within_s = min(request.timeouts.connect_s, request.timeouts.total_s)
        scope = asyncio.timeout(within_s)
        try:
            async with scope:
                self._connecting.add(scope)
                await connect(pool.address, connection, self._context, within_s)
                if connection.closed:  # by the upstream, before it could be used
                    raise ConnectionResetError
        except BaseException as error:
            connection.drop()
            self.lost(connection)  # uvloop does not say so of one whose making was cancelled
            if self.closed and isinstance(error, OSError | TrunklineError):
                raise UpstreamUnreachable(_STOPPING) from error
            if isinstance(error, TimeoutError):
                raise UpstreamTimeout(f"could not connect within {within_s:g} s") from error
            if isinstance(error, OSError | UnicodeError):
                raise translated(error) from error
            raise
        finally:
            self._connecting.discard(scope)
        return connection

    def quicken(self) -> None:
        """There is a call: look at the deadlines often."""
        if self._ticker is not None:
            self._ticker.cancel()
        self.fast = True
        self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)

    def _tick(self) -> None:
        now = self._clock.monotonic()
        for call in list(self.active):
            call.check(now)
        waiting = 0
        for pool in self._pools.values():
            if pool.waiters:
                pool.expire(now)
                waiting += len(pool.waiters)
        if now >= self._sweep_at:
            self._sweep(now)
        self.fast = bool(self.active or waiting)
        if self.fast:
            self._ticker = asyncio.get_running_loop().call_later(TICK_S, self._tick)
        elif self.connections_idle:
            pause = max(TICK_S, min(IDLE_TICK_S, self._keepalive_s / 4))
            self._ticker = asyncio.get_running_loop().call_later(pause, self._tick)
        else:
            self._ticker = None

    def _sweep(self, now: float) -> None:
        """Close what has been idle for too long."""
        self._sweep_at = now + min(IDLE_TICK_S, self._keepalive_s / 4)
        for pool in self._pools.values():
            for connection in list(pool.idle):
                if connection.idle_since < 0:
                    connection.idle_since = now
                elif now - connection.idle_since >= self._keepalive_s:
                    connection.drop()
