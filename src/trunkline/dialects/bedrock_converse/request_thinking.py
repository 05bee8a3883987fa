"""How a model on Bedrock is told to think: `additionalModelRequestFields`, in the words of its family.

Claude has rules that a request of another dialect may break, and answers 400 then. What the client said of thinking
gives way to its limits and its tools, and its sampling to thinking:

- a budget is at least 1024 tokens and less than the output limit;
- with a budget, no tool may be forced, and the last turn of the model, where it goes on with it or its calls are being
  answered, begins with a signed thought; the thought of another provider's model is none;
- while it thinks, `temperature` and `top_k` are not set, and `topP` is at least 0.95.

Sources: OpenRouter, "Reasoning tokens"; Bedrock user guide, "Extended thinking" and "Adaptive thinking", read
2026-11-26.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from trunkline.dialects.common.reasoning import LEAST_BUDGET, budget_for_effort, effort_for_budget, requested
from trunkline.dialects.common.types import RequestedReasoning
from trunkline.families.efforts import nearest_effort
from trunkline.families.traits import Family
from trunkline.model.loss import Losses
from trunkline.model.request import Reasoning, Request

Json: TypeAlias = dict[str, Any]

NO_WAY = "no way is known to tell this model how to think"
LEAST_TOP_P = 0.95


def fields(request: Request, body: Json, family: Family, losses: Losses) -> Json:
    """The fields of the model's own that say how to think. *body* is the rest of the request, as it leaves."""
    reasoning = request.reasoning
    want = requested(reasoning)
    if reasoning is None:
        return {}
    for name in ("summary", "context", "mode"):
        if getattr(reasoning, name) is not None:
            losses.add(f"reasoning.{name}", "Converse has no word for it")
    losses.extra("reasoning", reasoning.extra, "Converse has no word for it")
    if want is None:
        return {}
    said = WORDS[family.thinking](want, reasoning, request, family, losses)
    if family.claude and said:
        said = _allowed(said, body, losses)
    elif reasoning.display is not None:
        losses.add("reasoning.display", "the model has no word for it")
    if family.claude and said:
        _sampling(body, losses)
    return said


def verbosity(request: Request, said: Json, family: Family, losses: Losses) -> Json:
    """The fields of the model's own that say how much to write: an effort, where *said* has none yet."""
    if request.verbosity is None:
        return {}
    if family.thinking != "adaptive":
        losses.add("verbosity", "the model has no word for it")
        return {}
    if "output_config" in said:
        return {}
    return {"output_config": {"effort": nearest_effort(request.verbosity, family.efforts)}}


def _effort(want: RequestedReasoning, request: Request, family: Family, losses: Losses) -> str | None:
    """The effort to ask for; None where the model is to decide."""
    effort = want.effort
    if effort is None:
        if want.budget is None:
            return None
        losses.add("reasoning.max_tokens", "the model takes an effort, not a budget: the nearest one is sent")
        effort = effort_for_budget(want.budget, request.max_output)
    return nearest_effort(effort, family.efforts)


def _adaptive(want: RequestedReasoning, reasoning: Reasoning, request: Request, family: Family, losses: Losses) -> Json:
    if want.off:
        return {}  # some cannot be told not to; none thinks without being told to
    display = reasoning.display or ("summarized" if family.hides_thinking else None)
    said: Json = {"thinking": {"type": "adaptive", **({} if display is None else {"display": display})}}
    effort = _effort(want, request, family, losses)
    if effort is not None:
        said["output_config"] = {"effort": effort}
    return said


def _budget(want: RequestedReasoning, reasoning: Reasoning, request: Request, family: Family, losses: Losses) -> Json:
    if want.off:
        return {}
    if want.budget is None and want.effort is None:
        losses.add("reasoning.adaptive", "the model takes a budget")
    limit = request.max_output
    budget = want.budget or budget_for_effort(want.effort or "medium", limit)
    if budget < LEAST_BUDGET or (limit is not None and budget >= limit):
        budget = max(LEAST_BUDGET, min(budget, (limit or budget + 1) - 1))
    if limit is not None and budget >= limit:
        losses.add("reasoning", "the output limit leaves no room to think")
        return {}
    said: Json = {"type": "enabled", "budget_tokens": budget}
    if reasoning.display is not None:
        said["display"] = reasoning.display
    return {"thinking": said}


def _nova(want: RequestedReasoning, reasoning: Reasoning, request: Request, family: Family, losses: Losses) -> Json:
    if want.off:
        return {"reasoningConfig": {"type": "disabled"}}
    effort = _effort(want, request, family, losses) or "medium"
    sampling = request.sampling
    if effort == "high" and (request.max_output, sampling.temperature, sampling.top_p) != (None, None, None):
        losses.add("reasoning.effort", "the highest effort takes neither an output limit nor sampling")
        effort = "medium"
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": effort}}


def _flat(name: str) -> "Words":
    def said(want: RequestedReasoning, reasoning: Reasoning, request: Request, family: Family, losses: Losses) -> Json:
        if want.off:
            losses.add("reasoning.effort", "the model always thinks: it does so the least")
            return {name: family.efforts[0]}
        effort = _effort(want, request, family, losses)
        return {} if effort is None else {name: effort}

    return said


def _nested(want: RequestedReasoning, reasoning: Reasoning, request: Request, family: Family, losses: Losses) -> Json:
    effort = "none" if want.off else _effort(want, request, family, losses)
    return {} if effort is None else {"reasoning": {"effort": effort}}


def _none(want: RequestedReasoning, reasoning: Reasoning, request: Request, family: Family, losses: Losses) -> Json:
    if not want.off:
        losses.add("reasoning", NO_WAY)
    return {}


Words: TypeAlias = Callable[[RequestedReasoning, Reasoning, Request, Family, Losses], Json]

WORDS: dict[str, Words] = {
    "adaptive": _adaptive,
    "budget": _budget,
    "nova": _nova,
    "reasoning_effort": _flat("reasoning_effort"),
    "reasoning": _nested,
    "reasoning_config": _flat("reasoning_config"),
    "none": _none,
}
"""`Family.thinking` → what says it."""


def _allowed(said: Json, body: Json, losses: Losses) -> Json:
    """*said*, or nothing where Claude would answer 400 to it."""
    choice = body.get("toolConfig", {}).get("toolChoice", {})
    if "any" in choice or "tool" in choice:
        losses.add("reasoning", "the model does not think where a tool is forced")
        return {}
    if said["thinking"]["type"] == "enabled" and _thoughtless(body["messages"]):
        losses.add("reasoning", "the turn that is being gone on with came without a thought that the model has signed")
        return {}
    return said


def _thoughtless(messages: list[Json]) -> bool:
    """Whether the model's last turn, which it is to go on with or whose calls are answered, begins with no thought."""
    turn = messages[-1]
    if turn["role"] == "user":
        if len(messages) < 2 or not any("toolResult" in block for block in turn["content"]):
            return False
        turn = messages[-2]
    return "reasoningContent" not in turn["content"][0]


def _sampling(body: Json, losses: Losses) -> None:
    config = body.get("inferenceConfig", {})
    if config.get("temperature") not in (None, 1):
        losses.add("temperature", "it is not set while the model thinks")
        del config["temperature"]
    if config.get("topP") is not None and config["topP"] < LEAST_TOP_P:
        losses.add("top_p", "it is not set that low while the model thinks")
        del config["topP"]
    more = body.get("additionalModelRequestFields", {})
    if more.pop("top_k", None) is not None:
        losses.add("top_k", "it is not set while the model thinks")
