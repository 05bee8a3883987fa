"""State of an answer while it is decoded, relayed or encoded."""

from typing import Any

from msgspec import Raw, Struct

from trunkline.model.events import Delta, PartStarted


class OpenBlock(Struct):
    """An open block: the part that it is, and what it may still need at its end."""

    part: int
    call: bool = False
    said: bool = False
    given: Any = None
    """A call's input as its beginning had it."""


class HeldPart(Struct):
    """A part that waits for its turn, or has it: its events since."""

    started: PartStarted
    events: list[Delta]
    ended: bool = False
    block: int = -1
    said: bool = False


class DeltaEvent(Struct):
    """A piece of a block, as little of it as tells that it is one."""

    type: str
    index: int
    delta: Raw
