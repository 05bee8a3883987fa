"""The request fields that a preset stores, and their names in each dialect."""

from typing import Any, TypeAlias

import msgspec
from msgspec import Raw

Json: TypeAlias = dict[str, Any]

PER_REQUEST_FIELDS = frozenset(
    {"messages", "input", "prompt", "system", "instructions", "prediction", "stream", "stream_options", "preset",
     "user", "safety_identifier", "session_id", "metadata", "trace", "debug", "usage", "previous_response_id",
     "conversation", "store", "background"}
)  # fmt: skip
"""Fields that belong to one request or its caller. Presets do not store them."""

CACHE_ENABLED, CACHE_TTL = "cache_enabled", "cache_ttl_seconds"
GATEWAY_FIELDS = frozenset({CACHE_ENABLED, CACHE_TTL})
"""Fields of a preset that are not request fields."""

SYNONYMS: dict[str, tuple[frozenset[str], ...]] = {
    "chat": (frozenset({"max_tokens", "max_completion_tokens"}), frozenset({"reasoning", "reasoning_effort"})),
    "messages": (frozenset({"models", "fallbacks"}),),
    "responses": (),
}
"""A client dialect → sets of field names with the same meaning. A request that has one of a set overrides all of it."""

_encoder = msgspec.json.Encoder()


def encode_raw(value: Any) -> Raw:
    """Encode *value* as raw JSON."""
    return Raw(_encoder.encode(value))


def without_none(**fields: Any) -> Json:
    """*fields* without those that are None."""
    return {key: value for key, value in fields.items() if value is not None}
