"""Connections to PostgreSQL that do not outlive the time limit of their use. It needs `trunkline[postgres]`."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import asyncpg
from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

CLOSE_S: Final = 0.25
"""Seconds for a connection to say goodbye. A server that hangs does not answer."""


def connection_class(opened: Callable[[Any], None]) -> type[Any]:
    """A class of connections that calls *opened* with each new one, and closes it within `CLOSE_S`."""

    class BoundedConnection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            opened(self)

        async def close(self, *, timeout: float | None = None) -> None:
            """Say goodbye if the server listens; close the socket in any case."""
            try:
                async with asyncio.timeout(min(timeout or CLOSE_S, CLOSE_S)):
                    await super().close()
            except TimeoutError:
                self.terminate()

    return BoundedConnection


def guard_uses(engine: AsyncEngine, guard: Callable[[Any], None]) -> None:
    """Call *guard* with each pooled connection that is used again; open a new one in place of one that is closed.

    The server's end closes a connection without a question. A question (`pool_pre_ping`) would cost a round trip per
    use, and hangs with a server that hangs.
    """

    def on_checkout(_connection: Any, record: Any, _proxy: object) -> None:
        raw = record.driver_connection
        if raw.is_closed():
            raise DisconnectionError
        guard(raw)

    event.listen(engine.sync_engine, "checkout", on_checkout)
