"""What the core asks of the world, in the core's words. Tests hand in their own."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from msgspec import Struct

from trunkline.model.key import Key
from trunkline.model.record import GenerationRecord


class Clock(Protocol):
    """Time. `now` is Unix seconds and may jump; `monotonic` is seconds since some moment and never goes back."""

    def now(self) -> float:
        """Unix seconds."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow; durations come from this."""
        ...


class Timeouts(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Limits on one upstream call, in seconds. Source: reliability §3."""

    connect_s: float = 10.0
    """DNS, TCP, proxy and TLS together."""
    first_byte_s: float = 120.0
    """From the request's last byte to the response head's last."""
    first_content_s: float = 300.0
    """From the request's last byte to the first event with content."""
    idle_s: float = 120.0
    """Without a byte, once the head is there; and without progress of the request's upload."""
    content_idle_s: float = 180.0
    """Without an event with content: pings and comments alone do not count."""
    total_s: float = 600.0
    """The whole call, streams included."""
    pool_wait_s: float = 2.0
    """For a connection to be free where the origin's limit is reached."""


class UpstreamRequest(Struct, frozen=True, kw_only=True, gc=False):
    """An HTTP request that is ready to leave.

    `origin` is `scheme://host:port` from the operator's configuration, never from a client. `head` is the request line
    and all headers but `content-length`, each line ended with CRLF, without the blank line: prepared when the
    configuration loads.
    """

    origin: str
    head: bytes
    body: bytes
    timeouts: Timeouts
    max_connections: int = 1000
    """To the origin, at one time."""


class Response(Protocol):
    """An upstream's answer, its head read, its body under way. Exactly one of `read`, `pump`, `abort` ends it."""

    status: int
    headers: Mapping[str, str]
    """Lower-case names; the last of several wins, except that `set-cookie` is dropped."""

    async def read(self, limit: int) -> bytes:
        """The whole body, content-encoding removed.

        Raises:
            UpstreamGarbled: it is longer than *limit* bytes, or not what its headers say.
            UpstreamTruncated, UpstreamTimeout: as `pump`.
        """
        ...

    async def pump(self, on_chunk: Callable[[bytes], None]) -> None:
        """Call *on_chunk* with each piece of the body as it arrives (content-encoding removed), return at its end.

        The call is made from the event loop's reader, with no task in between; it must not block. An exception that
        it raises closes the connection and is raised here. The connection goes back to its pool when the body was read
        to its end, else it is closed.

        Raises:
            UpstreamTruncated: the connection ended before the body did.
            UpstreamGarbled: not HTTP, not the encoding it says, or over a bound.
            UpstreamTimeout: `idle_s` or `total_s` passed.
        """
        ...

    def pause(self) -> None:
        """Stop reading: the client is slow. Idle time is not counted until `resume`."""
        ...

    def resume(self) -> None:
        """Read on."""
        ...

    def abort(self) -> None:
        """Close the connection now; a `pump` or `read` under way raises `UpstreamTruncated`. Does nothing twice."""
        ...

    def release(self) -> None:
        """The rest does not matter: read to the end for a moment and bounded, to keep the connection, else close it.

        A `pump` under way returns at once. Does nothing after `abort` or the body's end.
        """
        ...


class Transport(Protocol):
    """How requests leave."""

    def send(self, request: UpstreamRequest) -> Awaitable[Response]:
        """Send *request* and wait for the head of the answer. Cancelling the call closes the connection.

        A pooled connection that closed before any byte of the answer came is replaced once.

        Raises:
            UpstreamUnreachable: DNS, refused, no route, TLS, proxy, or closed before any byte of the answer.
            UpstreamTimeout: no connection or no head in time.
            UpstreamOverloaded: no connection was free within `pool_wait_s`.
            UpstreamGarbled: the answer's head is not HTTP, or over a bound.
            UpstreamTruncated: the connection ended inside the head.
        """
        ...

    async def close(self) -> None:
        """Close every connection. Nothing is sent after this."""
        ...


class DirectTransport(Transport, Protocol):
    """A transport that can also do without a task, where nothing but bytes has to be waited for."""

    def begin(
        self, request: UpstreamRequest, on_chunk: Callable[[bytes], None], on_end: Callable[[bool], None]
    ) -> Response | None:
        """As `send` and `pump` in one, with no task: None, and nothing done, where that would have to wait.

        *on_chunk* is called as `pump` calls it, if the status is 200. *on_end* is called once, from the event loop's
        reader or from `abort` or `release`: with True where the body has ended or was released, else with False. Then
        the call is where `send` would have got to, and `headed` goes on with it. Until one of the two was called the
        response has no status yet.
        """
        ...

    def headed(self, response: Response) -> Awaitable[Response]:
        """What `send` would have returned or raised for *response*, which `begin` made and which did not go well."""
        ...


JSON = b"application/json"
EVENT_STREAM = b"text/event-stream; charset=utf-8"
"""The two content types of answers."""


class Listener(Protocol):
    """Whoever answers, told how the client does."""

    def client_gone(self) -> None:
        """It went away before its answer's end. Said once."""
        ...

    def client_slow(self) -> None:
        """It reads too slowly."""
        ...

    def client_ready(self) -> None:
        """It has caught up."""
        ...

    def tick(self, now: float) -> None:
        """It is neither slow nor gone: said now and then, with the monotonic time."""
        ...


class Sink(Protocol):
    """A client's side of one answer: `respond`, or `start` and any number of `write`, the last with `last=True`.

    Writes after the client has gone are dropped. *headers* are whole lines.
    """

    listener: Listener | None
    """Told of what the client does until the answer's end."""

    @property
    def started(self) -> bool:
        """Whether the answer has begun."""
        ...

    @property
    def gone(self) -> bool:
        """Whether the client has gone away."""
        ...

    def start(self, status: int, content_type: bytes, headers: bytes = b"") -> None:
        """Begin a streamed answer; its head leaves with the first write."""
        ...

    def write(self, data: bytes, *, last: bool = False) -> None:
        """Send *data* of a streamed answer; with *last* it is complete."""
        ...

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """Send a whole answer."""
        ...


class Journal(Protocol):
    """Where finished generations go before the client sees the end of its answer."""

    def append(self, generation: GenerationRecord) -> None:
        """Make *generation* survive a killed process; one `write`, no wait.

        Raises:
            OSError: the disk is full or gone.
        """
        ...

    def put(self, generation: GenerationRecord) -> None:
        """As `append`, but the next `write` is what makes it so. No `await` may stand between the two."""
        ...

    def write(self) -> OSError | None:
        """Write all that was `put`, at once; what `append` would raise, which then is true of all of it."""
        ...


class CachedAnswer(Struct, frozen=True, gc=False):
    """What an `AnswerCache` has: what was put there, and how many seconds it will still be there."""

    value: bytes
    left_s: float


class AnswerCache(Protocol):
    """Keeps bytes for a while, or a shorter one. Nothing that goes wrong in it is raised: an answer is not lost by it.

    An implementation that needs the network is bounded in time: what does not come soon is not there.
    """

    async def get(self, key: bytes) -> CachedAnswer | None:
        """What is kept under *key*, or None."""
        ...

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """Keep *value* under *key* for *ttl_s* seconds, in place of what was there."""
        ...

    async def delete(self, key: bytes) -> None:
        """Keep nothing under *key*."""
        ...


class KeyStore(Protocol):
    """Keys as the way of a request sees them: in memory, kept fresh by whoever owns it."""

    def find(self, digest: str) -> Key | None:
        """The key whose hex SHA-256 is *digest*, or None. Disabled and expired ones are found too."""
        ...
