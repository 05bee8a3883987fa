"""A generateContent answer, read: events from a stream's chunks or from one JSON body, which has one chunk's shape.

A thought signature belongs to the part that it came on. On a function call it becomes an encrypted thought with the
call's id, before the call; on anything else one without an id, behind it. Calls that Gemini gives no id get one that
is the same for the same answer and place, so that the signature can name it.

The end is the body's, if by then every candidate that began has a finish reason, or the prompt was blocked: there is
no other mark, and some models give the reason with every chunk. The last one counts. Sources are named then too: their
places are in the whole text.

Source: recorded traffic of AI Studio and Vertex; Gemini API, "generateContent" reference, read 2026-11-26.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any

import msgspec

from trunkline.dialects.common.body_reader import BodyReader
from trunkline.dialects.common.lenient_json import BOM, decode_object, decode_value, text
from trunkline.dialects.common.reasoning import GEMINI
from trunkline.dialects.common.sse import BlockReader, parse_block
from trunkline.dialects.google_genai.citations import Places, cited, grounded
from trunkline.dialects.google_genai.errors import from_object
from trunkline.dialects.google_genai.response_arguments import put
from trunkline.dialects.google_genai.response_state import OpenCandidate, PendingCall
from trunkline.dialects.google_genai.usage import decode as decode_usage
from trunkline.dialects.google_genai.usage import tier
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

NAME = "gemini"
FINISH: dict[str, FinishReason] = {
    "STOP": "stop",
    "MAX_TOKENS": "length",
    "SAFETY": "content_filter",
    "RECITATION": "content_filter",
    "LANGUAGE": "content_filter",
    "BLOCKLIST": "content_filter",
    "PROHIBITED_CONTENT": "content_filter",
    "SPII": "content_filter",
    "MODEL_ARMOR": "content_filter",
    "IMAGE_SAFETY": "content_filter",
    "IMAGE_PROHIBITED_CONTENT": "content_filter",
    "IMAGE_RECITATION": "content_filter",
    "IMAGE_OTHER": "stop",
    "NO_IMAGE": "stop",
    "OTHER": "stop",
    "FINISH_REASON_UNSPECIFIED": "stop",
    "MALFORMED_FUNCTION_CALL": "error",
    "UNEXPECTED_TOOL_CALL": "error",
    "TOO_MANY_TOOL_CALLS": "error",
    "MISSING_THOUGHT_SIGNATURE": "error",
    "MALFORMED_RESPONSE": "error",
}
"""The upstream's word → ours. A word that is not here means that the model stopped by itself."""

_CHUNK = frozenset({"candidates", "usageMetadata", "modelVersion", "responseId", "createTime", "error"})
_CANDIDATE = frozenset({"content", "index", "finishReason", "logprobsResult", "groundingMetadata", "citationMetadata"})
_TEXT = frozenset({"text", "thought", "thoughtSignature"})


