"""Chat to chat: bytes pass, a meter reads usage off them, and what is ours is put in.

Ours are the id, the model's name, the provider's name, the native finish reason and the cost. Most frames of a stream
are alike but for one string, the piece of text. So each frame with text that is decoded teaches a `Template`: the bytes
before the text and after it, as the upstream writes them, and as we do. A frame that begins and ends like that, with
nothing but the inside of a JSON string between, needs no decoding: it is our beginning, the string, our end. Any frame
that is not so is decoded, and may teach the next template.

Frames that are decoded are made well-formed on the way: reasoning under its common name, tool calls with their index
and id, arguments as text. What they hold beyond that passes as it came.

Most JSON bodies hold one choice of plain text, and nothing that is not documented. `PlainBody` is their shape: read and
written in one pass each, and what the model said is a slice that nobody looks into. Any other body is taken apart as
frames are.
"""

from typing import Any, cast

import msgspec
from msgspec import Raw

from trunkline.dialects.common.body_reader import WholeBody
from trunkline.dialects.common.lenient_json import decode_object, decode_value
from trunkline.dialects.common.openai_errors import from_object
from trunkline.dialects.common.openai_usage import decode as decode_usage
from trunkline.dialects.common.sse import DONE, BlockReader, frames
from trunkline.dialects.interfaces import Converter, Identity, Outcome
from trunkline.dialects.openai_chat.relay_template import Template, learn
from trunkline.dialects.openai_chat.response_decoder import BodyDecoder, StreamDecoder, choices_of
from trunkline.dialects.openai_chat.response_encoder import BodyEncoder, StreamEncoder, error_chunk, frame, usage_chunk
from trunkline.dialects.openai_chat.response_normalization import Fixer
from trunkline.dialects.openai_chat.response_schema import PlainBody
from trunkline.dialects.openai_chat.usage import encode as encode_usage
from trunkline.dialects.openai_chat.usage import read as read_usage
from trunkline.dialects.translation import Translation
from trunkline.model.errors import TrunklineError, UpstreamFailed, UpstreamTruncated
from trunkline.model.usage import Cost, Usage

OURS = frozenset(
    {"id", "object", "created", "model", "choices", "usage", "error", "provider", "obfuscation"}
)  # fmt: skip
"""What a frame without choices says that is not news; the rest of it rides on the next frame that has some."""


_json = msgspec.json.Encoder()
_raw = msgspec.json.Decoder(dict[str, Raw])
_choices = msgspec.json.Decoder(list[dict[str, Raw]] | None)


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
    body = decode_object(data, last=last)
    body["choices"] = choices_of(body)
    body = _raw.decode(_json.encode(body))
    return body, _of(body)


def _of(body: dict[str, Any]) -> list[dict[str, Raw]]:
    choices = body.get("choices")
    return _choices.decode(choices) or [] if choices is not None else []


def _usage(raw: Raw) -> Usage | None:
    try:
        return read_usage(raw)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return decode_usage(decode_value(raw))


def _error(body: dict[str, Any], event: str) -> TrunklineError | None:
    """The error that a frame or a body carries, beside its choices or instead of them."""
    found = decode_value(body["error"]) if "error" in body else None
    if found:
        return from_object(found)
    return from_object({key: decode_value(said) for key, said in body.items()}) if event == "error" else None


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
        self._fixer = Fixer(identity, self.outcome)
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
            self._ended = self.outcome.usage_final = True
        return self._take()

    def _take(self) -> bytes:
        if not self._committed:
            return b""
        out, self._out = b"".join(self._out), []
        return out

    def _read(self, blocks: bytes, *, last: bool) -> None:
        if blocks[:6] == b"data: " and blocks.find(b"\n") == len(blocks) - 2:  # one frame in its plainest form
            self._data(blocks[6:-2], "", last=last)
            return
        for found in frames(blocks):
            if self._ended:
                return
            self._data(found.data, found.event, last=last)

    def _data(self, data: bytes, event: str, *, last: bool) -> None:
        data = data.strip()
        if data == b"[DONE]":
            if not self._fixer.complete:
                raise UpstreamFailed("the provider sent an empty stream")
            self._committed = self._ended = self.outcome.usage_final = True
        elif data:
            self._frame(data, event, last=last)

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
        if usage is not None:
            self.outcome.usage_final = error is not None or self._fixer.done
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
        self.outcome.upstream_id = None if id_ is None else _text(decode_value(id_))
        created = decode_value(body["created"]) if "created" in body else 0
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

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The usage chunk and [DONE]."""
        return self._usage_chunk(usage, cost, metadata) + DONE

    def _usage_chunk(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        return usage_chunk({**self._head, **self._note}, self._fixer.reason, usage, cost, metadata)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Converter.fail`; what was ready before the error came is said first."""
        closing = b""
        if self._wants_usage and usage is not None and cost is not None:
            closing = self._usage_chunk(usage, cost)
        return self._take() + error_chunk(self._head, error) + closing + DONE


