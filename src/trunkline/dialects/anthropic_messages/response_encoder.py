"""A Messages answer, written: a stream's bytes or one JSON body from events.

Source: OpenRouter's OpenAPI document, `MessagesResult` and `MessagesStreamEvents`.

One block is open at a time. Providers of other dialects may go on with a part while another one is open (parallel tool
calls, text after a thought that nobody closed); what comes for a part that is not the open one waits until it is its
turn. The turn of a part comes when the one before it has ended.
"""

from collections import deque
from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.dialects.anthropic_messages.errors import envelope
from trunkline.dialects.anthropic_messages.response_parts import Writer, arguments
from trunkline.dialects.anthropic_messages.response_state import HeldPart
from trunkline.dialects.anthropic_messages.usage import encode as encode_usage
from trunkline.dialects.anthropic_messages.usage import in_delta
from trunkline.dialects.anthropic_messages.vocabulary import NAME
from trunkline.dialects.interfaces import Identity
from trunkline.model.errors import TrunklineError
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Finished,
    FinishReason,
    Noted,
    PartEnded,
    PartStarted,
    Started,
)
from trunkline.model.loss import Loss, Losses
from trunkline.model.response import Folder
from trunkline.model.usage import Cost, Usage

STOP: dict[FinishReason | None, str] = {
    "stop": "end_turn",
    "length": "max_tokens",
    "tool_calls": "tool_use",
    "content_filter": "refusal",
    "error": "end_turn",
    None: "end_turn",
}
"""Our word → this dialect's."""

NO_WORD = "Messages has no word for it"
ONE_CHOICE = "Messages gives one choice"

_json = msgspec.json.Encoder()


def frame(kind: str, body: dict[str, Any]) -> bytes:
    """One SSE frame, its type first."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _json.encode({"type": kind, **body}))


def stop_reason(ended: ChoiceEnded, *, same: bool) -> str:
    """Why it ended: the upstream's own word where it is one of this dialect, else what is nearest to ours."""
    if same and ended.native:
        return ended.native
    return "stop_sequence" if ended.stop is not None and ended.reason == "stop" else STOP[ended.reason]


SERVED: dict[Any, str | None] = {"auto": None, "default": "standard", "priority": "priority", "batch": "batch"}
"""OpenAI's word for the tier that served an answer → what usage says of it; `auto` is none yet."""


class _Answer:
    """What both encoders know of the answer as a whole."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._losses = Losses("response")
        self._same = False
        self._ended = ChoiceEnded()
        self._notes: dict[str, Any] = {}
        self._tier: str | None = None

    @property
    def losses(self) -> tuple[Loss, ...]:
        """As `Encoder.losses`."""
        return self._losses.found()

    def _begin(self, event: Started) -> None:
        self._same = event.dialect == NAME
        self._note(event.extra)

    def _note(self, extra: dict[str, Any]) -> None:
        if self._same:
            self._notes.update(extra)
        else:
            tier = extra.get("service_tier")
            known = isinstance(tier, str) and tier in SERVED
            if known:
                self._tier = SERVED[tier]
            self._losses.extra("", extra, NO_WORD, but=("service_tier",) if known else ())

    def _spent(self, usage: Usage, cost: Cost | None) -> dict[str, Any]:
        """*usage* and *cost*, with the tier that served the answer where another dialect's upstream told of it."""
        said = encode_usage(usage, cost, same=self._same)
        return said if self._tier is None else {**said, "service_tier": self._tier}

    def _end(self, event: ChoiceEnded) -> None:
        if event.choice:
            self._losses.add(f"choices[{event.choice}]", ONE_CHOICE)
            return
        self._ended = event
        if event.reason == "error":
            self._losses.add("finish_reason", "Messages has no word for an answer that ended in an error")
        if not self._same:
            self._losses.extra("", event.extra, NO_WORD)

    def _message(self, usage: dict[str, Any]) -> dict[str, Any]:
        """The message without its content and its end."""
        return {
            "id": self._identity.id,
            "type": "message",
            "role": "assistant",
            "model": self._identity.model,
            "content": [],
            "container": None,
            "stop_reason": None,
            "stop_sequence": None,
            "stop_details": None,
            "provider": self._identity.provider,
            "usage": usage,
        }

    def _how(self) -> dict[str, Any]:
        """How it ended."""
        ended = self._ended
        said = {"stop_reason": stop_reason(ended, same=self._same), "stop_sequence": ended.stop}
        more = ended.extra if self._same else {}
        return {**said, "stop_details": more.get("stop_details"), "container": more.get("container")}


