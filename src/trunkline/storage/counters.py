"""Counters that tell every process when a table has changed."""

from sqlalchemy import literal, select
from sqlalchemy.ext.asyncio import AsyncConnection

from trunkline.storage.database import upsert
from trunkline.storage.tables import COUNTERS


async def count_up(connection: AsyncConnection, name: str) -> None:
    """Let everybody know that the table *name* changes with this transaction, which is alone from here on."""
    statement = upsert(connection.dialect.name, COUNTERS).values(name=name, value=1)
    added = {"value": COUNTERS.c.value + literal(1)}
    await connection.execute(statement.on_conflict_do_update(index_elements=["name"], set_=added))


async def counted(connection: AsyncConnection, name: str) -> int:
    """How often the table *name* has changed."""
    return await connection.scalar(select(COUNTERS.c.value).where(COUNTERS.c.name == name)) or 0
