"""Insertion of generations into the database in batches, each id once.

A batch is one transaction: the rows, and their sums in `key_spend`. Rows are inserted by statements of 250, 50, 10 and
1 rows. `executemany` would release the interpreter lock twice per row, which costs milliseconds each time beside a busy
event loop. For the same reason a batch for SQLite is written in one call, in a thread: each awaited statement is two
hops between threads. SQLAlchemy makes the statements once. The values are bound parameters that it does not process.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import chain
from typing import Any, Final

from sqlalchemy import Column, ColumnElement, Connection, Engine, case, insert, select
from sqlalchemy.dialects import registry
from sqlalchemy.engine import Dialect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from trunkline.model.money import MAX_PICO
from trunkline.storage.database import Database, upsert
from trunkline.storage.journal import Row
from trunkline.storage.tables import GENERATIONS, KEY_SPEND

_SIZES: Final = (250, 50, 10, 1)
_COUNTS: Final = ("cost_pico", "requests", "prompt_tokens", "completion_tokens")
_RACES: Final = 3
"""Retries where another process inserts the same ids at the same time. It can happen in a replay only."""


class Inserter:
    """Inserts generations into one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.engine.dialect
        self._inserts = _inserts(f"{dialect.name}.{dialect.driver}")
        self._spend = _spend(dialect.name)

    async def insert(self, rows: Sequence[Row]) -> int:
        """Insert *rows*, durably. Return how many were new; a row whose id exists changes nothing.

        Raises:
            DatabaseUnavailable: the database is away.
            SQLAlchemyError: it refuses a row.

        Nothing of the batch is stored then.
        """
        try:
            return await self._run(self._write, rows)
        except IntegrityError:
            return await self.insert_new(rows)

    async def insert_new(self, rows: Sequence[Row]) -> int:
        """As `insert`, for rows some of which probably exist: it looks up the ids first."""
        for remaining in range(_RACES, -1, -1):
            try:
                return await self._run(self._write_new, rows)
            except IntegrityError:
                if not remaining:
                    raise
        raise AssertionError("unreachable")

    async def insert_within(self, connection: AsyncConnection, rows: Sequence[Row]) -> int:
        """As `insert_new`, in the transaction of *connection*."""
        return await connection.run_sync(self._write_new, rows)

    async def _run(self, write: Callable[[Connection, Sequence[Row]], int], rows: Sequence[Row]) -> int:
        """Call *write* in a transaction."""
        bulk = self._database.bulk
        if bulk is not None:
            with self._database.translated():
                return await asyncio.to_thread(_write_in_thread, bulk, write, rows)
        async with self._database.write() as connection:
            return await connection.run_sync(write, rows)

    def _write(self, connection: Connection, rows: Sequence[Row]) -> int:
        begin = 0
        for size in _SIZES:
            while len(rows) - begin >= size:
                values = tuple(chain.from_iterable(rows[begin : begin + size]))
                connection.exec_driver_sql(self._inserts[size], values)
                begin += size
        if rows:
            connection.execute(self._spend, _sums_by_day(rows))
        return len(rows)

    def _write_new(self, connection: Connection, rows: Sequence[Row]) -> int:
        unique = {row[0]: row for row in rows}
        query = select(GENERATIONS.c.id).where(GENERATIONS.c.id.in_(unique))
        known = set(connection.scalars(query))
        return self._write(connection, [row for name, row in unique.items() if name not in known])


def _write_in_thread(engine: Engine, write: Callable[[Connection, Sequence[Row]], int], rows: Sequence[Row]) -> int:
    with engine.begin() as connection:
        return write(connection, rows)


@lru_cache(maxsize=4)
def _inserts(driver: str) -> dict[int, str]:
    """Return the SQL that inserts so many rows, for each of `_SIZES`; *driver* is `dialect.driver`. It takes 30 ms."""
    dialect = registry.load(driver)()
    return {size: _insert(dialect, size) for size in _SIZES}


def _insert(dialect: Dialect, size: int) -> str:
    """Return the SQL that inserts *size* rows. Its parameters are in the order of the columns, row after row."""
    names = GENERATIONS.c.keys()
    return str(insert(GENERATIONS).values([dict.fromkeys(names) for _ in range(size)]).compile(dialect=dialect))


def _spend(dialect: str) -> Any:
    """Return the statement that adds to the row of a key and a day."""
    statement = upsert(dialect, KEY_SPEND)
    sums = {name: _capped(KEY_SPEND.c[name], statement.excluded[name]) for name in _COUNTS}
    return statement.on_conflict_do_update(index_elements=["key_id", "day"], set_=sums)


def _capped(old: Column[Any], more: ColumnElement[Any]) -> ColumnElement[Any]:
    """Return the sum, at most `MAX_PICO`: above 64 bits, SQLite would silently change to floating point."""
    return case((old > MAX_PICO - more, MAX_PICO), else_=old + more)


def _sums_by_day(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Return the sums of *rows* for `key_spend`, one entry for each key and day."""
    sums: dict[tuple[str, str], list[int]] = {}
    for _, created, key_id, _, _, _, cost, prompt, completion, _ in rows:
        name = (key_id, day(created))
        entry = sums.get(name)
        if entry is None:
            sums[name] = [cost, 1, prompt, completion]
        else:
            entry[0] += cost
            entry[1] += 1
            entry[2] += prompt
            entry[3] += completion
    return [
        {
            "key_id": key_id,
            "day": date,
            **{name: min(sum_, MAX_PICO) for name, sum_ in zip(_COUNTS, entry, strict=True)},
        }
        # Every process uses this order, so that two of them do not wait for each other's rows.
        for (key_id, date), entry in sorted(sums.items())
    ]


def day(moment: float) -> str:
    """Return the UTC day of *moment* (Unix seconds) as `YYYY-MM-DD`."""
    return _date(int(moment // 86400))


@lru_cache(maxsize=64)
def _date(days: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(days * 86400))
