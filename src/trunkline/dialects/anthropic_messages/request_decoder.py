"""A Messages request, read. Source: OpenRouter's OpenAPI document, `MessagesRequest`; OpenRouter, "Claude Code".

One message of the wire may be several of ours: each tool result is a message of its own, and so is what the user says
behind it (`joined`), so that every dialect finds them where it looks for them.
"""

from collections.abc import Callable, Iterator
from typing import Any, cast

import msgspec

from trunkline.dialects.anthropic_messages.citations import decode as decode_citation
from trunkline.dialects.anthropic_messages.request_schema import check
from trunkline.dialects.common.json_input import envelope
from trunkline.dialects.common.reasoning import ANTHROPIC, unpack
from trunkline.dialects.common.request_fields import Taker, value
from trunkline.dialects.interfaces import Call
from trunkline.model.preferences import NO_PREFERENCES
from trunkline.model.request import (
    CacheMark,
    FilePart,
    ImagePart,
    Message,
    OpaquePart,
    Part,
    Reasoning,
    ReasoningPart,
    Request,
    ResponseFormat,
    Role,
    Sampling,
    SearchResultPart,
    TextPart,
    Tool,
    ToolCallPart,
    ToolChoice,
)

ONCE = (b'"model"', b'"messages"', b'"provider"')
CHOICES = {"auto": "auto", "any": "required", "none": "none"}
"""`tool_choice.type` → our mode."""
EFFORTS = ("low", "medium", "high", "xhigh", "max")


def parse(body: bytes) -> Call:
    """As `Client.parse`."""
    fields = envelope(body, ONCE)
    shape = check(body)
    models = tuple(shape.models or ()) or tuple(one.model for one in shape.fallbacks or ())
    return Call(
        envelope=fields,
        model=shape.model,
        models=models,
        stream=bool(shape.stream),
        max_output=shape.max_tokens,
        preferences=shape.provider or NO_PREFERENCES,
        session_id=shape.session_id,
        user=shape.user or (shape.metadata.user_id if shape.metadata is not None else None),
    )


def decode(call: Call) -> Request:
    """The whole request in our words; `call` has been checked."""
    fields: dict[str, Any] = {key: value(raw) for key, raw in call.envelope.items()}
    take = Taker(fields)
    spelling: dict[str, str] = {}
    messages = [*_system(take("system"), spelling), *_messages(take("messages"))]
    stop, tools, choice = take("stop_sequences"), take("tools"), take("tool_choice")
    parallel = choice.get("disable_parallel_tool_use") if isinstance(choice, dict) else None
    reasoning, shape, verbosity = _output(take("thinking"), take("output_config"), fields)
    user = _user(fields, spelling)
    stream, sampling = take("stream"), {key: take(key) for key in ("temperature", "top_p", "top_k")}
    return Request(
        dialect="messages",
        messages=tuple(messages),
        model=take("model"),
        stream=bool(stream),
        sampling=Sampling(stop=None if stop is None else tuple(stop), **sampling),
        max_output=fields.pop("max_tokens", None),
        tools=None if tools is None else tuple(map(_tool, tools)),
        tool_choice=None if choice is None else _choice(choice),
        parallel_tool_calls=None if parallel is None else not parallel,
        response_format=shape,
        reasoning=reasoning,
        user=user,
        service_tier=take("service_tier"),
        verbosity=verbosity,
        cache=_cache(fields),
        betas=call.betas,
        extra=fields,
        spelling={**spelling, **({"stream": "false"} if stream is False else {})},
    )


def _user(fields: dict[str, Any], spelling: dict[str, str]) -> str | None:
    """Who asks, taken out of *fields*: Anthropic's word for it, or else ours, which no provider is told."""
    metadata = Taker(fields)("metadata")
    user: str | None = None if metadata is None else Taker(metadata)("user_id")
    if metadata:
        fields["metadata"] = metadata
    elif metadata is not None and user is None:
        spelling["metadata"] = "empty"
    if user is None and fields.get("user") is not None:
        user, spelling["user"] = fields.pop("user"), "user"
    return user


def _cache(fields: dict[str, Any]) -> CacheMark | None:
    """The cache mark, taken out of *fields*; one that holds what we have no name for stays."""
    found = fields.get("cache_control")
    if not isinstance(found, dict) or not found.keys() <= {"type", "ttl"} or found.get("ttl", "") is None:
        return None
    del fields["cache_control"]
    return CacheMark(ttl=found.get("ttl"))


