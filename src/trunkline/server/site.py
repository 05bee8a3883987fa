"""What is served under which path: the inference routes by themselves, everything else by Starlette."""

import logging

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route

from trunkline.dialects.openai_chat.errors import error_body
from trunkline.dialects.registry import CLIENTS
from trunkline.model.errors import Internal, NotFound, TrunklineError
from trunkline.server.api import account, catalog, generations, health
from trunkline.server.config import ServerSettings
from trunkline.server.http import AsgiApp, Connection, Handler
from trunkline.server.inference import Inference
from trunkline.server.state import State

PREFIXES = ("/api/v1", "/v1")
INFERENCE = {"chat": "/chat/completions"}
"""A client dialect → its path."""

logger = logging.getLogger(__name__)


class GatewaySite:
    """The routes of one gateway: a `server.http.Site`."""

    def __init__(self, state: State, settings: ServerSettings) -> None:
        self.settings = settings
        self.date = b""
        self.connections: set[Connection] = set()
        self.routes: dict[bytes, Handler] = {
            f"{prefix}{path}".encode(): Inference(state, CLIENTS[dialect])
            for prefix in PREFIXES
            for dialect, path in INFERENCE.items()
        }
        self.asgi: AsgiApp = starlette(state)

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        """As `Site.error`; every path speaks chat's envelope until the other dialects come."""
        del path
        return error_body(error, request_id)


def starlette(state: State) -> Starlette:
    """Everything but inference."""
    # POST of these never comes here; with them, other methods are answered with 405.
    inference = [Route(path, _root, methods=["POST"]) for path in INFERENCE.values()]
    api = [*account.ROUTES, *catalog.ROUTES, *generations.ROUTES, *inference]
    cors = Middleware(CORSMiddleware, allow_origins=["*"], allow_methods=["*"], allow_headers=["*"])
    app = Starlette(
        routes=[*health.ROUTES, *(Mount(prefix, routes=api) for prefix in PREFIXES), Route("/", _root)],
        exception_handlers={TrunklineError: _on_error, HTTPException: _on_http_error, Exception: _on_bug},
        middleware=[cors],
    )
    app.state.gateway = state
    return app


async def _root(request: Request) -> Response:
    """Somebody opened the address in a browser."""
    del request
    return Response("Trunkline. The API is under /api/v1.\n", media_type="text/plain")


async def _on_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, TrunklineError)
    return Response(error_body(error, None), error.http_status, media_type="application/json")


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own: an unknown path, a wrong method."""
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        problem: TrunklineError = NotFound(f"{request.method} is not allowed here")
    else:
        problem = NotFound("Resource not found") if error.status_code == 404 else Internal(error.detail)
    problem.http_status = error.status_code
    return Response(
        error_body(problem, None), error.status_code, dict(error.headers or {}), media_type="application/json"
    )


async def _on_bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Response(error_body(Internal("internal error"), None), 500, media_type="application/json")
