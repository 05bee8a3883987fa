"""A request as it leaves for a provider that speaks Messages.

Sources: Anthropic API reference, "Messages"; OpenRouter, "Parameters", "Tool calling", "Reasoning tokens" and "Prompt
caching".

A Messages client's own request leaves as it came, but for what is ours and for thoughts of other providers' models. A
request of another dialect is said in this one's words; what it has no word for is a loss.
"""

from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.anthropic_messages import (
    request_cache_control,
    request_midway_system,
    request_normalization,
    request_thinking,
    request_tools,
)
from trunkline.dialects.anthropic_messages.request_betas import header
from trunkline.dialects.anthropic_messages.request_decoder import decode
from trunkline.dialects.anthropic_messages.request_messages import NO_WORD, Writer
from trunkline.dialects.anthropic_messages.vocabulary import NAME
from trunkline.dialects.common.ids import pseudonym
from trunkline.dialects.common.json_schema import to_subset
from trunkline.dialects.interfaces import Call, Encoded, Quirks
from trunkline.families.lookup import family_of
from trunkline.families.traits import Family
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import Request

Json: TypeAlias = dict[str, Any]

OURS = frozenset(
    {"models", "fallbacks", "route", "provider", "plugins", "session_id", "trace", "stop_server_tools_when",
     "deferred_tools", "gateway", "safeguards", "preset", "debug", "usage", "max_tool_calls", "user"}
)  # fmt: skip
"""Fields that tell us what to do and no upstream of this dialect; a provider's `keep` makes exceptions."""
NOT_LOST = OURS | {
    "stream_options", "transforms", "include_reasoning", "reasoning", "structured_outputs", "prompt_cache_options",
    "store", "include", "background", "speed", "x_search_filter",
}  # fmt: skip
"""What other dialects say to us, or to nobody here: nothing is lost with it."""
UNSAID = (
    "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "logit_bias", "logprobs",
    "top_logprobs",
)  # fmt: skip
"""Sampling parameters that Messages has no word for."""
USUAL_OUTPUT = 8192
"""The output limit, which a provider must be told, where neither the client nor the configuration says one."""
STRUCTURED = "structured-outputs-2025-11-13"
"""The beta without which strict tools and schemas of answers are refused."""
FOREIGN = (b"-v1:", b'"unknown:', b'"signature":""', b'"signature": ""')
"""What a thought of another provider's model has in it, in the shape in which we gave it to the client."""
TIERS = {"auto": "auto", "default": "standard_only", "standard": "standard_only", "standard_only": "standard_only"}

_json = msgspec.json.Encoder()


