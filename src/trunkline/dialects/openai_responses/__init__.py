"""OpenAI's Responses. Other packages import these objects alone."""

from collections.abc import Mapping

from trunkline.dialects.common.openai_errors import error_body, from_response
from trunkline.dialects.common.sse import KEEP_ALIVE, is_stream
from trunkline.dialects.interfaces import (
    Call,
    Client,
    Converter,
    Counter,
    Decoder,
    Encoded,
    Encoder,
    Identity,
    Quirks,
    Relay,
    Upstream,
)
from trunkline.dialects.openai_responses import relay, request_encoder
from trunkline.dialects.openai_responses import request_decoder as requests
from trunkline.dialects.openai_responses.replay import replay
from trunkline.dialects.openai_responses.request_schema import ResponsesBody
from trunkline.dialects.openai_responses.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.openai_responses.response_encoder import BodyEncoder, StreamEncoder
from trunkline.dialects.openai_responses.token_count import ResponsesCounter, counted
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.request import Request


class ResponsesClient:
    """Responses as clients speak it: `dialects.interfaces.Client`."""

    name = "responses"
    keep_alive = KEEP_ALIVE
    fields = frozenset(ResponsesBody.__struct_fields__) | {"prompt_cache_retention"}

    def parse(self, body: bytes) -> Call:
        """As `Client.parse`."""
        return requests.parse(body)

    def decode(self, call: Call) -> Request:
        """As `Client.decode`."""
        return requests.decode(call)

    def encoder(self, call: Call, identity: Identity) -> Encoder:
        """As `Client.encoder`."""
        return StreamEncoder(identity, call.envelope) if call.stream else BodyEncoder(identity, call.envelope)

    def error(self, error: TrunklineError, generation_id: str | None) -> bytes:
        """As `Client.error`: before there is a response its errors are chat's."""
        return error_body(error, generation_id)

    def replay(self, body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
        """As `Client.replay`."""
        return replay(body, id_, created, stream=stream)

    def counted(self, tokens: int, *, estimated: bool) -> bytes:
        """As `Client.counted`."""
        return counted(tokens)

    def status(self, error: TrunklineError) -> int:
        """As `Client.status`."""
        return error.http_status


class ResponsesUpstream:
    """Responses as providers speak it: `dialects.interfaces.Upstream`."""

    name = "responses"

    def path(self, model: str, *, stream: bool) -> str:
        """As `Upstream.path`."""
        return "/responses"

    def streamed(self, start: bytes) -> bool | None:
        """As `Upstream.streamed`."""
        return is_stream(start)

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Upstream.encode`."""
        return request_encoder.encode(request, endpoint, quirks)

    def decoder(self, *, sse: bool) -> Decoder:
        """As `Upstream.decoder`."""
        return StreamDecoder() if sse else BodyDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
        """As `Upstream.error`."""
        return from_response(status, headers, body, now)


class ResponsesRelay:
    """Responses on both sides: `dialects.interfaces.Relay`."""

    def request(self, call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Relay.request`."""
        return request_encoder.relay(call, endpoint, quirks)

    def converter(self, call: Call, identity: Identity, *, sse: bool) -> Converter:
        """As `Relay.converter`."""
        return relay.converter(identity, call, sse=sse)


CLIENT: Client = ResponsesClient()
UPSTREAM: Upstream = ResponsesUpstream()
RELAY: Relay = ResponsesRelay()
COUNTER: Counter = ResponsesCounter()
