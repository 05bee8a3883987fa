"""A Responses answer put together: wire events, and in the end the items, from events.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult` and `StreamEvents`.

One item is written at a time. Parts that an upstream interleaves (parallel tool calls) wait for their turn, since
clients read an item as whole once the next one has begun. An item of several parts stays open until a part comes that
is not its own: then, and not before, is it known to be whole.

What came in this dialect (`same`) is put together as it was, by the items that its parts name.
"""

from collections import OrderedDict
from typing import Any

from msgspec import Raw

from trunkline.dialects.common.tool_renaming import read_tool_names
from trunkline.dialects.interfaces import Identity
from trunkline.dialects.openai_responses import response_parts
from trunkline.dialects.openai_responses.citations import encode as encode_citation
from trunkline.dialects.openai_responses.response_echo import STATUSES, head, output_text, told
from trunkline.dialects.openai_responses.response_events import Reader
from trunkline.dialects.openai_responses.response_item_writer import ItemWriter
from trunkline.dialects.openai_responses.response_parts import NO_WORD, content, thought
from trunkline.dialects.openai_responses.response_state import Body, Open
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    FinishReason,
    Native,
    Noted,
    PartEnded,
    PartStarted,
    Started,
)

CUT: dict[FinishReason, str] = {"length": "max_output_tokens", "content_filter": "content_filter"}
"""Why an answer is incomplete, by the reason why it ended."""


