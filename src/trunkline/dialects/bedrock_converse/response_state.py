"""Frames of an answer, and its state while it is decoded."""

from typing import Any, TypeAlias

from msgspec import Struct

Json: TypeAlias = dict[str, Any]
Header: TypeAlias = bool | int | str | bytes


class Frame(Struct, frozen=True):
    """One frame: its headers by name, and its payload."""

    headers: dict[str, Header]
    payload: bytes

    def said(self, name: str) -> str:
        """The header *name* where it is a string, else nothing."""
        value = self.headers.get(name)
        return value if isinstance(value, str) else ""


class OpenBlock(Struct):
    """An open block: the part that it is, and what its deltas are."""

    part: int
    what: str
    said: bool = False
    format: str = ""
    """Of an image: `png` …"""
    results: list[Any] = []
    """What a tool that Bedrock runs has said so far."""
    known: Json = {}
    """What was said so far of a block of a kind that we do not know."""
