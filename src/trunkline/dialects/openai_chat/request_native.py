"""A chat client's own request, written again field by field: nothing differs from what it sent. See `read`."""

from typing import Any

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.request_fields import some, within
from trunkline.dialects.openai_chat import request_tools
from trunkline.dialects.openai_chat.vocabulary import DETAILS, REASONING, SAME, SAMPLING, THOUGHTS
from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    RefusalPart,
    Request,
    ResponseFormat,
    TextPart,
    ToolCallPart,
    VideoPart,
)


def to_wire(request: Request) -> dict[str, Any]:
    """The top level of a chat body, what it is before what may be long: some servers look at its beginning."""
    body: dict[str, Any] = {} if request.model is None else {"model": request.model}
    spelling = request.spelling
    if request.stream or "stream" in spelling:
        body["stream"] = request.stream
    body.update(request.extra)
    body["messages"] = [_message(message) for message in request.messages]
    sampling = {key: getattr(request.sampling, key) for key in SAMPLING}
    plain = {key: getattr(request, key) for key in ("model", "metadata", *SAME)}
    body.update({key: value for key, value in (sampling | plain).items() if value is not None})
    if request.sampling.stop is not None:
        body["stop"] = request.sampling.stop[0] if spelling.get("stop") == "string" else list(request.sampling.stop)
    if request.max_output is not None:
        body[spelling.get("max_output", "max_completion_tokens")] = request.max_output
    if request.modalities is not None:
        body["modalities"] = list(request.modalities)
    if request.cache is not None:
        body = {**cache_control.encode(request.cache), **body}
    request_tools.put_native(body, request)
    if request.response_format is not None:
        body["response_format"] = shape(request.response_format)
    if request.reasoning is not None:
        _thinking(body, request.reasoning, spelling.get("reasoning"))
    return body


def _message(message: Message) -> dict[str, Any]:
    old = message.extra.get("role", "") is None
    body: dict[str, Any] = {"role": "function" if old else message.role}
    content: list[dict[str, Any]] = []
    listed: dict[str, list[dict[str, Any]]] = {"tool_calls": [], "reasoning_details": [], "images": []}
    thought = "".join(
        part.text for part in message.parts if isinstance(part, ReasoningPart) and part.form != "encrypted"
    )
    for part in message.parts:
        match part:
            case ToolCallPart(extra={"function_call": None, **rest}):
                body["function_call"] = {"name": part.name, "arguments": part.arguments, **rest}
            case ToolCallPart():
                listed["tool_calls"].append(_call(part))
            case ReasoningPart():
                _reasoning(part, thought, body, listed["reasoning_details"])
            case RefusalPart(text=text, extra={"refusal": None}):
                body["refusal"] = text
            case TextPart(extra={"transcript": None}):
                pass
            case ImagePart(extra={"images": None}):
                listed["images"].append(_said_image(part))
            case OpaquePart(body={"tool_call": dict(found), **rest}) if not rest:
                listed["tool_calls"].append(found)
            case OpaquePart(body={"reasoning_detail": dict(found), **rest}) if not rest:
                listed["reasoning_details"].append(found)
            case _:
                content.append(_part(part))
                if isinstance(part, TextPart) and part.citations:
                    body["annotations"] = [citation.native for citation in part.citations]
    if message.plain and len(content) == 1:
        body["content"] = content[0]["text"]
    elif content:
        body["content"] = content
    body.update(some(name=message.name, tool_call_id=None if old else message.tool_call_id))
    body.update({key: values for key, values in listed.items() if values})
    return {
        **body,
        **cache_control.encode(message.cache),
        **{k: v for k, v in message.extra.items() if k != "role" or v},
    }


def _reasoning(part: ReasoningPart, whole: str, body: dict[str, Any], details: list[dict[str, Any]]) -> None:
    """Reasoning under each name that it had; *whole* is the text of all of the message's."""
    places = [key for key in THOUGHTS if part.extra.get(key, "") is None]
    if part.form == "plain":
        body.update(dict.fromkeys(places or THOUGHTS[:1], part.text))
        return
    details.append(_detail(part, {key: said for key, said in part.extra.items() if key not in places}))
    body.update(dict.fromkeys(places, whole))


def _part(part: Part) -> dict[str, Any]:
    match part:
        case TextPart(text=text, cache=cache, extra=extra):
            return {"type": "text", "text": text, **cache_control.encode(cache), **extra}
        case RefusalPart(text=text, extra=extra):
            return {"type": "refusal", "refusal": text, **extra}
        case ImagePart(cache=cache, extra=extra):
            body = {"type": "image_url", "image_url": _image_url(part), **cache_control.encode(cache)}
            return within(body, extra, "image_url")
        case AudioPart(data=data, format=format_, cache=cache, extra=extra):
            body = {
                "type": "input_audio",
                "input_audio": {"data": data, "format": format_},
                **cache_control.encode(cache),
            }
            return within(body, extra, "input_audio")
        case VideoPart(url=url, spelling=spelling, cache=cache, extra=extra):
            return within(
                {"type": spelling, "video_url": {"url": url}, **cache_control.encode(cache)}, extra, "video_url"
            )
        case FilePart(data=data, file_id=file_id, filename=filename, cache=cache, extra=extra):
            file = some(filename=filename, file_data=data, file_id=file_id)
            return within({"type": "file", "file": file, **cache_control.encode(cache)}, extra, "file")
        case OpaquePart(body=body):
            return body
        case _:
            raise AssertionError(part)


def _image_url(part: ImagePart) -> dict[str, Any]:
    return {"url": part.url, **some(detail=part.detail)}


def _said_image(part: ImagePart) -> dict[str, Any]:
    """An image that an assistant made."""
    extra = {key: value for key, value in part.extra.items() if key != "images"}
    body = within(
        {"type": "image_url", "image_url": _image_url(part), **cache_control.encode(part.cache)}, extra, "image_url"
    )
    if "type" in extra and extra["type"] is None:
        del body["type"]
    return body


def _detail(part: ReasoningPart, extra: dict[str, Any]) -> dict[str, Any]:
    kind, key = DETAILS.get(part.form, ("reasoning.server_tool_call", "text"))
    body: dict[str, Any] = {"type": kind}
    if part.text:
        body[key] = part.text
    body.update(some(signature=part.signature, format=part.format, id=part.id))
    return {**body, **extra}


def _call(part: ToolCallPart) -> dict[str, Any]:
    kind = "custom" if part.custom else "function"
    said = {"name": part.name, "input" if part.custom else "arguments": part.arguments}
    body = within({"id": part.id, "type": kind, kind: said}, part.extra, kind)
    if body["type"] is None:
        del body["type"]
    return body


def shape(found: ResponseFormat) -> dict[str, Any]:
    """The response format as it came."""
    if found.kind != "json_schema" or found.name is None:
        return {"type": found.kind, **found.extra}
    inner = some(name=found.name, description=found.description, schema=found.schema, strict=found.strict)
    return within({"type": "json_schema", "json_schema": inner}, found.extra, "json_schema")


def _thinking(body: dict[str, Any], reasoning: Reasoning, spelling: str | None) -> None:
    inner = {key: value for key in REASONING if (value := getattr(reasoning, key)) is not None}
    if spelling is not None:
        body["reasoning_effort"] = reasoning.effort
    if spelling == "beside":
        del inner["effort"]
    if spelling != "reasoning_effort":
        body["reasoning"] = {**inner, **reasoning.extra}
