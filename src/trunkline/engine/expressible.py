"""`require_parameters`: whether an endpoint takes all of a request.

Source: OpenRouter, "Provider routing" (requiring parameters).
"""

from trunkline.dialects.interfaces import Call, Client
from trunkline.engine.context import EngineContext
from trunkline.model.endpoint import Endpoint
from trunkline.routing.requirements import unsupported_parameters


def is_expressible(engine: EngineContext, client: Client, call: Call, endpoint: Endpoint) -> bool:
    """Whether nothing of *call* is lost on the way to *endpoint*.

    The request is encoded as it would be sent, so this is for callers who asked to know.
    """
    request = call.request or client.decode(call)
    if unsupported_parameters(request, endpoint.parameters):
        return False
    target = engine.targets.of(endpoint, engine.providers[endpoint.provider], client.name)
    relay = engine.relays.get((client.name, target.dialect.name))
    if relay is not None and call.request is None:
        return not relay.request(call, endpoint, target.quirks).losses
    return not target.dialect.encode(request, endpoint, target.quirks).losses
