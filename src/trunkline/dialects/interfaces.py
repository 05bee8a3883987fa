"""What every wire format offers, and the small ways in which providers differ within one."""

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
    """How a provider's spelling of a dialect departs from it. Each is read by the dialect; nobody compares slugs."""

    stream_usage: bool = True
    """Takes `stream_options: {include_usage: true}`; where False the field is not sent."""
    max_output_field: Literal["max_completion_tokens", "max_tokens"] | None = None
    """The only spelling of the output limit that it takes; None takes both, as the client wrote it."""
    path: str | None = None
    """The path below the base URL, where it is not the dialect's own; `{model}` stands for the upstream's model."""
    stream_path: str | None = None
    """The path of a call that streams, where it is another one."""
    count_path: str | None = None
    """The path at which it counts tokens, where it is not the dialect's own; empty where it does not count."""
    model_in_body: bool = True
    """Whether the body names the model; False where the path does (Vertex)."""
    body: dict[str, Any] = {}
    """Fields that every request body gets, such as Vertex' `anthropic_version`."""
    reasoning_field: Literal["reasoning_content", "reasoning", "reasoning_details"] | None = None
    """Chat: under which name an assistant's earlier reasoning goes back; None: it takes none."""
    reasoning_format: str | None = None
    """Whose signed reasoning it takes back (`openai-responses-v1` …); None: the dialect's own."""
    reasoning_request: Literal["effort", "reasoning", "thinking", "enable_thinking"] = "effort"
    """Chat: how it is told to think: `reasoning_effort`; OpenRouter's `reasoning`; `thinking: {type, budget_tokens?}`
    (Z.AI, Moonshot, DeepSeek); `enable_thinking` with `thinking_budget` (Alibaba)."""
    schema: Literal["full", "openai_strict", "anthropic", "gemini", "plain"] = "full"
    """The subset of JSON Schema that it takes; see `dialects.common.json_schema`."""
    cache_marks: Literal["cache_control", "prompt_cache_breakpoint"] | None = None
    """Chat: how it spells the marks of what may be cached, on parts of messages; None: it takes none."""
    custom_tools: bool = False
    """Chat: takes tools of free-form input (`type: custom`); where False they leave as functions of one text."""
    vertex: bool = False
    """Gemini: is Vertex, which answers 400 to ids of calls, and counts a request's fields as they are."""
    bills_after_cancel: bool = False
    """Goes on generating, and bills it, when we hang up: its stream is read to the end so that usage is true."""
    drop: tuple[str, ...] = ()
    """Request fields it answers 400 to; they are left out."""
    keep: tuple[str, ...] = ()
    """Request fields that are ours as a rule (`plugins`, `reasoning` …) and that it understands all the same."""


