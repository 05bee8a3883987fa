"""A Responses client's own request, written again item by item as it came.

Source: OpenRouter's OpenAPI document, `ResponsesRequest`.
"""

from itertools import groupby
from typing import Any

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.reasoning import OPENAI, unpack
from trunkline.dialects.openai_responses.request_decoder import REASONING, SAME, SAMPLING
from trunkline.dialects.openai_responses.request_items import Body, call, part_out, signed_thought, some, thought
from trunkline.dialects.openai_responses.request_messages import ANOTHERS
from trunkline.dialects.openai_responses.request_thinking import ANYBODYS
from trunkline.dialects.openai_responses.request_tools import choice, tools
from trunkline.model.loss import Losses
from trunkline.model.request import (
    Message,
    OpaquePart,
    Origin,
    Part,
    ReasoningPart,
    Request,
    TextPart,
    ToolCallPart,
)


def to_wire(request: Request, taken: frozenset[str] | None = None, losses: Losses | None = None) -> Body:
    """The top level of a body from a request of this dialect: what the client sent, field by field.

    *taken* are the formats of the thoughts that may go; where it is None all go as they came.
    """
    body: Body = {**request.extra, **request.defaults}
    if request.stream or "stream" in request.spelling:
        body["stream"] = request.stream
    messages = list(request.messages)
    if messages and messages[0].instructions:
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
        body.setdefault("cache_control", cache_control.encode_mark(request.cache))


def _items(message: Message, taken: frozenset[str] | None, losses: Losses | None) -> list[Body]:
    """The items of one message."""
    if message.role == "assistant":
        out: list[Body] = []
        for at, group in groupby(enumerate(message.parts), key=lambda found: _place(*found)):
            del at
            out += _item([part for _, part in group], taken, losses)
        return out
    if len(message.parts) == 1 and isinstance(message.parts[0], OpaquePart) and message.parts[0].item:
        return [message.parts[0].body]
    content: Any = [part_out(part, "input_text") for part in message.parts]
    if message.plain and len(content) == 1:
        content = content[0]["text"]
    if message.role == "tool":
        kind = "custom_tool_call_output" if message.custom else "function_call_output"
        return [{"type": kind, "call_id": message.tool_call_id, "output": content, **message.item}]
    return [{"role": message.role, "content": content, **message.item}]


def _place(number: int, part: Part) -> Any:
    """Which item a part is of; a part without one is an item of its own."""
    origin = None if isinstance(part, OpaquePart) else part.origin
    at = None if origin is None else origin.at
    if at is None and isinstance(part, ReasoningPart) and part.id is not None:
        return part.id  # one that was put back, of an answer
    return (number, None) if at is None else at


def _item(parts: list[Part], taken: frozenset[str] | None, losses: Losses | None) -> list[Body]:
    """One item of the model's, from its parts."""
    first = parts[0]
    if isinstance(first, OpaquePart):
        return [first.body] if first.item else []
    origin = first.origin or Origin()
    known: Body = origin.item or {}
    if isinstance(first, ReasoningPart):
        return _thought([part for part in parts if isinstance(part, ReasoningPart)], known, taken, losses)
    if isinstance(first, ToolCallPart):
        return [call(first, known)]
    content: Any = [part_out(part, "output_text") for part in parts]
    if origin.plain:
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
