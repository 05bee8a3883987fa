"""Answers of other dialects, made such as a chat upstream might have given; what cannot be is a loss.

`extra`, opaque parts and native citations are in the words of the upstream's dialect and stay here. A tool that the
provider ran becomes the entry of `reasoning_details` that OpenRouter has for such, once its result is there; places of
citations are counted over the whole message, of which chat knows no parts. Citations are said at once, when the choice
ends, since OpenAI's own accumulator takes no second list of them. Answers of this dialect do not come here.

Sources: OpenRouter's OpenAPI document, `ChatResult` and `ChatStreamChunk`; OpenRouter, "Web search".
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from trunkline.dialects.openai_chat.response_state import HeldPart
from trunkline.model.citation import Citation
from trunkline.model.events import ChoiceEnded, Delta, Event, Noted, PartEnded, PartStarted, Reported, Started
from trunkline.model.loss import Loss, Losses

NO_WORD = "chat has no word for it"
ECHO = frozenset(
    {"object", "status", "instructions", "tools", "tool_choice", "parallel_tool_calls", "metadata", "temperature",
     "top_p", "presence_penalty", "frequency_penalty", "top_logprobs", "text", "truncation", "reasoning", "store",
     "user", "background", "max_output_tokens", "max_tool_calls", "previous_response_id", "prompt", "conversation",
     "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "moderation", "billing", "completed_at",
     "type", "role"}
)  # fmt: skip
"""Fields of an answer that say again what was asked, or what every answer is: nothing is lost with them."""
KEPT = ("service_tier", "system_fingerprint")
"""Fields of other dialects' answers that chat has under the same name."""
PLACE = frozenset({"at", "item", "type", "index"})
"""What a part's `extra` says of its place in the upstream's answer: chat has other places."""

_json = msgspec.json.Encoder()


