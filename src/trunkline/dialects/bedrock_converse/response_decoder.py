"""A Converse answer, read: events from a stream's frames or from one JSON body.

A body is read as the stream that would have said the same, so there is one reader for both. Its hard part is citations:
some models put them into the block of the text that cites, others into a block of their own behind it (Amazon Nova's
grounding). So a text stays open until something else than citations begins.

Blocks of the tools that Bedrock runs itself stand among the model's, and have a `type`. The end is `messageStop`; usage
comes behind it, in `metadata`, for which the reader waits until the body ends.

A stream says only behind a thought whether the thought is signed, and never which model thinks. Most that think here
are Claude, so a streamed thought is called Claude's; in a body, where all is seen at once, only one that is signed is.

Sources: Bedrock API reference, "Converse", "ConverseStream" and the types that they name, read 2026-11-26.
"""

from collections.abc import Generator, Iterator
from typing import Any, TypeAlias, cast

import msgspec

from trunkline.dialects.bedrock_converse.citations import decode as decode_citation
from trunkline.dialects.bedrock_converse.errors import from_frame, named
from trunkline.dialects.bedrock_converse.redacted_reasoning import opened
from trunkline.dialects.bedrock_converse.response_event_stream import FrameReader
from trunkline.dialects.bedrock_converse.response_state import Frame, OpenBlock
from trunkline.dialects.bedrock_converse.usage import decode as decode_usage
from trunkline.dialects.common.body_reader import BodyReader
from trunkline.dialects.common.lenient_json import decode_object, text
from trunkline.dialects.common.reasoning import ANTHROPIC
from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated
from trunkline.model.events import (
    ChoiceEnded,
    Delta,
    Event,
    Finished,
    FinishReason,
    Noted,
    PartEnded,
    PartKind,
    PartStarted,
    Reported,
    Started,
)

NAME = "converse"
FINISH: dict[str, FinishReason] = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "tool_use": "tool_calls",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "guardrail_intervened": "content_filter",
    "content_filtered": "content_filter",
    "malformed_model_output": "error",
    "malformed_tool_use": "error",
}
"""`stopReason` → our word. A word that is not here means that the model stopped by itself."""

_PADDING = "p"
"""Bytes that hide an event's length from who listens on the line."""
_CALL = frozenset({"toolUseId", "name", "input"})
_OWN_TOOL = (None, "tool_use")
"""A tool use's `type` where it is the client that runs the tool."""
_EXCEPTIONS = ("exception", "error")

Events: TypeAlias = Iterator[Event]
Json: TypeAlias = dict[str, Any]


def finish_reason(native: Any) -> FinishReason | None:
    """Our word for the upstream's; None where it gave none."""
    return FINISH.get(native, "stop") if isinstance(native, str) and native else None


