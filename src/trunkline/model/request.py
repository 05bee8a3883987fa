"""A client's request, independent of its dialect.

`extra` holds fields of the client's dialect that the vocabulary has no name for, under their wire names, explicit nulls
included. An encoder of the same dialect writes them back. `spelling` records which of several equivalent spellings the
client used.
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from trunkline.model.citation import Citation

Role = Literal["system", "developer", "user", "assistant", "tool"]
Extra: TypeAlias = dict[str, Any]


class CacheMark(Struct, frozen=True, omit_defaults=True):
    """A prompt cache breakpoint: everything up to and including the marked object may be cached by the provider.

    `ttl` is `5m`, `1h` (Anthropic's), `30m` or `12h` (OpenAI's); None is the provider's default. `spelling` is the
    field that the client used. Source: OpenRouter, "Prompt caching".
    """

    ttl: str | None = None
    spelling: Literal["cache_control", "prompt_cache_breakpoint"] = "cache_control"


class Origin(Struct, frozen=True, omit_defaults=True):
    """How a part stood in the client's request, in dialects whose items become several parts (Responses).

    `at` is the number of its item, None where it is not of the model's. `item` is that item as the client sent it, on
    the first of its parts; `plain`: its content was a bare string. `kind` is the part's type where it is not the usual
    one, `empty` the fields that were empty lists.
    """

    at: int | None = None
    item: Extra | None = None
    plain: bool = False
    kind: str | None = None
    empty: tuple[str, ...] = ()


class TextPart(Struct, frozen=True, tag="text", omit_defaults=True):
    """Visible text. `citations` are those of an assistant's earlier text."""

    text: str
    cache: CacheMark | None = None
    citations: tuple[Citation, ...] = ()
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class RefusalPart(Struct, frozen=True, tag="refusal", omit_defaults=True):
    """An earlier refusal of the assistant."""

    text: str
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class ImagePart(Struct, frozen=True, tag="image", omit_defaults=True):
    """An image by http(s) or data URL, or by the `file_id` of an upload; `url` is then empty."""

    url: str = ""
    detail: str | None = None
    file_id: str | None = None
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class AudioPart(Struct, frozen=True, tag="audio", omit_defaults=True):
    """Audio as bare base64."""

    data: str
    format: str
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class VideoPart(Struct, frozen=True, tag="video", omit_defaults=True):
    """A video by http(s) or data URL. `spelling` is the wire type where it is not `video_url`."""

    url: str
    spelling: str = "video_url"
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class FilePart(Struct, frozen=True, tag="file", omit_defaults=True):
    """A document. Exactly one of `data`, `file_id`, `text` and `content` is set.

    `data` is an http(s) or data URL, `file_id` the id of an upload, `text` plain text, `content` a sequence of parts.
    `title` and `context` describe the document to the model; `citations` asks the model to cite it.
    """

    data: str | None = None
    file_id: str | None = None
    filename: str | None = None
    text: str | None = None
    content: "tuple[Part, ...] | None" = None
    title: str | None = None
    context: str | None = None
    citations: bool | None = None
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class SearchResultPart(Struct, frozen=True, tag="search_result", omit_defaults=True):
    """A search result supplied by the client for the model to cite. `source` is its address or name."""

    source: str
    title: str
    content: tuple[TextPart, ...] = ()
    citations: bool | None = None
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class ReasoningPart(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """Earlier reasoning of the assistant; `form` and `format` as in `events.PartStarted`."""

    form: str
    text: str = ""
    signature: str | None = None
    format: str | None = None
    id: str | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class ToolCallPart(Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """An earlier tool call of the assistant. `arguments` is the model's text; it may be invalid JSON."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    """True for a tool with free-form input instead of JSON arguments."""
    namespace: str | None = None
    """The namespace of the tool (OpenAI Responses); None for none."""
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class OpaquePart(Struct, frozen=True, tag="opaque", omit_defaults=True):
    """A part of a kind that only one dialect has (`Request.dialect`), kept unchanged, such as provider-run tools.

    `item` says that `body` is a whole item of the conversation, not a part of a message's content (Responses).
    """

    body: Extra
    item: bool = False


Part: TypeAlias = (
    TextPart
    | RefusalPart
    | ImagePart
    | AudioPart
    | VideoPart
    | FilePart
    | SearchResultPart
    | ReasoningPart
    | ToolCallPart
    | OpaquePart
)


class Message(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One message. `plain` records that its content was a bare string instead of a list of parts.

    A `tool` message answers the call `tool_call_id`. `is_error` says that the tool failed, `custom` that the call had
    free-form input. `joined` records that on the wire it shared one message with the previous one, as Anthropic's tool
    results and the user's following text do. Reasoning keeps its position among the parts.
    """

    role: Role
    parts: tuple[Part, ...] = ()
    plain: bool = False
    name: str | None = None
    tool_call_id: str | None = None
    is_error: bool | None = None
    custom: bool = False
    joined: bool = False
    cache: CacheMark | None = None
    """A cache breakpoint on the message as a whole; breakpoints of parts are on the parts."""
    extra: Extra = field(default_factory=dict)
    instructions: bool = False
    """Stood in the request's `instructions`, not among its messages (Responses)."""
    item: Extra = field(default_factory=dict)
    """What its item says beside its content (Responses)."""


class Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool that the request offers.

    `kind` is `function` for a client function with a JSON Schema, `custom` for free-form input with a `format`, or the
    wire type of any other tool, whose fields are kept in `extra`.
    """

    kind: str
    name: str = ""
    description: str | None = None
    parameters: Extra | None = None
    strict: bool | None = None
    format: Extra | None = None
    namespace: str | None = None
    """The namespace of the tool (OpenAI Responses), None for none. `namespace_description` describes that namespace."""
    namespace_description: str | None = None
    namespace_extra: Extra = field(default_factory=dict)
    """What its namespace says beyond that; stands on the first tool of it."""
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)


class ToolChoice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which tool the model must call, if any.

    Modes: `none`, `auto`, `required`; `tool` with the tool's kind and name; `allowed`: only those of `names`, and one
    of them is mandatory where `required` is set; `opaque`: kept unchanged, `kind` is its wire type.
    """

    mode: Literal["none", "auto", "required", "tool", "allowed", "opaque"]
    kind: str = "function"
    name: str | None = None
    names: tuple[str, ...] = ()
    required: bool = False
    extra: Extra = field(default_factory=dict)
    native: Extra = field(default_factory=dict)
    """The fields of an `allowed` choice as its dialect wrote them."""


class ResponseFormat(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The format of the response: `kind` is text, json_object, json_schema, or another type kept unchanged."""

    kind: str
    name: str | None = None
    description: str | None = None
    schema: Extra | None = None
    strict: bool | None = None
    extra: Extra = field(default_factory=dict)


class Reasoning(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Reasoning settings. `effort` is max … minimal or none, `max_tokens` a budget; `exclude` hides the reasoning.

    `adaptive`: the model decides how much to reason (Anthropic). `display` is summarized, omitted or updates
    (Anthropic). `context` and `mode` are OpenAI's.
    """

    effort: str | None = None
    summary: str | None = None
    max_tokens: int | None = None
    exclude: bool | None = None
    enabled: bool | None = None
    adaptive: bool | None = None
    display: str | None = None
    context: str | None = None
    mode: str | None = None
    extra: Extra = field(default_factory=dict)


class Sampling(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Sampling parameters. None means not sent; no default is substituted."""

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
    """One call. `model` is the name that the client sent; the encoder replaces it with the endpoint's upstream name.

    `cache` is the cache breakpoint of the whole prompt. `betas` are the names in the client's `anthropic-beta` header.
    """

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
    cache: CacheMark | None = None
    betas: tuple[str, ...] = ()
    extra: Extra = field(default_factory=dict)
    defaults: Extra = field(default_factory=dict)
    """Fields that say what would hold without them; a dialect that has no word for them loses nothing."""
    spelling: dict[str, str] = field(default_factory=dict)
