"""What the events and the items of an answer mean.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult` and `StreamEvents`.

A stream tells everything three times: in pieces, whole at the end of each piece and of its item, and whole again in the
last event. The pieces are what is read; what a provider left out of them is taken from the later tellings. Providers
that only speak something like this dialect leave out events, numbers and whole items, so an item is found by its number
or its id, and nothing depends on an event that only announces another.
"""

from collections.abc import Callable, Iterator
from typing import Any

from trunkline.dialects.common.lenient_json import arguments_text, text
from trunkline.dialects.common.reasoning import OPENAI
from trunkline.dialects.openai_responses import response_items
from trunkline.dialects.openai_responses.citations import decode as decode_citation
from trunkline.dialects.openai_responses.errors import from_object
from trunkline.dialects.openai_responses.response_state import Key, OpenItem, OpenItems, Piece
from trunkline.dialects.openai_responses.usage import decode as decode_usage
from trunkline.families.lookup import family_of
from trunkline.model.errors import UpstreamFailed
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Finished,
    FinishReason,
    Native,
    Noted,
    PartEnded,
    PartKind,
    PartStarted,
    Reported,
    Started,
)
from trunkline.model.events import Item as PartItem

INCOMPLETE: dict[str, FinishReason] = {"max_output_tokens": "length", "content_filter": "content_filter"}
"""`incomplete_details.reason` → ours; any other means a limit of some kind."""

RESPONSE = frozenset(
    {"id", "object", "created_at", "model", "output", "output_text", "usage", "status", "error", "incomplete_details"}
)
"""Fields of a response that have a name of ours, or none of their own."""

_TEXT = frozenset({"type", "text", "annotations", "logprobs", "refusal"})
PLACE = frozenset({"item_id", "output_index"})
"""Where an event says which item it is about."""
_BESIDE = PLACE | {"sequence_number", "obfuscation"}
Body = dict[str, Any]


INPUT: Key = ("input", 0)
"""The arguments of a call."""


