"""Which endpoint a conversation was served by, so that the next turn finds its prompt cache.

Source: openrouter-semantics §6. A conversation is told apart by a digest of the key's id, the model and what the client
calls it: two keys never share one. Times are monotonic seconds.
"""

import re
from hashlib import blake2b
from typing import Final

from trunkline.dialects.interfaces import Call
from trunkline.model.endpoint import Model

MIN_TTL_S: Final = 600.0
"""How long a conversation stays where it is: ten minutes, or as long as the longest cache that was asked for."""
MAX_TTL_S: Final = 12 * 3600.0
MAX_CONVERSATIONS: Final = 100_000
_TTL = re.compile(rb'"ttl"\s*:\s*"([0-9]{1,3})([mh])"')
_SECONDS = {b"m": 60, b"h": 3600}


def conversation_digest(key_id: str, model: Model, conversation: bytes) -> str:
    """What a conversation is kept under, on every replica."""
    return blake2b(b"\0".join((key_id.encode(), model.id.encode(), conversation)), digest_size=16).hexdigest()


def sticky_ttl_s(call: Call) -> float:
    """How long the conversation of *call* stays: the longest of its cache marks, in seconds, but at least `LEAST_S`."""
    longest = MIN_TTL_S
    for value in call.envelope.values():
        for number, unit in _TTL.findall(bytes(value)):
            longest = max(longest, float(int(number) * _SECONDS[unit]))
    return min(longest, MAX_TTL_S)


class Conversations:
    """Conversations by digest; the one that was used longest ago goes first where there are too many."""

    __slots__ = ("_routes", "max_conversations")

    def __init__(self, max_conversations: int = MAX_CONVERSATIONS) -> None:
        self._routes: dict[str, tuple[str, float]] = {}
        self.max_conversations = max_conversations

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, digest: str, now: float) -> str | None:
        """The name of the endpoint where the conversation was, if that is not too long ago."""
        kept = self._routes.get(digest)
        if kept is None:
            return None
        endpoint, until = kept
        if until <= now:
            del self._routes[digest]
            return None
        return endpoint

    def record(self, digest: str, endpoint: str, until: float) -> None:
        """It was served by *endpoint*, and stays there until then."""
        self._routes.pop(digest, None)
        self._routes[digest] = (endpoint, until)
        if len(self._routes) > self.max_conversations:
            del self._routes[next(iter(self._routes))]
