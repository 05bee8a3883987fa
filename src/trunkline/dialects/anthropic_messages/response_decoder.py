"""A Messages answer, read: events from a stream's bytes or from one JSON body.

Source: OpenRouter's OpenAPI document, `MessagesResult` and `MessagesStreamEvents`.

A body is read as the stream that would have said the same, so there is one reader for both.
"""

from collections.abc import Iterator
from typing import Any

import msgspec

from trunkline.dialects.anthropic_messages.citations import decode as decode_citation
from trunkline.dialects.anthropic_messages.errors import from_object
from trunkline.dialects.anthropic_messages.response_state import OpenBlock
from trunkline.dialects.anthropic_messages.usage import decode as decode_usage
from trunkline.dialects.anthropic_messages.vocabulary import NAME, SERVER_CALLS
from trunkline.dialects.common.body_reader import BodyReader
from trunkline.dialects.common.lenient_json import decode_object, text
from trunkline.dialects.common.reasoning import ANTHROPIC
from trunkline.dialects.common.sse import BlockReader, frames
from trunkline.model.citation import Citation
from trunkline.model.errors import UpstreamFailed, UpstreamGarbled, UpstreamTruncated
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
from trunkline.model.usage import Usage

FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "pause_turn": "stop",
    "compaction": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}
"""The upstream's word → ours. A word that is not here means that the model stopped by itself."""

DELTAS = {
    "text_delta": "text",
    "thinking_delta": "thinking",
    "input_json_delta": "partial_json",
    "redacted_thinking_delta": "data",
}
"""A delta's type → the key of the text that it adds."""


_MESSAGE = frozenset(
    {"id", "type", "role", "model", "content", "stop_reason", "stop_sequence", "stop_details", "container", "usage"}
)
_ENDED = ("stop_details", "container")
_EVENTS = frozenset({"ping", "content_block_start", "content_block_delta", "content_block_stop", "message_delta"})


def finish_reason(native: Any) -> FinishReason | None:
    """Our word for the upstream's; None where it gave none."""
    return FINISH.get(native, "stop") if isinstance(native, str) and native else None


