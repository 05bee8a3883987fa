"""How many tokens a prompt has: `countTokens`.

AI Studio counts the whole request where it is given as one, with its model; Vertex takes some of its fields.

Sources: Gemini API, "countTokens" reference; Vertex AI reference, "publishers.models.countTokens", read 2026-11-26.
"""

from urllib.parse import quote

import msgspec

from trunkline.dialects.google_genai.request_encoder import encode
from trunkline.dialects.interfaces import Encoded, Quirks
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import UpstreamGarbled
from trunkline.model.request import Request

FIELDS = ("contents", "systemInstruction", "tools", "generationConfig")
"""What Vertex counts of a request."""
TUNED = "tunedModels/"


def path_of(model: str, action: str) -> str:
    """`/models/<model>:<action>`; the model's name may say `models/` itself, or be that of a tuned one."""
    if model.startswith(TUNED):
        return f"/{TUNED}{quote(model.removeprefix(TUNED), safe='@')}:{action}"
    return f"/models/{quote(model.removeprefix('models/'), safe='@')}:{action}"


class GeminiCounter:
    """As `dialects.interfaces.Counter`."""

    def path(self, model: str) -> str:
        """As `Counter.path`."""
        return path_of(model, "countTokens")

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Counter.encode`."""
        whole = encode(request, endpoint, quirks)
        fields = msgspec.json.decode(whole.body, type=dict[str, msgspec.Raw])
        if quirks.vertex:
            told = {key: fields[key] for key in FIELDS if key in fields}
            return Encoded(body=msgspec.json.encode(told), losses=whole.losses)
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
