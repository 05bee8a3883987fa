"""`openrouter_metadata`: what the router did, for a caller who asked. Source: OpenRouter, "Router metadata".

`translation`, `filtered` and `sticky` are ours: what the way to and from the provider's dialect could not say, which
endpoints were left out and by what, and whether the conversation's last endpoint was put first.
"""

from collections.abc import Sequence
from typing import Any

from trunkline.engine.router import Route
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import AttemptRecord, NoEndpoint
from trunkline.model.loss import Loss
from trunkline.model.pipeline import PipelineNote
from trunkline.routing.plan import excluded_endpoints


def metadata(
    route: Route,
    served: Endpoint | None,
    attempts: Sequence[AttemptRecord],
    losses: Sequence[Loss],
    *,
    way: str,
    dialect: str | None,
    notes: Sequence[PipelineNote] = (),
) -> dict[str, Any]:
    """The object. *served* is the endpoint that answered, None where none did; *attempts* are those that failed."""
    plan = route.plan
    endpoints = plan.endpoints
    tried = [_attempt(attempt.provider, attempt.model, attempt.status) for attempt in attempts]
    if served is not None:
        tried.append(_attempt(served.provider_name, served.model, 200))
    selected = "none" if served is None else served.provider_name
    return {
        "requested": route.requested,
        "strategy": "fallback" if served is not None and served.model != route.named[0].model.id else route.strategy,
        "region": None,
        "summary": f"available={len(endpoints)}, selected={selected}",
        "attempt": 0 if served is None else len(tried),
        "is_byok": False,
        "endpoints": {
            "total": len(endpoints),
            "available": [
                {"provider": endpoint.provider_name, "model": endpoint.model, "selected": endpoint is served}
                for endpoint in endpoints
            ],
        },
        "attempts": tried,
        "filtered": excluded_endpoints(plan.excluded),
        "sticky": plan.sticky is not None,
        "translation": translation(losses, way=way, dialect=dialect),
        **({"pipeline": [note.to_json() for note in notes]} if notes else {}),
    }


def of_failure(requested: str, error: NoEndpoint) -> dict[str, Any]:
    """The object where no endpoint was left to ask."""
    return {
        "requested": requested,
        "strategy": "direct",
        "region": None,
        "summary": "available=0, selected=none",
        "attempt": 0,
        "is_byok": False,
        "endpoints": {"total": 0, "available": []},
        "attempts": [],
        "filtered": error.filtered,
    }


def translation(losses: Sequence[Loss], *, way: str, dialect: str | None) -> dict[str, Any]:
    """How the call was carried: `way` is relay or translate, `dialect` the provider's, None where none was asked."""
    return {
        "way": way,
        "dialect": dialect,
        "losses": [{"direction": loss.direction, "path": loss.path, "why": loss.why} for loss in losses],
    }


def _attempt(provider: str, model: str, status: int) -> dict[str, Any]:
    return {"provider": provider, "model": model, "status": status}
