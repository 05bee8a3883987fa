"""Custom tools, whose input is free-form text: as functions for other dialects, and the two forms of their grammar."""

from typing import Any

import msgspec

INPUT_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""Parameters of the function that represents a custom tool in a dialect without custom tools."""

_any = msgspec.json.Decoder()


def nest_grammar(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the `format` of a custom tool in chat's form, where the grammar is nested under `grammar`."""
    if found is not None and set(found) == {"type", "syntax", "definition"}:
        inner = {"syntax": found["syntax"], "definition": found["definition"]}
        return {"type": found["type"], "grammar": inner}
    return found


def unwrap_input(arguments: str) -> str:
    """Return the text in the JSON *arguments*, the value of their only field; *arguments* themselves otherwise."""
    try:
        found = _any.decode(arguments.encode())
    except (msgspec.DecodeError, RecursionError, ValueError):
        return arguments
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    return found if isinstance(found, str) else arguments
