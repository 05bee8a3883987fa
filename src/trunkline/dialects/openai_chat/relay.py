"""Chat to chat: bytes pass, a meter reads usage off them, and what is ours is put in.

Ours are the id, the model's name, the provider's name, the native finish reason and the cost. Most frames of a stream
are alike but for one string, the piece of text. So each frame with text that is decoded teaches a `Template`: the bytes
before the text and after it, as the upstream writes them, and as we do. A frame that begins and ends like that, with
nothing but the inside of a JSON string between, needs no decoding: it is our beginning, the string, our end. Any frame
that is not so is decoded, and may teach the next template.

Frames that are decoded are made well-formed on the way: reasoning under its common name, tool calls with their index
and id, arguments as text. What they hold beyond that passes as it came.
"""

import re
from itertools import takewhile
from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.base import Converter, Identity, Outcome
from trunkline.dialects.openai_chat.decode import (
    MAX_BODY_BYTES,
    BodyDecoder,
    StreamDecoder,
    ToolCall,
    arguments_text,
    finish_reason,
    inside,
    load,
    value,
    which,
)
from trunkline.dialects.openai_chat.encode import BodyEncoder, StreamEncoder, call_id, error_chunk, frame, usage_chunk
from trunkline.dialects.openai_chat.errors import from_object
from trunkline.dialects.openai_chat.usage import decode as decode_usage
from trunkline.dialects.openai_chat.usage import encode as encode_usage
from trunkline.dialects.openai_chat.usage import read as read_usage
from trunkline.dialects.sse import DONE, BlockReader, frames
from trunkline.dialects.translate import Translation
from trunkline.model.errors import TrunklineError, UpstreamFailed, UpstreamGarbled, UpstreamTruncated
from trunkline.model.usage import Cost, Usage

PLAIN = frozenset({"role", "content", "refusal"})
"""Keys of a delta or message that need no mending while their values are text or null."""
_REASONS: dict[bytes, str | None] = {b"null": None, b'""': None} | {
    b'"%s"' % word.encode(): word for word in ("stop", "length", "tool_calls", "content_filter")
}
"""Finish reasons on the wire that are both ours and the upstream's word."""

OURS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "error", "provider", "obfuscation"}
)  # fmt: skip
"""What a frame without choices says that is not news; the rest of it rides on the next frame that has some."""

_json = msgspec.json.Encoder()
_raw = msgspec.json.Decoder(dict[str, Raw])
_choices = msgspec.json.Decoder(list[dict[str, Raw]] | None)

_PLAIN = re.compile(rb"[ !#-\[\]-~]*").fullmatch
"""Most text: nothing in it that JSON escapes, and no letter beyond ASCII."""
_STRING = re.compile(rb'(?:[^"\\]|\\.)*').match
_INSIDE = re.compile(rb'(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4}))*').fullmatch
"""What may stand between the quotes of a JSON string."""


