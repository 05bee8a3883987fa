"""The kinds of parts, each as it is written: how it begins, its pieces, how it ends.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult` and `StreamEvents`.
"""

from collections.abc import Callable
from typing import Any

from trunkline.dialects.common.custom_tools import unwrap_input
from trunkline.dialects.common.ids import generated_id
from trunkline.dialects.common.reasoning import FORMATS, OPENAI, pack
from trunkline.dialects.openai_responses import response_server_tools
from trunkline.dialects.openai_responses.response_item_writer import ItemWriter
from trunkline.dialects.openai_responses.response_state import Body, Open
from trunkline.model.events import PartStarted

NO_WORD = "the Responses dialect has no word for it"


def content(opened: Open, *, whole: bool) -> Body:
    """A text or a refusal as a part of a message: as it begins, or *whole*."""
    text = "".join(opened.texts) if whole else ""
    if opened.part.kind == "refusal":
        return {"type": "refusal", "refusal": text, **opened.rest}
    notes, probs = (list(opened.notes), list(opened.probs)) if whole else ([], [])
    return {"type": "output_text", "text": text, "annotations": notes, "logprobs": probs, **opened.rest}


def thought(summary: bool, text: str) -> Body:
    """A part of a thought, or of its summary."""
    return {"type": "summary_text" if summary else "reasoning_text", "text": text}


# Texts and refusals


def _message(writer: ItemWriter, part: PartStarted) -> None:
    item = writer.own(part)
    key = None if item is None else item.at
    if writer.slot is None or writer.slot.body["type"] != "message" or writer.slot.key != key:
        writer.item("message", part, key=key)
    elif item is not None:
        writer.last(writer.slot, item.fields)


def text_begins(writer: ItemWriter, opened: Open) -> None:
    """Announce a text or a refusal, once."""
    assert writer.slot is not None
    if opened.number < 0:
        opened.number = len(writer.slot.body["content"])
        empty = content(opened, whole=False)
        writer.slot.body["content"].append(empty)
        writer.of_item("content_part.added", content_index=opened.number, part=empty)


def _text_piece(writer: ItemWriter, opened: Open, text: str, probs: list[Any]) -> None:
    text_begins(writer, opened)
    if opened.part.kind == "refusal":
        writer.of_item("refusal.delta", content_index=opened.number, delta=text)
    else:
        writer.of_item("output_text.delta", content_index=opened.number, delta=text, logprobs=probs)


def _text_ends(writer: ItemWriter, opened: Open) -> None:
    assert writer.slot is not None
    if opened.number < 0 and opened.part.item is not None and opened.part.item.empty:
        return  # a message that says nothing
    text_begins(writer, opened)
    part = content(opened, whole=True)
    if opened.part.kind == "refusal":
        writer.of_item("refusal.done", content_index=opened.number, refusal=part["refusal"])
    else:
        writer.of_item("output_text.done", content_index=opened.number, text=part["text"], logprobs=opened.probs)
    writer.slot.body["content"][opened.number] = part
    writer.of_item("content_part.done", content_index=opened.number, part=part)


# Reasoning


def _thought(writer: ItemWriter, part: PartStarted) -> None:
    item = writer.own(part)
    if item is not None:
        _thinking_item(writer, part, item.at)


def _thinking_item(writer: ItemWriter, part: PartStarted, key: Any) -> None:
    slot = writer.slot
    if slot is None or slot.body["type"] != "reasoning" or key is None or slot.key != key:
        openai = part.id if (part.format or "").endswith("-responses-v1") else None
        writer.item("reasoning", part, openai, key)
    elif (item := writer.own(part)) is not None:
        writer.last(slot, item.fields)


def thinking(writer: ItemWriter, opened: Open) -> None:
    """Open the item of a thought; one of another dialect has none before there is something in it."""
    part = opened.part
    if writer.own(part) is None and not opened.shown:
        _thinking_item(writer, part, None if part.form == "plain" else part.id)
        opened.shown = True


