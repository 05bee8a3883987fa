"""The shape of a Messages request, for checking it. Source: OpenRouter's OpenAPI document, `MessagesRequest`.

Checked is what we or every upstream would stumble over; what is not named here passes unseen. One Struct stands for all
kinds of a union (blocks, tools), because kinds that we do not know must pass: what a known kind needs is in `NEEDS`.
"""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType, ValidationError, convert
from msgspec.json import Decoder

from trunkline.dialects.common.json_input import invalid, typed
from trunkline.model.errors import InvalidRequest
from trunkline.model.preferences import Preferences

Count = Annotated[int, Meta(ge=1, le=2**31 - 1)]
Id256 = Annotated[str, Meta(max_length=256)]
Effort = Literal["low", "medium", "high", "xhigh", "max"]
MAX_TOOLS = 2048
MAX_FALLBACKS = 3


class CacheControl(Struct):
    """`cache_control`."""

    type: Literal["ephemeral"]
    ttl: Literal["5m", "1h"] | None = None


class Source(Struct):
    """The `source` of an image or a document."""

    type: str
    data: str | None = None
    media_type: str | None = None
    url: str | None = None
    file_id: str | None = None
    content: Any = None


class BlockShape(Struct):
    """Any content block."""

    type: str
    text: str | None = None
    source: Source | str | None = None
    id: str | None = None
    name: str | None = None
    tool_use_id: str | None = None
    content: Any = UNSET
    is_error: bool | None = None
    thinking: str | None = None
    signature: str | None = None
    data: str | None = None
    title: str | None = None
    context: str | None = None
    citations: list[dict[str, Any]] | dict[str, Any] | None = None
    cache_control: CacheControl | None = None


NEEDS: dict[str, tuple[str, ...]] = {
    "text": ("text",),
    "image": ("source",),
    "document": ("source",),
    "tool_use": ("id", "name"),
    "tool_result": ("tool_use_id",),
    "thinking": ("thinking",),
    "redacted_thinking": ("data",),
    "server_tool_use": ("id", "name"),
    "search_result": ("source", "title"),
}
"""A block's type → the keys that it cannot be without."""
SOURCES: dict[str, tuple[str, ...]] = {
    "base64": ("data", "media_type"),
    "url": ("url",),
    "file": ("file_id",),
    "text": ("data",),
    "content": ("content",),
}
"""A source's type → the keys that it cannot be without."""


class MessageShape(Struct):
    """Any message."""

    role: Literal["user", "assistant", "system"]
    content: str | list[BlockShape]


class ToolShape(Struct):
    """Any tool."""

    type: str | None = None
    name: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None
    cache_control: CacheControl | None = None


class ToolChoiceShape(Struct):
    """`tool_choice`."""

    type: Literal["auto", "any", "tool", "none"]
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(Struct):
    """`thinking`."""

    type: str
    budget_tokens: Annotated[int, Meta(ge=1)] | None = None
    display: str | None = None


class Format(Struct):
    """`output_config.format`."""

    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(Struct):
    """`output_config`."""

    effort: Effort | None = None
    format: Format | None = None


class Metadata(Struct):
    """`metadata`."""

    user_id: str | None = None


class Fallback(Struct, forbid_unknown_fields=True):
    """An entry of `fallbacks`: only the model may be another one."""

    model: str


class SystemBlock(Struct):
    """A block of `system`."""

    type: str
    text: str | None = None
    cache_control: CacheControl | None = None


