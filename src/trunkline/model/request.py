"""What a client asks, in no dialect's words.

`extra` holds what the client's dialect says beyond the vocabulary, by the wire's own names, explicit nulls among it;
an encoder of the same dialect gives it back. `spelling` remembers which of several spellings the client used.
"""

from typing import Any, Literal, TypeAlias

from msgspec import Struct, field

from trunkline.model.citation import Citation

Role = Literal["system", "developer", "user", "assistant", "tool"]
Extra: TypeAlias = dict[str, Any]


class CacheMark(Struct, frozen=True, omit_defaults=True):
    """Everything up to and with the thing that has this may be kept in the provider's prompt cache.

    `ttl` is `5m`, `1h` (Anthropic's), `30m` or `12h` (OpenAI's); None is the provider's default. `spelling` is how the
    client wrote it. Source: openrouter-semantics §14, wire-common §10.
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
    """Visible text; `citations` are those that an assistant's earlier text came with."""

    text: str
    cache: CacheMark | None = None
    citations: tuple[Citation, ...] = ()
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class RefusalPart(Struct, frozen=True, tag="refusal", omit_defaults=True):
    """An assistant's earlier refusal."""

    text: str
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class ImagePart(Struct, frozen=True, tag="image", omit_defaults=True):
    """An image by http(s) or data URL; or `file_id`, one uploaded before, and `url` is then empty."""

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
    """A video by http(s) or data URL. `spelling` is the wire's type where it is not `video_url`."""

    url: str
    spelling: str = "video_url"
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class FilePart(Struct, frozen=True, tag="file", omit_defaults=True):
    """A document: `data` is an http(s) or data URL, `file_id` one uploaded before, `text` plain text, `content` parts.

    One of the four is set. `title` and `context` tell the model about it; `citations` asks it to cite from it.
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
    """A search result that the client found, for the model to cite from: `source` is its address or name."""

    source: str
    title: str
    content: tuple[TextPart, ...] = ()
    citations: bool | None = None
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class ReasoningPart(Struct, frozen=True, tag="reasoning", omit_defaults=True):
    """An assistant's earlier reasoning; forms and formats as in `events.PartStarted`."""

    form: str
    text: str = ""
    signature: str | None = None
    format: str | None = None
    id: str | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class ToolCallPart(Struct, frozen=True, tag="tool_call", omit_defaults=True):
    """An assistant's earlier call. `arguments` is the text as the model gave it, JSON or not."""

    id: str
    name: str
    arguments: str
    custom: bool = False
    """True for a tool with free-form input rather than JSON arguments."""
    namespace: str | None = None
    """The namespace that the tool stands in (OpenAI Responses), None for none."""
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)
    origin: Origin | None = None


class OpaquePart(Struct, frozen=True, tag="opaque", omit_defaults=True):
    """A part of a kind that one dialect alone knows (`Request.dialect`), as it came; provider-run tools among them.

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
    """One turn. `plain` remembers that its text was a bare string, not a list of parts.

    A `tool` message answers the call `tool_call_id`; `is_error` says that the tool failed, `custom` that the call was
    one of free-form input. `joined` remembers that it stood in one message of the wire with the one before it, as
    Anthropic's tool results and what the user says after them do. Reasoning stands where it stood among the parts.
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
    """Of the message as a whole; marks of its parts stand with them."""
    extra: Extra = field(default_factory=dict)
    instructions: bool = False
    """Stood in the request's `instructions`, not among its messages (Responses)."""
    item: Extra = field(default_factory=dict)
    """What its item says beside its content (Responses)."""


class Tool(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A tool on offer.

    A function of the client's (`kind` = function, with a JSON Schema), one of free-form input (`kind` = custom, with
    its `format`), or any other as it came: `kind` is then the wire's type, the rest in `extra`.
    """

    kind: str
    name: str = ""
    description: str | None = None
    parameters: Extra | None = None
    strict: bool | None = None
    format: Extra | None = None
    namespace: str | None = None
    """The namespace that it stands in (OpenAI Responses), None for none; `namespace_description` is that one's."""
    namespace_description: str | None = None
    namespace_extra: Extra = field(default_factory=dict)
    """What its namespace says beyond that; stands on the first tool of it."""
    cache: CacheMark | None = None
    extra: Extra = field(default_factory=dict)


class ToolChoice(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Which tool to call, if any.

    `none`, `auto`, `required`; `tool` with the tool's kind and name; `allowed`: only those of `names`, and one of them
    where `required` is set; `opaque`: as it came, `kind` being its type.
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
    """What shape the answer must have: `kind` is text, json_object, json_schema, or another as it came."""

    kind: str
    name: str | None = None
    description: str | None = None
    schema: Extra | None = None
    strict: bool | None = None
    extra: Extra = field(default_factory=dict)


class Reasoning(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How much to think. `effort` is max … minimal or none; `max_tokens` a budget; `exclude`: think, do not show.

    `adaptive`: the model decides how much (Anthropic). `display` is summarized, omitted or updates (Anthropic).
    `context` and `mode` are OpenAI's newest.
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
    """One call. `model` is what the client named; the endpoint's own name is put in when it leaves.

    `cache` is the mark of the whole prompt. `betas` are the names in the client's `anthropic-beta` header.
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
