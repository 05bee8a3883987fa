"""The port `LeaseStore` over the database: the table `key_budget_leases`.

A grant is one transaction. In SQLite it has the write lock from its begin; in PostgreSQL it holds an advisory lock for
the key. Leases end by the clock of the PostgreSQL server, or of the one machine that SQLite is on.
"""

import asyncio
import secrets
from collections.abc import Callable, Collection
from typing import Any, Final

from sqlalchemy import delete, func, select, text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection

from trunkline.ledger.lease import LeaseAnswer, LeaseRequest, grant
from trunkline.model.errors import DatabaseUnavailable
from trunkline.model.money import MAX_PICO, Pico
from trunkline.storage.database import Database, upsert
from trunkline.storage.lease_store import StoreUnavailable
from trunkline.storage.tables import COUNTERS, KEY_BUDGET_LEASES, KEY_SPEND

LEASE_S: Final = 30.0
"""Seconds after which what a silent process holds is granted to others."""
TIMEOUT_S: Final = 5.0
"""Seconds for one transaction."""
_MILLION: Final = 10**6

_lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:key_id, 7241))")
_server_time = text("SELECT CAST(extract(epoch FROM clock_timestamp()) AS double precision)")


class DatabaseLeases:
    """The port `LeaseStore`, for one process."""

    name = "the database"
    tick_s = 1.0
    renew_s = 10.0
    valid_s = 20.0
    needs_totals = False

    def __init__(self, database: Database, *, now: Callable[[], float], holder: str, share: int) -> None:
        """A store over an open database.

        Args:
            database: closed by the caller.
            now: Unix seconds; used with SQLite.
            holder: a name that no other process has or had.
            share: one part in so many of what is left is granted at least.
        """
        self._database = database
        self._now = now
        self._holder = holder
        self._share = share
        self._upsert = _upsert(database.dialect)

    async def sync(self, request: LeaseRequest) -> LeaseAnswer:
        """As `LeaseStore.sync`."""
        try:
            async with asyncio.timeout(TIMEOUT_S), self._database.write() as connection:
                return await self._sync(connection, request)
        except (DatabaseUnavailable, SQLAlchemyError, OSError, TimeoutError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def _sync(self, connection: AsyncConnection, request: LeaseRequest) -> LeaseAnswer:
        leases, key_id = KEY_BUDGET_LEASES.c, request.key_id
        now = await self._begin(connection, key_id)
        await connection.execute(delete(KEY_BUDGET_LEASES).where(leases.key_id == key_id, leases.expires < now))
        spent = await _spent(connection, key_id)
        query = select(leases.holder, leases.held_pico, leases.seq).where(leases.key_id == key_id)
        others = 0
        for holder, held, seq in await connection.execute(query):
            if holder != self._holder:
                others += held
            elif seq > request.seq:
                raise StoreUnavailable("a late request")
        granted = grant(request, spent=spent, others=others, share=self._share)
        held = request.held + granted
        if held:
            values = {"key_id": key_id, "holder": self._holder, "seq": request.seq, "expires": now + LEASE_S}
            await connection.execute(self._upsert, {**values, "held_pico": min(held, MAX_PICO)})
        else:
            mine = (leases.key_id == key_id, leases.holder == self._holder)
            await connection.execute(delete(KEY_BUDGET_LEASES).where(*mine))
        return LeaseAnswer(granted=granted, spent=spent, others=others)

    async def _begin(self, connection: AsyncConnection, key_id: str) -> float:
        """Keep other processes from the key's leases until the transaction ends. Return the time."""
        if self._database.dialect != "postgresql":
            return self._now()
        await connection.execute(_lock, {"key_id": key_id})
        return float(await connection.scalar(_server_time) or 0)

    async def epoch(self) -> str:
        """As `LeaseStore.epoch`: a database does not lose its data."""
        return ""

    async def release(self, holders: Collection[str], key_ids: Collection[str]) -> None:
        """As `LeaseStore.release`; of every key."""
        del key_ids
        if not holders:
            return
        leases = KEY_BUDGET_LEASES.c
        try:
            async with asyncio.timeout(TIMEOUT_S):
                async with self._database.read() as connection:
                    query = select(leases.key_id).where(leases.holder.in_(list(holders))).limit(1)
                    if await connection.scalar(query) is None:
                        return
                async with self._database.write() as connection:
                    await connection.execute(delete(KEY_BUDGET_LEASES).where(leases.holder.in_(list(holders))))
        except (DatabaseUnavailable, SQLAlchemyError, OSError, TimeoutError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def close(self) -> None:
        """As `LeaseStore.close`: the database is the caller's."""


async def database_id(database: Database) -> str:
    """Return the database's own name: the same for all processes that use it, and no other database has it."""
    query = select(COUNTERS.c.value).where(COUNTERS.c.name == "database")
    async with database.read() as connection:
        found = await connection.scalar(query)
    if found is None:
        statement = upsert(database.dialect, COUNTERS).values(name="database", value=secrets.randbits(62))
        async with database.write() as connection:
            await connection.execute(statement.on_conflict_do_nothing())
            found = await connection.scalar(query)
    return str(found)


async def _spent(connection: AsyncConnection, key_id: str) -> Pico:
    cost = KEY_SPEND.c.cost_pico
    # In two parts, because SQLite fails on a sum that does not fit into 64 bits.
    query = select(func.sum(cost // _MILLION), func.sum(cost % _MILLION)).where(KEY_SPEND.c.key_id == key_id)
    high, low = (await connection.execute(query)).one()
    return int(high or 0) * _MILLION + int(low or 0)


def _upsert(dialect: str) -> Any:
    """Return the statement that stores a lease."""
    statement = upsert(dialect, KEY_BUDGET_LEASES)
    changed = {name: statement.excluded[name] for name in ("held_pico", "seq", "expires")}
    return statement.on_conflict_do_update(index_elements=["key_id", "holder"], set_=changed)
