"""Anthropic's Messages. Other packages import these objects alone."""

from trunkline.dialects.anthropic_messages.dialect import MessagesClient, MessagesRelay, MessagesUpstream
from trunkline.dialects.anthropic_messages.token_count import MessagesCounter
from trunkline.dialects.interfaces import Client, Counter, Relay, Upstream

CLIENT: Client = MessagesClient()
UPSTREAM: Upstream = MessagesUpstream()
RELAY: Relay = MessagesRelay()
COUNTER: Counter = MessagesCounter()
