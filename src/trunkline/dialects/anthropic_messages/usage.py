"""Usage of Messages.

Sources: OpenRouter's OpenAPI document, `MessagesResult`; OpenRouter, "Usage accounting"; Anthropic's API reference,
"Usage", read 2026-11-26.

`input_tokens` leaves cache reads and writes out; ours counts them in. The totals also leave out some of what is
billed: `iterations` has an entry for each time a model ran, and the totals are the sum of a part of them.
`Usage.outside` is the rest. Sources: Claude API, "Compaction", "Advisor tool", "Refusals and fallback".
"""

from collections.abc import Iterable
from typing import Any

from trunkline.dialects.common.searches import searches_in
from trunkline.model.money import to_json
from trunkline.model.usage import Cost, Usage

MAX_TOKENS = 2**53
"""Beyond this JSON numbers are not exact, and no model's output either."""

COUNTED = frozenset(
    {"input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation",
     "output_tokens_details", "cost", "cost_details", "is_byok"}
)  # fmt: skip
"""What has a name in our vocabulary, or is ours to say."""
ALWAYS = (
    "input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation",
    "inference_geo", "output_tokens_details", "server_tool_use", "service_tier",
)  # fmt: skip
"""Keys that are always there, null where nothing is known."""
DELTA = frozenset(
    {"input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens_details",
     "server_tool_use", "cache_creation", "iterations", "cost", "cost_details", "is_byok"}
)  # fmt: skip
"""Keys of the usage in `message_delta`, and whatever the upstream says there beyond them."""
HERE = frozenset({"inference_geo", "service_tier", "speed"})
"""What only `message_start` says."""
OTHER_MODELS = frozenset({"advisor_message", "fallback_message"})
"""Types of iterations that another model ran than the one that the request names."""


def decode(found: Any, before: Usage | None = None) -> Usage | None:
    """The usage object of an upstream, or None where there is none. Nonsense is clamped and marked, never trusted.

    *before* is what `message_start` said: what `message_delta` does not repeat is taken from there.
    """
    if not isinstance(found, dict):
        return before
    bad = False

    def count(value: Any) -> int | None:
        nonlocal bad
        if value is None:
            return None
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_TOKENS:
            bad = True
            return MAX_TOKENS if isinstance(value, int | float) and value > MAX_TOKENS else 0
        return int(value)

    cached, written = count(found.get("cache_read_input_tokens")), count(found.get("cache_creation_input_tokens"))
    plain, output = count(found.get("input_tokens")), count(found.get("output_tokens"))
    kinds, details = found.get("cache_creation"), found.get("output_tokens_details")
    hour = count(kinds.get("ephemeral_1h_input_tokens")) if isinstance(kinds, dict) else None
    thought = count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    extra = {key: value for key, value in found.items() if key not in COUNTED}
    if isinstance(details, dict) and (rest := {key: said for key, said in details.items() if key != "thinking_tokens"}):
        extra["output_tokens_details"] = rest
    if before is not None:
        cached = before.cached if cached is None else cached
        written = before.cache_write if written is None else written
        hour = before.cache_write_1h if hour is None else hour
        thought = before.reasoning if thought is None else thought
        if plain is None:
            plain = before.prompt - (before.cached or 0) - (before.cache_write or 0)
        output = before.completion if output is None else output
        extra = {**before.extra, **{key: said for key, said in extra.items() if said is not None}}
    iterations = _billed(extra.get("iterations"))
    outside = None
    if iterations:

        def beyond(total: int | None, values: Iterable[Any]) -> int:
            return max(sum(count(value) or 0 for value in values) - (total or 0), 0)

        read = beyond(cached, (one.get("cache_read_input_tokens") for one in iterations))
        wrote = beyond(written, (one.get("cache_creation_input_tokens") for one in iterations))
        outside = Usage(
            prompt=beyond(plain, (one.get("input_tokens") for one in iterations)) + read + wrote,
            completion=beyond(output, (one.get("output_tokens") for one in iterations)),
            cached=read,
            cache_write=wrote,
            cache_write_1h=min(beyond(hour, map(_hour, iterations)), wrote),
        )
    return Usage(
        prompt=(plain or 0) + (cached or 0) + (written or 0),
        completion=output or 0,
        cached=cached,
        cache_write=written,
        cache_write_1h=hour,
        reasoning=thought,
        searches=searches_in(extra),
        outside=outside if outside is not None and outside.prompt + outside.completion else None,
        other_model=any(one.get("type") in OTHER_MODELS for one in iterations),
        inconsistent=bad or (hour or 0) > (written or 0) or (before is not None and before.inconsistent),
        extra=extra,
    )


def _billed(found: Any) -> list[dict[str, Any]]:
    """The entries of `iterations` that are billed.

    An attempt that was declined before it had output, and was followed by a fallback, is reported and not billed.
    """
    if not isinstance(found, list):
        return []
    entries = [one for one in found if isinstance(one, dict)]
    if any(one.get("type") == "fallback_message" for one in entries):
        return [one for one in entries if one.get("type") != "message" or one.get("output_tokens")]
    return entries


def _hour(iteration: dict[str, Any]) -> Any:
    """Tokens that *iteration* wrote to the cache for an hour."""
    kinds = iteration.get("cache_creation")
    return kinds.get("ephemeral_1h_input_tokens") if isinstance(kinds, dict) else None


def encode(usage: Usage, cost: Cost | None, *, same: bool) -> dict[str, Any]:
    """The usage object for a client; *same*: what the upstream said is in this dialect. *cost* None: not known yet."""
    cached, written, hour = usage.cached, usage.cache_write, usage.cache_write_1h
    if not same:  # numbers that contradict each other: what is read is believed first, as the cost does
        cached = None if cached is None else min(cached, usage.prompt)
        written = None if written is None else min(written, usage.prompt - (cached or 0))
        hour = None if hour is None else min(hour, written or 0)
    split = None
    if written is not None:
        split = {"ephemeral_5m_input_tokens": written - (hour or 0), "ephemeral_1h_input_tokens": hour or 0}
    thought = None if usage.reasoning is None else {"thinking_tokens": usage.reasoning}
    said: dict[str, Any] = {
        "input_tokens": max(usage.prompt - (cached or 0) - (written or 0), 0),
        "output_tokens": usage.completion,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": cached,
        "cache_creation": split,
        "inference_geo": None,
        "output_tokens_details": thought,
        "server_tool_use": None,
        "service_tier": "standard",
    }
    if same:
        rest = dict(usage.extra)
        more = rest.pop("output_tokens_details", None)
        if isinstance(more, dict) and thought is not None:
            said["output_tokens_details"] = {**more, **thought}
        said.update(rest)
        used = said["server_tool_use"]
        if isinstance(used, dict):
            said["server_tool_use"] = {"web_search_requests": 0, "web_fetch_requests": 0, **used}
    if cost is not None:
        said["cost"] = to_json(cost.total)
        said["cost_details"] = {
            "upstream_inference_cost": to_json(cost.total if cost.upstream is None else cost.upstream),
            "upstream_inference_prompt_cost": to_json(cost.prompt),
            "upstream_inference_completions_cost": to_json(cost.completion),
        }
        said["is_byok"] = False
    if usage.estimated:
        said["estimated"] = True
    return said


def in_delta(said: dict[str, Any]) -> dict[str, Any]:
    """*said*, as far as `message_delta` says it."""
    return {key: value for key, value in said.items() if key not in HERE}