class Reader:
    """Parts from candidates."""

    __slots__ = ("_choices", "_id", "_next", "_running", "_seen", "begun", "blocked")

    def __init__(self) -> None:
        self._choices: dict[int, OpenCandidate] = {}
        self._id = ""
        self._next = 0
        self._running = 0
        """Candidates that began and have no finish reason."""
        self._seen: dict[str, Any] = {}
        self.begun = False
        self.blocked = False

    @property
    def complete(self) -> bool:
        """Whether every candidate that began has its finish reason, and one has; or the prompt was blocked."""
        return self.blocked or (bool(self._choices) and not self._running)

    @property
    def empty(self) -> bool:
        """Whether nothing ever began."""
        return not self._choices and not self.blocked

    def chunk(self, body: dict[str, Any]) -> Iterator[Event]:
        """One chunk of a stream, or the whole body."""
        if body.get("error"):
            raise from_object(body["error"])
        yield from self._top(body)
        candidates = body.get("candidates")
        if candidates is not None and not isinstance(candidates, list):
            raise UpstreamGarbled("the provider sent candidates that are not a list")
        for at, found in enumerate(candidates or () if not self.blocked else ()):  # nothing follows a block
            if not isinstance(found, dict):
                raise UpstreamGarbled("the provider sent a candidate that is not an object")
            index = found.get("index")
            yield from self._candidate(index if type(index) is int else at, found)
        usage = decode_usage(body.get("usageMetadata"))
        if usage is not None and self.begun:
            yield Reported(usage, final=self.complete)
        feedback = body.get("promptFeedback")
        if isinstance(feedback, dict) and feedback.get("blockReason") and not self._choices and not self.blocked:
            self.blocked = True
            yield ChoiceEnded(reason="content_filter", native=text(feedback["blockReason"]))

    def _top(self, body: dict[str, Any]) -> Iterator[Event]:
        beside = {key: said for key, said in body.items() if key not in _CHUNK}
        beside["service_tier"] = tier(body.get("usageMetadata"))
        extra = {key: said for key, said in beside.items() if said is not None and self._seen.get(key) != said}
        self._seen.update(extra)
        if not self.begun:
            self.begun = True
            self._id = text(body.get("responseId"))
            yield Started(
                id=self._id,
                model=text(body.get("modelVersion")),
                created=_seconds(body.get("createTime")),
                dialect=NAME,
                extra=extra,
            )
        elif extra:
            yield Noted(extra)

    def _candidate(self, number: int, found: dict[str, Any]) -> Iterator[Event]:
        state = self._choices.get(number)
        if state is None:
            state = self._choices[number] = OpenCandidate(said=[], cited=[], seen=set(), extra={})
            self._running += 1
        content = found.get("content")
        parts = content.get("parts") if isinstance(content, dict) else None
        for part in parts if isinstance(parts, list) else ():
            if not isinstance(part, dict):
                raise UpstreamGarbled("the provider sent a part that is not an object")
            yield from self._part(number, state, part)
        yield from self._beside(state, found)
        state.extra.update({key: said for key, said in found.items() if key not in _CANDIDATE and said is not None})
        native = found.get("finishReason")
        if isinstance(native, str) and native:
            self._running -= state.native is None
            state.native = native

    def end(self) -> Iterator[Event]:
        """The body has ended, and with it every candidate."""
        for number, state in self._choices.items():
            yield from self._end(number, state)

    def _end(self, number: int, state: OpenCandidate) -> Iterator[Event]:
        native = state.native
        yield from self._close(state)
        if state.pending is not None:  # its end never came
            yield from self._pended(number, state, state.pending)
        yield from self._sources(number, state)
        if state.text >= 0:
            yield PartEnded(state.text)
        reason = None if native is None else FINISH.get(native, "stop")
        yield ChoiceEnded(
            number,
            reason="tool_calls" if reason == "stop" and state.calls else reason,
            native=native,
            extra=state.extra,
        )

    def _start(self, kind: PartKind, number: int, **more: Any) -> PartStarted:
        started = PartStarted(self._next, kind, choice=number, **more)
        self._next += 1
        return started

    def _whole(self, kind: PartKind, number: int, said: str = "", **more: Any) -> Iterator[Event]:
        started = self._start(kind, number, **more)
        yield started
        if said:
            yield Delta(started.index, said)
        yield PartEnded(started.index)

    def _close(self, state: OpenCandidate) -> Iterator[Event]:
        """End the open part; a text stays open to the candidate's end, since its sources are named last."""
        if state.open[:1] == ("audio",) and state.rest:
            yield Delta(state.open[-1], b64encode(state.rest).decode())
        if state.open and state.open[0] != "text":
            yield PartEnded(state.open[-1])
        state.open = ()

    def _part(self, number: int, state: OpenCandidate, part: dict[str, Any]) -> Iterator[Event]:
        signature = text(part.get("thoughtSignature"))
        match part:
            case {"text": str(said), "thought": True}:
                if said:
                    if state.open[:1] != ("thought",):
                        yield from self._close(state)
                        started = self._start("reasoning", number, form="text", format=GEMINI)
                        state.open = ("thought", started.index)
                        yield started
                    yield Delta(state.open[-1], said, extra=_beyond(part))
            case {"text": str(said)}:
                if said:
                    yield from self._text(number, state)
                    state.said.append(said)
                    state.length += len(said)
                    yield Delta(state.text, said, extra=_beyond(part))
            case {"thought": True, "inlineData": _}:  # a draft of a picture, which is no answer
                yield from self._close(state)
                yield from self._whole("opaque", number, extra=part)
                return
            case {"functionCall": dict(call)}:
                yield from self._close(state)
                yield from self._function(number, state, call, signature)
                return
            case {"inlineData": {"data": str(data), "mimeType": str(kind)}} if kind.startswith("audio/"):
                yield from self._audio(number, state, data, kind)
            case {"inlineData": {"data": str(data), "mimeType": str(kind)}}:
                yield from self._close(state)
                yield from self._media(number, data, kind)
            case {"executableCode": dict(code)}:
                yield from self._close(state)
                said = msgspec.json.encode({"code": code.get("code"), "language": code.get("language")}).decode()
                yield from self._whole("server_tool_call", number, said, name="code_execution", extra=part)
            case {"codeExecutionResult": dict()}:
                yield from self._close(state)
                yield from self._whole("server_tool_result", number, name="code_execution", extra=part)
            case _ if part.keys() <= {"thoughtSignature", "thought"}:
                pass
            case _:
                yield from self._close(state)
                yield from self._whole("opaque", number, extra=part)
        if signature:
            yield from self._close(state)
            yield from self._whole("reasoning", number, signature, form="encrypted", format=GEMINI)

    def _text(self, number: int, state: OpenCandidate) -> Iterator[Event]:
        if state.open[:1] == ("text",):
            return
        yield from self._close(state)
        if state.text >= 0:
            yield PartEnded(state.text)
        started = self._start("text", number)
        state.open, state.text = ("text", started.index), started.index
        state.before = state.length
        yield started

    def _function(self, number: int, state: OpenCandidate, call: dict[str, Any], signature: str) -> Iterator[Event]:
        """A call, or a piece of one: it is said when it is whole."""
        pieces = call.get("partialArgs")
        if state.pending is not None and call.get("name"):  # another one begins, and the end of this one never came
            yield from self._pended(number, state, state.pending)
        if state.pending is None:
            if not call.get("willContinue") and pieces is None:
                yield from self._call(number, state, call, signature)
                return
            state.pending = PendingCall(call, signature, call.get("args"))
        pending = state.pending
        for piece in pieces if isinstance(pieces, list) else ():
            if isinstance(piece, dict):
                pending.args = put(pending.args, piece)
        if not call.get("willContinue"):
            yield from self._pended(number, state, pending)

    def _pended(self, number: int, state: OpenCandidate, pending: PendingCall) -> Iterator[Event]:
        """The call that came in pieces, as far as they came."""
        state.pending = None
        known = {key: said for key, said in pending.call.items() if key not in ("willContinue", "partialArgs")}
        yield from self._call(number, state, {**known, "args": pending.args}, pending.signature)

    def _call(self, number: int, state: OpenCandidate, call: dict[str, Any], signature: str) -> Iterator[Event]:
        name, args = text(call.get("name")), call.get("args")
        arguments = msgspec.json.encode(args if args is not None else {}).decode()
        id_ = text(call.get("id")) or self._made_up(number, state, name, arguments)
        state.calls += 1
        if signature:
            yield from self._whole("reasoning", number, signature, form="encrypted", format=GEMINI, id=id_)
        extra = {key: said for key, said in call.items() if key not in ("id", "name", "args") and said is not None}
        yield from self._whole("tool_call", number, arguments, id=id_, name=name, extra=extra)

    def _made_up(self, number: int, state: OpenCandidate, name: str, arguments: str) -> str:
        seed = f"{self._id} {number} {state.calls} {name} {arguments}"
        return f"call_{sha256(seed.encode()).hexdigest()[:24]}"

    def _media(self, number: int, data: str, kind: str) -> Iterator[Event]:
        if kind.startswith("image/"):
            yield from self._whole("image", number, f"data:{kind};base64,{data}")
        else:
            yield from self._whole("opaque", number, extra={"inlineData": {"data": data, "mimeType": kind}})

    def _audio(self, number: int, state: OpenCandidate, data: str, kind: str) -> Iterator[Event]:
        """Sound goes on from part to part. Each is padded for itself, which is wrong in the midst of one text."""
        if state.open[:2] != ("audio", kind):
            yield from self._close(state)
            started = self._start("audio", number, form="data", extra={"mimeType": kind})
            state.open, state.rest = ("audio", kind, started.index), b""
            yield started
        try:
            state.rest += b64decode(data)
        except ValueError as error:
            raise UpstreamGarbled("the provider sent audio that is not base64") from error
        whole = len(state.rest) - len(state.rest) % 3
        if whole:
            yield Delta(state.open[-1], b64encode(state.rest[:whole]).decode())
        state.rest = state.rest[whole:]

    def _beside(self, state: OpenCandidate, found: dict[str, Any]) -> Iterator[Event]:
        """Log probabilities; and sources, which wait for the whole text."""
        logprobs = _logprobs(found.get("logprobsResult"))
        if logprobs and state.text >= 0:
            yield Delta(state.text, logprobs={"content": logprobs})
        elif logprobs:
            state.extra["logprobsResult"] = found["logprobsResult"]
        sources = found.get("citationMetadata")
        if isinstance(sources, dict):
            said = sources.get("citations") or sources.get("citationSources")
            entries = [one for one in said if isinstance(one, dict)] if isinstance(said, list) else []
            keyed = [(repr(sorted(one.items())), one) for one in entries]
            state.cited += [one for key, one in keyed if key not in state.seen]
            state.seen.update(key for key, _ in keyed)
        if isinstance(found.get("groundingMetadata"), dict):
            state.grounded = state.grounded or {}
            state.grounded.update(found["groundingMetadata"])

    def _sources(self, number: int, state: OpenCandidate) -> Iterator[Event]:
        places = Places("".join(state.said), state.before)
        citations = (*cited(state.cited, places), *grounded(state.grounded or {}, places))
        if citations:
            if state.text < 0:
                yield from self._text(number, state)
            yield Delta(state.text, citations=citations)
        if state.grounded:
            state.extra["groundingMetadata"] = state.grounded


