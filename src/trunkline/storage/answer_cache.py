"""Answers that are kept for a while in this process: the port `AnswerCache`, bounded in bytes and in number."""

from collections import OrderedDict
from collections.abc import Callable
from typing import NamedTuple

from trunkline.ports import CachedAnswer

OVERHEAD_BYTES = 512
"""What an entry takes beside its key and value, roughly."""
SWEEP_S = 60.0
"""How often what has expired is thrown away, where nothing else touches it."""


class _Entry(NamedTuple):
    value: bytes
    expires: float


class MemoryAnswerCache:
    """The least recently used entries go where there is no room. Time is *monotonic*, seconds that only grow."""

    def __init__(self, monotonic: Callable[[], float], *, max_bytes: int, max_answers: int) -> None:
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._max_answers = max_answers
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._swept = monotonic()
        self.size = 0
        """Bytes of all entries, with what they take beside their keys and values."""

    def __len__(self) -> int:
        """How many entries there are; some may have expired."""
        return len(self._entries)

    @property
    def keeps(self) -> bool:
        """Whether there is room for anything."""
        return self._max_bytes > 0 and self._max_answers > 0

    def limit(self, *, max_bytes: int, max_answers: int) -> None:
        """Keep no more than this from now on."""
        self._max_bytes, self._max_answers = max_bytes, max_answers
        self._shrink()

    async def get(self, key: bytes) -> CachedAnswer | None:
        """As `AnswerCache.get`."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        left_s = entry.expires - self._monotonic()
        if left_s <= 0:
            self._drop(key)
            return None
        self._entries.move_to_end(key)
        return CachedAnswer(entry.value, left_s)

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """As `AnswerCache.put`. What is larger than the whole cache is not kept, and pushes nothing out."""
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
