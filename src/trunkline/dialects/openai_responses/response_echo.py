"""The response object around its output: what it repeats of the request.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult`.
"""

from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.interfaces import Identity

DEFAULTS: dict[str, Any] = {
    "instructions": None,
    "metadata": None,
    "tools": [],
    "tool_choice": "auto",
    "parallel_tool_calls": True,
    "temperature": None,
    "top_p": None,
    "presence_penalty": None,
    "frequency_penalty": None,
    "max_output_tokens": None,
    "max_tool_calls": None,
    "background": False,
    "truncation": None,
    "service_tier": None,
    "text": {"format": {"type": "text"}},
    "reasoning": None,
    "safety_identifier": None,
    "prompt_cache_key": None,
    "user": None,
}
"""Fields that are always there, and what they say where the request does not."""

GIVEN = ("top_logprobs", "prompt", "prompt_cache_options")
"""Fields that are there where the request has them."""

REASONING = ("effort", "summary", "context", "mode")
STATUSES = frozenset({"completed", "incomplete", "in_progress", "failed", "cancelled", "queued"})
_NULLABLE = ("function", "namespace")
NOT_NULL = frozenset({"usage", "top_logprobs"})
_NULL = b"null"
_any = msgspec.json.Decoder()


def echo(envelope: dict[str, Raw]) -> dict[str, Any]:
    """What a response repeats of the request with this top level; values that were not touched are still bytes."""
    said = {
        key: envelope[key] if key in envelope and bytes(envelope[key]) != _NULL else value
        for key, value in DEFAULTS.items()
    }
    said.update({key: envelope[key] for key in GIVEN if key in envelope and bytes(envelope[key]) != _NULL})
    for key, put in (("tools", _tools), ("tool_choice", _choice), ("text", _text), ("reasoning", _reasoning)):
        if isinstance(said[key], Raw):
            said[key] = put(said[key])
    return {**said, "store": False, "previous_response_id": None}


def _tools(raw: Raw) -> Any:
    """As they came; those in chat's shape (Cursor's) in that of this dialect."""
    if b'"function"' not in bytes(raw):
        return raw
    return [flat(tool) for tool in _any.decode(raw)]


def flat(tool: Any) -> Any:
    """*tool*, or the choice of one, with what chat puts under `function` beside its type."""
    if isinstance(tool, dict) and isinstance(tool.get("function"), dict):
        rest = {key: value for key, value in tool.items() if key != "function"}
        return {"type": "function", **rest, **tool["function"]}
    return tool


def _choice(raw: Raw) -> Any:
    return flat(_any.decode(raw)) if b'"function"' in bytes(raw) else raw


def _text(raw: Raw) -> Any:
    said = _any.decode(raw)
    return {"format": {"type": "text"}, **{key: value for key, value in said.items() if value is not None}}


def _reasoning(raw: Raw) -> Any:
    said = _any.decode(raw)
    return {key: said.get(key) for key in REASONING if key in said or key in ("effort", "summary")}


def head(identity: Identity, envelope: dict[str, Raw]) -> dict[str, Any]:
    """The response as it is before anything has come of it."""
    return {
        "id": identity.id,
        "object": "response",
        "created_at": identity.created,
        "model": identity.model,
        "status": "in_progress",
        "completed_at": None,
        "output": [],
        "error": None,
        "incomplete_details": None,
        **echo(envelope),
    }


def told(head: dict[str, Any], upstream: dict[str, Any]) -> dict[str, Any]:
    """*head* with what an upstream of this dialect says of its answer; some of its nulls the schema does not have."""
    found = {key: value for key, value in upstream.items() if key not in NOT_NULL or not null(value)}
    for key in ("text", "tools"):
        if key in found and not null(found[key]):
            found[key] = _without_nulls(found[key])
    return {**head, **found}


def _without_nulls(said: Any) -> Any:
    """A format or tools as upstreams repeat them, without the nulls that the schema has only of functions."""
    found = _any.decode(said) if isinstance(said, Raw) else said
    if isinstance(found, dict):
        form = found.get("format")
        return {**found, "format": _some(form)} if isinstance(form, dict) else found
    if not isinstance(found, list):
        return found
    return [tool if not isinstance(tool, dict) or tool.get("type") in _NULLABLE else _some(tool) for tool in found]


def _some(fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def null(value: Any) -> bool:
    """Whether *value*, as Python's or as bytes, is null."""
    return value is None or (isinstance(value, Raw) and bytes(value) == _NULL)


def output_text(output: list[Any]) -> str:
    """All text of *output*, joined."""
    messages = (item.get("content") for item in output if isinstance(item, dict) and item.get("type") == "message")
    return "".join(
        part["text"]
        for content in messages
        if isinstance(content, list)
        for part in content
        if isinstance(part, dict) and part.get("type") == "output_text" and isinstance(part.get("text"), str)
    )
