"""Tools and tool choice: conversion between chat's form and other dialects, and merging by identity."""

from typing import Any

from trunkline.dialects.common.custom_tools import INPUT_SCHEMA, nest_grammar
from trunkline.model.loss import Losses
from trunkline.presets.fields import Json, without_none

NESTED_FIELDS = ("name", "description", "parameters", "strict", "format")
"""Fields that chat nests under the tool's type, and Responses places beside it."""
NO_SCHEMA: Json = {"type": "object", "properties": {}}
DIALECT_TOOL_KEYS: dict[str, frozenset[str]] = {
    "chat": frozenset(),
    "messages": frozenset({"defer_loading", "input_examples", "allowed_callers", "eager_input_streaming"}),
    "responses": frozenset({"defer_loading"}),
}
"""A dialect → the keys of function tools that it has and that not every dialect has."""
_ALL_TOOL_KEYS = frozenset[str]().union(*DIALECT_TOOL_KEYS.values())
CHOICE_TO_CHAT = {"any": "required", "auto": "auto", "none": "none"}
"""Messages' tool choice → chat's."""
CHOICE_FROM_CHAT = {said: word for word, said in CHOICE_TO_CHAT.items()}
REPEATABLE_SERVER_TOOLS = ("openrouter:advisor", "openrouter:subagent")
"""Server tools that can occur several times, identified by `parameters.name`."""


def tool_identity(tool: Any) -> tuple[str, ...]:
    """The identity of *tool* of any dialect, by which a request's tool replaces the preset's.

    For a client tool its name; for other tools the type, with the name where there can be several.
    """
    if not isinstance(tool, dict):
        return ("", repr(tool))
    kind = tool.get("type") or ("custom" if "input_schema" in tool else "function")
    if kind in ("function", "custom"):
        inner = tool.get(kind)
        return ("function", str((inner if isinstance(inner, dict) else tool).get("name")))
    if kind in REPEATABLE_SERVER_TOOLS:
        parameters = tool.get("parameters")
        return (str(kind), str(parameters.get("name") or "") if isinstance(parameters, dict) else "")
    if kind == "mcp":
        return (kind, str(tool.get("server_label")))
    return (kind, str(tool.get("name"))) if kind == "namespace" else (str(kind),)


def merge_tools(preset: list[Any], request: list[Any]) -> list[Any]:
    """The tools of both, in the order of *preset*, then *request*. Where both have a tool, *request*'s is used."""
    theirs = {tool_identity(tool): tool for tool in request}
    ours = [theirs.get(tool_identity(tool), tool) for tool in preset]
    had = set(map(tool_identity, preset))
    return ours + [tool for tool in request if tool_identity(tool) not in had]


def tool_to_chat(tool: Any, dialect: str) -> Any:
    """Convert *tool* of *dialect* to chat's form. Server tools are unchanged."""
    if dialect == "messages":
        return _from_messages(tool) if tool.get("type") in (None, "custom") else tool
    kind = tool.get("type", "function")
    if kind not in ("function", "custom") or isinstance(tool.get(kind), dict) or not _has_name(tool):
        return tool
    inner = {key: tool[key] for key in NESTED_FIELDS if tool.get(key) is not None}
    if kind == "function":
        inner.setdefault("strict", None)  # Responses' default is strict where possible; chat's default is not strict
    if kind == "custom" and "format" in inner:
        inner["format"] = nest_grammar(inner["format"])
    return {
        "type": kind,
        kind: inner,
        **{key: said for key, said in tool.items() if key not in (*NESTED_FIELDS, "type")},
    }


def _from_messages(tool: Json) -> Json:
    known = ("type", "name", "description", "input_schema", "strict")
    description, strict = tool.get("description"), tool.get("strict")
    inner = without_none(name=tool["name"], description=description, parameters=tool["input_schema"], strict=strict)
    return {"type": "function", "function": inner, **{key: said for key, said in tool.items() if key not in known}}


