"""State of an answer while it is decoded or filtered."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct, field

from trunkline.model.events import PartStarted


class ToolCall(Struct):
    """A tool call under way. Its part is not begun before its first arguments, since the name may come in pieces."""

    number: int
    """Among the calls of its choice, from 0."""
    wire_index: int | None
    id: str
    name: str = ""
    form: str | None = None
    part: int = -1
    extra: dict[str, Any] = {}

    def take_name(self, name: str) -> bool:
        """Add a piece of the name; False where it says again what is known, or comes too late."""
        if not name or name == self.name or self.part >= 0:
            return False
        self.name += name
        return True


class ToolCalls:
    """The tool calls of one choice, and which of them a fragment belongs to. Finding it takes constant time."""

    __slots__ = ("_by_id", "_by_index", "_calls", "_without_id")

    def __init__(self) -> None:
        self._calls: list[ToolCall] = []
        self._by_index: dict[int, ToolCall] = {}
        """The last call of each index on the wire."""
        self._by_id: dict[str, ToolCall] = {}
        """The last call of each id."""
        self._without_id: list[ToolCall] = []
        """Calls that had no id when they began; those at the end that have one by now are removed."""

    def __iter__(self) -> Iterator[ToolCall]:
        return iter(self._calls)

    def __len__(self) -> int:
        return len(self._calls)

    def find(self, index: int | None, id_: str, name: str) -> ToolCall:
        """The call that a fragment with *index*, *id_* and *name* belongs to; a new one if none.

        By index where it has one, unless it carries another id or name than the call there (Gemini's compatible door
        gives every parallel call the index 0). Without an index: a new id, or a name after arguments, is a new call;
        but some repeat the name in every fragment, so after arguments the same name with the same index or id is the
        same call.
        """
        call = self._latest(id_) if index is None else self._by_index.get(index)
        if call is None or self._is_another(call, index, id_, name):
            call = ToolCall(len(self._calls), index, id_)
            self._calls.append(call)
            if index is not None:
                self._by_index[index] = call
            if id_:
                self._by_id[id_] = call
            else:
                self._without_id.append(call)
        elif id_ and not call.id:
            call.id = id_
            known = self._by_id.get(id_)
            if known is None or known.number < call.number:
                self._by_id[id_] = call
        return call

    def _latest(self, id_: str) -> ToolCall | None:
        """The last call that has *id_* or none; the last call where *id_* is empty."""
        if not id_:
            return self._calls[-1] if self._calls else None
        while self._without_id and self._without_id[-1].id:
            self._without_id.pop()
        known, without = self._by_id.get(id_), self._without_id[-1] if self._without_id else None
        if known is None or without is None:
            return known or without
        return known if known.number > without.number else without

    @staticmethod
    def _is_another(call: ToolCall, index: int | None, id_: str, name: str) -> bool:
        """Whether a fragment begins another call than *call*."""
        if id_ and call.id and call.id != id_:
            return True
        same = name == call.name and (index is not None or id_ == call.id != "")
        return bool(name) and call.part >= 0 and not same


class OpenChoice(Struct):
    """What is open in one choice."""

    open: tuple[Any, ...] = ()
    """What the open text-like part is (its kind, form and number), and its index last."""
    detail: Any = None
    """The id of the last reasoning detail."""
    calls: ToolCalls = field(default_factory=ToolCalls)
    audio: dict[str, int] = {}
    audio_id: str | None = None
    extra: dict[str, Any] = {}
    noted: bool = False
    """The text has annotations."""
    ended: bool = False


class HeldPart(Struct):
    """A part that is given on when it is whole."""

    part: PartStarted
    text: list[str] = []
    extra: dict[str, Any] = {}
