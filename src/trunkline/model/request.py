"""What a client asks, in no dialect's words.

`extra` holds what the client's dialect says beyond the vocabulary, by the wire's own names, explicit nulls among it;
an encoder of the same dialect gives it back. `spelling` remembers which of several spellings the client used.
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

Role = Literal["system", "developer", "user", "assistant", "tool"]
Extra: TypeAlias = dict[str, Any]


class TextPart(Struct, frozen=True, tag="text", omit_defaults=True):
    """Visible text."""

    text: str
    extra: Extra = field(default_factory=dict)


class RefusalPart(Struct, frozen=True, tag="refusal", omit_defaults=True):
    """An assistant's earlier refusal."""

    text: str
    extra: Extra = field(default_factory=dict)


class ImagePart(Struct, frozen=True, tag="image", omit_defaults=True):
    """An image by http(s) or data URL."""

    url: str
    detail: str | None = None
    extra: Extra = field(default_factory=dict)


class AudioPart(Struct, frozen=True, tag="audio", omit_defaults=True):
    """Audio as bare base64."""

    data: str
    format: str
    extra: Extra = field(default_factory=dict)


class VideoPart(Struct, frozen=True, tag="video", omit_defaults=True):
    """A video by http(s) or data URL. `spelling` is the wire's type where it is not `video_url`."""

    url: str
    spelling: str = "video_url"
    extra: Extra = field(default_factory=dict)


class FilePart(Struct, frozen=True, tag="file", omit_defaults=True):
    """A document: `data` is an http(s) or data URL, `file_id` one uploaded before; one of them is set."""

    data: str | None = None
    file_id: str | None = None
    filename: str | None = None
    extra: Extra = field(default_factory=dict)


class ReasoningPart(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """An assistant's earlier reasoning; forms and formats as in `events.PartStarted`."""

    form: str
    text: str = ""
    signature: str | None = None
    format: str | None = None
    id: str | None = None
    extra: Extra = field(default_factory=dict)


class ToolCallPart(Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """An assistant's earlier call. `arguments` is the text as the model gave it, JSON or not."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    """True for a tool with free-form input rather than JSON arguments."""
    extra: Extra = field(default_factory=dict)


class OpaquePart(Struct, frozen=True, tag="opaque", omit_defaults=True):
    """A part of a kind we do not know, as it came."""

    body: Extra


Part: TypeAlias = (
    TextPart | RefusalPart | ImagePart | AudioPart | VideoPart | FilePart | ReasoningPart | ToolCallPart | OpaquePart
)


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One turn. `plain` remembers that its text was a bare string, not a list of parts.

    A `tool` message answers the call `tool_call_id`.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    plain: bool = False
    name: str | None = None
    tool_call_id: str | None = None
    extra: Extra = field(default_factory=dict)


class Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool on offer: a function of the client's (`kind` = function, with a JSON Schema), or any other as it came."""

    kind: str
    name: str = ""
    description: str | None = None
    parameters: Extra | None = None
    strict: bool | None = None
    extra: Extra = field(default_factory=dict)


class ToolChoice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """`none`, `auto`, `required`; or `tool` with the tool's kind and name."""

    mode: Literal["none", "auto", "required", "tool", "opaque"]
    kind: str = "function"
    name: str | None = None
    extra: Extra = field(default_factory=dict)


class ResponseFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What shape the answer must have: `kind` is text, json_object, json_schema, or another as it came."""

    kind: str
    name: str | None = None
    description: str | None = None
    schema: Extra | None = None
    strict: bool | None = None
    extra: Extra = field(default_factory=dict)


class Reasoning(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much to think. `effort` is max … minimal or none; `max_tokens` a budget; `exclude`: think, do not show."""

    effort: str | None = None
    summary: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    extra: Extra = field(default_factory=dict)


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sampling parameters; None is not said, and nothing is put in its place."""

    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    top_a: float | None = None
    min_p: float | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    logit_bias: dict[str, float] | None = None
    logprobs: bool | None = None
    top_logprobs: int | None = None
    stop: tuple[str, ...] | None = None
    n: int | None = None


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call. `model` is what the client named; the endpoint's own name is put in when it leaves."""

    dialect: str
    messages: tuple[Message, ...]
    model: str | None = None
    stream: bool = False
    sampling: Sampling = Sampling()
    max_output: int | None = None
    tools: tuple[Tool, ...] | None = None
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    reasoning: Reasoning | None = None
    user: str | None = None
    service_tier: str | None = None
    verbosity: str | None = None
    metadata: dict[str, str] | None = None
    modalities: tuple[str, ...] | None = None
    prompt_cache_key: str | None = None
    extra: Extra = field(default_factory=dict)
    spelling: dict[str, str] = field(default_factory=dict)
