"""How many tokens a prompt has: `countTokens`. Source: Gemini API, "countTokens" reference; recorded traffic."""

from urllib.parse import quote

import msgspec

from trunkline.dialects.base import Encoded, Quirks
from trunkline.dialects.google_genai.request import encode
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import UpstreamGarbled
from trunkline.model.request import Request


def path_of(model: str, action: str) -> str:
    """`/models/<model>:<action>`; the model's name may say `models/` itself."""
    return f"/models/{quote(model.removeprefix('models/'), safe='@')}:{action}"


class GeminiCounter:
    """As `dialects.base.Counter`."""

    def path(self, model: str) -> str:
        """As `Counter.path`."""
        return path_of(model, "countTokens")

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Counter.encode`. The whole request counts only where it is given as one, with its model."""
        whole = encode(request, endpoint, quirks)
        fields = msgspec.json.decode(whole.body, type=dict[str, msgspec.Raw])
        asked = {"model": f"models/{endpoint.upstream_model.removeprefix('models/')}", **fields}
        return Encoded(body=msgspec.json.encode({"generateContentRequest": asked}), losses=whole.losses)

    def decode(self, body: bytes) -> int:
        """As `Counter.decode`."""
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise UpstreamGarbled("the provider's count is not JSON") from error
        tokens = found.get("totalTokens") if isinstance(found, dict) else None
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise UpstreamGarbled("the provider's count names no tokens")
        return tokens
