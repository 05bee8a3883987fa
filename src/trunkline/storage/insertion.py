"""Batches of generations into the database, each id once.

A batch is one transaction: the rows, and what they add to `key_spend`. Rows go in by statements of 250, 50, 10 and 1
rows rather than by `executemany`, which gives the interpreter lock up twice per row: beside a busy event loop that is
milliseconds each. For the same reason a batch for SQLite is written in one go, in a thread: each statement that is
awaited is two hops between threads. The statements are made by SQLAlchemy once; the values pass it by as bound
parameters.
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

from trunkline.model.money import MAX_PICO
from trunkline.storage.database import Database, upsert
from trunkline.storage.journal import Row
from trunkline.storage.tables import GENERATIONS, KEY_SPEND

_SIZES: Final = (250, 50, 10, 1)
_COUNTS: Final = ("cost_pico", "requests", "prompt_tokens", "completion_tokens")
_RACES: Final = 3
"""Tries where another process inserts the same ids at the same time, which only a replay meets."""


class Inserter:
    """Inserts generations into one database."""

    def __init__(self, database: Database) -> None:
        self._database = database
        dialect = database.engine.dialect
        self._inserts = _inserts(f"{dialect.name}.{dialect.driver}")
        self._spend = _spend(dialect.name)

    async def insert(self, rows: Sequence[Row]) -> int:
        """Store *rows*; those whose id is there already change nothing. The number of rows that were new.

        Durable when it returns. Raises what SQLAlchemy raises; nothing of the batch is stored then.
        """
        try:
            return await self._run(self._write, rows)
        except IntegrityError:
            return await self.insert_new(rows)

    async def insert_new(self, rows: Sequence[Row]) -> int:
        """As `insert`, where some ids are likely to be there: it looks first."""
        for left in range(_RACES, -1, -1):
            try:
                return await self._run(self._write_new, rows)
            except IntegrityError:
                if not left:
                    raise
        raise AssertionError("unreachable")

    async def _run(self, write: Callable[[Connection, Sequence[Row]], int], rows: Sequence[Row]) -> int:
        """*write* in a transaction."""
        bulk = self._database.bulk
        if bulk is not None:
            return await asyncio.to_thread(_in_one, bulk, write, rows)
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
            connection.execute(self._spend, _spending(rows))
        return len(rows)

    def _write_new(self, connection: Connection, rows: Sequence[Row]) -> int:
        unique = {row[0]: row for row in rows}
        query = select(GENERATIONS.c.id).where(GENERATIONS.c.id.in_(unique))
        known = set(connection.scalars(query))
        return self._write(connection, [row for name, row in unique.items() if name not in known])


def _in_one(engine: Engine, write: Callable[[Connection, Sequence[Row]], int], rows: Sequence[Row]) -> int:
    with engine.begin() as connection:
        return write(connection, rows)


@lru_cache(maxsize=4)
def _inserts(driver: str) -> dict[int, str]:
    """For each of `_SIZES` the text that inserts so many, for `dialect.driver`; making them takes 30 ms."""
    dialect = registry.load(driver)()
    return {size: _insert(dialect, size) for size in _SIZES}


def _insert(dialect: Dialect, size: int) -> str:
    """The text that inserts *size* rows, its parameters in the order of the columns, row after row."""
    names = GENERATIONS.c.keys()
    return str(insert(GENERATIONS).values([dict.fromkeys(names) for _ in range(size)]).compile(dialect=dialect))


def _spend(dialect: str) -> Any:
    """The statement that adds to a key's day."""
    statement = upsert(dialect, KEY_SPEND)
    sums = {name: _capped(KEY_SPEND.c[name], statement.excluded[name]) for name in _COUNTS}
    return statement.on_conflict_do_update(index_elements=["key_id", "day"], set_=sums)


def _capped(old: Column[Any], more: ColumnElement[Any]) -> ColumnElement[Any]:
    """The sum, or the most that 64 bits hold: SQLite would go over to floating point without a word."""
    return case((old > MAX_PICO - more, MAX_PICO), else_=old + more)


def _spending(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """What *rows* add to `key_spend`: one entry for each key and day."""
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
        # In one order for all, so that two processes do not wait for each other's rows.
        for (key_id, date), entry in sorted(sums.items())
    ]


def day(moment: float) -> str:
    """The UTC day of *moment* (Unix seconds) as `YYYY-MM-DD`."""
    return _date(int(moment // 86400))


@lru_cache(maxsize=64)
def _date(days: int) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(days * 86400))
