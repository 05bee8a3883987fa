"""GET /health/live, /health/ready, /metrics, for operators. They require no key and show no key's data."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from trunkline.server.api.common import json, state_of


async def live(request: Request) -> Response:
    """200 while the process responds."""
    del request
    return json({"status": "ok"})


async def ready(request: Request) -> Response:
    """200 where requests are served; otherwise 503 with the reason.

    Requests are served without the shared state and without the database too; only the body reports which background
    tasks fail, and that the shared state is unreachable.
    """
    state = state_of(request)
    why = "draining" if state.draining else state.unready()
    body: dict[str, str | list[str]] = {"status": "ok"} if why is None else {"status": "unavailable", "reason": why}
    failing = state.failing_tasks()
    if failing:
        body["failing_tasks"] = list(failing)
    sharing = state.shared_state_reachable()
    if sharing is not None:
        body["shared_state"] = "ok" if sharing else "unreachable"
    return json(body, 200 if why is None else 503)


async def metrics(request: Request) -> Response:
    """Metrics in Prometheus' text format."""
    return Response(state_of(request).metrics.text(), media_type="text/plain; version=0.0.4")


ROUTES = [Route("/health/live", live), Route("/health/ready", ready), Route("/metrics", metrics)]