class Template:
    """How frames with text look, before and after the text: at the upstream and at ours.

    What follows the text may end with one more string that changes, OpenAI's padding; `padded` is what follows that.
    """

    __slots__ = ("_after", "_before", "_new_after", "_new_before", "_padded")

    def __init__(self, before: bytes, after: bytes, new_before: bytes, new_after: bytes) -> None:
        self._before = before
        self._new_before = new_before
        self._padded = b""
        cut = after.find(b'"obfuscation":"')
        if cut >= 0:
            end = after.index(b'"', cut + 15)
            after, self._padded = after[: cut + 15], after[end:]
            if self._padded != b'"}\n\n':
                after = b"\0"  # the padding does not stand last: nothing is like this template
        self._after = after
        self._new_after = new_after

    def one(self, frame: bytes) -> bytes:
        """*frame* as ours, or nothing where it is not like the template."""
        if not frame.startswith(self._before):
            return b""
        start = len(self._before)
        if self._padded:
            end = frame.rfind(self._after, start)
            if end < 0 or b'"' in frame[end + len(self._after) : -5] or not frame.endswith(self._padded):
                return b""
        elif frame.endswith(self._after):
            end = len(frame) - len(self._after)
        else:
            return b""
        text = frame[start:end]
        if not _is_text(text):
            return b""
        return self._new_before + text + self._new_after

    @property
    def size(self) -> int:
        """Bytes of one of our frames beside its text."""
        return len(self._new_before) + len(self._new_after)

    def run(self, blocks: bytes, start: int) -> tuple[bytes, int, int]:
        """The frames of *blocks* from *start* on that are like the template, as ours; their number, and their end."""
        if self._padded:
            return self._run_padded(blocks, start)
        before, after = self._before, self._after
        if not blocks.startswith(before, start):
            return b"", 0, start
        # Where one frame of a run ends and the next begins is the same bytes each time. To walk from quote to quote
        # costs a tenth of searching for those bytes.
        between = after + before
        width, find, alike = len(between), blocks.find, blocks.startswith
        texts: list[bytes] = []
        at = start + len(before)
        while True:
            end = find(b'"', at)
            if not alike(between, end) or end < 0:
                end = _inside_at(blocks, at)  # the last frame of the run, or a text with an escaped quote
                if not alike(between, end):
                    break
            texts.append(blocks[at:end])
            at = end + width
        if alike(after, end):
            texts.append(blocks[at:end])
            at = end + width
        said = b"".join(texts)
        if _PLAIN(said) is None:
            texts = list(takewhile(_is_text, texts))
            said = b"".join(texts)
        if not texts:
            return b"", 0, start
        ours = (self._new_after + self._new_before).join(texts)
        ours = b"%s%s%s" % (self._new_before, ours, self._new_after)
        return ours, len(texts), start + len(said) + len(texts) * width

    def _run_padded(self, blocks: bytes, start: int) -> tuple[bytes, int, int]:
        out: list[bytes] = []
        one = self.one
        while (end := blocks.find(b"\n\n", start)) >= 0:
            ours = one(blocks[start : end + 2])
            if not ours:
                break
            out.append(ours)
            start = end + 2
        return b"".join(out), len(out), start


def _inside_at(blocks: bytes, at: int) -> int:
    """Where the inside of a JSON string that begins at *at* ends."""
    found = _STRING(blocks, at)
    return at if found is None else found.end()


def _is_text(text: bytes) -> bool:
    return _PLAIN(text) is not None or _is_inside(text)


def _is_inside(text: bytes) -> bool:
    if _INSIDE(text) is None:
        return False
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


def learn(written: bytes, ours: bytes, text: bytes) -> Template | None:
    """The template that two spellings of one frame teach, both with the JSON string *text* as content.

    None where that stands in either of them more than once, or differently.
    """
    mine = b'"content":' + text
    theirs = mine if mine in written else b'"content": ' + text
    before, found, after = written.partition(theirs)
    new_before, put, new_after = ours.partition(mine)
    if not found or not put or theirs in after or mine in new_after:
        return None
    head = theirs[: 1 - len(text)]
    return Template(before + head, b'"' + after, new_before + b'"content":"', b'"' + new_after)


class _Calls:
    """Makes the tool calls of one choice well-formed: an index from 0, a unique id, arguments as text (U38)."""

    __slots__ = ("_calls", "_identity", "_ids")

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._calls: list[ToolCall] = []
        self._ids: set[str] = set()

    def mend(self, found: Any) -> tuple[Any, int]:
        """*found*, an entry of `tool_calls`, as it must look to the client; and the size of its arguments."""
        if not isinstance(found, dict):
            raise UpstreamGarbled("the provider sent a tool call that is not an object")
        kind, inner = inside(found)
        told = inner.get("name")
        name = told if isinstance(told, str) else ""
        known = len(self._calls)
        call = which(self._calls, found, name)
        fresh = call.number == known
        found["index"] = call.number
        if fresh:
            self._open(found, call, kind)
        else:
            found.pop("id", None)
        if not call.take_name(name):
            inner.pop("name", None)
        if fresh:
            inner["name"] = name
        key = "input" if kind == "custom" else "arguments"
        if fresh or inner.get(key) is not None:
            inner[key] = arguments_text(inner.get(key))
        if inner.get(key):
            call.part = call.number
        if inner or fresh:
            found[kind] = inner
        return found, size(inner.get(key))

    def _open(self, found: dict[str, Any], call: ToolCall, kind: str) -> None:
        if not call.id or call.id in self._ids:
            found["id"] = call_id(self._identity, call.number)
        self._ids.add(found["id"])
        if not isinstance(found.get("type"), str):
            found["type"] = kind


def size(said: Any) -> int:
    """Bytes of *said* where it is text, else 0."""
    if not isinstance(said, str):
        return 0
    return len(said) if said.isascii() else len(said.encode("utf-8", "replace"))


