"""A chat request, read and written. Source: wire-chat §1–§6.

`leave` is the last step of both ways through: relayed or translated, the same fields are ours and stay here.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from trunkline.dialects.base import Call, Encoded, Quirks
from trunkline.dialects.limits import envelope, invalid
from trunkline.dialects.openai_chat.decode import FORMS
from trunkline.dialects.openai_chat.wire import check
from trunkline.model.endpoint import Endpoint
from trunkline.model.preferences import NO_PREFERENCES
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
    Role,
    Sampling,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
    VideoPart,
)

ONCE = (b'"model"', b'"messages"', b'"provider"')

OURS = frozenset(
    {"models", "route", "provider", "plugins", "preset", "session_id", "trace", "debug", "transforms", "usage",
     "stop_server_tools_when", "deferred_tools", "max_tool_calls", "gateway", "include_reasoning", "reasoning",
     "speed", "x_search_filter", "structured_outputs"}
)  # fmt: skip
"""Fields that tell us what to do and no upstream of this dialect; a provider's `keep` makes exceptions."""

SAMPLING = (
    "temperature", "top_p", "top_k", "top_a", "min_p", "frequency_penalty", "presence_penalty", "repetition_penalty",
    "seed", "logit_bias", "logprobs", "top_logprobs", "n",
)  # fmt: skip
DROPPABLE = frozenset(SAMPLING) - {"n"}
"""Left out for an endpoint whose `parameters` do not name them: an answer without is better than none."""

_SAME = ("user", "service_tier", "verbosity", "prompt_cache_key", "parallel_tool_calls")
_REASONING = ("effort", "summary", "max_tokens", "exclude", "enabled")
_any = msgspec.json.Decoder()
_json = msgspec.json.Encoder()


def parse(body: bytes) -> Call:
    """As `Client.parse`."""
    fields = envelope(body, ONCE)
    shape = check(body)
    options = shape.stream_options
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


