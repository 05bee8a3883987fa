"""Usage objects of OpenAI's dialects, leniently decoded. Source: OpenRouter, "Usage accounting"."""

from typing import Any

from trunkline.dialects.common.searches import searches_in
from trunkline.model.money import MAX_PICO, from_usd
from trunkline.model.usage import Usage

PROMPT = {"cached_tokens": "cached", "cache_write_tokens": "cache_write", "audio_tokens": "audio_prompt",
          "video_tokens": "video_prompt"}  # fmt: skip
COMPLETION = {"reasoning_tokens": "reasoning", "audio_tokens": "audio_completion", "image_tokens": "image_completion",
              "accepted_prediction_tokens": "accepted_prediction",
              "rejected_prediction_tokens": "rejected_prediction"}  # fmt: skip
ELSEWHERE = {
    "cached": ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"),
    "cache_write": ("cache_write_tokens", "cache_creation_tokens", "cache_creation_input_tokens"),
}
"""Field names of other providers, in the details or beside them: DeepSeek, older Moonshot, Alibaba, LiteLLM."""
MAX_TOKENS = 2**53
"""Larger JSON numbers are not exact, and no model produces as many tokens."""


def decode(found: Any) -> Usage | None:
    """Decode the usage object of an upstream; return None if it is not an object.

    Invalid numbers are clamped, and the usage is marked as inconsistent.
    """
    if not isinstance(found, dict):
        return None
    rest = dict(found)
    bad = False

    def count(value: Any) -> int | None:
        nonlocal bad
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_TOKENS:
            bad = True
            return 0 if not isinstance(value, int | float) or not value > MAX_TOKENS else MAX_TOKENS
        return int(value)

    named: dict[str, Any] = {}
    prompt = count(rest.pop("prompt_tokens", None))
    completion = count(rest.pop("completion_tokens", None))
    total = count(rest.pop("total_tokens", None))
    for key, table in (("prompt_tokens_details", PROMPT), ("completion_tokens_details", COMPLETION)):
        details = rest.get(key)
        if details is None:
            rest.pop(key, None)
        elif isinstance(details, dict):
            others = {name: value for name, value in details.items() if name not in table}
            named.update({table[name]: count(value) for name, value in details.items() if name in table})
            if others:
                rest[key] = others
            else:
                del rest[key]
    inside = rest.get("prompt_tokens_details")
    for name, keys in ELSEWHERE.items():
        if named.get(name) is None:
            places = (place for place in (inside, rest) if isinstance(place, dict))
            named[name] = count(next((place[key] for place in places for key in keys if key in place), None))
    reasoning = named.get("reasoning")
    apart = total is not None and bool(reasoning) and total == (prompt or 0) + (completion or 0) + (reasoning or 0)
    if total is not None and not apart and total != (prompt or 0) + (completion or 0):
        bad = True
    if (named.get("cached") or 0) + (named.get("cache_write") or 0) > (prompt or 0):
        bad = True
    return Usage(
        prompt=prompt or 0,
        completion=completion or 0,
        total=total,
        reasoning_apart=apart,
        searches=searches_in(rest),
        upstream_cost=_cost(rest.pop("cost", None)),
        inconsistent=bad,
        extra=rest,
        **named,
    )


def _cost(value: Any) -> int | None:
    """Decode a cost in USD, or an object with a total (Perplexity). Negative and implausible values are ignored."""
    if isinstance(value, dict):
        value = value.get("total_cost")
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value < MAX_PICO / 1e12:
        return None
    return from_usd(value)
