"""The connections of one origin: how many there may be, which are idle, and who waits for one.

A slot is the right to have one connection. A connection that is dropped gives its slot back by `Pool.release_slot`, and
so does a caller that was given a slot and opens no connection. While a caller waits, no connection is idle and no slot
is free: both are handed to the waiter directly.
"""

import asyncio
import contextlib
from collections import deque
from typing import Generic, Protocol, TypeVar

from trunkline.model.errors import TrunklineError, UpstreamOverloaded
from trunkline.transport.addresses import Address


class Pooled(Protocol):
    """A connection, as its pool sees it."""

    closed: bool
    idle_since: float
    """Monotonic seconds when `Deadlines` first saw it idle; below 0 before that."""

    def drop(self, *, free_slot: bool = True) -> None:
        """Close the connection; with *free_slot*, give its slot back too. Does nothing the second time."""
        ...


C = TypeVar("C", bound=Pooled)


class Pool(Generic[C]):
    """One origin's connections. The last to become idle is the first to be used, so that the others can expire."""

    __slots__ = ("_limit", "_open", "address", "idle", "waiters")

    def __init__(self, address: Address, limit: int) -> None:
        """An empty pool for *address* with *limit* slots."""
        self.address = address
        self.idle: list[C] = []
        self.waiters: deque[tuple[asyncio.Future[C | TrunklineError | None], float]] = deque()
        """First come, first served; each with the monotonic time when it gives up."""
        self._limit = limit
        self._open = 0

    async def acquire(self, until: float, *, fresh: bool) -> C | None:
        """Return an idle connection, or None: then the caller has a slot and opens a connection.

        Args:
            until: monotonic seconds when the caller gives up, at the next `expire`.
            fresh: return None in any case; where no slot is free, an idle connection is closed for its slot.

        Raises:
            UpstreamOverloaded: no connection or slot was free in time.
        """
        while True:
            if self.idle:
                if not fresh:
                    return self.idle.pop()
                if self._open >= self._limit:
                    self.idle.pop(0).drop(free_slot=False)
                    return None
            if self._open < self._limit:
                self._open += 1
                return None
            connection = await self._wait(until)
            if connection is None:
                return None
            if connection.closed:  # after it was handed over; its slot is released already
                continue
            if not fresh:
                return connection
            connection.drop(free_slot=False)
            return None

    def put(self, connection: C) -> None:
        """Hand *connection*, which can be used again, to a waiter, or keep it as idle."""
        connection.idle_since = -1.0
        while self.waiters:
            waiter, _ = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self.idle.append(connection)

    def remove(self, connection: C) -> None:
        """Remove *connection*, which has closed, from the idle ones, if it is there."""
        with contextlib.suppress(ValueError):
            self.idle.remove(connection)

    def release_slot(self) -> None:
        """Hand a slot to a waiter, or count it as free."""
        while self.waiters:
            waiter, _ = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self._open -= 1

    def expire(self, now: float) -> None:
        """Fail the waiters whose time is over at *now* (monotonic seconds)."""
        for waiter, until in self.waiters:
            if now >= until and not waiter.done():
                waiter.set_result(UpstreamOverloaded("no connection to the provider was free in time"))

    def fail_waiters(self, error: TrunklineError) -> None:
        """Fail all waiters with *error*."""
        while self.waiters:
            waiter, _ = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(error)

    async def _wait(self, until: float) -> C | None:
        waiter: asyncio.Future[C | TrunklineError | None] = asyncio.get_running_loop().create_future()
        entry = (waiter, until)
        self.waiters.append(entry)
        try:
            result = await waiter
        except asyncio.CancelledError:
            if not waiter.cancelled():
                self._return(waiter.result())
            raise
        finally:
            with contextlib.suppress(ValueError):
                self.waiters.remove(entry)
        if isinstance(result, TrunklineError):
            try:
                raise result
            finally:
                del result, waiter, entry  # the traceback refers to this frame
        return result

    def _return(self, result: C | TrunklineError | None) -> None:
        """Return *result*, which a waiter got and did not see because it was cancelled."""
        if result is None:
            self.release_slot()
        elif not isinstance(result, TrunklineError) and not result.closed:
            self.put(result)