class Gate:
    """Takes the events of one answer in another dialect; gives those that chat can say, parts numbered anew."""

    __slots__ = ("_begun", "_by_id", "_calls", "_cited", "_held", "_images", "_lengths", "_losses", "_next", "_numbers")

    def __init__(self) -> None:
        self._losses = Losses("response")
        self._next = 0
        self._numbers: dict[int, int] = {}
        self._held: dict[int, HeldPart] = {}
        self._calls: dict[int, dict[int, HeldPart]] = {}
        """Calls without a result yet, by choice and part."""
        self._by_id: dict[tuple[int, str | None], deque[int]] = {}
        """The parts of the calls of an id in a choice, oldest first; those that have their result are still there."""
        self._lengths: dict[int, int] = {}
        self._images: dict[int, int] = {}
        self._cited: dict[int, tuple[int, list[Citation]]] = {}
        self._begun: dict[int, tuple[int, int]] = {}

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What could not be said so far."""
        return self._losses.found()

    def events(self, event: Event) -> Iterator[Event]:
        """What *event* becomes; may be nothing."""
        match event:
            case Delta():
                yield from self._delta(event)
            case PartStarted():
                yield from self._started(event)
            case PartEnded(index=index):
                yield from self._ended(index)
            case Started(extra=extra):
                yield replace(event, extra=self._kept(extra))
            case Noted(extra=extra):
                kept = self._kept(extra)
                if kept:
                    yield Noted(kept)
            case ChoiceEnded():
                for call in self._calls.pop(event.choice, {}).values():
                    yield from self._tool(call, None)
                if event.choice in self._cited:
                    number, citations = self._cited.pop(event.choice)
                    yield Delta(number, citations=tuple(citations))
                if event.stop is not None:
                    self._losses.add("stop_sequence", "chat does not say which stop sequence was met")
                self._losses.extra("", event.extra, NO_WORD, but=ECHO)
                yield replace(event, extra={})
            case Reported(usage=usage):
                self._losses.extra("usage", usage.extra, NO_WORD)
                yield event
            case _:
                yield event

    def _kept(self, extra: dict[str, Any]) -> dict[str, Any]:
        self._losses.extra("", extra, NO_WORD, but=ECHO.union(KEPT))
        return {key: extra[key] for key in KEPT if isinstance(extra.get(key), str)}

    def _number(self, index: int) -> int:
        self._numbers[index] = self._next
        self._next += 1
        return self._numbers[index]

    def _started(self, part: PartStarted) -> Iterator[Event]:
        match part.kind:
            case "opaque":
                self._losses.add(_kind(part) or "content", "a part, or a tool, of a kind that chat has not")
            case "server_tool_call" | "server_tool_result" | "image":
                self._held[part.index] = HeldPart(part, [], dict(part.extra))
            case kind:
                self._losses.extra(kind, part.extra, NO_WORD, but=PLACE)
                form = part.form or "data" if kind == "audio" else part.form
                number = self._number(part.index)
                self._begun[number] = (part.choice, self._lengths.get(part.choice, 0))
                yield replace(part, index=number, form=form, extra={}, item=None)

    def _delta(self, event: Delta) -> Iterator[Event]:
        held = self._held.get(event.index)
        if held is not None:
            held.text.append(event.text)
            held.extra.update(event.extra or {})
            return
        number = self._numbers.get(event.index)
        if number is None:
            return
        choice, begun = self._begun[number]
        if event.extra:
            self._losses.extra("content", event.extra, NO_WORD, but=PLACE)
        self._lengths[choice] = self._lengths.get(choice, 0) + len(event.text)
        if event.citations is not None:
            found = list(self._placed(event.citations, begun, self._lengths[choice]))
            if found:
                citations = self._cited[choice][1] if choice in self._cited else []
                citations += found
                self._cited[choice] = (number, citations)
        logprobs = None if event.logprobs is None else _logprobs(event.logprobs)
        if event.text or logprobs or event.signature is not None:
            yield replace(event, index=number, citations=None, logprobs=logprobs, extra=None, native=None)

    def _placed(self, found: tuple[Citation, ...], begun: int, length: int) -> Iterator[Citation]:
        for citation in found:
            if citation.url is None:
                self._losses.add("citations", f"chat has no citations of the kind {citation.kind}")
                continue
            if citation.native.get("encrypted_index") is not None:
                self._losses.add("citations.encrypted_index", NO_WORD)
            end = length if citation.end is None else begun + citation.end
            yield replace(citation, begin=begun + (citation.begin or 0), end=end)

    def _ended(self, index: int) -> Iterator[Event]:
        held = self._held.pop(index, None)
        if held is None:
            if index in self._numbers:
                yield PartEnded(self._numbers[index])
            return
        choice = held.part.choice
        match held.part.kind:
            case "server_tool_call":
                self._calls.setdefault(choice, {})[held.part.index] = held
                self._by_id.setdefault((choice, held.part.id), deque()).append(held.part.index)
            case "server_tool_result":
                parts, calls = self._by_id.get((choice, held.part.id)), self._calls.get(choice)
                if not parts or not calls:
                    self._losses.add("server_tool_result", "a result without its call")
                    return
                yield from self._tool(calls.pop(parts.popleft()), held)
            case _:
                if (kind := _kind(held.part)) is not None:
                    self._losses.add(kind, "chat does not say which tool made an image")
                number = self._number(index)
                at = self._images[choice] = self._images.get(choice, -1) + 1
                yield replace(held.part, index=number, extra={"index": at}, item=None)
                yield Delta(number, "".join(held.text))
                yield PartEnded(number)

    def _tool(self, call: HeldPart, result: HeldPart | None) -> Iterator[Event]:
        """A tool that the provider ran, as the detail that chat has for it."""
        said = {
            "tool_name": call.part.name or "",
            "arguments": "".join(call.text) or "{}",
            "result": "" if result is None else _outcome(result),
            "tool_call_id": call.part.id,
        }
        number = self._number(call.part.index)
        yield PartStarted(number, "reasoning", choice=call.part.choice, form="server_tool_call", extra=said)
        yield PartEnded(number)


def _kind(part: PartStarted) -> str | None:
    """What the upstream calls a part: the type in it, or in the item that it holds."""
    item = None if part.item is None else part.item.fields
    for said in (item, part.extra, *part.extra.values()):
        if isinstance(said, dict) and isinstance(said.get("type"), str):
            return str(said["type"])
    return None


def _outcome(result: HeldPart) -> str:
    """What came of a tool as text: the text that it is, or the provider's own words as JSON."""
    text = "".join(result.text)
    if text:
        return text
    content = result.extra.get("content")
    said = {key: value for key, value in result.extra.items() if key not in PLACE}
    return _json.encode(said if content is None else content).decode()


def _logprobs(found: dict[str, Any]) -> dict[str, Any]:
    """Entries with every field that chat's have."""
    usual: dict[str, Any] = {"bytes": None, "top_logprobs": []}
    return {"content": None, "refusal": None} | {
        key: [usual | entry for entry in entries] if isinstance(entries, list) else entries
        for key, entries in found.items()
    }
