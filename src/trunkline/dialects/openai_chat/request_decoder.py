"""A chat request in our words. Source: OpenRouter's OpenAPI document, `ChatRequest`.

What stands in several places of the wire and in one of ours remembers its place by a null under that place's name in
its `extra`: nulls say nothing, so no other dialect misses them. Such are the reasoning that is a string beside the
content, the refusal, the images, the transcript, and the function call of old.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec.structs import replace

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.custom_tools import nest_grammar
from trunkline.dialects.common.json_input import envelope
from trunkline.dialects.common.request_fields import Taker, value
from trunkline.dialects.interfaces import Call
from trunkline.dialects.openai_chat.citations import decode as decode_citation
from trunkline.dialects.openai_chat.request_schema import ToolShape, check
from trunkline.dialects.openai_chat.vocabulary import FORMS, REASONING, SAME, SAMPLING, THOUGHTS
from trunkline.model.citation import Citation
from trunkline.model.preferences import NO_PREFERENCES
from trunkline.model.request import (
    AudioPart,
    CacheMark,
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

PLACES = frozenset({"refusal", "images", "transcript"})
"""Places beside the content; a part of the content that has a field of such a name is left alone."""
ONCE = (b'"model"', b'"messages"', b'"provider"')

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
                inner["format"] = nest_grammar(inner["format"])
            rest = {key: said for key, said in tool.items() if key not in inner and key not in ("type", shape.type)}
            tool = {"type": shape.type, shape.type: inner, **rest}
        found.append(tool)
    return msgspec.Raw(_json.encode(found))


def decode(call: Call) -> Request:
    """The whole request in our words; `call` has been checked."""
    fields: dict[str, Any] = {key: value(raw) for key, raw in call.envelope.items()}
    take = Taker(fields)
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
    stream = take("stream")
    if stream is False:
        spelling["stream"] = "false"
    tools, choice = _offered(fields, take, spelling)
    modalities = take("modalities")
    sampling = {key: take(key) for key in SAMPLING}
    same = {key: take(key) for key in SAME}
    messages, shape = take("messages"), take("response_format")
    return Request(
        dialect="chat",
        messages=_messages(messages),
        model=take("model"),
        stream=bool(stream),
        sampling=Sampling(stop=None if stop is None else tuple(stop), **sampling),
        max_output=max_output,
        tools=tools,
        tool_choice=choice,
        response_format=None if shape is None else _format(shape),
        reasoning=reasoning,
        metadata=take("metadata"),
        modalities=None if modalities is None else tuple(modalities),
        cache=cache_control.decode(fields),
        extra=fields,
        spelling=spelling,
        **same,
    )


def _offered(
    fields: dict[str, Any], take: Taker, spelling: dict[str, str]
) -> tuple[tuple[Tool, ...] | None, ToolChoice | None]:
    """The tools and which of them is wanted, in today's words or in those of old."""
    tools, choice = take("tools"), take("tool_choice")
    if tools is not None or choice is not None or "tools" in fields or "tool_choice" in fields:
        return None if tools is None else tuple(map(_tool, tools)), None if choice is None else _choice(choice)
    functions, wanted = take("functions"), take("function_call")
    if functions is not None:
        spelling["tools"] = "functions"
    if isinstance(wanted, dict):
        wanted = {"type": "function", "function": wanted}
    if wanted is not None:
        spelling["tool_choice"] = "function_call"
    return (
        None if functions is None else tuple(_tool({"type": "function", "function": found}) for found in functions),
        None if wanted is None else _choice(wanted),
    )


def _messages(found: list[dict[str, Any]]) -> tuple[Message, ...]:
    """The messages; functions of old had no ids, so an answer belongs to the last call of its name."""
    messages: list[Message] = []
    called: dict[str, str] = {}
    for at, message in enumerate(found):
        messages.append(_message(message, f"function_call_{at}", called))
    return tuple(messages)


def _message(found: dict[str, Any], id_: str, called: dict[str, str]) -> Message:
    fields = dict(found)
    take = Taker(fields)
    role = take("role")
    cache = cache_control.decode(fields)
    parts: list[Part] = _thoughts(fields, take) if role == "assistant" else []
    content = take("content")
    plain = isinstance(content, str)
    if plain:
        parts.append(TextPart(content))
    else:
        parts += [_part(part) for part in content or ()]
    if role == "assistant":
        _beside(fields, take, parts, said=bool(content))
        if isinstance(legacy := fields.get("function_call"), dict):
            called[legacy["name"]] = id_
            parts.append(_legacy(take("function_call"), id_))
    if fields.get("tool_calls"):
        parts += [_tool_call(call) for call in take("tool_calls")]
    if content == []:
        fields["content"] = []
    name, answered = take("name"), take("tool_call_id")
    if role == "function":
        role, fields["role"] = "tool", None
        if answered is not None:
            fields["tool_call_id"] = answered
        answered = called.get(name, f"function_{name}")
    return Message(
        role=cast("Role", role), parts=tuple(parts), plain=plain, name=name, tool_call_id=answered, cache=cache,
        extra=fields,
    )  # fmt: skip


