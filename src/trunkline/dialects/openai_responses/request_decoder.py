"""A Responses request, read. Source: OpenRouter's OpenAPI document, `ResponsesRequest`.

The items of one turn of the model become one message: reasoning, text and tool calls, in their order. Each part's
`origin` (`model.request.Origin`) names the item it was part of, and the first part of an item holds the item itself, so
that an upstream of this dialect gets it back field by field.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from trunkline.dialects.common import cache_control
from trunkline.dialects.common.json_input import envelope
from trunkline.dialects.common.reasoning import OPENAI, unpack
from trunkline.dialects.common.request_fields import Taker, value
from trunkline.dialects.interfaces import Call
from trunkline.dialects.openai_responses.citations import decode as decode_citation
from trunkline.dialects.openai_responses.request_schema import check
from trunkline.dialects.openai_responses.response_echo import flat
from trunkline.model.preferences import NO_PREFERENCES
from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Origin,
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

ONCE = (b'"model"', b'"input"', b'"provider"')
SAMPLING = ("temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "top_logprobs")
REASONING = ("effort", "summary", "max_tokens", "enabled", "context", "mode")
SAME = ("user", "service_tier", "parallel_tool_calls", "prompt_cache_key", "metadata", "model")

OUTPUTS = {"function_call_output": False, "custom_tool_call_output": True}
"""Items that answer a call, and whether it was one of free-form input."""

ROLES: dict[str, Role] = {
    "additional_tools": "developer",
    "configuration_update": "developer",
    "agent_message": "user",
    "item_reference": "assistant",
    "mcp_approval_response": "user",
}
"""Whose turn an item is that we have no words for; of others the name tells: an output is the user's."""

SILENT: dict[str, Any] = {"store": False, "background": False, "truncation": "disabled"}
"""Fields that clients send and that say nothing: nothing is lost with them anywhere."""
_MARKS: tuple[cache_control.Spelling, ...] = ("prompt_cache_breakpoint", "cache_control")
Body = dict[str, Any]


def parse(body: bytes) -> Call:
    """As `Client.parse`."""
    fields = envelope(body, ONCE)
    shape = check(body)
    return Call(
        envelope=fields,
        model=shape.model,
        models=tuple(shape.models or ()),
        stream=bool(shape.stream),
        max_output=shape.max_output_tokens,
        preferences=shape.provider or NO_PREFERENCES,
        session_id=shape.session_id,
        user=shape.user,
    )


def decode(call: Call) -> Request:
    """The whole request in our words; `call` has been checked."""
    fields: Body = {key: value(raw) for key, raw in call.envelope.items()}
    take = Taker(fields)
    spelling: dict[str, str] = {}
    instructions, found = take("instructions"), take("input")
    messages: list[Message] = []
    if instructions is not None:
        messages.append(Message(role="system", parts=(TextPart(instructions),), plain=True, instructions=True))
    if isinstance(found, str):
        spelling["input"] = "string"
        messages.append(Message(role="user", parts=(TextPart(found),), plain=True))
    elif found is not None:
        messages += _messages(found)
    stop = take("stop")
    if isinstance(stop, str):
        spelling["stop"] = "string"
        stop = [stop]
    stream = take("stream")
    if stream is False:
        spelling["stream"] = "false"
    tools, choice, thinking, modalities = take("tools"), take("tool_choice"), take("reasoning"), take("modalities")
    text = _Text(take("text"))
    samplings = {key: take(key) for key in SAMPLING}
    max_output, same = take("max_output_tokens"), {key: take(key) for key in SAME}
    cache = cache_control.decode(fields, ("cache_control",))
    beside: Body = {**fields, **({"text": text.rest} if text.rest is not None else {})}
    defaults = {key: said for key, said in SILENT.items() if key in beside and beside[key] == said}
    return Request(
        dialect="responses",
        messages=tuple(messages),
        stream=bool(stream),
        sampling=Sampling(stop=None if stop is None else tuple(stop), **samplings),
        max_output=max_output,
        tools=None if tools is None else tuple(_tools(tools)),
        tool_choice=None if choice is None else _choice(choice),
        response_format=text.format,
        verbosity=text.verbosity,
        reasoning=None if thinking is None else _thinking(thinking),
        modalities=None if modalities is None else tuple(modalities),
        cache=cache,
        **same,
        extra=rest(beside, *defaults),
        defaults=defaults,
        spelling=spelling,
    )


class _Text:
    """What `text` says; `rest` is what of it has no name of ours, None where nothing has."""

    def __init__(self, found: Body | None) -> None:
        fields = dict(found or {})
        take = Taker(fields)
        shape = take("format")
        self.verbosity: str | None = take("verbosity")
        self.format = None if shape is None else _format(shape)
        self.rest = fields if fields or (found is not None and not found) else None