class _Fixer:
    """Makes choices of chunks and bodies what the client's dialect promises."""

    __slots__ = ("_calls", "_identity", "complete", "failed", "outcome", "reason")

    def __init__(self, identity: Identity, outcome: Outcome) -> None:
        self._identity = identity
        self._calls: dict[int, _Calls] = {}
        self.outcome = outcome
        self.complete: dict[int, bool] = {}
        self.failed = False
        """What is being read carries an error: that is what ends the answer, whatever finish reason is beside it."""
        self.reason: tuple[Any, Any] = (None, None)

    def choice(self, raw: dict[str, Raw], at: int, key: str) -> tuple[dict[str, Any] | None, bool]:
        """One choice and whether it says something: *key* is `delta` or `message`.

        None where the choice had ended before: the first finish reason wins, and nothing after it is the model's.
        """
        plain = self._plain(raw, key)
        if plain is not None:
            return plain
        choice: dict[str, Any] = dict(raw)
        index = value(raw["index"]) if "index" in raw else at
        number = index if isinstance(index, int) else at
        choice["index"] = number
        if self.complete.setdefault(number, False):
            return None, False
        piece = self._said(choice, key)
        content = self._piece(piece, number) if piece else False
        choice[key] = piece
        native = value(raw["finish_reason"]) if "finish_reason" in raw and not self.failed else None
        reason: str | None = finish_reason(native)
        told = value(raw["native_finish_reason"]) if "native_finish_reason" in raw else None
        if reason is not None:
            native = told if isinstance(told, str) else native
            self.complete[number] = True
            self.outcome.finish_reason, self.outcome.native_finish_reason = reason, native
            reason = native if native == "function_call" else reason
            if not number or self.reason[0] is None:  # the usage chunk repeats it for choice 0
                self.reason = (reason, native)
        choice["finish_reason"] = reason
        choice["native_finish_reason"] = native if reason is not None else None
        return choice, content

    def _plain(self, raw: dict[str, Raw], key: str) -> tuple[dict[str, Any] | None, bool] | None:
        """As `choice`, for the first choice where it says nothing that must be mended; None where it is not so.

        Its strings stay as they are on the wire: nothing of the text is decoded.
        """
        reason, index, piece = raw.get("finish_reason"), raw.get("index"), raw.get(key)
        if reason is None or index is None or piece is None or self.failed or "native_finish_reason" in raw:
            return None
        word = bytes(reason)
        if word not in _REASONS or bytes(index) != b"0" or bytes(piece)[:1] != b"{":
            return None
        told = _REASONS[word]
        fields: dict[str, Any] = _raw.decode(piece)
        if not fields.keys() <= PLAIN:
            return None
        length = 0
        for name in ("content", "refusal"):
            said = bytes(fields.get(name, b"null"))
            if said[:1] == b'"':
                length += len(said) - 2
            elif said != b"null":
                return None
        if self.complete.get(0):
            return None, False
        choice: dict[str, Any] = dict(raw)
        choice[key] = fields
        choice["finish_reason"] = choice["native_finish_reason"] = told
        self.complete[0] = told is not None
        self.outcome.content_bytes += length
        if told is not None:
            self.outcome.finish_reason = self.outcome.native_finish_reason = told
            self.reason = (told, told)
        return choice, length > 0

    def _said(self, choice: dict[str, Any], key: str) -> dict[str, Any]:
        """The choice's delta or message, under whichever name it came; a completion's text is one too."""
        for name in (key, "message" if key == "delta" else "delta"):
            piece = value(choice[name]) if name in choice else None
            if isinstance(piece, dict):
                if name != key:
                    del choice[name]
                return piece
            if piece is not None:
                raise UpstreamGarbled("the provider sent a delta that is not an object")
        text = value(choice["text"]) if "text" in choice else None
        if not isinstance(text, str):
            return {}
        del choice["text"]
        return {"content": text}

    def _piece(self, piece: dict[str, Any], number: int) -> bool:
        """Mend a delta or message in place; say whether there is content in it."""
        thought = piece.get("reasoning_content")
        if isinstance(thought, str) and not piece.get("reasoning"):
            piece["reasoning"] = thought
        if isinstance(piece.get("content"), list):
            _flatten(piece)
        self._mend_calls(piece, number)
        reasoning = piece.get("reasoning")
        details = piece.get("reasoning_details")
        if isinstance(details, list) and details:
            told = [detail.get("text") or detail.get("summary") for detail in details if isinstance(detail, dict)]
            self.outcome.content_bytes += sum(map(size, told))
        elif isinstance(reasoning, str) and reasoning:
            piece["reasoning_details"] = [
                {"type": "reasoning.text", "format": "unknown", "index": 0, "text": reasoning}
            ]
            self.outcome.content_bytes += size(reasoning)
        self.outcome.content_bytes += size(piece.get("content")) + size(piece.get("refusal"))
        return any(said for key, said in piece.items() if key != "role")

    def _mend_calls(self, piece: dict[str, Any], number: int) -> None:
        calls = piece.get("tool_calls")
        if isinstance(calls, list):
            mender = self._calls.get(number)
            if mender is None:
                mender = self._calls[number] = _Calls(self._identity)
            mended = [mender.mend(call) for call in calls]
            piece["tool_calls"] = [call for call, _ in mended]
            self.outcome.content_bytes += sum(length for _, length in mended)
        legacy = piece.get("function_call")
        if isinstance(legacy, dict) and legacy.get("arguments") is not None:
            legacy["arguments"] = arguments_text(legacy["arguments"])
            self.outcome.content_bytes += size(legacy["arguments"])

    @property
    def done(self) -> bool:
        """Whether every choice that began has ended, and one has."""
        return bool(self.complete) and all(self.complete.values())