def _thoughts(fields: dict[str, Any], take: Taker) -> list[Part]:
    """The reasoning of a message: its details; the strings beside them say the same once more, or are all there is."""
    if fields.get("reasoning_details"):
        parts: list[Part] = [_detail(detail) for detail in take("reasoning_details")]
        thoughts = [part for part in parts if isinstance(part, ReasoningPart)]
        whole = "".join(part.text for part in thoughts if part.form != "encrypted")
        if whole and set(THOUGHTS).isdisjoint(thoughts[0].extra):
            again = _places(fields, whole)
            parts[parts.index(thoughts[0])] = replace(thoughts[0], extra={**thoughts[0].extra, **again})
        return parts
    text: str = fields.get("reasoning") or fields.get("reasoning_content") or ""
    return [ReasoningPart(form="plain", text=text, extra=_places(fields, text))] if text else []


def _places(fields: dict[str, Any], text: str) -> dict[str, Any]:
    """The strings of reasoning that say *text*, as nulls; they are taken out of *fields*."""
    places = [key for key in THOUGHTS if fields.get(key) == text]
    for key in places:
        del fields[key]
    return dict.fromkeys(places)


def _beside(fields: dict[str, Any], take: Taker, parts: list[Part], *, said: bool) -> None:
    """Put what stands beside an assistant's content among the *parts*; *said* tells whether there is any content."""
    texts = [at for at, part in enumerate(parts) if isinstance(part, TextPart)]
    notes = _annotations(fields.get("annotations"))
    if notes and len(texts) == 1:
        parts[texts[0]] = replace(cast("TextPart", parts[texts[0]]), citations=notes)
        del fields["annotations"]
    audio = fields.get("audio")
    if not said and isinstance(audio, dict) and audio.get("transcript"):
        parts.append(TextPart(audio["transcript"], extra={"transcript": None}))  # the rest of it stays where it is
    if fields.get("refusal"):
        parts.append(RefusalPart(take("refusal"), extra={"refusal": None}))
    if fields.get("images"):
        for image in take("images"):
            part = _image(image)
            parts.append(replace(part, extra={**part.extra, **_typed(image, "image_url"), "images": None}))


def _typed(found: dict[str, Any], usual: str) -> dict[str, Any]:
    """The type of *found* where it is not the usual one: null where it has none."""
    return {} if found.get("type") == usual else {"type": found.get("type")}


def _annotations(found: Any) -> tuple[Citation, ...]:
    """Annotations of an earlier text; none where they are not all what they should be."""
    if not isinstance(found, list) or not all(isinstance(note, dict) and note for note in found):
        return ()
    return tuple(map(decode_citation, found))


