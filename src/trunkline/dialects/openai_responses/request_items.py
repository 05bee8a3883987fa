"""Pieces of a Responses request as the wire spells them. Source: OpenRouter's OpenAPI document, `ResponsesRequest`."""

from collections.abc import Iterable
from typing import Any

from trunkline.dialects.common import cache_control
from trunkline.model.loss import Losses
from trunkline.model.request import (
    AudioPart,
    FilePart,
    ImagePart,
    OpaquePart,
    Origin,
    Part,
    ReasoningPart,
    RefusalPart,
    TextPart,
    ToolCallPart,
    VideoPart,
)

Body = dict[str, Any]
NO_FIELD = "the Responses dialect has no word for it"


def some(fields: Body) -> Body:
    """*fields* without those that are None."""
    return {key: said for key, said in fields.items() if said is not None}


def call(part: ToolCallPart, known: Body) -> Body:
    """A call as an item; *known* is the item as the client sent it, if it did."""
    kind, key = ("custom_tool_call", "input") if part.custom else ("function_call", "arguments")
    said: Body = {"call_id": part.id, "name": part.name, key: part.arguments, **some({"namespace": part.namespace})}
    return {"type": kind, **known, **said}


def thought(parts: Iterable[ReasoningPart]) -> list[Body]:
    """Reasoning that this dialect's providers can read, as an item."""
    found = list(parts)
    body: Body = {"type": "reasoning", **some({"id": next((part.id for part in found if part.id), None)})}
    body["summary"] = [{"type": "summary_text", "text": part.text} for part in found if part.form == "summary"]
    for part in found:
        if part.form == "encrypted":
            body["encrypted_content"] = part.text
    return [body]


def signed_thought(parts: Iterable[ReasoningPart]) -> Body:
    """Reasoning of whosever model as OpenRouter spells it: with its signature and its format."""
    found = list(parts)
    (body,) = thought(found)
    texts = [{"type": "reasoning_text", "text": part.text} for part in found if part.form in ("text", "plain")]
    if any(text["text"] for text in texts):
        body["content"] = texts
    signature = next((part.signature for part in found if part.signature is not None), None)
    format_ = next((part.format for part in found if part.format is not None), None)
    return {**body, **some({"signature": signature, "format": format_})}


def part_out(part: Part, usual: str) -> Body:
    """A part of the content, with what its client said of it."""
    if isinstance(part, OpaquePart):
        return part.body
    extra: Body = dict(part.extra)
    origin = part.origin or Origin()
    body = bare(part, origin.kind or usual)
    for key in origin.empty:
        body[key] = []
    inner = extra.get("input_audio")
    if isinstance(inner, dict):
        extra["input_audio"] = {**body["input_audio"], **inner}
    return {**body, **cache_control.encode(getattr(part, "cache", None)), **extra}


def bare(part: Part, text_type: str) -> Body:
    """A part of the content, and nothing of what its client said beside it."""
    match part:
        case TextPart(text=text, citations=citations):
            notes = [citation.native for citation in citations]
            return {"type": text_type, "text": text, **({"annotations": notes} if notes else {})}
        case RefusalPart(text=text):
            return {"type": "refusal", "refusal": text}
        case ImagePart(url=url, detail=detail, file_id=file_id):
            return {"type": "input_image", **some({"detail": detail, "image_url": url or None, "file_id": file_id})}
        case FilePart(data=data, file_id=file_id, filename=filename):
            key = "file_url" if data is not None and data.startswith(("http://", "https://")) else "file_data"
            return {"type": "input_file", **some({"filename": filename, key: data, "file_id": file_id})}
        case AudioPart(data=data, format=format_):
            return {"type": "input_audio", "input_audio": {"data": data, "format": format_}}
        case VideoPart(url=url):
            return {"type": "input_video", "video_url": url}
        case _:
            raise AssertionError(part)


def lost(losses: Losses, where: str, extra: Body) -> None:
    """Every field of *extra* is lost; a null says nothing."""
    for key, said in extra.items():
        if said is not None:
            losses.add(f"{where}{key}", NO_FIELD)
