"""Restoring signed reasoning that a client dropped.

Anthropic and Gemini require the signed reasoning before a tool call to come back unchanged with the tool's result. Many
clients keep the call and drop the reasoning. The gateway therefore stores signed reasoning for a limited time under the
id of the call that followed it, and inserts it before that call if a request lacks it. Nothing is inserted where the
client kept any signed reasoning.

Source: OpenRouter, "Reasoning tokens" (preserving reasoning).
"""

from collections.abc import Callable

from msgspec.structs import replace

from trunkline.model.events import Delta, PartStarted
from trunkline.model.request import Message, Part, ReasoningPart, Request, ToolCallPart

Thoughts = tuple[ReasoningPart, ...]


class Collector:
    """Collects the signed reasoning of one answer; `found` has it by the id of the tool call that followed.

    `open` maps the part index of reasoning that no call has followed yet to its place. While it is empty, deltas need
    not be passed.
    """

    __slots__ = ("_parts", "_texts", "found", "open")

    def __init__(self) -> None:
        self.found: dict[str, Thoughts] = {}
        self._parts: list[ReasoningPart] = []
        self._texts: list[list[str]] = []
        self.open: dict[int, int] = {}

    def delta(self, event: Delta) -> None:
        """Record a delta of any part."""
        at = self.open.get(event.index)
        if at is not None:
            self._texts[at].append(event.text)
            if event.signature is not None:
                self._parts[at] = replace(self._parts[at], signature=event.signature)

    def part(self, event: PartStarted) -> None:
        """Record the start of any part."""
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
    """Return whether *part* is reasoning with a signature or with encrypted content."""
    return isinstance(part, ReasoningPart) and (part.signature is not None or part.form == "encrypted")


def restore(request: Request, find: Callable[[str], Thoughts | None]) -> Request:
    """Return *request* with the reasoning that *find* returns for its calls, each inserted before its call."""
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
    # Unsigned reasoning that the client kept is the readable form of the same reasoning.
    known = {id(part) for part in message.parts if isinstance(part, ReasoningPart)}
    return replace(message, parts=tuple(part for part in parts if id(part) not in known))
