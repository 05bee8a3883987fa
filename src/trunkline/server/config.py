"""The configuration's `server`, `response_cache`, `auth` and `keys` blocks."""

from decimal import Decimal
from typing import Annotated, Literal

from msgspec import Meta, Struct

from trunkline.catalog.config import usd_range
from trunkline.model.money import MAX_PICO, PICO_PER_USD, Pico, from_usd
from trunkline.routing.config import PolicySettings

Seconds = Annotated[float, Meta(gt=0, le=86_400)]


class ResponseCacheSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of the response cache in each process. Clients request caching with `X-OpenRouter-Cache`."""

    max_bytes: Annotated[int, Meta(ge=0, le=2**40)] = 67_108_864
    """Size of all cached responses; the least recently used are removed first. 0 disables the cache."""
    max_answers: Annotated[int, Meta(ge=0, le=10_000_000)] = 10_000
    """The maximum number of cached responses."""
    max_answer_bytes: Annotated[int, Meta(ge=0, le=2**31)] = 4_194_304
    """The maximum size of one cached response."""


class ServerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The listening address, and the limits for clients."""

    host: Annotated[str, Meta(min_length=1)] = "127.0.0.1"
    """The address to listen on; `0.0.0.0` for every IPv4 address of the machine."""
    port: Annotated[int, Meta(ge=0, le=65_535)] = 8484
    """The TCP port to listen on; 0 selects a free one."""
    workers: Annotated[int, Meta(ge=1, le=256)] = 1
    """The number of serving processes. One saturates a core."""
    relay: Literal["auto", "never"] = "auto"
    """`auto` passes a response's bytes through where client and provider use the same dialect; `never` always
    translates."""
    keepalive_s: Seconds = 10.0
    """Silence after which a stream gets a comment line, so that intermediaries keep the connection open."""
    drain_s: Annotated[float, Meta(ge=0, le=86_400)] = 30.0
    """How long running requests may take to end after the gateway was told to stop."""
    max_body_bytes: Annotated[int, Meta(ge=1024, le=2**31)] = 33_554_432
    """The maximum size of a request body; a larger one is answered with 413."""
    max_buffered_bytes: Annotated[int, Meta(ge=1024, le=2**50)] | None = None
    """The maximum size of all request bodies in memory, per worker; beyond it, requests are answered with 503. Null is
    a quarter of the memory of the machine or of its control group, divided among the workers."""
    max_connections: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000
    """The maximum number of client connections per worker; further ones are refused."""
    header_timeout_s: Seconds = 10.0
    """The time limit for a request's head."""
    body_timeout_s: Seconds = 30.0
    """The time limit without any byte of a request's body."""
    idle_timeout_s: Seconds = 75.0
    """The time limit for a kept-alive connection between two requests."""
    body_total_s: Seconds = 300.0
    """The time limit for a whole request body, however steadily it arrives."""
    write_stall_s: Seconds = 300.0
    """The time limit for a client to read the data that waits for it."""
    allowed_hosts: tuple[Annotated[str, Meta(min_length=1)], ...] = ("localhost", "127.0.0.1", "[::1]")
    """Host names, without port, that requests may ask for where `auth.required` is false; `*` accepts all. The
    address in `server.host` is accepted too. This keeps web pages out that reach the gateway by DNS rebinding."""
    allowed_origins: tuple[Annotated[str, Meta(min_length=1)], ...] | None = None
    """Web pages that may call the gateway and read its responses (CORS), such as `https://chat.example.com`; `*`
    accepts all. Null accepts pages on `localhost`, `127.0.0.1` and `[::1]`. Where `auth.required` is false, requests of
    other pages are refused."""


class AuthSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whether clients must authenticate."""

    required: bool = True
    """Whether a request needs a key. If not, a request without one is charged to the key `anonymous`."""
    unauthenticated_network: bool = False
    """Whether `required: false` is allowed where other machines can reach `server.host`. Everyone who reaches it can
    then spend money."""


class PresetSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose presets there are."""

    shared: bool = False
    """Whether all keys read and write one set of presets. If not, a preset belongs to the key that made it."""


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
