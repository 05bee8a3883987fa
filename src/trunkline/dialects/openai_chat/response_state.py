"""State of an answer while it is decoded or filtered."""

from typing import Any

from msgspec import Struct

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


class OpenChoice(Struct):
    """What is open in one choice."""

    open: tuple[Any, ...] = ()
    """What the open text-like part is (its kind, form and number), and its index last."""
    detail: Any = None
    """The id of the last reasoning detail."""
    calls: list[ToolCall] = []
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
