"""Moves records from the journal to the database in the background."""

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, Final, TypeAlias, TypeVar

from sqlalchemy.exc import SQLAlchemyError

from trunkline.ledger.config import InterruptedPolicy
from trunkline.ledger.interrupted import interrupted
from trunkline.model.errors import DatabaseUnavailable
from trunkline.storage.availability import error_name, is_refusal
from trunkline.storage.database import Database
from trunkline.storage.insertion import Inserter
from trunkline.storage.intents import claim_intents
from trunkline.storage.journal import DATA, FileJournal, Row, claim, read_rows, row_of

BATCH: Final = 1000
"""Rows of one transaction: about 15 ms of the database's thread."""

MIN_BATCH: Final = 50
"""Rows of one transaction where the database is slow."""

INTERVAL_S: Final = 0.1
"""Seconds between two flushes, and the first pause after an error."""
SYNC_S: Final = 1.0
"""Seconds between two syncs of the journal's files to the disk."""
MAX_BACKOFF_S: Final = 5.0
"""Longest pause in seconds while the database fails."""

_log = logging.getLogger(__name__)
_T = TypeVar("_T")

Spawn: TypeAlias = Callable[[str, Callable[[], Coroutine[Any, Any, None]]], "asyncio.Task[None]"]
"""Starts a background task, by a name and the function that makes its coroutine."""