class Reader:
    """Parts from blocks."""

    __slots__ = ("_blocks", "_next", "_said", "_usage", "begun", "ended", "extra", "native", "stop")

    def __init__(self) -> None:
        self._blocks: dict[int, OpenBlock] = {}
        self._next = 0
        self._said = False
        """Something has come that is content by itself."""
        self._usage: Usage | None = None
        self.begun = False
        self.ended = False
        """It has said why it ends: nothing after that is the model's."""
        self.native: str | None = None
        self.stop: str | None = None
        self.extra: dict[str, Any] = {}

    def start(self, message: dict[str, Any]) -> Iterator[Event]:
        """The answer has begun; the first one counts."""
        if self.begun:
            return
        self.begun = True
        self._usage = decode_usage(message.get("usage"))
        self._ended(message)
        extra = {key: value for key, value in message.items() if key not in _MESSAGE and value is not None}
        yield Started(
            id=text(message.get("id")),
            model=text(message.get("model")),
            dialect=NAME,
            usage=self._usage,
            extra=extra,
        )

    def block(self, index: int, found: Any) -> Iterator[Event]:
        """The block *index* begins as *found*, which may be all of it."""
        if not isinstance(found, dict):
            raise UpstreamGarbled("the provider sent a block that is not an object")
        yield from self.end(index)
        part = self._next
        self._next += 1
        block = self._blocks[index] = OpenBlock(part)
        self._said = self._said or says(found)
        match found:
            case {"type": "text"}:
                yield PartStarted(part, "text", extra=_rest(found, "type", "text", "citations"))
                citations = _citations(found.get("citations"))
                if citations or text(found.get("text")):
                    yield Delta(part, text(found.get("text")), citations=citations or None)
            case {"type": "thinking"}:
                extra = _rest(found, "type", "thinking", "signature")
                yield PartStarted(part, "reasoning", form="text", format=ANTHROPIC, extra=extra)
                said, signature = text(found.get("thinking")), text(found.get("signature"))
                if said or signature:
                    yield Delta(part, said, signature=signature or None)
            case {"type": "redacted_thinking"}:
                extra = _rest(found, "type", "data")
                yield PartStarted(part, "reasoning", form="encrypted", format=ANTHROPIC, extra=extra)
                if text(found.get("data")):
                    yield Delta(part, text(found.get("data")))
            case {"type": "tool_use"} | {"type": "server_tool_use"} | {"type": "mcp_tool_use"}:
                block.call, block.given = True, found.get("input")
                server = found["type"] in SERVER_CALLS
                extra = _rest(found, "id", "name", "input", *(() if server else ("type",)))
                kind: PartKind = "server_tool_call" if server else "tool_call"
                id_, name = text(found.get("id")) or None, text(found.get("name"))
                yield PartStarted(part, kind, id=id_, name=name, extra=extra)
            case {"type": str(name)} if name.endswith("_tool_result"):
                id_ = text(found.get("tool_use_id")) or None
                yield PartStarted(part, "server_tool_result", id=id_, name=name, extra=found)
            case _:
                yield PartStarted(part, "opaque", extra=found)

    def delta(self, index: int, delta: Any) -> Iterator[Event]:
        """A piece of the block *index*; a block that was never begun begins with it."""
        if not isinstance(delta, dict):
            raise UpstreamGarbled("the provider sent a delta that is not an object")
        kind = delta.get("type")
        block = self._blocks.get(index)
        if block is None:
            began = BEGINNINGS.get(text(kind))
            if began is None:
                return
            yield from self.block(index, began)
            block = self._blocks[index]
        key = DELTAS.get(text(kind))
        if key is not None:
            said = text(delta.get(key))
            if said:
                block.said = self._said = True
                yield Delta(block.part, said)
        elif kind == "signature_delta":
            signature = text(delta.get("signature"))
            if signature:
                yield Delta(block.part, signature=signature)
        elif kind == "citations_delta":
            note = delta.get("citation")
            if isinstance(note, dict):
                self._said = True
                yield Delta(block.part, citations=(decode_citation(note),))
        else:
            self._said = True
            yield Delta(block.part, extra=_rest(delta, "type"), native=Native(kind=kind))

    def end(self, index: int) -> Iterator[Event]:
        """The block *index* has ended. A call without arguments has none, which is an empty object."""
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.call and not block.said:
            yield Delta(block.part, msgspec.json.encode(block.given or {}).decode())
        yield PartEnded(block.part)

    def told(self, body: dict[str, Any], *, whole: bool = False) -> Iterator[Event]:
        """`message_delta`: how the answer ends, and its usage; *whole*: the answer has ended, whatever it says."""
        delta = body.get("delta")
        if isinstance(delta, dict):
            self._ended(delta)
            self.ended = self.native is not None
            rest = _rest(delta, "stop_reason", "stop_sequence", *_ENDED)
            if rest:
                yield Noted(rest)
        usage = decode_usage(body.get("usage"), self._usage)
        if usage is not None and usage is not self._usage:
            self._usage = usage
            yield Reported(usage, final=whole or self.native is not None)
        if rest := _rest(body, "type", "delta", "usage"):
            yield Noted(rest)

    def finish(self) -> Iterator[Event]:
        """`message_stop`."""
        if not self.begun:
            raise UpstreamFailed("the provider sent an empty stream")
        for index in list(self._blocks):
            yield from self.end(index)
        if self.native is None and not self._said:
            raise UpstreamFailed("the provider sent an empty answer")
        yield ChoiceEnded(reason=finish_reason(self.native), native=self.native, stop=self.stop, extra=self.extra)
        yield Finished()

    def _ended(self, found: dict[str, Any]) -> None:
        if self.native is None and text(found.get("stop_reason")):  # the first one wins
            self.native = text(found.get("stop_reason"))
            self.stop = text(found.get("stop_sequence")) or None
        for key in _ENDED:
            if found.get(key) is not None:
                self.extra[key] = found[key]


