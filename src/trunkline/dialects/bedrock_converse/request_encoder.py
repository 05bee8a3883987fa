"""A request as it leaves for Converse or ConverseStream: the two take the same body.

Source: Bedrock API reference, "Converse" (request body), read 2026-11-26.
"""

import re
from typing import Any, TypeAlias

import msgspec

from trunkline.dialects.bedrock_converse import request_thinking, request_tools
from trunkline.dialects.bedrock_converse.request_messages import NAME, NO_WORD, Writer, cache_point
from trunkline.dialects.common.json_schema import to_subset
from trunkline.dialects.interfaces import Encoded, Quirks
from trunkline.families.lookup import family_of
from trunkline.families.traits import Family
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import CacheMark, Request, ResponseFormat

Json: TypeAlias = dict[str, Any]

TIERS = {"default": "default", "standard": "default", "standard_only": "default", "flex": "flex",
         "priority": "priority", "reserved": "reserved", "auto": None}  # fmt: skip
"""A service tier → Bedrock's word for it; None says nothing."""
UNSAID = ("top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty", "seed", "logit_bias",
          "logprobs", "top_logprobs")  # fmt: skip
"""Sampling parameters that Converse has no word for."""
NO_SAMPLER = "the model takes none"
MAX_MARKS = 4
"""Cache points in one request."""
MAX_METADATA = 16
_METADATA = re.compile(r"[a-zA-Z0-9\s:_@$#=/+,.-]{1,256}")
"""A key or a value of `requestMetadata`; the value may be empty."""

KNOWN = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stream_options", "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning",
     "reasoning", "speed", "fallbacks", "prompt_cache_options", "structured_outputs", "x_search_filter", "store",
     "include", "background"}
)  # fmt: skip
"""Fields that tell us what to do: nothing of them is lost, since no provider was to have them."""

_json = msgspec.json.Encoder()
BETAS = frozenset(
    {"computer-use-2024-10-22", "computer-use-2025-01-24", "computer-use-2025-11-24", "context-1m-2025-08-07",
     "context-management-2025-06-27", "dev-full-thinking-2025-05-14", "effort-2025-11-24",
     "fine-grained-tool-streaming-2025-05-14", "interleaved-thinking-2025-05-14", "output-128k-2025-02-19",
     "token-efficient-tools-2025-02-19", "tool-examples-2025-10-29", "tool-search-tool-2025-10-19"}
)  # fmt: skip
"""Values of `anthropic_beta` that Bedrock takes; it answers 400 to others."""


