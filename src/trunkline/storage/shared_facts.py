"""The facts that replicas share: a log that each of them writes and reads.

When a replica sees a fact (an endpoint that fails, a credential that is limited, a conversation that was served), the
fact is put into a list, and appended to the log a moment later. A replica learns the facts of the others as if it had
seen them itself. Nothing is locked, and no request waits for the log. Without the log, each replica works with the
facts it has. The log consists of two streams, because their entries are of use for different times.
See docs/guides/replicas.md.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Final

from trunkline.model.replica_events import ReplicaEvent
from trunkline.storage.fact_entries import id_at
from trunkline.storage.fact_log import BLOCK_S, RETENTION_S, FactLog, LogUnavailable
from trunkline.storage.fact_reader import FactReader
from trunkline.storage.fact_writer import FactWriter
from trunkline.storage.flusher import Spawn, spawn

FLUSH_S: Final = 0.2
"""Seconds that a fact waits to be sent together with others."""
TRIM_S: Final = 60.0
"""Seconds between two removals of old entries."""
START_S: Final = 5.0
"""Seconds that a start waits for the facts of the log. The others are read while it serves."""
MAX_RETRY_S: Final = 5.0
"""Longest pause in seconds after an error of the log."""

logger = logging.getLogger(__name__)


class SharedFacts:
    """One replica's side of the log: `publish` sends facts, `open` begins to learn those of others."""

    def __init__(self, log: FactLog, *, monotonic: Callable[[], float], replica: str, spawn: Spawn = spawn) -> None:
        """Nothing is read or written before `open`.

        Args:
            log: closed by `close`.
            monotonic: seconds that only grow.
            replica: a name that no other process has or had.
            spawn: starts the background tasks.
        """
        self._log = log
        self._spawn = spawn
        self._monotonic = monotonic
        self._reader = FactReader(log, monotonic=monotonic, replica=replica)
        self._writer = FactWriter(log, monotonic=monotonic, replica=replica)
        self._closing = False
        self._caught_up = asyncio.Event()
        self._reads = self._writes = False
        self._logged_up: bool | None = None
        """The state that was logged last."""
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def up(self) -> bool:
        """Whether the last read and the last write of the log succeeded."""
        return self._reads and self._writes

    @property
    def sent(self) -> int:
        """Facts in entries that were appended."""
        return self._writer.sent

    @property
    def received(self) -> int:
        """Facts of other replicas that were learned."""
        return self._reader.received

    @property
    def dropped(self) -> int:
        """Facts that were not sent (too many, or too old), and received ones that could not be decoded or learned."""
        return self._writer.dropped + self._reader.dropped

    def publish(self, fact: ReplicaEvent) -> None:
        """Send *fact* to the other replicas soon. Call it from the event loop."""
        self._writer.add(fact)

    async def open(self, learn: Callable[[ReplicaEvent, float], None]) -> None:
        """Learn the facts of the log, for up to `START_S`, then continue in the background.

        *learn* is called with each fact of another replica and its age in seconds.
        """
        self._reader.learn = learn
        self._tasks = [
            self._spawn("read_shared_state", self._read_forever),
            self._spawn("write_shared_state", self._write_forever),
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._caught_up.wait()
        self._reader.starting = False

    async def close(self) -> None:
        """Stop, send the facts that wait if that is soon done, and close the log."""
        self._closing = True
        running = set(self._tasks)
        while running:  # a client can lose a cancellation that coincides with its time limit
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=0.5)
        with contextlib.suppress(LogUnavailable, TimeoutError):
            async with asyncio.timeout(1.0):
                if self.up:
                    await self._writer.flush()
        await self._log.close()

    async def _read_forever(self) -> None:
        pause_s = 0.1
        while not self._closing:
            try:
                await self._reader.synchronize()
                pause_s = 0.1
                await self._follow()
            except LogUnavailable as error:
                self._reads = False
                self._log_state(error)
                self._caught_up.set()  # a start does not wait for a log that does not work
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MAX_RETRY_S)

    async def _follow(self) -> None:
        while not self._closing:
            found = await self._reader.read(BLOCK_S if self._reads else 0.0)
            if not found and not self._reads:
                self._reads = self._writes = True  # writing is assumed to work until it fails
                self._log_state()
                self._caught_up.set()

    async def _write_forever(self) -> None:
        pause_s, retry_at, trimmed_at = FLUSH_S, float("-inf"), float("-inf")
        while not self._closing:
            await asyncio.sleep(FLUSH_S)
            if not self._reads or (not self._writes and self._monotonic() < retry_at):
                continue
            try:
                while await self._writer.flush():
                    pass
                now = self._monotonic()
                if now - trimmed_at >= TRIM_S:
                    log_time = self._reader.log_time()
                    await self._log.trim({name: id_at(log_time - kept_s) for name, kept_s in RETENTION_S.items()})
                    trimmed_at = now
            except LogUnavailable as error:
                self._writes = False
                self._log_state(error)
                pause_s = min(2 * pause_s, MAX_RETRY_S)
                retry_at = self._monotonic() + pause_s
                trimmed_at = float("-inf")  # trim at the next try: where no fact waits, this shows that writing works
            else:
                pause_s = FLUSH_S
                if not self._writes:
                    self._writes = True
                    self._log_state()

    def _log_state(self, error: LogUnavailable | None = None) -> None:
        """Log a warning when the log has become unavailable or available again."""
        if self.up == self._logged_up:
            return
        if not self.up:
            logger.warning("the shared state is away (%s): this replica goes on with what it knows", error)
        elif self._logged_up is False:
            logger.warning("the shared state is back")
        self._logged_up = self.up
