"""A preset, merged into the request that refers to it.

The merge is shallow: a field of the request replaces the preset's of the same name, whole, and a null does too. Tools
are merged one by one. The preset's system text comes before the caller's. What a preset says of choosing tools counts
where there are tools.

Source: openrouter-semantics §9.
"""

from collections.abc import Callable
from typing import Any

from msgspec import Raw, Struct

from trunkline.dialects.common.request_fields import value
from trunkline.model.errors import InvalidRequest
from trunkline.presets import tools
from trunkline.presets.names import SAME, raw

MARK = "@preset/"
_FEW = b"preset"
_EMPTY = (b"null", b"[]")


class Reference(Struct, frozen=True):
    """That a request refers to the preset *slug*, in its field *param*; *rest* is the request without saying so."""

    slug: str
    param: str
    rest: dict[str, Raw]


def reference(fields: dict[str, Raw]) -> Reference | None:
    """What preset a request with the top level *fields* refers to; None where it refers to none.

    Raises:
        InvalidRequest: to two of them, or `preset` is not a string.
    """
    named = value(fields["preset"]) if "preset" in fields else None
    if not isinstance(named, str | None):
        raise InvalidRequest("preset: expected a string", param="preset")
    model = value(fields["model"]) if _FEW in bytes(fields.get("model", b"")) else None
    before, mark, slug = model.partition(MARK) if isinstance(model, str) else ("", "", "")
    if mark and named is not None and named != slug:
        raise InvalidRequest("preset: the model names another preset", param="preset")
    if not mark and named is None:
        return None
    rest = {key: said for key, said in fields.items() if key != "preset"}
    if mark:
        del rest["model"]
        if before:
            rest["model"] = raw(before)
    return Reference(slug if mark else named or "", "model" if mark else "preset", rest)


def merge(request: dict[str, Raw], preset: dict[str, Raw], system: str | None, dialect: str) -> dict[str, Raw]:
    """*request* with what *preset*, said in the same *dialect*, adds to it.

    The values of *request* need not be what the dialect takes: what is not is left for its check to find.
    """
    if bytes(request.get("model", b"")) == b"null":
        request = {key: said for key, said in request.items() if key != "model"}
    named = {key for names in SAME[dialect] if not names.isdisjoint(request) for key in names}
    merged = {key: said for key, said in preset.items() if key not in named} | request
    if "tools" in preset and "tools" in request:
        merged["tools"] = _tools(preset["tools"], request["tools"])
    if bytes(merged.get("tools", b"null")) in _EMPTY:
        for key in ("tool_choice", "parallel_tool_calls"):
            if key in preset and key not in request:
                del merged[key]
    if system:
        _SYSTEMS[dialect](merged, system)
    return merged


def _tools(preset: Raw, request: Raw) -> Raw:
    found = value(request)
    return raw(tools.merged(value(preset), found)) if isinstance(found, list) else request


def _chat(fields: dict[str, Raw], system: str) -> None:
    """A system message before all others; a conversation that is none stays as it is."""
    messages = bytes(fields.get("messages", b"")).strip()
    if messages[:1] == b"[" and messages[1:].lstrip()[:1] not in (b"]", b""):
        first = bytes(raw({"role": "system", "content": system}))
        fields["messages"] = Raw(b"[" + first + b"," + messages[1:])


def _messages(fields: dict[str, Raw], system: str) -> None:
    found: Any = value(fields["system"]) if "system" in fields else None
    if found is None or found == "" or found == []:
        fields["system"] = raw(system)
    elif isinstance(found, str):
        fields["system"] = raw(f"{system}\n\n{found}")
    elif isinstance(found, list):
        fields["system"] = raw([{"type": "text", "text": system}, *found])


def _responses(fields: dict[str, Raw], system: str) -> None:
    found: Any = value(fields["instructions"]) if "instructions" in fields else None
    if found is None or isinstance(found, str):
        fields["instructions"] = raw(f"{system}\n\n{found}" if found else system)


_SYSTEMS: dict[str, Callable[[dict[str, Raw], str], None]] = {
    "chat": _chat,
    "messages": _messages,
    "responses": _responses,
}
"""A client dialect → what puts the preset's system text before the caller's."""
