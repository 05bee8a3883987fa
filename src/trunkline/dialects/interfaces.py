"""The interfaces that a dialect implements, the types that they exchange, and the quirks of providers."""

from collections.abc import Iterator, Mapping
from typing import Any, Literal, Protocol

from msgspec import Raw, Struct

from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.events import Event
from trunkline.model.loss import Loss
from trunkline.model.preferences import NO_PREFERENCES, Preferences
from trunkline.model.request import Request
from trunkline.model.usage import Cost, Usage


class Quirks(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Differences of a provider from its dialect. The dialect reads them; no code compares provider slugs."""

    stream_usage: bool = True
    """Whether it accepts `stream_options: {include_usage: true}`; the field is not sent otherwise."""
    max_output_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    """The only name of the output limit that it accepts; None: it accepts both, and the client's is sent."""
    path: str | None = None
    """The path below the base URL, if it differs from the dialect's; `{model}` is replaced by the upstream's model."""
    stream_path: str | None = None
    """The path of streaming calls, if it differs from `path`."""
    count_path: str | None = None
    """The path for counting tokens, if it differs from the dialect's; empty: it cannot count."""
    model_in_body: bool = True
    """Whether the body contains the model; False where the path contains it (Vertex)."""
    body: dict[str, Any] = {}
    """Fields that are added to every request body, such as `anthropic_version` for Vertex."""
    reasoning_field: Literal["reasoning_content", "reasoning", "reasoning_details"] | None = None
    """Chat: the field in which an assistant's earlier reasoning is sent back; None: it accepts none."""
    reasoning_format: str | None = None
    """The format of signed reasoning that it accepts (`openai-responses-v1` …); None: the dialect's own."""
    reasoning_request: Literal["effort", "reasoning", "thinking", "enable_thinking"] = "effort"
    """Chat: the fields that control reasoning: `reasoning_effort`; OpenRouter's `reasoning`; `thinking: {type,
    budget_tokens?}` (Z.AI, Moonshot, DeepSeek); `enable_thinking` with `thinking_budget` (Alibaba)."""
    schema: Literal["full", "openai_strict", "anthropic", "gemini", "plain"] = "full"
    """The subset of JSON Schema that it accepts; see `dialects.common.json_schema`."""
    cache_marks: Literal["cache_control", "prompt_cache_breakpoint"] | None = None
    """Chat: the spelling of cache marks on parts of messages; None: it accepts none."""
    custom_tools: bool = False
    """Chat: accepts custom tools (`type: custom`); otherwise they are sent as functions with one string parameter."""
    vertex: bool = False
    """Gemini: is Vertex, which answers 400 to ids of calls, and counts tokens of a request's plain fields."""
    bills_after_cancel: bool = False
    """Continues to generate and to bill after a disconnect: its stream is read to the end to get the usage."""
    drop: tuple[str, ...] = ()
    """Request fields that it answers 400 to; they are removed."""
    keep: tuple[str, ...] = ()
    """Request fields that are normally for the gateway (`plugins`, `reasoning` …) and that it supports itself."""


class Encoded(Struct, frozen=True, kw_only=True, gc=False):
    """An encoded request: the body, the losses, and additional headers (lower-case names)."""

    body: bytes
    losses: tuple[Loss, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """A parsed client request in any dialect: validated, not yet decoded.

    `envelope` is the body's top level; values are raw JSON. `model` is None if the client named none. `request` is set
    if a stage changed the request, or if the gateway made it: it is then sent instead of the envelope.
    """

    envelope: dict[str, Raw]
    model: str | None = None
    models: tuple[str, ...] = ()
    stream: bool = False
    max_output: int | None = None
    choices: int = 1
    wants_usage: bool = False
    """The client asked for the usage chunk explicitly; it then gets one after an error too."""
    preferences: Preferences = NO_PREFERENCES
    session_id: str | None = None
    user: str | None = None
    betas: tuple[str, ...] = ()
    """Names in the `anthropic-beta` header; the server sets them."""
    request: Request | None = None


class Identity(Struct, frozen=True, kw_only=True, gc=False):
    """The identity of an answer to a client: the gateway's values, not the upstream's. `created` is Unix seconds.

    `prompt_tokens` is an estimate of the input, for dialects that report it before the upstream does.
    """

    id: str
    model: str
    provider: str
    created: int
    prompt_tokens: int = 0


class Outcome(Struct, kw_only=True, gc=False):
    """What a converter knows about the answer so far."""

    usage: Usage | None = None
    usage_final: bool = False
    """Whether `usage` is of the whole answer. Usage that was reported while the answer went on is not."""
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    upstream_id: str | None = None
    content_bytes: int = 0
    """Bytes of text, reasoning and arguments so far, for an estimate if the provider reports no usage."""
    pieces: int = 0
    """Pieces of content so far that were decoded; with `content_bytes` it shows whether the answer makes progress."""
    tools_valid: bool | None = None
    """Whether every tool call names a tool of the request and its arguments are a JSON object; None if there was no
    call, or if it was not checked."""
    losses: tuple[Loss, ...] = ()
    """What the client's dialect cannot express of the answer; complete once the answer has ended."""


class Converter(Protocol):
    """Converts one upstream's response to one client's. Pure: bytes in, bytes out.

    Until `committed`, `feed` returns nothing, so that another endpoint can answer if this one fails. Only `finish`
    returns the closing bytes, after the generation was recorded.
    """

    outcome: Outcome

    @property
    def committed(self) -> bool:
        """Whether content has been returned."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the end of the upstream's answer was decoded."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Decode a chunk of the upstream's body; return the bytes to send to the client now.

        Raises:
            TrunklineError: the upstream sent an error or an invalid response.
        """
        ...

    def close(self) -> bytes:
        """Handle the end of the upstream's body; return the bytes to send to the client now.

        Raises:
            UpstreamTruncated: the dialect's end of an answer is missing.
            UpstreamFailed: the answer is empty.
        """
        ...

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """Return the last bytes for the client: usage and the dialect's end of stream, or the whole JSON body.

        *metadata* is the `openrouter_metadata` object, None if the client did not ask for it.
        """
        ...

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """Return the last bytes of a stream that ends with *error*, in the dialect's in-band form."""
        ...


class Decoder(Protocol):
    """Decodes an upstream's body, in chunks cut anywhere, to events."""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """Yield the events that *chunk* completes; an error can follow them.

        Raises:
            UpstreamGarbled: the chunk is invalid in the dialect.
            TrunklineError: the upstream sent an error.
        """
        ...

    def close(self) -> Iterator[Event]:
        """The events that the body's end completes.

        Raises:
            UpstreamTruncated: the dialect's own end was not seen.
        """
        ...


class Encoder(Protocol):
    """Encodes events to bytes for one client."""

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What the dialect cannot express of the events so far."""
        ...

    def encode(self, event: Event) -> bytes:
        """Return the bytes of *event*; can be empty."""
        ...

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """As `Converter.finish`."""
        ...

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Converter.fail`."""
        ...


class Client(Protocol):
    """The client side of a dialect: decodes requests and encodes answers."""

    name: str
    keep_alive: bytes
    """Bytes that are sent while a stream is idle."""
    fields: frozenset[str]
    """The names of the fields of a request body."""

    def parse(self, body: bytes) -> Call:
        """Validate *body* and extract what routing needs.

        Raises:
            InvalidRequest: it is invalid in the dialect; `param` names the field.
        """
        ...

    def decode(self, call: Call) -> Request:
        """Decode the whole request."""
        ...

    def encoder(self, call: Call, identity: Identity) -> Encoder:
        """Return an encoder of what this client asked for: a stream or one JSON body."""
        ...

    def error(self, error: TrunklineError, generation_id: str | None) -> bytes:
        """Encode the JSON body of an error response. The id is None if the call was not accepted yet."""
        ...

    def replay(self, body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
        """Return a copy of the whole answer *body*, which an encoder or relay of this dialect wrote.

        The copy has the id *id_*, the time *created* (Unix seconds) if the dialect has one, zero usage, and no
        `openrouter_metadata`. *stream*: *body* is a stream.

        Raises:
            msgspec.DecodeError: *body* is no such answer.
        """
        ...

    def counted(self, tokens: int, *, estimated: bool) -> bytes:
        """Encode the JSON body of a token count; *estimated*: the provider did not count them.

        Dialects without token counting raise `NotFound`.
        """
        ...

    def status(self, error: TrunklineError) -> int:
        """Return the HTTP status of an error response: `error.http_status`, or the dialect's own status for it."""
        ...


class Upstream(Protocol):
    """The provider side of a dialect: encodes requests and decodes answers."""

    name: str

    def path(self, model: str, *, stream: bool) -> str:
        """Return the path below the provider's base URL for the upstream's *model*; a quirk can override it."""
        ...

    def streamed(self, start: bytes) -> bool | None:
        """Return True if the body that starts with *start* is a stream, False if JSON, None if *start* is too short.

        Raises:
            UpstreamFailed: the body is HTML.
        """
        ...

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """Encode *request* for *endpoint*.

        The losses name what the dialect cannot express, not what it expresses under another name.
        """
        ...

    def decoder(self, *, sse: bool) -> Decoder:
        """Return a decoder of a stream (SSE, or the dialect's own framing), or of one JSON body."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
        """Decode an error response with *status* other than 200. *now* is Unix seconds, for dates in headers."""
        ...


class Counter(Protocol):
    """Token counting of a dialect's providers."""

    def path(self, model: str) -> str:
        """As `Upstream.path`."""
        ...

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """Encode the request for a count."""
        ...

    def decode(self, body: bytes) -> int:
        """Decode the number of tokens in a response.

        Raises:
            UpstreamGarbled: it has none.
        """
        ...


class Relay(Protocol):
    """Relay for a dialect that client and upstream share: bytes pass, and usage is decoded from them."""

    def request(self, call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """Return the client's body with the model's name replaced and the gateway's fields removed."""
        ...

    def converter(self, call: Call, identity: Identity, *, sse: bool) -> Converter:
        """Return a converter that sets id, model, provider and cost. *sse*: the upstream sends a stream."""
        ...
