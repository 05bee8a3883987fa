"""Interfaces to the outside world (clock, network, clients, storage) in the core's terms. Tests pass their own."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from trunkline.model.key import Key
from trunkline.model.record import GenerationRecord


class Clock(Protocol):
    """Time. `now` is Unix seconds and may jump; `monotonic` is seconds since an arbitrary start and never decreases."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Monotonic seconds, for durations."""
        ...


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on one upstream call, in seconds. Source: docs/reference/reliability.md, "Rules"."""

    connect_s: float = 10.0
    """DNS, TCP, proxy and TLS together."""
    first_byte_s: float = 120.0
    """From the last byte of the request to the end of the response head."""
    first_content_s: float = 300.0
    """From the last byte of the request to the first event with content."""
    idle_s: float = 120.0
    """Without any byte after the response head, and without progress of the request's upload."""
    content_idle_s: float = 180.0
    """Without an event with content. Pings and comments do not count."""
    total_s: float = 600.0
    """The whole call, including streams."""
    pool_wait_s: float = 2.0
    """Waiting for a free connection where the origin's limit is reached."""


class UpstreamRequest(Struct, frozen=True, kw_only=True, gc=False):
    """An HTTP request that is ready to send.

    `origin` is `scheme://host:port` from the operator's configuration, never from a client. `head` is the request line
    and all headers except `content-length`, each line ending with CRLF, without the final blank line. It is prepared
    when the configuration loads.
    """

    origin: str
    head: bytes
    body: bytes
    timeouts: Timeouts
    max_connections: int = 1000
    """The maximum number of simultaneous connections to the origin."""


class Response(Protocol):
    """An upstream's response whose head has been read. Exactly one of `read`, `pump`, `abort` ends it."""

    status: int
    headers: Mapping[str, str]
    """Headers with lower-case names. The last of several values wins; `set-cookie` is dropped."""

    async def read(self, limit: int) -> bytes:
        """The whole body, with content-encoding removed.

        Raises:
            UpstreamGarbled: the body is longer than *limit* bytes, or does not match its headers.
            UpstreamTruncated, UpstreamTimeout: as `pump`.
        """
        ...

    async def pump(self, on_chunk: Callable[[bytes], None]) -> None:
        """Call *on_chunk* with each piece of the body as it arrives (content-encoding removed); return at its end.

        The event loop's reader calls it directly, without a task; it must not block. An exception that it raises closes
        the connection and is raised here. The connection returns to its pool where the body was read to its end;
        otherwise it is closed.

        Raises:
            UpstreamTruncated: the connection ended before the body did.
            UpstreamGarbled: invalid HTTP or content-encoding, or a limit was exceeded.
            UpstreamTimeout: `idle_s` or `total_s` passed.
        """
        ...

    def pause(self) -> None:
        """Stop reading because the client is slow. Idle time is not counted until `resume`."""
        ...

    def resume(self) -> None:
        """Continue reading."""
        ...

    def abort(self) -> None:
        """Close the connection now.

        A running `pump` or `read` raises `UpstreamTruncated`. Repeated calls have no effect.
        """
        ...

    def release(self) -> None:
        """Discard the rest of the body: read a bounded amount for a moment to reuse the connection, else close it.

        A running `pump` returns at once. Has no effect after `abort` or after the body's end.
        """
        ...


class Transport(Protocol):
    """Sends requests to upstreams."""

    def send(self, request: UpstreamRequest) -> Awaitable[Response]:
        """Send *request* and wait for the head of the response. Cancelling the call closes the connection.

        A pooled connection that was closed before any byte of the response is replaced once.

        Raises:
            UpstreamUnreachable: DNS, refused, no route, TLS, proxy, or closed before any byte of the response.
            UpstreamTimeout: no connection or no head in time.
            UpstreamOverloaded: no connection was free within `pool_wait_s`.
            UpstreamGarbled: the head is not valid HTTP, or exceeds a limit.
            UpstreamTruncated: the connection ended inside the head.
        """
        ...

    async def close(self) -> None:
        """Close every connection. No request can be sent afterwards."""
        ...