class Reader:
    """Parts from items, whether they come in events or whole."""

    __slots__ = ("_calls", "_format", "_items", "_next", "_seen", "begun", "ended")

    def __init__(self) -> None:
        self._items = OpenItems()
        self._next = 0
        self._calls = 0
        self._seen: Body = {}
        self._format = OPENAI
        self.begun = False
        self.ended = False

    def event(self, kind: str, body: Body) -> Iterator[Event]:
        """What the event *body* of type *kind* says."""
        response = body.get("response")
        if isinstance(response, dict):
            yield from self._response(kind, response)
            return
        if not self.begun:
            yield from self.top({})
        if "item" in body:
            if not response_items.listed([body["item"]]):
                return
            item: Body = body["item"]
            if kind == "response.output_item.done":
                yield from self._done(self._which(body, item), item)
            else:
                yield from self._added(_number(body, "output_index", len(self._items)), item)
            return
        known, handler = self._which(body, None), HANDLERS.get(kind)
        if known is not None and handler is not None:
            yield from handler(self, known, body)
        elif known is not None and known.open is not None and not PLACE.isdisjoint(body):
            yield from self.on_other(known, body)
        elif kind != "keepalive":
            yield Noted(event={key: value for key, value in body.items() if key != "sequence_number"})

    def _response(self, kind: str, response: Body) -> Iterator[Event]:
        yield from self.top(response)
        name = kind.removeprefix("response.")
        if name in ("completed", "incomplete", "failed", "cancelled"):
            yield from self.end(response, text(response.get("status")) or name)

    def top(self, response: Body) -> Iterator[Event]:
        """What stands beside the items: `Started` the first time, what is new in it after that."""
        extra = {key: value for key, value in response.items() if key not in RESPONSE}
        new = {key: value for key, value in extra.items() if key not in self._seen or self._seen[key] != value}
        self._seen.update(new)
        if self.begun:
            if new:
                yield Noted(new)
            return
        self.begun = True
        model, created = text(response.get("model")), response.get("created_at")
        self._format = family_of(model).reasoning_format or self._format
        yield Started(
            id=text(response.get("id")),
            model=model,
            created=int(created) if isinstance(created, int | float) else 0,
            dialect="responses",
            extra=extra,
        )

    def whole(self, at: int, found: Body) -> Iterator[Event]:
        """An item that comes in one piece."""
        yield from self._added(at, found)
        yield from self._done(self._items.last, found)

    def end(self, response: Body, status: str) -> Iterator[Event]:
        """The response is whole: what of it has not been told, its usage, and why it ended.

        Raises:
            TrunklineError: it failed.
        """
        for at, found in enumerate(response_items.listed(response.get("output"))):
            known = self._items.same(at, found)
            if known is None:
                yield from self.whole(at, found)
            elif not known.done:
                yield from self._done(known, found)
        usage = decode_usage(response.get("usage"))
        if usage is not None:
            yield Reported(usage)
        if status == "failed":
            raise from_object(response.get("error"))
        for item in self._items:
            yield from self._close(item)
        if not self._items and status == "completed":
            raise UpstreamFailed("the provider sent an empty answer")
        yield reason(response, status, calls=self._calls > 0)
        self.ended = True
        yield Finished()

    def _which(self, body: Body, found: Body | None) -> OpenItem | None:
        """The item that an event is about: by its number, else by its id, else the last one."""
        at, id_ = body.get("output_index"), body.get("item_id") or (found or {}).get("id")
        if isinstance(at, int):
            return self._items.at(at)
        if id_:
            return self._items.of_id(id_)
        return self._items.last if found is None and self._items else None

    def _start(
        self, item: OpenItem, key: Key, kind: PartKind, *, empty: bool = False, content: Body | None = None, **more: Any
    ) -> Iterator[Event]:
        """Make the open part of *item* the one of *key*."""
        yield from self._close(item)
        item.open = key
        item.pieces.setdefault(key, Piece(0)).part = self._next
        yield PartStarted(self._next, kind, item=PartItem(item.at, item.meta, empty, content), **more)
        self._next += 1

    def _close(self, item: OpenItem) -> Iterator[Event]:
        if item.open is not None:
            yield PartEnded(item.pieces[item.open].part)
            item.open = None

    def _added(self, at: int, found: Body) -> Iterator[Event]:
        kind = text(found.get("type"))
        item = OpenItem(at, kind, response_items.meta(found), pieces={})
        self._items.add(item)
        if kind in response_items.CALLS:
            self._calls += 1
            id_, name = text(found.get("call_id")) or text(found.get("id")) or None, text(found.get("name"))
            yield from self._start(
                item, INPUT, "tool_call", id=id_ or None, name=name, form=response_items.CALLS[kind][1]
            )
        elif kind == "image_generation_call":
            yield from self._start(item, ("result", 0), "image", id=text(found.get("id")) or None)
        elif kind in response_items.SERVER_TOOLS:
            id_, name = text(found.get("id")) or None, text(found.get("name"))
            yield from self._start(
                item, INPUT, "server_tool_call", id=id_, name=name or response_items.SERVER_TOOLS[kind]
            )
        elif kind not in ("message", "reasoning"):
            yield from self._start(item, ("whole", 0), "opaque")

    def _done(self, item: OpenItem | None, found: Body) -> Iterator[Event]:
        """*found* is *item* as it is in the end; None where it was never announced."""
        if item is None:
            yield from self.whole(len(self._items), found)
            return
        if item.done:
            return
        if found["type"] != item.type:
            found = {**found, "type": item.type}  # what it began as, it is
        for at, part in enumerate(_dicts(found.get("summary"))):
            yield from self._thought(item, ("summary", at), text(part.get("text")), at=at)
        for at, part in enumerate(_dicts(found.get("content"))):
            yield from self._content(item, at, part)
        final = response_items.meta(found)
        if item.type == "reasoning":
            yield from self._sealed(item, found, final)
        elif item.open == INPUT and item.pieces[INPUT].size == 0:
            key = response_items.CALLS[item.type][0] if item.type in response_items.CALLS else None
            said = response_items.arguments(found) if key is None else arguments_text(found.get(key))
            yield from self._say(item, INPUT, said)
        elif item.open == ("result", 0):
            yield from self._image(item, found)
        if not item.pieces:
            self._items.describe(item, final)
            yield from self._nothing(item)
        if item.open is not None and final != item.meta:
            self._items.describe(item, final)
            yield Delta(item.pieces[item.open].part, native=Native(item=final))
        item.done = True
        yield from self._close(item)
        result = response_items.outcome(found) if item.type in response_items.SERVER_TOOLS else None
        if result:
            yield PartStarted(self._next, "server_tool_result", id=text(found.get("id")) or None, extra=result)
            yield PartEnded(self._next)
            self._next += 1

    def _nothing(self, item: OpenItem) -> Iterator[Event]:
        """A part that stands for an item with nothing in it."""
        if item.type == "message":
            yield from self._start(item, ("none", 0), "text", empty=True)
        else:
            id_ = text(item.meta.get("id")) or None
            yield from self._start(item, ("none", 0), "reasoning", form="summary", id=id_, format=self._format)

    def _sealed(self, item: OpenItem, found: Body, final: Body) -> Iterator[Event]:
        """What a thought ends with: its signature, and its encrypted content."""
        signature, sealed = text(found.get("signature")), text(found.get("encrypted_content"))
        if signature:
            if item.open is None or item.open[0] != "content":
                yield from self._thought_part(item, ("content", len(item.pieces)))
            assert item.open is not None
            yield Delta(item.pieces[item.open].part, signature=signature)
        if sealed:
            self._items.describe(item, final)
            format_ = text(found.get("format")) or self._format
            yield from self._start(
                item, ("sealed", 0), "reasoning", form="encrypted", id=text(found.get("id")) or None, format=format_
            )
            yield from self._say(item, ("sealed", 0), sealed)

    def _image(self, item: OpenItem, found: Body) -> Iterator[Event]:
        result = text(found.get("result"))
        if result and not result.startswith(("data:", "http:", "https:")):
            yield Delta(item.pieces[("result", 0)].part, native=Native(bare=True))
            result = f"data:image/{text(found.get('output_format')) or 'png'};base64,{result}"
        yield from self._say(item, ("result", 0), result)

    def _say(self, item: OpenItem, key: Key, said: str, probs: Any = None) -> Iterator[Event]:
        """A piece of the open part *key*."""
        entries = probs if isinstance(probs, list) and probs else None
        if said or entries is not None:
            piece = item.pieces[key]
            piece.size += len(said)
            piece.probs += len(entries or ())
            yield Delta(piece.part, said, logprobs=None if entries is None else {_list_of(key): entries})

    def _thought_part(self, item: OpenItem, key: Key) -> Iterator[Event]:
        told = text(item.meta.get("format")) or None
        summary = key[0] == "summary"
        yield from self._start(
            item,
            key,
            "reasoning",
            form="summary" if summary else "text",
            id=text(item.meta.get("id")) or None,
            format=told or (self._format if summary else None),
        )

    def _thought(self, item: OpenItem, key: Key, said: str, *, at: int, more: bool = False) -> Iterator[Event]:
        """Text of a summary or of a thought; whole, unless *more* may come of it."""
        known = item.pieces.get(key)
        if known is not None and known.size and not more:
            return
        if said:
            if item.open != key:
                yield from self._thought_part(item, key)
            yield from self._say(item, key, said)

    def _content(self, item: OpenItem, at: int, part: Body) -> Iterator[Event]:
        """A part of the content of *item*, whole; what of it came before is not told again."""
        kind = text(part.get("type"))
        if kind == "reasoning_text" or item.type == "reasoning":
            yield from self._thought(item, ("content", at), text(part.get("text")), at=at)
            return
        form = _form(kind)
        if form is None:
            if ("content", at) not in item.pieces:
                yield from self._start(item, ("content", at), "opaque", content=part)
            return
        key = ("refusal" if form == "refusal" else "content", at)
        known = item.pieces.get(key) or Piece(0)
        said = "" if known.size else text(part.get("refusal" if form == "refusal" else "text"))
        probs = None if known.probs else part.get("logprobs")
        notes = _dicts(part.get("annotations"))[known.notes :]
        rest = {name: value for name, value in part.items() if name not in _TEXT and name not in known.rest}
        if key in item.pieces and not (said or probs or notes or rest):
            return
        if item.open != key:
            yield from self._start(item, key, form)
        yield from self._say(item, key, said, probs)
        if notes or rest:
            yield from self._noted(item, key, notes, rest)

    def _noted(self, item: OpenItem, key: Key, notes: list[Body], rest: Body) -> Iterator[Event]:
        piece = item.pieces[key]
        piece.notes += len(notes)
        piece.rest = piece.rest.union(rest)
        yield Delta(piece.part, citations=tuple(map(decode_citation, notes)) or None, extra=rest or None)

    def on_text(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """A piece of a text or a refusal."""
        form: PartKind = "refusal" if "refusal" in text(body.get("type")) else "text"
        key = ("refusal" if form == "refusal" else "content", _number(body, "content_index", 0))
        if item.open != key:
            yield from self._start(item, key, form)
        yield from self._say(item, key, text(body.get("delta")), body.get("logprobs"))

    def on_thought(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """A piece of a thought or of its summary."""
        summary = "summary" in text(body.get("type"))
        at = _number(body, "summary_index" if summary else "content_index", 0)
        yield from self._thought(
            item, ("summary" if summary else "content", at), text(body.get("delta")), at=at, more=True
        )

    def on_part(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """A part of the content has begun: its kind is known."""
        part = body.get("part")
        if isinstance(part, dict) and item.type == "message" and (form := _form(text(part.get("type")))) is not None:
            key = ("refusal" if form == "refusal" else "content", _number(body, "content_index", 0))
            if key not in item.pieces:
                yield from self._start(item, key, form)

    def on_part_done(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """A part of the content, whole."""
        part = body.get("part")
        if isinstance(part, dict):
            if text(part.get("type")) == "summary_text":
                at = _number(body, "summary_index", 0)
                yield from self._thought(item, ("summary", at), text(part.get("text")), at=at)
            else:
                yield from self._content(item, _number(body, "content_index", 0), part)

    def on_text_done(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """A text, whole, with its logprobs."""
        part = {"type": "refusal" if "refusal" in body else "output_text", "logprobs": body.get("logprobs")}
        part |= {key: body[key] for key in ("text", "refusal") if key in body}
        yield from self._content(item, _number(body, "content_index", 0), part)

    def on_note(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """An annotation of a text."""
        note = body.get("annotation")
        key = ("content", _number(body, "content_index", 0))
        if isinstance(note, dict):
            if item.open != key:
                yield from self._start(item, key, "text")
            yield from self._noted(item, key, [note], {})

    def on_input(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """A piece of a call's arguments."""
        if item.open == INPUT and item.type in response_items.CALLS:
            yield from self._say(item, INPUT, arguments_text(body.get("delta")))
        else:
            yield from self.on_other(item, body)

    def on_input_done(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """A call's arguments, whole."""
        if item.open == INPUT and item.type in response_items.CALLS:
            if item.pieces[INPUT].size == 0:
                yield from self._say(item, INPUT, arguments_text(body.get("arguments", body.get("input"))))
        else:
            yield from self.on_other(item, body)

    def on_other(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """Progress of a tool, an image on its way, anything that has no name of ours: passed on where it stands."""
        if item.open is not None:
            said = {key: value for key, value in body.items() if key not in _BESIDE}
            yield Delta(item.pieces[item.open].part, native=Native(event=said))

    def on_nothing(self, item: OpenItem, body: Body) -> Iterator[Event]:
        """Says nothing that other events do not."""
        return iter(())


def reason(response: Body, status: str, *, calls: bool) -> ChoiceEnded:
    """Why *response* ended; *calls* says that the client has calls to answer."""
    if status == "incomplete":
        details = response.get("incomplete_details")
        native = text(details.get("reason")) if isinstance(details, dict) else ""
        return ChoiceEnded(reason=INCOMPLETE.get(native, "length"), native=native or status)
    if status in ("queued", "in_progress"):
        return ChoiceEnded(native=status)
    if status == "cancelled":
        return ChoiceEnded(reason="error", native=status)
    return ChoiceEnded(reason="tool_calls" if calls else "stop", native=status)


Handler = Callable[[Reader, OpenItem, Body], Iterator[Event]]
HANDLERS: dict[str, Handler] = {
    "response.content_part.added": Reader.on_part,
    "response.content_part.done": Reader.on_part_done,
    "response.output_text.delta": Reader.on_text,
    "response.output_text.done": Reader.on_text_done,
    "response.output_text.annotation.added": Reader.on_note,
    "response.refusal.delta": Reader.on_text,
    "response.refusal.done": Reader.on_text_done,
    "response.function_call_arguments.delta": Reader.on_input,
    "response.function_call_arguments.done": Reader.on_input_done,
    "response.custom_tool_call_input.delta": Reader.on_input,
    "response.custom_tool_call_input.done": Reader.on_input_done,
    "response.reasoning_text.delta": Reader.on_thought,
    "response.reasoning_text.done": Reader.on_nothing,
    "response.reasoning_summary_part.added": Reader.on_nothing,
    "response.reasoning_summary_part.done": Reader.on_part_done,
    "response.reasoning_summary_text.delta": Reader.on_thought,
    "response.reasoning_summary_text.done": Reader.on_nothing,
}
"""An event's type → its reader; events about an item that are not here are passed on where they stand."""


def _form(kind: str) -> PartKind | None:
    forms: dict[str, PartKind] = {"output_text": "text", "text": "text", "refusal": "refusal"}
    return forms.get(kind)


def _list_of(key: Key) -> str:
    return "refusal" if key[0] == "refusal" else "content"


def _number(body: Body, key: str, otherwise: int) -> int:
    value = body.get(key)
    return value if isinstance(value, int) else otherwise


def _dicts(value: Any) -> list[Body]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