def _thought_piece(writer: ItemWriter, opened: Open, text: str, probs: list[Any]) -> None:
    del probs
    if opened.part.form == "server_tool_call":
        return
    thinking(writer, opened)
    assert writer.slot is not None
    if opened.part.form == "encrypted":
        return
    summary = opened.part.form == "summary"
    if opened.number < 0:
        found = writer.slot.body.setdefault("summary" if summary else "content", [])
        if not isinstance(found, list):
            found = writer.slot.body["summary" if summary else "content"] = []
        opened.number = len(found)
        found.append(thought(summary, ""))
        if summary:
            writer.of_item("reasoning_summary_part.added", summary_index=opened.number, part=thought(summary, ""))
        else:
            writer.of_item("content_part.added", content_index=opened.number, part=thought(summary, ""))
    if summary:
        writer.of_item("reasoning_summary_text.delta", summary_index=opened.number, delta=text)
    else:
        writer.of_item("reasoning_text.delta", content_index=opened.number, delta=text)


def _thought_ends(writer: ItemWriter, opened: Open) -> None:
    part, text = opened.part, "".join(opened.texts)
    if part.form == "server_tool_call":
        writer.losses.add("reasoning_details", NO_WORD)
    if writer.slot is None or (writer.own(part) is None and not opened.shown):
        return
    body = writer.slot.body
    if opened.number >= 0 and part.form == "summary":
        whole = body["summary"][opened.number] = thought(True, text)
        writer.of_item("reasoning_summary_text.done", summary_index=opened.number, text=text)
        writer.of_item("reasoning_summary_part.done", summary_index=opened.number, part=whole)
    elif opened.number >= 0:
        whole = body["content"][opened.number] = thought(False, text)
        writer.of_item("reasoning_text.done", content_index=opened.number, text=text)
        writer.of_item("content_part.done", content_index=opened.number, part=whole)
    _seal(writer, opened, body, text)


def _empty_thought(writer: ItemWriter, opened: Open) -> None:
    """A signed thought whose text is withheld: that it has one, if an empty one, tells it from an encrypted thought."""
    assert writer.slot is not None
    empty = thought(False, "")
    writer.slot.body["content"] = [empty]
    opened.number = 0
    for kind in ("added", "done"):
        writer.of_item(f"content_part.{kind}", content_index=0, part=empty)


def _seal(writer: ItemWriter, opened: Open, body: Body, text: str) -> None:
    """Signature and encrypted content: as they came, or in the one opaque string that every client keeps."""
    part = opened.part
    if opened.signature is not None:
        if part.form != "summary" and not body.get("content") and writer.own(part) is None:
            _empty_thought(writer, opened)
        body["signature"] = opened.signature
    if writer.own(part) is not None:
        if part.form == "encrypted":
            body["encrypted_content"] = text
        return
    if part.format in FORMATS:
        body["format"] = part.format
    if part.form == "encrypted":
        body["encrypted_content"] = text if part.format == OPENAI else pack(part.format, part.id, text)
    elif opened.signature is not None:
        body["encrypted_content"] = pack(part.format, part.id, opened.signature)


# Calls


def _call(writer: ItemWriter, part: PartStarted) -> None:
    name, fields = part.name or "", dict[str, Any]()
    custom = part.form == "custom"
    if writer.own(part) is None:
        space = writer.names.spaced.get(name)
        if space is not None:
            fields, name = {} if space[0] is None else {"namespace": space[0]}, space[1]
        custom = custom or name in writer.names.custom
    id_ = part.id
    if not id_ or id_ in writer.ids:
        id_ = generated_id(writer.identity.id, "call", writer.count)
    writer.ids.add(id_)
    writer.item("custom_tool_call" if custom else "function_call", part, call_id=id_, name=name, **fields)


def _call_piece(writer: ItemWriter, opened: Open, text: str, probs: list[Any]) -> None:
    del probs
    if _as_json(writer, opened):
        return
    custom = opened.part.form == "custom"
    writer.of_item("custom_tool_call_input.delta" if custom else "function_call_arguments.delta", delta=text)


def _as_json(writer: ItemWriter, opened: Open) -> bool:
    """Whether free-form input comes inside JSON, so that it must be whole before it can be told."""
    assert writer.slot is not None
    return writer.slot.body["type"] == "custom_tool_call" and opened.part.form != "custom"


