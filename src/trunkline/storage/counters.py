"""Change counters of tables, from which every process learns that a table has changed."""

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from trunkline.storage.database import upsert
from trunkline.storage.tables import COUNTERS


async def increment_counter(connection: AsyncConnection, name: str) -> None:
    """Count a change of the table *name* in this transaction.

    The counter's row stays locked until the transaction ends, so one such transaction runs at a time.
    """
    statement = upsert(connection.dialect.name, COUNTERS).values(name=name, value=1)
    added = {"value": COUNTERS.c.value + literal(1)}
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=added))


async def read_counter(connection: AsyncConnection, name: str) -> int:
    """Return how many times the table *name* has changed."""
    return await connection.scalar(select(COUNTERS.c.value).where(COUNTERS.c.name == name)) or 0