def spawn(name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> "asyncio.Task[None]":
    """Start a background task that nobody supervises."""
    return asyncio.create_task(work(), name=name)


class Flusher:
    """Keeps the database about 100 ms behind the journal.

    Start it after the journal is open, and stop it before the journal is closed.

    `failing` is True while the database refuses or fails. The journal continues meanwhile, and the flusher tries again
    after 0.1 s, doubling up to 5 s. `lock` is held while a batch is written: whoever holds it sees the database
    and the journal's `unflushed` at one moment.
    """

    def __init__(
        self,
        database: Database,
        journal: FileJournal,
        *,
        interval_s: float = INTERVAL_S,
        interrupted: InterruptedPolicy = "estimate",
        spawn: Spawn = spawn,
    ) -> None:
        self.failing = False
        self.dead: set[str] = set()
        """Names of dead processes whose records were inserted."""
        self.lock = asyncio.Lock()
        self._journal = journal
        self._inserter = Inserter(database)
        self._interval_s = interval_s
        self._interrupted: InterruptedPolicy = interrupted
        self._spawn = spawn
        self._size = BATCH
        """Rows of the next transaction: half as many after one that the database did not store in time."""
        self._wake = asyncio.Event()
        self._stopping = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Insert the records that dead processes left, then begin to flush.

        Raises:
            DatabaseUnavailable: the database failed. The records stay in their segments.
        """
        await self.replay()
        self._journal.on_pending = self._wake.set
        if self._journal.pending:
            self._wake.set()
        self._tasks = [
            self._spawn("flush_journal", self._flush_forever),
            self._spawn("sync_journal", self._sync_forever),
        ]

    async def stop(self) -> None:
        """Flush the remaining records. Where the database fails, they stay in the journal for the next start.

        If it is cancelled, they stay in the journal too.
        """
        self._stopping.set()
        self._wake.set()
        try:
            await asyncio.gather(*self._tasks)
        finally:
            for task in self._tasks:
                task.cancel()
        self._tasks.clear()
        try:
            while self._journal.pending or self._journal.spilled() is not None:
                await self.flush()
        except (DatabaseUnavailable, SQLAlchemyError, OSError) as error:
            _log.warning("records stay in the journal: %s", error_name(error))

    async def flush(self) -> int:
        """Move the records that are in the journal now. Return the number of new rows in the database.

        Raises:
            DatabaseUnavailable, OSError: the records that were not moved stay in the journal.
        """
        count = 0
        # Records that arrive meanwhile wait for the next flush: single rows would cost ten times as much.
        remaining = self._journal.pending
        while remaining > 0:
            async with self.lock:
                rows = self._journal.batch(min(self._size, remaining))
                if not rows:
                    break
                try:
                    count += await self._insert(rows)
                except DatabaseUnavailable:
                    self._size = max(self._size // 2, MIN_BATCH)
                    raise
                self._size = min(self._size * 2, BATCH)
                self._journal.stored(rows)
                remaining -= len(rows)
        while (segment := self._journal.spilled()) is not None:
            async with self.lock:
                new, _ = await self._read_back(segment.path)
                self._journal.recovered(segment)
                count += new
        return count

    async def replay(self) -> int:
        """Insert the records in the segments of dead processes, and delete the segments. Return the number of new rows.

        A segment with lines that are not records is renamed to `.bad` after its records were inserted.
        """
        count = 0
        segments = claim(self._journal.folder, self._journal.paths())
        while (segment := await asyncio.to_thread(next, segments, None)) is not None:
            try:
                new, unreadable = await self._read_back(segment.path)
            except OSError as error:
                _log.warning("cannot read the journal segment %s: %s", segment.path.name, error_name(error))
                segment.release()
                continue
            except BaseException:
                segment.release()
                raise
            if unreadable:
                _log.error("journal segment %s.bad: %d lines are no records", segment.path.name, unreadable)
            try:
                segment.finish(readable=not unreadable)
            except OSError as error:
                # The next start reads it again, which inserts nothing.
                _log.warning("cannot clear the journal segment %s: %s", segment.path.name, error_name(error))
            count += new
            self.dead.add(segment.owner)
        count += await self._resolve_intents()
        self.dead.discard("")
        return count

    async def _resolve_intents(self) -> int:
        """Make a record of each request that was under way in a dead process and has none. Return their number."""
        count = 0
        files = claim_intents(self._journal.folder)
        while (intents := await asyncio.to_thread(next, files, None)) is not None:
            try:
                found = await asyncio.to_thread(intents.read)
                rows = [row_of(interrupted(intent, self._interrupted)) for intent in found]
                for first in range(0, len(rows), BATCH):
                    count += await self._insert(rows[first : first + BATCH], new=False)
            except BaseException:
                intents.release()
                raise
            try:
                intents.finish()
            except OSError as error:
                # The next start reads it again, which inserts nothing.
                _log.warning("cannot clear the intents %s: %s", intents.path.name, error_name(error))
            self.dead.add(intents.owner)
        if count:
            _log.warning("%d requests were under way when the gateway was killed; their records say interrupted", count)
        return count

    async def _read_back(self, path: Path) -> tuple[int, int]:
        """Insert the records of the file *path*. Return how many were new, and how many lines were not records."""
        count = unreadable = 0
        batches = read_rows(path, BATCH)
        while (batch := await asyncio.to_thread(_next, batches)) is not None:
            rows, unreadable = batch
            if rows:
                count += await self._insert(rows, new=False)
        return count, unreadable

    async def _insert(self, rows: list[Row], *, new: bool = True) -> int:
        try:
            return await (self._inserter.insert if new else self._inserter.insert_new)(rows)
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(rows) > 1:
                middle = len(rows) // 2
                return await self._insert(rows[:middle], new=False) + await self._insert(rows[middle:], new=False)
            # Otherwise the row would block all rows after it.
            _log.error("the database refuses generation %s (%s), kept in refused.bad", rows[0][0], error_name(error))
            await asyncio.to_thread(_store_refused, self._journal.folder, rows[0])
            return 0

    async def _flush_forever(self) -> None:
        backoff_s = self._interval_s
        while not self._stopping.is_set():
            await self._wake.wait()
            await self._sleep(backoff_s)
            self._wake.clear()
            try:
                await self.flush()
            except Exception as error:  # noqa: BLE001 - whatever the driver raises, the flusher must continue
                if not self.failing:
                    _log.warning("the database does not take records, the journal keeps them: %s", error_name(error))
                self.failing = True
                backoff_s = min(backoff_s * 2, MAX_BACKOFF_S)
                self._wake.set()
            else:
                if self.failing:
                    _log.warning("the database takes records again")
                self.failing = False
                backoff_s = self._interval_s
                if self._journal.pending:
                    self._wake.set()

    async def _sync_forever(self) -> None:
        while not self._stopping.is_set():
            await self._wake.wait()
            await self._sleep(SYNC_S)
            try:
                await asyncio.to_thread(_sync, self._journal.unsynced())
            except OSError as error:
                _log.warning("cannot sync the journal: %s", error_name(error))

    async def _sleep(self, seconds: float) -> None:
        """Wait for *seconds*, or until `stop` is called."""
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return


def _next(batches: Iterator[_T]) -> _T | None:
    return next(batches, None)


def _sync(handles: list[int]) -> None:
    try:
        for handle in handles:
            os.fsync(handle)
    finally:
        for handle in handles:
            os.close(handle)


def _store_refused(folder: Path, row: Row) -> None:
    with (folder / "refused.bad").open("a", encoding="utf-8") as file:
        file.write(f"{row[DATA]}\n")
