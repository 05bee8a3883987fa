"""Time limits for uses of a database whose server may hang."""

import asyncio
import math
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any, Final

MARGIN_S: Final = 0.25
"""Seconds of a use's time that are kept for closing a connection that did not answer."""
CUT_S: Final = 0.05
"""Seconds before the end of a use at which its connections are cut."""


class TimeLimit:
    """Limits blocks of one database, and cuts the connections that a block uses at the end of its time.

    Cancellation is not enough: SQLAlchemy shields rollback and close from it, asyncpg waits for its own cancel request,
    and a server that hangs answers none of these.
    """

    def __init__(self) -> None:
        self._block: ContextVar[_Block | None] = ContextVar("block", default=None)
        """The innermost block of this task."""

    @asynccontextmanager
    async def block(self, limit_s: float) -> AsyncGenerator[None]:
        """Bound a block, which may be within another one.

        Raises:
            TimeoutError: its time is over.
        """
        outer = self._block.get()
        end = asyncio.get_running_loop().time() + max(limit_s - MARGIN_S, limit_s / 2)
        block = _Block(min(end, math.inf if outer is None else outer.end))
        token = self._block.set(block)
        try:
            async with asyncio.timeout_at(block.end):
                yield
        except asyncio.CancelledError:
            block.cut()  # what is shielded from the cancellation may still wait for an answer
            raise
        finally:
            self._block.reset(token)
            block.disarm()

    def guard(self, connection: Any) -> None:
        """Cut asyncpg's *connection* at the end of the running block."""
        block = self._block.get()
        if block is not None:
            block.guard(connection)


class _Block:
    """A running block. `end` is on the loop's clock."""

    __slots__ = ("_connections", "_timers", "end")

    def __init__(self, end: float) -> None:
        self.end = end
        self._connections: list[Any] = []
        self._timers: list[asyncio.TimerHandle] = []

    def guard(self, connection: Any) -> None:
        self._connections.append(connection)
        self._timers.append(asyncio.get_running_loop().call_at(self.end - CUT_S, connection.terminate))

    def cut(self) -> None:
        for connection in self._connections:
            connection.terminate()

    def disarm(self) -> None:
        for timer in self._timers:
            timer.cancel()