def relay(call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Relay.request`: the client's own body, unless it holds what this provider would not take.

    That is thoughts of others, and system messages where the model takes none.
    """
    messages = bytes(call.envelope["messages"])
    system = b'"system"' in messages and not request_midway_system.takes(endpoint, quirks)
    if system or _foreign(messages):
        return encode(decode(call), endpoint, quirks)
    fields: Json = {key: said for key, said in call.envelope.items() if key not in OURS or key in quirks.keep}
    if call.max_output is None:
        fields["max_tokens"] = limit(endpoint)
    return _leave(fields, endpoint, quirks, call.betas, Losses())


def _foreign(messages: bytes) -> bool:
    """Whether *messages* may hold a thought that is another provider's, or nobody's; if not, it costs a translation."""
    unsigned = messages.count(b'"thinking":') > messages.count(b'"signature":')
    return unsigned or any(mark in messages for mark in FOREIGN)


def encode(request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Upstream.encode`."""
    losses = Losses()
    body = to_wire(request, endpoint, quirks, losses)
    betas = request.betas
    structured = "format" in (body.get("output_config") or {}) or any(
        "strict" in tool for tool in body.get("tools") or ()
    )
    if structured and request.dialect != NAME and STRUCTURED not in betas:
        betas = (*betas, STRUCTURED)
    return _leave(body, endpoint, quirks, betas, losses)


def limit(endpoint: Endpoint) -> int:
    """The output limit where the client gave none."""
    return endpoint.max_output or family_of(endpoint.upstream_model).usual_output or USUAL_OUTPUT


def _leave(fields: Json, endpoint: Endpoint, quirks: Quirks, betas: tuple[str, ...], losses: Losses) -> Encoded:
    """The last step of both ways through: relayed or translated, the same fields are ours and stay here."""
    if quirks.model_in_body:
        fields["model"] = endpoint.upstream_model
    else:
        fields.pop("model", None)
    for key in quirks.drop:
        if fields.pop(key, None) is not None:
            losses.add(key, "the provider does not take it")
    fields.update(quirks.body)
    body = _json.encode(fields)
    return Encoded(body=body, losses=losses.found(), headers=header(body, betas, endpoint))


def to_wire(request: Request, endpoint: Endpoint, quirks: Quirks, losses: Losses) -> Json:
    """The top level of a Messages body. Of a Messages client's own request it is what the client sent."""
    same = request.dialect == NAME
    kind = family_of(endpoint.upstream_model, endpoint.model)
    spelling = request.spelling if same else {}
    body: Json = {"model": endpoint.upstream_model, "max_tokens": request.max_output or limit(endpoint)}
    if request.stream or "stream" in spelling:
        body["stream"] = request.stream
    if same:
        body.update({key: said for key, said in request.extra.items() if key not in OURS or key in quirks.keep})
    else:
        losses.extra("", request.extra, NO_WORD, but=NOT_LOST)
    writer = Writer(
        request, kind, quirks.reasoning_format, losses, system_within=request_midway_system.takes(endpoint, quirks)
    )
    if writer.system or spelling.get("system"):
        plain = spelling.get("system") == "string" and len(writer.system) == 1
        text = writer.system[0]["text"] if plain else None
        body["system"] = writer.system if text is None else text
    body["messages"] = writer.messages
    _sampling(body, request, losses)
    request_tools.put(body, request, kind, quirks, losses)
    if request.cache is not None:
        body["cache_control"] = request_cache_control.cache_control(request.cache)
    _output(body, request, kind, quirks, losses)
    request_thinking.put(body, request, kind, losses)
    _beside(body, request, spelling, losses)
    if not same:
        request_normalization.sampling(body, kind, losses)
        request_cache_control.limit(body, losses)
    return body


def _sampling(body: Json, request: Request, losses: Losses) -> None:
    sampling, same = request.sampling, request.dialect == NAME
    if sampling.temperature is not None:
        if sampling.temperature > 1 and not same:
            losses.add("temperature", "it is at most 1 here")
        body["temperature"] = sampling.temperature if same else min(sampling.temperature, 1)
    for key in ("top_p", "top_k"):
        if getattr(sampling, key) is not None:
            body[key] = getattr(sampling, key)
    if sampling.stop is not None:
        stops = [stop for stop in sampling.stop if same or stop.strip()]
        if len(stops) < len(sampling.stop):
            losses.add("stop", "a sequence of nothing but blanks is refused")
        if stops or same:
            body["stop_sequences"] = stops
    for key in UNSAID:
        if getattr(sampling, key) not in (None, False):
            losses.add(key, NO_WORD)
    if (sampling.n or 1) > 1:
        losses.add("n", "Messages gives one choice")


def _output(body: Json, request: Request, kind: Family, quirks: Quirks, losses: Losses) -> None:
    shape = request.response_format
    if shape is None or shape.kind == "text":
        return
    if request.dialect == NAME:
        said = {"type": shape.kind, **({} if shape.schema is None else {"schema": shape.schema}), **shape.extra}
        body["output_config"] = {**(body.get("output_config") or {}), "format": said}
        return
    if shape.kind != "json_schema" or shape.schema is None:
        losses.add("response_format", NO_WORD)
        return
    if kind.claude and not kind.structured_output:
        losses.add("response_format", "the model takes no schema for its answer")
        return
    schema, gone = to_subset(shape.schema, request_tools.subset_of(kind, quirks))
    for path in gone:
        losses.add(f"response_format.{path}", request_tools.SUBSET)
    body["output_config"] = {"format": {"type": "json_schema", "schema": schema}}


def _beside(body: Json, request: Request, spelling: dict[str, str], losses: Losses) -> None:
    """Who asks, at which tier, and what has no place."""
    same = request.dialect == NAME
    if spelling.get("user") == "user":
        pass  # a field of ours, which stays here
    elif request.user is not None:
        user = request.user if same else pseudonym(request.user)
        body["metadata"] = {**(body.get("metadata") or {}), "user_id": user}
    if spelling.get("metadata") == "empty":
        body["metadata"] = {}
    tier = request.service_tier
    if tier is not None:
        if same:
            body["service_tier"] = tier
        elif tier in TIERS:
            body["service_tier"] = TIERS[tier]
        else:
            losses.add("service_tier", "Messages has no such tier")
    if same:
        return
    if request.metadata:
        losses.add("metadata", "Messages takes a user's id, and no other")
    if request.modalities and set(request.modalities) != {"text"}:
        losses.add("modalities", NO_WORD)
    if request.prompt_cache_key is not None:
        losses.add("prompt_cache_key", NO_WORD)
