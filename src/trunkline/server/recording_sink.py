"""An answer on its way to a client, remembered: for those who keep it (`idempotency`, `response_cache`)."""

from collections.abc import Callable
from typing import Protocol

from trunkline.model.errors import AttemptRecord, TrunklineError
from trunkline.ports import EVENT_STREAM, JSON, Listener, Sink


class Answering(Protocol):
    """What answers one request: an `engine.generation.Generation`, or what stands before one."""

    @property
    def error(self) -> TrunklineError | None:
        """What it ended in, where that was no success."""
        ...

    @property
    def attempts(self) -> tuple[AttemptRecord, ...]:
        """Those that failed, oldest first."""
        ...

    async def run(self) -> None:
        """Answer, once."""
        ...


class Recorder:
    """A `Sink` that remembers what goes through it to another one, and holds the end back until `release`.

    An answer's body that is longer than *max_bytes* is passed on and not remembered.
    """

    listener: Listener | None = None

    def __init__(self, sink: Sink, max_bytes: int) -> None:
        self._sink = sink
        self._max_bytes = max_bytes
        sink.listener = self
        self._pieces: list[bytes] = []
        self._size = 0
        self._held: Callable[[], None] | None = None
        # A stream that a comment began is one of these.
        self.status = 200
        self.content_type = EVENT_STREAM

    @property
    def body(self) -> bytes | None:
        """The answer's body; None where it did not come to its end, or is too long to be kept."""
        return None if self._held is None or self._size > self._max_bytes else b"".join(self._pieces)

    def release(self) -> None:
        """Send what was held back, if the client is still there; the answer is over."""
        held, self._held = self._held, None
        if held is not None:
            held()
        self._sink.listener = None  # the two refer to each other

    def start(self, status: int, content_type: bytes, headers: bytes = b"") -> None:
        """As `Sink.start`."""
        self.status, self.content_type = status, content_type
        self._sink.start(status, content_type, headers)

    def write(self, data: bytes, *, last: bool = False) -> None:
        """As `Sink.write`, the last excepted."""
        if self._sink.gone:
            return
        self._keep(data)
        if last:
            self._held = lambda: self._sink.write(data, last=True)
        else:
            self._sink.write(data)

    def respond(self, status: int, body: bytes, content_type: bytes = JSON, headers: bytes = b"") -> None:
        """As `Sink.respond`, later."""
        if self._sink.gone:
            return
        self.status, self.content_type = status, content_type
        self._keep(body)
        self._held = lambda: self._sink.respond(status, body, content_type, headers)

    def _keep(self, data: bytes) -> None:
        self._size += len(data)
        if self._size <= self._max_bytes:
            self._pieces.append(data)
        else:
            self._pieces.clear()

    # What is the other sink's.

    @property
    def started(self) -> bool:
        """As `Sink`'s."""
        return self._held is not None or self._sink.started

    @property
    def gone(self) -> bool:
        """As `Sink`'s."""
        return self._sink.gone

    def client_gone(self) -> None:
        """As `Listener.client_gone`."""
        if self.listener is not None:
            self.listener.client_gone()

    def client_slow(self) -> None:
        """As `Listener.client_slow`."""
        if self.listener is not None:
            self.listener.client_slow()

    def client_ready(self) -> None:
        """As `Listener.client_ready`."""
        if self.listener is not None:
            self.listener.client_ready()

    def tick(self, now: float) -> None:
        """As `Listener.tick`."""
        if self.listener is not None:
            self.listener.tick(now)
