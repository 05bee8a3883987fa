"""`require_parameters`: whether an endpoint takes all of a request. Source: openrouter-semantics §4 (12)."""

from trunkline.dialects.interfaces import Call, Client
from trunkline.dialects.registry import RELAYS
from trunkline.engine.generation import EngineContext
from trunkline.model.endpoint import Endpoint
from trunkline.routing.requirements import unsupported_parameters


def is_expressible(world: EngineContext, client: Client, call: Call, endpoint: Endpoint) -> bool:
    """Whether nothing of *call* is lost on the way to *endpoint*.

    It is written as it would leave, so this is for callers who asked to know.
    """
    request = client.decode(call)
    if unsupported_parameters(request, endpoint.parameters):
        return False
    target = world.targets.of(endpoint, world.providers[endpoint.provider], client.name)
    relay = RELAYS.get((client.name, target.dialect.name)) if world.relay else None
    if relay is not None:
        return not relay.request(call, endpoint, target.quirks).losses
    return not target.dialect.encode(request, endpoint, target.quirks).losses
