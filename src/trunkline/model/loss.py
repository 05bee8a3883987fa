"""Fields that a translation between dialects could not express."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

Direction = Literal["request", "response"]


class Loss(Struct, frozen=True, omit_defaults=True):
    """One field that the other dialect cannot express. It holds the path and the reason, never the caller's value.

    `path` is in the terms of the sender's dialect, such as `messages[2].content[0].cache_control` or `logprobs`.
    """

    path: str
    why: str
    direction: Direction = "request"


class Losses:
    """Collects losses, each path once, in order of appearance."""

    __slots__ = ("_direction", "_found")

    def __init__(self, direction: Direction = "request") -> None:
        self._direction: Direction = direction
        self._found: dict[str, Loss] = {}

    def add(self, path: str, why: str) -> None:
        """Record that *path* is lost because of *why*."""
        self._found.setdefault(path, Loss(path, why, self._direction))

    def extra(self, where: str, extra: Mapping[str, Any], why: str, *, but: Iterable[str] = ()) -> None:
        """Record every key of *extra* (fields of another dialect, below *where*) as lost, except those in *but*.

        A null, an empty list, an empty object and an empty string carry no information and are not recorded.
        """
        kept = frozenset(but)
        for key, value in extra.items():
            if value not in (None, "", [], {}) and key not in kept:
                self.add(f"{where}.{key}" if where else key, why)

    def __bool__(self) -> bool:
        return bool(self._found)

    def found(self) -> tuple[Loss, ...]:
        """All recorded losses."""
        return tuple(self._found.values()) if self._found else ()
