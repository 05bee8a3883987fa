"""Usage of Converse. Source: Bedrock API reference, "TokenUsage" and "CacheDetail", read 2026-11-26.

`inputTokens` leaves cache reads and writes out; ours counts them in. Tokens of thinking are among `outputTokens`, and
nobody says how many they are.
"""

from typing import Any

from trunkline.model.usage import Usage

MAX_TOKENS = 2**53
"""Beyond this JSON numbers are not exact, and no model's output either."""

_COUNTS = ("inputTokens", "outputTokens", "totalTokens", "cacheReadInputTokens", "cacheWriteInputTokens")
_ALSO = {"cacheReadInputTokens": "cacheReadInputTokenCount", "cacheWriteInputTokens": "cacheWriteInputTokenCount"}
"""Under which name some models say it beside, or instead."""


def decode(found: Any) -> Usage | None:
    """The usage object of an upstream, or None where there is none. Nonsense is clamped and marked, never trusted."""
    if not isinstance(found, dict):
        return None
    counts: dict[str, int | None] = {}
    bad = False
    for name in _COUNTS:
        value = found.get(name)
        if value is None and name in _ALSO:
            value = found.get(_ALSO[name])
        counts[name], fits = _count(value)
        bad = bad or not fits
    read, written = counts["cacheReadInputTokens"], counts["cacheWriteInputTokens"]
    prompt = (counts["inputTokens"] or 0) + (read or 0) + (written or 0)
    completion, total = counts["outputTokens"] or 0, counts["totalTokens"]
    hour, fits = _hour(found.get("cacheDetails"))
    return Usage(
        prompt=prompt,
        completion=completion,
        total=total,
        cached=read,
        cache_write=written,
        cache_write_1h=hour,
        # Some models leave what came from the cache out of the total.
        inconsistent=bad
        or not fits
        or (hour or 0) > (written or 0)
        or total not in (None, prompt + completion, (counts["inputTokens"] or 0) + completion),
        extra={name: value for name, value in found.items() if name not in _COUNTS and not _repeats(name, found)},
    )


def _repeats(name: str, found: dict[str, Any]) -> bool:
    """Whether the field *name* says only what one of `_COUNTS` says."""
    return any(name == also and found[name] == found.get(first, found[name]) for first, also in _ALSO.items())


def _count(value: Any) -> tuple[int | None, bool]:
    """A number of tokens, and whether what was said was one."""
    if value is None:
        return None, True
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= MAX_TOKENS:
        return 0, False
    return int(value), True


def _hour(details: Any) -> tuple[int | None, bool]:
    """Tokens written for an hour, None where nobody said."""
    if not isinstance(details, list):
        return None, True
    hour: int | None = None
    for detail in details:
        if isinstance(detail, dict) and detail.get("ttl") == "1h":
            count, fits = _count(detail.get("inputTokens"))
            if not fits:
                return hour, False
            hour = (hour or 0) + (count or 0)
    return hour, True