class Encoded(Struct, frozen=True, kw_only=True, gc=False):
    """A request as it leaves: its body, what could not be said in it, and headers of its own (lower-case names)."""

    body: bytes
    losses: tuple[Loss, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()


class Call(Struct, frozen=True, kw_only=True, gc=False):
    """What the way of a request needs to know of a body, whatever its dialect. Checked, but not yet translated.

    `envelope` is the body's top level, values as their bytes. `model` is None where the client named none. `request` is
    set where a stage changed the request, or where the gateway made it: it is then what is sent, not the envelope.
    """

    envelope: dict[str, Raw]
    model: str | None = None
    models: tuple[str, ...] = ()
    stream: bool = False
    max_output: int | None = None
    choices: int = 1
    wants_usage: bool = False
    """The client asked for the usage chunk by name; it then gets one after an error too."""
    preferences: Preferences = NO_PREFERENCES
    session_id: str | None = None
    user: str | None = None
    betas: tuple[str, ...] = ()
    """Names in the `anthropic-beta` header, put in by the server."""
    request: Request | None = None


class Identity(Struct, frozen=True, kw_only=True, gc=False):
    """What an answer to a client says of itself: ours, not the upstream's. `created` is Unix seconds.

    `prompt_tokens` is our estimate of the input, for dialects that name it before the upstream has.
    """

    id: str
    model: str
    provider: str
    created: int
    prompt_tokens: int = 0


class Outcome(Struct, kw_only=True, gc=False):
    """What a converter has learned of the answer so far."""

    usage: Usage | None = None
    finish_reason: str | None = None
    native_finish_reason: str | None = None
    upstream_id: str | None = None
    content_bytes: int = 0
    """Bytes of text, reasoning and arguments so far, for an estimate where the provider gives no usage."""
    pieces: int = 0
    """Pieces of content so far that were looked at; with `content_bytes` it tells whether the answer gets on."""
    tools_valid: bool | None = None
    """Whether every tool call names a tool of the request and has arguments that are JSON and fit its schema; None
    where there was none, or nobody looked."""
    losses: tuple[Loss, ...] = ()
    """What of the answer the client's dialect could not say; whole once the answer has ended."""


class Converter(Protocol):
    """Turns what one upstream says into what one client gets. Pure: bytes in, bytes out.

    Nothing leaves before the commit point: until `committed`, `feed` returns nothing, so that an answer which fails
    can be taken from another endpoint. The closing bytes come from `finish` alone, after the generation was recorded.
    """

    outcome: Outcome

    @property
    def committed(self) -> bool:
        """Whether something with content has been given out."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the upstream's own end was seen."""
        ...

    def feed(self, chunk: bytes) -> bytes:
        """Take a slice of the upstream's body; return what may go to the client now.

        Raises:
            TrunklineError: the upstream sent an error, or what its dialect does not allow.
        """
        ...

    def close(self) -> bytes:
        """The upstream's body has ended; return what may go to the client now.

        Raises:
            UpstreamTruncated: without the dialect's own end.
            UpstreamFailed: with nothing in it.
        """
        ...

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The last bytes for the client: usage and the dialect's end of stream, or the whole JSON body.

        *metadata* is the `openrouter_metadata` object, None where the client did not ask for it.
        """
        ...

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """The last bytes of a stream that has begun and ends in *error*, by the dialect's in-band form."""
        ...


class Decoder(Protocol):
    """Events from any slices of a body. Remembers the usage so far, and little else."""

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events that *chunk* completes, which may be followed by the error that ended them.

        Raises:
            UpstreamGarbled: what the dialect does not allow.
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
    """Bytes from events, for one client."""

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What of the events so far the dialect could not say."""
        ...

    def encode(self, event: Event) -> bytes:
        """What *event* looks like on the wire; may be nothing."""
        ...

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """As `Converter.finish`."""
        ...

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Converter.fail`."""
        ...


class Client(Protocol):
    """The near side of a dialect: what clients say and hear."""

    name: str
    keep_alive: bytes
    """What is sent while nothing flows."""
    fields: frozenset[str]
    """The names of the fields of a request body."""

    def parse(self, body: bytes) -> Call:
        """Check *body* and take out what routing needs.

        Raises:
            InvalidRequest: it is not what the dialect takes; `param` names the field.
        """
        ...

    def decode(self, call: Call) -> Request:
        """The whole request in our words."""
        ...

    def encoder(self, call: Call, identity: Identity) -> Encoder:
        """Events to what this client asked for: a stream or one JSON body."""
        ...

    def error(self, error: TrunklineError, generation_id: str | None) -> bytes:
        """The JSON body of an error before the answer has begun; the id is None before the call was accepted."""
        ...

    def replay(self, body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
        """The whole answer *body*, which an encoder or relay of this dialect wrote, given again.

        It has the id *id_*, the time *created* (Unix seconds) where the dialect names one, usage that is all zero, and
        no `openrouter_metadata`. *stream*: it is the bytes of a stream.

        Raises:
            msgspec.DecodeError: it is no such answer.
        """
        ...

    def counted(self, tokens: int, *, estimated: bool) -> bytes:
        """The JSON body that tells how many *tokens* a prompt has; *estimated* where nobody counted them.

        Dialects that have no such question raise `NotFound`.
        """
        ...

    def status(self, error: TrunklineError) -> int:
        """The HTTP status of *error* before the answer has begun: `error.http_status` but for a dialect's own words."""
        ...


class Upstream(Protocol):
    """The far side of a dialect: what providers take and say."""

    name: str

    def path(self, model: str, *, stream: bool) -> str:
        """Below the provider's base URL, for the upstream's *model*; a quirk may say otherwise."""
        ...

    def streamed(self, start: bytes) -> bool | None:
        """Whether a body that begins with *start* is a stream or one JSON body; None where it is too soon to say.

        Raises:
            UpstreamFailed: it is a page of HTML.
        """
        ...

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """What leaves for *endpoint*.

        What the dialect cannot say of *request* is among its losses; what it says under another name is not.
        """
        ...

    def decoder(self, *, sse: bool) -> Decoder:
        """Events from a stream (SSE, or the dialect's own framing), or from one JSON body."""
        ...

    def error(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
        """What an answer with *status* other than 200 means. *now* is Unix seconds, for dates in headers."""
        ...


class Counter(Protocol):
    """How providers of a dialect count a prompt without answering it."""

    def path(self, model: str) -> str:
        """As `Upstream.path`."""
        ...

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """The body that asks for the count."""
        ...

    def decode(self, body: bytes) -> int:
        """The tokens that an answer names.

        Raises:
            UpstreamGarbled: it names none.
        """
        ...


class Relay(Protocol):
    """A dialect that both sides speak: bytes pass, a meter reads usage off them."""

    def request(self, call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """The client's own body with what is ours changed: the model's name, our fields left out."""
        ...

    def converter(self, call: Call, identity: Identity, *, sse: bool) -> Converter:
        """Passes an answer on, with our id, model, provider and cost put in. *sse*: the upstream sends a stream."""
        ...
