"""Messages to Messages: bytes pass, a meter reads usage off them, and what is ours is put in.

Most frames are pieces of a block and leave as they came, once their JSON has been found to be whole. The frames at both
ends get our id, our model's name and the cost. A frame is written anew where it must be: it has no `event:` line, or
its block lacks a field that the dialect promises.
"""

from typing import Any

import msgspec

from trunkline.dialects.anthropic_messages.citations import promised as promised_citation
from trunkline.dialects.anthropic_messages.errors import envelope, from_object
from trunkline.dialects.anthropic_messages.response_decoder import (
    BEGINNINGS,
    DELTAS,
    BodyDecoder,
    StreamDecoder,
    finish_reason,
    says,
    whole,
)
from trunkline.dialects.anthropic_messages.response_encoder import BodyEncoder, StreamEncoder, frame
from trunkline.dialects.anthropic_messages.response_parts import promised
from trunkline.dialects.anthropic_messages.response_state import DeltaEvent
from trunkline.dialects.anthropic_messages.usage import decode as decode_usage
from trunkline.dialects.anthropic_messages.usage import encode as encode_usage
from trunkline.dialects.anthropic_messages.usage import in_delta
from trunkline.dialects.common.body_reader import WholeBody
from trunkline.dialects.common.lenient_json import decode_object, text
from trunkline.dialects.common.sse import BlockReader, parse_block
from trunkline.dialects.interfaces import Call, Converter, Identity, Outcome
from trunkline.dialects.translation import Translation
from trunkline.model.errors import TrunklineError, UpstreamFailed, UpstreamGarbled, UpstreamTruncated
from trunkline.model.usage import Cost, Usage

PIECE = b"event: content_block_delta\ndata: "
QUIET = {"text": "text", "thinking": "thinking"}
"""Blocks that say nothing by their beginning alone, and the key of what they say."""
ALWAYS: dict[str, Any] = {"container": None, "stop_reason": None, "stop_sequence": None, "stop_details": None}

_json = msgspec.json.Encoder()


def _special(block: bytes) -> bool:
    """Whether a piece is not in its plainest form, may have to be mended, or is no content."""
    return b"\n" in block[len(PIECE) :] or b'"citations_delta"' in block or b'"signature_delta"' in block


_piece = msgspec.json.Decoder(DeltaEvent)


class _Answer:
    """What both relays keep of an answer."""

    def __init__(self, identity: Identity) -> None:
        self.outcome = Outcome()
        self._identity = identity
        self._native = ""

    def _ours(self, message: dict[str, Any], usage: dict[str, Any]) -> dict[str, Any]:
        """*message* with what is ours put in."""
        own = {"id": self._identity.id, "type": "message", "role": "assistant", "model": self._identity.model}
        return {**ALWAYS, **message, **own, "provider": self._identity.provider, "usage": usage}

    def _ended(self, found: dict[str, Any]) -> bool:
        """Take note of why it ends, if *found* says so; the first one wins."""
        native = text(found.get("stop_reason"))
        self._native = self._native or native
        return bool(native)

    def _closed(self) -> None:
        """It has ended."""
        self.outcome.finish_reason = finish_reason(self._native)
        self.outcome.native_finish_reason = self._native or None


