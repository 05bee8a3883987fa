"""The memory of signed thoughts: in this process, for an hour, bounded. See `dialects.common.signatures`."""

from collections import OrderedDict
from collections.abc import Callable, Mapping

from trunkline.dialects.common.signatures import Thoughts

KEPT_S = 3600.0
"""As long as the longest prompt cache: a tool that takes longer has lost that too."""
MAX_BYTES = 64 * 1024 * 1024
"""Of all thoughts together; the oldest go first."""


class SignatureMemory:
    """Thoughts by key and tool call. *monotonic* gives seconds. Those of one key are never another's."""

    def __init__(self, monotonic: Callable[[], float], max_bytes: int = MAX_BYTES) -> None:
        self._monotonic = monotonic
        self._max_bytes = max_bytes
        self._kept: OrderedDict[tuple[str, str], tuple[float, int, Thoughts]] = OrderedDict()
        self.size = 0
        """Bytes of text and signatures that are kept."""

    def keep(self, key_id: str, found: Mapping[str, Thoughts]) -> None:
        """Remember *found*, thoughts by tool call id, of an answer to the key *key_id*."""
        now = self._monotonic()
        for call, thoughts in found.items():
            self._drop((key_id, call))
            size = sum(len(part.text) + len(part.signature or "") for part in thoughts) + len(call)
            self._kept[key_id, call] = (now + KEPT_S, size, thoughts)
            self.size += size
        while self._kept:
            oldest = next(iter(self._kept))
            if self.size <= self._max_bytes and self._kept[oldest][0] > now:
                break
            self._drop(oldest)

    def find(self, key_id: str, call: str) -> Thoughts | None:
        """The thoughts that led to *call*, or None where there are none, or none any more."""
        found = self._kept.get((key_id, call))
        return None if found is None or found[0] <= self._monotonic() else found[2]

    def _drop(self, at: tuple[str, str]) -> None:
        found = self._kept.pop(at, None)
        if found is not None:
            self.size -= found[1]
