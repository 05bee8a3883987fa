"""GET /key and /credits: limit and spending of the calling key.

Source: OpenRouter's OpenAPI document, `GET /key` and `GET /credits`.
"""

from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.model.money import to_json
from trunkline.server.api.common import json, key_of, state_of


async def key(request: Request) -> Response:
    """The calling key with its limit and spending in USD. Daily, weekly and monthly amounts start at midnight UTC."""
    found = key_of(request)
    state = state_of(request)
    spend = await state.generations.spend(found.id)
    spent = max(state.budgets.spent(found.id), spend.total)
    nothing = dict.fromkeys(("byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly"), 0)
    data: dict[str, Any] = {
        "label": found.label,
        "name": found.name,
        "limit": None if found.limit is None else to_json(found.limit),
        "limit_remaining": None if found.limit is None else to_json(max(found.limit - spent, 0)),
        "limit_reset": None,
        "usage": to_json(spent),
        "usage_daily": to_json(spend.daily),
        "usage_weekly": to_json(spend.weekly),
        "usage_monthly": to_json(spend.monthly),
        **nothing,
        "include_byok_in_limit": False,
        "is_free_tier": False,
        "is_management_key": False,
        "is_provisioning_key": False,
        "creator_user_id": None,
        "expires_at": None if found.expires is None else datetime.fromtimestamp(found.expires, UTC).isoformat(),
        "rate_limit": {"requests": -1, "interval": "10s", "note": "deprecated"},
    }
    return json({"data": data})


async def credits_(request: Request) -> Response:
    """Total and used credits. The gateway sells none: the total is the key's limit, or its usage where unlimited."""
    found = key_of(request)
    state = state_of(request)
    spend = await state.generations.spend(found.id)
    spent = max(state.budgets.spent(found.id), spend.total)
    total = spent if found.limit is None else found.limit
    return json({"data": {"total_credits": to_json(total), "total_usage": to_json(spent)}})


ROUTES = [Route("/key", key), Route("/auth/key", key), Route("/credits", credits_)]
