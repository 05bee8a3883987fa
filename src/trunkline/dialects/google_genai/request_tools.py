"""Tools on offer and which to call, as generateContent takes them.

Sources: Gemini API, "generateContent" reference; Firebase AI reference, "GenerationConfig", read 2026-11-26.
"""

from typing import Any, TypeAlias

from trunkline.dialects.common.custom_tools import INPUT_SCHEMA
from trunkline.dialects.common.json_schema import SILENT, to_object, to_subset
from trunkline.dialects.google_genai.request_messages import NO_WORD, joined
from trunkline.dialects.interfaces import Quirks
from trunkline.model.loss import Losses
from trunkline.model.request import Request, Tool, ToolChoice

Json: TypeAlias = dict[str, Any]

MODES = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
RUNS = (
    ("web_search", "googleSearch"), ("openrouter:web_search", "googleSearch"), ("google_search", "googleSearch"),
    ("web_fetch", "urlContext"), ("openrouter:web_fetch", "urlContext"), ("url_context", "urlContext"),
    ("code_execution", "codeExecution"), ("code_interpreter", "codeExecution"),
)  # fmt: skip
"""Tools that Google runs itself: the beginning of what other dialects call one → its name here."""


def put(body: Json, request: Request, quirks: Quirks, losses: Losses) -> None:
    """Put the tools of *request* into *body*, and which of them to call."""
    declared: list[Json] = []
    runs: dict[str, str] = {}
    for at, tool in enumerate(request.tools or ()):
        where = f"tools[{at}]"
        if tool.cache is not None:
            losses.add(f"{where}.{tool.cache.spelling}", "Gemini caches by itself")
        if tool.kind in ("function", "custom") and tool.name:
            declared.append(_declaration(tool, where, quirks, losses))
        elif name := next((name for start, name in RUNS if tool.kind.startswith(start)), None):
            runs.setdefault(name, where)
            losses.extra(where, tool.extra, NO_WORD)
        else:
            losses.add(where, "a tool that this provider would have to run, and does not have")
    if not declared:
        if runs and not (request.tool_choice and request.tool_choice.mode == "none"):
            body["tools"] = [{name: {}} for name in runs]
        return
    for where in runs.values():
        losses.add(where, "Google runs no tools of its own beside functions")
    choice = request.tool_choice
    if choice is not None and choice.mode in ("tool", "allowed"):
        declared = _chosen(body, choice, request, declared, losses)
    elif choice is not None and choice.mode in MODES:
        body["toolConfig"] = {"functionCallingConfig": {"mode": MODES[choice.mode]}}
    elif choice is not None:
        losses.add("tool_choice", NO_WORD)
    body["tools"] = [{"functionDeclarations": declared}]
    if request.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", NO_WORD)


def _declaration(tool: Tool, where: str, quirks: Quirks, losses: Losses) -> Json:
    body: Json = {"name": joined(tool.namespace, tool.name)}
    if tool.description is not None:
        body["description"] = tool.description
    schema = INPUT_SCHEMA if tool.kind == "custom" else tool.parameters
    if tool.kind == "custom" and tool.format is not None and tool.format.get("type") != "text":
        losses.add(f"{where}.format", "free-form input has no grammar here")
    if schema is not None:
        combined: tuple[str, ...] = ()
        if quirks.schema == "gemini":
            schema, combined = to_object(schema, ("anyOf", "oneOf"))
        found, gone = to_subset(schema, quirks.schema, alone=quirks.vertex)
        for path in (*combined, *gone):
            losses.add(f"{where}.parameters.{path}", "the provider's subset of JSON Schema has no such word")
        if not _empty(found):
            body["parameters" if quirks.schema == "gemini" else "parametersJsonSchema"] = found
    if tool.strict:
        losses.add(f"{where}.strict", NO_WORD)
    losses.extra(where, tool.extra, NO_WORD, but=("type", "defer_loading"))
    return body


def _empty(schema: Json) -> bool:
    """Whether *schema* is of any object, which Gemini refuses and takes for granted. One of no properties is another.

    That is said in JSON Schema alone (`additionalProperties: false`), and taken (recorded traffic).
    """
    if schema.get("additionalProperties") is False:
        return False
    says = {key for key, said in schema.items() if said not in ({}, [], True, False)} - SILENT - {"description"}
    return says <= {"type"} and schema.get("type") in (None, "object")


def _chosen(body: Json, choice: ToolChoice, request: Request, declared: list[Json], losses: Losses) -> list[Json]:
    """What is declared where only some tools may be called. Names alone cannot say so unless one must be called."""
    spaces = {tool.name: tool.namespace for tool in request.tools or ()}
    wanted = choice.names if choice.mode == "allowed" else (choice.name or "",)
    names = [joined(spaces.get(name), name) for name in wanted if name]
    found = [tool for tool in declared if tool["name"] in names]
    if not found:
        losses.add("tool_choice", "none of the tools that it names is there")
    elif choice.mode == "allowed" and not choice.required:
        return found
    else:
        allowed = [tool["name"] for tool in found]
        body["toolConfig"] = {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": allowed}}
    return declared
