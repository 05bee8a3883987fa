"""A chat request for a provider.

`leave` is the last step of both ways, relayed and translated: it removes the fields that are for the gateway.
`request_native` writes a chat client's own request again, `request_translated` a request of another dialect.
"""

from typing import Any

import msgspec

from trunkline.dialects.common.request_fields import value
from trunkline.dialects.interfaces import Call, Encoded, Quirks
from trunkline.dialects.openai_chat import request_native, request_thinking, request_translated
from trunkline.dialects.openai_chat.vocabulary import REASONING, SAMPLING
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import Reasoning, Request

OURS = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning", "reasoning",
     "speed", "x_search_filter", "structured_outputs"}
)  # fmt: skip
"""Fields that tell us what to do and no upstream of this dialect; a provider's `keep` makes exceptions."""

DROPPABLE = frozenset(SAMPLING) - {"n"}
"""Left out for an endpoint whose `parameters` do not name them: an answer without is better than none."""

_json = msgspec.json.Encoder()


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
