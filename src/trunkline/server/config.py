"""What the server is told: the configuration's `server` block."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

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
