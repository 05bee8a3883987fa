"""One upstream call over HTTP/1.1: its response, from the request's first byte on.

A call refers to its connection until the body has ended on the wire. After that, whoever keeps the response cannot
disturb the next call of the connection.

Futures only wake the waiter. The outcome is stored on the call, so a call that is cancelled while it fails leaves no
exception that nobody retrieved.
"""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from trunkline.model.errors import (
    TrunklineError,
    UpstreamGarbled,
    UpstreamTruncated,
    settled,
    stripped,
)
from trunkline.ports import UpstreamRequest
from trunkline.transport.content_encoding import Decoder, decoder_for
from trunkline.transport.limits import Limits
from trunkline.transport.response_headers import Headers

TURN_BYTES: Final = 1 << 20
"""Bytes to decode in one event-loop iteration. Other connections have their turn after that."""

# Phases of a call.
AWAITING_HEAD: Final = 0
IN_BODY: Final = 1
BODY_RECEIVED: Final = 2
"""The body has ended on the wire. The caller does not have all of it yet."""
DRAINING: Final = 3
"""The caller released the response. The rest of the body is read to keep the connection."""
FINISHED: Final = 4
"""The caller has the whole body, or released it."""
STALE: Final = 5
"""The connection had served before and closed without a byte of the response: the request can be sent again."""

# Reasons not to read from the connection. One is enough.
_UNREAD, _PAUSED, _BACKLOG = 1, 2, 4

_RAISED = UpstreamTruncated("the call has failed")
"""Replaces the error of a call once the error was raised. Never raised itself."""


class CallConnection(Protocol):
    """The connection of a call, as the call uses it."""

    def drop(self, *, free_slot: bool = True) -> None:
        """Close the connection."""
        ...

    def pause_reading(self) -> None:
        """Stop reading from the socket."""
        ...

    def resume_reading(self) -> None:
        """Read from the socket again."""
        ...

    def unsent_bytes(self) -> int:
        """Return how many bytes of the request the kernel has not accepted yet."""
        ...


def _discard(_: bytes) -> None:
    """Ignore a chunk that nobody needs."""