class Reader:
    """Parts from blocks."""

    __slots__ = ("_blocks", "_next", "_sealed", "_text", "begun", "stopped")

    def __init__(self) -> None:
        self._blocks: dict[int, OpenBlock] = {}
        self._sealed: dict[int, list[str]] = {}
        """The pieces so far of redacted thoughts, by the index of their block: only the whole says what it is."""
        self._next = 0
        self._text: int | None = None
        """The text whose block has ended, and which may still get citations."""
        self.begun = False
        self.stopped = False

    def start(self, extra: dict[str, Any]) -> Events:
        """The answer has begun; the first one counts."""
        if not self.begun:
            self.begun = True
            yield Started(dialect=NAME, extra=extra)

    def block(self, index: int, start: Any) -> Events:
        """The block *index* begins, and *start* says what it is."""
        match start:
            case {"toolUse": dict(use)}:
                yield from self._call(index, use)
            case {"toolResult": dict(result)}:
                yield from self._begin(
                    index, "server_tool_result", "result", id=text(result.get("toolUseId")) or None, extra=result
                )
            case {"image": dict(image)}:
                yield from self._begin(index, "image", "image", extra=image)
                self._blocks[index].format = text(image.get("format"))
            case {"text": _} | {"reasoningContent": _}:
                yield from self.delta(index, start)
            case dict() if start:
                yield from self.opaque(index, start)
            case _:
                pass

    def opaque(self, index: int, block: dict[str, Any]) -> Events:
        """The block *index*, of a kind that we do not know, begins as *block*."""
        yield from self._begin(index, "opaque", "opaque", extra=block)
        self._blocks[index].known.update(block)

    def _call(self, index: int, use: dict[str, Any]) -> Events:
        yield from self._begin(
            index,
            "tool_call" if use.get("type") in _OWN_TOOL else "server_tool_call",
            "call",
            id=text(use.get("toolUseId")) or None,
            name=text(use.get("name")) or None,
            extra={key: value for key, value in use.items() if key not in _CALL},
        )

    def delta(self, index: int, delta: Any, *, whole: bool = False) -> Events:
        """A piece of the block *index*; *whole*: there are no others of its kind."""
        if not isinstance(delta, dict):
            raise UpstreamGarbled("the provider sent a delta that is not an object")
        for kind, said in delta.items():
            match kind:
                case "text":
                    if said:
                        block = yield from self._is(index, "text", "text")
                        yield Delta(block.part, text(said))
                case "reasoningContent":
                    yield from self._thought(index, said if isinstance(said, dict) else {}, whole=whole)
                case "citation":
                    part = yield from self._citing(index)
                    yield Delta(part, citations=(decode_citation(said),))
                case "toolUse":
                    block = yield from self._is(index, "tool_call", "call")
                    arguments = _arguments(said.get("input") if isinstance(said, dict) else said)
                    if arguments:
                        block.said = True
                        yield Delta(block.part, arguments)
                case "toolResult":
                    block = yield from self._is(index, "server_tool_result", "result")
                    block.results.extend(said if isinstance(said, list) else [said])
                case "image":
                    yield from self._image(index, said)
                case _:
                    block = yield from self._is(index, "opaque", "opaque")
                    block.known[kind] = _grown(block.known.get(kind), said)
                    yield Delta(block.part, extra={kind: block.known[kind]})

    def _thought(self, index: int, said: dict[str, Any], *, whole: bool) -> Events:
        for kind, piece in said.items():
            match kind:
                case "redactedContent":
                    if index in self._blocks:
                        yield from self.end(index)
                    if piece:
                        self._sealed.setdefault(index, []).append(text(piece))
                case "text" | "signature":
                    if not piece:
                        continue
                    signed = not whole or bool(said.get("signature"))
                    form, format_ = ("text", ANTHROPIC) if signed else ("plain", None)
                    block = yield from self._is(index, "reasoning", "thought", form=form, format=format_)
                    yield Delta(block.part, text(piece)) if kind == "text" else Delta(block.part, signature=text(piece))
                case _:
                    block = yield from self._is(index, "reasoning", "thought", form="plain")
                    yield Delta(block.part, extra={kind: piece})

    def _citing(self, index: int) -> Generator[Event, None, int]:
        """The part that a citation in the block *index* belongs to: its text, or the one before it."""
        block = self._blocks.get(index)
        if block is None and self._text is not None:
            return self._text
        block = yield from self._is(index, "text", "text")
        return block.part

    def _image(self, index: int, said: Any) -> Events:
        block = yield from self._is(index, "image", "image")
        source = said.get("source") if isinstance(said, dict) else None
        data = source.get("bytes") if isinstance(source, dict) else None
        if not isinstance(data, str):
            yield Delta(block.part, extra=said if isinstance(said, dict) else {"image": said})
            return
        yield Delta(block.part, data if block.said else f"data:image/{block.format or 'png'};base64,{data}")
        block.said = True

    def end(self, index: int) -> Events:
        """The block *index* has ended. A call without arguments has none, which is an empty object."""
        if pieces := self._sealed.pop(index, ()):
            format_, said = opened(pieces)
            yield from self._begin(index, "reasoning", "encrypted", form="encrypted", format=format_)
            yield Delta(self._blocks[index].part, said)
        block = self._blocks.pop(index, None)
        if block is None:
            return
        if block.what == "call" and not block.said:
            yield Delta(block.part, "{}")
        elif block.results:
            yield Delta(block.part, extra={"content": block.results})
        if block.what == "text":
            self._text = block.part
        else:
            yield PartEnded(block.part)

    def stop(self, body: dict[str, Any]) -> Events:
        """The answer has ended, as `messageStop` or the whole *body* says."""
        for index in [*self._blocks, *self._sealed]:
            yield from self.end(index)
        yield from self._end_text()
        self.stopped = True
        native, fields = body.get("stopReason"), body.get("additionalModelResponseFields")
        met = fields.get("stop_sequence") if isinstance(fields, dict) else None
        yield ChoiceEnded(
            reason=finish_reason(native),
            native=text(native) or None,
            stop=met if isinstance(met, str) else None,
            extra=_rest(body, "stopReason"),
        )

    def told(self, body: dict[str, Any]) -> Events:
        """What is said of the answer behind its end: usage, and what has no name here."""
        usage = decode_usage(body.get("usage"))
        if usage is not None:
            yield Reported(usage)
        if rest := _rest(body, "usage"):
            yield Noted(rest)

    def _is(self, index: int, kind: PartKind, what: str, **more: Any) -> Generator[Event, None, OpenBlock]:
        """The block *index*, which is one of *what*: a new one where there is none, or one of another form."""
        block = self._blocks.get(index)
        if block is None or block.what != what:
            yield from self._begin(index, kind, what, **more)
            block = self._blocks[index]
        return block

    def _begin(self, index: int, kind: PartKind, what: str, **more: Any) -> Events:
        yield from self.end(index)
        yield from self._end_text()
        self._blocks[index] = OpenBlock(self._next, what, results=[], known={})
        yield PartStarted(self._next, kind, **more)
        self._next += 1

    def _end_text(self) -> Events:
        if self._text is not None:
            yield PartEnded(self._text)
            self._text = None