class MessagesBody(Struct, kw_only=True):
    """The body of POST /messages."""

    messages: list[MessageShape] | UnsetType | None = UNSET
    model: str | None = None
    max_tokens: Count | None = None
    system: str | list[SystemBlock] | None = None
    stream: bool | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    stop_sequences: list[str] | None = None
    tools: Annotated[list[ToolShape], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoiceShape | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    context_management: dict[str, Any] | None = None
    metadata: Metadata | None = None
    service_tier: str | None = None
    speed: Literal["fast", "standard"] | None = None
    cache_control: CacheControl | None = None
    models: list[str] | None = None
    fallbacks: list[Fallback] | None = None
    provider: Preferences | None = None
    plugins: list[dict[str, Any]] | None = None
    route: Literal["fallback", "sort"] | None = None
    user: Id256 | None = None
    session_id: Id256 | None = None
    trace: dict[str, Any] | None = None
    stop_server_tools_when: Annotated[list[dict[str, Any]], Meta(min_length=1)] | None = None
    deferred_tools: dict[str, Any] | None = None
    safeguards: list[dict[str, Any]] | None = None


_decoder = Decoder(MessagesBody)


def check(body: bytes) -> MessagesBody:
    """*body* as a Messages request.

    Raises:
        InvalidRequest: `param` names the field.
    """
    shape = typed(_decoder, body)
    if not shape.messages:
        raise InvalidRequest("messages is required", param="messages")
    if shape.model is None and not shape.models:
        raise InvalidRequest("model: missing", param="model")
    for at, message in enumerate(shape.messages):
        if isinstance(message.content, list):
            for number, block in enumerate(message.content):
                _check_block(block, f"messages[{at}].content[{number}]")
    for at, tool in enumerate(shape.tools or ()):
        _check_tool(tool, f"tools[{at}]")
    if isinstance(shape.system, list):
        for at, part in enumerate(shape.system):
            if part.type == "text" and part.text is None:
                raise _missing(f"system[{at}].text", "a block of type text needs it")
    choice = shape.tool_choice
    if choice is not None and choice.type == "tool" and not choice.name:
        raise _missing("tool_choice.name", "the type tool needs it")
    if shape.thinking is not None and shape.thinking.type == "enabled" and shape.thinking.budget_tokens is None:
        raise _missing("thinking.budget_tokens", "the type enabled needs it")
    form = None if shape.output_config is None else shape.output_config.format
    if form is not None and form.type == "json_schema" and form.schema is None:
        raise _missing("output_config.format.schema", "the type json_schema needs it")
    _check_fallbacks(shape)
    return shape


def _missing(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: missing; {why}", param=param)


def _check_block(block: BlockShape, where: str) -> None:
    for key in NEEDS.get(block.type, ()):
        if getattr(block, key) is None:
            raise _missing(f"{where}.{key}", f"a block of type {block.type} needs it")
    if block.type in ("image", "document"):
        _check_source(block.source, f"{where}.source")
    elif block.type == "search_result":
        if not isinstance(block.source, str):
            raise InvalidRequest(f"{where}.source: expected str", param=f"{where}.source")
        if block.content in (UNSET, None):
            raise _missing(f"{where}.content", "a block of type search_result needs it")
        _check_content(block.content, f"{where}.content")
    elif block.type == "tool_result" and block.content not in (UNSET, None):
        _check_content(block.content, f"{where}.content")


def _check_source(source: Source | str | None, where: str) -> None:
    if not isinstance(source, Source):
        raise InvalidRequest(f"{where}: expected object", param=where)
    for key in SOURCES.get(source.type, ()):
        if getattr(source, key) is None:
            raise _missing(f"{where}.{key}", f"a source of type {source.type} needs it")
    if source.type == "content":
        _check_content(source.content, f"{where}.content")


def _check_content(content: Any, where: str) -> None:
    """What a tool's result or a document holds: a string, or blocks."""
    if isinstance(content, str):
        return
    if not isinstance(content, list):
        raise InvalidRequest(f"{where}: expected a string or blocks", param=where)
    for at, found in enumerate(content):
        _check_block(_block(found, f"{where}[{at}]"), f"{where}[{at}]")


def _block(found: Any, where: str) -> BlockShape:
    try:
        return convert(found, BlockShape)
    except ValidationError as error:
        wrong = invalid(error)
        param = where if wrong.param is None else f"{where}.{wrong.param}"
        raise InvalidRequest(f"{param}: {wrong.message.partition(': ')[2]}", param=param) from error


def _check_tool(tool: ToolShape, where: str) -> None:
    if tool.type in (None, "custom"):
        if not tool.name:
            raise _missing(f"{where}.name", "a tool of the client's needs it")
        if tool.input_schema is None:
            raise _missing(f"{where}.input_schema", "a tool of the client's needs it")


def _check_fallbacks(shape: MessagesBody) -> None:
    if not shape.fallbacks:
        return
    if shape.models:
        raise InvalidRequest("fallbacks: not together with models", param="fallbacks")
    if len(shape.fallbacks) > MAX_FALLBACKS:
        raise InvalidRequest(f"fallbacks: at most {MAX_FALLBACKS}", param="fallbacks")