def _flatten(piece: dict[str, Any]) -> None:
    """Content as a list (Mistral's thinking blocks) becomes the text and the reasoning that clients read.

    Blocks of a kind we do not know stay, in a list.
    """
    text, thought = "", ""
    blocks: list[Any] = []
    known = True
    for block in piece["content"]:
        match block:
            case {"type": "thinking", "thinking": list(inner)}:
                thought += "".join(
                    item["text"] for item in inner if isinstance(item, dict) and isinstance(item.get("text"), str)
                )
                continue
            case {"type": "thinking", "thinking": str(words)}:
                thought += words
                continue
            case {"type": "text", "text": str(words)}:
                text += words
            case _:
                known = False
        blocks.append(block)
    piece["content"] = text if known else blocks
    if thought and not piece.get("reasoning"):
        piece["reasoning"] = thought


def read(data: bytes, *, last: bool) -> tuple[dict[str, Any], list[dict[str, Raw]]]:
    """The top level of the JSON object in *data* and its choices; *last* as in `decode.load`.

    Bytes that a strict reader refuses are made readable, or the error that they are.
    """
    try:
        if not data.isascii():
            data.decode()
        body: dict[str, Any] = _raw.decode(data)
        return body, _of(body)
    except (msgspec.DecodeError, RecursionError, ValueError):
        pass
    body = _raw.decode(_json.encode(load(data, last=last)))
    try:
        return body, _of(body)
    except msgspec.ValidationError as error:
        raise UpstreamGarbled("the provider sent choices that are not a list of objects") from error


def _of(body: dict[str, Any]) -> list[dict[str, Raw]]:
    choices = body.get("choices")
    return _choices.decode(choices) or [] if choices is not None else []


