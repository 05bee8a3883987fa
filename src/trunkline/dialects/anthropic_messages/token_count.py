"""How many tokens a prompt has. Source: Anthropic's API reference, "Count Message tokens", read 2026-11-26."""

from typing import Any

import msgspec

from trunkline.dialects.anthropic_messages.request_betas import header
from trunkline.dialects.anthropic_messages.request_encoder import STRUCTURED, to_wire
from trunkline.dialects.interfaces import Encoded, Quirks
from trunkline.model.endpoint import Endpoint
from trunkline.model.errors import UpstreamGarbled
from trunkline.model.loss import Losses
from trunkline.model.request import Request

TAKEN = frozenset(
    {"model", "messages", "system", "tools", "tool_choice", "thinking", "cache_control", "context_management",
     "mcp_servers", "output_config"}
)  # fmt: skip
"""What of a request counts; it answers 400 to the rest."""


class MessagesCounter:
    """Anthropic's `count_tokens`: `dialects.interfaces.Counter`."""

    def path(self, model: str) -> str:
        """As `Counter.path`."""
        return "/messages/count_tokens"

    def encode(self, request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
        """As `Counter.encode`."""
        losses = Losses()
        whole = to_wire(request, endpoint, quirks, losses)
        body: dict[str, Any] = {key: said for key, said in whole.items() if key in TAKEN}
        body["model"] = endpoint.upstream_model
        betas = request.betas if STRUCTURED in request.betas else (*request.betas, STRUCTURED)
        asked = msgspec.json.encode(body)
        return Encoded(body=asked, losses=losses.found(), headers=header(asked, betas, endpoint))

    def decode(self, body: bytes) -> int:
        """As `Counter.decode`."""
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError, ValueError) as error:
            raise UpstreamGarbled("the provider's count is not JSON") from error
        tokens = found.get("input_tokens") if isinstance(found, dict) else None
        if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 0:
            raise UpstreamGarbled("the provider's count names no tokens")
        return tokens


def counted(tokens: int) -> bytes:
    """What a client of this dialect is told."""
    return msgspec.json.encode({"input_tokens": tokens})
