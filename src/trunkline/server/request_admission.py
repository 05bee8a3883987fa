"""Who asks, and whether the request is accepted; the error response where it is not."""

from trunkline.dialects.interfaces import Client
from trunkline.engine.context import RequestHeaders
from trunkline.engine.response_headers import error_headers, id_header
from trunkline.model.errors import InvalidRequest, Overloaded, TrunklineError, stripped
from trunkline.model.key import Key
from trunkline.server.auth import authenticate
from trunkline.server.http.exchange import Exchange
from trunkline.server.http.request_headers import request_headers
from trunkline.server.state import State


async def accepted(state: State, exchange: Exchange) -> tuple[Key, bytes]:
    """Whose request *exchange* is, and its body. Raises what `admitted` raises, and `Exchange.body`."""
    return admitted(state, request_headers(exchange)), await exchange.body()


def admitted(state: State, said: RequestHeaders) -> Key:
    """Whose request it is whose headers *said* this.

    Raises:
        Unauthenticated: nobody's that we know.
        Overloaded: we do not serve now.
        InvalidRequest: the body is compressed.
    """
    if state.draining:
        raise Overloaded("the server is shutting down", retry_after_s=1.0)
    key = authenticate(said.digest, state.keys, state.clock, required=state.auth_required)
    if said.compressed:
        error = InvalidRequest("content-encoding: a compressed body is not taken")
        error.http_status = 415
        raise error
    why = state.unready()
    if why is not None:
        raise Overloaded(why, retry_after_s=5.0)
    return key


def refuse(state: State, client: Client, exchange: Exchange, id_: str, error: TrunklineError) -> None:
    """Answer *exchange* with *error*, which came before anything else did."""
    stripped(error)
    state.metrics.refused(error.kind)
    if exchange.started or exchange.gone:
        exchange.abort()
        return
    headers = id_header(id_) + error_headers(error)
    exchange.respond(client.status(error), client.error(error, None), headers=headers)
