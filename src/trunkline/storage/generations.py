"""Reading of finished generations by id, and of the spending of keys."""

import asyncio
from collections.abc import Collection
from contextlib import AbstractAsyncContextManager, nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import msgspec
from sqlalchemy import func, select

from trunkline.ledger.budget import Budgets
from trunkline.model.money import Pico
from trunkline.model.record import GenerationRecord
from trunkline.ports import Clock
from trunkline.storage.database import Database
from trunkline.storage.flusher import Flusher
from trunkline.storage.insertion import day
from trunkline.storage.journal import FileJournal
from trunkline.storage.tables import GENERATIONS, KEY_SPEND

_MILLION: Final = 10**6
_PAUSES_S: Final = (0.02, 0.05, 0.1, 0.2, 0.3, 0.4)
"""Seconds between two look-ups of a generation that may still be in the journal of another process; 1.07 s in all."""

_decoder = msgspec.json.Decoder(GenerationRecord)


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """Spending of a key in pico-dollars: in total, today, since Monday, since the first of the month, in UTC."""

    total: Pico = 0
    daily: Pico = 0
    weekly: Pico = 0
    monthly: Pico = 0


class GenerationStore:
    """Generations of the database and of this process's journal together (port `Generations`)."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        journal: FileJournal | None = None,
        flusher: Flusher | None = None,
        siblings: bool = False,
    ) -> None:
        """A store over an open database.

        Args:
            database: closed by the caller.
            clock: for the periods of `spend`.
            journal: this process's journal; None in commands that record nothing.
            flusher: the flusher of *journal*; None where nothing is flushed.
            siblings: other processes write to the same database, so a generation that is missing can arrive later.
        """
        self._database = database
        self._clock = clock
        self._journal = journal
        self._flusher = flusher
        self._pauses_s = _PAUSES_S if siblings else ()

    async def find(self, generation_id: str) -> GenerationRecord | None:
        """Return the record, as soon as the response has ended; None where there is none.

        With siblings, None takes about a second.
        """
        for pause_s in (*self._pauses_s, None):
            if self._journal is not None and (pending := self._journal.find(generation_id)) is not None:
                return pending
            query = select(GENERATIONS.c.data).where(GENERATIONS.c.id == generation_id)
            async with self._database.read() as connection:
                data = await connection.scalar(query)
            if data is not None:
                return _decoder.decode(data)
            if pause_s is not None:
                await asyncio.sleep(pause_s)
        return None

    async def count(self) -> int:
        """Return the number of generations in the database."""
        async with self._database.read() as connection:
            return await connection.scalar(select(func.count()).select_from(GENERATIONS)) or 0

    async def spend_by_key(self, key_ids: Collection[str] | None = None) -> dict[str, Pico]:
        """Return the total spending in pico-dollars by key id, from the database alone.

        *key_ids* None means all keys that have been used. Otherwise the result has each of *key_ids*, with 0 if unused.
        """
        cost = KEY_SPEND.c.cost_pico
        # In two parts, because SQLite fails on a sum that does not fit into 64 bits.
        query = select(KEY_SPEND.c.key_id, func.sum(cost // _MILLION), func.sum(cost % _MILLION))
        if key_ids is not None:
            query = query.where(KEY_SPEND.c.key_id.in_(list(key_ids)))
        async with self._database.read() as connection:
            rows = await connection.execute(query.group_by(KEY_SPEND.c.key_id))
            found = {key_id: int(high) * _MILLION + int(low) for key_id, high, low in rows}
        return found if key_ids is None else {key_id: found.get(key_id, 0) for key_id in key_ids}

    async def spend(self, key_id: str) -> Spend:
        """Return the key's spending, including records of this process that are not in the database yet."""
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        since = {
            "daily": today.isoformat(),
            "weekly": (today - timedelta(days=today.weekday())).isoformat(),
            "monthly": today.replace(day=1).isoformat(),
        }
        async with self._database.limit(), self._flush_lock():
            async with self._database.read() as connection:
                query = select(KEY_SPEND.c.day, KEY_SPEND.c.cost_pico).where(KEY_SPEND.c.key_id == key_id)
                days: list[tuple[str, Pico]] = [(date, cost) for date, cost in await connection.execute(query)]
            if self._journal is not None:
                days += [(day(created), cost) for created, cost in self._journal.of_key(key_id)]
        return Spend(
            total=sum(cost for _, cost in days),
            **{period: sum(cost for date, cost in days if date >= first) for period, first in since.items()},
        )

    async def refresh(self, budgets: Budgets, key_ids: Collection[str] | None = None) -> None:
        """Update *budgets* with the spending of all processes, for *key_ids* or for all keys. Cheap for few keys."""
        async with self._database.limit(), self._flush_lock():
            totals = await self.spend_by_key(key_ids)
            budgets.replace_settled(totals, self._journal.unflushed if self._journal is not None else {})

    def _flush_lock(self) -> AbstractAsyncContextManager[Any]:
        """Return a lock. While it is held, no record moves from the journal to the database."""
        return nullcontext() if self._flusher is None else self._flusher.lock
