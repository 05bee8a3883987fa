"""Reasoning across dialects: how much is asked for, and how signed thoughts travel through dialects not their own.

A thought that a provider signed or encrypted must come back to it byte for byte, also when the client in between speaks
a dialect that knows no such thing, or whose official SDK drops fields it does not know. What every dialect does have is
one opaque string (Anthropic's `signature` and `data`, OpenAI's `encrypted_content`). So a foreign thought is put into
that string together with whose it is and the id of its item: `<format>:<id>:<data>`. Neither formats nor ids hold a
colon, and base64 does not, so nothing else looks like it.

Source: openrouter-semantics §13.
"""

from typing import Literal

from trunkline.dialects.common.types import RequestedReasoning
from trunkline.model.request import Reasoning

Effort = Literal["max", "xhigh", "high", "medium", "low", "minimal", "none"]
ANTHROPIC = "anthropic-claude-v1"
GEMINI = "google-gemini-v1"
OPENAI = "openai-responses-v1"
FORMATS = frozenset(
    {ANTHROPIC, GEMINI, OPENAI, "azure-openai-responses-v1", "bedrock-openai-responses-v1",
     "bedrock-xai-responses-v1", "xai-responses-v1", "meta-responses-v1", "unknown"}
)  # fmt: skip

RATIOS: dict[str, float] = {"max": 0.95, "xhigh": 0.95, "high": 0.8, "medium": 0.5, "low": 0.2, "minimal": 0.1}
"""Effort → share of the output limit that may be thought."""
LEAST_BUDGET = 1024
MOST_BUDGET = 128_000
USUAL_OUTPUT = 16_384
"""Stands for an output limit that nobody gave."""


def requested(reasoning: Reasoning | None) -> RequestedReasoning | None:
    """What *reasoning* asks for; None where it leaves it to the provider.

    Enabled alone is the effort medium. Who disables it does not pay for thoughts, whatever effort stands beside it:
    in Messages that one is about the answer too.
    """
    if reasoning is None:
        return None
    if reasoning.effort == "none" or reasoning.enabled is False:
        return RequestedReasoning(off=True)
    if reasoning.effort is None and reasoning.max_tokens is None:
        if reasoning.adaptive:
            return RequestedReasoning()
        return RequestedReasoning(effort="medium") if reasoning.enabled else None
    return RequestedReasoning(effort=reasoning.effort, budget=reasoning.max_tokens)


def budget_for_effort(effort: str, max_output: int | None) -> int:
    """Tokens of thinking for *effort*, where a provider takes a budget only; it is less than *max_output* may be."""
    share = int((max_output or USUAL_OUTPUT) * RATIOS.get(effort, RATIOS["medium"]))
    return max(min(share, MOST_BUDGET), LEAST_BUDGET)


def effort_for_budget(budget: int, max_output: int | None) -> str:
    """The effort whose budget is nearest to *budget*, where a provider takes an effort only."""
    share = budget / (max_output or USUAL_OUTPUT)
    return min(("xhigh", "high", "medium", "low", "minimal"), key=lambda effort: abs(RATIOS[effort] - share))


def pack(format_: str | None, id_: str | None, data: str) -> str:
    """*data*, of the item *id_* in *format_*, as one opaque string that `unpack` takes apart."""
    return f"{format_ or 'unknown'}:{id_ or ''}:{data}"


def unpack(text: str) -> tuple[str, str | None, str] | None:
    """Format, item id (None for none) and data of what `pack` made; None for any other string."""
    format_, mark, rest = text.partition(":")
    if not mark or format_ not in FORMATS:
        return None
    id_, mark, data = rest.partition(":")
    return (format_, id_ or None, data) if mark else None
