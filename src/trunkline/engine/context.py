"""What carrying out a call needs to know: of the request, and of the gateway."""

from collections.abc import Awaitable, Callable, Mapping

from msgspec import Struct

from trunkline.dialects.interfaces import Call, Client, Relay
from trunkline.engine.credentials import Credentials
from trunkline.engine.error_scrubbing import Scrubber
from trunkline.engine.router import Router
from trunkline.engine.signature_memory import SignatureMemory
from trunkline.engine.stages import Pipeline
from trunkline.engine.targets import Targets
from trunkline.ledger.budget import Budgets
from trunkline.model.errors import TrunklineError
from trunkline.model.key import Key
from trunkline.model.money import Pico
from trunkline.model.preset import PresetUse
from trunkline.model.record import GenerationRecord
from trunkline.model.request import Request
from trunkline.ports import Clock, DirectTransport, Journal, Timeouts
from trunkline.providers.provider import Provider
from trunkline.transport.write_batching import WriteBatcher


class RequestHeaders(Struct, frozen=True, kw_only=True, gc=False):
    """The headers of a request that the gateway reads."""

    digest: str | None = None
    """Hex SHA-256 of the API key; None where there is none."""
    session_id: str | None = None
    http_referer: str | None = None
    app_title: str | None = None
    user_agent: str | None = None
    metadata: bool = False
    """Whether the answer is to carry `openrouter_metadata`."""
    betas: tuple[str, ...] = ()
    """Names in `anthropic-beta`."""
    compressed: bool = False
    """Whether the body has a content-encoding."""
    waits: bool = False
    """Whether the answer may have to wait: for another request with the same idempotency key, or for a cache."""


NO_HEADERS = RequestHeaders()


class Parent(Struct, frozen=True, gc=False):
    """The generation that an inner call was made for, and why (`planner`, `judge`, `step` …)."""

    id: str
    purpose: str


class Context(Struct, kw_only=True, gc=False):
    """One accepted request. `created` is Unix seconds, `begun` monotonic seconds; `id` is the generation's."""

    id: str
    created: float
    begun: float
    key: Key
    client: Client
    call: Call
    """Replaced when a request stage changes the request: `call.request` is then what is sent."""
    body_bytes: int
    """Of the request's body, with what a preset added: the basis of token estimates."""
    preset: PresetUse | None = None
    """Merged into the call already."""
    session_id: str | None = None
    """The client's name for the conversation, in the body or a header."""
    headers: RequestHeaders = NO_HEADERS
    parent: Parent | None = None
    """None for a client's own call."""
    intent: int = -1
    """The journal's number of the intent of the model call under way; -1 where there is none."""

    def request(self) -> Request:
        """The whole request, as the client sent it or as the last stage left it."""
        return self.call.request or self.client.decode(self.call)


class EngineContext(Struct, frozen=True, kw_only=True):
    """What generations need of the gateway. One serves all requests until the configuration changes."""

    transport: DirectTransport
    clock: Clock
    journal: Journal
    credentials: Credentials
    targets: Targets
    providers: dict[str, Provider]
    timeouts: Timeouts
    scrubber: Scrubber
    signatures: SignatureMemory
    relays: Mapping[tuple[str, str], Relay]
    """(client dialect, upstream dialect) → what passes bytes untranslated. Empty where everything is translated."""
    batcher: WriteBatcher
    budgets: Budgets
    draw: Callable[[Key, Pico], Awaitable[None]]
    """Called where `Budgets.reserve` raised `LeaseNeeded`: takes more of the key's limit from what processes share.

    Raises `OutOfCredit` or `Overloaded`.
    """
    new_id: Callable[[float], str]
    """A generation's id, given Unix seconds."""
    pipeline: Pipeline | None
    """None where no stage is installed."""
    settled: Callable[[GenerationRecord], None]
    """Called with every record after the journal has it."""
    attempt_failed: Callable[[str, TrunklineError], None]
    """Called with the provider's slug and the error of every failed attempt that is the upstream's fault."""
    router: Router
    max_attempts: int
    """Endpoints asked for one model."""
    hedge_after_s: float | None = None
