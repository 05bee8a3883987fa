"""The shape of a Responses request, for checking it.

Source: OpenRouter's OpenAPI document, `ResponsesRequest`; the limits are the documented ones.

Checked is what we or every upstream would stumble over; what is not named here passes unseen. Items, parts and tools
are unions with kinds that we do not know, and those must pass: what a known kind needs is in tables.
"""

from typing import Annotated, Any, Literal

from msgspec import Meta, Struct
from msgspec.json import Decoder

from trunkline.dialects.common.json_input import typed
from trunkline.dialects.common.openai_types import (
    MAX_TOOLS,
    Between,
    CacheControl,
    Count,
    Debug,
    Effort,
    Id256,
    PromptCacheOptions,
    Share,
)
from trunkline.model.errors import InvalidRequest
from trunkline.model.preferences import Preferences

Needs = dict[str, tuple[type, ...]]
ROLES = ("user", "system", "developer", "assistant")
TEXT: tuple[type, ...] = (str,)
OUTPUT: tuple[type, ...] = (str, list)

ITEMS: dict[str, Needs] = {
    "function_call": {"call_id": TEXT, "name": TEXT, "arguments": TEXT},
    "custom_tool_call": {"call_id": TEXT, "name": TEXT, "input": TEXT},
    "function_call_output": {"call_id": TEXT, "output": OUTPUT},
    "custom_tool_call_output": {"call_id": TEXT, "output": OUTPUT},
    "item_reference": {"id": TEXT},
}
"""An item's type → the fields it cannot be without, and what they are."""

PARTS: dict[str, Needs] = {
    "input_text": {"text": TEXT},
    "output_text": {"text": TEXT},
    "text": {"text": TEXT},
    "refusal": {"refusal": TEXT},
    "input_audio": {"input_audio": (dict,)},
    "input_video": {"video_url": TEXT},
}
"""A part's type → the same."""

FILE = ("file_data", "file_url", "filename", "file_id")
MARKS = {"cache_control": ("type", "ephemeral"), "prompt_cache_breakpoint": ("mode", "explicit")}
"""A cache mark, and what it must say."""

WORDS: dict[type, str] = {str: "a string", list: "a list", dict: "an object"}


class FormatShape(Struct):
    """`text.format`."""

    type: str
    name: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$")] | None = None
    schema: dict[str, Any] | None = None
    description: str | None = None
    strict: bool | None = None


class TextShape(Struct):
    """`text`."""

    format: FormatShape | None = None
    verbosity: Literal["low", "medium", "high", "xhigh", "max"] | None = None


