"""OpenAI's Responses. Other packages import these objects alone."""

from trunkline.dialects.interfaces import Client, Counter, Relay, Upstream
from trunkline.dialects.openai_responses.dialect import ResponsesClient, ResponsesRelay, ResponsesUpstream
from trunkline.dialects.openai_responses.token_count import ResponsesCounter

CLIENT: Client = ResponsesClient()
UPSTREAM: Upstream = ResponsesUpstream()
RELAY: Relay = ResponsesRelay()
COUNTER: Counter = ResponsesCounter()