def _system(found: Any, spelling: dict[str, str]) -> Iterator[Message]:
    if isinstance(found, str):
        spelling["system"] = "string"
        yield Message(role="system", parts=(TextPart(found),), plain=True)
    elif found is not None:
        spelling["system"] = "blocks"
        yield Message(role="system", parts=tuple(map(_part, found)))


def _messages(found: list[dict[str, Any]]) -> Iterator[Message]:
    for message in found:
        fields = dict(message)
        role, content = cast("Role", fields.pop("role")), fields.pop("content")
        if isinstance(content, str):
            yield Message(role=role, parts=(TextPart(content),), plain=True, extra=fields)
        else:
            yield from _split(role, content, fields)


def _split(role: Role, content: list[dict[str, Any]], extra: dict[str, Any]) -> Iterator[Message]:
    """Tool results as messages of their own, and what stands between them. The first one has *extra*."""
    said: list[Part] = []
    joined = False
    for block in content:
        if block["type"] != "tool_result":
            said.append(_part(block))
            continue
        if said:
            yield Message(role=role, parts=tuple(said), joined=joined, extra={} if joined else extra)
            said, joined = [], True
        yield _result(block, joined, {} if joined else extra)
        joined = True
    if said or not content:
        yield Message(role=role, parts=tuple(said), joined=joined, extra={} if joined else extra)


def _result(block: dict[str, Any], joined: bool, outer: dict[str, Any]) -> Message:
    """A tool's result; what its message holds beyond it stands under `message`."""
    fields = {key: said for key, said in block.items() if key != "type"}
    take = Taker(fields)
    content = fields.get("content")
    plain = isinstance(content, str)
    parts: tuple[Part, ...] = ()
    if plain:
        parts = (TextPart(take("content")),)
    elif content:
        parts = tuple(map(_part, take("content")))
    is_error = fields.pop("is_error") if isinstance(fields.get("is_error"), bool) else None
    return Message(
        role="tool",
        parts=parts,
        plain=plain,
        tool_call_id=take("tool_use_id"),
        is_error=is_error,
        joined=joined,
        cache=_cache(fields),
        extra={**fields, **({"message": outer} if outer else {})},
    )


def _text(fields: dict[str, Any], cache: CacheMark | None) -> Part:
    notes = fields.get("citations")
    citations = tuple(map(decode_citation, notes)) if isinstance(notes, list) else ()
    if citations:
        del fields["citations"]
    return TextPart(fields.pop("text"), cache=cache, citations=citations, extra=fields)


def _image(fields: dict[str, Any], cache: CacheMark | None) -> Part:
    source = dict(fields.pop("source"))
    url, file_id = _reference(source)
    if source:
        fields["source"] = source
    return ImagePart(url or "", file_id=file_id, cache=cache, extra=fields)


def _reference(source: dict[str, Any]) -> tuple[str | None, str | None]:
    """The URL and the file id in *source*, taken out of it."""
    kind = source.pop("type")
    if kind == "base64":
        return f"data:{source.pop('media_type')};base64,{source.pop('data')}", None
    if kind == "url":
        return source.pop("url"), None
    if kind == "file":
        return None, source.pop("file_id")
    source["type"] = kind
    return None, None


def _document(fields: dict[str, Any], cache: CacheMark | None) -> Part:
    take = Taker(fields)
    source = dict(take("source"))
    text: str | None = None
    content: tuple[Part, ...] | None = None
    if source["type"] == "text":
        text = source.pop("data")
        if source == {"type": "text", "media_type": "text/plain"}:
            source = {}
    elif source["type"] == "content" and isinstance(source.get("content"), list):
        content = tuple(_part(block) for block in source.pop("content"))
        del source["type"]
    elif source["type"] == "content":
        text = source.pop("content")
    url, file_id = _reference(source) if source.get("type") in ("base64", "url", "file") else (None, None)
    if source:
        fields["source"] = source
    cites = fields.get("citations")
    enabled = cites.get("enabled") if isinstance(cites, dict) and cites.keys() == {"enabled"} else None
    if enabled is not None:
        del fields["citations"]
    return FilePart(
        data=url, file_id=file_id, text=text, content=content, title=take("title"), context=take("context"),
        citations=enabled, cache=cache, extra=fields,
    )  # fmt: skip


def _search_result(fields: dict[str, Any], cache: CacheMark | None) -> Part:
    content = fields.get("content")
    texts: tuple[TextPart, ...] = ()
    if isinstance(content, list):
        parts = [_part(block) for block in content if isinstance(block, dict) and "type" in block]
        if len(parts) == len(content) and all(isinstance(part, TextPart) for part in parts):
            texts = cast("tuple[TextPart, ...]", tuple(parts))
            del fields["content"]
    cites = fields.get("citations")
    enabled = cites.get("enabled") if isinstance(cites, dict) and cites.keys() == {"enabled"} else None
    if enabled is not None:
        del fields["citations"]
    source, title = fields.pop("source"), fields.pop("title")
    return SearchResultPart(source, title, content=texts, citations=enabled, cache=cache, extra=fields)


