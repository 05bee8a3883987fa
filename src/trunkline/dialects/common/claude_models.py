"""What the models on Bedrock take beyond what Converse says for all of them: one table, by the model's id.

Sources: Bedrock user guide, "Adaptive thinking", "Extended thinking", "Prompt caching", "Use a tool to complete a model
response", "Get validated JSON results", "Anthropic Claude Messages API" and "Amazon Nova" (request schema, reasoning),
API reference "SpecificToolChoice" and "ToolResultBlock"; for other models' efforts langchain-aws #1188 and #1266 and
rust-genai #315, which tried them; all read 2026-11-26.
"""

import re
from typing import Literal

from msgspec import Struct

from trunkline.model.endpoint import Endpoint

Thinking = Literal["adaptive", "budget", "nova", "reasoning_effort", "reasoning", "reasoning_config", "none"]
"""How a model is told to think, in `additionalModelRequestFields`:

    adaptive            thinking: {type: adaptive}, output_config: {effort}
    budget              thinking: {type: enabled, budget_tokens}
    nova                reasoningConfig: {type: enabled | disabled, maxReasoningEffort}
    reasoning_effort    reasoning_effort: low …
    reasoning           reasoning: {effort: none … max}
    reasoning_config    reasoning_config: low …
    none                no way is known
"""

LOW_TO_HIGH = ("low", "medium", "high")
LOW_TO_MAX = ("low", "medium", "high", "xhigh", "max")


class Family(Struct, frozen=True, kw_only=True):
    """What the models of one family take. `cache`: where they take cache marks; `efforts`: from least to most."""

    ids: str
    claude: bool = False
    thinking: Thinking = "none"
    efforts: tuple[str, ...] = LOW_TO_HIGH
    shows: bool = False
    """Does not show its thoughts unless it is told to."""
    top_k: Literal["top_k", "topK"] | None = None
    """`topK` stands in an `inferenceConfig` of its own (Nova)."""
    cache: frozenset[str] = frozenset()
    one_tool: bool = False
    """Can be told which tool to use."""
    one_sampler: bool = False
    """Takes a temperature or `topP`, not both."""
    no_sampler: bool = False
    """Takes neither them nor `top_k` (Anthropic, "What's new in Claude Opus 4.7")."""
    structured: bool = False
    """Takes a schema for its answer."""
    runs: tuple[tuple[str, str], ...] = ()
    """Tools that Bedrock runs for it: the beginning of what other dialects call one → its name here."""


_MARKS = frozenset({"tools", "system", "messages"})

FAMILIES = (
    Family(
        ids=r"claude-(?:opus|sonnet)-4[.-]6", claude=True, thinking="adaptive", efforts=(*LOW_TO_HIGH, "max"),
        top_k="top_k", cache=_MARKS, one_tool=True, one_sampler=True, structured=True,
    ),
    Family(
        ids=r"claude-(?:(?:opus|sonnet|haiku)-(?:4[.-][7-9]|[5-9])|mythos|fable)", claude=True, thinking="adaptive",
        efforts=LOW_TO_MAX, shows=True, top_k="top_k", cache=_MARKS, one_tool=True, one_sampler=True, no_sampler=True,
        structured=True,
    ),
    Family(
        ids=r"claude-(?:opus|sonnet|haiku)-4[.-]5", claude=True, thinking="budget", top_k="top_k", cache=_MARKS,
        one_tool=True, one_sampler=True, structured=True,
    ),
    Family(
        ids=r"claude-opus-4[.-]1", claude=True, thinking="budget", top_k="top_k", cache=_MARKS, one_tool=True,
        one_sampler=True,
    ),
    Family(ids=r"claude", claude=True, thinking="budget", top_k="top_k", cache=_MARKS, one_tool=True),
    Family(
        ids=r"nova-2", thinking="nova", top_k="topK", cache=frozenset({"system", "messages"}), one_tool=True,
        runs=(("web_search", "nova_grounding"), ("openrouter:web_search", "nova_grounding"),
              ("google_search", "nova_grounding"), ("code_execution", "nova_code_interpreter"),
              ("code_interpreter", "nova_code_interpreter")),
    ),
    Family(ids=r"amazon[./]nova", top_k="topK", cache=frozenset({"system", "messages"}), one_tool=True),
    Family(ids=r"gpt-oss", thinking="reasoning_effort", structured=True),
    Family(ids=r"openai[./]", thinking="reasoning", efforts=("none", *LOW_TO_MAX), structured=True),
    Family(ids=r"kimi", thinking="reasoning_effort", structured=True),
    Family(ids=r"qwen", thinking="reasoning_config", structured=True),
    Family(ids=r"mistral", top_k="top_k", structured=True),
    Family(ids=r"deepseek[./](?:deepseek-)?v|minimax|zai|z-ai|glm|nemotron|gemma", structured=True),
)  # fmt: skip
"""The first whose `ids` is found in a model's id counts."""
OTHERS = Family(ids="")

_READERS = tuple((re.compile(family.ids), family) for family in FAMILIES)

BETAS = frozenset(
    {"computer-use-2024-10-22", "computer-use-2025-01-24", "computer-use-2025-11-24", "context-1m-2025-08-07",
     "context-management-2025-06-27", "dev-full-thinking-2025-05-14", "effort-2025-11-24",
     "fine-grained-tool-streaming-2025-05-14", "interleaved-thinking-2025-05-14", "output-128k-2025-02-19",
     "token-efficient-tools-2025-02-19", "tool-examples-2025-10-29", "tool-search-tool-2025-10-19"}
)  # fmt: skip
"""Values of `anthropic_beta` that Bedrock takes; it answers 400 to others."""


def family(endpoint: Endpoint) -> Family:
    """The family of the model at *endpoint*. Where its id there is an ARN that names no model, our own name does."""
    for said in (endpoint.upstream_model, endpoint.model):
        for reader, found in _READERS:
            if reader.search(said.lower()) is not None:
                return found
    return OTHERS


def nearest(effort: str, efforts: tuple[str, ...]) -> str:
    """The one of *efforts* that *effort* comes nearest to, the higher one of two."""
    if effort in efforts:
        return effort
    order = ("none", "minimal", *LOW_TO_MAX)
    at = order.index(effort) if effort in order else order.index("medium")
    # Nobody who asks for thoughts gets none.
    usable = [one for one in efforts if one != "none"]
    return min(usable, key=lambda one: (abs(order.index(one) - at), -order.index(one)))
