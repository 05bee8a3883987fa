"""Work of many requests, done together: the same step of each, one after the other.

What could be done in a callback of the event loop is put off to its next iteration, where everything that came in this
one has its turn: a step that was just done is still in the processor's caches for the next request, and no answer ends
inside the call that read its bytes. It costs one callback for all of them.
"""

import asyncio
from collections.abc import Callable


class Turns:
    """Calls what it was given, in order, in the next iteration of the running event loop."""

    __slots__ = ("_waiting",)

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def add(self, step: Callable[[], None]) -> None:
        """Call *step* then; it must not raise."""
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._take)
        self._waiting.append(step)

    def _take(self) -> None:
        waiting, self._waiting = self._waiting, []
        for step in waiting:
            step()
