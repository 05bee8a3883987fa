"""GET /models, /models/count, /model/{author}/{slug}, /models/{author}/{slug}/endpoints, /providers.

Source: OpenRouter, "Models"; OpenRouter's OpenAPI document, `GET /models`. They require no key, as on OpenRouter.
"""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.catalog import response_bodies
from trunkline.dialects.common.json_input import printable
from trunkline.model.endpoint import Endpoint, Model
from trunkline.model.errors import NotFound
from trunkline.server.api.common import json, state_of


async def models(request: Request) -> Response:
    """All models."""
    return json(response_bodies.model_list(state_of(request).catalog.models))


async def count(request: Request) -> Response:
    """The number of models."""
    return json({"data": {"count": len(state_of(request).catalog.models)}})


async def model(request: Request) -> Response:
    """One model."""
    return json({"data": response_bodies.model_object(_find(request))})


async def endpoints(request: Request) -> Response:
    """One model with its endpoints."""
    state = state_of(request)
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

    return json(response_bodies.endpoints_object(_find(request), stats))


async def providers(request: Request) -> Response:
    """All providers."""
    return json(response_bodies.provider_list(state_of(request).catalog))


def _find(request: Request) -> Model:
    name = f"{request.path_params['author']}/{request.path_params['slug']}"
    found = state_of(request).catalog.find(name)
    if found is None:
        raise NotFound(f"no model {printable(name)}")
    return found


ROUTES = [
    Route("/models", models),
    Route("/models/user", models),
    Route("/models/count", count),
    Route("/model/{author}/{slug:path}", model),
    Route("/models/{author}/{slug:path}/endpoints", endpoints),
    Route("/providers", providers),
]