class StreamEncoder(_Answer):
    """Events to frames."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self._begun = False
        self._usage = Usage(prompt=identity.prompt_tokens)
        self._writer = Writer(identity, self._losses)
        self._parts: dict[int, HeldPart] = {}
        self._queue: deque[HeldPart] = deque()
        self._skipped: set[int] = set()
        self._told: str | None = None
        """The tier that the beginning named."""
        self._blocks = 0

    def encode(self, event: Event) -> bytes:
        """As `Encoder.encode`."""
        match event:
            case Delta():
                return self._delta(event)
            case PartStarted():
                return self._part(event)
            case PartEnded(index=index):
                return self._part_ended(index)
            case Started():
                self._begin(event)
                self._writer.same = self._same
                if event.usage is not None:
                    self._usage = event.usage
                return self._start()
            case Noted(extra=extra):
                self._note(extra)
            case ChoiceEnded():
                self._end(event)
            case _:
                pass
        return b""

    def _start(self) -> bytes:
        if self._begun:
            return b""
        self._begun = True
        message = self._message(self._spent(self._usage, None))
        self._told = self._tier
        if self._same:
            message.update(self._notes)
            self._notes = {}
        return frame("message_start", {"message": message})

    def _part(self, part: PartStarted) -> bytes:
        if part.choice or not self._writer.says(part):
            self._skipped.add(part.index)
            return b""
        held = self._parts[part.index] = HeldPart(part, [])
        self._queue.append(held)
        return self._advance() if len(self._queue) == 1 else b""

    def _delta(self, event: Delta) -> bytes:
        held = self._parts.get(event.index)
        if held is None:
            if event.index not in self._skipped:
                raise AssertionError(f"delta of part {event.index}, which has not begun")
            return b""
        if held.block < 0:
            held.events.append(event)
            return self._advance() if self._queue and self._queue[0] is held else b""
        held.said = held.said or bool(event.text)
        return b"".join(
            frame("content_block_delta", {"index": held.block, "delta": delta})
            for delta in self._writer.delta(held.started, event)
        )

    def _part_ended(self, index: int) -> bytes:
        held = self._parts.get(index)
        if held is None:
            return b""
        held.ended = True
        return self._advance() if self._queue and self._queue[0] is held else b""

    def _advance(self) -> bytes:
        """Let the first of those that wait speak, and after its end the next ones."""
        out: list[bytes] = []
        while self._queue:
            held = self._queue[0]
            if held.block < 0 and not self._open(held, out):
                break
            events, held.events = held.events, []
            for event in events:
                held.said = held.said or bool(event.text)
                for delta in self._writer.delta(held.started, event):
                    out.append(frame("content_block_delta", {"index": held.block, "delta": delta}))
            if not held.ended:
                break
            for delta in self._writer.last(held.started, said=held.said):
                out.append(frame("content_block_delta", {"index": held.block, "delta": delta}))
            out.append(frame("content_block_stop", {"index": held.block}))
            self._queue.popleft()
        return b"".join(out)

    def _open(self, held: HeldPart, out: list[bytes]) -> bool:
        """Begin the block of *held*. What comes whole at the block's beginning waits for its end."""
        if self._writer.whole(held.started):
            if not held.ended:
                return False
            block = self._writer.block(held.started, held.events)
            held.events = []
        else:
            block = self._writer.block(held.started, [])
        held.block = self._blocks
        self._blocks += 1
        out.append(frame("content_block_start", {"index": held.block, "content_block": block}))
        return True

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """What is still open, `message_delta` with usage and cost, and `message_stop`."""
        out = self._start() + self._close()
        said = in_delta(self._spent(usage, cost))
        if self._tier != self._told:
            said["service_tier"] = self._tier
        out += frame("message_delta", {**self._notes, "delta": self._how(), "usage": said})
        return out + frame("message_stop", {} if metadata is None else {"openrouter_metadata": metadata})

    def _close(self) -> bytes:
        for held in self._queue:
            held.ended = True
        return self._advance()

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """The error, and nothing after it: no `message_stop`."""
        return self._start() + frame("error", envelope(error, self._identity.id))


class BodyEncoder(_Answer):
    """Events to one JSON body: their fold."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self._folder = Folder()
        self._content: list[dict[str, Any]] = []

    def encode(self, event: Event) -> bytes:
        """Keeps *event*; everything comes from `finish`. What is lost is known with the last one."""
        self._folder.add(event)
        match event:
            case Started():
                self._begin(event)
            case Noted(extra=extra):
                self._note(extra)
            case ChoiceEnded():
                self._end(event)
            case Finished():
                self._content = list(self._blocks())
            case _:
                pass
        return b""

    def _blocks(self) -> Iterator[dict[str, Any]]:
        writer = Writer(self._identity, self._losses, same=self._same)
        for choice in self._folder.response.choices:
            for part in choice.parts if choice.index == 0 else ():
                started = PartStarted(
                    0,
                    part.kind,
                    id=part.id,
                    name=part.name,
                    form=part.form,
                    format=part.format,
                    extra=part.extra,
                    item=part.item,
                )
                if writer.says(started):
                    piece = Delta(
                        0,
                        part.text,
                        signature=part.signature,
                        logprobs=part.logprobs,
                        citations=tuple(part.citations) or None,
                    )
                    yield _filled(writer, started, piece)

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The whole body."""
        body = self._message(self._spent(usage, cost))
        body.update(self._notes)
        body.update(self._how(), content=self._content)
        if metadata is not None:
            body["openrouter_metadata"] = metadata
        return _json.encode(body)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """Nothing has left, so an error is an error body; this is not called for JSON."""
        raise error


def _filled(writer: Writer, part: PartStarted, piece: Delta) -> dict[str, Any]:
    """The whole block of *part*: its beginning, and what its deltas would have added."""
    if writer.whole(part):
        return writer.block(part, [piece])
    block = writer.block(part, [])
    given = ""
    for delta in [*writer.delta(part, piece), *writer.last(part, said=bool(piece.text))]:
        match delta:
            case {"type": "text_delta", "text": text}:
                block["text"] += text
            case {"type": "thinking_delta", "thinking": text}:
                block["thinking"] += text
            case {"type": "signature_delta", "signature": signature}:
                block["signature"] = signature
            case {"type": "input_json_delta", "partial_json": text}:
                given += text
            case {"type": "citations_delta", "citation": citation}:
                block["citations"] = block["citations"] or []
                block["citations"].append(citation)
            case _:
                block.update({key: value for key, value in delta.items() if key != "type"})
    if given:
        block["input"] = arguments(given)
    return block
