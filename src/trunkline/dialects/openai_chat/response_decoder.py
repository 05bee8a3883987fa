"""A chat answer, read: events from a stream's bytes or from one JSON body.

Source: OpenRouter's OpenAPI document, `ChatResult` and `ChatStreamChunk`.

Providers differ in how they write the same thing, and all of it arrives here: reasoning as `reasoning`,
`reasoning_content`, `reasoning_details` or thinking blocks inside `content`; tool calls without an index, without an
id, with the index of another one, with the name in pieces or with arguments as an object. `Reader` turns a `delta` or
a `message` into parts; the two decoders feed it.
"""

from collections.abc import Iterator
from typing import Any

from trunkline.dialects.common.body_reader import BodyReader
from trunkline.dialects.common.lenient_json import arguments_text, decode_object, text
from trunkline.dialects.common.openai_errors import from_object
from trunkline.dialects.common.openai_usage import decode as decode_usage
from trunkline.dialects.common.reasoning import GEMINI
from trunkline.dialects.common.sse import BlockReader, frames
from trunkline.dialects.openai_chat.citations import decode as decode_citation
from trunkline.dialects.openai_chat.citations import sources
from trunkline.dialects.openai_chat.request_thinking import signature_of
from trunkline.dialects.openai_chat.response_state import OpenChoice, ToolCall, ToolCalls
from trunkline.dialects.openai_chat.vocabulary import FORMS
from trunkline.model.errors import UpstreamFailed, UpstreamGarbled, UpstreamTruncated
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

FINISH: dict[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
    "content_filter": "content_filter",
    "error": "error",
    "max_tokens": "length",
    "model_length": "length",
    "tool_use": "tool_calls",
    "safety": "content_filter",
    "refusal": "content_filter",
    "insufficient_system_resource": "error",
}
"""The upstream's word → ours. A word that is not here means that the model stopped by itself."""


_TOP = frozenset({"id", "object", "created", "model", "choices", "usage", "error", "provider", "obfuscation"})
_CHOICE = frozenset({"index", "delta", "message", "finish_reason", "native_finish_reason", "logprobs", "text"})
_CALL = frozenset({"index", "id", "type", "function", "custom"})
_MESSAGE = frozenset(
    {"role", "content", "reasoning", "reasoning_content", "reasoning_details", "refusal", "tool_calls",
     "function_call", "images", "audio", "annotations"}
)  # fmt: skip


def finish_reason(native: Any) -> FinishReason | None:
    """Our word for the upstream's; None for null and for the empty string that some send with every chunk."""
    return FINISH.get(native.lower(), "stop") if isinstance(native, str) and native else None


def choices_of(body: dict[str, Any]) -> list[dict[str, Any]]:
    """The choices in a chunk or a body.

    Raises:
        UpstreamGarbled: they are not a list of objects.
    """
    found: Any = body.get("choices") or []
    if not isinstance(found, list) or not all(isinstance(choice, dict) for choice in found):
        raise UpstreamGarbled("the provider sent choices that are not a list of objects")
    return found


