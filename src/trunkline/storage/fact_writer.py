"""The facts of this replica, on their way to the log."""

from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from trunkline.model.replica_events import ReplicaEvent
from trunkline.storage.fact_entries import UnsentEntry, aged, is_long_lived
from trunkline.storage.fact_log import ATTEMPTS, FACTS, MAX_ENTRY_BYTES, FactLog

MAX_WAITING: Final = 20_000
"""Facts of a stream that wait to be sent, about 2 MB. The oldest are dropped first. One second at 10,000 calls/s."""
STALE_S: Final = 30.0
"""Seconds after which an attempt is not sent or learned any more: it says nothing about the present."""
_ENTRIES_PER_APPEND: Final = 16
_SPARE_BYTES: Final = 4096
"""Space in an entry: numbers get more digits when the age is subtracted."""


class FactWriter:
    """Collects facts and appends them to the log in batches."""

    def __init__(self, log: FactLog, *, monotonic: Callable[[], float], replica: str) -> None:
        self._log = log
        self._monotonic = monotonic
        self._replica = replica
        self._waiting: dict[str, deque[tuple[float, ReplicaEvent]]] = {
            ATTEMPTS: deque(maxlen=MAX_WAITING),
            FACTS: deque(maxlen=MAX_WAITING),
        }
        self._unsent: list[UnsentEntry] = []
        """Entries whose append has not succeeded yet."""
        self._number = 0
        self.sent = 0
        """Facts in entries that were appended."""
        self.dropped = 0
        """Facts that were not sent: too many, or too old."""

    def add(self, fact: ReplicaEvent) -> None:
        """Send *fact* with the next `flush`."""
        waiting = self._waiting[FACTS if is_long_lived(fact) else ATTEMPTS]
        if len(waiting) == MAX_WAITING:
            self.dropped += 1
        waiting.append((self._monotonic(), fact))

    async def flush(self) -> bool:
        """Append some of the waiting facts. Return whether there are more.

        Raises:
            LogUnavailable: the same entries are appended again next time. Readers recognize them by their numbers.
        """
        if not self._unsent:
            self._collect()
        if not self._unsent:
            return False
        now = self._monotonic()
        entries: list[tuple[str, bytes]] = []
        count = 0
        for entry in self._unsent:
            facts = [
                msgspec.json.encode(fact)
                for published, old in entry.facts
                if (fact := _if_useful(old, now - published)) is not None
            ]
            count += len(facts)
            head = msgspec.json.encode((self._replica, entry.number))[:-1]
            entries.append((entry.stream, head + b",[" + b",".join(facts) + b"]]"))
        await self._log.append(entries)
        self.dropped += sum(len(entry.facts) for entry in self._unsent) - count
        self.sent += count
        self._unsent = []
        return any(self._waiting.values())

    def _collect(self) -> None:
        """Put waiting facts into entries."""
        for stream in (FACTS, ATTEMPTS):
            waiting = self._waiting[stream]
            while waiting and len(self._unsent) < _ENTRIES_PER_APPEND:
                facts: list[tuple[float, ReplicaEvent]] = []
                size = 0
                while waiting and size < MAX_ENTRY_BYTES - _SPARE_BYTES:
                    facts.append(waiting.popleft())
                    size += len(msgspec.json.encode(facts[-1][1])) + 1
                self._number += 1
                self._unsent.append(UnsentEntry(stream, self._number, facts))


def _if_useful(fact: ReplicaEvent, age_s: float) -> ReplicaEvent | None:
    """Return *fact* as it is sent at the age of *age_s* seconds; None where it is of no use any more."""
    if is_long_lived(fact):
        return aged(fact, age_s)
    return fact if age_s <= STALE_S else None
