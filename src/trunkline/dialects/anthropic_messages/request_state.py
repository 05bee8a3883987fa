"""State of a request while its messages are written."""

from msgspec import Struct


class Place(Struct, frozen=True):
    """Where a message stands in what the client sent, and its parts: the first of them, of others behind it."""

    message: str
    parts: str
    first: int = 0