class Http1Response:
    """The call and its response (port `Response`).

    It has a few attributes more than is good for a class. They stay together because a second object for each call
    would cost every call.
    """

    # Defaults that most calls never change are class attributes.
    status: int
    headers: Mapping[str, str]
    phase = AWAITING_HEAD
    error: Exception | None = None
    active = False
    """Bytes arrived since the last tick of `Deadlines`."""
    _waiter: "asyncio.Future[None] | None" = None
    _on_chunk: Callable[[bytes], None] | None = None
    _on_end: Callable[[bool], None] | None = None
    _size = 0
    _decoder: Decoder | None = None
    _holds = 0
    _decoding_scheduled = False

    def __init__(self, limits: Limits, connection: CallConnection, request: UpstreamRequest) -> None:
        self._limits = limits
        self.connection: CallConnection | None = connection
        self.request = request
        self._buffer: list[bytes] = []

    def __repr__(self) -> str:
        return f"<Http1Response phase={self.phase}>"

    # The port `Response`.

    async def read(self, limit: int) -> bytes:
        """As `Response.read`."""
        chunks: list[bytes] = []
        size = 0

        def keep(chunk: bytes) -> None:
            nonlocal size
            size += len(chunk)
            if size > limit:
                raise UpstreamGarbled(f"the answer is longer than {limit} bytes")
            chunks.append(chunk)

        await self.pump(keep)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def pump(self, on_chunk: Callable[[bytes], None]) -> None:
        """As `Response.pump`."""
        self._on_chunk = on_chunk
        self._flush()
        if self.error is None and self.phase < DRAINING:
            await self.wait()
        if self.error is not None:
            raise self.take_error()

    def pause(self) -> None:
        """As `Response.pause`."""
        self._hold(_PAUSED)

    def resume(self) -> None:
        """As `Response.resume`."""
        self._unhold(_PAUSED)
        if self._decoder is not None:
            self._schedule_decoding()

    def abort(self) -> None:
        """As `Response.abort`."""
        self._buffer.clear()
        self.fail(UpstreamTruncated("the call was aborted"))

    def release(self) -> None:
        """As `Response.release`."""
        self._on_chunk = _discard
        self._decoder = None
        self._buffer.clear()
        connection = self.connection
        if connection is not None:
            self.phase = DRAINING
            self._size = 0
            if self._holds:
                self._holds = 0
                connection.resume_reading()
        elif self.error is None:
            self.phase = FINISHED
        self._wake()

    # For the transport.

    async def wait(self) -> None:
        """Wait until the head is there, the body has ended or the call has failed.

        Cancelling it closes the connection.
        """
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        except BaseException:
            self.abort()
            raise

    def set_callbacks(self, on_chunk: Callable[[bytes], None], on_end: Callable[[bool], None]) -> None:
        """Call *on_chunk* and *on_end* instead of waking a waiter; as `DirectTransport.begin`."""
        self._on_chunk, self._on_end = on_chunk, on_end

    def take_error(self) -> Exception:
        """Return the error that ended the call, to be raised once.

        The call gives the error up: an error must not be referred to by an object that its frames refer to.
        """
        error, self.error = self.error, _RAISED
        assert error is not None
        return error if error is not _RAISED else UpstreamTruncated("the call has failed")

    # For the connection.

    def start_body(self, status: int, fields: dict[str, bytes]) -> None:
        """Store the head. The body follows.

        Raises:
            UpstreamGarbled: the content-encoding is not supported.
        """
        self.status = status
        self.headers = Headers(fields)
        if (encoding := fields.get("content-encoding")) is not None:
            limits = self._limits
            self._decoder = decoder_for(
                encoding.decode("latin-1"),
                max_bytes=limits.max_body_bytes,
                free_bytes=limits.free_decoded_bytes,
                max_ratio=limits.max_ratio,
            )
        if self.phase != DRAINING:
            self.phase = IN_BODY

    def head_received(self) -> None:
        """Wake the waiter for the head, or go on with the callbacks."""
        if self._on_end is None:
            self._wake()
        elif self.status != 200:
            self._on_chunk = None
            self._call_on_end(complete=False)

    def feed(self, data: bytes) -> None:
        """Receive *data* of the body, the framing removed."""
        self._size += len(data)
        limits = self._limits
        if self.phase == DRAINING:
            if self._size > limits.drain_bytes and self.connection is not None:
                self.connection.drop()
        elif self._size > limits.max_body_bytes:
            self.fail(UpstreamGarbled(f"the answer is longer than {limits.max_body_bytes} bytes"))
        elif self._on_chunk is None:
            self._buffer.append(data)
            if self._size > limits.unread_bytes:
                self._hold(_UNREAD)
        elif self._decoder is None:
            self._emit(data)
        else:
            self._decoder.feed(data)
            self._decode()

    def end_body(self) -> None:
        """The body has ended on the wire. The connection serves other calls from now on."""
        self.connection = None
        if self.phase == DRAINING:
            self.phase = FINISHED
            return
        self.phase = BODY_RECEIVED
        if self._on_chunk is None:
            return
        if self._decoder is None:
            self._finish()
        else:
            self._decode()

    def fail(self, error: Exception) -> None:
        """End the call with *error*: close its connection and wake its waiter. Does nothing once the call is over."""
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.drop()
        if self.phase in (DRAINING, FINISHED) or self.error is not None:
            return
        self.error = error
        if self._on_chunk is not None:
            self._on_chunk = _discard
            self._decoder = None
            self._buffer.clear()
        self._wake()

    def is_held(self) -> bool:
        """Return whether the connection is not read from on behalf of this call."""
        return self._holds != 0

    # Passing on the body.

    def _flush(self) -> None:
        """Pass on what arrived before anybody asked for it."""
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
            self._decode()
        elif self.phase == BODY_RECEIVED and self.error is None:
            self.phase = FINISHED

    def _emit(self, data: bytes) -> None:
        on_chunk = self._on_chunk
        assert on_chunk is not None
        try:
            on_chunk(data)
        except Exception as error:  # noqa: BLE001 - the caller's own error; `pump` raises it
            self.fail(settled(error))

    def _decode(self) -> None:
        """Decode and pass on up to `TURN_BYTES`, as long as the caller accepts them."""
        decoded_bytes = 0
        while decoded_bytes < TURN_BYTES:
            decoder = self._decoder
            if decoder is None or self._on_chunk is None or self._holds & _PAUSED:
                return
            try:
                chunk = decoder.read()
                if not chunk:
                    self._unhold(_BACKLOG)
                    if self.phase == BODY_RECEIVED:
                        decoder.close()
                        self._finish()
                    return
            except TrunklineError as error:
                self.fail(stripped(error))
                return
            decoded_bytes += len(chunk)
            self._emit(chunk)
        self._hold(_BACKLOG)
        self._schedule_decoding()

    def _schedule_decoding(self) -> None:
        if not self._decoding_scheduled:
            self._decoding_scheduled = True
            asyncio.get_running_loop().call_soon(self._decode_scheduled)

    def _decode_scheduled(self) -> None:
        self._decoding_scheduled = False
        self._decode()

    def _finish(self) -> None:
        if self.error is None:
            self.phase = FINISHED
            self._wake()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None:
            if not waiter.done():
                waiter.set_result(None)
        elif self._on_end is not None:
            self._call_on_end(complete=self.error is None)

    def _call_on_end(self, *, complete: bool) -> None:
        on_end, self._on_end = self._on_end, None
        assert on_end is not None
        on_end(complete)

    def _hold(self, reason: int) -> None:
        held, self._holds = self._holds, self._holds | reason
        if not held and self.connection is not None and self.phase == IN_BODY:
            self.connection.pause_reading()

    def _unhold(self, reason: int) -> None:
        held, self._holds = self._holds, self._holds & ~reason
        if held and not self._holds and self.connection is not None:
            self.active = True  # the wait for the client does not count as the provider's idle time
            self.connection.resume_reading()
