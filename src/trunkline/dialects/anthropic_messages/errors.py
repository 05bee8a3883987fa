"""Errors of Messages: an upstream's in our words, ours on the wire.

Sources: OpenRouter, "Errors and debugging"; docs/reference/reliability.md, "Error contract".
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.dialects.common.openai_errors import error_object
from trunkline.dialects.common.upstream_errors import classify
from trunkline.model.errors import Internal, TrunklineError, UpstreamFailed

TYPES = {
    "invalid_request": "invalid_request_error",
    "context_length_exceeded": "invalid_request_error",
    "content_policy_violation": "invalid_request_error",
    "payload_too_large": "request_too_large",
    "authentication": "authentication_error",
    "payment_required": "billing_error",
    "permission_denied": "permission_error",
    "not_found": "not_found_error",
    "conflict": "invalid_request_error",
    "unprocessable": "invalid_request_error",
    "rate_limit_exceeded": "rate_limit_error",
    "provider_unavailable": "api_error",
    "provider_overloaded": "overloaded_error",
    "timeout": "timeout_error",
    "server": "api_error",
    "client_closed": "api_error",
}
"""`error_type` → Anthropic's `error.type`; total over the error tree, which a test shows."""

STATUSES = {
    "invalid_request_error": 400,
    "authentication_error": 401,
    "billing_error": 402,
    "permission_error": 403,
    "not_found_error": 404,
    "request_too_large": 413,
    "rate_limit_error": 429,
    "api_error": 500,
    "timeout_error": 504,
    "overloaded_error": 529,
}
"""Anthropic's `error.type` → the status that it has where it comes instead of an answer."""


def envelope(error: TrunklineError, request_id: str | None) -> dict[str, Any]:
    """The whole error on the wire, before the answer has begun and within a stream. *request_id* None: not routed."""
    said = error_object(error)
    inner: dict[str, Any] = {
        "type": TYPES.get(error.kind, "api_error"),
        "message": said["message"],
        "error_type": error.kind,
    }
    if "availability" in said:
        inner["availability"] = said["availability"]
    body: dict[str, Any] = {"type": "error", "error": inner, "request_id": request_id}
    metadata = {key: value for key, value in said["metadata"].items() if key != "error_type"}
    if error.param is not None:
        metadata["param"] = error.param
    if metadata and not isinstance(error, Internal):
        body["metadata"] = metadata
    if error.routing is not None and not isinstance(error, Internal):
        body["openrouter_metadata"] = error.routing
    return body


def error_body(error: TrunklineError, generation_id: str | None) -> bytes:
    """The JSON body of *error* before the answer has begun."""
    return msgspec.json.encode(envelope(error, generation_id))


def status(error: TrunklineError) -> int:
    """The HTTP status of *error*: Anthropic says 529 where others say 503."""
    return 529 if error.http_status == 503 and error.kind == "provider_overloaded" else error.http_status


def from_response(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
    """What an upstream's answer with *status* means; see `upstream_errors.classify`."""
    code, words = _told(body)
    text = body[:65536].decode("utf-8", "replace")
    return classify(status, headers, code=code, words=words, body=text, now=now)


def from_object(found: Any) -> TrunklineError:
    """What an error inside a 200 means, by its type."""
    code, words = _code_and_words(found)
    known = STATUSES.get(code or "")
    if known is None:
        return UpstreamFailed("the provider reported an error", raw=words, provider_code=code)
    return classify(known, {}, code=code, words=words, body="", now=0.0)


def _told(body: bytes) -> tuple[str | None, str | None]:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None, None
    if not isinstance(parsed, dict):
        return None, None
    return _code_and_words(parsed.get("error") if "error" in parsed else parsed)


def _code_and_words(found: Any) -> tuple[str | None, str | None]:
    if isinstance(found, str):
        return None, found
    if not isinstance(found, dict):
        return None, None
    code, words = found.get("type"), found.get("message")
    return code if isinstance(code, str) and len(code) <= 64 else None, words if isinstance(words, str) else None
