"""Validation of the tool calls in an answer, for routing by quality.

A call is valid if it names a tool of the request and its arguments are a JSON object; free-form input is always valid.
The schemas of the tools are not checked. Source: OpenRouter, "Auto Exacto".
"""

import msgspec
from msgspec import Raw

from trunkline.dialects.common.types import NamedTool
from trunkline.model.events import PartStarted

_object = msgspec.json.Decoder(dict[str, Raw])
_tools = msgspec.json.Decoder(list[Raw] | None)


def offered_names(tools: Raw) -> frozenset[str]:
    """Return the names of the functions in a request's `tools`, of any dialect."""
    names: set[str] = set()
    for raw in _tools.decode(tools) or ():
        try:
            found = msgspec.json.decode(raw, type=NamedTool)
        except msgspec.DecodeError:
            continue  # a tool that the provider runs
        names |= {found.name, found.function.name, found.custom.name}
    return frozenset(names - {""})


class ToolCallCheck:
    """Collects the calls of one answer and validates them."""

    __slots__ = ("_arguments", "_names")

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._arguments: dict[int, list[str]] = {}

    def part(self, part: PartStarted) -> None:
        """Record the start of a call."""
        self._names[part.index] = part.name or ""
        if part.form != "custom":
            self._arguments[part.index] = []

    def delta(self, index: int, text: str) -> None:
        """Record a delta of any part; only those of calls are kept."""
        arguments = self._arguments.get(index)
        if arguments is not None:
            arguments.append(text)

    def valid(self, names: frozenset[str]) -> bool | None:
        """Return whether all calls are valid, given the tool *names* of the request; None if there was no call."""
        if not self._names:
            return None
        if not names.issuperset(self._names.values()):
            return False
        try:
            for pieces in self._arguments.values():
                _object.decode("".join(pieces) or "{}")
        except (msgspec.DecodeError, ValueError, RecursionError):
            return False
        return True
