"""Classification of upstream errors, for all dialects.

The rules for HTTP statuses are the same for all dialects. A dialect extracts the code and the message from the body.
Sources: docs/reference/reliability.md, U17–U21; OpenRouter, "Provider routing".
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from trunkline.model.errors import (
    MAX_UPSTREAM_WORDS,
    ContextTooLong,
    TrunklineError,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamLimited,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
)

MAX_REST_S = 600.0
"""The longest wait before a retry, whatever the upstream asks for. Source: docs/reference/reliability.md, U18."""

NO_MONEY = frozenset(
    {
        "insufficient_quota",
        "enforced_spend_limit_reached",
        "billing_hard_limit_reached",
        "exceeded_current_quota_error",  # Moonshot
        "1113",  # Z.AI: "insufficient balance or no resource package"
    }
)
"""Codes of a 429 that a retry cannot resolve."""

NO_ACCESS = frozenset({"Arrearage", "invalid_api_key"})
"""Codes of a 400 that concerns the gateway's account, not the request: Alibaba's for an unpaid bill."""
_NO_KEY = re.compile(
    r"API key (?:not valid|expired|not found)|API[_ ]KEY[_ ]INVALID|Incorrect API key provided", re.IGNORECASE
)
"""Start of messages with the same meaning: Gemini and xAI answer 400 to an unknown key."""

_RESETS = tuple(
    (f"{prefix}-remaining-{what}", f"{prefix}-reset-{what}")
    for prefix in ("x-ratelimit", "ratelimit")
    for what in (
        "requests",
        "tokens",
        "requests-minute",
        "tokens-minute",
        "requests-hour",
        "requests-day",
        "tokens-day",
    )
) + tuple(
    (f"anthropic-ratelimit-{what}-remaining", f"anthropic-ratelimit-{what}-reset")
    for what in ("requests", "tokens", "input-tokens", "output-tokens")
)
"""Headers with the remainder of a limit and its reset: OpenAI's and Groq's, Cerebras' per period, Anthropic's."""

_CONTEXT = re.compile(
    r"context[ _]?(?:length|window|size)|maximum context|prompt is too long|too many (?:input )?tokens|"
    r"(?:input|messages?) (?:is|are) too long|exceeds? the (?:maximum|available) (?:number of )?(?:tokens|context)",
    re.IGNORECASE,
)
_POLICY = re.compile(r"content[_ ](?:policy|filter|management)|responsible_?ai", re.IGNORECASE)
_DURATION = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m(?!s))?(?:(\d+(?:\.\d+)?)s)?(?:(\d+(?:\.\d+)?)ms)?$")
_RETRY_INFO = re.compile(r'"retryDelay"\s*:\s*"(\d+(?:\.\d+)?)s"')


def classify(
    status: int, headers: Mapping[str, str], *, code: str | None, words: str | None, body: str, now: float
) -> TrunklineError:
    """Return the error for an upstream's response with *status*.

    *code* and *words* are the upstream's code and message, None if its body has none (HTML, empty). *body* is the start
    of the body as text, for retry hints inside it. *now* is Unix seconds. The message of a 4xx that the client caused
    is shown to the client; other messages are kept in `raw` for the record.
    """
    words = None if words is None or words.lstrip().startswith("<") else words[:MAX_UPSTREAM_WORDS]
    told = f"{code or ''} {words or ''}"
    wait = retry_after(headers, body, now)
    if status == 429 and code not in NO_MONEY:
        return UpstreamLimited(
            "rate limited by the provider", raw=words, provider_code=code, upstream_status=status, retry_after_s=wait
        )
    if status in (401, 402, 403, 429):
        message = "the provider refused our credential"
        return UpstreamDenied(message, raw=words, provider_code=code, upstream_status=status)
    if status == 400 and (code in NO_ACCESS or (words is not None and _NO_KEY.match(words) is not None)):
        message = "the provider refused our credential"
        return UpstreamDenied(message, raw=words, provider_code=code, upstream_status=status)
    if status in (400, 413, 422):
        if _CONTEXT.search(told) is not None or status == 413:
            return ContextTooLong(
                words or "the prompt is too long", raw=words, provider_code=code, upstream_status=status
            )
        kind = "content_policy_violation" if _POLICY.search(told) is not None else None
        return UpstreamRejected(
            words or "the provider rejected the request",
            raw=words,
            provider_code=code,
            upstream_status=status,
            error_type=kind,
        )
    if status in (503, 529):
        return UpstreamOverloaded(
            "the provider is overloaded", raw=words, provider_code=code, upstream_status=status, retry_after_s=wait
        )
    if status in (408, 504, 524):
        return UpstreamTimeout("the provider timed out", raw=words, provider_code=code, upstream_status=status)
    return UpstreamFailed(
        f"the provider answered with status {status}", raw=words, provider_code=code, upstream_status=status
    )


def retry_after(headers: Mapping[str, str], body: str, now: float) -> float | None:
    """Return the seconds to wait before a retry, from 0 to `MAX_REST_S`; None if there is no valid hint.

    Hints are `retry-after-ms`, `retry-after` (seconds or a date), google.rpc `RetryInfo`, and `x-ratelimit-reset*` and
    similar headers (a duration such as `1m2.5s`, seconds, or a time as Unix seconds, Unix milliseconds or RFC 3339).
    """
    found = _milliseconds(headers.get("retry-after-ms"))
    if found is None:
        found = _seconds_or_date(headers.get("retry-after"), now)
    if found is None and (hint := _RETRY_INFO.search(body)) is not None:
        found = float(hint[1])
    if found is None:
        # Only exhausted limits count, and of these the one that resets last.
        waits = [_reset(headers.get(reset), now) for left, reset in _RESETS if headers.get(left) == "0"]
        found = max((wait for wait in waits if wait is not None), default=None)
    if found is None:
        found = _reset(headers.get("x-ratelimit-reset"), now)
    return None if found is None else min(max(found, 0.0), MAX_REST_S)


def _number(text: str | None) -> float | None:
    if text is None or len(text) > 30:
        return None
    try:
        value = float(text)
    except ValueError:
        return None
    return value if abs(value) < 1e300 else None  # not infinite, not NaN


def _milliseconds(text: str | None) -> float | None:
    value = _number(text)
    return None if value is None else value / 1000


def _seconds_or_date(text: str | None, now: float) -> float | None:
    value = _number(text)
    if value is not None or text is None:
        return value
    try:
        moment = parsedate_to_datetime(text)
        # HTTP dates are in GMT, also without a time zone.
        return (moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError):
        return None


def _reset(text: str | None, now: float) -> float | None:
    value = _number(text)
    if value is None:
        match = _DURATION.match(text) if text else None
        if match is None or not any(match.groups()):
            return _rfc3339(text, now)
        hours, minutes, seconds, millis = (float(group or 0) for group in match.groups())
        return hours * 3600 + minutes * 60 + seconds + millis / 1000
    if value > 1e11:
        return value / 1000 - now
    return value - now if value > 1e9 else value


def _rfc3339(text: str | None, now: float) -> float | None:
    try:
        moment = datetime.fromisoformat(text) if text is not None and len(text) < 40 else None
        return None if moment is None or moment.tzinfo is None else moment.timestamp() - now
    except (ValueError, OverflowError):
        return None
