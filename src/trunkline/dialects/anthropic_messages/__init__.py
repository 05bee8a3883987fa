"""Anthropic's Messages. Other packages import these objects alone."""

from collections.abc import Mapping

from trunkline.dialects.anthropic_messages import errors, relay, request_encoder
from trunkline.dialects.anthropic_messages import request_decoder as requests
from trunkline.dialects.anthropic_messages.replay import replay
from trunkline.dialects.anthropic_messages.request_schema import MessagesBody
from trunkline.dialects.anthropic_messages.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.anthropic_messages.response_encoder import BodyEncoder, StreamEncoder, frame
from trunkline.dialects.anthropic_messages.token_count import MessagesCounter, counted
from trunkline.dialects.anthropic_messages.vocabulary import NAME
from trunkline.dialects.common.sse import is_stream
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
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.request import Request


class MessagesClient:
    """Messages as clients speak it: `dialects.interfaces.Client`."""

    name = NAME
    keep_alive = frame("ping", {})
    fields = frozenset(MessagesBody.__struct_fields__)

    def parse(self, body: bytes) -> Call:
        """As `Client.parse`."""
        return requests.parse(body)

    def decode(self, call: Call) -> Request:
        """As `Client.decode`."""
        return requests.decode(call)

    def encoder(self, call: Call, identity: Identity) -> Encoder:
        """As `Client.encoder`."""
        return StreamEncoder(identity) if call.stream else BodyEncoder(identity)

    def error(self, error: TrunklineError, generation_id: str | None) -> bytes:
        """As `Client.error`."""
        return errors.error_body(error, generation_id)

    def replay(self, body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
        """As `Client.replay`."""
        return replay(body, id_, created, stream=stream)

    def counted(self, tokens: int, *, estimated: bool) -> bytes:
        """As `Client.counted`."""
        return counted(tokens)

    def status(self, error: TrunklineError) -> int:
        """As `Client.status`."""
        return errors.status(error)


class MessagesUpstream:
    """Messages as providers speak it: `dialects.interfaces.Upstream`."""

    name = NAME

    def path(self, model: str, *, stream: bool) -> str:
        """As `Upstream.path`."""
        return "/messages"

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
        return errors.from_response(status, headers, body, now)


class MessagesRelay:
    """Messages on both sides: `dialects.interfaces.Relay`."""

    def request(self, call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Relay.request`."""
        return request_encoder.relay(call, endpoint, quirks)

    def converter(self, call: Call, identity: Identity, *, sse: bool) -> Converter:
        """As `Relay.converter`."""
        return relay.converter(identity, call, sse=sse)


CLIENT: Client = MessagesClient()
UPSTREAM: Upstream = MessagesUpstream()
RELAY: Relay = MessagesRelay()
COUNTER: Counter = MessagesCounter()
