"""Signed thoughts that a client lost, put back.

Anthropic and Gemini want the thought that led to a tool call back with its result, signed as it was. Many clients keep
the call and drop the thought. So what an answer signed is remembered for a while by the id of the call that it led to,
and put before that call where a request comes without it. Nothing is put in where the client kept any signed thought.

Source: OpenRouter, "Reasoning tokens" (preserving reasoning).
"""

from collections.abc import Callable

from msgspec.structs import replace

from trunkline.model.events import Delta, PartStarted
from trunkline.model.request import Message, Part, ReasoningPart, Request, ToolCallPart

Thoughts = tuple[ReasoningPart, ...]


class Collector:
    """Takes the events of one answer in; `found` is its signed thoughts, by the id of the tool call that they led to.

    `open` holds the thoughts that led to nothing yet: part index → their place. While it is empty, deltas say nothing.
    """

    __slots__ = ("_parts", "_texts", "found", "open")

    def __init__(self) -> None:
        self.found: dict[str, Thoughts] = {}
        self._parts: list[ReasoningPart] = []
        self._texts: list[list[str]] = []
        self.open: dict[int, int] = {}

    def delta(self, event: Delta) -> None:
        """Take a piece of any part in."""
        at = self.open.get(event.index)
        if at is not None:
            self._texts[at].append(event.text)
            if event.signature is not None:
                self._parts[at] = replace(self._parts[at], signature=event.signature)

    def part(self, event: PartStarted) -> None:
        """Take the start of any part in."""
        if event.kind == "reasoning" and event.form is not None:
            self.open[event.index] = len(self._parts)
            self._parts.append(
                ReasoningPart(form=event.form, format=event.format, id=event.id, extra=dict(event.extra))
            )
            self._texts.append([])
        elif event.kind == "tool_call":
            self._led_to(event.id)

    def _led_to(self, call: str | None) -> None:
        parts = tuple(replace(part, text="".join(texts)) for part, texts in zip(self._parts, self._texts, strict=True))
        if call and any(map(signed, parts)):
            self.found[call] = parts
        self._parts, self._texts, self.open = [], [], {}


def signed(part: Part) -> bool:
    """Whether *part* is a thought that its provider can check."""
    return isinstance(part, ReasoningPart) and (part.signature is not None or part.form == "encrypted")


def restore(request: Request, find: Callable[[str], Thoughts | None]) -> Request:
    """*request* with the thoughts that *find* knows, each before its call."""
    messages = tuple(_restored(message, find) for message in request.messages)
    if all(new is old for new, old in zip(messages, request.messages, strict=True)):
        return request
    return replace(request, messages=messages)


def _restored(message: Message, find: Callable[[str], Thoughts | None]) -> Message:
    if message.role != "assistant" or any(map(signed, message.parts)):
        return message
    parts: list[Part] = []
    found = False
    for part in message.parts:
        if isinstance(part, ToolCallPart):
            thoughts = find(part.id)
            if thoughts is not None:
                found = True
                parts.extend(thoughts)
        parts.append(part)
    if not found:
        return message
    # What the client kept unsigned is the readable side of the same thoughts.
    known = {id(part) for part in message.parts if isinstance(part, ReasoningPart)}
    return replace(message, parts=tuple(part for part in parts if id(part) not in known))
