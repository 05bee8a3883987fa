"""Items of an answer: of what kind each is, and what of it stands beside its content.

An item becomes one part of ours or several: the texts of a message, the summaries, texts and encrypted content of a
thought. Which of them were one item is kept in their `item`, so that an encoder of this dialect puts it together again.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult`.
"""

from typing import Any

import msgspec

from trunkline.dialects.common.lenient_json import arguments_text
from trunkline.dialects.openai_responses.citations import complete as complete_note

SERVER_TOOLS = {
    "web_search_call": "web_search",
    "file_search_call": "file_search",
    "code_interpreter_call": "code_interpreter",
    "mcp_call": "mcp",
    "x_search_call": "x_search",
    "tool_search_call": "tool_search",
}
"""Items that are calls of tools which the provider runs, and the tool's name where the item does not say."""

CALLS = {"function_call": ("arguments", None), "custom_tool_call": ("input", "custom")}
"""Items that are calls for the client to answer: the key of the arguments, and our form."""

_ALWAYS = {
    "function_call": frozenset({"call_id", "name", "arguments"}),
    "custom_tool_call": frozenset({"call_id", "name", "input"}),
    "image_generation_call": frozenset({"result"}),
}
_FULL = {
    "message": ("content",),
    "reasoning": ("summary", "content", "encrypted_content", "signature"),
}
"""Of these items what is empty is kept as it is, since it may be missing altogether."""
WORDS = frozenset({"id", "type", "status"})
"""Fields that are strings, or are not there."""


def meta(item: dict[str, Any]) -> dict[str, Any]:
    """What *item* says beside its content."""
    kind = item.get("type")
    taken = _ALWAYS.get(kind, frozenset()) if isinstance(kind, str) else frozenset()
    full = _FULL.get(kind, ()) if isinstance(kind, str) else ()
    return {
        key: value
        for key, value in item.items()
        if key not in taken and not (key in full and value) and (key not in WORDS or isinstance(value, str))
    }


def listed(output: Any) -> list[dict[str, Any]]:
    """The items of *output*; what is none, or does not say of what kind it is, is left out."""
    if not isinstance(output, list):
        return []
    return [item for item in output if isinstance(item, dict) and isinstance(item.get("type"), str)]


def complete(item: dict[str, Any]) -> dict[str, Any]:
    """*item* with what the dialect promises and some providers leave out, OpenAI among them."""
    content, action = item.get("content"), item.get("action")
    if item.get("type") == "message" and isinstance(content, list):
        return {**item, "content": [complete_part(part) if isinstance(part, dict) else part for part in content]}
    if isinstance(action, dict) and action.get("type") == "search" and "query" not in action:
        return {**item, "action": {**action, "query": ""}}
    return item


def complete_part(part: dict[str, Any]) -> dict[str, Any]:
    """*part*, of a message's content, in the same way."""
    notes, text = part.get("annotations"), part.get("text")
    if not isinstance(notes, list) or not isinstance(text, str):
        return part
    told = [complete_note(note, len(text)) if isinstance(note, dict) else note for note in notes]
    return {**part, "annotations": told}


def arguments(item: dict[str, Any]) -> str:
    """The arguments of a server tool's call as JSON text, empty where the item names none."""
    match item:
        case {"type": "web_search_call", "action": dict(action)}:
            said = {key: value for key, value in action.items() if key not in ("type", "sources")}
        case {"type": "file_search_call", "queries": list(queries)}:
            said = {"queries": queries}
        case {"type": "code_interpreter_call", "code": str(code)}:
            said = {"code": code}
        case {"arguments": found}:
            return arguments_text(found)
        case _:
            return ""
    return msgspec.json.encode(said).decode()


def outcome(item: dict[str, Any]) -> dict[str, Any]:
    """What came of a server tool's call, by the wire's names; empty where the item does not say."""
    found = {key: item[key] for key in ("outputs", "results", "output", "error") if item.get(key)}
    action = item.get("action")
    if isinstance(action, dict) and action.get("sources"):
        found["sources"] = action["sources"]
    return found
