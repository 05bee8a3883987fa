"""The shape of a chat request, for checking it.

Source: OpenRouter's OpenAPI document, `ChatRequest`; the limits are the documented ones.

Checked is what we or every upstream would stumble over; what is not named here passes unseen. One Struct stands for
all kinds of a union (messages, parts, tools), because kinds that we do not know must pass: what a known kind needs is
in `NEEDS`.
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

Name64 = Annotated[str, Meta(min_length=1, max_length=64)]


class ImageUrl(Struct, gc=False):
    """`{url, detail?}`."""

    url: str
    detail: str | None = None


class InputAudio(Struct):
    """`{data, format}`."""

    data: str
    format: str


class VideoUrl(Struct):
    """`{url, processing?}`."""

    url: str


class FileShape(Struct):
    """`{file_data?, filename?, file_id?}`."""

    file_data: str | None = None
    filename: str | None = None
    file_id: str | None = None


class PartShape(Struct, gc=False):
    """Any content part."""

    type: str
    text: str | None = None
    refusal: str | None = None
    image_url: ImageUrl | None = None
    input_audio: InputAudio | None = None
    video_url: VideoUrl | None = None
    file: FileShape | None = None


NEEDS = {
    "text": "text",
    "refusal": "refusal",
    "image_url": "image_url",
    "input_audio": "input_audio",
    "video_url": "video_url",
    "input_video": "video_url",
    "file": "file",
}


class FunctionCall(Struct, gc=False):
    """`{name, arguments}`: arguments are JSON text."""

    name: str
    arguments: str


class CustomCall(Struct):
    """`{name, input}`."""

    name: str
    input: str


class CallShape(Struct, gc=False):
    """A tool call of an assistant message."""

    id: str
    type: str = "function"
    function: FunctionCall | None = None
    custom: CustomCall | None = None


class AudioShape(Struct):
    """`{id?, data?, transcript?}`: audio that the assistant said."""

    id: str | None = None
    data: str | None = None
    transcript: str | None = None


class SaidImage(Struct):
    """`{image_url}`: an image that the assistant made."""

    image_url: ImageUrl


class MessageShape(Struct, gc=False):
    """Any message."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[PartShape] | None = None
    name: str | None = None
    tool_calls: list[CallShape] | None = None
    tool_call_id: str | None = None
    reasoning: str | None = None
    reasoning_content: str | None = None
    reasoning_details: list[dict[str, Any]] | None = None
    refusal: str | None = None
    function_call: FunctionCall | None = None
    audio: AudioShape | None = None
    images: list[SaidImage] | None = None


class FunctionShape(Struct, gc=False):
    """A function on offer."""

    name: Name64
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class CustomShape(Struct):
    """A tool of free-form input."""

    name: Name64
    description: str | None = None
    format: dict[str, Any] | None = None


class ToolShape(Struct, gc=False):
    """Any tool. Mistral's clients leave the type of a function out; Cursor's are flat, as those of Responses are."""

    type: str = "function"
    function: FunctionShape | None = None
    custom: CustomShape | None = None
    name: Name64 | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None

    @property
    def flat(self) -> bool:
        """Whether what should stand under the type's name stands beside it."""
        return self.name is not None and self.type in ("function", "custom") and getattr(self, self.type) is None


class FunctionName(Struct):
    """`{name}`: the legacy way to want one function."""

    name: str


class JsonSchema(Struct):
    """`response_format.json_schema`."""

    name: Annotated[str, Meta(min_length=1, max_length=64, pattern="^[A-Za-z0-9_-]+$")]
    description: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class FormatShape(Struct):
    """`response_format`."""

    type: str
    json_schema: JsonSchema | None = None
    grammar: str | None = None


class ReasoningShape(Struct):
    """`reasoning`."""

    effort: Effort | None = None
    summary: Literal["auto", "concise", "detailed"] | None = None
    max_tokens: Count | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    context: str | None = None
    mode: str | None = None


class StreamOptions(Struct):
    """`stream_options`."""

    include_usage: bool | None = None


class Prediction(Struct):
    """`prediction`."""

    type: Literal["content"]
    content: str | list[PartShape]


