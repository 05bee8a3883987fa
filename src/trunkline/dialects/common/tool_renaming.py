"""Mapping of tool names in an answer back to the client's names and namespaces.

Codex puts the functions of a server into a namespace and expects a call's name and namespace as separate fields. For a
dialect without namespaces the two were joined, and a name that it does not allow was changed (`tool_names`). A custom
tool is a function with one string parameter there, so its input comes back as JSON.
"""

from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.common.tool_names import fit_name
from trunkline.dialects.common.types import ToolNames

JOINS = ("__", "_", ".", "-", "")
"""Separators that upstreams and models put between a namespace and a name."""
_any = msgspec.json.Decoder()


NO_NAMES = ToolNames()


def read_tool_names(envelope: dict[str, Raw]) -> ToolNames:
    """Return the tool names of a request of any dialect, by the top level of its body."""
    raws = [raw for key in ("tools", "functions") if (raw := envelope.get(key)) is not None]
    if not raws:
        return NO_NAMES
    found = [one for raw in raws for one in _tools(_any.decode(raw))]
    plain = {name for space, name, _ in found if space is None}
    spaced: dict[str, tuple[str | None, str]] = {}
    for space, name, _ in found:
        if space is None:
            for made in {fit_name(name), fit_name(f"_{name}")} - {name}:  # Gemini takes none that begins with a digit
                spaced[made] = (None, name)
            continue
        _spaced(spaced, space, name)
    custom = frozenset(name for _, name, kind in found if kind == "custom")
    return ToolNames({name: told for name, told in spaced.items() if name not in plain}, custom)


def client_names(envelope: dict[str, Raw]) -> dict[str, str]:
    """Return a mapping for the tools without a namespace: changed name → the client's name."""
    return {made: name for made, (space, name) in read_tool_names(envelope).spaced.items() if space is None}


def _tools(tools: Any) -> Iterator[tuple[str | None, str, str]]:
    """Yield namespace, name and kind of each tool that has a name."""
    for tool in _objects(tools):
        inner = tool.get("function")
        if tool.get("type") == "namespace":
            for one in _objects(tool.get("tools")):
                yield str(tool.get("name")), str(one.get("name")), one.get("type", "function")
        elif name := (inner if isinstance(inner, dict) else tool).get("name"):
            yield None, str(name), tool.get("type", "function")


def _objects(found: Any) -> list[dict[str, Any]]:
    return [one for one in found if isinstance(one, dict)] if isinstance(found, list) else []


def _spaced(spaced: dict[str, tuple[str | None, str]], space: str, name: str) -> None:
    for join in JOINS:
        made = f"{space}{join}{name}"
        spaced[made] = spaced[fit_name(made)] = (space, name)
    # A name that two namespaces share is ambiguous.
    for bare in {name, fit_name(name)}:
        if spaced.get(bare, (space,))[0] == space:
            spaced[bare] = (space, name)
        else:
            del spaced[bare]