def _messages(found: list[Body]) -> Iterator[Message]:
    """The items in order, those of one turn of the model together."""
    turn: list[Part] = []
    for at, item in enumerate(found):
        kind = item.get("type", "message")
        role = _role(kind, item)
        if role == "assistant":
            turn += _assistant(kind, item, at)
            continue
        if turn:
            yield Message(role="assistant", parts=tuple(turn))
            turn = []
        if kind in OUTPUTS:
            yield _output(item, custom=OUTPUTS[kind])
        elif kind == "message":
            yield _said(item, role)
        else:
            yield Message(role=role, parts=(OpaquePart(item, item=True),))
    if turn:
        yield Message(role="assistant", parts=tuple(turn))


def _role(kind: str, item: Body) -> Role:
    if kind == "message":
        return cast("Role", item["role"])
    if kind in OUTPUTS:
        return "tool"
    # The model's own tools, run by its provider, say output too.
    own = kind == "tool_search_output" and item.get("execution") != "client"
    return ROLES.get(kind, "user" if kind.endswith("_output") and not own else "assistant")


def _assistant(kind: str, item: Body, at: int) -> list[Part]:
    origin = Origin(at, item)
    if kind == "reasoning":
        return _thought(item, origin)
    if kind in ("function_call", "custom_tool_call"):
        custom = kind == "custom_tool_call"
        said = item["input" if custom else "arguments"]
        space = item.get("namespace")
        return [ToolCallPart(item["call_id"], item["name"], said, custom=custom, namespace=space, origin=origin)]
    content = item.get("content") if kind == "message" else None
    if isinstance(content, str):
        return [TextPart(content, origin=Origin(at, item, plain=True))]
    if content and all(part["type"] in PARTS for part in content):
        parts = [_part(part, "output_text") for part in content]
        return [
            msgspec.structs.replace(part, origin=_placed(part.origin, at, item if number == 0 else None))
            for number, part in enumerate(parts)
            if not isinstance(part, OpaquePart)
        ]
    return [OpaquePart(item, item=True)]


def _placed(origin: Origin | None, at: int, item: Body | None) -> Origin:
    """*origin* with the number of the part's item, and the item on its first part."""
    return msgspec.structs.replace(origin or Origin(), at=at, item=item)


def _thought(item: Body, origin: Origin) -> list[Part]:
    """The parts of a thought: its summaries and its text, readable; what its provider signed or encrypted.

    The fields of OpenRouter's win, then what we packed ourselves, since official clients keep no other fields; what is
    neither is OpenAI's own.
    """
    id_, format_, signature = item.get("id"), item.get("format"), item.get("signature")
    sealed = item.get("encrypted_content")
    packed = unpack(sealed) if sealed else None
    texts = [part["text"] for part in item.get("content") or ()]
    foreign = packed is not None or signature is not None
    if packed is not None:
        format_, call, data = format_ or packed[0], packed[1], packed[2]
        id_ = call
        if signature is None and texts:
            signature = data
        sealed = None if signature is not None else data
    elif sealed and format_ is None:
        format_ = OPENAI
    shared: Body = {"format": format_, "id": id_}
    parts: list[Part] = [
        ReasoningPart(form="summary", text=part["text"], **shared) for part in item.get("summary") or ()
    ]
    if signature is not None and not texts:
        texts = [""]
    parts += [
        ReasoningPart(form="text", text=said, signature=signature if number == len(texts) - 1 else None, **shared)
        for number, said in enumerate(texts)
    ]
    if sealed and (not foreign or signature is None):
        parts.append(ReasoningPart(form="encrypted", text=sealed, **shared))
    if not parts:
        parts.append(ReasoningPart(form="summary", **shared))
    return [
        msgspec.structs.replace(cast("ReasoningPart", part), origin=origin if number == 0 else Origin(origin.at))
        for number, part in enumerate(parts)
    ]


def _output(item: Body, *, custom: bool) -> Message:
    output = item["output"]
    plain = isinstance(output, str)
    parts = (TextPart(output),) if plain else tuple(_part(part, "input_text") for part in output)
    others = rest(item, "call_id", "output")
    return Message(role="tool", parts=parts, plain=plain, tool_call_id=item["call_id"], custom=custom, item=others)


def _said(item: Body, role: Role) -> Message:
    content = item.get("content")
    plain = isinstance(content, str)
    parts = (TextPart(str(content)),) if plain else tuple(_part(part, "input_text") for part in content or ())
    others = rest(item, "role", "content")
    if content is None and "content" in item:
        others["content"] = None
    return Message(role=role, parts=parts, plain=plain, item=others)


def rest(found: Body, *known: str) -> Body:
    """*found* without *known*."""
    return {key: said for key, said in found.items() if key not in known}


def _text(found: Body) -> Part:
    notes = found.get("annotations")
    fields = rest(found, "text", "type", *(() if notes is None else ("annotations",)))  # a null comes back as it is
    empty = tuple(key for key in ("annotations", "logprobs") if found.get(key) == [])
    extra = {key: said for key, said in fields.items() if key not in empty}
    origin = Origin(empty=empty) if empty else None
    return TextPart(found["text"], citations=tuple(map(decode_citation, notes or ())), extra=extra, origin=origin)


