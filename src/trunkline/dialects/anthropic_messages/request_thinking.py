"""How a model is told to think, in Messages' words.

Claude has rules that a request of another dialect may break, and answers 400 then. What the client said of thinking
gives way to its limits and its tools, and its sampling to thinking:

- a budget is at least 1024 tokens and less than the output limit;
- with a budget, no tool may be forced, and the last turn of the model, where its calls are being answered, begins with
  a signed thought;
- while it thinks, `temperature` and `top_k` are not set, and `top_p` is at least 0.95.

Which models take an effort and which a budget: `families.claude`. Source: OpenRouter, "Parameters" and "Reasoning
tokens";
Anthropic's guide, "Extended thinking", read 2026-11-26.
"""

from typing import Any, TypeAlias

from trunkline.dialects.anthropic_messages.vocabulary import NAME
from trunkline.dialects.common.reasoning import LEAST_BUDGET, budget_for_effort, effort_for_budget, requested
from trunkline.dialects.common.types import RequestedReasoning
from trunkline.families.efforts import nearest_effort
from trunkline.families.traits import Family
from trunkline.model.loss import Losses
from trunkline.model.request import Reasoning, Request

Json: TypeAlias = dict[str, Any]

LEAST_TOP_P = 0.95
ROOM = 4096
"""Tokens of an answer beside the thinking, where the client set no limit."""


def put(body: Json, request: Request, family: Family, losses: Losses) -> None:
    """Put what *request* says of thinking into *body*, the rest of the request as it leaves."""
    reasoning = request.reasoning
    if request.dialect == NAME:
        if reasoning is not None:
            _as_it_came(body, reasoning)
        return
    if reasoning is not None:
        for name in ("summary", "context", "mode"):
            if getattr(reasoning, name) is not None:
                losses.add(f"reasoning.{name}", "Messages has no word for it")
    want = requested(reasoning)
    if want is not None and not want.off:
        said = _adaptive(want, request, family, losses) if family.thinking == "adaptive" else _budget(want, request)
        if said is None:
            losses.add("reasoning", "the output limit leaves no room to think")
        elif _allowed(said, body, losses):
            _apply(body, said, request, reasoning, losses)
    if request.verbosity is not None:
        config = body.setdefault("output_config", {})
        if family.thinking != "adaptive":
            losses.add("verbosity", "the model takes none")
        else:
            config.setdefault("effort", nearest_effort(request.verbosity, family.efforts))
        if not config:
            del body["output_config"]


def _as_it_came(body: Json, reasoning: Reasoning) -> None:
    extra = dict(reasoning.extra)
    kind = extra.pop("type", None)
    if reasoning.adaptive:
        kind = "adaptive"
    elif reasoning.enabled is not None:
        kind = "enabled" if reasoning.enabled else "disabled"
    if kind is not None:
        said: Json = {"type": kind}
        if reasoning.max_tokens is not None:
            said["budget_tokens"] = reasoning.max_tokens
        if reasoning.display is not None:
            said["display"] = reasoning.display
        body["thinking"] = {**said, **extra}
    if reasoning.effort is not None:
        body["output_config"] = {"effort": reasoning.effort, **(body.get("output_config") or {})}


def _adaptive(want: RequestedReasoning, request: Request, family: Family, losses: Losses) -> Json:
    said: Json = {"thinking": {"type": "adaptive", **({"display": "summarized"} if family.hides_thinking else {})}}
    effort = want.effort
    if effort is None and want.budget is not None:
        losses.add("reasoning.max_tokens", "the model takes an effort, not a budget: the nearest one is sent")
        effort = effort_for_budget(want.budget, request.max_output)
    if effort is not None:
        said["effort"] = nearest_effort(effort, family.efforts)
    return said


def _budget(want: RequestedReasoning, request: Request) -> Json | None:
    """A budget that the limits allow; None where they allow none."""
    limit = request.max_output
    budget = max(want.budget or budget_for_effort(want.effort or "medium", limit), LEAST_BUDGET)
    if limit is not None and budget >= limit:
        budget = limit - 1
    return {"thinking": {"type": "enabled", "budget_tokens": budget}} if budget >= LEAST_BUDGET else None


def _allowed(said: Json, body: Json, losses: Losses) -> bool:
    choice = body.get("tool_choice") or {}
    if choice.get("type") in ("any", "tool"):
        losses.add("reasoning", "the model does not think where a tool is forced")
        return False
    if said["thinking"]["type"] == "enabled" and _thoughtless(body["messages"]):
        losses.add("reasoning", "the turn that is being gone on with came without a thought that the model has signed")
        return False
    return True


def _thoughtless(messages: list[Json]) -> bool:
    """Whether the turn that the model goes on with, begun for it or with calls now answered, begins with no thought."""
    if messages[-1]["role"] == "assistant":
        return True
    if len(messages) < 2 or not isinstance(messages[-1]["content"], list):
        return False
    if not any(block["type"] == "tool_result" for block in messages[-1]["content"]):
        return False
    before = messages[-2]["content"]
    return not isinstance(before, list) or before[0]["type"] not in ("thinking", "redacted_thinking")


def _apply(body: Json, said: Json, request: Request, reasoning: Reasoning | None, losses: Losses) -> None:
    thinking = said["thinking"]
    if reasoning is not None and reasoning.display is not None:
        thinking["display"] = reasoning.display
    body["thinking"] = thinking
    if "effort" in said:
        body["output_config"] = {**(body.get("output_config") or {}), "effort": said["effort"]}
    budget = thinking.get("budget_tokens")
    if budget is not None and request.max_output is None and body["max_tokens"] <= budget:
        body["max_tokens"] = budget + ROOM
    if body.get("temperature") not in (None, 1):
        losses.add("temperature", "it is not set while the model thinks")
    body.pop("temperature", None)
    if body.get("top_p") is not None and body["top_p"] < LEAST_TOP_P:
        losses.add("top_p", "it is not set that low while the model thinks")
        del body["top_p"]
    if body.pop("top_k", None) is not None:
        losses.add("top_k", "it is not set while the model thinks")
