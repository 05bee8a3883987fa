"""Helpers shared by the routes."""

from typing import Any, cast

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from trunkline.model.key import Key
from trunkline.server.auth import authenticate, key_digest
from trunkline.server.state import State


def state_of(request: Request) -> State:
    """The running gateway."""
    return cast("State", request.app.state.gateway)


def key_of(request: Request) -> Key:
    """The authenticated key of the request.

    Raises:
        Unauthenticated: the key is missing or not valid.
    """
    state = state_of(request)
    digest = key_digest(dict(request.scope["headers"]))
    return authenticate(digest, state.keys, state.clock, required=state.auth_required)


def json(body: Any, status: int = 200) -> Response:
    """A JSON response."""
    return Response(msgspec.json.encode(body), status, media_type="application/json")
