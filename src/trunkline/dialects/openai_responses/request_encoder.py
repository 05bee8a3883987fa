"""A Responses request, written for an upstream. Source: wire-responses §1–§4, OpenAI's API reference read 2026-11-20.

A request of this dialect leaves item by item as it came (`to_wire`), but for what we put into it or OpenAI does not
know: thoughts of other providers, packed or signed, are taken out, and so are fields that are ours. A request of
another dialect is said anew; see `foreign`.
"""

import re
from itertools import groupby
from typing import Any

import msgspec
from msgspec.structs import replace

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.reasoning import OPENAI, unpack
from trunkline.dialects.common.request_fields import value
from trunkline.dialects.interfaces import Call, Encoded, Quirks
from trunkline.dialects.openai_responses import request_translated
from trunkline.dialects.openai_responses.request_decoder import REASONING, SAME, SAMPLING, decode, rest
from trunkline.dialects.openai_responses.request_items import (
    Body,
    call,
    choice,
    part_out,
    signed_thought,
    some,
    thought,
    tools,
)
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import (
    CacheMark,
    Message,
    OpaquePart,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
)

OURS = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms",
     "stop_server_tools_when", "deferred_tools", "image_config", "modalities", "cache_control", "background", "usage",
     "gateway", "speed", "top_k", "stop", "x_search_filter"}
)  # fmt: skip
"""Fields that tell us what to do, or that OpenAI answers 400 to; a provider's `keep` makes exceptions."""

OPENROUTERS = frozenset({"cache_control", "top_k", "stop", "modalities", "image_config"})
"""Those of them that OpenRouter takes, which is known by that it keeps `reasoning` as its clients say it."""
ANYBODYS = frozenset({"*"})
"""Stands for the formats of thoughts that OpenRouter takes, which hands them on to whose they are."""
DROPPABLE = frozenset({"temperature", "top_p", "top_logprobs", "frequency_penalty", "presence_penalty", "top_k"})
"""Left out for an endpoint whose `parameters` do not name them: an answer without is better than none."""

SEALED = "reasoning.encrypted_content"
ANOTHERS = "reasoning of another provider's model, which this one cannot read"

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
        fields = to_wire(request, accepted(quirks), losses)
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
    told = CacheMark(request_translated.lifetime(mark.ttl), "prompt_cache_breakpoint") if takes else None
    return replace(
        part, cache=told, extra=rest(part.extra, *cache_control.KINDS)
    )  # a null would take the new one's place


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
        _reasoning(fields, reasoning, value(fields.get("max_output_tokens")), quirks)
    if value(fields.get("include")) is None and reasons(endpoint):
        fields["include"] = [SEALED]
    fields.update(quirks.body)
    for key in quirks.drop:
        fields.pop(key, None)
    if endpoint.parameters:
        for key in DROPPABLE.intersection(fields) - endpoint.parameters:
            del fields[key]
    return _json.encode(fields)


def reasons(endpoint: Endpoint) -> bool:
    """Whether the model may think: others answer 400 to a request for what they thought."""
    if endpoint.parameters:
        return not endpoint.parameters.isdisjoint(("reasoning", "include_reasoning", "reasoning_effort"))
    return family_of(endpoint.upstream_model).reasons


def _reasoning(fields: Body, reasoning: Body, max_output: int | None, quirks: Quirks) -> None:
    """`enabled` and `max_tokens` are OpenRouter's; OpenAI has efforts."""
    if "reasoning" in quirks.keep or not {"enabled", "max_tokens"} & reasoning.keys():
        return
    said = {key: found for key, found in reasoning.items() if key not in ("enabled", "max_tokens")}
    if said.get("effort") is None:
        effort = request_translated.effort(reasoning.get("enabled"), reasoning.get("max_tokens"), max_output)
        if effort is not None:
            said["effort"] = effort
    fields["reasoning"] = said
    if not said:
        del fields["reasoning"]


def to_wire(request: Request, taken: frozenset[str] | None = None, losses: Losses | None = None) -> Body:
    """The top level of a body from a request of this dialect: what the client sent, field by field.

    *taken* are the formats of the thoughts that may go; where it is None all go as they came.
    """
    body: Body = {key: said for key, said in request.extra.items() if key != "~told"}
    body.update(request.extra.get("~told", {}))
    if request.stream or "stream" in request.spelling:
        body["stream"] = request.stream
    messages = list(request.messages)
    if messages and messages[0].extra.get("~item") == "instructions":
        first = messages.pop(0)
        body["instructions"] = "".join(part.text for part in first.parts if isinstance(part, TextPart))
    if request.spelling.get("input") == "string" and len(messages) == 1 and messages[0].plain:
        body["input"] = "".join(part.text for part in messages[0].parts if isinstance(part, TextPart))
    elif messages or "prompt" not in body:
        body["input"] = [item for message in messages for item in _items(message, taken, losses)]
    for key in SAME:
        if (said := getattr(request, key)) is not None:
            body[key] = said
    for key in SAMPLING:
        if (said := getattr(request.sampling, key)) is not None:
            body[key] = said
    if (stop := request.sampling.stop) is not None:
        body["stop"] = stop[0] if request.spelling.get("stop") == "string" else list(stop)
    for key, said in (("max_output_tokens", request.max_output), ("modalities", request.modalities)):
        if said is not None:
            body[key] = said
    _settings(request, body)
    return body


