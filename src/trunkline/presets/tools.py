"""Tools, and which to call: in chat's shape from another dialect's, and back; which of two tools are the same."""

from typing import Any

from trunkline.dialects.common.custom_tools import INPUT_SCHEMA, nest_grammar
from trunkline.model.loss import Losses
from trunkline.presets.names import Json, some

INSIDE = ("name", "description", "parameters", "strict", "format")
"""What chat puts under a function's or custom tool's type, and Responses beside it."""
NO_SCHEMA: Json = {"type": "object", "properties": {}}
OWN_KEYS: dict[str, frozenset[str]] = {
    "chat": frozenset(),
    "messages": frozenset({"defer_loading", "input_examples", "allowed_callers", "eager_input_streaming"}),
    "responses": frozenset({"defer_loading"}),
}
"""A dialect → keys of function tools that not every dialect has, and it has."""
_OWN = frozenset[str]().union(*OWN_KEYS.values())
CHOICES = {"any": "required", "auto": "auto", "none": "none"}
"""Messages' word for which tool to call → chat's."""
_CHOSEN = {said: word for word, said in CHOICES.items()}
NAMED = ("openrouter:advisor", "openrouter:subagent")
"""Server tools of which there may be several, told apart by `parameters.name`."""


def identity(tool: Any) -> tuple[str, ...]:
    """What tells *tool*, of any dialect, from others.

    The name of a tool that the client runs; of another one the type, and what names it where there may be several.
    """
    if not isinstance(tool, dict):
        return ("", repr(tool))
    kind = tool.get("type") or ("custom" if "input_schema" in tool else "function")
    if kind in ("function", "custom"):
        inner = tool.get(kind)
        return ("function", str((inner if isinstance(inner, dict) else tool).get("name")))
    if kind in NAMED:
        parameters = tool.get("parameters")
        return (str(kind), str(parameters.get("name") or "") if isinstance(parameters, dict) else "")
    if kind == "mcp":
        return (kind, str(tool.get("server_label")))
    return (kind, str(tool.get("name"))) if kind == "namespace" else (str(kind),)


def merged(preset: list[Any], request: list[Any]) -> list[Any]:
    """Tools of both, in *preset*'s order and then *request*'s; of one that both have, *request*'s stands."""
    theirs = {identity(tool): tool for tool in request}
    ours = [theirs.get(identity(tool), tool) for tool in preset]
    had = set(map(identity, preset))
    return ours + [tool for tool in request if identity(tool) not in had]


def to_chat(tool: Any, dialect: str) -> Any:
    """*tool* of *dialect* in chat's shape; a server tool as it is."""
    if dialect == "messages":
        return _from_messages(tool) if tool.get("type") in (None, "custom") else tool
    kind = tool.get("type", "function")
    if kind not in ("function", "custom") or isinstance(tool.get(kind), dict) or not _named(tool):
        return tool
    inner = {key: tool[key] for key in INSIDE if tool.get(key) is not None}
    if kind == "function":
        inner.setdefault("strict", None)  # as strict as may be, which is not what chat means by nothing
    if kind == "custom" and "format" in inner:
        inner["format"] = nest_grammar(inner["format"])
    return {"type": kind, kind: inner, **{key: said for key, said in tool.items() if key not in (*INSIDE, "type")}}


def _from_messages(tool: Json) -> Json:
    known = ("type", "name", "description", "input_schema", "strict")
    description, strict = tool.get("description"), tool.get("strict")
    inner = some(name=tool["name"], description=description, parameters=tool["input_schema"], strict=strict)
    return {"type": "function", "function": inner, **{key: said for key, said in tool.items() if key not in known}}