def relay(call: Call, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Relay.request`."""
    return Encoded(body=leave(dict(call.envelope), call.stream, endpoint, quirks))


def _value(given: Any) -> Any:
    """*given*, which may be bytes that have not been looked into, as Python's.

    Raises:
        InvalidRequest: a number or a string in it that JSON allows and nobody can hold.
    """
    if not isinstance(given, msgspec.Raw):
        return given
    try:
        return _any.decode(given)
    except (msgspec.DecodeError, RecursionError, ValueError) as error:
        raise invalid(error) from error


def leave(fields: dict[str, Any], stream: bool, endpoint: Endpoint, quirks: Quirks) -> bytes:
    """*fields*, the top level of a chat body (values as Python's or as `Raw`), as they leave for *endpoint*."""
    if not OURS.isdisjoint(fields):
        _keep_ours(fields, quirks)
    fields["model"] = endpoint.upstream_model
    if stream and quirks.stream_usage:
        fields["stream_options"] = {**(_value(fields.get("stream_options")) or {}), "include_usage": True}
    elif "stream_options" in fields:
        del fields["stream_options"]
    if quirks.max_output_field is not None:
        other = "max_tokens" if quirks.max_output_field == "max_completion_tokens" else "max_completion_tokens"
        if other in fields:
            given = fields.pop(other)
            if not _null(given) and (other == "max_completion_tokens" or _null(fields.get(quirks.max_output_field))):
                fields[quirks.max_output_field] = given
    for key in quirks.drop:
        fields.pop(key, None)
    if endpoint.parameters:
        for key in DROPPABLE.intersection(fields) - endpoint.parameters:
            del fields[key]
    return _json.encode(fields)


def _null(given: Any) -> bool:
    return given is None or (isinstance(given, msgspec.Raw) and bytes(given) == b"null")


def _keep_ours(fields: dict[str, Any], quirks: Quirks) -> None:
    """Take our own fields out; reasoning that the upstream has only the short word for is put in that word."""
    reasoning = fields.get("reasoning")
    for key in OURS.intersection(fields):
        if key not in quirks.keep:
            del fields[key]
    if reasoning is None or "reasoning" in quirks.keep or "reasoning_effort" in fields:
        return
    given = _value(reasoning)
    if not isinstance(given, dict):
        return
    effort = given.get("effort")
    if effort is None and given.get("enabled") is not False and (given.get("enabled") or given.get("max_tokens")):
        effort = "medium"
    elif effort is None and given.get("enabled") is False:
        effort = "none"
    if effort is not None:
        fields["reasoning_effort"] = effort


def decode(call: Call) -> Request:
    """The whole request in our words; `call` has been checked."""
    fields: dict[str, Any] = {key: _value(raw) for key, raw in call.envelope.items()}
    take = _Taker(fields)
    spelling: dict[str, str] = {}
    stop = take("stop")
    if isinstance(stop, str):
        spelling["stop"] = "string"
        stop = [stop]
    max_output = take("max_completion_tokens")
    if max_output is None:
        max_output = take("max_tokens")
        if max_output is not None:
            spelling["max_output"] = "max_tokens"
    found, effort = take("reasoning"), take("reasoning_effort")
    reasoning = None if found is None else _thinking(found)
    if effort is not None:
        spelling["reasoning"] = "reasoning_effort" if reasoning is None else "both" if reasoning.effort else "beside"
        reasoning = replace(reasoning or Reasoning(), effort=effort)
    tools = take("tools")
    modalities = take("modalities")
    sampling = {key: take(key) for key in SAMPLING}
    same = {key: take(key) for key in _SAME}
    messages, choice, shape = take("messages"), take("tool_choice"), take("response_format")
    metadata, model, stream = take("metadata"), take("model"), take("stream")
    return Request(
        dialect="chat",
        messages=tuple(_message(found) for found in messages),
        model=model,
        stream=bool(stream),
        sampling=Sampling(stop=None if stop is None else tuple(stop), **sampling),
        max_output=max_output,
        tools=None if tools is None else tuple(_tool(found) for found in tools),
        tool_choice=None if choice is None else _choice(choice),
        response_format=None if shape is None else _format(shape),
        reasoning=reasoning,
        metadata=metadata,
        modalities=None if modalities is None else tuple(modalities),
        extra=fields,
        spelling={**spelling, **({"stream": "false"} if stream is False else {})},
        **same,
    )


class _Taker:
    """Takes named fields out of an object; an explicit null stays there, and so comes back as it was."""

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields

    def __call__(self, key: str) -> Any:
        """The value of *key*, which is then gone; None where it is missing or null."""
        value = self._fields.get(key)
        if value is not None:
            del self._fields[key]
        return value


def _message(found: dict[str, Any]) -> Message:
    fields = dict(found)
    take = _Taker(fields)
    role = cast("Role", take("role"))
    parts: list[Part] = []
    if role == "assistant" and fields.get("reasoning_details"):
        parts += [_detail(detail) for detail in take("reasoning_details")]
    content = take("content")
    plain = isinstance(content, str)
    if plain:
        parts.append(TextPart(content))
    else:
        parts += [_part(part) for part in content or ()]
    if fields.get("tool_calls"):
        parts += [_tool_call(call) for call in take("tool_calls")]
    if content == []:
        fields["content"] = []
    return Message(
        role=role, parts=tuple(parts), plain=plain, name=take("name"), tool_call_id=take("tool_call_id"), extra=fields
    )


def _rest(found: dict[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in known}


def _image(found: dict[str, Any]) -> Part:
    image = found["image_url"]
    extra = _rest(found, "type", "image_url")
    if inner := {key: said for key, said in image.items() if key not in ("url", "detail") or said is None}:
        extra["image_url"] = inner
    return ImagePart(image["url"], detail=image.get("detail"), extra=extra)


def _audio(found: dict[str, Any]) -> Part:
    audio = found["input_audio"]
    extra = _rest(found, "type", "input_audio")
    if inner := _rest(audio, "data", "format"):
        extra["input_audio"] = inner
    return AudioPart(audio["data"], audio["format"], extra=extra)


def _video(found: dict[str, Any]) -> Part:
    video = found["video_url"]
    extra = _rest(found, "type", "video_url")
    if inner := _rest(video, "url"):
        extra["video_url"] = inner
    return VideoPart(video["url"], spelling=found["type"], extra=extra)


def _file(found: dict[str, Any]) -> Part:
    file = found["file"]
    extra = _rest(found, "type", "file")
    inner = {key: value for key, value in file.items() if value is None or key not in _FILE}
    if inner:
        extra["file"] = inner
    return FilePart(data=file.get("file_data"), file_id=file.get("file_id"), filename=file.get("filename"), extra=extra)


_FILE = ("file_data", "file_id", "filename")

PARTS: dict[str, Callable[[dict[str, Any]], Part]] = {
    "text": lambda found: TextPart(found["text"], extra=_rest(found, "type", "text")),
    "refusal": lambda found: RefusalPart(found["refusal"], extra=_rest(found, "type", "refusal")),
    "image_url": _image,
    "input_audio": _audio,
    "video_url": _video,
    "input_video": _video,
    "file": _file,
}
"""A part's type → its reader."""


def _part(found: dict[str, Any]) -> Part:
    reader = PARTS.get(found["type"])
    return OpaquePart(found) if reader is None else reader(found)


def _detail(found: dict[str, Any]) -> Part:
    kind = found.get("type")
    if not isinstance(kind, str) or kind not in FORMS:
        return OpaquePart({"reasoning_detail": found})
    form, key = FORMS[kind]
    fields = _rest(found, "type")
    take = _Taker(fields)
    text = take(key) if fields.get(key) else ""  # an empty one stays where it is, since it may be missing altogether
    return ReasoningPart(
        form=form, text=text, signature=take("signature"), format=take("format"), id=take("id"), extra=fields
    )


def _tool_call(found: dict[str, Any]) -> Part:
    custom = found.get("type") == "custom"
    kind = "custom" if custom else "function"
    inner = found.get(kind)
    if not isinstance(inner, dict):
        return OpaquePart({"tool_call": found})
    key = "input" if custom else "arguments"
    extra = _rest(found, "id", kind)
    if extra.get("type") == kind:
        del extra["type"]
    else:
        extra.setdefault("type", None)
    if rest := _rest(inner, "name", key):
        extra[kind] = rest
    return ToolCallPart(found["id"], inner["name"], inner[key], custom=custom, extra=extra)


def _tool(found: dict[str, Any]) -> Tool:
    function = found.get("function")
    kind = found.get("type", "function")
    if kind != "function" or not isinstance(function, dict):
        return Tool(kind=kind, extra=_rest(found, "type"))
    fields = dict(function)
    take = _Taker(fields)
    extra = _rest(found, "type", "function")
    if "type" not in found:
        extra["type"] = None
    return Tool(
        kind="function",
        name=take("name"),
        description=take("description"),
        parameters=take("parameters"),
        strict=take("strict"),
        extra={**extra, "function": fields} if fields else extra,
    )


def _choice(found: Any) -> ToolChoice:
    if isinstance(found, str):
        return ToolChoice(mode=cast("Any", found))
    function = found.get("function")
    if found.get("type") == "function" and isinstance(function, dict):
        extra = _rest(found, "type", "function")
        if inner := _rest(function, "name"):
            extra["function"] = inner
        return ToolChoice(mode="tool", name=function.get("name"), extra=extra)
    return ToolChoice(mode="opaque", kind=found.get("type", ""), extra=_rest(found, "type"))


def _format(found: dict[str, Any]) -> ResponseFormat:
    inner = found.get("json_schema")
    if found["type"] != "json_schema" or not isinstance(inner, dict):
        return ResponseFormat(kind=found["type"], extra=_rest(found, "type"))
    fields = dict(inner)
    take = _Taker(fields)
    extra = _rest(found, "type", "json_schema")
    return ResponseFormat(
        kind="json_schema",
        name=take("name"),
        description=take("description"),
        schema=take("schema"),
        strict=take("strict"),
        extra={**extra, "json_schema": fields} if fields else extra,
    )


def _thinking(found: dict[str, Any]) -> Reasoning:
    fields = dict(found)
    take = _Taker(fields)
    return Reasoning(**{key: take(key) for key in _REASONING}, extra=fields)


def encode(request: Request, endpoint: Endpoint, quirks: Quirks) -> Encoded:
    """As `Upstream.encode`."""
    return Encoded(body=leave(to_wire(request), request.stream, endpoint, quirks))


def to_wire(request: Request) -> dict[str, Any]:
    """The top level of a chat body. Of a chat client's own request it is what the client sent, field by field."""
    same = request.dialect == "chat"
    # What it is comes before what may be long: some servers look at the beginning of a body.
    body: dict[str, Any] = {} if request.model is None else {"model": request.model}
    if request.stream or (same and "stream" in request.spelling):
        body["stream"] = request.stream
    if same:
        body.update(request.extra)
    spelling = request.spelling if same else {}
    body["messages"] = [_message_out(message, same) for message in request.messages]
    sampling = {key: getattr(request.sampling, key) for key in SAMPLING}
    plain = {key: getattr(request, key) for key in ("model", "metadata", *_SAME)}
    body.update({key: value for key, value in (sampling | plain).items() if value is not None})
    if request.sampling.stop is not None:
        body["stop"] = request.sampling.stop[0] if spelling.get("stop") == "string" else list(request.sampling.stop)
    if request.max_output is not None:
        body[spelling.get("max_output", "max_completion_tokens")] = request.max_output
    if request.modalities is not None:
        body["modalities"] = list(request.modalities)
    if request.tools is not None:
        body["tools"] = [_tool_out(tool, same) for tool in request.tools]
    if request.tool_choice is not None:
        body["tool_choice"] = _choice_out(request.tool_choice)
    if request.response_format is not None:
        body["response_format"] = _format_out(request.response_format, same)
    if request.reasoning is not None:
        _thinking_out(body, request.reasoning, spelling.get("reasoning"), same)
    return body


def _some(**fields: Any) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if value is not None}


def _message_out(message: Message, same: bool) -> dict[str, Any]:
    body: dict[str, Any] = {"role": message.role}
    content: list[dict[str, Any]] = []
    calls: list[dict[str, Any]] = []
    details: list[dict[str, Any]] = []
    for part in message.parts:
        match part:
            case ToolCallPart():
                calls.append(_call_out(part, same))
            case ReasoningPart():
                details.append(_detail_out(part, same))
            case OpaquePart(body={"tool_call": dict(found), **rest}) if not rest:
                calls.append(found)
            case OpaquePart(body={"reasoning_detail": dict(found), **rest}) if not rest:
                details.append(found)
            case _:
                content.append(_part_out(part, same))
    if message.plain and len(content) == 1:
        body["content"] = content[0]["text"]
    elif content:
        body["content"] = content
    elif message.role == "assistant" and not same:
        body["content"] = None
    body.update(_some(name=message.name, tool_call_id=message.tool_call_id))
    if calls:
        body["tool_calls"] = calls
    if details:
        body["reasoning_details"] = details
    if same:
        body.update(message.extra)
    return body


def _within(body: dict[str, Any], extra: dict[str, Any], key: str) -> dict[str, Any]:
    """*body* with *extra* put back, of which the entry *key* goes inside the object of that name."""
    for name, value in extra.items():
        if name == key and isinstance(value, dict) and isinstance(body.get(key), dict):
            body[key] = {**body[key], **value}
        else:
            body[name] = value
    return body


def _part_out(part: Part, same: bool) -> dict[str, Any]:
    match part:
        case TextPart(text=text, extra=extra):
            return {"type": "text", "text": text, **(extra if same else {})}
        case RefusalPart(text=text, extra=extra):
            return {"type": "refusal", "refusal": text, **(extra if same else {})}
        case ImagePart(url=url, detail=detail, extra=extra):
            body = {"type": "image_url", "image_url": {"url": url, **_some(detail=detail)}}
            return _within(body, extra if same else {}, "image_url")
        case AudioPart(data=data, format=format_, extra=extra):
            body = {"type": "input_audio", "input_audio": {"data": data, "format": format_}}
            return _within(body, extra if same else {}, "input_audio")
        case VideoPart(url=url, spelling=spelling, extra=extra):
            return _within({"type": spelling, "video_url": {"url": url}}, extra if same else {}, "video_url")
        case FilePart(data=data, file_id=file_id, filename=filename, extra=extra):
            file = _some(filename=filename, file_data=data, file_id=file_id)
            return _within({"type": "file", "file": file}, extra if same else {}, "file")
        case OpaquePart(body=body):
            return body
        case _:
            raise AssertionError(part)


def _detail_out(part: ReasoningPart, same: bool) -> dict[str, Any]:
    kind, key = next((kind, key) for kind, (form, key) in FORMS.items() if form == part.form)
    body: dict[str, Any] = {"type": kind}
    if part.text or not same:
        body[key] = part.text
    body.update(_some(signature=part.signature, format=part.format, id=part.id))
    return {**body, **(part.extra if same else {})}


def _call_out(part: ToolCallPart, same: bool) -> dict[str, Any]:
    kind = "custom" if part.custom else "function"
    said = {"name": part.name, "input" if part.custom else "arguments": part.arguments}
    body: dict[str, Any] = {"id": part.id, "type": kind, kind: said}
    if same:
        _within(body, part.extra, kind)
        if body["type"] is None:
            del body["type"]
    return body


def _tool_out(tool: Tool, same: bool) -> dict[str, Any]:
    if tool.kind != "function" or not tool.name:
        return {"type": tool.kind, **tool.extra}
    function = _some(name=tool.name, description=tool.description, parameters=tool.parameters, strict=tool.strict)
    body = _within({"type": "function", "function": function}, tool.extra if same else {}, "function")
    if body["type"] is None:
        del body["type"]
    return body


def _choice_out(choice: ToolChoice) -> Any:
    if choice.mode == "opaque":
        return {"type": choice.kind, **choice.extra}
    if choice.mode == "tool":
        return _within({"type": "function", "function": {"name": choice.name}}, choice.extra, "function")
    return choice.mode


def _format_out(found: ResponseFormat, same: bool) -> dict[str, Any]:
    if found.kind != "json_schema" or found.name is None:
        return {"type": found.kind, **found.extra}
    inner = _some(name=found.name, description=found.description, schema=found.schema, strict=found.strict)
    return _within({"type": "json_schema", "json_schema": inner}, found.extra if same else {}, "json_schema")


def _thinking_out(body: dict[str, Any], reasoning: Reasoning, spelling: str | None, same: bool) -> None:
    inner = {key: value for key in _REASONING if (value := getattr(reasoning, key)) is not None}
    if spelling is not None:
        body["reasoning_effort"] = reasoning.effort
    if spelling == "beside":
        del inner["effort"]
    if spelling != "reasoning_effort":
        body["reasoning"] = {**inner, **(reasoning.extra if same else {})}