def _settings(request: Request, body: Body) -> None:
    if request.tools is not None:
        body["tools"] = tools(request.tools)
    if request.tool_choice is not None:
        body["tool_choice"] = choice(request.tool_choice)
    text = dict(body.get("text") or {})
    if (shape := request.response_format) is not None:
        inner = {"name": shape.name, "description": shape.description, "schema": shape.schema, "strict": shape.strict}
        text["format"] = {"type": shape.kind, **some(inner), **shape.extra}
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text
    if (thinking := request.reasoning) is not None:
        body["reasoning"] = {**some({key: getattr(thinking, key) for key in REASONING}), **thinking.extra}
    if request.cache is not None:
        body.setdefault("cache_control", cache_control.body(request.cache))


def _items(message: Message, taken: frozenset[str] | None, losses: Losses | None) -> list[Body]:
    """The items of one message."""
    if message.role == "assistant":
        out: list[Body] = []
        for at, group in groupby(enumerate(message.parts), key=lambda found: _place(*found)):
            del at
            out += _item([part for _, part in group], taken, losses)
        return out
    if len(message.parts) == 1 and isinstance(message.parts[0], OpaquePart) and "~item" in message.parts[0].body:
        return [message.parts[0].body["~item"]]
    told = message.extra.get("~item")
    others = dict(told) if isinstance(told, dict) else {}
    content: Any = [part_out(part, "input_text") for part in message.parts]
    if message.plain and len(content) == 1:
        content = content[0]["text"]
    if message.role == "tool":
        kind = "custom_tool_call_output" if message.custom else "function_call_output"
        return [{"type": kind, "call_id": message.tool_call_id, "output": content, **others}]
    return [{"role": message.role, "content": content, **others}]


def _place(number: int, part: Part) -> Any:
    """Which item a part is of; a part without one is an item of its own."""
    at = None if isinstance(part, OpaquePart) else part.extra.get("~place")
    if at is None and isinstance(part, ReasoningPart) and part.id is not None:
        return part.id  # one that was put back, of an answer
    return (number, None) if at is None else at


def _item(parts: list[Part], taken: frozenset[str] | None, losses: Losses | None) -> list[Body]:
    """One item of the model's, from its parts."""
    first = parts[0]
    if isinstance(first, OpaquePart):
        return [first.body["~item"]] if "~item" in first.body else []
    told = first.extra.get("~sent")
    known: Body = told if isinstance(told, dict) else {}
    if isinstance(first, ReasoningPart):
        return _thought([part for part in parts if isinstance(part, ReasoningPart)], known, taken, losses)
    if isinstance(first, ToolCallPart):
        return [call(first, known)]
    content: Any = [part_out(part, "output_text") for part in parts]
    if first.extra.get("~plain"):
        content = content[0]["text"]
    return [{"role": "assistant", **known, "content": content}]


def _thought(
    parts: list[ReasoningPart], known: Body, taken: frozenset[str] | None, losses: Losses | None
) -> list[Body]:
    if taken is None:
        return [known] if known else thought(parts)
    if taken is ANYBODYS:
        packed = unpack(known.get("encrypted_content") or "") is not None
        return [known] if known and not packed else [{**some({"id": known.get("id")}), **signed_thought(parts)}]
    format_ = next((part.format for part in parts if part.format is not None), None)
    own = format_ is None or format_ in taken
    if not known:
        if own and any(part.form == "encrypted" for part in parts):
            return thought(parts)
    elif unpack(known.get("encrypted_content") or "") is None and known.get("signature") is None:
        # A provider's own answer does not say whose it is.
        if own or (known.get("format") is None and format_ == OPENAI):
            return [{key: said for key, said in known.items() if key not in ("format", "signature")}]
    elif own and any(part.form == "encrypted" for part in parts):
        return thought(parts)
    if losses is not None and any(part.text or part.signature for part in parts):
        losses.add("input[].reasoning", ANOTHERS)
    return []
