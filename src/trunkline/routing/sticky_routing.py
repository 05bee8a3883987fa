"""Sticky routing: remembers which endpoint served a conversation, so that the next turn hits its prompt cache.

Source: OpenRouter, "Prompt caching" (sticky routing). A conversation is identified by a digest of the key's id, the
model and the client's
conversation id; two keys never share one. Times are monotonic seconds.
"""

import re
from hashlib import blake2b
from typing import Final

from trunkline.dialects.interfaces import Call
from trunkline.model.endpoint import Model

MIN_TTL_S: Final = 600.0
"""The minimum lifetime of a sticky route: ten minutes. A longer prompt cache lifetime extends it."""
MAX_TTL_S: Final = 12 * 3600.0
MAX_CONVERSATIONS: Final = 100_000
_TTL = re.compile(rb'"ttl"\s*:\s*"([0-9]{1,3})([mh])"')
_SECONDS = {b"m": 60, b"h": 3600}


def conversation_digest(key_id: str, model: Model, conversation: bytes) -> str:
    """The digest that identifies a conversation on every replica."""
    return blake2b(b"\0".join((key_id.encode(), model.id.encode(), conversation)), digest_size=16).hexdigest()


def sticky_ttl_s(call: Call) -> float:
    """The lifetime of the sticky route of *call*: the longest of its cache breakpoints, at least `MIN_TTL_S`."""
    longest = MIN_TTL_S
    for value in call.envelope.values():
        for number, unit in _TTL.findall(bytes(value)):
            longest = max(longest, float(int(number) * _SECONDS[unit]))
    return min(longest, MAX_TTL_S)


class Conversations:
    """Sticky routes by digest. Where there are too many, the least recently recorded is removed."""

    __slots__ = ("_routes", "max_conversations")

    def __init__(self, max_conversations: int = MAX_CONVERSATIONS) -> None:
        self._routes: dict[str, tuple[str, float]] = {}
        self.max_conversations = max_conversations

    def __len__(self) -> int:
        return len(self._routes)

    def find(self, digest: str, now: float) -> str | None:
        """The name of the endpoint that served the conversation; None where unknown or expired."""
        kept = self._routes.get(digest)
        if kept is None:
            return None
        endpoint, until = kept
        if until <= now:
            del self._routes[digest]
            return None
        return endpoint

    def record(self, digest: str, endpoint: str, until: float) -> None:
        """Record that *endpoint* served the conversation; the route expires at *until*."""
        self._routes.pop(digest, None)
        self._routes[digest] = (endpoint, until)
        if len(self._routes) > self.max_conversations:
            del self._routes[next(iter(self._routes))]
