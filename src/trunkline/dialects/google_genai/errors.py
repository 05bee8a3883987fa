"""Errors of generateContent, in our words: google.rpc's codes. Source: recorded traffic of AI Studio and Vertex."""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.dialects.common.upstream_errors import classify
from trunkline.model.errors import TrunklineError, UpstreamFailed

STATUSES = {
    "INVALID_ARGUMENT": 400,
    "FAILED_PRECONDITION": 400,
    "OUT_OF_RANGE": 400,
    "UNAUTHENTICATED": 401,
    "PERMISSION_DENIED": 403,
    "NOT_FOUND": 404,
    "RESOURCE_EXHAUSTED": 429,
    "CANCELLED": 502,
    "INTERNAL": 500,
    "UNKNOWN": 500,
    "UNAVAILABLE": 503,
    "DEADLINE_EXCEEDED": 504,
}
"""A google.rpc code → the status that it has where it comes instead of an answer."""


def from_response(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
    """What an answer with *status* means; see `upstream_errors.classify`, which reads google.rpc's `RetryInfo` too."""
    code, words = _code_and_words(_error(body))
    text = body[:65536].decode("utf-8", "replace")
    if status == 400 and code == "INVALID_ARGUMENT" and words is not None and "API key not valid" in words:
        status = 401
    return classify(status, headers, code=code, words=words, body=text, now=now)


def from_object(found: Any) -> TrunklineError:
    """What an `error` object inside a 200 means."""
    code, words = _code_and_words(found)
    status = STATUSES.get(code or "")
    number = found.get("code") if isinstance(found, dict) else None
    if status is None and isinstance(number, int) and 400 <= number < 600:
        status = number
    if status is None:
        return UpstreamFailed("the provider reported an error", raw=words, provider_code=code)
    return classify(status, {}, code=code, words=words, body=msgspec.json.encode(found).decode(), now=0.0)


def _error(body: bytes) -> Any:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None
    if isinstance(parsed, list) and parsed:  # without `alt=sse`, a stream is a list, and so is its error
        parsed = parsed[0]
    return parsed.get("error") if isinstance(parsed, dict) else None


def _code_and_words(found: Any) -> tuple[str | None, str | None]:
    if isinstance(found, str):
        return None, found
    if not isinstance(found, dict):
        return None, None
    code, words = found.get("status"), found.get("message")
    return code if isinstance(code, str) and len(code) <= 64 else None, words if isinstance(words, str) else None