def encode(request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Upstream.encode`."""
    losses = Losses()
    body = to_wire(request, endpoint, quirks, losses)
    for key in quirks.drop:
        if body.pop(key, None) is not None:
            losses.add(key, "the provider does not take it")
    body.update(quirks.body)
    return Encoded(body=_json.encode(body), losses=losses.found())


def to_wire(request: Request, endpoint: Endpoint, quirks: Quirks, losses: Losses) -> Json:
    """The body, and among *losses* what it does not say."""
    kind = family_of(endpoint.upstream_model, endpoint.model)
    same = request.dialect == NAME
    body: Json = dict(request.extra) if same else {}
    writer = Writer(request, kind, quirks.reasoning_format, losses)
    body["messages"] = writer.messages()
    if writer.system:
        body["system"] = writer.system
    _put(body, "inferenceConfig", _inference(request, endpoint, kind, losses))
    told = request_tools.config(request, kind, quirks, losses)
    if told is not None:
        body["toolConfig"] = told
    _put(body, "additionalModelRequestFields", _own_fields(request, endpoint, kind, losses))
    if request.reasoning is None or _thinks(endpoint, losses):
        _put(body, "additionalModelRequestFields", request_thinking.fields(request, body, kind, losses))
    said = body.get("additionalModelRequestFields") or {}
    _put(body, "additionalModelRequestFields", request_thinking.verbosity(request, said, kind, losses))
    for empty in ("inferenceConfig", "additionalModelRequestFields"):
        if not body.get(empty) and empty not in request.extra:
            body.pop(empty, None)
    if request.response_format is not None:
        _output(body, request.response_format, quirks, losses, takes=kind.structured_output or same)
    _beside(body, request, losses)
    if not same:
        _cache(body, request.cache, kind, losses)
        _ask_for_stop(body, kind)
        _lost(request, losses)
    return body


def _put(body: Json, key: str, fields: Json) -> None:
    """*fields* among those that stand under *key* already."""
    if fields:
        body[key] = {**(body.get(key) or {}), **fields}


def _taken(endpoint: Endpoint, name: str, losses: Losses) -> bool:
    if not endpoint.parameters or name in endpoint.parameters:
        return True
    losses.add(name, "the endpoint does not take it")
    return False


def _thinks(endpoint: Endpoint, losses: Losses) -> bool:
    return "reasoning_effort" in endpoint.parameters or _taken(endpoint, "reasoning", losses)


def _inference(request: Request, endpoint: Endpoint, kind: Family, losses: Losses) -> Json:
    sampling, same = request.sampling, request.dialect == NAME
    said: Json = {}
    if request.max_output is not None:
        said["maxTokens"] = request.max_output
    temperature, top_p = sampling.temperature, sampling.top_p
    if kind.no_sampler and not same:
        for name, value in (("temperature", temperature), ("top_p", top_p)):
            if value not in (None, 1):  # at 1 they do nothing
                losses.add(name, NO_SAMPLER)
        temperature = top_p = None
    if temperature is not None and _taken(endpoint, "temperature", losses):
        if temperature > 1:
            losses.add("temperature", "it is at most 1 here")
        said["temperature"] = min(temperature, 1)
    if top_p is not None and _taken(endpoint, "top_p", losses):
        if kind.one_sampler and "temperature" in said and not same:
            losses.add("top_p", "the model takes a temperature or this, not both")
        else:
            said["topP"] = top_p
    if sampling.stop is not None and _taken(endpoint, "stop", losses):
        stops = [stop for stop in sampling.stop if same or stop.strip()]
        if len(stops) < len(sampling.stop):
            losses.add("stop", "a sequence of nothing but blanks is refused")
        if stops or same:
            said["stopSequences"] = stops
    return said


def _own_fields(request: Request, endpoint: Endpoint, kind: Family, losses: Losses) -> Json:
    """What goes to the model past Converse, but for thinking."""
    said: Json = {}
    top_k = request.sampling.top_k
    if top_k is not None:
        if kind.top_k is None or (kind.no_sampler and request.dialect != NAME):
            losses.add("top_k", NO_SAMPLER)
        elif _taken(endpoint, "top_k", losses):
            said.update({"top_k": top_k} if kind.top_k == "top_k" else {"inferenceConfig": {"topK": top_k}})
    if own := request_tools.claudes_own(request, kind):
        said["tools"] = own
    betas = [beta for beta in request.betas if beta in BETAS] if kind.claude else []
    if betas:
        said["anthropic_beta"] = betas
    for beta in request.betas:
        if beta not in betas:
            losses.add(f"anthropic-beta: {beta}", "Bedrock does not take it")
    return said


def _output(body: Json, shape: ResponseFormat, quirks: Quirks, losses: Losses, *, takes: bool) -> None:
    """The shape of the answer, for a model that *takes* one."""
    if shape.kind == "text":
        return
    if shape.kind != "json_schema" or shape.schema is None:
        losses.add("response_format", NO_WORD)
        return
    if not takes:
        losses.add("response_format", "the model takes no schema for its answer")
        return
    schema, gone = to_subset(shape.schema, quirks.schema)
    for path in gone:
        losses.add(f"response_format.{path}", request_tools.SUBSET)
    said: Json = {"schema": _json.encode(schema).decode()}
    if shape.name is not None:
        said["name"] = shape.name
    if shape.description is not None:
        said["description"] = shape.description
    _put(body, "outputConfig", {"textFormat": {"type": "json_schema", "structure": {"jsonSchema": said}}})


def _beside(body: Json, request: Request, losses: Losses) -> None:
    tier = request.service_tier
    if tier is not None:
        if tier not in TIERS:
            losses.add("service_tier", "Bedrock has no such tier")
        elif TIERS[tier] is not None:
            body["serviceTier"] = {"type": TIERS[tier]}
    kept: dict[str, str] = {}
    for key, value in (request.metadata or {}).items():
        fits = _METADATA.fullmatch(key) and (not value or _METADATA.fullmatch(value))
        if fits and len(kept) < MAX_METADATA:
            kept[key] = value
        else:
            losses.add(f"metadata.{key}", "Bedrock takes sixteen short texts without special characters")
    if kept:
        body["requestMetadata"] = kept


def _cache(body: Json, whole: CacheMark | None, kind: Family, losses: Losses) -> None:
    """A mark behind the whole prompt, and of more marks than Bedrock takes the last ones: they say the most."""
    last = body["messages"][-1]["content"]
    if whole is not None:
        if "messages" not in kind.cache_marks:
            losses.add(whole.spelling, "the model takes no cache marks")
        elif not any(key in last[-1] for key in ("cachePoint", "reasoningContent")):
            last.append(cache_point(whole))
    lists = [body.get("toolConfig", {}).get("tools", []), body.get("system", [])]
    lists += [message["content"] for message in body["messages"]]
    surplus = sum("cachePoint" in block for blocks in lists for block in blocks) - MAX_MARKS
    for blocks in lists:
        if surplus <= 0:
            break
        kept: list[Json] = []
        for block in blocks:
            if surplus > 0 and "cachePoint" in block:
                losses.add("cache_control", f"Bedrock takes {MAX_MARKS} marks: the last ones are sent")
                surplus -= 1
            else:
                kept.append(block)
        blocks[:] = kept


def _ask_for_stop(body: Json, kind: Family) -> None:
    """Claude says which stop sequence it met, where it is asked to."""
    if kind.claude and body.get("inferenceConfig", {}).get("stopSequences"):
        body["additionalModelResponseFieldPaths"] = ["/stop_sequence"]


def _lost(request: Request, losses: Losses) -> None:
    """What is said beside the messages, and cannot be said here."""
    for key in UNSAID:
        if getattr(request.sampling, key) not in (None, False):
            losses.add(key, NO_WORD)
    if (request.sampling.n or 1) > 1:
        losses.add("n", "Converse gives one choice")
    if request.modalities and set(request.modalities) != {"text"}:
        losses.add("modalities", NO_WORD)
    if request.parallel_tool_calls is False:
        losses.add("parallel_tool_calls", NO_WORD)
    for key in ("user", "prompt_cache_key"):
        if getattr(request, key) is not None:
            losses.add(key, NO_WORD)
    losses.extra("", request.extra, NO_WORD, but=KNOWN)
