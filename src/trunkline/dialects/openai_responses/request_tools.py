"""Tools on offer and which to call: of a Responses client as they came, of another dialect translated."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

from msgspec.structs import replace

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.json_schema import Subset, to_subset
from trunkline.dialects.common.tool_names import fit_name
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses.request_items import NO_FIELD, Body, lost, some
from trunkline.model.loss import Losses
from trunkline.model.request import (
    Request,
    Tool,
    ToolChoice,
)

SERVER_TOOLS: tuple[tuple[str, str], ...] = (
    ("web_search", "web_search"),
    ("openrouter:web_search", "web_search"),
    ("googleSearch", "web_search"),
    ("google_search", "web_search"),
    ("code_execution", "code_interpreter"),
    ("codeExecution", "code_interpreter"),
)
"""How the kind of a provider's own tool begins, in any dialect → OpenAI's tool of that kind."""


def put(body: Body, request: Request, quirks: Quirks, losses: Losses) -> None:
    """Put the tools of another dialect's *request* into *body*, and which of them to call."""
    taken = [_translated(tool, f"tools[{at}]", request, quirks, losses) for at, tool in enumerate(request.tools or ())]
    found = [tool for tool in taken if tool is not None]
    if found:
        body["tools"] = tools(found)
        if request.tool_choice is not None:
            told = _translated_choice(request.tool_choice, losses)
            if told is not None:
                body["tool_choice"] = told


def _translated(tool: Tool, where: str, request: Request, quirks: Quirks, losses: Losses) -> Tool | None:
    """A tool as OpenAI takes it. It tries to be strict where nobody says that it should not."""
    if tool.kind == "custom":
        return replace(tool, name=fit_name(tool.name), extra={}, cache=None)
    if tool.kind != "function" or not tool.name:
        return _server_tool(tool, where, losses)
    lost(losses, f"{where}.", tool.extra)
    parameters = tool.parameters or {"type": "object", "properties": {}}
    strict = bool(tool.strict)
    parameters, gone = to_subset(parameters, subset_of(request, quirks, strict=strict))
    for path in gone:
        losses.add(f"{where}.parameters.{path}", "the provider's subset of JSON Schema has no such word")
    return replace(tool, name=fit_name(tool.name), parameters=parameters, strict=strict, extra={}, cache=None)


def subset_of(request: Request, quirks: Quirks, *, strict: bool) -> Subset:
    """Which schemas the provider takes. OpenAI is strict only where it is told to be; chat's are written for that."""
    if strict and request.dialect != "chat":
        return "openai_strict"
    return "full" if quirks.schema == "openai_strict" and not strict else quirks.schema


def _server_tool(tool: Tool, where: str, losses: Losses) -> Tool | None:
    for start, kind in SERVER_TOOLS:
        if tool.kind.startswith(start):
            if kind == "code_interpreter":
                return Tool(kind=kind, extra={"container": {"type": "auto"}})
            return Tool(kind=kind, extra=_search(tool.extra, where, losses))
    losses.add(where, "the provider has no such tool")
    return None


def _search(extra: Body, where: str, losses: Losses) -> Body:
    inner = extra.get("parameters")
    given: Body = {**extra, **(inner if isinstance(inner, dict) else {})}
    said: Body = some(
        {"user_location": given.get("user_location"), "search_context_size": given.get("search_context_size")}
    )
    allowed = given.get("allowed_domains")
    if isinstance(allowed, list) and allowed:
        said["filters"] = {"allowed_domains": allowed}
    for key in sorted(given.keys() - {"user_location", "search_context_size", "allowed_domains", "parameters", "name"}):
        if given[key] is not None:
            losses.add(f"{where}.{key}", NO_FIELD)
    return said


def _translated_choice(found: ToolChoice, losses: Losses) -> Any:
    if found.mode == "opaque":
        losses.add("tool_choice", NO_FIELD)
        return None
    name = None if found.name is None else fit_name(found.name)
    return choice(replace(found, name=name, names=tuple(map(fit_name, found.names)), extra={}, native={}))


def tools(found: Iterable[Tool]) -> list[Body]:
    """Tools on the wire, those of one namespace together."""
    out: list[Body] = []
    for space, group in groupby(found, key=lambda tool: (tool.namespace, tool.namespace_description)):
        one = list(group)
        if space[0] is None:
            out += [_tool(tool) for tool in one]
        else:
            head = {"type": "namespace", "name": space[0], **some({"description": space[1]})}
            out.append({**head, **one[0].namespace_extra, "tools": [_tool(tool) for tool in one]})
    return out


def _tool(tool: Tool) -> Body:
    if tool.kind not in ("function", "custom"):
        return {"type": tool.kind, **tool.extra}
    named = {"name": tool.name, "description": tool.description, "parameters": tool.parameters}
    told = some({**named, "strict": tool.strict, "format": tool.format})
    body = {"type": tool.kind, **told, **cache_control.encode(tool.cache), **tool.extra}
    if tool.kind == "function" and tool.namespace is None:
        body.setdefault("parameters", None)
    return body


def choice(found: ToolChoice) -> Any:
    """`tool_choice` on the wire."""
    match found.mode:
        case "opaque":
            return {"type": found.kind, **found.extra}
        case "tool":
            return {"type": found.kind, "name": found.name, **found.extra}
        case "allowed":
            mode = "required" if found.required else "auto"
            listed = [{"type": "function", "name": name} for name in found.names]
            return {"type": "allowed_tools", "mode": mode, "tools": listed, **found.native}
        case _:
            return found.mode