def from_chat(tool: Any, dialect: str, path: str, losses: Losses) -> Any:
    """*tool* of a preset in *dialect*'s shape."""
    kind = tool.get("type", "function")
    inner = tool.get(kind)
    if kind not in ("function", "custom") or not _named(inner):
        return tool
    rest = {key: said for key, said in tool.items() if key not in ("type", kind)}
    for key in _OWN.intersection(rest) - OWN_KEYS[dialect]:
        del rest[key]
        losses.add(f"{path}.{key}", f"{dialect} has no word for it")
    if dialect == "responses" and kind == "function":
        inner = {"strict": False, **inner}
    inner = some(**inner)
    if dialect == "chat":
        return {"type": kind, kind: inner, **rest}
    if dialect == "responses":
        return {"type": kind, **(_flat(inner) if kind == "custom" else inner), **rest}
    if kind == "custom":
        if isinstance(inner.get("format"), dict) and inner["format"].get("type") != "text":
            losses.add(f"{path}.custom.format", "free-form input has no grammar in messages")
        return {**some(name=inner["name"], description=inner.get("description")), "input_schema": INPUT_SCHEMA, **rest}
    body = some(name=inner["name"], description=inner.get("description"))
    return {**body, "input_schema": inner.get("parameters") or NO_SCHEMA, **some(strict=inner.get("strict")), **rest}


def _flat(inner: Json) -> Json:
    """A custom tool's fields with its grammar as Responses has it."""
    found = inner.get("format")
    if isinstance(found, dict) and isinstance(found.get("grammar"), dict):
        rest = {key: said for key, said in found.items() if key != "grammar"}
        return {**inner, "format": {**rest, **found["grammar"]}}
    return inner


def choice_to_chat(choice: Any, dialect: str) -> tuple[Any, bool | None]:
    """Which tool to call, in chat's shape, and `parallel_tool_calls` where *choice* says it."""
    if not isinstance(choice, dict):
        return choice, None
    kind = choice.get("type")
    if dialect == "messages":
        alone = choice.get("disable_parallel_tool_use")
        said = {"type": "function", "function": {"name": choice["name"]}} if kind == "tool" else CHOICES[str(kind)]
        return said, None if alone is None else not alone
    if dialect == "responses" and kind in ("function", "custom") and not isinstance(choice.get(kind), dict):
        return _nested(choice), None
    if dialect == "responses" and kind == "allowed_tools" and "allowed_tools" not in choice:
        tools = [_nested(tool) for tool in choice["tools"]]
        return {"type": kind, kind: {"mode": choice["mode"], "tools": tools}}, None
    return choice, None


def choice_from_chat(choice: Any, dialect: str, losses: Losses) -> Any:
    """Which tool to call, in *dialect*'s shape; None where it has no word for it."""
    kind = choice.get("type") if isinstance(choice, dict) else None
    if dialect == "messages":
        if isinstance(choice, str):
            return {"type": _CHOSEN[choice]}
        if kind not in ("function", "custom") or not _named(choice.get(kind)):
            losses.add("tool_choice", "messages has no word for it")
            return None
        return {"type": "tool", "name": choice[kind]["name"]}
    if dialect == "responses":
        if kind in ("function", "custom") and _named(choice.get(kind)):
            return {"type": kind, **choice[kind]}
        inner = choice.get("allowed_tools") if kind == "allowed_tools" else None
        if isinstance(inner, dict):
            tools = inner.get("tools")
            flat = [_beside(tool) for tool in tools] if isinstance(tools, list) else tools
            return {"type": kind, **inner, "tools": flat}
    return choice


def _named(found: Any) -> bool:
    return isinstance(found, dict) and isinstance(found.get("name"), str)


def _nested(named: Any) -> Any:
    """*named* (`{type, name}`) as chat has it; what is not of that form as it is."""
    kind = named.get("type")
    if kind not in ("function", "custom") or not _named(named):
        return named
    return {"type": kind, kind: {"name": named["name"]}}


def _beside(named: Any) -> Any:
    kind = named.get("type") if isinstance(named, dict) else None
    inner = named.get(kind) if kind in ("function", "custom") else None
    return {"type": kind, **inner} if isinstance(inner, dict) else named
