"""The client's own words for its tools, for upstreams that know neither namespaces nor free-form input.

Codex puts the functions of a server into a namespace and wants a call's name and namespace apart; a dialect without
namespaces makes one name of the two. Free-form input goes to such a dialect as a function with one text, and comes back
as JSON around it.
"""

from typing import Any

import msgspec
from msgspec import Raw, Struct

JOINS = ("__", "_", ".", "-", "")
"""What may stand between a namespace and a name where somebody made one of both."""
_any = msgspec.json.Decoder()


class Names(Struct, frozen=True):
    """What the client calls its tools: one name → namespace and name; the names of tools of free-form input."""

    spaced: dict[str, tuple[str, str]] = {}
    custom: frozenset[str] = frozenset()


NO_NAMES = Names()


def read(envelope: dict[str, Raw]) -> Names:
    """The names of the tools in a request with this top level."""
    raw = envelope.get("tools")
    if raw is None or (b'"namespace"' not in bytes(raw) and b'"custom"' not in bytes(raw)):
        return NO_NAMES
    spaced: dict[str, tuple[str, str]] = {}
    plain: set[str] = set()
    custom: set[str] = set()
    for tool in _any.decode(raw) or ():
        if tool.get("type") == "namespace":
            for inner in tool.get("tools") or ():
                _spaced(spaced, str(tool.get("name")), inner)
                if inner.get("type") == "custom":
                    custom.add(str(inner.get("name")))
        else:
            plain.add(_name(tool))
            if tool.get("type") == "custom":
                custom.add(_name(tool))
    return Names({name: found for name, found in spaced.items() if name not in plain}, frozenset(custom))


def _name(tool: dict[str, Any]) -> str:
    inner = tool.get("function")
    return str((inner if isinstance(inner, dict) else tool).get("name"))


def _spaced(spaced: dict[str, tuple[str, str]], space: str, tool: dict[str, Any]) -> None:
    name = _name(tool)
    for join in JOINS:
        spaced[f"{space}{join}{name}"] = (space, name)
    # A name that two namespaces have says nothing of which is meant.
    if spaced.get(name, (space,))[0] == space:
        spaced[name] = (space, name)
    else:
        del spaced[name]


def free_text(arguments: str) -> str:
    """The one text in the JSON *arguments*; all of them where they are anything else."""
    try:
        found = _any.decode(arguments.encode())
    except (msgspec.DecodeError, RecursionError, ValueError):
        return arguments
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    return found if isinstance(found, str) else arguments
