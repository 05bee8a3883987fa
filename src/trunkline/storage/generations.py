"""Finished generations, to read: one by its id, and what keys spent."""

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
"""Between looks for a generation that another worker may still have in its journal; 1.07 s together."""

_decoder = msgspec.json.Decoder(GenerationRecord)


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """What a key spent, in pico-dollars: ever, today, since Monday, since the first of the month. Periods are UTC."""

    total: Pico = 0
    daily: Pico = 0
    weekly: Pico = 0
    monthly: Pico = 0


class GenerationStore:
    """Generations of the database and of this process's journal, as one (port `Generations`).

    *flusher* may be None where nothing is flushed: in commands. *siblings* says that other processes write to the same
    database, so that one which is not found may yet arrive.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        *,
        journal: FileJournal | None = None,
        flusher: Flusher | None = None,
        siblings: bool = False,
    ) -> None:
        self._database = database
        self._clock = clock
        self._journal = journal
        self._flusher = flusher
        self._pauses_s = _PAUSES_S if siblings else ()

    async def find(self, generation_id: str) -> GenerationRecord | None:
        """The record, at once after the answer ended; None where there is none.

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
        """How many generations the database has."""
        async with self._database.read() as connection:
            return await connection.scalar(select(func.count()).select_from(GENERATIONS)) or 0

    async def spend_by_key(self, key_ids: Collection[str] | None = None) -> dict[str, Pico]:
        """What the database says each key has spent ever, by key id; *key_ids* None is all keys.

        Each of *key_ids* is in the result; without them, only keys that have been used.
        """
        cost = KEY_SPEND.c.cost_pico
        # In two parts: SQLite gives up on a sum that does not fit 64 bits.
        query = select(KEY_SPEND.c.key_id, func.sum(cost // _MILLION), func.sum(cost % _MILLION))
        if key_ids is not None:
            query = query.where(KEY_SPEND.c.key_id.in_(list(key_ids)))
        async with self._database.read() as connection:
            rows = await connection.execute(query.group_by(KEY_SPEND.c.key_id))
            found = {key_id: int(high) * _MILLION + int(low) for key_id, high, low in rows}
        return found if key_ids is None else {key_id: found.get(key_id, 0) for key_id in key_ids}

    async def spend(self, key_id: str) -> Spend:
        """What the key has spent, records of this process that are not in the database yet included."""
        today = datetime.fromtimestamp(self._clock.now(), UTC).date()
        since = {
            "daily": today.isoformat(),
            "weekly": (today - timedelta(days=today.weekday())).isoformat(),
            "monthly": today.replace(day=1).isoformat(),
        }
        async with self._still():
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
        """Tell *budgets* what all processes have spent: for *key_ids*, or for all keys. Cheap for few keys."""
        async with self._still():
            totals = await self.spend_by_key(key_ids)
            budgets.replace_settled(totals, self._journal.unflushed if self._journal is not None else {})

    def _still(self) -> AbstractAsyncContextManager[Any]:
        """While it is held, nothing moves from the journal to the database."""
        return nullcontext() if self._flusher is None else self._flusher.lock