class Reader:
    """Parts from deltas and messages, whatever their spelling."""

    __slots__ = ("_choices", "_next", "_running", "begun", "seen")

    def __init__(self) -> None:
        self._choices: dict[int, OpenChoice] = {}
        self._next = 0
        self._running = 0
        """Choices that began and have not ended."""
        self.begun = False
        self.seen: dict[str, Any] = {}

    def top(self, body: dict[str, Any]) -> Iterator[Event]:
        """What stands beside the choices: `Started` the first time, what is new in it after that."""
        extra = {
            key: value
            for key, value in body.items()
            if key not in _TOP and value is not None and self.seen.get(key) != value
        }
        self.seen.update(extra)
        if not self.begun:
            if not body.get("choices") and not body.get("id"):
                return  # Azure sends its filter results ahead of the answer; they ride on Started
            self.begun = True
            created = body.get("created")
            yield Started(
                id=text(body.get("id")),
                model=text(body.get("model")),
                dialect="chat",
                created=created if isinstance(created, int) else 0,
                extra=dict(self.seen),
            )
        elif extra:
            yield Noted(extra)

    def choice(self, found: dict[str, Any], at: int = 0) -> Iterator[Event]:
        """One entry of `choices`, the one at *at*, which is its number where it does not say."""
        index = found.get("index")
        number = index if isinstance(index, int) else at
        state = self._choices.get(number)
        if state is None:
            state = self._choices[number] = OpenChoice(audio={}, extra={})
            self._running += 1
        if state.ended:
            return  # the first finish reason wins; nothing after it is the model's
        piece = found.get("delta")
        if piece is None:
            piece = found.get("message")
        if piece is None and isinstance(found.get("text"), str):
            piece = {"content": found["text"]}
        if isinstance(piece, dict):
            yield from self._piece(number, state, piece)
        elif piece is not None:
            raise UpstreamGarbled("the provider sent a delta that is not an object")
        logprobs = found.get("logprobs")
        if isinstance(logprobs, dict) and any(logprobs.values()):
            if not state.open:
                yield from self._text_part(number, state, "text")
            yield Delta(state.open[-1], logprobs=logprobs)
        state.extra.update({key: value for key, value in found.items() if key not in _CHOICE})
        native = found.get("finish_reason")
        reason = finish_reason(native)
        if reason is not None:
            told = found.get("native_finish_reason")
            yield from self._end(number, state, reason, told if isinstance(told, str) else native)

    def end(self) -> Iterator[Event]:
        """Close what the upstream left open: it said [DONE] without a finish reason."""
        for number, state in self._choices.items():
            if not state.ended:
                yield from self._end(number, state, None, None)

    @property
    def complete(self) -> bool:
        """Whether every choice that began has its finish reason, and one has."""
        return bool(self._choices) and not self._running

    @property
    def empty(self) -> bool:
        """Whether no choice ever began."""
        return not self._choices

    def _end(self, number: int, state: OpenChoice, reason: FinishReason | None, native: str | None) -> Iterator[Event]:
        if state.open[:1] == ("text",) and not state.noted and (found := sources(self.seen)):
            yield Delta(state.open[-1], citations=found)
        yield from self._close(state)
        for call in state.calls:
            yield from self._begin_call(number, call)
            yield PartEnded(call.part)
        for part in state.audio.values():
            yield PartEnded(part)
        state.ended = True
        self._running -= 1
        yield ChoiceEnded(number, reason=reason, native=native, extra=state.extra)

    def _start(self, kind: PartKind, number: int, **more: Any) -> PartStarted:
        started = PartStarted(self._next, kind, choice=number, **more)
        self._next += 1
        return started

    def _close(self, state: OpenChoice) -> Iterator[Event]:
        if state.open:
            yield PartEnded(state.open[-1])
            state.open = ()

    def _text_part(self, number: int, state: OpenChoice, kind: PartKind, *key: Any, **more: Any) -> Iterator[Event]:
        """Make the open text-like part one of *kind* and *key*: the open one if it is, else a new one."""
        if state.open[:-1] != (kind, *key):
            yield from self._close(state)
            state.open = (kind, *key, self._next)
            yield self._start(kind, number, **more)

    def _whole(self, number: int, kind: PartKind, text: str = "", **more: Any) -> Iterator[Event]:
        """A part that comes in one piece."""
        started = self._start(kind, number, **more)
        yield started
        if text:
            yield Delta(started.index, text)
        yield PartEnded(started.index)

    def _piece(self, number: int, state: OpenChoice, piece: dict[str, Any]) -> Iterator[Event]:
        details = piece.get("reasoning_details")
        if isinstance(details, list) and details:
            for detail in details:
                if isinstance(detail, dict):
                    yield from self._detail(number, state, detail)
        else:
            plain = piece.get("reasoning") or piece.get("reasoning_content")
            if isinstance(plain, str) and plain:
                yield from self._reasoning(number, state, plain)
        content = piece.get("content")
        if isinstance(content, str):
            if content:
                yield from self._text_part(number, state, "text")
                yield Delta(state.open[-1], content)
        elif isinstance(content, list):
            yield from self._blocks(number, state, content)
        refusal = piece.get("refusal")
        if isinstance(refusal, str) and refusal:
            yield from self._text_part(number, state, "refusal")
            yield Delta(state.open[-1], refusal)
        yield from self._others(number, state, piece)

    def _reasoning(self, number: int, state: OpenChoice, text: str) -> Iterator[Event]:
        yield from self._text_part(number, state, "reasoning", "plain", form="plain")
        yield Delta(state.open[-1], text)

    def _blocks(self, number: int, state: OpenChoice, blocks: list[Any]) -> Iterator[Event]:
        """Content as a list: Mistral's thinking blocks, text parts, references."""
        for block in blocks:
            match block:
                case {"type": "text", "text": str(text)}:
                    if text:
                        yield from self._text_part(number, state, "text")
                        yield Delta(state.open[-1], text)
                case {"type": "thinking", "thinking": list(inner)}:
                    for item in inner:
                        if isinstance(item, dict) and isinstance(item.get("text"), str):
                            yield from self._reasoning(number, state, item["text"])
                case {"type": "thinking", "thinking": str(text)}:
                    yield from self._reasoning(number, state, text)
                case _:
                    yield from self._close(state)
                    yield from self._whole(number, "opaque", extra={"content": [block]})

    def _detail(self, number: int, state: OpenChoice, detail: dict[str, Any]) -> Iterator[Event]:
        kind = text(detail.get("type"))
        form, key = FORMS.get(kind, ("server_tool_call", ""))
        at = detail.get("index")
        known = {"type", "format", "index", "id", "signature", key}
        extra = {name: value for name, value in detail.items() if name not in known}
        if isinstance(at, int):
            extra["index"] = at
        if form == "server_tool_call" and kind != "reasoning.server_tool_call":
            extra["type"] = kind
        said, signature = detail.get(key), detail.get("signature")
        id_ = text(detail.get("id")) or None
        if form in ("encrypted", "server_tool_call") or (id_ and state.detail and id_ != state.detail):
            yield from self._close(state)  # these come whole: the next one is another one
        state.detail = id_
        format_ = text(detail.get("format")) or None
        yield from self._text_part(number, state, "reasoning", form, at, form=form, format=format_, id=id_, extra=extra)
        if form != "server_tool_call":
            yield Delta(state.open[-1], text(said), signature=signature if isinstance(signature, str) else None)

    def _others(self, number: int, state: OpenChoice, piece: dict[str, Any]) -> Iterator[Event]:
        calls = piece.get("tool_calls")
        if isinstance(calls, list):
            for found in calls:
                if isinstance(found, dict):
                    yield from self._call(number, state, found)
        legacy = piece.get("function_call")
        if isinstance(legacy, dict):
            yield from self._call(number, state, {"index": -1, "function": legacy}, form="function_call")
        for image in _dicts(piece.get("images")):
            yield from self._close(state)
            yield from self._image(number, image)
        notes = _dicts(piece.get("annotations"))
        if notes:
            state.noted = True
            if state.open[:1] != ("text",):
                yield from self._text_part(number, state, "text")
            yield Delta(state.open[-1], citations=tuple(map(decode_citation, notes)))
        audio = piece.get("audio")
        if isinstance(audio, dict):
            yield from self._audio(number, state, audio)
        rest = {key: value for key, value in piece.items() if key not in _MESSAGE and value is not None}
        if rest:
            yield from self._whole(number, "opaque", extra=rest)

    def _image(self, number: int, image: dict[str, Any]) -> Iterator[Event]:
        match image:
            case {"image_url": {"url": str(url), **rest}} if url:
                extra = {key: value for key, value in image.items() if key != "image_url"}
                yield from self._whole(number, "image", url, extra={**extra, "image_url": rest} if rest else extra)
            case _:
                yield from self._whole(number, "opaque", extra={"images": [image]})

    def _audio(self, number: int, state: OpenChoice, audio: dict[str, Any]) -> Iterator[Event]:
        extra = {key: value for key, value in audio.items() if key not in ("data", "transcript", "id")}
        state.audio_id = state.audio_id or text(audio.get("id")) or None
        for form in ("data", "transcript"):
            said = audio.get(form)
            if form not in state.audio and (isinstance(said, str) or (form == "data" and (extra or audio.get("id")))):
                started = self._start("audio", number, form=form, id=state.audio_id)
                state.audio[form] = started.index
                yield started
            if isinstance(said, str) and said:
                yield Delta(state.audio[form], said)
        if extra:
            yield Delta(state.audio["data"], extra=extra)

    def _call(self, number: int, state: OpenChoice, found: dict[str, Any], form: str | None = None) -> Iterator[Event]:
        kind, function = inside(found)
        if kind == "custom":
            form = kind
        name = text(function.get("name"))
        call = which(state.calls, found, name)
        call.form = call.form or form
        call.take_name(name)
        extra = {key: value for key, value in found.items() if key not in _CALL}
        arguments = arguments_text(function.get("input" if form == "custom" else "arguments"))
        if call.part < 0:
            call.extra = call.extra | extra
            extra = {}
            if arguments:
                yield from self._close(state)
                yield from self._begin_call(number, call)
        if arguments or extra:
            yield Delta(call.part, arguments, extra=extra or None)

    def _begin_call(self, number: int, call: ToolCall) -> Iterator[Event]:
        if call.part < 0:
            if (signature := signature_of(call.extra)) is not None:
                # Said for other dialects' sake: in this one it stands on the call.
                yield from self._whole(
                    number, "reasoning", signature, form="encrypted", format=GEMINI, id=call.id or None,
                    extra={"extra_content": None},
                )  # fmt: skip
            started = self._start(
                "tool_call", number, id=call.id or None, name=call.name, form=call.form, extra=call.extra
            )
            call.part = started.index
            yield started