_body = msgspec.json.Decoder(PlainBody)


class BodyRelay:
    """A `Converter` for one JSON body."""

    __slots__ = ("_body", "_ended", "_identity", "_mended", "_plain", "_whole", "outcome")

    def __init__(self, identity: Identity) -> None:
        self.outcome = Outcome()
        self._identity = identity
        self._whole = WholeBody()
        self._ended = False
        self._plain: PlainBody | None = None
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
        self._whole.keep(chunk)
        return b""

    def close(self) -> bytes:
        """Reads the body, which is whole now."""
        data = self._whole.whole()
        if not self._pass(data):
            self._mend(data)
        self._ended = True
        return b""

    def _pass(self, data: bytes) -> bool:
        """Take *data* for plain, if it is."""
        try:
            if not data.isascii():
                data.decode()
            body = _body.decode(data)
        except (msgspec.DecodeError, RecursionError, ValueError):
            return False
        choice = body.choices[0]
        size = choice.message.size()
        if size is None:
            return False
        reason = choice.finish_reason
        if choice.native_finish_reason is None:
            choice.native_finish_reason = reason
        outcome = self.outcome
        outcome.content_bytes = size
        outcome.finish_reason, outcome.native_finish_reason = reason, choice.native_finish_reason
        outcome.usage, outcome.usage_final = _usage(body.usage) if isinstance(body.usage, Raw) else None, True
        outcome.upstream_id = body.id or None
        self._plain = body
        return True

    def _mend(self, data: bytes) -> None:
        """Take *data* apart."""
        body, choices = read(data, last=False)
        error = _error(body, "")
        if error is not None:
            raise error
        if not choices:
            raise UpstreamFailed("the provider sent an answer without choices")
        fixer = Fixer(self._identity, self.outcome)
        mended = [fixer.choice(raw, at, "message") for at, raw in enumerate(choices)]
        if fixer.reason[0] == "error" and not any(says for _, says in mended):
            raise UpstreamFailed("the provider ended its answer with an error")
        self._mended = [choice for choice, _ in mended if choice is not None]
        for choice in self._mended:
            _complete(choice["message"])
        self.outcome.usage, self.outcome.usage_final = _usage(body["usage"]) if "usage" in body else None, True
        self.outcome.upstream_id = _text(decode_value(body["id"])) if "id" in body else None
        self._body = body

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The body with what is ours put in."""
        identity, plain = self._identity, self._plain
        if plain is not None:
            plain.id, plain.model, plain.provider = identity.id, identity.model, identity.provider
            plain.object = "chat.completion"
            plain.usage = cast("Raw", encode_usage(usage, cost))  # what is encoded need not be bytes yet
            if metadata is not None:
                plain.openrouter_metadata = Raw(_json.encode(metadata))
            return _json.encode(plain)
        body = self._body
        body["id"] = identity.id
        body["model"] = identity.model
        body["object"] = "chat.completion"
        body.setdefault("created", identity.created)
        body["choices"] = self._mended
        body["provider"] = identity.provider
        body.setdefault("system_fingerprint", None)
        body["usage"] = encode_usage(usage, cost)
        if metadata is not None:
            body["openrouter_metadata"] = metadata
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