def tool_from_chat(tool: Any, dialect: str, path: str, losses: Losses) -> Any:
    """Convert *tool* of a preset to *dialect*'s form."""
    kind = tool.get("type", "function")
    inner = tool.get(kind)
    if kind not in ("function", "custom") or not _has_name(inner):
        return tool
    rest = {key: said for key, said in tool.items() if key not in ("type", kind)}
    for key in _ALL_TOOL_KEYS.intersection(rest) - DIALECT_TOOL_KEYS[dialect]:
        del rest[key]
        losses.add(f"{path}.{key}", f"{dialect} has no word for it")
    if dialect == "responses" and kind == "function":
        inner = {"strict": False, **inner}
    inner = without_none(**inner)
    if dialect == "chat":
        return {"type": kind, kind: inner, **rest}
    if dialect == "responses":
        return {"type": kind, **(_flatten_grammar(inner) if kind == "custom" else inner), **rest}
    if kind == "custom":
        if isinstance(inner.get("format"), dict) and inner["format"].get("type") != "text":
            losses.add(f"{path}.custom.format", "free-form input has no grammar in messages")
        return {
            **without_none(name=inner["name"], description=inner.get("description")),
            "input_schema": INPUT_SCHEMA,
            **rest,
        }
    body = without_none(name=inner["name"], description=inner.get("description"))
    return {
        **body,
        "input_schema": inner.get("parameters") or NO_SCHEMA,
        **without_none(strict=inner.get("strict")),
        **rest,
    }


def _flatten_grammar(inner: Json) -> Json:
    """A custom tool's fields with its grammar in Responses' form."""
    found = inner.get("format")
    if isinstance(found, dict) and isinstance(found.get("grammar"), dict):
        rest = {key: said for key, said in found.items() if key != "grammar"}
        return {**inner, "format": {**rest, **found["grammar"]}}
    return inner


def choice_to_chat(choice: Any, dialect: str) -> tuple[Any, bool | None]:
    """Convert a tool choice to chat's form, with `parallel_tool_calls` where *choice* contains it."""
    if not isinstance(choice, dict):
        return choice, None
    kind = choice.get("type")
    if dialect == "messages":
        alone = choice.get("disable_parallel_tool_use")
        said = (
            {"type": "function", "function": {"name": choice["name"]}} if kind == "tool" else CHOICE_TO_CHAT[str(kind)]
        )
        return said, None if alone is None else not alone
    if dialect == "responses" and kind in ("function", "custom") and not isinstance(choice.get(kind), dict):
        return _nest_choice(choice), None
    if dialect == "responses" and kind == "allowed_tools" and "allowed_tools" not in choice:
        tools = [_nest_choice(tool) for tool in choice["tools"]]
        return {"type": kind, kind: {"mode": choice["mode"], "tools": tools}}, None
    return choice, None


def choice_from_chat(choice: Any, dialect: str, losses: Losses) -> Any:
    """Convert a tool choice to *dialect*'s form; None where the dialect cannot express it."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if dialect == "messages":
        if isinstance(choice, str):
            return {"type": CHOICE_FROM_CHAT[choice]}
        if kind not in ("function", "custom") or not _has_name(choice.get(kind)):
            losses.add("tool_choice", "messages has no word for it")
            return None
        return {"type": "tool", "name": choice[kind]["name"]}
    if dialect == "responses":
        if kind in ("function", "custom") and _has_name(choice.get(kind)):
            return {"type": kind, **choice[kind]}
        inner = choice.get("allowed_tools") if kind == "allowed_tools" else None
        if isinstance(inner, dict):
            tools = inner.get("tools")
            flat = [_flatten_choice(tool) for tool in tools] if isinstance(tools, list) else tools
            return {"type": kind, **inner, "tools": flat}
    return choice


def _has_name(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("name"), str)


def _nest_choice(named: Any) -> Any:
    """Convert `{type, name}` to chat's form; other forms are unchanged."""
    kind = named.get("type")
    if kind not in ("function", "custom") or not _has_name(named):
        return named
    return {"type": kind, kind: {"name": named["name"]}}


def _flatten_choice(named: Any) -> Any:
    kind = named.get("type") if isinstance(named, dict) else None
    inner = named.get(kind) if kind in ("function", "custom") else None
    return {"type": kind, **inner} if isinstance(inner, dict) else named
