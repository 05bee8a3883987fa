"""A request of another dialect, said in this one.

Source: OpenRouter's OpenAPI document, `ResponsesRequest`; OpenRouter, "Reasoning tokens" and "Prompt caching".
"""

import re
from collections.abc import Iterable

from trunkline.dialects.common.ids import pseudonym
from trunkline.dialects.common.json_schema import to_subset
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses import request_thinking, request_tools
from trunkline.dialects.openai_responses.request_items import NO_FIELD, Body, lost, some
from trunkline.dialects.openai_responses.request_messages import Writer, leading, text_of
from trunkline.families.lookup import family_of
from trunkline.model.endpoint import Endpoint
from trunkline.model.loss import Losses
from trunkline.model.request import (
    Request,
)

LEAST_OUTPUT = 16
"""Less is answered with 400."""
SAME = ("temperature", "top_p", "frequency_penalty", "presence_penalty")
NONE = ("top_k", "top_a", "min_p", "repetition_penalty", "seed", "logit_bias", "stop")
TIERS = {"fast": "priority", "standard": "default", "standard_only": "default"}
"""Other dialects' words for a tier → OpenAI's."""


def to_wire(request: Request, endpoint: Endpoint, quirks: Quirks, taken: frozenset[str], losses: Losses) -> Body:
    """The top level of a body; *taken* are the formats of the thoughts that this provider reads, `*` for OpenRouter."""
    body: Body = {"stream": request.stream} if request.stream else {}
    messages = list(request.messages)
    first = leading(messages)
    told = [text for message in first if (text := text_of(message))]
    if told:
        body["instructions"] = "\n\n".join(told)
    writer = Writer(request, taken, losses, marks=family_of(endpoint.upstream_model).cache_breakpoints)
    body["input"] = writer.all(messages[len(first) :], len(first))
    body.update(some({key: getattr(request.sampling, key) for key in SAME}))
    body.update(
        some(
            {
                "max_output_tokens": None if request.max_output is None else max(request.max_output, LEAST_OUTPUT),
                "parallel_tool_calls": request.parallel_tool_calls,
                "metadata": request.metadata,
                "user": None if request.user is None else pseudonym(request.user),
                "prompt_cache_key": request.prompt_cache_key,
                "service_tier": TIERS.get(request.service_tier or "", request.service_tier),
            }
        )
    )
    request_tools.put(body, request, quirks, losses)
    _text_settings(body, request, quirks, losses)
    request_thinking.put(body, request)
    _logprobs(body, request)
    _lost(request, losses)
    return body


def _text_settings(body: Body, request: Request, quirks: Quirks, losses: Losses) -> None:
    text: Body = {}
    shape = request.response_format
    if shape is not None and shape.kind == "json_schema" and shape.schema is not None:
        strict = shape.strict if shape.strict is not None else request.dialect != "chat"
        schema, gone = to_subset(shape.schema, request_tools.subset_of(request, quirks, strict=strict))
        for path in gone:
            losses.add(f"response_format.{path}", "the provider's subset of JSON Schema has no such word")
        name = re.sub(r"[^A-Za-z0-9_-]", "_", shape.name or "response")[:64]
        said = {"type": "json_schema", "name": name, "schema": schema, "strict": strict}
        text["format"] = {**said, **some({"description": shape.description})}
    elif shape is not None and shape.kind in ("text", "json_object"):
        text["format"] = {"type": shape.kind}
    elif shape is not None:
        losses.add("response_format", NO_FIELD)
    if request.verbosity is not None:
        text["verbosity"] = request.verbosity
    if text:
        body["text"] = text


def _logprobs(body: Body, request: Request) -> None:
    if request.sampling.logprobs or request.sampling.top_logprobs:
        body["include"] = ["reasoning.encrypted_content", "message.output_text.logprobs"]
        body["top_logprobs"] = request.sampling.top_logprobs or 0


def _lost(request: Request, losses: Losses) -> None:
    """What is said beside the messages, and cannot be said here."""
    for key in NONE:
        if getattr(request.sampling, key) not in (None, (), {}):
            losses.add(key, NO_FIELD)
    if (request.sampling.n or 1) > 1:
        losses.add("n", "a response has one choice")
    if request.modalities and set(request.modalities) != {"text"}:
        losses.add("modalities", NO_FIELD)
    lost(losses, "", {key: said for key, said in request.extra.items() if key not in KNOWN})


KNOWN: Iterable[str] = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stream_options", "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning",
     "fallbacks", "speed", "prompt_cache_options"}
)  # fmt: skip
"""Fields that tell us what to do: nothing of them is lost, since no provider was to have them."""
