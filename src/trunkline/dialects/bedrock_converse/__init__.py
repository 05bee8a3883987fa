"""Amazon Bedrock's Converse. Other packages import these objects alone."""

from collections.abc import Mapping
from urllib.parse import quote

from trunkline.dialects.bedrock_converse import request_encoder as requests
from trunkline.dialects.bedrock_converse.errors import from_response
from trunkline.dialects.bedrock_converse.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.bedrock_converse.response_event_stream import FRAMED
from trunkline.dialects.common.sse import is_stream
from trunkline.dialects.interfaces import Decoder, Encoded, Quirks, Upstream
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.request import Request


class ConverseUpstream:
    """Converse as Bedrock speaks it: `dialects.interfaces.Upstream`."""

    name = "converse"

    def path(self, model: str, *, stream: bool) -> str:
        """As `Upstream.path`. A model may be an ARN, whose colons and slashes are quoted."""
        return f"/model/{quote(model, safe='')}/{'converse-stream' if stream else 'converse'}"

    def streamed(self, start: bytes) -> bool | None:
        """As `Upstream.streamed`."""
        return True if start[:1] in FRAMED else is_stream(start)

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Upstream.encode`."""
        return requests.encode(request, endpoint, quirks)

    def decoder(self, *, sse: bool) -> Decoder:
        """As `Upstream.decoder`."""
        return StreamDecoder() if sse else BodyDecoder()

    def error(self, status: int, headers: Mapping[str, str], body: bytes, now: float) -> TrunklineError:
        """As `Upstream.error`."""
        return from_response(status, headers, body, now)


UPSTREAM: Upstream = ConverseUpstream()