BEGINNINGS: dict[str, dict[str, Any]] = {
    "text_delta": {"type": "text", "text": ""},
    "thinking_delta": {"type": "thinking", "thinking": ""},
}
"""A delta's type → the block that it begins where the provider left that out."""


class StreamDecoder:
    """Feed it any slices of a stream's body."""

    __slots__ = ("_blocks", "_done", "_reader")

    def __init__(self) -> None:
        self._blocks = BlockReader()
        self._reader = Reader()
        self._done = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """As `Decoder.feed`."""
        blocks = self._blocks.feed(chunk)
        if blocks:
            yield from self._read(blocks, last=False)

    def close(self) -> Iterator[Event]:
        """As `Decoder.close`."""
        tail = self._blocks.close()
        if tail:
            yield from self._read(tail, last=True)
        if not self._done:
            raise UpstreamTruncated("the provider's stream ended before its answer did")

    def _read(self, blocks: bytes, *, last: bool) -> Iterator[Event]:
        for frame in frames(blocks):
            if self._done:
                return
            data = frame.data.strip()
            if data and data != b"[DONE]":
                yield from self._on(decode_object(data, last=last), frame.event)

    def _on(self, body: dict[str, Any], name: str) -> Iterator[Event]:
        reader = self._reader
        kind = text(body.get("type")) or name
        index = body.get("index")
        at = index if isinstance(index, int) else 0
        if kind == "error" or (kind not in _EVENTS and isinstance(body.get("error"), dict)):
            raise from_object(body.get("error") or body)
        if kind == "message_start":
            message = body.get("message")
            yield from reader.start(message if isinstance(message, dict) else {})
        elif kind == "message_stop":
            self._done = True
            yield from reader.finish()
        elif kind in _EVENTS and kind != "ping" and not (reader.ended and kind != "message_delta"):
            yield from reader.start({})
            match kind:
                case "content_block_start":
                    yield from reader.block(at, body.get("content_block"))
                case "content_block_delta":
                    yield from reader.delta(at, body.get("delta"))
                case "content_block_stop":
                    yield from reader.end(at)
                case _:
                    yield from reader.told(body)


class BodyDecoder(BodyReader):
    """One JSON body, in any slices."""

    __slots__ = ()

    def close(self) -> Iterator[Event]:
        """The whole answer."""
        body = whole(decode_object(self.whole(), last=False))
        reader = Reader()
        yield from reader.start(body)
        for index, block in enumerate(body["content"]):
            yield from reader.block(index, block)
            yield from reader.end(index)
        yield from reader.told({"usage": body.get("usage")}, whole=True)
        yield from reader.finish()


def says(block: dict[str, Any]) -> bool:
    """Whether something of *block*, as it begins or whole, is content."""
    match block:
        case {"type": "text"}:
            return bool(text(block.get("text")) or _citations(block.get("citations")))
        case {"type": "thinking"}:
            return bool(text(block.get("thinking")))
        case _:
            return any(block.values())


def whole(body: dict[str, Any]) -> dict[str, Any]:
    """*body*, which is a message with content.

    Raises:
        TrunklineError: it is an error, or no message.
    """
    if body.get("type") == "error" or (body.get("error") and "content" not in body):
        raise from_object(body.get("error"))
    if not isinstance(body.get("content"), list):
        raise UpstreamFailed("the provider sent an answer without content")
    return body


def _citations(found: Any) -> tuple[Citation, ...]:
    return tuple(decode_citation(note) for note in found if isinstance(note, dict)) if isinstance(found, list) else ()


def _rest(found: dict[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in known and value is not None}