def _beyond(part: dict[str, Any]) -> dict[str, Any] | None:
    """What a text part says beside its text."""
    return {key: said for key, said in part.items() if key not in _TEXT and said is not None} or None


def _seconds(said: Any) -> int:
    """A time as Unix seconds, 0 where it is none."""
    try:
        return int(datetime.fromisoformat(text(said)).timestamp())
    except ValueError:
        return 0


def _logprobs(found: Any) -> list[dict[str, Any]]:
    """Log probabilities as chat has them."""
    if not isinstance(found, dict):
        return []
    tops = [one.get("candidates") if isinstance(one, dict) else None for one in _list(found.get("topCandidates"))]
    entries: list[dict[str, Any]] = []
    for at, one in enumerate(_list(found.get("chosenCandidates"))):
        if isinstance(one, dict):
            others = _list(tops[at]) if at < len(tops) else []
            top = [_token(other) for other in others if isinstance(other, dict)]
            entries.append({**_token(one), "top_logprobs": top})
    return entries


def _list(found: Any) -> list[Any]:
    return found if isinstance(found, list) else []


def _token(found: dict[str, Any]) -> dict[str, Any]:
    token, logprob = text(found.get("token")), found.get("logProbability")
    known = isinstance(logprob, int | float) and not isinstance(logprob, bool)
    return {"token": token, "logprob": logprob if known else 0.0, "bytes": list(token.encode())}


