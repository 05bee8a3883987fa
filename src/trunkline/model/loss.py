"""What a translation could not say."""

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from msgspec import Struct

Direction = Literal["request", "response"]


class Loss(Struct, frozen=True, omit_defaults=True):
    """One thing that the other side's dialect has no word for. Never a value of the caller's: paths and reasons alone.

    `path` is in the words of the dialect that said it, as `messages[2].content[0].cache_control` or `logprobs`.
    """

    path: str
    why: str
    direction: Direction = "request"


class Losses:
    """Collects losses; each path once, in order of appearance."""

    __slots__ = ("_direction", "_found")

    def __init__(self, direction: Direction = "request") -> None:
        self._direction: Direction = direction
        self._found: dict[str, Loss] = {}

    def add(self, path: str, why: str) -> None:
        """*path* is lost, because of *why*."""
        self._found.setdefault(path, Loss(path, why, self._direction))

    def extra(self, where: str, extra: Mapping[str, Any], why: str, *, but: Iterable[str] = ()) -> None:
        """Every key of *extra* (fields of another dialect, below *where*) but those of *but* is lost.

        A null says nothing, and neither does an empty list, object or text, so nothing is lost with it.
        """
        kept = frozenset(but)
        for key, value in extra.items():
            if value not in (None, "", [], {}) and key not in kept:
                self.add(f"{where}.{key}" if where else key, why)

    def __bool__(self) -> bool:
        return bool(self._found)

    def found(self) -> tuple[Loss, ...]:
        """All of them."""
        return tuple(self._found.values()) if self._found else ()
