"""OpenAI's Chat Completions. Other packages import these objects alone."""

from trunkline.dialects.interfaces import Client, Relay, Upstream
from trunkline.dialects.openai_chat.dialect import ChatClient, ChatRelay, ChatUpstream

CLIENT: Client = ChatClient()
UPSTREAM: Upstream = ChatUpstream()
RELAY: Relay = ChatRelay()
