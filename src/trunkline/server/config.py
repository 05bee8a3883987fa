"""The configuration's `server`, `response_cache`, `auth` and `keys` blocks."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from trunkline.catalog.config import usd_range
from trunkline.model.money import MAX_PICO, PICO_PER_USD, Pico, from_usd
from trunkline.routing.config import PolicySettings

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class ResponseCacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of answers each process remembers for clients that ask for it with `X-OpenRouter-Cache`."""

    max_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 67_108_864
    """All of them together; those not asked for in a long time go first. 0 keeps none."""
    max_answers: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000
    """How many of them."""
    max_answer_bytes: Annotated[int, Meta(ge=0, le=2**31)] = 4_194_304
    """The longest answer that is kept."""


class ServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the gateway listens, and the limits on what clients may do to it."""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address to listen on; `0.0.0.0` for every IPv4 address of the machine."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8484
    """The TCP port to listen on; 0 takes a free one."""
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """Processes that serve. One saturates a core."""
    relay: Literal["auto", "never"] = "auto"
    """`auto` passes an answer's bytes on where client and provider speak one dialect; `never` always translates."""
    keepalive_s: Seconds = 10.0
    """Silence after which a stream gets a comment line, so that nothing between us and the client hangs up."""
    drain_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    """How long requests under way may take to end when the gateway is told to stop."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=2**31)] = 33_554_432
    """The largest request body; a larger one is answered with 413."""
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """Client connections at one time, for each worker; beyond it new ones are refused."""
    header_timeout_s: Seconds = 10.0
    """For a request's head to arrive."""
    body_timeout_s: Seconds = 30.0
    """For a request's body: without any byte of it."""
    idle_timeout_s: Seconds = 75.0
    """For a kept-alive connection between two requests."""
    write_stall_s: Seconds = 300.0
    """For a client to take bytes that wait for it."""


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether clients must authenticate."""

    required: bool = True
    """Whether a request needs a key. If not, a request without one is charged to the key `anonymous`."""


class KeySettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An API key of a client, declared in the configuration beside those made by command."""

    name: Annotated[str, Meta(min_length=1, max_length=128)]
    """The key's name in records and metrics."""
    secret: str
    """The API key that the client sends; best written as `${VARIABLE}`."""
    limit_usd: Annotated[Decimal, usd_range(MAX_PICO // PICO_PER_USD)] | None = None
    """The most it may spend in total, in USD; without it there is no limit."""
    routing: PolicySettings = PolicySettings()
    """Which endpoints may serve its requests, in addition to `routing.policy`, which holds for all keys."""

    @property
    def limit(self) -> Pico | None:
        """The limit in pico-dollars."""
        return None if self.limit_usd is None else from_usd(self.limit_usd)

    def __repr__(self) -> str:
        """Without the secret."""
        return f"KeySettings(name={self.name!r}, limit_usd={self.limit_usd!r})"