def _usage(raw: Raw) -> Usage | None:
    try:
        return read_usage(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return decode_usage(value(raw))


def _error(body: dict[str, Any], event: str) -> TrunklineError | None:
    """The error that a frame or a body carries, beside its choices or instead of them."""
    found = value(body["error"]) if "error" in body else None
    if found:
        return from_object(found)
    return from_object({key: value(said) for key, said in body.items()}) if event == "error" else None


class StreamRelay:
    """A `Converter` for streams."""

    __slots__ = (
        "_blocks",
        "_committed",
        "_ended",
        "_fixer",
        "_head",
        "_identity",
        "_known",
        "_note",
        "_out",
        "_template",
        "_wants_usage",
        "outcome",
    )

    def __init__(self, identity: Identity, *, wants_usage: bool) -> None:
        self.outcome = Outcome()
        self._identity = identity
        self._wants_usage = wants_usage
        self._blocks = BlockReader()
        self._fixer = _Fixer(identity, self.outcome)
        self._out: list[bytes] = []
        self._known = False
        self._template: Template | None = None
        self._head: dict[str, Any] = {
            "id": identity.id,
            "provider": identity.provider,
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": identity.model,
        }
        self._note: dict[str, Any] = {}
        self._committed = False
        self._ended = False

    @property
    def committed(self) -> bool:
        """As `Converter.committed`."""
        return self._committed

    @property
    def ended(self) -> bool:
        """As `Converter.ended`."""
        return self._ended

    def feed(self, chunk: bytes) -> bytes:
        """As `Converter.feed`."""
        blocks = self._blocks.feed(chunk)
        if not blocks:
            return b""
        template = self._template
        if template is not None and not self._ended:
            passed = template.one(blocks)
            if passed:
                self.outcome.content_bytes += len(passed) - template.size
                return passed
        self._run(blocks)
        return self._take()

    def _run(self, blocks: bytes) -> None:
        """Decode what must be, pass what may: a burst is a few frames of the first kind around many of the second."""
        start = 0
        while start < len(blocks) and not self._ended:
            if self._template is not None:
                passed, count, start = self._template.run(blocks, start)
                if passed:
                    self.outcome.content_bytes += len(passed) - count * self._template.size
                    self._out.append(passed)
            if start < len(blocks):
                end = blocks.find(b"\n\n", start) + 2
                if end < 2:  # a blank line too many
                    return
                self._read(blocks[start:end], last=False)
                start = end

    def close(self) -> bytes:
        """As `Converter.close`. A finish reason for every choice is an end even where [DONE] is missing."""
        tail = self._blocks.close()
        if tail:
            self._read(tail, last=True)
        if not self._ended:
            if not self._fixer.done:
                raise UpstreamTruncated("the provider's stream ended before its answer did")
            self._ended = True
        return self._take()

    def _take(self) -> bytes:
        if not self._committed:
            return b""
        out, self._out = b"".join(self._out), []
        return out

    def _read(self, blocks: bytes, *, last: bool) -> None:
        for found in frames(blocks):
            if self._ended:
                return
            data = found.data.strip()
            if data == b"[DONE]":
                if not self._fixer.complete:
                    raise UpstreamFailed("the provider sent an empty stream")
                self._committed = self._ended = True
            elif data:
                self._frame(data, found.event, last=last)

    def _frame(self, data: bytes, event: str, *, last: bool) -> None:
        body, choices = read(data, last=last)
        error = _error(body, event)
        if error is None or choices:
            self._learn(body, choices)
        usage = _usage(body["usage"]) if "usage" in body else None
        if usage is not None:
            self.outcome.usage = usage
        mended, content, ended = [], False, False
        self._fixer.failed = error is not None
        for at, raw in enumerate(choices):
            choice, says = self._fixer.choice(raw, at, "delta")
            if choice is not None:
                mended.append(choice)
                content = content or says
                ended = ended or choice["finish_reason"] is not None
        if error is not None:
            if content:
                self._emit(body, mended)
            raise error
        if not mended:
            self._note.update({key: said for key, said in body.items() if key not in OURS})
            return
        if not self._committed and not content and self._fixer.reason[0] == "error":
            raise UpstreamFailed("the provider ended its answer with an error")
        self.outcome.pieces += content
        alike = content and not ended and not self._note and len(mended) == 1
        ours = self._emit(body, mended)
        self._committed = self._committed or content or ended
        self._template = None
        if alike:
            text = mended[0]["delta"].get("content")
            if isinstance(text, Raw):  # nothing in the frame had to be mended
                self._template = learn(b"data: %s\n\n" % data, ours, bytes(text))

    def _learn(self, body: dict[str, Any], choices: list[dict[str, Raw]]) -> None:
        """What the upstream says of this answer as a whole, in the first frame that is about it.

        Azure sends its filter results ahead of the answer, in a frame without id and choices.
        """
        id_ = body.get("id")
        if self._known or (not choices and (id_ is None or bytes(id_) in (b'""', b"null"))):
            return
        self._known = True
        self.outcome.upstream_id = None if id_ is None else _text(value(id_))
        created = value(body["created"]) if "created" in body else 0
        self._head["created"] = created if isinstance(created, int) and created else self._identity.created
        for key in ("system_fingerprint", "service_tier"):
            if key in body:
                self._head[key] = body[key]

    def _emit(self, body: dict[str, Any], choices: list[dict[str, Any]]) -> bytes:
        """The frame, with what is ours put in; its usage waits for the last chunk, where the cost is known."""
        out = {**self._head, **self._note, **body}
        out.update(id=self._identity.id, model=self._identity.model, provider=self._identity.provider)
        out.update(object="chat.completion.chunk", created=self._head["created"], choices=choices)
        for key in ("usage", "error", "obfuscation"):
            out.pop(key, None)
        ours = frame(out)
        self._note = {}
        self._out.append(ours)
        return ours

    def finish(self, usage: Usage, cost: Cost) -> bytes:
        """The usage chunk and [DONE]."""
        return self._usage_chunk(usage, cost) + DONE

    def _usage_chunk(self, usage: Usage, cost: Cost) -> bytes:
        return usage_chunk({**self._head, **self._note}, self._fixer.reason, usage, cost)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Converter.fail`; what was ready before the error came is said first."""
        closing = b""
        if self._wants_usage and usage is not None and cost is not None:
            closing = self._usage_chunk(usage, cost)
        return self._take() + error_chunk(self._head, error) + closing + DONE


class BodyRelay:
    """A `Converter` for one JSON body."""

    __slots__ = ("_body", "_chunks", "_ended", "_fixer", "_identity", "_mended", "_size", "outcome")

    def __init__(self, identity: Identity) -> None:
        self.outcome = Outcome()
        self._identity = identity
        self._fixer = _Fixer(identity, self.outcome)
        self._chunks: list[bytes] = []
        self._size = 0
        self._ended = False
        self._body: dict[str, Any] = {}
        self._mended: list[dict[str, Any]] = []

    @property
    def committed(self) -> bool:
        """Never: a body is given out whole, by `finish`."""
        return False

    @property
    def ended(self) -> bool:
        """As `Converter.ended`."""
        return self._ended

    def feed(self, chunk: bytes) -> bytes:
        """Keeps *chunk*."""
        self._size += len(chunk)
        if self._size > MAX_BODY_BYTES:
            raise UpstreamGarbled(f"the provider's answer is longer than {MAX_BODY_BYTES} bytes")
        self._chunks.append(chunk)
        return b""

    def close(self) -> bytes:
        """Reads the body, which is whole now."""
        data = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        body, choices = read(data, last=False)
        error = _error(body, "")
        if error is not None:
            raise error
        if not choices:
            raise UpstreamFailed("the provider sent an answer without choices")
        mended = [self._fixer.choice(raw, at, "message") for at, raw in enumerate(choices)]
        if self._fixer.reason[0] == "error" and not any(says for _, says in mended):
            raise UpstreamFailed("the provider ended its answer with an error")
        self._mended = [choice for choice, _ in mended if choice is not None]
        for choice in self._mended:
            _complete(choice["message"])
        self.outcome.usage = _usage(body["usage"]) if "usage" in body else None
        self.outcome.upstream_id = _text(value(body["id"])) if "id" in body else None
        self._body = body
        self._ended = True
        return b""

    def finish(self, usage: Usage, cost: Cost) -> bytes:
        """The body with what is ours put in."""
        body = self._body
        body["id"] = self._identity.id
        body["model"] = self._identity.model
        body["object"] = "chat.completion"
        body.setdefault("created", self._identity.created)
        body["choices"] = self._mended
        body["provider"] = self._identity.provider
        body.setdefault("system_fingerprint", None)
        body["usage"] = encode_usage(usage, cost)
        return _json.encode(body)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """Nothing has left, so an error is an error body; this is not called for JSON."""
        raise error


def _complete(message: dict[str, Any]) -> None:
    """Keys that are always there on the wire."""
    message.setdefault("role", "assistant")
    for key in ("content", "refusal", "reasoning"):
        message.setdefault(key, None)


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def converter(identity: Identity, *, stream: bool, sse: bool, wants_usage: bool) -> Converter:
    """What passes an answer on: *stream* is what the client asked for, *sse* what the upstream sends.

    Where the two agree bytes are relayed. Providers answer JSON where a stream was asked for and SSE where JSON was
    (U25, U26); that is translated.
    """
    if stream and sse:
        return StreamRelay(identity, wants_usage=wants_usage)
    if not stream and not sse:
        return BodyRelay(identity)
    encoder = StreamEncoder(identity, wants_usage=wants_usage) if stream else BodyEncoder(identity)
    return Translation(StreamDecoder() if sse else BodyDecoder(), encoder, streamed=stream)