def _call_ends(writer: ItemWriter, opened: Open) -> None:
    assert writer.slot is not None
    body, said = writer.slot.body, "".join(opened.texts)
    if body["type"] == "function_call":
        body["arguments"] = said
        writer.of_item("function_call_arguments.done", name=body["name"], arguments=said)
    else:
        if _as_json(writer, opened):
            said = unwrap_input(said)
            writer.of_item("custom_tool_call_input.delta", delta=said)
        body["input"] = said
        writer.of_item("custom_tool_call_input.done", input=said)
    writer.close("completed")


# Images, tools of the provider's, items of other kinds


def _image(writer: ItemWriter, part: PartStarted) -> None:
    writer.item("image_generation_call", part)


def _image_ends(writer: ItemWriter, opened: Open) -> None:
    assert writer.slot is not None
    result: str | None = "".join(opened.texts) or None
    if result is not None and opened.bare:
        result = result.partition(",")[2]
    _progress(writer, opened)
    writer.slot.body["result"] = result
    writer.close("completed")


def _progress(writer: ItemWriter, opened: Open) -> None:
    assert writer.slot is not None
    kind = writer.slot.body["type"]
    if not opened.shown:
        for word in response_server_tools.PROGRESS.get(kind, ()):
            writer.of_item(f"{kind}.{word}")


def _tool(writer: ItemWriter, part: PartStarted) -> None:
    item = writer.own(part)
    if item is not None:
        writer.item(item.fields.get("type", ""), part)
        return
    kind = response_server_tools.KINDS.get(part.name or "")
    if kind is None:
        writer.losses.add(part.name or "server_tool_call", "the Responses dialect has no item for this tool")
    else:
        writer.item(kind, part)


def _tool_ends(writer: ItemWriter, opened: Open) -> None:
    if writer.own(opened.part) is not None:
        _progress(writer, opened)
        writer.close("completed")
    elif writer.slot is not None and opened.part.name in response_server_tools.KINDS:
        _progress(writer, opened)
        writer.slot.body.update(response_server_tools.asked(writer.slot.body["type"], "".join(opened.texts)))


def _result(writer: ItemWriter, part: PartStarted) -> None:
    if writer.same:
        return  # it stands in the item of its call
    slot = writer.slot
    if slot is None or not part.id or slot.tool != part.id or not response_server_tools.answered(slot.body, part.extra):
        writer.losses.add("server_tool_result", "the Responses dialect has no item for this tool's result")


def _opaque(writer: ItemWriter, part: PartStarted) -> None:
    item = writer.own(part)
    if item is None:
        writer.losses.add("opaque", "a part of a kind that the Responses dialect does not know")
    elif item.content is not None:
        _message(writer, part)
    else:
        writer.item(item.fields.get("type", ""), part)


def _opaque_ends(writer: ItemWriter, opened: Open) -> None:
    item = writer.own(opened.part)
    if item is None or writer.slot is None:
        return
    if item.content is not None:
        writer.slot.body["content"].append(item.content)
    else:
        writer.close("completed")


def _no_part(writer: ItemWriter, part: PartStarted) -> None:
    writer.losses.add(part.kind, NO_WORD)


def _no_end(writer: ItemWriter, opened: Open) -> None:
    """Nothing is left to say at the end of such a part."""


STARTS: dict[str, Callable[[ItemWriter, PartStarted], None]] = {
    "text": _message,
    "refusal": _message,
    "reasoning": _thought,
    "tool_call": _call,
    "server_tool_call": _tool,
    "server_tool_result": _result,
    "image": _image,
    "audio": _no_part,
    "opaque": _opaque,
}
"""A part's kind → how its beginning is written; total, as are the ends."""

PIECES: dict[str, Callable[[ItemWriter, Open, str, list[Any]], None]] = {
    "text": _text_piece,
    "refusal": _text_piece,
    "reasoning": _thought_piece,
    "tool_call": _call_piece,
}

ENDS: dict[str, Callable[[ItemWriter, Open], None]] = {
    "text": _text_ends,
    "refusal": _text_ends,
    "reasoning": _thought_ends,
    "tool_call": _call_ends,
    "server_tool_call": _tool_ends,
    "server_tool_result": _no_end,
    "image": _image_ends,
    "audio": _no_end,
    "opaque": _opaque_ends,
}
