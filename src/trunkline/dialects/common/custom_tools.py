"""Tools of free-form input: how they are offered where only functions exist, and the two spellings of their grammar."""

from typing import Any

import msgspec

INPUT_SCHEMA: dict[str, Any] = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
"""Parameters of the function that stands for a tool of free-form input."""

_any = msgspec.json.Decoder()


def nest_grammar(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The format of a custom tool as chat has it: a grammar stands inside."""
    if found is not None and set(found) == {"type", "syntax", "definition"}:
        inner = {"syntax": found["syntax"], "definition": found["definition"]}
        return {"type": found["type"], "grammar": inner}
    return found


def unwrap_input(arguments: str) -> str:
    """The one text in the JSON *arguments*; all of them where they are anything else."""
    try:
        found = _any.decode(arguments.encode())
    except (msgspec.DecodeError, RecursionError, ValueError):
        return arguments
    if isinstance(found, dict) and len(found) == 1:
        found = next(iter(found.values()))
    return found if isinstance(found, str) else arguments
