"""The facts of other replicas, from the log."""

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec
from msgspec import Raw

from trunkline.model.replica_events import ReplicaEvent
from trunkline.storage.fact_entries import Entry, aged, id_at, seconds_of
from trunkline.storage.fact_log import ATTEMPTS, RETENTION_S, FactLog
from trunkline.storage.fact_writer import STALE_S

_FACTS_PER_TURN: Final = 200
"""Facts to learn before other tasks have their turn."""
_MAX_REPLICAS: Final = 1000
"""Replicas whose last number is remembered. An entry of a forgotten one can be learned twice."""


def _ignore(_fact: ReplicaEvent, _age_s: float) -> None:
    """Nobody learns facts yet."""


class FactReader:
    """Reads the log from a position on, and passes the facts of other replicas to `learn` with their age in seconds."""

    def __init__(self, log: FactLog, *, monotonic: Callable[[], float], replica: str) -> None:
        self._log = log
        self._monotonic = monotonic
        self._replica = replica
        self._after: dict[str, str] = {}
        self._clock_offset_s = 0.0
        """The log's Unix time minus our monotonic time."""
        self._numbers: dict[tuple[str, str], int] = {}
        """The last number of each stream and replica. An entry that was appended twice is learned once."""
        self._facts_read = 0
        self.learn: Callable[[ReplicaEvent, float], None] = _ignore
        self.starting = True
        """Attempts are learned up to their retention time; after the start, only up to `STALE_S`."""
        self.received = 0
        """Facts that were learned."""
        self.dropped = 0
        """Facts and entries that could not be decoded or learned."""

    def log_time(self) -> float:
        """Return Unix seconds by the log's clock, as of the last `synchronize`."""
        return self._monotonic() + self._clock_offset_s

    async def synchronize(self) -> None:
        """Read the log's clock, and determine where to read on.

        Raises:
            LogUnavailable: try again.
        """
        now = await self._log.now()
        self._clock_offset_s = now - self._monotonic()
        for stream, retention_s in RETENTION_S.items():
            after = self._after.get(stream)
            # Where the log lost its entries and its clock was set back, reading begins at the present.
            if after is None or seconds_of(after) > now:
                self._after[stream] = id_at(now if after is not None else now - retention_s)

    async def read(self, wait_s: float) -> bool:
        """Read and learn a page of each stream. Return whether there was any entry.

        Raises:
            LogUnavailable: call `synchronize` before the next read.
        """
        found = await self._log.read(self._after, wait_s)
        for stream, id_, data in found:
            self._after[stream] = id_
            await self._process(stream, max(0.0, self.log_time() - seconds_of(id_)), data)
        return bool(found)

    async def _process(self, stream: str, age_s: float, data: bytes) -> None:
        """Learn the facts of one entry."""
        try:
            entry = msgspec.json.decode(data, type=Entry)
            if entry.replica == self._replica or not self._is_new(stream, entry):
                return
            facts = msgspec.json.decode(entry.facts, type=list[Raw])
        except msgspec.MsgspecError:
            self.dropped += 1
            return
        if stream == ATTEMPTS and age_s > (RETENTION_S[ATTEMPTS] if self.starting else STALE_S):
            return
        for raw in facts:
            try:
                fact = aged(msgspec.json.decode(raw, type=ReplicaEvent), age_s)
                if fact is not None:
                    self.learn(fact, age_s)
                    self.received += 1
            except (msgspec.MsgspecError, ValueError, ArithmeticError):  # from a newer version, for example
                self.dropped += 1
            self._facts_read += 1
            if self._facts_read % _FACTS_PER_TURN == 0:
                await asyncio.sleep(0)

    def _is_new(self, stream: str, entry: Entry) -> bool:
        source = (stream, entry.replica)
        last = self._numbers.pop(source, 0)  # removed and added again: the order is that of the last entry
        self._numbers[source] = max(last, entry.number)
        if len(self._numbers) > _MAX_REPLICAS:
            del self._numbers[next(iter(self._numbers))]
        return entry.number > last