def inside(found: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """A call's kind, `function` or `custom`, and what it holds under that name."""
    custom = found.get("type") == "custom" or isinstance(found.get("custom"), dict)
    kind = "custom" if custom else "function"
    inner = found.get(kind)
    return kind, inner if isinstance(inner, dict) else {}


def which(calls: ToolCalls, found: dict[str, Any], name: str) -> ToolCall:
    """The one of *calls* that the fragment *found*, with *name*, belongs to; a new one, put among them, if none."""
    index = found.get("index")
    at = index if isinstance(index, int) and not isinstance(index, bool) else None
    return calls.find(at, text(found.get("id")), name)


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
        """As `Decoder.close`. A finish reason for every choice is an end even where [DONE] is missing."""
        tail = self._blocks.close()
        if tail:
            yield from self._read(tail, last=True)
        if not self._done:
            if not self._reader.complete:
                raise UpstreamTruncated("the provider's stream ended before its answer did")
            self._done = True
            yield Finished()

    def _read(self, blocks: bytes, *, last: bool) -> Iterator[Event]:
        for frame in frames(blocks):
            if self._done:
                return
            data = frame.data.strip()
            if data == b"[DONE]":
                if self._reader.empty:
                    raise UpstreamFailed("the provider sent an empty stream")
                self._done = True
                yield from self._reader.end()
                yield Finished()
            elif data:
                yield from self._on(decode_object(data, last=last), frame.event)

    def _on(self, body: dict[str, Any], event: str) -> Iterator[Event]:
        error = body.get("error") or (body if event == "error" else None)
        choices = choices_of(body)
        if error is None or choices:
            yield from self._reader.top(body)
        for at, choice in enumerate(choices):
            if error is not None:
                choice = {**choice, "finish_reason": None}  # what ends the answer is the error
            yield from self._reader.choice(choice, at)
        usage = decode_usage(body.get("usage"))
        if usage is not None and self._reader.begun:
            yield Reported(usage, final=self._reader.complete or error is not None)
        if error is not None:
            raise from_object(error)


class BodyDecoder(BodyReader):
    """One JSON body, in any slices."""

    __slots__ = ()

    def close(self) -> Iterator[Event]:
        """The whole answer."""
        body = decode_object(self.whole(), last=False)
        choices = choices_of(body)
        if body.get("error"):
            raise from_object(body["error"])
        if not choices:
            raise UpstreamFailed("the provider sent an answer without choices")
        reader = Reader()
        yield from reader.top(body)
        for at, choice in enumerate(choices):
            yield from reader.choice(choice, at)
        yield from reader.end()
        usage = decode_usage(body.get("usage"))
        if usage is not None:
            yield Reported(usage)
        yield Finished()


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
