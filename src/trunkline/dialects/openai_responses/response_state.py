"""State of an answer while it is decoded, relayed or encoded: open items, and the parts of them."""

from typing import Any

from msgspec import Raw, Struct

from trunkline.model.events import PartStarted

Body = dict[str, Any]
Key = tuple[str, int]


class Slot(Struct):
    """The item that is open. `key` says which parts are of it; `tool` is the id of a server tool's call."""

    body: Body
    index: int
    key: Any
    own: bool
    tool: str | None = None
    status: Any = None
    """What an upstream of this dialect says of it, in the end."""


class Open(Struct):
    """The part that is open: its pieces, and its number within its item once that is known."""

    part: PartStarted
    texts: list[str]
    probs: list[Any]
    notes: list[Body]
    rest: Body
    number: int = -1
    length: int = 0
    shown: bool = False
    """Whether a wire event has told of it beside its pieces."""
    signature: str | None = None
    bare: bool = False
    """An image that came as base64 alone."""


class Piece(Struct):
    """How much of a piece of an item has come: characters, entries of logprobs, annotations, further fields."""

    part: int
    size: int = 0
    probs: int = 0
    notes: int = 0
    rest: frozenset[str] = frozenset()


class OpenItem(Struct):
    """An item under way."""

    at: int
    type: str
    meta: Body
    open: Key | None = None
    """The piece that is a part at present."""
    pieces: dict[Key, Piece] = {}
    done: bool = False


class RelayedItem(Struct):
    """An item that has begun: as it came, and the pieces since, for an answer that ends in the midst of it."""

    body: Any
    pieces: list[tuple[str, int, Raw]]
    name: str = ""
    whole: bool = False
