"""A chat request on its way: checked as it comes, and as it leaves.

`leave` is the last step of both ways through: relayed or translated, the same fields are ours and stay here. `read`
makes a request of it in our words, `write` a client's own body again, `foreign` the body of another dialect's request.
"""

from typing import Any

import msgspec

from trunkline.dialects.common.custom_tools import grammar
from trunkline.dialects.common.json_input import envelope
from trunkline.dialects.common.request_fields import value
from trunkline.dialects.interfaces import Call, Encoded, Quirks
from trunkline.dialects.openai_chat import request_native, request_thinking, request_translated
from trunkline.dialects.openai_chat.request_decoder import REASONING, SAMPLING
from trunkline.dialects.openai_chat.request_schema import ToolShape, check
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.preferences import NO_PREFERENCES
from trunkline.model.request import Reasoning, Request

ONCE = (b'"model"', b'"messages"', b'"provider"')

OURS = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning", "reasoning",
     "speed", "x_search_filter", "structured_outputs"}
)  # fmt: skip
"""Fields that tell us what to do and no upstream of this dialect; a provider's `keep` makes exceptions."""

DROPPABLE = frozenset(SAMPLING) - {"n"}
"""Left out for an endpoint whose `parameters` do not name them: an answer without is better than none."""

_json = msgspec.json.Encoder()


def parse(body: bytes) -> Call:
    """As `Client.parse`."""
    fields = envelope(body, ONCE)
    shape = check(body)
    options = shape.stream_options
    if shape.tools is not None and any(tool.flat for tool in shape.tools):
        fields["tools"] = _nested(value(fields["tools"]), shape.tools)
    return Call(
        envelope=fields,
        model=shape.model,
        models=tuple(shape.models or ()),
        stream=bool(shape.stream),
        max_output=shape.max_tokens if shape.max_completion_tokens is None else shape.max_completion_tokens,
        choices=shape.n or 1,
        wants_usage=options is not None and bool(options.include_usage),
        preferences=shape.provider or NO_PREFERENCES,
        session_id=shape.session_id,
        user=shape.user,
    )


def _nested(tools: list[dict[str, Any]], shapes: list[ToolShape]) -> msgspec.Raw:
    """*tools* with those that are flat, as Cursor's are, as chat has them."""
    inside = ("name", "description", "parameters", "strict", "format")
    found: list[dict[str, Any]] = []
    for tool, shape in zip(tools, shapes, strict=True):
        if shape.flat:
            inner = {key: tool[key] for key in inside if key in tool}
            if shape.type == "custom" and "format" in inner:
                inner["format"] = grammar(inner["format"])
            rest = {key: said for key, said in tool.items() if key not in inner and key not in ("type", shape.type)}
            tool = {"type": shape.type, shape.type: inner, **rest}
        found.append(tool)
    return msgspec.Raw(_json.encode(found))


def relay(call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Relay.request`."""
    fields: dict[str, Any] = dict(call.envelope)
    losses = Losses()
    if request_thinking.rewrites(quirks) and b'"reasoning' in bytes(call.envelope["messages"]):
        fields["messages"] = request_thinking.rewrite(value(fields["messages"]), quirks, losses)
    return Encoded(body=leave(fields, call.stream, endpoint, quirks, losses), losses=losses.found())


def encode(request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Upstream.encode`."""
    losses = Losses()
    if request.dialect == "chat":
        fields = request_native.to_wire(request)
        if request_thinking.rewrites(quirks):
            fields["messages"] = request_thinking.rewrite(fields["messages"], quirks, losses)
    else:
        fields = request_translated.to_wire(request, endpoint, quirks, losses)
    return Encoded(body=leave(fields, request.stream, endpoint, quirks, losses), losses=losses.found())


def leave(fields: dict[str, Any], stream: bool, endpoint: Endpoint, quirks: Quirks, losses: Losses) -> bytes:
    """*fields*, the top level of a chat body (values as Python's or as `Raw`), as they leave for *endpoint*."""
    if "reasoning" in fields or "reasoning_effort" in fields:
        _think(fields, quirks, losses)
    if not OURS.isdisjoint(fields):
        for key in OURS.intersection(fields):
            if key not in quirks.keep and not (key == "reasoning" and quirks.reasoning_request == "reasoning"):
                del fields[key]
    if quirks.model_in_body:
        fields["model"] = endpoint.upstream_model
    else:
        fields.pop("model", None)
    if stream and quirks.stream_usage:
        fields["stream_options"] = {**(value(fields.get("stream_options")) or {}), "include_usage": True}
    elif "stream_options" in fields:
        del fields["stream_options"]
    if quirks.max_output_field is not None:
        other = "max_tokens" if quirks.max_output_field == "max_completion_tokens" else "max_completion_tokens"
        if other in fields:
            given = fields.pop(other)
            if not _null(given) and (other == "max_completion_tokens" or _null(fields.get(quirks.max_output_field))):
                fields[quirks.max_output_field] = given
    for key in quirks.drop:
        if key in fields and not _null(fields.pop(key)):
            losses.add(key, "the provider does not take it")
    if endpoint.parameters:
        for key in DROPPABLE.intersection(fields) - endpoint.parameters:
            if not _null(fields.pop(key)):
                losses.add(key, "the endpoint does not take it")
    for key, said in quirks.body.items():
        fields.setdefault(key, said)
    return _json.encode(fields)


def _null(given: Any) -> bool:
    return given is None or (isinstance(given, msgspec.Raw) and bytes(given) == b"null")


def _think(fields: dict[str, Any], quirks: Quirks, losses: Losses) -> None:
    """Put what a client says of thinking in the provider's words."""
    if quirks.reasoning_request in request_thinking.OWN_WORDS:
        _in_own_words(fields, quirks, losses)
        return
    reasoning = value(fields.get("reasoning"))
    if "reasoning" in quirks.keep or quirks.reasoning_request == "reasoning" or "reasoning_effort" in fields:
        return
    if not isinstance(reasoning, dict):
        return
    effort = reasoning.get("effort")
    enabled = reasoning.get("enabled")
    if effort is None and enabled is False:
        effort = "none"
    elif effort is None and (enabled or reasoning.get("max_tokens")):
        effort = "medium"
    if effort is not None:
        fields["reasoning_effort"] = effort


def _in_own_words(fields: dict[str, Any], quirks: Quirks, losses: Losses) -> None:
    """As `_think`, for a provider that has a switch; what the client said in the provider's words stands."""
    given = value(fields.pop("reasoning", None))
    said: dict[str, Any] = {key: given.get(key) for key in REASONING} if isinstance(given, dict) else {}
    effort = value(fields.pop("reasoning_effort", None))
    if effort is not None:
        said["effort"] = effort
    if not any(key in fields for key in request_thinking.OWN_WORDS[quirks.reasoning_request]):
        limit = value(fields.get("max_completion_tokens")) or value(fields.get("max_tokens"))
        fields.update(request_thinking.words(Reasoning(**said), quirks, limit, losses))
