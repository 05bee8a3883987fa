"""Which dialects there are, by the names the configuration uses."""

from trunkline.dialects.base import Client, Counter, Relay, Upstream
from trunkline.dialects.bedrock_converse.dialect import ConverseUpstream
from trunkline.dialects.openai_chat.dialect import ChatClient, ChatRelay, ChatUpstream
from trunkline.dialects.openai_responses.count import ResponsesCounter
from trunkline.dialects.openai_responses.dialect import ResponsesClient, ResponsesRelay, ResponsesUpstream

CLIENTS: dict[str, Client] = {"chat": ChatClient(), "responses": ResponsesClient()}
UPSTREAMS: dict[str, Upstream] = {
    "converse": ConverseUpstream(),
    "chat": ChatUpstream(),
    "responses": ResponsesUpstream(),
}
RELAYS: dict[tuple[str, str], Relay] = {("chat", "chat"): ChatRelay(), ("responses", "responses"): ResponsesRelay()}
"""(client's dialect, upstream's dialect) → the way past translation, where there is one."""
COUNTERS: dict[str, Counter] = {"responses": ResponsesCounter()}
"""An upstream's dialect → how it counts tokens, where it does."""
