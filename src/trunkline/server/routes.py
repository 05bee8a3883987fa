"""The route table: inference routes are served directly, all others by Starlette."""

import logging
from collections.abc import Callable, Iterator

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.types import ASGIApp

from trunkline.dialects.common.openai_errors import error_body
from trunkline.dialects.registry import CLIENTS
from trunkline.model.errors import Internal, NotFound, TrunklineError
from trunkline.server.api import account, catalog, generations, health, presets
from trunkline.server.config import ServerSettings
from trunkline.server.http.origins import OriginPolicy
from trunkline.server.http.protocol import AsgiApp, Connection, DirectHandler, Handler
from trunkline.server.inference import Inference
from trunkline.server.machine import memory_bytes
from trunkline.server.route_preview import PATH, RoutePreview
from trunkline.server.state import State
from trunkline.server.token_count import TokenCountRoute

PREFIXES = ("/api/v1", "/v1")
INFERENCE = {"chat": "/chat/completions", "messages": "/messages", "responses": "/responses"}
"""A client dialect → its inference path."""
TOKEN_COUNT = {"messages": "/messages/count_tokens", "responses": "/responses/input_tokens"}
"""A client dialect → its path for counting input tokens."""
DOUBLED_PREFIXES = ("/api/v1/v1", "/v1/v1")
"""Paths of Anthropic clients whose base URL contains the version, which they append themselves."""

logger = logging.getLogger(__name__)


class GatewayServer:
    """The routes of one gateway; implements `server.http.protocol.Server`."""

    settings: ServerSettings
    origins: OriginPolicy
    max_buffered_bytes: int

    def __init__(self, state: State, settings: ServerSettings) -> None:
        self.configure(settings, auth_required=state.auth_required)
        self.date = b""
        self.connections: set[Connection] = set()
        self.buffered_bytes = 0
        self.batcher = state.engine.batcher
        self.routes = dict(_direct_handlers(state))
        self.direct_routes: dict[bytes, DirectHandler] = {
            path: route.at_once for path, route in self.routes.items() if isinstance(route, Inference)
        }
        self._dialects = {path: CLIENTS[dialect] for path, dialect in _dialect_paths()}
        routing = RoutePreview(state)
        self.routes |= {f"{prefix}{PATH}".encode(): routing for prefix in PREFIXES}
        self.asgi: AsgiApp = starlette(state, lambda: self.origins)

    def configure(self, settings: ServerSettings, *, auth_required: bool) -> None:
        """Use *settings* from the next request on."""
        self.settings = settings
        hosts = (*settings.allowed_hosts, f"[{settings.host}]" if ":" in settings.host else settings.host)
        self.origins = OriginPolicy(hosts, settings.allowed_origins, checked=not auth_required)
        self.max_buffered_bytes = settings.max_buffered_bytes or memory_bytes() // 4 // settings.workers

    def error(self, path: bytes, error: TrunklineError, request_id: str | None) -> bytes:
        """As `Server.error`; paths without a dialect use chat's error object."""
        return self._dialects.get(path, CLIENTS["chat"]).error(error, request_id)


def _dialect_paths() -> Iterator[tuple[bytes, str]]:
    """Each raw path of a client dialect, with that dialect."""
    for table in (INFERENCE, TOKEN_COUNT):
        for dialect, path in table.items():
            prefixes = (*PREFIXES, *DOUBLED_PREFIXES) if dialect == "messages" else PREFIXES
            yield from ((f"{prefix}{path}".encode(), dialect) for prefix in prefixes)


def _direct_handlers(state: State) -> Iterator[tuple[bytes, Handler]]:
    """The routes that bypass Starlette."""
    answers = {dialect: Inference(state, CLIENTS[dialect]) for dialect in INFERENCE}
    counts = {dialect: TokenCountRoute(state, CLIENTS[dialect]) for dialect in TOKEN_COUNT}
    for path, dialect in _dialect_paths():
        counting = path.endswith(TOKEN_COUNT.get(dialect, "\0").encode())
        yield path, counts[dialect] if counting else answers[dialect]


class _Cors(CORSMiddleware):
    """Starlette's CORS headers and preflight responses, for the origins that the policy of the moment allows."""

    def __init__(self, app: ASGIApp, origins: Callable[[], OriginPolicy]) -> None:
        super().__init__(app, allow_methods=["*"], allow_headers=["*"])
        self._policy = origins

    def is_allowed_origin(self, origin: str) -> bool:
        """Whether pages of *origin* may read responses."""
        return self._policy().allows(origin.encode("latin-1"))


def starlette(state: State, origins: Callable[[], OriginPolicy]) -> Starlette:
    """The routes other than inference."""
    # POST of these paths never reaches Starlette; the routes make it answer other methods with 405.
    inference = [Route(path, _root, methods=["POST"]) for path in (*INFERENCE.values(), *TOKEN_COUNT.values(), PATH)]
    api = [*account.ROUTES, *catalog.ROUTES, *generations.ROUTES, *presets.ROUTES, *inference]
    app = Starlette(
        routes=[*health.ROUTES, *(Mount(prefix, routes=api) for prefix in PREFIXES), Route("/", _root)],
        exception_handlers={TrunklineError: _on_error, HTTPException: _on_http_error, Exception: _on_bug},
        middleware=[Middleware(_Cors, origins)],
    )
    app.state.gateway = state
    return app


async def _root(request: Request) -> Response:
    """A text page for browsers at `/`."""
    del request
    return Response("Trunkline. The API is under /api/v1.\n", media_type="text/plain")


async def _on_error(request: Request, error: Exception) -> Response:
    del request
    assert isinstance(error, TrunklineError)
    retry = {} if error.retry_after_s is None else {"retry-after": f"{error.retry_after_s:.0f}"}
    return Response(error_body(error, None), error.http_status, retry, media_type="application/json")


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Starlette's own errors: unknown path, wrong method."""
    problem: TrunklineError
    assert isinstance(error, HTTPException)
    if error.status_code == 405 and request.headers.get("upgrade", "").lower() == "websocket":
        # Codex tries a WebSocket first. It falls back to HTTP at once on 426, and after five tries on anything else.
        problem = NotFound("WebSockets are not supported; send a POST")
        problem.http_status = 426
        headers = {"upgrade": "HTTP/1.1"}
        return Response(error_body(problem, None), 426, headers, media_type="application/json")
    if error.status_code == 405:
        problem = NotFound(f"{request.method} is not allowed here")
    else:
        problem = NotFound("Resource not found") if error.status_code == 404 else Internal(error.detail)
    problem.http_status = error.status_code
    return Response(
        error_body(problem, None), error.status_code, dict(error.headers or {}), media_type="application/json"
    )


async def _on_bug(request: Request, error: Exception) -> Response:
    logger.error("%s %s failed", request.method, request.url.path, exc_info=error)
    return Response(error_body(Internal("internal error"), None), 500, media_type="application/json")
