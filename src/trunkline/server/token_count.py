"""Token counting without inference: Anthropic's `count_tokens` and OpenAI's `input_tokens`.

The endpoints of the routing plan whose provider can count are called in order. Where none can, or none responds in
time, the count is estimated and a response header says so. Counting is free and leaves no record.
"""

import logging
from collections.abc import Sequence

from trunkline.dialects.common.token_estimate import request_tokens
from trunkline.dialects.interfaces import Client
from trunkline.engine.targets import Target
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import Internal, TrunklineError, stripped
from trunkline.model.request import Request
from trunkline.ports import Timeouts
from trunkline.server import request_parsing
from trunkline.server.http.exchange import Exchange
from trunkline.server.request_admission import accepted, refuse
from trunkline.server.state import State

MAX_COUNT_BYTES = 64 * 1024
MAX_ENDPOINTS = 2
"""The maximum number of endpoints that are called before estimating, since the client waits for the count."""
TIMEOUTS = Timeouts(
    connect_s=3, first_byte_s=10, first_content_s=10, idle_s=10, content_idle_s=10, total_s=15, pool_wait_s=1
)
ESTIMATED = b"X-Trunkline-Estimated: true\r\n"

logger = logging.getLogger(__name__)


class TokenCountRoute:
    """The counting route for clients of one dialect."""

    def __init__(self, state: State, client: Client) -> None:
        self._state = state
        self._client = client

    async def __call__(self, exchange: Exchange) -> None:
        """Respond to *exchange*."""
        state = self._state
        id_ = state.new_id(state.clock.now())
        try:
            key, body = await accepted(state, exchange)
            call, _ = request_parsing.parse(self._client, state.presets, state.preset_owner(key), body)
            request = self._client.decode(call)
            route = state.engine.router.route(self._client, call, key, body_bytes=len(body))
            tokens = await self._count_upstream(request, route.plan.endpoints)
        except TrunklineError as error:
            refuse(state, self._client, exchange, id_, error)
            return
        except Exception as error:
            logger.exception("request %s failed", id_)
            stripped(error)
            refuse(state, self._client, exchange, id_, Internal("internal error"))
            return
        estimated = tokens is None
        counted = self._client.counted(request_tokens(request) if tokens is None else tokens, estimated=estimated)
        exchange.respond(200, counted, headers=ESTIMATED if estimated else b"")

    async def _count_upstream(self, request: Request, endpoints: Sequence[Endpoint]) -> int | None:
        """The count of the first of *endpoints* that can count; None where none can."""
        counting = [target for target in map(self._target, endpoints) if target.counts]
        for target in counting[:MAX_ENDPOINTS]:
            try:
                return await self._request_count(request, target)
            except TrunklineError as error:
                stripped(error)
                logger.info("%s did not count tokens: %s", target.provider.slug, type(error).__name__)
        return None

    def _target(self, endpoint: Endpoint) -> Target:
        engine = self._state.engine
        return engine.targets.of(endpoint, engine.providers[endpoint.provider], self._client.name)

    async def _request_count(self, request: Request, target: Target) -> int:
        engine = self._state.engine
        provider = target.provider
        counter = target.counter
        assert counter is not None
        credential = engine.credentials.pick(provider, target.endpoint.upstream_model)
        encoded = counter.encode(request, target.endpoint, target.quirks)
        response = await target.send(engine.transport, credential, encoded, TIMEOUTS, "count")
        body = await response.read(MAX_COUNT_BYTES)
        if response.status != 200:
            raise target.dialect.error(response.status, response.headers, body, engine.clock.now())
        return counter.decode(body)
