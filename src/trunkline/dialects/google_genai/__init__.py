"""Google's generateContent: AI Studio and Vertex. Other packages import these objects alone."""

from collections.abc import Mapping

from trunkline.dialects.common.sse import is_stream
from trunkline.dialects.google_genai import request_encoder as requests
from trunkline.dialects.google_genai.errors import from_response
from trunkline.dialects.google_genai.response_decoder import NAME, BodyDecoder, StreamDecoder
from trunkline.dialects.google_genai.token_count import GeminiCounter, path_of
from trunkline.dialects.interfaces import Counter, Decoder, Encoded, Quirks, Upstream
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import TrunklineError
from trunkline.model.request import Request


class GeminiUpstream:
    """generateContent as Google speaks it: `dialects.interfaces.Upstream`."""

    name = NAME

    def path(self, model: str, *, stream: bool) -> str:
        """As `Upstream.path`."""
        return path_of(model, "streamGenerateContent?alt=sse" if stream else "generateContent")

    def streamed(self, start: bytes) -> bool | None:
        """As `Upstream.streamed`: a list is a body too, of a stream's chunks."""
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


UPSTREAM: Upstream = GeminiUpstream()
COUNTER: Counter = GeminiCounter()
