"""Work of many requests, done together: the same step of each, one after the other.

A step may leave something to be done once the journal has what the steps of all of them put there, which it then takes
in one write.

What could be done in a callback of the event loop is put off to its next iteration, where everything that came in this
one has its turn: a step that was just done is still in the processor's caches for the next request, and no answer ends
inside the call that read its bytes. It costs one callback for all of them.

What the steps have to send leaves when all are done. A peer that was woken by the first of them is still awake for the
others, and waking one costs more than sending. Beside other work, that is a tenth of a request's processor time.
"""

import asyncio
from collections.abc import Callable
from typing import TypeAlias

Written: TypeAlias = Callable[[OSError | None], None]
"""Called when the journal was written, with what went wrong, if it did."""
Step: TypeAlias = Callable[[], Written | None]
Send: TypeAlias = Callable[[], None]


class WriteBatcher:
    """Calls what it was given, in order, in the next iteration of the running event loop."""

    __slots__ = ("_due", "_sending", "_taking", "_waiting", "_write")

    def __init__(self, write: Callable[[], OSError | None]) -> None:
        """*write* is `Journal.write`."""
        self._write = write
        self._waiting: list[Step] = []
        self._sending: list[Send] = []
        self._due = False
        """The loop will call `_take`."""
        self._taking = False

    def add(self, step: Step) -> None:
        """Call *step* then, and what it returns once the journal is written. Neither may raise."""
        if not self._due:
            self._due = True
            asyncio.get_running_loop().call_soon(self._take)
        self._waiting.append(step)

    def send(self, send: Send) -> None:
        """Call *send* when the steps are done: those under way, or else the next ones. It may not raise."""
        if not self._due and not self._taking:
            self._due = True
            asyncio.get_running_loop().call_soon(self._take)
        self._sending.append(send)

    def _take(self) -> None:
        self._due, self._taking = False, True
        waiting, self._waiting = self._waiting, []
        try:
            left = [after for step in waiting if (after := step()) is not None]
            self._send()
            if left:
                failure = self._write()
                for after in left:
                    after(failure)
                self._send()
        finally:
            self._taking = False

    def _send(self) -> None:
        sending, self._sending = self._sending, []
        for send in sending:
            send()
