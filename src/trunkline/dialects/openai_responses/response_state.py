"""State of an answer while it is decoded, relayed or encoded: open items, and the parts of them."""

from collections.abc import Iterator
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


class OpenItems:
    """The items of an answer, by their number and by their id. Finding one takes constant time."""

    __slots__ = ("_first_at", "_first_of_id", "_items", "_last_at", "_last_of_id")

    def __init__(self) -> None:
        self._items: list[OpenItem] = []
        self._first_at: dict[tuple[int, str], OpenItem] = {}
        self._first_of_id: dict[tuple[str | int, str], OpenItem] = {}
        self._last_at: dict[int, OpenItem] = {}
        self._last_of_id: dict[str | int, OpenItem] = {}

    def __iter__(self) -> Iterator[OpenItem]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    @property
    def last(self) -> OpenItem:
        """The item that began last; there is one."""
        return self._items[-1]

    def add(self, item: OpenItem) -> None:
        """*item* has begun."""
        self._items.append(item)
        self._last_at[item.at] = item
        self._first_at.setdefault((item.at, item.type), item)
        self.describe(item, item.meta)

    def describe(self, item: OpenItem, meta: Body) -> None:
        """*meta* is what *item* says beside its content from now on; its id may be another one."""
        item.meta = meta
        id_ = meta.get("id")
        if isinstance(id_, str | int) and id_:
            self._last_of_id[id_] = item
            self._first_of_id.setdefault((id_, item.type), item)

    def at(self, number: int) -> OpenItem | None:
        """The last item of *number*."""
        return self._last_at.get(number)

    def of_id(self, id_: Any) -> OpenItem | None:
        """The last item of *id_*."""
        found = self._last_of_id.get(id_) if isinstance(id_, str | int) else None
        return found if found is not None and found.meta.get("id") == id_ else None

    def same(self, number: int, found: Body) -> OpenItem | None:
        """The item that *found* is, the one of *number*, as it is in the end: by its id, else by its number."""
        id_, kind = found.get("id"), found.get("type")
        if isinstance(id_, str | int) and id_ and isinstance(kind, str):
            known = self._first_of_id.get((id_, kind))
            if known is not None and known.meta.get("id") == id_:
                return known
        return self._first_at.get((number, kind)) if isinstance(kind, str) else None


class RelayedItem(Struct):
    """An item that has begun: as it came, and the pieces since, for an answer that ends in the midst of it."""

    body: Any
    pieces: list[tuple[str, int, Raw]]
    name: str = ""
    whole: bool = False
