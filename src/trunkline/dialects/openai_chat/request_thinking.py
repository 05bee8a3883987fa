"""How providers of chat are told to think, and how their earlier thoughts go back to them: `Quirks.reasoning_*`.

What a client or another dialect says of thinking is in `model.Reasoning`; the words of the provider are made here, for
requests that are relayed as for those that are translated.

Sources: OpenRouter, "Reasoning tokens"; the providers' own pages on thinking (DeepSeek, Z.AI, Moonshot, Alibaba's Model
Studio, Google's compatible endpoint), read 2026-11-26.
"""

from collections.abc import Callable
from typing import Any

from trunkline.dialects.common.reasoning import GEMINI, budget_for_effort, effort_for_budget, requested
from trunkline.dialects.common.types import RequestedReasoning
from trunkline.dialects.interfaces import Quirks
from trunkline.model.loss import Losses
from trunkline.model.request import Reasoning

Body = dict[str, Any]
SIGNED = "a signed or encrypted thought, and the provider takes back text alone"
SIGNATURE = ("google", "thought_signature")
"""Where Google's compatible endpoint has a call's signature, below its `extra_content`."""


def words(reasoning: Reasoning, quirks: Quirks, max_output: int | None, losses: Losses) -> Body:
    """The fields of a body that say what *reasoning* wants to a provider with *quirks*."""
    want = requested(reasoning)
    said = WORDS[quirks.reasoning_request](want, reasoning, max_output, losses)
    if quirks.reasoning_request != "reasoning":
        for name in ("summary", "display", "context", "mode"):
            if getattr(reasoning, name) is not None:
                losses.add(f"reasoning.{name}", "chat has no word for it")
    return said


def _effort(want: RequestedReasoning | None, reasoning: Reasoning, max_output: int | None, losses: Losses) -> Body:
    if want is None or want == RequestedReasoning():
        return {}
    if want.off:
        return {"reasoning_effort": "none"}
    if want.effort is None and want.budget is not None:
        losses.add("reasoning.max_tokens", "the provider takes an effort, not a budget: the nearest one is sent")
        return {"reasoning_effort": effort_for_budget(want.budget, max_output)}
    return {"reasoning_effort": want.effort}


def _object(want: RequestedReasoning | None, reasoning: Reasoning, max_output: int | None, losses: Losses) -> Body:
    names = ("effort", "max_tokens", "exclude", "enabled", "summary", "context", "mode")
    said = {name: value for name in names if (value := getattr(reasoning, name)) is not None}
    if "effort" in said:
        said.pop("max_tokens", None)  # not both
    if reasoning.adaptive and want == RequestedReasoning():
        said["enabled"] = True
    if reasoning.display is not None:
        losses.add("reasoning.display", "chat has no word for it")
    return {"reasoning": said} if said else {}


def _switch(want: RequestedReasoning | None, reasoning: Reasoning, max_output: int | None, losses: Losses) -> Body:
    if want is None:
        return {}
    if want.off:
        return {"thinking": {"type": "disabled"}}
    if want.effort is not None and want.budget is None and reasoning.effort is not None:
        losses.add("reasoning.effort", "the provider's thinking is on or off")
    budget = {} if want.budget is None else {"budget_tokens": want.budget}
    return {"thinking": {"type": "enabled", **budget}}


def _flag(want: RequestedReasoning | None, reasoning: Reasoning, max_output: int | None, losses: Losses) -> Body:
    if want is None:
        return {}
    if want.off:
        return {"enable_thinking": False}
    budget = want.budget
    if budget is None and reasoning.effort is not None:
        budget = budget_for_effort(reasoning.effort, max_output)
    return {"enable_thinking": True, **({} if budget is None else {"thinking_budget": budget})}


WORDS: dict[str, Callable[[RequestedReasoning | None, Reasoning, int | None, Losses], Body]] = {
    "effort": _effort,
    "reasoning": _object,
    "thinking": _switch,
    "enable_thinking": _flag,
}
"""`Quirks.reasoning_request` → what says it."""
OWN_WORDS = {"thinking": ("thinking",), "enable_thinking": ("enable_thinking", "thinking_budget")}
"""The provider's words that a client may know itself; what it said in them stands."""


def rewrites(quirks: Quirks) -> bool:
    """Whether earlier thoughts of a chat client may have to be written otherwise for a provider with *quirks*."""
    return quirks.reasoning_field in ("reasoning", "reasoning_content") or quirks.reasoning_format == GEMINI


def rewrite(messages: list[Body], quirks: Quirks, losses: Losses) -> list[Body]:
    """A chat client's own *messages* with their thoughts where the provider looks for them."""
    return [
        _rewritten(message, f"messages[{at}]", quirks, losses) if message.get("role") == "assistant" else message
        for at, message in enumerate(messages)
    ]


def _rewritten(message: Body, path: str, quirks: Quirks, losses: Losses) -> Body:
    body = dict(message)
    found = body.get("reasoning_details")
    details = [detail for detail in found if isinstance(detail, dict)] if isinstance(found, list) else []
    if quirks.reasoning_format == GEMINI and details:
        details = _on_calls(body, details)
    field = quirks.reasoning_field
    if field not in ("reasoning", "reasoning_content"):
        return body
    told = [detail.get("text") or detail.get("summary") for detail in details]
    text = body.get(field) or body.get("reasoning") or body.get("reasoning_content")
    text = text or "".join(said for said in told if isinstance(said, str))
    for at, detail in enumerate(details):
        if detail.get("signature") or detail.get("data"):
            losses.add(f"{path}.reasoning_details[{at}]", SIGNED)
    if details or text:
        for name in ("reasoning", "reasoning_content", "reasoning_details"):
            body.pop(name, None)
    return {**body, field: text} if text else body


def _on_calls(body: Body, details: list[Body]) -> list[Body]:
    """Put Gemini's signatures on the calls that they are of; what is left of *details*."""
    signatures = {
        detail["id"]: detail["data"]
        for detail in details
        if detail.get("type") == "reasoning.encrypted" and isinstance(detail.get("id"), str) and "data" in detail
    }
    calls = body.get("tool_calls")
    if not signatures or not isinstance(calls, list):
        return details
    body["tool_calls"] = [
        {**call, **signed(signatures[call["id"]])}
        if call.get("id") in signatures and "extra_content" not in call
        else call
        for call in calls
    ]
    ids = {call.get("id") for call in calls}
    left = [detail for detail in details if detail.get("id") not in ids or detail.get("type") != "reasoning.encrypted"]
    if left:
        body["reasoning_details"] = left
    else:
        body.pop("reasoning_details", None)
    return left


def signed(signature: str) -> Body:
    """The field of a tool call that holds Gemini's *signature*."""
    return {"extra_content": {SIGNATURE[0]: {SIGNATURE[1]: signature}}}


def signature_of(extra: Body) -> str | None:
    """Gemini's signature in the fields of a tool call; None where there is none."""
    match extra.get("extra_content"):
        case {"google": {"thought_signature": str(signature)}} if signature:
            return signature
        case _:
            return None
