"""How much Gemini thinks: a budget in tokens (2.5), or a level (3 and later), within what the model takes.

A budget of -1 leaves it to the model. The two are never said together: that is refused. Gemini 3 still takes a budget.

Sources: Gemini API, "Thinking" (the table of budgets), read 2026-11-26; OpenRouter, "Reasoning tokens".
"""

from typing import Any, TypeAlias

from trunkline.dialects.common.reasoning import RATIOS, budget_for_effort, requested
from trunkline.dialects.common.types import RequestedReasoning
from trunkline.dialects.google_genai.request_messages import NO_WORD
from trunkline.families.efforts import nearest_effort
from trunkline.families.traits import Family
from trunkline.model.loss import Losses
from trunkline.model.request import Reasoning, Request

Json: TypeAlias = dict[str, Any]

ALWAYS = "the model always thinks: it is told to think as little as it can"


def thinking(request: Request, family: Family, losses: Losses) -> Json:
    """The `thinkingConfig` of *request*, empty where nothing is to be said."""
    reasoning = request.reasoning
    if reasoning is None:
        return {}
    for name in ("summary", "context", "mode"):
        if getattr(reasoning, name) is not None and not (name == "summary" and reasoning.summary == "auto"):
            losses.add(f"reasoning.{name}", NO_WORD)
    losses.extra("reasoning", reasoning.extra, NO_WORD)
    want = requested(reasoning)
    if want is None:
        return {}
    if want.off or want.budget == 0:
        if not family.stops_thinking:
            losses.add("reasoning", ALWAYS)
        return _off(family)
    return {"includeThoughts": not _hidden(reasoning), **_how_much(want, request, family, losses)}


def _hidden(reasoning: Reasoning) -> bool:
    return bool(reasoning.exclude) or reasoning.display == "omitted"


def _off(family: Family) -> Json:
    if family.levels:
        return {"thinkingLevel": family.levels[0]}
    return {"thinkingBudget": 0 if family.stops_thinking else family.least_budget}


def _how_much(want: RequestedReasoning, request: Request, family: Family, losses: Losses) -> Json:
    if want.budget is not None and want.budget < 0:
        return {"thinkingBudget": -1}
    if want.budget is not None:
        budget = _within(want.budget, family)
        if budget != want.budget:
            losses.add("reasoning.max_tokens", "more or less than the model may think: the nearest that it may")
        return {"thinkingBudget": budget}
    if want.effort is None:
        return {} if family.levels else {"thinkingBudget": -1}
    if family.levels:
        return {"thinkingLevel": nearest_effort(want.effort, family.levels)}
    budget, most = budget_for_effort(want.effort, request.max_output), request.max_output
    if most is not None and budget >= most:  # thoughts are part of the output, and something must be left to say
        budget = int(most * RATIOS.get(want.effort, RATIOS["medium"]))
    return {"thinkingBudget": _within(budget, family)}


def _within(budget: int, family: Family) -> int:
    return max(min(budget, family.most_budget or budget), family.least_budget) if not family.levels else budget
