"""Google's generateContent: AI Studio and Vertex. Other packages import these objects alone."""

from trunkline.dialects.google_genai.dialect import GeminiUpstream
from trunkline.dialects.google_genai.token_count import GeminiCounter
from trunkline.dialects.interfaces import Counter, Upstream

UPSTREAM: Upstream = GeminiUpstream()
COUNTER: Counter = GeminiCounter()
