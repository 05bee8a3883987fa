"""Which dialects there are, by the names the configuration uses."""

from trunkline.dialects.anthropic_messages.dialect import MessagesClient, MessagesRelay, MessagesUpstream
from trunkline.dialects.anthropic_messages.token_count import MessagesCounter
from trunkline.dialects.bedrock_converse.dialect import ConverseUpstream
from trunkline.dialects.google_genai.dialect import GeminiUpstream
from trunkline.dialects.google_genai.token_count import GeminiCounter
from trunkline.dialects.interfaces import Client, Counter, Relay, Upstream
from trunkline.dialects.openai_chat.dialect import ChatClient, ChatRelay, ChatUpstream
from trunkline.dialects.openai_responses.dialect import ResponsesClient, ResponsesRelay, ResponsesUpstream
from trunkline.dialects.openai_responses.token_count import ResponsesCounter

CLIENTS: dict[str, Client] = {"chat": ChatClient(), "messages": MessagesClient(), "responses": ResponsesClient()}
UPSTREAMS: dict[str, Upstream] = {
    "converse": ConverseUpstream(),
    "chat": ChatUpstream(),
    "messages": MessagesUpstream(),
    "responses": ResponsesUpstream(),
    "gemini": GeminiUpstream(),
}
RELAYS: dict[tuple[str, str], Relay] = {
    ("chat", "chat"): ChatRelay(),
    ("messages", "messages"): MessagesRelay(),
    ("responses", "responses"): ResponsesRelay(),
}
"""(client's dialect, upstream's dialect) → the way past translation, where there is one."""
COUNTERS: dict[str, Counter] = {
    "messages": MessagesCounter(),
    "responses": ResponsesCounter(),
    "gemini": GeminiCounter(),
}
"""An upstream's dialect → how it counts tokens, where it does."""
