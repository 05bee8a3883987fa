"""GET /generation?id=: usage, cost and attempts of one generation. Source: OpenRouter, "Usage accounting"."""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.dialects.common.json_input import printable
from trunkline.model.errors import InvalidRequest, NotFound
from trunkline.model.money import to_json
from trunkline.model.record import GenerationRecord
from trunkline.model.usage import with_outside
from trunkline.server.api.common import json, key_of, state_of

API_TYPES = {"chat": "completions"}
"""The dialect's name here → OpenRouter's, where they differ."""


async def generation(request: Request) -> Response:
    """The record, available at the end of the response. Records of other keys are reported as not found."""
    key = key_of(request)
    wanted = request.query_params.get("id", "")
    if not wanted:
        raise InvalidRequest("id: missing", param="id")
    found = await state_of(request).generations.find(wanted) if len(wanted) <= 64 else None
    if found is None or found.key_id != key.id:
        raise NotFound(f"Generation {printable(wanted)} not found")
    return json({"data": generation_object(found)})


def generation_object(done: GenerationRecord) -> dict[str, Any]:
    """The wire form of a record. Times are milliseconds, money is USD."""
    usage = done.usage
    billed = with_outside(usage)
    return {
        "id": done.id,
        "upstream_id": done.upstream_id,
        "request_id": done.id,
        "total_cost": to_json(done.cost),
        "usage": to_json(done.cost),
        "cache_discount": None,
        "upstream_inference_cost": None if done.upstream_cost is None else to_json(done.upstream_cost),
        "created_at": datetime.fromtimestamp(done.created, UTC).isoformat(timespec="milliseconds"),
        "model": done.model,
        "provider_name": done.provider,
        "app_id": None,
        "streamed": done.streamed,
        "cancelled": done.status == "cancelled",
        "latency": done.first_token_ms,
        "moderation_latency": None,
        "generation_time": done.total_ms,
        "finish_reason": done.finish_reason,
        "native_finish_reason": done.native_finish_reason,
        "service_tier": None,
        "tokens_prompt": usage.prompt,
        "tokens_completion": usage.completion,
        "native_tokens_prompt": billed.prompt,
        "native_tokens_completion": billed.completion,
        "native_tokens_completion_images": usage.image_completion,
        "native_tokens_reasoning": usage.reasoning,
        "native_tokens_cached": usage.cached,
        "num_media_prompt": None,
        "num_input_audio_prompt": None,
        "num_media_completion": None,
        "num_search_results": None,
        "num_fetches": None,
        "web_search_engine": None,
        "origin": done.http_referer or "",
        "http_referer": done.http_referer,
        "user_agent": done.user_agent,
        "is_byok": False,
        "external_user": done.user,
        "session_id": done.session_id,
        "api_type": API_TYPES.get(done.api_type, done.api_type),
        "preset_id": done.preset_id,
        "response_cache_source_id": done.response_cache_source_id,
        "router": None,
        "data_region": "global",
        "workspace_id": None,
        "provider_responses": [
            *(
                {
                    "provider_name": attempt.provider,
                    "model_permaslug": attempt.model,
                    "status": attempt.status,
                    "latency": attempt.latency_ms,
                    "endpoint_id": attempt.tag,
                    "is_byok": False,
                    "error": attempt.cause,
                    "maybe_billed": attempt.maybe_billed,
                }
                for attempt in done.attempts
            ),
            *([_served(done)] if done.provider is not None and done.status in ("completed", "cancelled") else []),
        ],
        # Extensions of this gateway, beyond the documented object.
        "status": done.status,
        "way": done.way,
        "translation": [{"direction": loss.direction, "path": loss.path, "why": loss.why} for loss in done.losses],
        "usage_estimated": usage.estimated,
        "usage_inconsistent": usage.inconsistent,
        "cost_known": done.cost_known,
        "error_type": done.error_type,
        "error": done.error,
    }


def _served(done: GenerationRecord) -> dict[str, Any]:
    return {
        "provider_name": done.provider,
        "model_permaslug": done.model,
        "status": 200,
        "latency": done.first_token_ms,
        "endpoint_id": done.endpoint,
        "is_byok": False,
    }


ROUTES = [Route("/generation", generation)]
