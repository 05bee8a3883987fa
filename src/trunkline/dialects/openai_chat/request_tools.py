"""Tools on offer and which to call, as they leave: of a chat client as they came, of another dialect translated."""

from collections.abc import Callable
from typing import Any

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.custom_tools import INPUT_SCHEMA, nest_grammar
from trunkline.dialects.common.json_schema import to_subset
from trunkline.dialects.common.request_fields import some, within
from trunkline.dialects.common.tool_names import Names
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat.request_content import NO_MARK
from trunkline.model.loss import Losses
from trunkline.model.request import Request, Tool, ToolChoice

NO_WORD = "chat has no word for it"


def put_native(body: dict[str, Any], request: Request) -> None:
    """Put the tools of a chat client into *body*, and which of them to call, as they came."""
    old = request.spelling.get("tools") == "functions"
    if request.tools is not None:
        tools = [_native_tool(tool) for tool in request.tools]
        body["functions" if old else "tools"] = [tool["function"] for tool in tools] if old else tools
    if request.tool_choice is not None:
        old = request.spelling.get("tool_choice") == "function_call"
        said = _native_choice(request.tool_choice)
        body["function_call" if old else "tool_choice"] = said["function"] if old and isinstance(said, dict) else said


def _native_tool(tool: Tool) -> dict[str, Any]:
    if not tool.name:
        return {"type": tool.kind, **cache_control.encode(tool.cache), **tool.extra}
    inner = some(name=tool.name, description=tool.description)
    if tool.kind == "custom":
        inner |= some(format=nest_grammar(tool.format))
    else:
        inner |= some(parameters=tool.parameters, strict=tool.strict)
    body = within({"type": tool.kind, tool.kind: inner, **cache_control.encode(tool.cache)}, tool.extra, tool.kind)
    if body["type"] is None:
        del body["type"]
    return body


def _native_choice(choice: ToolChoice) -> Any:
    match choice.mode:
        case "opaque":
            return {"type": choice.kind, **choice.extra}
        case "tool":
            return within({"type": choice.kind, choice.kind: {"name": choice.name}}, choice.extra, choice.kind)
        case "allowed":
            tools = [{"type": "function", "function": {"name": name}} for name in choice.names]
            inner = {"mode": "required" if choice.required else "auto", "tools": tools}
            return {"type": "allowed_tools", "allowed_tools": inner, **choice.extra}
        case mode:
            return mode


def offered(request: Request, names: Names, quirks: Quirks, losses: Losses) -> dict[str, Any]:
    """The tools, and which of them is wanted."""
    if not request.tools:
        return {}
    choice = request.tool_choice
    allowed = choice.names if choice is not None and choice.mode == "allowed" else None
    tools = [
        body
        for at, tool in enumerate(request.tools)
        if allowed is None or tool.name in allowed
        if (body := _tool(tool, f"tools[{at}]", names, quirks, losses)) is not None
    ]
    if not tools:
        if choice is not None and choice.mode not in ("none", "auto"):
            losses.add("tool_choice", "none of the tools could be offered")
        return {}
    said: dict[str, Any] = {"tools": tools}
    if choice is not None:
        said.update(_choice(request, names, quirks, losses))
    return {**said, **some(parallel_tool_calls=request.parallel_tool_calls)}


def _choice(request: Request, names: Names, quirks: Quirks, losses: Losses) -> dict[str, Any]:
    choice = request.tool_choice
    assert choice is not None
    losses.extra("tool_choice", {} if choice.mode == "opaque" else choice.extra, NO_WORD)
    match choice.mode:
        case "opaque":
            losses.add("tool_choice", "a choice that only its own dialect knows")
            return {}
        case "allowed":  # the others are not offered
            return {"tool_choice": "required" if choice.required else "auto"}
        case "tool":
            space = next((tool.namespace for tool in request.tools or () if tool.name == choice.name), None)
            kind = "custom" if choice.kind == "custom" and quirks.custom_tools else "function"
            if not any(tool.name == choice.name for tool in request.tools or () if tool.kind in TOOLS):
                losses.add("tool_choice", "a tool that could not be offered")
                return {}
            return {"tool_choice": {"type": kind, kind: {"name": names.of(space, choice.name or "")}}}
        case mode:
            return {"tool_choice": mode}


def _tool(tool: Tool, path: str, names: Names, quirks: Quirks, losses: Losses) -> dict[str, Any] | None:
    writer = TOOLS.get(tool.kind)
    if writer is None or not tool.name:
        losses.add(path, "a tool that only its own dialect knows")
        return None
    losses.extra(path, tool.extra, NO_WORD)
    body = writer(tool, path, names.of(tool.namespace, tool.name), quirks, losses)
    if tool.cache is not None:
        if quirks.cache_marks == "cache_control":
            body["cache_control"] = cache_control.encode_mark(tool.cache, "cache_control")
        else:
            losses.add(f"{path}.{tool.cache.spelling}", NO_MARK)
    return body


def _function(tool: Tool, path: str, name: str, quirks: Quirks, losses: Losses) -> dict[str, Any]:
    parameters = tool.parameters
    if parameters is not None:
        parameters = schema(parameters, f"{path}.parameters", tool.strict, quirks, losses)
    inner = some(name=name, description=tool.description, parameters=parameters, strict=tool.strict)
    return {"type": "function", "function": inner}


def _custom(tool: Tool, path: str, name: str, quirks: Quirks, losses: Losses) -> dict[str, Any]:
    if quirks.custom_tools:
        inner = some(name=name, description=tool.description, format=nest_grammar(tool.format))
        return {"type": "custom", "custom": inner}
    if tool.format is not None and tool.format.get("type") != "text":
        losses.add(f"{path}.format", "the provider knows functions alone, whose input has no grammar")
    return {"type": "function", "function": some(name=name, description=tool.description, parameters=INPUT_SCHEMA)}


TOOLS: dict[str, Callable[[Tool, str, str, Quirks, Losses], dict[str, Any]]] = {
    "function": _function,
    "custom": _custom,
}
"""A tool's kind → what writes it. Others are run by a provider of their own dialect."""


def schema(schema: dict[str, Any], path: str, strict: bool | None, quirks: Quirks, losses: Losses) -> dict[str, Any]:
    """*schema* as the provider takes it; OpenAI is strict only where it is told to be."""
    if quirks.schema == "openai_strict" and not strict:
        return schema
    taken, left_out = to_subset(schema, quirks.schema)
    for place in left_out:
        losses.add(f"{path}.{place}", "the provider's subset of JSON Schema has no word for it")
    return taken
