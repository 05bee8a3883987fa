"""The dialects, by the names that the configuration uses."""

from trunkline.dialects import anthropic_messages, bedrock_converse, google_genai, openai_chat, openai_responses
from trunkline.dialects.interfaces import Client, Counter, Relay, Upstream

CLIENTS: dict[str, Client] = {
    "chat": openai_chat.CLIENT,
    "messages": anthropic_messages.CLIENT,
    "responses": openai_responses.CLIENT,
}
UPSTREAMS: dict[str, Upstream] = {
    "chat": openai_chat.UPSTREAM,
    "messages": anthropic_messages.UPSTREAM,
    "responses": openai_responses.UPSTREAM,
    "gemini": google_genai.UPSTREAM,
    "converse": bedrock_converse.UPSTREAM,
}
RELAYS: dict[tuple[str, str], Relay] = {
    ("chat", "chat"): openai_chat.RELAY,
    ("messages", "messages"): anthropic_messages.RELAY,
    ("responses", "responses"): openai_responses.RELAY,
}
"""(client dialect, upstream dialect) → the relay that passes bytes without translation, where there is one."""
COUNTERS: dict[str, Counter] = {
    "messages": anthropic_messages.COUNTER,
    "responses": openai_responses.COUNTER,
    "gemini": google_genai.COUNTER,
}
"""Upstream dialect → how its providers count tokens, where they do."""