def _object(found: Any) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise UpstreamGarbled("the provider sent JSON that is not an object")
    return found


class StreamDecoder:
    """Feed it any slices of a stream's body."""

    __slots__ = ("_blocks", "_reader")

    def __init__(self) -> None:
        self._blocks = BlockReader()
        self._reader = Reader()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """As `Decoder.feed`."""
        blocks = self._blocks.feed(chunk)
        if blocks:
            yield from self._read(blocks, last=False)

    def close(self) -> Iterator[Event]:
        """As `Decoder.close`. A finish reason for every candidate is the end; there is no other mark."""
        tail = self._blocks.close()
        if tail:
            yield from self._read(tail, last=True)
        if not self._reader.complete:
            raise UpstreamTruncated("the provider's stream ended before its answer did")
        yield from self._reader.end()
        yield Finished()

    def _read(self, blocks: bytes, *, last: bool) -> Iterator[Event]:
        for block in blocks.split(b"\n\n"):
            if block.lstrip()[:1] == b"{":  # an error in the midst of a stream comes without a frame
                yield from self._reader.chunk(decode_object(block, last=last))
                continue
            if block.lstrip()[:2] == b"[{":
                for body in decode_value(block):
                    yield from self._reader.chunk(_object(body))
                continue
            frame = parse_block(block)
            data = b"" if frame is None else frame.data.strip()
            if data and data != b"[DONE]":
                yield from self._reader.chunk(decode_object(data, last=last))


class BodyDecoder(BodyReader):
    """One JSON body, in any slices: an answer, or without `alt=sse` the list of a stream's chunks."""

    __slots__ = ()

    def close(self) -> Iterator[Event]:
        """The whole answer."""
        found = decode_value(self.whole().removeprefix(BOM))
        reader = Reader()
        for body in found if isinstance(found, list) else [found]:
            yield from reader.chunk(_object(body))
        if reader.empty:
            raise UpstreamFailed("the provider sent an answer without candidates")
        if isinstance(found, list) and not reader.complete:
            raise UpstreamTruncated("the provider's list of chunks ended before its answer did")
        yield from reader.end()
        yield Finished()