def _tool_use(fields: dict[str, Any], cache: CacheMark | None) -> Part:
    given = Taker(fields)("input")
    text = msgspec.json.encode({} if given is None else given).decode()
    return ToolCallPart(fields.pop("id"), fields.pop("name"), text, cache=cache, extra=fields)


def _thinking(fields: dict[str, Any], cache: CacheMark | None) -> Part:
    text, signature = fields.pop("thinking"), fields.pop("signature", None)
    if not signature:
        spelled = {} if signature is None else {"signature": signature}
        return ReasoningPart(form="plain", text=text, extra={**fields, **spelled})
    found = unpack(signature)
    if found is None:
        return ReasoningPart(form="text", text=text, signature=signature, format=ANTHROPIC, extra=fields)
    format_, id_, data = found
    if not data:
        return ReasoningPart(form="summary", text=text, format=format_, id=id_, extra=fields)
    return ReasoningPart(form="text", text=text, signature=data, format=format_, id=id_, extra=fields)


def _redacted(fields: dict[str, Any], cache: CacheMark | None) -> Part:
    data = fields.pop("data")
    format_, id_, data = unpack(data) or (ANTHROPIC, None, data)
    return ReasoningPart(form="encrypted", text=data, format=format_, id=id_, extra=fields)


PARTS: dict[str, Callable[[dict[str, Any], CacheMark | None], Part]] = {
    "text": _text,
    "image": _image,
    "document": _document,
    "search_result": _search_result,
    "tool_use": _tool_use,
    "thinking": _thinking,
    "redacted_thinking": _redacted,
}
"""A block's type → its reader, given its other fields and its cache mark."""


def _part(found: dict[str, Any]) -> Part:
    reader = PARTS.get(found["type"])
    if reader is None:
        return OpaquePart(found)
    fields = {key: said for key, said in found.items() if key != "type"}
    return reader(fields, _cache(fields))


def _tool(found: dict[str, Any]) -> Tool:
    fields = dict(found)
    take = Taker(fields)
    kind = fields.get("type")
    if kind not in (None, "custom"):
        return Tool(kind=take("type"), name=take("name") or "", cache=_cache(fields), extra=fields)
    return Tool(
        kind="function",
        name=take("name"),
        description=take("description"),
        parameters=take("input_schema"),
        strict=take("strict"),
        cache=_cache(fields),
        extra=fields,
    )


def _choice(found: dict[str, Any]) -> ToolChoice:
    fields = {key: said for key, said in found.items() if key not in ("type", "disable_parallel_tool_use")}
    kind = found["type"]
    if kind == "tool":
        return ToolChoice(mode="tool", name=fields.pop("name"), extra=fields)
    return ToolChoice(mode=cast("Any", CHOICES[kind]), extra=fields)


def _output(
    thinking: Any, config: Any, extra: dict[str, Any]
) -> tuple[Reasoning | None, ResponseFormat | None, str | None]:
    """How much to think, the shape of the answer, and how many words: what is left of the two goes back to *extra*."""
    fields = dict(config) if isinstance(config, dict) else {}
    take = Taker(fields)
    effort, shape = take("effort"), take("format")
    if fields or (config is not None and effort is None and shape is None):
        extra["output_config"] = fields
    told = _thought(dict(thinking), effort) if isinstance(thinking, dict) else None
    if told is None and effort is not None:
        told = Reasoning(effort=effort)
    return told, None if shape is None else _format(shape), None


def _thought(fields: dict[str, Any], effort: str | None) -> Reasoning:
    kind = fields.pop("type")
    take = Taker(fields)
    display = take("display")
    if kind == "enabled":
        return Reasoning(max_tokens=take("budget_tokens"), enabled=True, effort=effort, display=display, extra=fields)
    if kind == "adaptive":
        return Reasoning(adaptive=True, effort=effort, display=display, extra=fields)
    if kind == "disabled":
        return Reasoning(enabled=False, effort=effort, display=display, extra=fields)
    return Reasoning(effort=effort, display=display, extra={**fields, "type": kind})


def _format(found: dict[str, Any]) -> ResponseFormat:
    fields = dict(found)
    kind, schema = fields.pop("type"), fields.pop("schema", None)
    return ResponseFormat(kind=kind, schema=schema, strict=True if kind == "json_schema" else None, extra=fields)
