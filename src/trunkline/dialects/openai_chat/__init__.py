"""OpenAI's Chat Completions. Other packages import these objects alone."""

from collections.abc import Mapping

from trunkline.dialects.common.openai_errors import error_body, from_response
from trunkline.dialects.common.sse import KEEP_ALIVE, is_stream
from trunkline.dialects.interfaces import (
    Call,
    Client,
    Converter,
    Decoder,
    Encoded,
    Encoder,
    Identity,
    Quirks,
    Relay,
    Upstream,
)
from trunkline.dialects.openai_chat import relay, request_decoder
from trunkline.dialects.openai_chat import request_encoder as requests
from trunkline.dialects.openai_chat.replay import replay
from trunkline.dialects.openai_chat.request_schema import ChatBody
from trunkline.dialects.openai_chat.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.openai_chat.response_encoder import BodyEncoder, StreamEncoder
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import NotFound, TrunklineError
from trunkline.model.request import Request


class ChatClient:
    """Chat as clients speak it: `dialects.interfaces.Client`."""

    name = "chat"
    keep_alive = KEEP_ALIVE
    fields = frozenset(ChatBody.__struct_fields__) | {"prompt_cache_retention"}

    def parse(self, body: bytes) -> Call:
        """As `Client.parse`."""
        return request_decoder.parse(body)

    def decode(self, call: Call) -> Request:
        """As `Client.decode`."""
        return request_decoder.decode(call)

    def encoder(self, call: Call, identity: Identity) -> Encoder:
        """As `Client.encoder`."""
        return StreamEncoder(identity, wants_usage=call.wants_usage) if call.stream else BodyEncoder(identity)

    def error(self, error: TrunklineError, generation_id: str | None) -> bytes:
        """As `Client.error`."""
        return error_body(error, generation_id)

    def replay(self, body: bytes, id_: str, created: int, *, stream: bool) -> bytes:
        """As `Client.replay`."""
        return replay(body, id_, created, stream=stream)

    def counted(self, tokens: int, *, estimated: bool) -> bytes:
        """As `Client.counted`: chat has no such question."""
        raise NotFound("Resource not found")

    def status(self, error: TrunklineError) -> int:
        """As `Client.status`."""
        return error.http_status


class ChatUpstream:
    """Chat as providers speak it: `dialects.interfaces.Upstream`."""

    name = "chat"

    def path(self, model: str, *, stream: bool) -> str:
        """As `Upstream.path`."""
        return "/chat/completions"

    def streamed(self, start: bytes) -> bool | None:
        """As `Upstream.streamed`."""
        return is_stream(start)

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Upstream.encode`."""
        return requests.encode(request, endpoint, quirks)

    def decoder(self, *, sse: bool) -> Decoder:
        """As `Upstream.decoder`."""
        return StreamDecoder() if sse else BodyDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
        """As `Upstream.error`."""
        return from_response(status, headers, body, now)


class ChatRelay:
    """Chat on both sides: `dialects.interfaces.Relay`."""

    def request(self, call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Relay.request`."""
        return requests.relay(call, endpoint, quirks)

    def converter(self, call: Call, identity: Identity, *, sse: bool) -> Converter:
        """As `Relay.converter`."""
        return relay.converter(identity, stream=call.stream, sse=sse, wants_usage=call.wants_usage)


CLIENT: Client = ChatClient()
UPSTREAM: Upstream = ChatUpstream()
RELAY: Relay = ChatRelay()
