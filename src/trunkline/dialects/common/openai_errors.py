"""Errors of OpenAI's dialects: decode an upstream's, encode the gateway's.

Sources: docs/reference/reliability.md, "Error contract"; OpenRouter, "Errors and debugging".
"""

import re
from collections.abc import Mapping
from typing import Any

import msgspec

from trunkline.dialects.common.upstream_errors import classify
from trunkline.model.errors import AllAttemptsFailed, Internal, NoEndpoint, TrunklineError, UpstreamFailed

TYPES = {
    "invalid_request": "invalid_request_error",
    "context_length_exceeded": "invalid_request_error",
    "content_policy_violation": "invalid_request_error",
    "payload_too_large": "invalid_request_error",
    "authentication": "authentication_error",
    "payment_required": "insufficient_quota",
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
"""`error_type` → OpenAI's `error.type`. A test checks that every error class has one."""


_STATUS = re.compile(r"[45][0-9]{2}")
_CODE = re.compile(r"[A-Za-z0-9_.:-]{1,64}")
"""A valid error code. A longer string is treated as a message."""


def error_object(error: TrunklineError) -> dict[str, Any]:
    """Encode *error* as the value of `error`, in an error response and within a stream."""
    status = error.http_status
    if isinstance(error, Internal):
        return {
            "code": status,
            "message": "Internal Server Error",
            "type": "api_error",
            "param": None,
            "metadata": {"error_type": error.kind},
        }
    metadata: dict[str, Any] = {"error_type": error.kind}
    if error.provider is not None:
        metadata["provider_name"] = error.provider
        metadata["is_byok"] = False
    if error.provider_code is not None:
        metadata["provider_code"] = metadata["provider_error_code"] = error.provider_code
    if error.raw is not None and shows_upstream_words(error):
        metadata["raw"] = error.raw
    if error.retry_after_s is not None:
        metadata["retry_after"] = round(error.retry_after_s, 3)
    if error.attempts:
        metadata["previous_errors"] = [
            {"provider": attempt.provider, "code": attempt.status, "status": attempt.status, "message": attempt.cause}
            for attempt in error.attempts
        ]
    metadata.update(error.metadata)
    body = {
        "code": status,
        "message": error.message,
        "type": "model_not_found" if isinstance(error, NoEndpoint) else TYPES.get(error.kind, "api_error"),
        "param": error.param,
        "metadata": metadata,
    }
    if error.availability is not None:
        body["availability"] = error.availability
    return body


def shows_upstream_words(error: TrunklineError) -> bool:
    """Return whether the client may see the upstream's message: only for errors with a 4xx status of the gateway.

    Messages of other errors can reveal details of the upstream. An upstream's 401 or 404 concerns the gateway's account
    and becomes a 502.
    """
    return 400 <= error.http_status < 500 and not isinstance(error, AllAttemptsFailed)


def error_body(error: TrunklineError, generation_id: str | None) -> bytes:
    """Encode *error* as the JSON body of an error response. The generation id is in the headers, not in this body."""
    del generation_id
    body: dict[str, Any] = {"error": error_object(error), "user_id": None}
    if error.routing is not None and not isinstance(error, Internal):
        body["openrouter_metadata"] = error.routing
    return msgspec.json.encode(body)


def from_response(status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
    """Decode an upstream's error response; see `upstream_errors.classify`."""
    code, words = _told(body)
    return classify(status, headers, code=code, words=words, body=body[:65536].decode("utf-8", "replace"), now=now)


def from_object(found: Any) -> TrunklineError:
    """Decode an `error` object inside a response with status 200, by its code or type; else it is a failure."""
    code, words = _code_and_words(found)
    status = int(code) if code is not None and _STATUS.fullmatch(code) else None
    if status is None:
        by_name = {
            "rate_limit_exceeded": 429,
            "insufficient_quota": 429,
            "context_length_exceeded": 400,
            "content_filter": 400,  # Azure of a prompt, with status 200
        }
        status = by_name.get(code or "")
    if status is None and isinstance(found, dict) and isinstance(found.get("type"), str):
        by_type = {"invalid_request_error": 400, "rate_limit_error": 429, "overloaded_error": 503}
        status = by_type.get(found["type"])
    if status is None:
        return UpstreamFailed("the provider reported an error", raw=words, provider_code=code)
    return classify(status, {}, code=code, words=words, body="", now=0.0)


def _told(body: bytes) -> tuple[str | None, str | None]:
    try:
        parsed = msgspec.json.decode(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return None, None
    if isinstance(parsed, list) and parsed:  # Google's OpenAI-compatible door wraps its error in a list
        parsed = parsed[0]
    if not isinstance(parsed, dict):
        return None, None
    found = parsed.get("error")
    if found is None:
        found = {key: parsed.get(key) for key in ("code", "message", "type", "detail") if key in parsed}
    return _code_and_words(found)


def _code_and_words(found: Any) -> tuple[str | None, str | None]:
    if isinstance(found, str):
        return None, found
    if not isinstance(found, dict):
        return None, None
    code = found.get("code") if found.get("code") is not None else found.get("type")
    words = found.get("message") or found.get("detail")
    metadata = found.get("metadata")
    if isinstance(metadata, dict) and isinstance(metadata.get("raw"), str):
        words = f"{words}: {metadata['raw']}" if words else metadata["raw"]
    if words is not None and not isinstance(words, str):
        words = msgspec.json.encode(words).decode()
    name = str(code) if isinstance(code, str | int | float) else ""
    return name if _CODE.fullmatch(name) else None, words
