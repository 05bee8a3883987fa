"""A function call whose arguments come in pieces, each with its JSON path.

Source: recorded traffic of Gemini 3.1 (`willContinue`, `partialArgs`); no reference that names the fields was at hand.
"""

import re
from typing import Any

_STEP = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]|\['([^']*)'\]|\[\"([^\"]*)\"\]")
MAX_INDEX = 10_000
"""Of a list that a path may name; beyond it the path is nonsense."""


def steps(path: str) -> list[str | int]:
    """The keys and indices in *path*, as `$.a.b[0]`."""
    return [int(found[2]) if found[2] else found[1] or found[3] or found[4] or "" for found in _STEP.finditer(path)]


def put(args: Any, piece: dict[str, Any]) -> Any:
    """*args* with *piece* put in: a string goes on where one was begun, other values are set."""
    path = piece.get("jsonPath")
    way = steps(path) if isinstance(path, str) else []
    if "stringValue" in piece:
        said: Any = str(piece["stringValue"])
    elif "numberValue" in piece:
        said = piece["numberValue"]
    elif "boolValue" in piece:
        said = piece["boolValue"]
    else:
        said = None
    return _put(args, way, said)


def _put(at: Any, way: list[str | int], said: Any) -> Any:
    if not way:
        return at + said if isinstance(at, str) and isinstance(said, str) else said
    key, rest = way[0], way[1:]
    if isinstance(key, int):
        items = list(at) if isinstance(at, list) else []
        if key > MAX_INDEX:
            return items
        items += [None] * (key + 1 - len(items))
        items[key] = _put(items[key], rest, said)
        return items
    fields = dict(at) if isinstance(at, dict) else {}
    fields[key] = _put(fields.get(key), rest, said)
    return fields
