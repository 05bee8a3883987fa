"""How OpenAI counts a prompt: `POST /responses/input_tokens`. Source: OpenAI's API reference, read 2026-11-20."""

import msgspec

from trunkline.dialects.common.lenient_json import decode_object
from trunkline.dialects.interfaces import Encoded, Quirks
from trunkline.dialects.openai_responses.request_encoder import encode
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import UpstreamGarbled
from trunkline.model.request import Request

FIELDS = frozenset(
    {"conversation", "input", "instructions", "model", "parallel_tool_calls", "previous_response_id", "reasoning",
     "text", "tool_choice", "tools", "truncation"}
)  # fmt: skip
"""What the question takes, of what a call says."""


def counted(tokens: int) -> bytes:
    """The answer to a client that asks."""
    return msgspec.json.encode({"object": "response.input_tokens", "input_tokens": tokens})


class ResponsesCounter:
    """As `dialects.interfaces.Counter`."""

    def path(self, model: str) -> str:
        """As `Counter.path`."""
        return "/responses/input_tokens"

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Counter.encode`."""
        whole = encode(request, endpoint, quirks)
        fields = msgspec.json.decode(whole.body, type=dict[str, msgspec.Raw])
        asked = {key: fields[key] for key in fields if key in FIELDS}
        return Encoded(body=msgspec.json.encode(asked), losses=whole.losses)

    def decode(self, body: bytes) -> int:
        """As `Counter.decode`."""
        tokens = decode_object(body, last=False).get("input_tokens")
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise UpstreamGarbled("the provider's count of tokens names none")
        return tokens
