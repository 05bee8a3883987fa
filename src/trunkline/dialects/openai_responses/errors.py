"""Errors of Responses: an upstream's in our words, ours in a response.

Sources: OpenRouter's OpenAPI document, `OpenResponsesResult`; OpenRouter, "Errors and debugging".

Before an answer has begun both sides use chat's envelope.
"""

from typing import Any

from trunkline.dialects.common.openai_errors import error_object
from trunkline.dialects.common.openai_errors import from_object as from_chat
from trunkline.model.errors import TrunklineError

CODES = {
    "rate_limit_exceeded": "rate_limit_exceeded",
    "invalid_request": "invalid_prompt",
    "context_length_exceeded": "invalid_prompt",
    "content_policy_violation": "image_content_policy_violation",
}
"""`error_type` → `error.code`; `server_error` for all others."""

REQUEST_FAULTS = frozenset(
    {"invalid_prompt", "invalid_image", "invalid_image_format", "invalid_base64_image", "invalid_image_url",
     "image_too_large", "image_too_small", "image_parse_error", "image_content_policy_violation", "invalid_image_mode",
     "image_file_too_large", "unsupported_image_media_type", "empty_image_file", "failed_to_download_image",
     "image_file_not_found", "bio_policy", "cyber_policy", "data_residency_mismatch"}
)  # fmt: skip
"""Codes that find fault with what was asked."""

ERROR_TYPES = frozenset(
    {"context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded", "string_too_long", "authentication",
     "permission_denied", "payment_required", "rate_limit_exceeded", "provider_overloaded", "provider_unavailable",
     "invalid_request", "invalid_prompt", "not_found", "precondition_failed", "payload_too_large", "unprocessable",
     "content_policy_violation", "refusal", "server", "timeout", "unmapped"}
)  # fmt: skip
"""What `error_type` of a response may say; anything else of ours is `unmapped`."""


def from_object(found: Any) -> TrunklineError:
    """What the `error` of a failed response, or of an `error` event, means."""
    if isinstance(found, dict) and isinstance(found.get("code"), str) and found["code"] in REQUEST_FAULTS:
        # Chat's reader knows the class by its type; the code is kept for the record.
        found = {**found, "type": "invalid_request_error"}
    return from_chat(found)


def failure(error: TrunklineError) -> dict[str, Any]:
    """The fields of a response that say that it failed: `status`, `error` and `error_type`."""
    told = error_object(error)
    return {
        "status": "failed",
        "error": {"code": CODES.get(error.kind, "server_error"), "message": told["message"]},
        "error_type": error.kind if error.kind in ERROR_TYPES else "unmapped",
    }
