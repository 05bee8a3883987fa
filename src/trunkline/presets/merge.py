"""Merge a preset into the request that refers to it.

The merge is shallow: a field of the request, null included, replaces the preset's field of the same name as a whole.
Tools are merged one by one. The preset's system text precedes the caller's. The preset's tool choice applies only where
there are tools.

Source: OpenRouter, "Presets".
"""

from collections.abc import Callable
from typing import Any

from msgspec import Raw, Struct

from trunkline.dialects.common.request_fields import value
from trunkline.model.errors import InvalidRequest
from trunkline.presets import tools
from trunkline.presets.fields import SYNONYMS, encode_raw

MODEL_PREFIX = "@preset/"
_PRESET_WORD = b"preset"
_EMPTY_VALUES = (b"null", b"[]")


class Reference(Struct, frozen=True):
    """A request's reference to the preset *slug*, in its field *param*; *rest* is the request without the reference."""

    slug: str
    param: str
    rest: dict[str, Raw]


def find_reference(fields: dict[str, Raw]) -> Reference | None:
    """The preset reference in a request with the top-level *fields*; None where there is none.

    Raises:
        InvalidRequest: the request refers to two presets, or `preset` is not a string.
    """
    named = value(fields["preset"]) if "preset" in fields else None
    if not isinstance(named, str | None):
        raise InvalidRequest("preset: expected a string", param="preset")
    model = value(fields["model"]) if _PRESET_WORD in bytes(fields.get("model", b"")) else None
    before, mark, slug = model.partition(MODEL_PREFIX) if isinstance(model, str) else ("", "", "")
    if mark and named is not None and named != slug:
        raise InvalidRequest("preset: the model names another preset", param="preset")
    if not mark and named is None:
        return None
    rest = {key: said for key, said in fields.items() if key != "preset"}
    if mark:
        del rest["model"]
        if before:
            rest["model"] = encode_raw(before)
    return Reference(slug if mark else named or "", "model" if mark else "preset", rest)


def merge_preset(request: dict[str, Raw], preset: dict[str, Raw], system: str | None, dialect: str) -> dict[str, Raw]:
    """Merge *preset*, encoded in the same *dialect*, into *request*.

    The values of *request* may be invalid in the dialect: the dialect's own check reports them.
    """
    if bytes(request.get("model", b"")) == b"null":
        request = {key: said for key, said in request.items() if key != "model"}
    named = {key for names in SYNONYMS[dialect] if not names.isdisjoint(request) for key in names}
    merged = {key: said for key, said in preset.items() if key not in named} | request
    if "tools" in preset and "tools" in request:
        merged["tools"] = _merge_tools(preset["tools"], request["tools"])
    if bytes(merged.get("tools", b"null")) in _EMPTY_VALUES:
        for key in ("tool_choice", "parallel_tool_calls"):
            if key in preset and key not in request:
                del merged[key]
    if system:
        _PREPEND_SYSTEM[dialect](merged, system)
    return merged


def _merge_tools(preset: Raw, request: Raw) -> Raw:
    found = value(request)
    return encode_raw(tools.merge_tools(value(preset), found)) if isinstance(found, list) else request


def _prepend_to_messages(fields: dict[str, Raw], system: str) -> None:
    """Insert a system message before all others. Messages that are not a non-empty array are unchanged."""
    messages = bytes(fields.get("messages", b"")).strip()
    if messages[:1] == b"[" and messages[1:].lstrip()[:1] not in (b"]", b""):
        first = bytes(encode_raw({"role": "system", "content": system}))
        fields["messages"] = Raw(b"[" + first + b"," + messages[1:])


def _prepend_to_system(fields: dict[str, Raw], system: str) -> None:
    found: Any = value(fields["system"]) if "system" in fields else None
    if found is None or found == "" or found == []:
        fields["system"] = encode_raw(system)
    elif isinstance(found, str):
        fields["system"] = encode_raw(f"{system}\n\n{found}")
    elif isinstance(found, list):
        fields["system"] = encode_raw([{"type": "text", "text": system}, *found])


def _prepend_to_instructions(fields: dict[str, Raw], system: str) -> None:
    found: Any = value(fields["instructions"]) if "instructions" in fields else None
    if found is None or isinstance(found, str):
        fields["instructions"] = encode_raw(f"{system}\n\n{found}" if found else system)


_PREPEND_SYSTEM: dict[str, Callable[[dict[str, Raw], str], None]] = {
    "chat": _prepend_to_messages,
    "messages": _prepend_to_system,
    "responses": _prepend_to_instructions,
}
"""A client dialect → the function that inserts the preset's system text before the caller's."""
