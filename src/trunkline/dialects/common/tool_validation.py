"""Whether the tool calls of an answer are such that a client can carry them out: what routing by quality looks at.

A call is valid if it names a tool of the request and its arguments are a JSON object; free-form input always is. The
tools' schemas are not looked at. Source: openrouter-semantics §5.3.
"""

import msgspec
from msgspec import Raw

from trunkline.dialects.common.types import NamedTool
from trunkline.model.events import PartStarted

_object = msgspec.json.Decoder(dict[str, Raw])
_tools = msgspec.json.Decoder(list[Raw] | None)


def offered_names(tools: Raw) -> frozenset[str]:
    """The names of the functions in a request's `tools`, of whichever dialect."""
    names: set[str] = set()
    for raw in _tools.decode(tools) or ():
        try:
            found = msgspec.json.decode(raw, type=NamedTool)
        except msgspec.DecodeError:
            continue  # a tool of the provider's
        names |= {found.name, found.function.name, found.custom.name}
    return frozenset(names - {""})


class ToolCallCheck:
    """The calls of one answer, as they come."""

    __slots__ = ("_arguments", "_names")

    def __init__(self) -> None:
        self._names: dict[int, str] = {}
        self._arguments: dict[int, list[str]] = {}

    def part(self, part: PartStarted) -> None:
        """A call has begun."""
        self._names[part.index] = part.name or ""
        if part.form != "custom":
            self._arguments[part.index] = []

    def delta(self, index: int, text: str) -> None:
        """A piece of a part, which may be a call."""
        arguments = self._arguments.get(index)
        if arguments is not None:
            arguments.append(text)

    def valid(self, names: frozenset[str]) -> bool | None:
        """Whether every call is; None where there was none."""
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
