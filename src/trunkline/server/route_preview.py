"""`POST /route`: preview the routing of a request without calling a provider. An extension of this gateway.

It accepts the body of any of the three inference routes. The dialect is `?dialect=`, or is detected from the body:
`input` indicates Responses, fields or headers that only Anthropic has indicate Messages, anything else is chat.
"""

import logging
from typing import Any

import msgspec

from trunkline.dialects.interfaces import Client
from trunkline.dialects.registry import CLIENTS
from trunkline.engine.expressible import is_expressible
from trunkline.engine.router import Route
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import Internal, InvalidRequest, TrunklineError, stripped
from trunkline.routing.endpoint_pool import blended_price
from trunkline.routing.plan import excluded_endpoints
from trunkline.routing.statistics import DOWN, STABLE, UNSTABLE, Percentiles
from trunkline.server import request_parsing
from trunkline.server.http.exchange import Exchange
from trunkline.server.request_admission import accepted, refuse
from trunkline.server.state import State

PATH = "/route"
_MESSAGES_FIELDS = ("system", "stop_sequences", "thinking", "output_config", "anthropic_version")
_STANDINGS = {STABLE: "stable", UNSTABLE: "unstable", DOWN: "down"}

logger = logging.getLogger(__name__)


class RoutePreview:
    """The route handler."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def __call__(self, exchange: Exchange) -> None:
        """Respond to *exchange*."""
        state = self._state
        id_ = state.new_id(state.clock.now())
        client: Client = CLIENTS["chat"]
        try:
            key, body = await accepted(state, exchange)
            client = _detect_client(exchange, body)
            call, preset = request_parsing.parse(client, state.presets, state.preset_owner(key), body)
            session = call.session_id or exchange.fields.get(b"x-session-id", b"").decode("latin-1") or None
            engine = state.engine
            route = engine.router.route(
                client,
                call,
                key,
                body_bytes=len(body) + (0 if preset is None else preset.added_bytes),
                session_id=session,
                is_expressible=lambda endpoint: is_expressible(engine, client, call, endpoint),
            )
            answer = msgspec.json.encode(self._preview(route, client))
        except TrunklineError as error:
            refuse(state, client, exchange, id_, error)
            return
        except Exception as error:
            logger.exception("request %s failed", id_)
            stripped(error)
            refuse(state, client, exchange, id_, Internal("internal error"))
            return
        exchange.respond(200, answer)

    def _preview(self, route: Route, client: Client) -> dict[str, Any]:
        plan = route.plan
        return {
            "dialect": client.name,
            "requested": route.requested,
            "strategy": route.strategy,
            "sticky": None if plan.sticky is None else plan.sticky.tag,
            "plan": [self._endpoint_preview(endpoint) for endpoint in plan.endpoints],
            "filtered": excluded_endpoints(plan.excluded),
        }

    def _endpoint_preview(self, endpoint: Endpoint) -> dict[str, Any]:
        vitals = self._state.engine.router.statistics(endpoint).vitals
        price = blended_price(endpoint.price)
        return {
            "model": endpoint.model,
            "provider": endpoint.provider_name,
            "tag": endpoint.tag,
            "price": price / 1e6 if endpoint.price.is_known else None,
            "standing": _STANDINGS[vitals.standing],
            "latency": _percentiles(vitals.latency),
            "throughput": _percentiles(vitals.throughput),
        }


def _percentiles(found: Percentiles | None) -> dict[str, float] | None:
    return None if found is None else {name: round(value, 3) for name, value in msgspec.structs.asdict(found).items()}


def _detect_client(exchange: Exchange, body: bytes) -> Client:
    """The client dialect of *body*.

    Raises:
        InvalidRequest: `dialect` is not a client dialect.
    """
    for name, value in (pair.partition(b"=")[::2] for pair in exchange.query.split(b"&")):
        if name == b"dialect":
            client = CLIENTS.get(value.decode("latin-1"))
            if client is None:
                raise InvalidRequest(f"dialect: expected one of {', '.join(CLIENTS)}", param="dialect")
            return client
    try:
        fields = msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    except msgspec.DecodeError:
        return CLIENTS["chat"]  # its parser reports the error
    if "input" in fields and "messages" not in fields:
        return CLIENTS["responses"]
    if b"anthropic-version" in exchange.fields or any(name in fields for name in _MESSAGES_FIELDS):
        return CLIENTS["messages"]
    return CLIENTS["chat"]