class StreamDecoder:
    """Feed it any slices of a stream's body."""

    __slots__ = ("_done", "_frames", "_reader")

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._reader = Reader()
        self._done = False

    def feed(self, chunk: bytes) -> Events:
        """As `Decoder.feed`."""
        for frame in () if self._done else self._frames.feed(chunk):
            yield from self._on(frame)
            if self._done:
                break

    def close(self) -> Events:
        """As `Decoder.close`. Where nobody said how the answer was, its end is end enough."""
        if not self._done:
            if not self._reader.stopped:
                raise UpstreamTruncated("the provider's stream ended before its answer did")
            self._done = True
            yield Finished()

    def _on(self, frame: Frame) -> Events:
        reader, name = self._reader, frame.said(":event-type")
        if reader.stopped and name != "metadata":
            return  # the first end wins
        if frame.said(":message-type") in _EXCEPTIONS or frame.said(":exception-type"):
            name = frame.said(":exception-type") or frame.said(":error-code")
            raise from_frame(name, frame.payload, frame.said(":error-message"))
        body = decode_object(frame.payload or b"{}", last=False)
        body.pop(_PADDING, None)
        if reader.stopped:
            yield from reader.told(body)
            self._done = True
            yield Finished()
            return
        if name == "messageStart":
            yield from reader.start(_rest(body, "role"))
            return
        yield from reader.start({})
        index = body.get("contentBlockIndex")
        at = index if isinstance(index, int) else 0
        match name:
            case "contentBlockStart":
                yield from reader.block(at, body.get("start"))
            case "contentBlockDelta":
                yield from reader.delta(at, body.get("delta"))
            case "contentBlockStop":
                yield from reader.end(at)
            case "messageStop":
                yield from reader.stop(body)
            case "metadata":
                yield from reader.told(body)
            case _ if body:
                yield Noted({name: body})
            case _:
                pass


class BodyDecoder(BodyReader):
    """One JSON body, in any slices."""

    __slots__ = ()

    def close(self) -> Events:
        """The whole answer."""
        data = self.whole()
        body = decode_object(data, last=False)
        match body.get("output"):
            case {"message": {"content": list(content), **message}, **rest}:
                extra = {**_rest(cast("Json", message), "role"), **({"output": rest} if rest else {})}
            case _:
                raise from_frame(named(body.get("__type")) or "", data)
        reader = Reader()
        yield from reader.start(extra)
        for index, block in enumerate(content):
            yield from _block(reader, index, block)
        fields = body.get("additionalModelResponseFields")
        yield from reader.stop({"stopReason": body.get("stopReason"), "additionalModelResponseFields": fields})
        yield from reader.told(_rest(body, "output", "stopReason", "additionalModelResponseFields"))
        yield Finished()


def _block(reader: Reader, index: int, block: Any) -> Events:
    """*block*, as a stream would have said it."""
    match block:
        case {"text": str(said), **rest} if not rest:
            yield from reader.delta(index, {"text": said})
        case {"toolUse": dict(use), **rest} if not rest:
            yield from reader.block(index, {"toolUse": _rest(use, "input")})
            yield from reader.delta(index, {"toolUse": {"input": use.get("input")}})
        case {"toolResult": dict(result), **rest} if not rest:
            yield from reader.block(index, {"toolResult": result})
        case {"reasoningContent": {"reasoningText": dict(thought), **more}, **rest} if not rest and not more:
            yield from reader.delta(index, {"reasoningContent": thought}, whole=True)
        case {"reasoningContent": {"redactedContent": str(data), **more}, **rest} if not rest and not more:
            yield from reader.delta(index, {"reasoningContent": {"redactedContent": data}}, whole=True)
        case {"citationsContent": dict(cited), **rest} if not rest:
            yield from _cited(reader, index, cited)
        case {"image": dict(image), **rest} if not rest:
            yield from reader.block(index, {"image": _rest(image, "source")})
            yield from reader.delta(index, {"image": {"source": image.get("source")}})
        case dict():
            yield from reader.opaque(index, block)
        case _:
            raise UpstreamGarbled("the provider sent a block that is not an object")
    yield from reader.end(index)


def _cited(reader: Reader, index: int, cited: dict[str, Any]) -> Events:
    content, citations = cited.get("content"), cited.get("citations")
    for piece in content if isinstance(content, list) else ():
        yield from reader.delta(index, piece)
    for citation in citations if isinstance(citations, list) else ():
        yield from reader.delta(index, {"citation": citation})


def _rest(found: dict[str, Any], *known: str) -> dict[str, Any]:
    return {key: value for key, value in found.items() if key not in known and value is not None}


def _arguments(value: Any) -> str:
    """A call's arguments as text: a stream's pieces are text, a body's are JSON."""
    if value is None:
        return ""
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _grown(known: Any, said: Any) -> Any:
    """*said* behind what was *known* of the same thing: texts and lists go on, objects key by key."""
    if isinstance(known, dict) and isinstance(said, dict):
        return {**known, **{key: _grown(known.get(key), value) for key, value in said.items()}}
    if isinstance(known, str) and isinstance(said, str):
        return known + said
    if isinstance(known, list) and isinstance(said, list):
        return [*known, *said]
    return said
