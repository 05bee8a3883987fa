"""Tools on offer, and which of them to call. Source: OpenRouter's OpenAPI document, `MessagesRequest`.

Claude refuses `anyOf`, `oneOf` and `allOf` at the root of a tool's schema; what they say of properties is put beside
the others. Its strict tools take the subset of JSON Schema that its answers do, and older models have none.

Sources: Anthropic's guides "Implement tool use" and "Structured outputs", read 2026-11-26; claude-code #5973.
"""

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

from trunkline.dialects.anthropic_messages.request_cache_control import cache_control
from trunkline.dialects.anthropic_messages.vocabulary import NAME
from trunkline.dialects.common.custom_tools import INPUT_SCHEMA
from trunkline.dialects.common.json_schema import Subset, to_object, to_subset
from trunkline.dialects.common.tool_names import fit_name
from trunkline.dialects.interfaces import Quirks
from trunkline.families.traits import Family
from trunkline.model.loss import Losses
from trunkline.model.request import Request, Tool, ToolChoice

Json: TypeAlias = dict[str, Any]

NO_WORD = "Messages has no word for it"
SUBSET = "the provider's subset of JSON Schema has no such word"
ROOT = "the model takes none at the root of a schema: its properties stand beside it"
NOT_STRICT = "the model takes no strict schemas"
NO_SCHEMA: Json = {"type": "object", "properties": {}}
COMBINED = ("allOf", "anyOf", "oneOf")
_NAME = re.compile(r"[a-zA-Z0-9_-]{1,128}")


def called(namespace: str | None, name: str) -> str:
    """What the tool *name* is called here, where there are no namespaces: one name, as the provider takes it."""
    whole = name if namespace is None else f"{namespace}__{name}"
    return whole if _NAME.fullmatch(whole) is not None else fit_name(whole)


def subset_of(family: Family, quirks: Quirks) -> Subset:
    """The subset of JSON Schema that binds the model's answer."""
    return "anthropic" if family.claude and quirks.schema == "full" else quirks.schema


def put(body: Json, request: Request, family: Family, quirks: Quirks, losses: Losses) -> None:
    """Put the tools of *request*, and what it says of calling them, into *body*."""
    same, choice = request.dialect == NAME, request.tool_choice
    if request.tools is not None:
        kept = list(_same(request)) if same else list(_offered(request, family, quirks, losses))
        if kept or same:
            body["tools"] = kept
    if choice is not None:
        said = _choice(choice, request, body, losses)
        if said is not None and (same or body.get("tools")):
            body["tool_choice"] = said
    parallel = request.parallel_tool_calls
    if parallel is not None and (same or (parallel is False and "tools" in body)):
        told = body.get("tool_choice") or {"type": "auto"}
        if same or told["type"] != "none":
            body["tool_choice"] = {**told, "disable_parallel_tool_use": not parallel}


def _same(request: Request) -> Iterator[Json]:
    """The tools of a Messages client, as they came."""
    for tool in request.tools or ():
        mark = {} if tool.cache is None else {"cache_control": cache_control(tool.cache)}
        if tool.kind != "function":
            yield {"type": tool.kind, **({"name": tool.name} if tool.name else {}), **mark, **tool.extra}
            continue
        body: Json = {"name": tool.name}
        if tool.description is not None:
            body["description"] = tool.description
        body["input_schema"] = tool.parameters if tool.parameters is not None else NO_SCHEMA
        if tool.strict is not None:
            body["strict"] = tool.strict
        yield {**body, **tool.extra, **mark}


def _offered(request: Request, family: Family, quirks: Quirks, losses: Losses) -> Iterator[Json]:
    """The tools of another dialect, those that may be called."""
    choice = request.tool_choice
    only = None if choice is None or choice.mode != "allowed" else _names(request, choice.names)
    taken: set[str] = set()
    for at, tool in enumerate(request.tools or ()):
        body = _tool(tool, f"tools[{at}]", family, quirks, losses)
        if body is None or (only is not None and body["name"] not in only):
            continue
        if body["name"] in taken:
            losses.add(f"tools[{at}]", "another tool has its name")
            continue
        taken.add(body["name"])
        yield body


def _names(request: Request, names: tuple[str, ...]) -> set[str]:
    """What those of *names*, by the client's words, are called here."""
    spaces = {tool.name: tool.namespace for tool in request.tools or ()}
    return {called(spaces.get(name), name) for name in names}


def _tool(tool: Tool, where: str, family: Family, quirks: Quirks, losses: Losses) -> Json | None:
    if tool.kind not in ("function", "custom") or not tool.name:
        losses.add(where, "a tool that this provider would have to run, and does not have")
        return None
    body: Json = {"name": called(tool.namespace, tool.name)}
    if tool.description:
        body["description"] = tool.description
    strict = bool(tool.strict) and tool.kind == "function"
    if strict and family.claude and not family.structured_output:
        losses.add(f"{where}.strict", NOT_STRICT)
        strict = False
    if tool.kind == "custom":
        body["input_schema"] = INPUT_SCHEMA
        if tool.format is not None and tool.format.get("type") != "text":
            losses.add(f"{where}.format", "free-form input has no grammar here")
    else:
        kind = subset_of(family, quirks) if strict else quirks.schema
        schema = {"type": "object", **(tool.parameters or NO_SCHEMA)}
        if family.claude:
            schema, combined = to_object(schema, COMBINED)
            for path in combined:
                losses.add(f"{where}.parameters.{path}", ROOT)
        body["input_schema"], gone = to_subset(schema, kind)
        for path in gone:
            losses.add(f"{where}.parameters.{path}", SUBSET)
    if strict:
        body["strict"] = True
    losses.extra(where, tool.extra, NO_WORD, but=("type", "defer_loading"))
    return body if tool.cache is None else {**body, "cache_control": cache_control(tool.cache)}


def _choice(choice: ToolChoice, request: Request, body: Json, losses: Losses) -> Json | None:
    same = request.dialect == NAME
    if not same:
        losses.extra("tool_choice", choice.extra, NO_WORD)
    extra = choice.extra if same else {}
    match choice.mode:
        case "auto" | "none":
            return {"type": choice.mode, **extra}
        case "required":
            return {"type": "any", **extra}
        case "tool" if choice.name and same:
            return {"type": "tool", "name": choice.name, **extra}
        case "tool" if choice.name:
            (name,) = _names(request, (choice.name,))
            if any(tool["name"] == name for tool in body.get("tools", ())):
                return {"type": "tool", "name": name}
            losses.add("tool_choice", "a tool that could not be offered")
            return None
        case "allowed":
            return {"type": "any" if choice.required else "auto"}
        case _:
            losses.add("tool_choice", NO_WORD)
            return None
