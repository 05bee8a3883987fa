"""Reasoning across dialects: efforts and budgets, and signed reasoning in dialects other than its own.

Reasoning that a provider signed or encrypted must come back to it byte for byte, even if the client speaks a dialect
without such a field, or uses an SDK that drops unknown fields. Every dialect has one opaque string for it (Anthropic's
`signature` and `data`, OpenAI's `encrypted_content`). Reasoning of another dialect is packed into that string with its
format and the id of its item: `<format>:<id>:<data>`. Formats, ids and base64 contain no colon, so a packed string
cannot be confused with an original one.

Source: OpenRouter, "Reasoning tokens".
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
"""Effort → share of the output limit that is used as the thinking budget."""
LEAST_BUDGET = 1024
MOST_BUDGET = 128_000
USUAL_OUTPUT = 16_384
"""Output limit to calculate with where the request has none."""


def requested(reasoning: Reasoning | None) -> RequestedReasoning | None:
    """Normalize *reasoning*; return None where the request leaves reasoning to the provider.

    `enabled` alone means the effort medium. Disabled reasoning stays off whatever the effort is: in Messages the effort
    also controls the length of the answer.
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
    """Return the thinking budget in tokens for *effort*, for providers that accept a budget only.

    It is a share of *max_output*, between `LEAST_BUDGET` and `MOST_BUDGET`.
    """
    share = int((max_output or USUAL_OUTPUT) * RATIOS.get(effort, RATIOS["medium"]))
    return max(min(share, MOST_BUDGET), LEAST_BUDGET)


def effort_for_budget(budget: int, max_output: int | None) -> str:
    """Return the effort whose budget is nearest to *budget*, for providers that accept an effort only."""
    share = budget / (max_output or USUAL_OUTPUT)
    return min(("xhigh", "high", "medium", "low", "minimal"), key=lambda effort: abs(RATIOS[effort] - share))


def pack(format_: str | None, id_: str | None, data: str) -> str:
    """Pack *data* of the item *id_* in *format_* into one opaque string."""
    return f"{format_ or 'unknown'}:{id_ or ''}:{data}"


def unpack(text: str) -> tuple[str, str | None, str] | None:
    """Return format, item id and data of a string that `pack` made; None for any other string."""
    format_, mark, rest = text.partition(":")
    if not mark or format_ not in FORMATS:
        return None
    id_, mark, data = rest.partition(":")
    return (format_, id_ or None, data) if mark else None
