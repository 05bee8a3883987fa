"""GET /models, /models/{id}, /models/count, /model/{author}/{slug}, /models/{author}/{slug}/endpoints, /providers.

Source: OpenRouter, "Models"; OpenRouter's OpenAPI document, `GET /models`. They require no key, as on OpenRouter.
"""

from urllib.parse import urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.catalog import response_bodies
from trunkline.catalog.model_query import count_models, list_models
from trunkline.dialects.common.json_input import printable
from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import NotFound
from trunkline.server.api.common import json, state_of
from trunkline.server.state import State


async def models(request: Request) -> Response:
    """The models that the query asks for; all without one."""
    state, query = state_of(request), dict(request.query_params)
    base = request.url.path.partition("/models")[0]
    page = list_models(state.catalog.models, query, now=state.clock.now(), stats=_stats(state), base=base)
    following = None
    if page.next_offset is not None:
        following = f"{request.url.path}?{urlencode({**query, 'offset': page.next_offset})}"
    return json(response_bodies.model_list(page.entries, total=page.total, next_page=following, has_more=page.has_more))


async def count(request: Request) -> Response:
    """The number of models."""
    return json({"data": {"count": count_models(state_of(request).catalog.models, request.query_params)}})


async def model(request: Request) -> Response:
    """One model, as OpenRouter answers."""
    return json({"data": response_bodies.model_object(_find(request))})


async def retrieve(request: Request) -> Response:
    """One model, as OpenAI and Anthropic answer."""
    return json({**response_bodies.model_object(_find(request)), "id": _name(request)})


async def endpoints(request: Request) -> Response:
    """One model with its endpoints."""
    return json(response_bodies.endpoints_object(_find(request), _stats(state_of(request))))


def _stats(state: State) -> response_bodies.StatsSource:
    """The measurements of endpoints at this moment."""
    router, now = state.engine.router, state.clock.monotonic()

    def stats(endpoint: Endpoint) -> response_bodies.EndpointStats:
        found = router.statistics(endpoint)
        latency, throughput = found.half_hour(now)
        uptime = found.uptime(now)
        return response_bodies.EndpointStats(
            latency=latency,
            throughput=throughput,
            uptime_5m=uptime.last_5m,
            uptime_30m=uptime.last_30m,
            uptime_1d=uptime.last_1d,
            status=response_bodies.ENDPOINT_STATUS[found.refresh(now).standing],
        )

    return stats


async def providers(request: Request) -> Response:
    """All providers."""
    return json(response_bodies.provider_list(state_of(request).catalog))


def _find(request: Request) -> Model:
    name = _name(request)
    found = state_of(request).catalog.find(name)
    if found is None:
        raise NotFound(f"no model {printable(name)}")
    return found


def _name(request: Request) -> str:
    """The model in the path; an alias can be without an author."""
    author, slug = request.path_params.get("author"), request.path_params["slug"]
    return slug if author is None else f"{author}/{slug}"


ROUTES = [
    Route("/models", models),
    Route("/models/user", models),
    Route("/models/count", count),
    Route("/model/{author}/{slug:path}", model),
    Route("/models/{author}/{slug:path}/endpoints", endpoints),
    Route("/models/{author}/{slug:path}", retrieve),
    Route("/models/{slug}", retrieve),
    Route("/providers", providers),
]
