"""Which dialects there are, by the names the configuration uses."""

from trunkline.dialects.base import Client, Counter, Relay, Upstream
from trunkline.dialects.openai_chat.dialect import ChatClient, ChatRelay, ChatUpstream

CLIENTS: dict[str, Client] = {"chat": ChatClient()}
UPSTREAMS: dict[str, Upstream] = {"chat": ChatUpstream()}
RELAYS: dict[tuple[str, str], Relay] = {("chat", "chat"): ChatRelay()}
"""(client's dialect, upstream's dialect) → the way past translation, where there is one."""
COUNTERS: dict[str, Counter] = {}
"""An upstream's dialect → how it counts tokens, where it does."""