class ReasoningShape(Struct):
    """`reasoning`."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    context: Literal["auto", "all_turns", "current_turn"] | None = None
    mode: Literal["standard", "pro"] | None = None
    enabled: bool | None = None
    max_tokens: Count | None = None


class ResponsesBody(Struct, kw_only=True):
    """The body of POST /responses."""

    input: str | list[dict[str, Any]] | None = None
    model: str | None = None
    models: list[str] | None = None
    route: Literal["fallback", "sort"] | None = None
    instructions: str | None = None
    stream: bool | None = None
    max_output_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    frequency_penalty: Between | None = None
    presence_penalty: Between | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    text: TextShape | None = None
    reasoning: ReasoningShape | None = None
    tools: Annotated[list[dict[str, Any]], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    parallel_tool_calls: bool | None = None
    max_tool_calls: Annotated[int, Meta(ge=0)] | None = None
    stop_server_tools_when: Annotated[list[dict[str, Any]], Meta(min_length=1)] | None = None
    deferred_tools: dict[str, Any] | None = None
    include: list[str] | None = None
    truncation: Literal["auto", "disabled"] | None = None
    metadata: dict[str, str] | None = None
    prompt: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    cache_control: CacheControl | None = None
    safety_identifier: str | None = None
    user: Id256 | None = None
    session_id: Id256 | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority", "scale", "ultrafast"] | None = None
    modalities: list[Literal["text", "image"]] | None = None
    image_config: dict[str, Any] | None = None
    provider: Preferences | None = None
    plugins: list[dict[str, Any]] | None = None
    trace: dict[str, Any] | None = None
    debug: Debug | None = None
    background: bool | None = None
    previous_response_id: str | None = None
    store: bool | None = None


_decoder = Decoder(ResponsesBody)


def check(body: bytes) -> ResponsesBody:
    """*body* as a Responses request.

    Raises:
        InvalidRequest: `param` names the field.
    """
    shape = typed(_decoder, body)
    if shape.previous_response_id is not None:
        raise _wrong("previous_response_id", "responses are not stored here; send the whole conversation as input")
    if shape.store:
        raise _wrong("store", "responses are not stored here; only false is taken")
    if shape.input is None and shape.prompt is None:
        raise _missing("input")
    if isinstance(shape.input, list):
        _check_input(shape.input)
    for at, tool in enumerate(shape.tools or ()):
        _check_tool(tool, f"tools[{at}]")
    if shape.tool_choice is not None:
        _check_choice(shape.tool_choice)
    if shape.metadata is not None:
        _check_metadata(shape.metadata)
    form = shape.text.format if shape.text is not None else None
    if form is not None and form.type == "json_schema":
        for key in ("name", "schema"):
            if getattr(form, key) is None:
                raise _missing(f"text.format.{key}")
    if shape.reasoning is not None and shape.reasoning.effort is not None and shape.reasoning.max_tokens is not None:
        raise _wrong("reasoning.max_tokens", "not together with reasoning.effort")
    return shape


def _wrong(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: {why}", param=param)


def _missing(param: str) -> InvalidRequest:
    return _wrong(param, "missing")


def _need(found: dict[str, Any], needs: Needs, where: str) -> None:
    for key, kinds in needs.items():
        value = found.get(key)
        if value is None:
            raise _missing(f"{where}.{key}")
        if not isinstance(value, kinds):
            raise _wrong(f"{where}.{key}", f"expected {' or '.join(WORDS[kind] for kind in kinds)}")


def _check_input(items: list[dict[str, Any]]) -> None:
    if not items:
        raise _wrong("input", "has no items")
    for at, item in enumerate(items):
        where = f"input[{at}]"
        kind = item.get("type", "message" if "role" in item else None)
        if not isinstance(kind, str):
            raise _missing(f"{where}.type") if kind is None else _wrong(f"{where}.type", "expected a string")
        _need(item, ITEMS.get(kind, {}), where)
        if kind in ITEMS and item.get("namespace") is not None and not isinstance(item["namespace"], str):
            raise _wrong(f"{where}.namespace", "expected a string")
        if kind == "message":
            _check_message(item, where)
        elif kind == "reasoning":
            _check_thought(item, where)
        elif isinstance(item.get("output"), list) and kind in ITEMS:
            _check_parts(item["output"], f"{where}.output")


def _check_message(item: dict[str, Any], where: str) -> None:
    role, content = item.get("role"), item.get("content")
    if role is None:
        raise _missing(f"{where}.role")
    if role not in ROLES:
        raise _wrong(f"{where}.role", f"expected {', '.join(ROLES)}")
    if content is None:
        if role != "assistant" and "content" not in item:
            raise _missing(f"{where}.content")
    elif isinstance(content, list):
        _check_parts(content, f"{where}.content")
    elif not isinstance(content, str):
        raise _wrong(f"{where}.content", "expected a string or a list")


def _check_thought(item: dict[str, Any], where: str) -> None:
    for key in ("summary", "content"):
        parts = item.get(key)
        if parts is None:
            continue
        if not isinstance(parts, list):
            raise _wrong(f"{where}.{key}", "expected a list")
        for at, part in enumerate(parts):
            if not isinstance(part, dict):
                raise _wrong(f"{where}.{key}[{at}]", "expected an object")
            _need(part, {"text": TEXT}, f"{where}.{key}[{at}]")
    for key in ("id", "encrypted_content", "signature", "format"):
        if item.get(key) is not None and not isinstance(item[key], str):
            raise _wrong(f"{where}.{key}", "expected a string")


def _check_parts(parts: list[Any], where: str) -> None:
    for at, part in enumerate(parts):
        here = f"{where}[{at}]"
        if not isinstance(part, dict):
            raise _wrong(here, "expected an object")
        if not isinstance(part.get("type"), str):
            raise _missing(f"{here}.type")
        _need(part, PARTS.get(part["type"], {}), here)
        if part["type"] == "input_audio":
            _need(part["input_audio"], {"data": TEXT, "format": TEXT}, f"{here}.input_audio")
        if part["type"] == "input_image":
            _check_image(part, here)
        notes = part.get("annotations")
        if notes is not None and not (isinstance(notes, list) and all(isinstance(note, dict) for note in notes)):
            raise _wrong(f"{here}.annotations", "expected a list of objects")
        if part["type"] == "input_file":
            _need(part, {key: TEXT for key in FILE if part.get(key) is not None}, here)
        for key in MARKS.keys() & part.keys():
            _check_mark(part[key], key, here)


def _check_mark(mark: Any, key: str, where: str) -> None:
    name, word = MARKS[key]
    if mark is None:
        return
    if not isinstance(mark, dict) or mark.get(name) != word:
        raise _wrong(f"{where}.{key}", f'expected {{"{name}":"{word}"}}')
    if not isinstance(mark.get("ttl"), str | None):
        raise _wrong(f"{where}.{key}.ttl", "expected a string")


def _check_image(part: dict[str, Any], where: str) -> None:
    if part.get("image_url") is None and part.get("file_id") is None:
        raise _missing(f"{where}.image_url")
    for key in ("image_url", "file_id", "detail"):
        if part.get(key) is not None and not isinstance(part[key], str):
            raise _wrong(f"{where}.{key}", "expected a string")


def _check_tool(tool: dict[str, Any], where: str) -> None:
    kind = tool.get("type", "function")
    if not isinstance(kind, str):
        raise _wrong(f"{where}.type", "expected a string")
    inner = tool.get("function")
    if kind == "function" and isinstance(inner, dict):  # as chat has it
        _check_function(inner, f"{where}.function")
    elif kind in ("function", "custom"):
        _check_function(tool, where)
    elif kind == "namespace":
        _need(tool, {"name": TEXT, "tools": (list,)}, where)
        if tool.get("description") is not None:
            _need(tool, {"description": TEXT}, where)
        for at, found in enumerate(tool["tools"]):
            if not isinstance(found, dict):
                raise _wrong(f"{where}.tools[{at}]", "expected an object")
            if not isinstance(found.get("type", "function"), str):
                raise _wrong(f"{where}.tools[{at}].type", "expected a string")
            _check_function(found, f"{where}.tools[{at}]")


def _check_function(tool: dict[str, Any], where: str) -> None:
    _need(tool, {"name": TEXT}, where)
    if not tool["name"]:
        raise _wrong(f"{where}.name", "is empty")
    for key, kind in (("parameters", dict), ("description", str), ("strict", bool), ("format", dict)):
        if tool.get(key) is not None and not isinstance(tool[key], kind):
            raise _wrong(f"{where}.{key}", f"expected {WORDS.get(kind, 'true or false')}")


def _check_choice(choice: str | dict[str, Any]) -> None:
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise _wrong("tool_choice", "expected none, auto, required or an object")
        return
    kind = choice.get("type")
    if not isinstance(kind, str):
        raise _missing("tool_choice.type")
    inner = choice.get("function")
    if kind in ("function", "custom") and not isinstance(
        (inner if isinstance(inner, dict) else choice).get("name"), str
    ):
        raise _missing("tool_choice.name")
    if kind == "allowed_tools":
        if choice.get("mode") not in ("auto", "required"):
            raise _wrong("tool_choice.mode", "expected auto or required")
        _need(choice, {"tools": (list,)}, "tool_choice")
        for at, tool in enumerate(choice["tools"]):
            if not isinstance(tool, dict):
                raise _wrong(f"tool_choice.tools[{at}]", "expected an object")


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > 16:
        raise _wrong("metadata", "at most 16 pairs")
    for key, value in metadata.items():
        if len(key) > 64 or "[" in key or "]" in key:
            raise _wrong("metadata", "a key has at most 64 characters and no brackets")
        if len(value) > 512:
            raise _wrong("metadata", "a value has at most 512 characters")
