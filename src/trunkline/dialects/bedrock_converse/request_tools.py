"""Tools as Converse takes them. Source: Bedrock API reference, "ToolConfiguration" and "ToolChoice", read 2026-11-26.

A conversation in which tools were used must have a `toolConfig`, whether or not the client sends its tools again.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.bedrock_converse.request_messages import NAME, NO_WORD, cache_point, joined
from trunkline.dialects.common.custom_tools import INPUT_SCHEMA
from trunkline.dialects.common.json_schema import to_subset
from trunkline.dialects.interfaces import Quirks
from trunkline.families.traits import Family
from trunkline.model.loss import Losses
from trunkline.model.request import Message, Request, Tool, ToolCallPart, ToolChoice

Json: TypeAlias = dict[str, Any]

NO_SCHEMA: Json = {"type": "object", "properties": {}}
SUBSET = "the provider's subset of JSON Schema has no such word"
CLAUDES_OWN = ("computer_", "bash_", "text_editor_", "memory_")
"""Beginnings of the types of Claude's tools that the client runs; they go beside Converse's own."""


def config(request: Request, family: Family, quirks: Quirks, losses: Losses) -> Json | None:
    """The value of `toolConfig`; None where there is nothing to say."""
    used = list(dict.fromkeys(_used(request.messages)))
    choice = request.tool_choice
    if choice is not None and choice.mode == "none" and not used:
        return None  # a model without tools calls none
    entries = _entries(request, family, quirks, losses)
    body: Json = {}
    if choice is not None:
        entries = _chosen(body, choice, request, entries, family, losses)
    if not entries and used:
        entries = [{"toolSpec": {"name": name, "inputSchema": {"json": NO_SCHEMA}}} for name in used]
    return {"tools": entries, **body} if entries else None


def claudes_own(request: Request, family: Family) -> list[Json]:
    """The tools of Claude's own kinds, as Anthropic writes them."""
    return [_own(tool) for tool in request.tools or () if _is_own(tool, request, family)]


def _own(tool: Tool) -> Json:
    return {"type": tool.kind, **({"name": tool.name} if tool.name else {}), **tool.extra}


def _is_own(tool: Tool, request: Request, family: Family) -> bool:
    return family.claude and request.dialect == "messages" and tool.kind.startswith(CLAUDES_OWN)


def _used(messages: Iterable[Message]) -> Iterable[str]:
    for message in messages:
        for part in message.parts:
            if isinstance(part, ToolCallPart):
                yield joined(part.namespace, part.name)


def _entries(request: Request, family: Family, quirks: Quirks, losses: Losses) -> list[Json]:
    found: list[Json] = []
    seen: set[bytes] = set()
    same = request.dialect == NAME
    for at, tool in enumerate(request.tools or ()):
        where = f"tools[{at}]"
        if _is_own(tool, request, family):
            continue
        if tool.kind in ("function", "custom") and tool.name:
            entry: Json | None = {"toolSpec": _spec(tool, where, quirks, losses, same=same)}
        else:
            entry = {tool.kind: tool.extra} if same else _system_tool(tool, where, family, losses)
        if entry is None or (written := msgspec.json.encode(entry, order="deterministic")) in seen:
            continue
        seen.add(written)
        found.append(entry)
        if tool.cache is not None:
            if "tools" in family.cache_marks or same:
                found.append(cache_point(tool.cache))
            else:
                losses.add(f"{where}.{tool.cache.spelling}", "the model takes no cache marks there")
    return found


def _system_tool(tool: Tool, where: str, family: Family, losses: Losses) -> Json | None:
    """A tool that Bedrock runs itself, which takes no settings; None where it has none like *tool*."""
    for start, name in family.server_tools:
        if tool.kind.startswith(start):
            losses.extra(where, tool.extra, NO_WORD)
            return {"systemTool": {"name": name}}
    losses.add(where, "a tool that this provider would have to run, and does not have")
    return None


def _spec(tool: Tool, where: str, quirks: Quirks, losses: Losses, *, same: bool) -> Json:
    if tool.kind == "custom":
        schema = INPUT_SCHEMA
        if tool.format is not None and tool.format.get("type") != "text":
            losses.add(f"{where}.format", "free-form input has no grammar here")
    else:
        schema, gone = to_subset(tool.parameters or NO_SCHEMA, quirks.schema)
        for path in gone:
            losses.add(f"{where}.parameters.{path}", SUBSET)
    spec: Json = {"name": joined(tool.namespace, tool.name), "inputSchema": {"json": schema}}
    if tool.description:
        spec["description"] = tool.description
    if tool.strict is not None and (tool.strict or same):
        spec["strict"] = tool.strict
    if same:
        spec.update(tool.extra)
    else:
        losses.extra(where, tool.extra, NO_WORD)
    return spec


def _chosen(
    body: Json, choice: ToolChoice, request: Request, entries: list[Json], family: Family, losses: Losses
) -> list[Json]:
    """Put the choice into *body*; the entries that are left to choose from."""
    spaces = {tool.name: tool.namespace for tool in request.tools or ()}
    wanted = choice.names if choice.mode == "allowed" else (choice.name or "",)
    names = [joined(spaces.get(name), name) for name in wanted]
    match choice.mode:
        case "auto" if entries:
            body["toolChoice"] = {"auto": {}}
        case "required" if entries:
            body["toolChoice"] = {"any": {}}
        case "tool" if family.forced_tool and choice.name:
            body["toolChoice"] = {"tool": {"name": names[0]}}
        case "tool" if choice.name:
            entries = _only(entries, names)
            body["toolChoice"] = {"any": {}}
        case "allowed":
            entries = _only(entries, names)
            body["toolChoice"] = {"any" if choice.required else "auto": {}}
        case "none":
            losses.add("tool_choice", "a conversation in which tools were used cannot forbid them")
        case "opaque" | "tool":
            losses.add("tool_choice", NO_WORD)
        case _:
            pass
    return entries


def _only(entries: list[Json], names: list[str]) -> list[Json]:
    wanted = frozenset(names)
    return [entry for entry in entries if "toolSpec" in entry and entry["toolSpec"]["name"] in wanted]