class DirectTransport(Transport, Protocol):
    """A transport that can also send without a task where it does not have to wait for a connection."""

    def begin(
        self, request: UpstreamRequest, on_chunk: Callable[[bytes], None], on_end: Callable[[bool], None]
    ) -> Response | None:
        """Start `send` and `pump` without a task. Returns None, with no side effect, where it would have to wait.

        *on_chunk* is called as `pump` calls it, if the status is 200. *on_end* is called once, from the event loop's
        reader or from `abort` or `release`: with True where the body has ended or was released, otherwise with False.
        After False the call is in the state that `send` would have reached, and `headed` continues it. Until one of the
        two callbacks was called the response has no status.
        """
        ...

    def headed(self, response: Response) -> Awaitable[Response]:
        """What `send` would have returned or raised for *response*, after `on_end` was called with False."""
        ...


JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
"""The two content types of responses."""


class Listener(Protocol):
    """Receives notifications about the client of a response."""

    def client_gone(self) -> None:
        """The client disconnected before the response's end. Called once."""
        ...

    def client_slow(self) -> None:
        """The client reads too slowly."""
        ...

    def client_ready(self) -> None:
        """The client has caught up."""
        ...

    def tick(self, now: float) -> None:
        """Called periodically with the monotonic time while the client is neither slow nor gone."""
        ...


class Sink(Protocol):
    """The client's side of one response: `respond`, or `start` and then `write` calls, the last with `last=True`.

    Writes after the client has disconnected are dropped. *headers* are complete lines.
    """

    listener: Listener | None
    """Notified of the client's state until the response's end."""

    @property
    def started(self) -> bool:
        """Whether the response has started."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has disconnected."""
        ...

    def start(self, status: int, content_type: bytes, headers: bytes = b"") -> None:
        """Start a streamed response; its head is sent with the first write."""
        ...

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Send *data* of a streamed response; with *last* the response is complete."""
        ...

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """Send a complete response."""
        ...


class Journal(Protocol):
    """Stores finished generations before the client sees the end of its response."""

    def append(self, generation: GenerationRecord) -> None:
        """Store *generation* so that it survives a killed process; one `write` system call, no waiting.

        Raises:
            OSError: the disk is full or not available.
        """
        ...

    def put(self, generation: GenerationRecord) -> None:
        """Buffer *generation*; the next `write` stores it. There must be no `await` between the two."""
        ...

    def write(self) -> OSError | None:
        """Write all buffered generations at once.

        Returns the OSError that `append` would raise, which then applies to all.
        """
        ...

    def begin(self, intent: bytes) -> int:
        """Store *intent* (`model.Intent` as JSON) so that it survives a killed process. No system call, no waiting.

        Call it before the request is sent. Returns a number for `end`.

        Raises:
            OSError: the disk is full or not available.
        """
        ...

    def end(self, intent: int) -> None:
        """Forget an intent whose record was stored."""
        ...


class CachedAnswer(Struct, frozen=True, gc=False):
    """A cached value and the number of seconds until it expires."""

    value: bytes
    remaining_s: float


class AnswerCache(Protocol):
    """Stores bytes for at most a given time. Failures are never raised: a failing cache must not lose a response.

    An implementation that uses the network has a time limit, after which the value counts as missing.
    """

    async def get(self, key: bytes) -> CachedAnswer | None:
        """The value under *key*, or None."""
        ...

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Store *value* under *key* for *ttl_s* seconds, replacing the previous value."""
        ...

    async def delete(self, key: bytes) -> None:
        """Remove the value under *key*."""
        ...


class KeyStore(Protocol):
    """API keys in memory, as request handling needs them; the owner keeps them current."""

    def find(self, digest: str) -> Key | None:
        """The key whose hex SHA-256 is *digest*, or None. Disabled and expired keys are returned too."""
        ...