def _image(found: Body) -> Part:
    extra = {key: said for key, said in found.items() if key not in ("type", *_IMAGE) or said in (None, "")}
    return ImagePart(
        found.get("image_url") or "", detail=found.get("detail"), file_id=found.get("file_id"), extra=extra
    )


def _file(found: Body) -> Part:
    extra = {key: said for key, said in found.items() if key not in ("type", *_FILE) or said in (None, "")}
    data = found.get("file_data") or None
    if data is not None and found.get("file_url") is not None:
        extra["file_url"] = found["file_url"]
    elif data is None:
        data = found.get("file_url") or None
    return FilePart(data=data, file_id=found.get("file_id"), filename=found.get("filename"), extra=extra)


def _audio(found: Body) -> Part:
    audio = found["input_audio"]
    extra = rest(found, "type", "input_audio")
    if inner := rest(audio, "data", "format"):
        extra["input_audio"] = inner
    return AudioPart(audio["data"], audio["format"], extra=extra)


_IMAGE = ("image_url", "detail", "file_id")
_FILE = ("file_data", "file_url", "filename", "file_id")

PARTS: dict[str, Callable[[Body], Part]] = {
    "input_text": _text,
    "output_text": _text,
    "text": _text,
    "refusal": lambda found: RefusalPart(found["refusal"], extra=rest(found, "type", "refusal")),
    "input_image": _image,
    "input_file": _file,
    "input_audio": _audio,
    "input_video": lambda found: VideoPart(
        found["video_url"], spelling="input_video", extra=rest(found, "type", "video_url")
    ),
}
"""A part's type → its reader."""


def _part(found: Body, usual: str) -> Part:
    reader = PARTS.get(found["type"])
    if reader is None:
        return OpaquePart(found)
    part = reader(found)
    assert not isinstance(part, OpaquePart)
    extra = dict(part.extra)
    if isinstance(part, TextPart) and found["type"] != usual:
        part = msgspec.structs.replace(
            part, origin=msgspec.structs.replace(part.origin or Origin(), kind=found["type"])
        )
    if isinstance(part, RefusalPart | ReasoningPart):
        return msgspec.structs.replace(part, extra=extra)
    return msgspec.structs.replace(part, cache=cache_control.decode(extra, _MARKS), extra=extra)


def _tools(found: list[Body]) -> Iterator[Tool]:
    for tool in found:
        if tool.get("type") == "namespace" and tool["tools"]:
            others = rest(tool, "type", "name", "description", "tools")
            for at, inner in enumerate(tool["tools"]):
                one = _tool(inner)
                description = tool.get("description")
                yield msgspec.structs.replace(
                    one,
                    namespace=tool["name"],
                    namespace_description=description,
                    namespace_extra=others if at == 0 else {},
                )
        else:
            yield _tool(tool)


def _tool(found: Body) -> Tool:
    kind = found.get("type", "function")
    if kind not in ("function", "custom"):
        return Tool(kind=kind, extra=rest(found, "type"))
    flattened = flat(found)
    fields = rest(flattened, "type")
    take = Taker(fields)
    custom = kind == "custom"
    return Tool(
        kind=kind,
        name=take("name"),
        description=take("description"),
        parameters=None if custom else take("parameters"),
        strict=None if custom else take("strict"),
        format=take("format") if custom else None,
        cache=cache_control.decode(fields, ("cache_control",)),
        extra=fields,
    )


def _choice(found: Any) -> ToolChoice:
    if isinstance(found, str):
        return ToolChoice(mode=cast("Any", found))
    choice = flat(found)
    kind = choice["type"]
    if kind in ("function", "custom"):
        return ToolChoice(mode="tool", kind=kind, name=choice["name"], extra=rest(choice, "type", "name"))
    tools = choice.get("tools")
    if kind == "allowed_tools" and tools and all(isinstance(tool.get("name"), str) for tool in tools):
        names = tuple(tool["name"] for tool in tools)
        return ToolChoice(
            mode="allowed", names=names, required=choice["mode"] == "required", native=rest(choice, "type")
        )
    return ToolChoice(mode="opaque", kind=kind, extra=rest(choice, "type"))


def _format(found: Body) -> ResponseFormat:
    if found["type"] != "json_schema":
        return ResponseFormat(kind=found["type"], extra=rest(found, "type"))
    fields = rest(found, "type")
    take = Taker(fields)
    return ResponseFormat(
        kind="json_schema",
        name=take("name"),
        description=take("description"),
        schema=take("schema"),
        strict=take("strict"),
        extra=fields,
    )


def _thinking(found: Body) -> Reasoning:
    fields = dict(found)
    take = Taker(fields)
    return Reasoning(**{key: take(key) for key in REASONING}, extra=fields)