class ChatBody(Struct, kw_only=True, gc=False):
    """The body of POST /chat/completions."""

    messages: Annotated[list[MessageShape], Meta(min_length=1)]
    model: str | None = None
    models: list[str] | None = None
    route: Literal["fallback", "sort"] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_completion_tokens: Count | None = None
    max_tokens: Count | None = None
    temperature: Annotated[float, Meta(ge=0, le=2)] | None = None
    top_p: Share | None = None
    top_k: Annotated[int, Meta(ge=0)] | None = None
    top_a: Share | None = None
    min_p: Share | None = None
    frequency_penalty: Between | None = None
    presence_penalty: Between | None = None
    repetition_penalty: Annotated[float, Meta(ge=0, le=2)] | None = None
    seed: int | None = None
    n: Annotated[int, Meta(ge=1, le=128)] | None = None
    logit_bias: dict[str, Annotated[float, Meta(ge=-100, le=100)]] | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    stop: str | Annotated[list[str], Meta(max_length=4)] | None = None
    tools: Annotated[list[ToolShape], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | dict[str, Any] | None = None
    functions: Annotated[list[FunctionShape], Meta(max_length=MAX_TOOLS)] | None = None
    function_call: Literal["none", "auto"] | FunctionName | None = None
    parallel_tool_calls: bool | None = None
    response_format: FormatShape | None = None
    prediction: Prediction | None = None
    reasoning: ReasoningShape | None = None
    reasoning_effort: Effort | None = None
    include_reasoning: bool | None = None
    modalities: list[Literal["text", "image", "audio"]] | None = None
    image_config: dict[str, Any] | None = None
    service_tier: Literal["auto", "default", "fast", "flex", "priority", "scale", "ultrafast"] | None = None
    provider: Preferences | None = None
    plugins: list[dict[str, Any]] | None = None
    stop_server_tools_when: Annotated[list[dict[str, Any]], Meta(min_length=1)] | None = None
    deferred_tools: dict[str, Any] | None = None
    max_tool_calls: Annotated[int, Meta(ge=0)] | None = None
    cache_control: CacheControl | None = None
    prompt_cache_key: str | None = None
    prompt_cache_options: PromptCacheOptions | None = None
    session_id: Id256 | None = None
    user: Id256 | None = None
    metadata: dict[str, str] | None = None
    trace: dict[str, Any] | None = None
    debug: Debug | None = None
    preset: str | None = None
    verbosity: Literal["low", "medium", "high", "xhigh", "max"] | None = None
    structured_outputs: bool | None = None
    web_search_options: dict[str, Any] | None = None
    audio: dict[str, Any] | None = None
    usage: dict[str, Any] | None = None
    transforms: list[str] | None = None
    speed: Literal["fast", "standard"] | None = None


_decoder = Decoder(ChatBody)


def check(body: bytes) -> ChatBody:
    """*body* as a chat request.

    Raises:
        InvalidRequest: `param` names the field.
    """
    shape = typed(_decoder, body)
    for at, message in enumerate(shape.messages):
        if message.content.__class__ is not str or message.role in ("tool", "function"):
            _check_message(message, at)
    if shape.tools is not None:
        _check_tools(shape.tools)
    if shape.tool_choice is not None:
        _check_choice(shape.tool_choice)
    if shape.metadata is not None:
        _check_metadata(shape.metadata)
    format_ = shape.response_format
    if format_ is not None and format_.type == "json_schema" and format_.json_schema is None:
        raise _missing("response_format.json_schema", "the type json_schema needs it")
    if shape.reasoning is not None:
        _check_reasoning(shape.reasoning, shape.reasoning_effort)
    return shape


def _check_message(message: MessageShape, at: int) -> None:
    """*message* has what one of its role needs; where a conversation is long, most are texts that need nothing."""
    content = message.content
    if content is None:
        if message.role not in ("assistant", "function"):
            raise _missing(f"messages[{at}].content", f"a {message.role} message needs it")
    elif content.__class__ is list:
        _check_parts(message, f"messages[{at}].content")
    if message.role == "tool" and not message.tool_call_id:
        raise _missing(f"messages[{at}].tool_call_id", "a tool message needs it")
    if message.role == "function" and not message.name:
        raise _missing(f"messages[{at}].name", "a function message needs it")


def _missing(param: str, why: str) -> InvalidRequest:
    return InvalidRequest(f"{param}: missing; {why}", param=param)


def _check_parts(message: MessageShape, where: str) -> None:
    only_text = message.role in ("system", "developer")
    for at, part in enumerate(message.content or ()):
        assert isinstance(part, PartShape)
        needed = NEEDS.get(part.type)
        if needed is not None and getattr(part, needed) is None:
            raise _missing(f"{where}[{at}].{needed}", f"a part of type {part.type} needs it")
        if only_text and needed is not None and needed != "text":
            raise InvalidRequest(
                f"{where}[{at}].type: a {message.role} message takes text only", param=f"{where}[{at}].type"
            )


def _check_tools(tools: list[ToolShape]) -> None:
    for at, tool in enumerate(tools):
        if tool.type == "function" and tool.function is None and not tool.flat:
            raise _missing(f"tools[{at}].function", "a tool of type function needs it")


def _check_choice(choice: str | dict[str, Any]) -> None:
    if isinstance(choice, str):
        if choice not in ("none", "auto", "required"):
            raise InvalidRequest("tool_choice: expected none, auto, required or an object", param="tool_choice")
        return
    kind = choice.get("type")
    if not isinstance(kind, str):
        raise _missing("tool_choice.type", "an object needs it")
    if kind in ("function", "custom"):
        inner = choice.get(kind)
        if not isinstance(inner, dict) or not isinstance(inner.get("name"), str):
            raise _missing(f"tool_choice.{kind}.name", f"a choice of type {kind} needs it")


def _check_metadata(metadata: dict[str, str]) -> None:
    if len(metadata) > 16:
        raise InvalidRequest("metadata: at most 16 pairs", param="metadata")
    for key, value in metadata.items():
        if len(key) > 64 or "[" in key or "]" in key:
            raise InvalidRequest("metadata: a key has at most 64 characters and no brackets", param="metadata")
        if len(value) > 512:
            raise InvalidRequest("metadata: a value has at most 512 characters", param="metadata")


def _check_reasoning(reasoning: ReasoningShape, effort: str | None) -> None:
    if effort is not None and reasoning.effort is not None and effort != reasoning.effort:
        raise InvalidRequest("reasoning_effort: differs from reasoning.effort", param="reasoning_effort")
    if reasoning.effort is not None and reasoning.max_tokens is not None:
        raise InvalidRequest("reasoning.max_tokens: not together with reasoning.effort", param="reasoning.max_tokens")
