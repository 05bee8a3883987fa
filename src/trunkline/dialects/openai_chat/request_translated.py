"""A request of another dialect in chat's words, and what of it chat has no words for.

Source: OpenRouter's OpenAPI document, `ChatRequest`.

The messages are `turns`' matter. Where a provider takes less than chat can say, its quirks tell.
"""

from typing import Any

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.ids import pseudonym
from trunkline.dialects.common.request_fields import some
from trunkline.dialects.common.tool_names import Names, fit_name
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat import request_thinking, request_tools
from trunkline.dialects.openai_chat.request_content import NO_MARK
from trunkline.dialects.openai_chat.request_messages import Writer
from trunkline.dialects.openai_chat.request_tools import NO_WORD
from trunkline.dialects.openai_chat.vocabulary import SAMPLING
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import Request, ResponseFormat

MAX_STOPS = 4

TIERS = {"standard": "default", "standard_only": "default", "fast": "priority"}
"""Service tiers that chat spells otherwise. Source: OpenRouter, "Service tiers"."""
KNOWN_TIERS = frozenset({"auto", "default", "flex", "priority", "scale", "ultrafast"})

SHARED = ("safety_identifier", "prompt_cache_retention", "prompt_cache_options")
"""Fields of Responses that chat has under the same name."""
NOT_THEIRS = frozenset(
    {"models", "fallbacks", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms",
     "usage", "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "speed", "x_search_filter",
     "store", "stream", "stream_options", "include", "background", "previous_response_id"}
)  # fmt: skip
"""Fields that tell us what to do, or how to answer: nothing of them is the provider's."""


def to_wire(request: Request, endpoint: Endpoint, quirks: Quirks, losses: Losses) -> dict[str, Any]:
    """The top level of a chat body."""
    names = Names(request.tools or ())
    body: dict[str, Any] = {} if request.model is None else {"model": request.model}
    if request.stream:
        body["stream"] = True
    body["messages"] = Writer(request.dialect, names, quirks, losses).messages(request.messages)
    body.update(_sampling(request, losses))
    if request.max_output is not None:
        body["max_completion_tokens"] = min(request.max_output, endpoint.max_output or request.max_output)
    user = None if request.user is None else pseudonym(request.user)
    body.update(some(user=user, verbosity=request.verbosity, prompt_cache_key=request.prompt_cache_key))
    body.update(some(metadata=request.metadata, service_tier=_tier(request.service_tier, losses)))
    if request.modalities:
        body["modalities"] = list(request.modalities)
    body.update(request_tools.offered(request, names, quirks, losses))
    if request.response_format is not None:
        body.update(_shape(request.response_format, quirks, losses))
    if request.reasoning is not None:
        body.update(request_thinking.words(request.reasoning, quirks, request.max_output, losses))
        losses.extra("reasoning", request.reasoning.extra, NO_WORD)
    if request.cache is not None:
        _mark(body, request, quirks, losses)
    _rest(body, request, quirks, losses)
    return body


def _sampling(request: Request, losses: Losses) -> dict[str, Any]:
    sampling = request.sampling
    said = {key: value for key in SAMPLING if (value := getattr(sampling, key)) is not None}
    if sampling.stop:
        said["stop"] = list(sampling.stop[:MAX_STOPS])
        for at in range(MAX_STOPS, len(sampling.stop)):
            losses.add(f"stop[{at}]", f"chat takes {MAX_STOPS} stop sequences")
    return said


def _tier(tier: str | None, losses: Losses) -> str | None:
    if tier is None:
        return None
    said = TIERS.get(tier, tier)
    if said not in KNOWN_TIERS:
        losses.add("service_tier", "chat has no such tier")
        return None
    return said


def _mark(body: dict[str, Any], request: Request, quirks: Quirks, losses: Losses) -> None:
    """The mark of the whole prompt. OpenAI's own caching is that without being told."""
    assert request.cache is not None
    if quirks.cache_marks == "cache_control":
        body["cache_control"] = cache_control.encode_mark(request.cache, "cache_control")
    elif quirks.cache_marks is None:
        losses.add(request.cache.spelling, NO_MARK)


def _rest(body: dict[str, Any], request: Request, quirks: Quirks, losses: Losses) -> None:
    """What the other dialect says beyond the vocabulary; what the provider keeps has one name in all of them."""
    shared = (*(SHARED if request.dialect == "responses" else ()), *quirks.keep)
    for key in shared:
        if request.extra.get(key) is not None:
            body.setdefault(key, request.extra[key])
    losses.extra("", request.extra, NO_WORD, but=NOT_THEIRS.union(shared))


def _shape(found: ResponseFormat, quirks: Quirks, losses: Losses) -> dict[str, Any]:
    losses.extra("response_format", found.extra, NO_WORD)
    if found.kind in ("text", "json_object"):
        return {"response_format": {"type": found.kind}}
    if found.kind != "json_schema":
        losses.add("response_format", "a format that only its own dialect knows")
        return {}
    schema = None
    if found.schema is not None:
        schema = request_tools.schema(found.schema, "response_format.schema", found.strict, quirks, losses)
    name = fit_name(found.name or "response")
    inner = some(name=name, description=found.description, schema=schema, strict=found.strict)
    return {"response_format": {"type": "json_schema", "json_schema": inner}}
