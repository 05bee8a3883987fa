"""An answer on its way to a client, remembered: for those who keep it (`idempotency`, `response_cache`)."""

from collections.abc import Callable
from typing import Protocol

from trunkline.model.errors import Attempt, TrunklineError
from trunkline.ports import EVENT_STREAM, JSON, Sink


class Answering(Protocol):
    """What answers one request: an `upstream.answer.Answer`, or what stands before one."""

    @property
    def error(self) -> TrunklineError | None:
        """What it ended in, where that was no success."""
        ...

    @property
    def attempts(self) -> tuple[Attempt, ...]:
        """Those that failed, oldest first."""
        ...

    async def run(self) -> None:
        """Answer, once."""
        ...


class Recorder:
    """A `Sink` that remembers what goes through it to another one, and holds the end back until `release`.

    An answer's body that is longer than *max_bytes* is passed on and not remembered.
    """

    on_gone: Callable[[], None] | None = None
    on_pause: Callable[[], None] | None = None
    on_resume: Callable[[], None] | None = None
    on_tick: Callable[[float], None] | None = None

    def __init__(self, sink: Sink, max_bytes: int) -> None:
        self._sink = sink
        self._max_bytes = max_bytes
        sink.on_gone, sink.on_pause = self._on_gone, self._on_pause
        sink.on_resume, sink.on_tick = self._on_resume, self._on_tick
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
        """Send what was held back, if the client is still there."""
        held, self._held = self._held, None
        if held is not None:
            held()

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

    def _on_gone(self) -> None:
        if self.on_gone is not None:
            self.on_gone()

    def _on_pause(self) -> None:
        if self.on_pause is not None:
            self.on_pause()

    def _on_resume(self) -> None:
        if self.on_resume is not None:
            self.on_resume()

    def _on_tick(self, now: float) -> None:
        if self.on_tick is not None:
            self.on_tick(now)