class StreamRelay(_Answer):
    """A `Converter` for streams."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self._blocks = BlockReader()
        self._out: list[bytes] = []
        self._last: dict[str, Any] = {"delta": {}}
        self._open: set[int] = set()
        """Blocks that have begun and not ended."""
        self._begun = False
        self._told = False
        self._reported = False
        """Usage was reported after the start."""
        self._committed = False
        self._ended_well = False

    @property
    def committed(self) -> bool:
        """As `Converter.committed`."""
        return self._committed

    @property
    def ended(self) -> bool:
        """As `Converter.ended`."""
        return self._ended_well

    def feed(self, chunk: bytes) -> bytes:
        """As `Converter.feed`."""
        blocks = self._blocks.feed(chunk)
        if blocks:
            for block in blocks.split(b"\n\n"):
                if block and not self._ended_well:
                    self._block(block, last=False)
        return self._take()

    def close(self) -> bytes:
        """As `Converter.close`."""
        for block in self._blocks.close().split(b"\n\n"):
            if block and not self._ended_well:
                self._block(block, last=True)
        if not self._ended_well:
            raise UpstreamTruncated("the provider's stream ended before its answer did")
        return self._take()

    def _take(self) -> bytes:
        if not self._committed or not self._out:
            return b""
        out, self._out = b"".join(self._out), []
        return out

    def _block(self, block: bytes, *, last: bool) -> None:
        if self._committed and not self._told and not last and block.startswith(PIECE) and not _special(block):
            try:
                piece = _piece.decode(block[len(PIECE) :])
            except (msgspec.DecodeError, RecursionError, ValueError):
                piece = None
            if piece is not None and piece.index in self._open:
                self.outcome.content_bytes += max(len(piece.delta) - 34, 0)
                self.outcome.pieces += 1
                self._out.append(block + b"\n\n")
                return
        found = parse_block(block)
        data = b"" if found is None else found.data.strip()
        if found is not None and data and data != b"[DONE]":
            self._frame(decode_object(data, last=last), found.event, block)

    def _frame(self, body: dict[str, Any], name: str, block: bytes) -> None:
        kind = text(body.get("type")) or name
        match kind:
            case "error":
                raise from_object(body.get("error") or body)
            case "message_start":
                self._start(body.get("message"))
            case "message_stop":
                self._stop()
            case "message_delta":
                self._start(None)
                self._delta(body)
            case "ping":
                if self._committed:
                    self._out.append(frame("ping", {}))
            case _ if kind.startswith("content_block_"):
                if not self._told:
                    self._start(None)
                    self._piece(kind, body, name, block)
            case _ if isinstance(body.get("error"), dict):
                raise from_object(body["error"])
            case _:
                if kind and self._begun:
                    self._out.append(frame(kind, {key: said for key, said in body.items() if key != "type"}))

    def _start(self, message: Any) -> None:
        """The answer has begun; for a provider that has left that out, with the first that it says."""
        if self._begun:
            return
        self._begun = True
        found: dict[str, Any] = message if isinstance(message, dict) else {}
        usage = decode_usage(found.get("usage"))
        self.outcome.usage = usage
        self.outcome.upstream_id = text(found.get("id")) or None
        self._ended(found)
        said = encode_usage(usage or Usage(prompt=self._identity.prompt_tokens), None, same=True)
        self._out.append(frame("message_start", {"message": {**self._ours(found, said), "content": []}}))

    def _piece(self, kind: str, body: dict[str, Any], name: str, block: bytes) -> None:
        """A block's beginning, a piece of it, or its end."""
        found = body.get("content_block" if kind == "content_block_start" else "delta")
        if not self._follow(kind, body.get("index"), found):
            return
        if kind != "content_block_stop":
            if not isinstance(found, dict):
                raise UpstreamGarbled("the provider sent a block or a piece of one that is not an object")
            said = self._says(kind, found)
            self._committed = self._committed or said > 0
            self.outcome.content_bytes += said
            self.outcome.pieces += said > 0
        whole = found
        if kind == "content_block_start" and found is not None:
            whole = promised(found)
        elif found is not None and isinstance(found.get("citation"), dict):
            note = promised_citation(found["citation"])
            whole = found if note is found["citation"] else {**found, "citation": note}
        if name == kind and whole is found and block.startswith(b"event: ") and block.count(b"\n") == 1:
            self._out.append(block + b"\n\n")
            return
        if whole is not None:
            body = {**body, "content_block" if kind == "content_block_start" else "delta": whole}
        self._out.append(frame(kind, {key: said for key, said in body.items() if key != "type"}))

    def _follow(self, kind: str, index: Any, found: Any) -> bool:
        """Whether there is such a block; one that the provider never began begins here, where its piece says how."""
        at = index if isinstance(index, int) else 0
        if kind == "content_block_start":
            self._open.add(at)
        elif kind == "content_block_stop":
            if at not in self._open:
                return False
            self._open.discard(at)
        elif at not in self._open and isinstance(found, dict):
            began = BEGINNINGS.get(text(found.get("type")))
            if began is None:
                return False
            self._open.add(at)
            self._out.append(frame("content_block_start", {"index": at, "content_block": promised(began)}))
        return True

    @staticmethod
    def _says(kind: str, found: dict[str, Any]) -> int:
        """How many bytes of content are in a block's beginning or in a piece of it; none where it says nothing."""
        name = text(found.get("type"))
        if kind == "content_block_start":
            return len(text(found.get(QUIET.get(name, ""))).encode()) or says(found)
        key = DELTAS.get(name)
        if key is not None:
            return len(text(found.get(key)).encode())
        if name == "citations_delta":
            return isinstance(found.get("citation"), dict)
        return name != "signature_delta"  # what nobody can read is no content

    def _delta(self, body: dict[str, Any]) -> None:
        usage = decode_usage(body.get("usage"), self.outcome.usage)
        if usage is not None and usage is not self.outcome.usage:
            self.outcome.usage = usage
            self._reported = True
        delta = body.get("delta")
        if isinstance(delta, dict) and not self._told:
            self._told = self._ended(delta)
            self._last = {**self._last, **body, "delta": {**self._last["delta"], **delta}}
        self.outcome.usage_final = self._reported and bool(self._native)

    def _stop(self) -> None:
        if not self._begun:
            raise UpstreamFailed("the provider sent an empty stream")
        if not self._committed and not self._native:
            raise UpstreamFailed("the provider sent an empty answer")
        # A block that the limit cut is left open by some.
        self._out += [frame("content_block_stop", {"index": index}) for index in sorted(self._open)]
        self._committed = self._ended_well = True
        self.outcome.usage_final = self._reported
        self._closed()

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """`message_delta` with usage and cost, and `message_stop`."""
        last = {key: said for key, said in self._last.items() if key != "type"}
        last["delta"] = {**ALWAYS, **last["delta"]}
        last["usage"] = in_delta(encode_usage(usage, cost, same=True))
        stop = {} if metadata is None else {"openrouter_metadata": metadata}
        return frame("message_delta", last) + frame("message_stop", stop)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Converter.fail`; what was ready before the error came is said first."""
        return self._take() + frame("error", envelope(error, self._identity.id))


class BodyRelay(_Answer):
    """A `Converter` for one JSON body."""

    def __init__(self, identity: Identity) -> None:
        super().__init__(identity)
        self._whole = WholeBody()
        self._body: dict[str, Any] | None = None

    @property
    def committed(self) -> bool:
        """Never: a body is given out whole, by `finish`."""
        return False

    @property
    def ended(self) -> bool:
        """As `Converter.ended`."""
        return self._body is not None

    def feed(self, chunk: bytes) -> bytes:
        """Keeps *chunk*."""
        self._whole.keep(chunk)
        return b""

    def close(self) -> bytes:
        """Reads the body, which is whole now."""
        body = whole(decode_object(self._whole.whole(), last=False))
        if not all(isinstance(block, dict) for block in body["content"]):
            raise UpstreamGarbled("the provider sent a block that is not an object")
        self.outcome.usage, self.outcome.usage_final = decode_usage(body.get("usage")), True
        self.outcome.upstream_id = text(body.get("id")) or None
        if not self._ended(body) and not any(map(says, body["content"])):
            raise UpstreamFailed("the provider sent an empty answer")
        self._closed()
        self._body = body
        return b""

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The body with what is ours put in."""
        assert self._body is not None
        body = self._ours(self._body, encode_usage(usage, cost, same=True))
        body["content"] = [promised(block) for block in body["content"]]
        if metadata is not None:
            body["openrouter_metadata"] = metadata
        return _json.encode(body)

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """Nothing has left, so an error is an error body; this is not called for JSON."""
        raise error


def converter(identity: Identity, call: Call, *, sse: bool) -> Converter:
    """What passes an answer on; *sse* is what the upstream sends.

    Where that is what the client asked for, bytes are relayed. Providers answer JSON where a stream was asked for and
    SSE where JSON was (U25, U26); that is translated.
    """
    if call.stream and sse:
        return StreamRelay(identity)
    if not call.stream and not sse:
        return BodyRelay(identity)
    encoder = StreamEncoder(identity) if call.stream else BodyEncoder(identity)
    return Translation(StreamDecoder() if sse else BodyDecoder(), encoder, streamed=call.stream)