class Writer:
    """Takes events in; `items.take` gives the wire's events so far, without their sequence numbers."""

    __slots__ = (
        "_current",
        "_left_out",
        "_waiting",
        "head",
        "items",
        "open",
        "reason",
    )  # fmt: skip

    def __init__(self, identity: Identity, envelope: dict[str, Raw]) -> None:
        self.items = ItemWriter(identity, read_tool_names(envelope))
        self.head = head(identity, envelope)
        self.reason = ChoiceEnded()
        self.open: Open | None = None
        self._current: int | None = None
        self._waiting: OrderedDict[int, list[Event]] = OrderedDict()
        """Events of parts whose turn has not come, by part in order of appearance."""
        self._left_out: set[int] = set()

    @property
    def plain(self) -> tuple[int, str, int, int] | None:
        """Part, item id, output index and content index of the text that is being written, None where none is."""
        if self.open is None or self.items.slot is None or self.open.part.kind != "text" or self.open.number < 0:
            return None
        return self.open.part.index, self.items.slot.body["id"], self.items.slot.index, self.open.number

    def add(self, text: str) -> None:
        """Take in a piece of the open text that was written already; see `plain`."""
        assert self.open is not None
        self.open.texts.append(text)
        self.open.length += len(text)

    def on(self, event: Event) -> None:
        """Take one event in."""
        match event:
            case PartStarted(choice=choice) if choice:
                self._left_out.add(event.index)
                self.items.losses.add(f"choices[{choice}]", "a response has one choice")
            case Delta(index=index) | PartEnded(index=index) if index in self._left_out:
                pass
            case PartStarted(index=index) if self._current is not None:
                self._waiting[index] = [event]
            case Delta(index=index) | PartEnded(index=index) if index != self._current:
                if index in self._waiting:
                    self._waiting[index].append(event)
            case PartStarted():
                self._part(event)
            case Delta():
                self._delta(event)
            case PartEnded():
                self._ended()
                while self._waiting and self._current is None:
                    _, events = self._waiting.popitem(last=False)
                    for waiting in events:
                        self._of_part(waiting)
            case Started():
                self._begin(event)
            case ChoiceEnded() if not event.choice:
                self._choice(event)
            case Noted():
                self._note(event)
            case _:
                pass

    def _of_part(self, event: Event) -> None:
        """Take in one event of the part whose turn it is."""
        match event:
            case PartStarted():
                self._part(event)
            case Delta():
                self._delta(event)
            case _:
                self._ended()

    def _begin(self, event: Started) -> None:
        self.items.same = event.dialect == "responses"
        if event.created:
            self.head["created_at"] = event.created
        if self.items.same:
            self.head = told(self.head, event.extra)
        else:
            self._foreign(event.extra)
        self.items.emit("created", response=dict(self.head))
        self.items.emit("in_progress", response=dict(self.head))

    def _lost(self, where: str, extra: Body) -> None:
        for key, value in extra.items():
            if value is not None:
                self.items.losses.add(f"{where}.{key}" if where else key, NO_WORD)

    def _foreign(self, extra: Body) -> None:
        """What an upstream of another dialect says beside its answer: the tier that served it has a name here too."""
        if isinstance(tier := extra.get("service_tier"), str):
            self.head["service_tier"] = tier
        self._lost("", {key: said for key, said in extra.items() if key != "service_tier"})

    def _note(self, noted: Noted) -> None:
        if not self.items.same:
            self._foreign(noted.extra)
            return
        if noted.event is not None:
            self.items.events.append(noted.event)
        self.head.update(noted.extra)

    def _choice(self, event: ChoiceEnded) -> None:
        self.reason = event
        if not self.items.same:
            self._lost("choices[0]", event.extra)
        if event.stop is not None:
            self.items.losses.add("stop_sequence", NO_WORD)
        self.items.close("incomplete" if event.reason in CUT else "completed")

    # Parts

    def _part(self, part: PartStarted) -> None:
        self._current = part.index
        own = self.items.own(part)
        if own is None and part.kind not in ("opaque", "server_tool_call", "server_tool_result"):
            self._lost(f"parts[{part.index}]", part.extra)
        self.open = Open(part, [], [], [], {} if own is None else dict(part.extra))
        response_parts.STARTS[part.kind](self.items, part)

    def _delta(self, event: Delta) -> None:
        opened = self.open
        assert opened is not None
        if event.extra:
            self._more(opened, event.extra)
        if event.native is not None and self.items.same:
            self._native(opened, event.native)
        if event.signature is not None:
            opened.signature = event.signature
            if opened.part.kind == "reasoning":
                response_parts.thinking(self.items, opened)
        if event.text:
            opened.texts.append(event.text)
            opened.length += len(event.text)
        probs = _probs(event.logprobs, same=self.items.same) if event.logprobs else []
        opened.probs += probs
        if event.text and (piece := response_parts.PIECES.get(opened.part.kind)) is not None:
            piece(self.items, opened, event.text, probs)
        if event.citations:
            self._cite(opened, event)

    def _more(self, opened: Open, extra: Body) -> None:
        """Fields of a part beyond the vocabulary."""
        if self.items.own(opened.part) is None:
            self._lost(f"parts[{opened.part.index}]", extra)
        else:
            opened.rest.update(extra)

    def _native(self, opened: Open, native: Native) -> None:
        """What an upstream of this dialect says of an item on its way, or in the end."""
        if native.bare:
            opened.bare = True
        if self.items.slot is None:
            return
        if native.event is not None:
            opened.shown = True
            said = {key: value for key, value in native.event.items() if key != "type"}
            self.items.of_item(native.event.get("type", "").removeprefix("response."), **said)
        if native.item is not None:
            self.items.last(self.items.slot, native.item)

    def _cite(self, opened: Open, event: Delta) -> None:
        if opened.part.kind != "text":
            self.items.losses.add("citations", "they are not of a text")
            return
        response_parts.text_begins(self.items, opened)
        for citation in event.citations or ():
            note = encode_citation(citation, same=self.items.same, length=opened.length)
            if note is None:
                self.items.losses.add("citations", "an annotation names an address or a file, and this one neither")
                continue
            at = len(opened.notes)
            opened.notes.append(note)
            self.items.of_item(
                "output_text.annotation.added", content_index=opened.number, annotation_index=at, annotation=note
            )

    def _ended(self) -> None:
        opened, self.open, self._current = self.open, None, None
        assert opened is not None
        response_parts.ENDS[opened.part.kind](self.items, opened)

    # The end

    def final(self, status: str) -> Body:
        """The response as it is in the end, without its usage; *status* is that of items that never ended."""
        if self.open is not None:
            self._cut_short(self.open)
        if self.items.slot is not None and "status" in self.items.slot.body:
            self.items.slot.body["status"] = status
        self.items.slot = self.open = None
        return {**self.head, "output": self.items.output, "output_text": output_text(self.items.output)}

    def _cut_short(self, opened: Open) -> None:
        """Put into its item what has come of a part that will never end."""
        if self.items.slot is None:
            return
        said, body = "".join(opened.texts), self.items.slot.body
        if opened.number >= 0 and opened.part.kind in ("text", "refusal"):
            body["content"][opened.number] = content(opened, whole=True)
        elif opened.number >= 0 and opened.part.kind == "reasoning":
            summary = opened.part.form == "summary"
            body["summary" if summary else "content"][opened.number] = thought(summary, said)
        elif opened.part.kind == "tool_call":
            body["arguments" if body["type"] == "function_call" else "input"] = said

    def ended(self) -> tuple[str, Body]:
        """The last event's type, and the response as it is in the end, without its usage."""
        self.items.close("completed")
        reason, native = self.reason.reason, self.reason.native
        response = self.final("completed")
        response["status"] = "completed"
        if reason in CUT:
            response["status"] = "incomplete"
            told = native if self.items.same and native in CUT.values() else CUT[reason]
            response["incomplete_details"] = {"reason": told}
        elif reason == "error":
            response["status"] = "failed"
            response["error"] = {"code": "server_error", "message": "the provider ended its answer with an error"}
            response["error_type"] = "provider_unavailable"
        elif self.items.same and native in STATUSES:
            response["status"] = native
        return response["status"], response


def whole(at: int, item: Body, identity: Identity) -> list[Body]:
    """The events of *item*, number *at* of an answer in this dialect, without their sequence numbers."""
    writer = Writer(identity, {})
    items = writer.items
    items.same = True
    items.before = at
    for event in Reader().whole(at, item):
        writer.on(event)
    items.close("completed")
    return items.take()


def _probs(logprobs: Body, *, same: bool) -> list[Any]:
    """The entries of all lists of *logprobs*, with the keys that this dialect always has."""
    entries = [entry for found in logprobs.values() if isinstance(found, list) for entry in found]
    return entries if same else [_entry(entry) for entry in entries if isinstance(entry, dict)]


def _entry(entry: Body) -> Body:
    tops = [_top(top) for top in entry.get("top_logprobs") or () if isinstance(top, dict)]
    return {**_top(entry), "top_logprobs": tops}


def _top(entry: Body) -> Body:
    token = str(entry.get("token", ""))
    known = entry.get("bytes")
    return {
        "token": token,
        "logprob": entry.get("logprob", 0),
        "bytes": list(token.encode()) if known is None else known,
    }
