"""The port `AnswerCache` in the memory of this process, bounded in bytes and in number of responses."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from trunkline.ports import CachedAnswer

OVERHEAD_BYTES = 512
"""Bytes of memory for an entry beside its key and value, about."""
SWEEP_S = 60.0
"""Seconds between two removals of expired entries that nobody asks for."""


class _Entry(NamedTuple):
    value: bytes
    expires: float


class MemoryAnswerCache:
    """A cache that removes the least recently used entries when it is full."""

    def __init__(self, monotonic: Callable[[], float], *, max_bytes: int, max_answers: int) -> None:
        """An empty cache.

        Args:
            monotonic: returns seconds that only grow.
            max_bytes: of all entries, as `size` counts them; 0 keeps nothing.
            max_answers: number of entries; 0 keeps nothing.
        """
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._max_answers = max_answers
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._swept = monotonic()
        self.size = 0
        """Bytes of all entries, `OVERHEAD_BYTES` for each included."""

    def __len__(self) -> int:
        """Return the number of entries. Some may have expired."""
        return len(self._entries)

    @property
    def keeps(self) -> bool:
        """Whether the bounds allow any entry."""
        return self._max_bytes > 0 and self._max_answers > 0

    def limit(self, *, max_bytes: int, max_answers: int) -> None:
        """Change the bounds. Entries above them are removed."""
        self._max_bytes, self._max_answers = max_bytes, max_answers
        self._shrink()

    async def get(self, key: bytes) -> CachedAnswer | None:
        """As `AnswerCache.get`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        remaining_s = entry.expires - self._monotonic()
        if remaining_s <= 0:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return CachedAnswer(entry.value, remaining_s)

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """As `AnswerCache.put`. A value larger than the whole cache is not stored and removes no other entry."""
        self._drop(key)
        if self._max_answers < 1 or _size(key, value) > self._max_bytes:
            return
        now = self._monotonic()
        self._sweep(now)
        self._entries[key] = _Entry(value, now + ttl_s)
        self.size += _size(key, value)
        self._shrink()

    async def delete(self, key: bytes) -> None:
        """As `AnswerCache.delete`."""
        self._drop(key)

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.size -= _size(key, entry.value)

    def _sweep(self, now: float) -> None:
        if now - self._swept < SWEEP_S:
            return
        self._swept = now
        for key in [key for key, entry in self._entries.items() if entry.expires <= now]:
            self._drop(key)

    def _shrink(self) -> None:
        while self._entries and (self.size > self._max_bytes or len(self._entries) > self._max_answers):
            key, entry = self._entries.popitem(last=False)
            self.size -= _size(key, entry.value)


def _size(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + OVERHEAD_BYTES