def _rest(found: dict[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in known}


def _marked(found: dict[str, Any], *known: str) -> tuple[CacheMark | None, dict[str, Any]]:
    """The mark of a part and what is left of it beside the *known* fields."""
    extra = _rest(found, *known)
    return cache_control.decode(extra), extra


def _text(found: dict[str, Any]) -> Part:
    cache, extra = _marked(found, "type", "text")
    return TextPart(found["text"], cache=cache, extra=extra)


def _image(found: dict[str, Any]) -> ImagePart:
    image = found["image_url"]
    cache, extra = _marked(found, "type", "image_url")
    if inner := {key: said for key, said in image.items() if key not in ("url", "detail") or said is None}:
        extra["image_url"] = inner
    return ImagePart(image["url"], detail=image.get("detail"), cache=cache, extra=extra)


def _audio(found: dict[str, Any]) -> Part:
    audio = found["input_audio"]
    cache, extra = _marked(found, "type", "input_audio")
    if inner := _rest(audio, "data", "format"):
        extra["input_audio"] = inner
    return AudioPart(audio["data"], audio["format"], cache=cache, extra=extra)


def _video(found: dict[str, Any]) -> Part:
    video = found["video_url"]
    cache, extra = _marked(found, "type", "video_url")
    if inner := _rest(video, "url"):
        extra["video_url"] = inner
    return VideoPart(video["url"], spelling=found["type"], cache=cache, extra=extra)


def _file(found: dict[str, Any]) -> Part:
    file = found["file"]
    cache, extra = _marked(found, "type", "file")
    inner = {key: value for key, value in file.items() if value is None or key not in _FILE}
    if inner:
        extra["file"] = inner
    return FilePart(
        data=file.get("file_data"), file_id=file.get("file_id"), filename=file.get("filename"), cache=cache, extra=extra
    )


_FILE = ("file_data", "file_id", "filename")

PARTS: dict[str, Callable[[dict[str, Any]], Part]] = {
    "text": _text,
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
    if reader is None or not (PLACES - {found["type"]}).isdisjoint(found):
        return OpaquePart(found)
    return reader(found)


def _detail(found: dict[str, Any]) -> ReasoningPart | OpaquePart:
    """One detail. Of a tool that the provider ran, and of kinds we do not know, chat alone knows."""
    kind = found.get("type")
    if not isinstance(kind, str) or kind not in FORMS:
        return OpaquePart({"reasoning_detail": found})
    form, key = FORMS[kind]
    fields = _rest(found, "type")
    take = Taker(fields)
    text = take(key) if fields.get(key) else ""  # an empty one stays where it is, since it may be missing altogether
    return ReasoningPart(
        form=form, text=text, signature=take("signature"), format=take("format"), id=take("id"), extra=fields
    )


def _legacy(found: dict[str, Any], id_: str) -> Part:
    extra = {**_rest(found, "name", "arguments"), "function_call": None}
    return ToolCallPart(id_, found["name"], found["arguments"], extra=extra)


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
    kind = found.get("type", "function")
    inner = found.get(kind) if kind in ("function", "custom") else None
    if not isinstance(inner, dict):
        cache, extra = _marked(found, "type")
        return Tool(kind=kind, cache=cache, extra=extra)
    fields = dict(inner)
    take = Taker(fields)
    cache, extra = _marked(found, "type", kind)
    if "type" not in found:
        extra["type"] = None
    tool = Tool(kind=kind, name=take("name"), description=take("description"), cache=cache)
    if kind == "custom":
        tool = replace(tool, format=_grammar(take("format")))
    else:
        tool = replace(tool, parameters=take("parameters"), strict=take("strict"))
    return replace(tool, extra={**extra, kind: fields} if fields else extra)


def _grammar(found: dict[str, Any] | None) -> dict[str, Any] | None:
    """The format of a custom tool, flat as Responses has it, where that loses nothing."""
    if found is not None and set(found) == {"type", "grammar"} and isinstance(inner := found["grammar"], dict):
        return {"type": found["type"], **inner} if set(inner) == {"syntax", "definition"} else found
    return found


def _choice(found: Any) -> ToolChoice:
    if isinstance(found, str):
        return ToolChoice(mode=cast("Any", found))
    kind = found.get("type", "")
    inner = found.get(kind)
    if kind in ("function", "custom") and isinstance(inner, dict):
        extra = _rest(found, "type", kind)
        if rest := _rest(inner, "name"):
            extra[kind] = rest
        return ToolChoice(mode="tool", kind=kind, name=inner.get("name"), extra=extra)
    if kind == "allowed_tools" and isinstance(inner, dict):
        return _allowed(found, inner)
    return ToolChoice(mode="opaque", kind=kind, extra=_rest(found, "type"))


def _allowed(found: dict[str, Any], inner: dict[str, Any]) -> ToolChoice:
    """Only some of the tools; as it came where it holds more than names."""
    names: list[str] = []
    tools = inner.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        match tool:
            case {"type": "function", "function": {"name": str(name), **other}, **rest} if not other and not rest:
                names.append(name)
            case _:
                return ToolChoice(mode="opaque", kind="allowed_tools", extra=_rest(found, "type"))
    if not names or inner.get("mode") not in ("auto", "required") or set(inner) != {"mode", "tools"}:
        return ToolChoice(mode="opaque", kind="allowed_tools", extra=_rest(found, "type"))
    return ToolChoice(
        mode="allowed", names=tuple(names), required=inner["mode"] == "required",
        extra=_rest(found, "type", "allowed_tools"),
    )  # fmt: skip


def _format(found: dict[str, Any]) -> ResponseFormat:
    inner = found.get("json_schema")
    if found["type"] != "json_schema" or not isinstance(inner, dict):
        return ResponseFormat(kind=found["type"], extra=_rest(found, "type"))
    fields = dict(inner)
    take = Taker(fields)
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
    take = Taker(fields)
    return Reasoning(**{key: take(key) for key in REASONING}, extra=fields)
