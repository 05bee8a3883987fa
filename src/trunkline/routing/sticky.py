"""Which endpoint a conversation was served by, so that the next turn finds its prompt cache.

Source: openrouter-semantics §6. A conversation is told apart by a digest of the key's id, the model and what the client
calls it: two keys never share one. Times are monotonic seconds.
"""

import re
from hashlib import blake2b
from typing import Final

from trunkline.dialects.interfaces import Call
from trunkline.model.endpoint import Model

LEAST_S: Final = 600.0
"""How long a conversation stays where it is: ten minutes, or as long as the longest cache that was asked for."""
MOST_S: Final = 12 * 3600.0
MOST_CONVERSATIONS: Final = 100_000
_TTL = re.compile(rb'"ttl"\s*:\s*"([0-9]{1,3})([mh])"')
_SECONDS = {b"m": 60, b"h": 3600}


def digest(key_id: str, model: Model, conversation: bytes) -> str:
    """What a conversation is kept under, on every replica."""
    return blake2b(b"\0".join((key_id.encode(), model.id.encode(), conversation)), digest_size=16).hexdigest()


def ttl_s(call: Call) -> float:
    """How long the conversation of *call* stays: the longest of its cache marks, in seconds, but at least `LEAST_S`."""
    longest = LEAST_S
    for value in call.envelope.values():
        for number, unit in _TTL.findall(bytes(value)):
            longest = max(longest, float(int(number) * _SECONDS[unit]))
    return min(longest, MOST_S)


class Conversations:
    """Conversations by digest; the one that was used longest ago goes first where there are too many."""

    __slots__ = ("_kept", "most")

    def __init__(self, most: int = MOST_CONVERSATIONS) -> None:
        self._kept: dict[str, tuple[str, float]] = {}
        self.most = most

    def __len__(self) -> int:
        return len(self._kept)

    def find(self, digest: str, now: float) -> str | None:
        """The name of the endpoint where the conversation was, if that is not too long ago."""
        kept = self._kept.get(digest)
        if kept is None:
            return None
        endpoint, until = kept
        if until <= now:
            del self._kept[digest]
            return None
        return endpoint

    def keep(self, digest: str, endpoint: str, until: float) -> None:
        """It was served by *endpoint*, and stays there until then."""
        self._kept.pop(digest, None)
        self._kept[digest] = (endpoint, until)
        if len(self._kept) > self.most:
            del self._kept[next(iter(self._kept))]
