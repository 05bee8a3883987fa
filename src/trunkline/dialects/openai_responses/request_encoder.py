"""A Responses request, written for an upstream.

Source: OpenRouter's OpenAPI document, `ResponsesRequest`, OpenAI's API reference read 2026-11-20.

A request of this dialect leaves item by item as it came (`to_wire`), but for what we put into it or OpenAI does not
know: thoughts of other providers, packed or signed, are taken out, and so are fields that are ours. A request of
another dialect is said anew; see `request_translated`.
"""

import re

import msgspec
from msgspec.structs import replace

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.request_fields import value
from trunkline.dialects.interfaces import Call, Encoded, Quirks
from trunkline.dialects.openai_responses import request_native, request_translated
from trunkline.dialects.openai_responses.request_decoder import decode, rest
from trunkline.dialects.openai_responses.request_items import (
    Body,
)
from trunkline.dialects.openai_responses.request_messages import lifetime
from trunkline.dialects.openai_responses.request_thinking import SEALED, accepted, normalize, openrouter, reasons
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import (
    CacheMark,
    OpaquePart,
    Part,
    ReasoningPart,
    Request,
)

OURS = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms",
     "stop_server_tools_when", "deferred_tools", "image_config", "modalities", "cache_control", "background", "usage",
     "gateway", "speed", "top_k", "stop", "x_search_filter"}
)  # fmt: skip
"""Fields that tell us what to do, or that OpenAI answers 400 to; a provider's `keep` makes exceptions."""

OPENROUTERS = frozenset({"cache_control", "top_k", "stop", "modalities", "image_config"})
"""Those of them that OpenRouter takes, which is known by that it keeps `reasoning` as its clients say it."""
DROPPABLE = frozenset({"temperature", "top_p", "top_logprobs", "frequency_penalty", "presence_penalty", "top_k"})
"""Left out for an endpoint whose `parameters` do not name them: an answer without is better than none."""


_MENDED = re.compile(
    rb'"encrypted_content"\s*:\s*"[a-z0-9-]{1,32}:|"signature"\s*:\s*"|"format"\s*:\s*"[a-z-]+-v1"|"cache_control"'
)
"""What we put into items, or clients of ours do, and OpenAI does not take."""
_FLAT = re.compile(rb'"function"\s*:\s*\{|"cache_control"')
"""The same of tools: chat's shape, and marks."""
_json = msgspec.json.Encoder()


def encode(request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Upstream.encode`."""
    losses = Losses()
    if request.dialect == "responses":
        if "cache_control" not in quirks.keep and not openrouter(quirks):
            request = _marked(request, takes=family_of(endpoint.upstream_model).cache_breakpoints)
        fields = request_native.to_wire(request, accepted(quirks), losses)
        for key in ("top_k", "stop"):
            if fields.get(key) is not None and key not in quirks.keep and not openrouter(quirks):
                losses.add(key, "the provider has no such parameter")
    else:
        fields = request_translated.to_wire(request, endpoint, quirks, accepted(quirks), losses)
    body = leave(fields, endpoint, quirks)
    return Encoded(body=body, losses=losses.found())


def relay(asked: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Relay.request`: the bytes as they came, unless something in them must be mended."""
    given, tools = asked.envelope.get("input"), asked.envelope.get("tools")
    if (given is not None and _MENDED.search(given)) or (tools is not None and _FLAT.search(tools)):
        return encode(decode(asked), endpoint, quirks)
    losses = Losses()
    for key in ("top_k", "stop"):
        if value(asked.envelope.get(key)) is not None and key not in quirks.keep and not openrouter(quirks):
            losses.add(key, "the provider has no such parameter")
    return Encoded(body=leave(dict(asked.envelope), endpoint, quirks), losses=losses.found())


def _marked(request: Request, *, takes: bool) -> Request:
    """*request* with Anthropic's cache marks as OpenAI spells them, where the model *takes* any; without, elsewhere.

    Nothing is lost with them: models that take none cache without being told.
    """
    messages = tuple(
        replace(message, parts=tuple(_unmarked(part, takes=takes) for part in message.parts))
        for message in request.messages
    )
    tools_ = None
    if request.tools is not None:
        tools_ = tuple(replace(tool, cache=None, extra=rest(tool.extra, "cache_control")) for tool in request.tools)
    return replace(request, messages=messages, tools=tools_)


def _unmarked(part: Part, *, takes: bool) -> Part:
    if isinstance(part, OpaquePart | ReasoningPart):
        return part
    mark = getattr(part, "cache", None)  # a refusal has none
    if mark is None or mark.spelling != "cache_control":
        return replace(part, extra=rest(part.extra, "cache_control"))
    told = CacheMark(lifetime(mark.ttl), "prompt_cache_breakpoint") if takes else None
    return replace(
        part, cache=told, extra=rest(part.extra, *cache_control.KINDS)
    )  # a null would take the new one's place


def leave(fields: Body, endpoint: Endpoint, quirks: Quirks) -> bytes:
    """*fields*, the top level of a body (values as Python's or as `Raw`), as they leave for *endpoint*.

    Nothing is ever stored, so what the model thought must come back with the answer, encrypted, to be sent again.
    """
    for key in OURS.intersection(fields):
        if key not in quirks.keep and not (key in OPENROUTERS and openrouter(quirks)):
            del fields[key]
    if quirks.model_in_body:
        fields["model"] = endpoint.upstream_model
    fields["store"] = False
    tier = value(fields.get("service_tier"))
    if tier in request_translated.TIERS and "service_tier" not in quirks.keep:
        fields["service_tier"] = request_translated.TIERS[tier]
    reasoning = value(fields.get("reasoning"))
    if isinstance(reasoning, dict):
        normalize(fields, reasoning, value(fields.get("max_output_tokens")), quirks)
    if value(fields.get("include")) is None and reasons(endpoint):
        fields["include"] = [SEALED]
    fields.update(quirks.body)
    for key in quirks.drop:
        fields.pop(key, None)
    if endpoint.parameters:
        for key in DROPPABLE.intersection(fields) - endpoint.parameters:
            del fields[key]
    return _json.encode(fields)
