"""Which fields of a request body a preset keeps, and what the dialects call them."""

from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

from trunkline.dialects.registry import CLIENTS

Json: TypeAlias = dict[str, Any]

TRANSIENT = frozenset(
    {"messages", "input", "prompt", "system", "instructions", "prediction", "stream", "stream_options", "preset",
     "user", "safety_identifier", "session_id", "metadata", "trace", "debug", "usage", "previous_response_id",
     "conversation", "store", "background"}
)  # fmt: skip
"""Fields that belong to one request, and to who makes it: no preset keeps them."""

CACHE_ENABLED, CACHE_TTL = "cache_enabled", "cache_ttl_seconds"
OURS = frozenset({CACHE_ENABLED, CACHE_TTL})
"""Fields of a preset that are no request's."""

KNOWN: dict[str, frozenset[str]] = {name: client.fields for name, client in CLIENTS.items()}
"""A client dialect → its fields. One that no dialect has is a provider's own, and goes with every dialect."""
ANYWHERE = frozenset[str]().union(*KNOWN.values())

SAME: dict[str, tuple[frozenset[str], ...]] = {
    "chat": (frozenset({"max_tokens", "max_completion_tokens"}), frozenset({"reasoning", "reasoning_effort"})),
    "messages": (frozenset({"models", "fallbacks"}),),
    "responses": (),
}
"""A client dialect → its names for one and the same thing: a request that has one of them has said it."""

_encoder = msgspec.json.Encoder()


def raw(value: Any) -> Raw:
    """*value* as bytes of JSON."""
    return Raw(_encoder.encode(value))


def some(**fields: Any) -> Json:
    """*fields* without those that are None."""
    return {key: value for key, value in fields.items() if value is not None}
