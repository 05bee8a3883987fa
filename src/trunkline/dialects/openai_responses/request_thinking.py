"""How OpenAI's models are told to think, and whose encrypted reasoning a provider takes.

Source: OpenRouter, "Reasoning tokens".
"""

from trunkline.dialects.common.reasoning import OPENAI, effort_for_budget, requested
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses.request_items import Body, some
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.request import (
    Reasoning,
    Request,
)

SEALED = "reasoning.encrypted_content"
ANYBODYS = frozenset({"*"})
"""Stands for the formats of thoughts that OpenRouter takes, which hands them on to whose they are."""


def openrouter(quirks: Quirks) -> bool:
    """Whether the provider takes what OpenRouter's own clients say."""
    return "reasoning" in quirks.keep


def accepted(quirks: Quirks) -> frozenset[str]:
    """Whose encrypted reasoning goes to a provider with *quirks*.

    An answer seldom says whose it is, so OpenAI's own name stands for those who serve its models too.
    """
    if openrouter(quirks):
        return ANYBODYS
    if quirks.reasoning_format is None or "openai" in quirks.reasoning_format:
        return frozenset({quirks.reasoning_format or OPENAI, OPENAI})
    return frozenset({quirks.reasoning_format})


def reasons(endpoint: Endpoint) -> bool:
    """Whether the model may think: others answer 400 to a request for what they thought."""
    if endpoint.parameters:
        return not endpoint.parameters.isdisjoint(("reasoning", "include_reasoning", "reasoning_effort"))
    return family_of(endpoint.upstream_model).reasons


def normalize(fields: Body, reasoning: Body, max_output: int | None, quirks: Quirks) -> None:
    """`enabled` and `max_tokens` are OpenRouter's; OpenAI has efforts."""
    if "reasoning" in quirks.keep or not {"enabled", "max_tokens"} & reasoning.keys():
        return
    said = {key: found for key, found in reasoning.items() if key not in ("enabled", "max_tokens")}
    if said.get("effort") is None:
        effort = effort_for(reasoning.get("enabled"), reasoning.get("max_tokens"), max_output)
        if effort is not None:
            said["effort"] = effort
    fields["reasoning"] = said
    if not said:
        del fields["reasoning"]


def put(body: Body, request: Request) -> None:
    """How much to think, and whether to tell of it: what a client is to read of a thought is its summary."""
    reasoning = request.reasoning
    if reasoning is None:
        return
    asked = requested(reasoning)
    if asked is not None and asked.off:
        body["reasoning"] = {"effort": "none"}
        return
    told = None if asked is None else asked.effort
    if asked is not None and told is None and asked.budget is not None:
        told = effort_for_budget(asked.budget, request.max_output)
    summary = reasoning.summary
    if summary is None and not reasoning.exclude and reasoning.display != "omitted":
        summary = "auto"
    body["reasoning"] = some({"effort": told, "summary": summary, "context": reasoning.context, "mode": reasoning.mode})
    if not body["reasoning"]:
        del body["reasoning"]


def effort_for(enabled: bool | None, budget: int | None, max_output: int | None) -> str | None:
    """The effort that stands for `enabled` and `max_tokens`; None where they say nothing."""
    asked = requested(Reasoning(enabled=enabled, max_tokens=budget))
    if asked is None:
        return None
    if asked.off:
        return "none"
    return asked.effort if asked.budget is None else effort_for_budget(asked.budget, max_output)
