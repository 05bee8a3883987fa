"""Responses to Responses: bytes pass, a meter reads usage off them, and what is ours is put in.

Of a frame only the top level is looked at. Most hold a piece of text and leave as they came; those that hold the whole
response get our id, our model's name and, in the last one, the cost. A frame is written anew where it must be: its
number is not the next one, it has no `event:` line, or it lacks a field that the dialect promises.
"""

from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.common.body_reader import WholeBody
from trunkline.dialects.common.lenient_json import decode_object, text
from trunkline.dialects.common.lenient_json import decode_value as leniently
from trunkline.dialects.common.sse import DONE, BlockReader, parse_block
from trunkline.dialects.interfaces import Call, Converter, Identity, Outcome
from trunkline.dialects.openai_responses import response_items
from trunkline.dialects.openai_responses.citations import complete
from trunkline.dialects.openai_responses.errors import failure, from_object
from trunkline.dialects.openai_responses.response_decoder import BodyDecoder, StreamDecoder, checked
from trunkline.dialects.openai_responses.response_echo import STATUSES, head, output_text, told
from trunkline.dialects.openai_responses.response_encoder import TERMINAL, BodyEncoder, StreamEncoder, frame
from trunkline.dialects.openai_responses.response_events import reason
from trunkline.dialects.openai_responses.response_output import whole
from trunkline.dialects.openai_responses.response_state import RelayedItem
from trunkline.dialects.openai_responses.usage import decode as decode_usage
from trunkline.dialects.openai_responses.usage import encode as encode_usage
from trunkline.dialects.translation import Translation
from trunkline.model.errors import TrunklineError, UpstreamFailed, UpstreamTruncated
from trunkline.model.usage import Cost, Usage

ENDS = frozenset({"response.completed", "response.incomplete", "response.failed", "response.cancelled"})
UNTOLD = frozenset({"keepalive", "response.queued"})
"""Events that OpenAI sends and our clients' dialect does not have."""
EMPTY = frozenset({"message", "reasoning"})
"""Items that say nothing by their beginning alone."""
PROMISED: dict[str, tuple[str, Any]] = {
    "response.output_text.delta": ("logprobs", []),
    "response.output_text.done": ("logprobs", []),
    "response.function_call_arguments.done": ("name", ""),
}
"""An event's type → a field that some providers leave out, OpenAI among them, and what stands for it."""

WHOLE: dict[str, tuple[str, str]] = {
    "response.output_text.done": ("response.output_text.delta", "text"),
    "response.refusal.done": ("response.refusal.delta", "refusal"),
    "response.reasoning_text.done": ("response.reasoning_text.delta", "text"),
    "response.reasoning_summary_text.done": ("response.reasoning_summary_text.delta", "text"),
    "response.function_call_arguments.done": ("response.function_call_arguments.delta", "arguments"),
    "response.custom_tool_call_input.done": ("response.custom_tool_call_input.delta", "input"),
}
"""The event that tells something whole → the event of its pieces, and the field it is in."""

LAST = frozenset({"id", "model", "status", "output", "output_text", "usage", "error", "incomplete_details"})
"""Fields of a response that are ours, or are not known before the end."""
PLACE = frozenset({"item_id", "output_index", "content_index", "summary_index"})

_json = msgspec.json.Encoder()
_raw = msgspec.json.Decoder(dict[str, Raw])
_kind = msgspec.json.Decoder(str)


class _Answer:
    """What both relays keep of an answer, and how they write its response object."""

    def __init__(self, identity: Identity, call: Call) -> None:
        self.outcome = Outcome()
        self._identity = identity
        self._head = head(identity, call.envelope)

    def _ours(self, response: dict[str, Any]) -> dict[str, Any]:
        """*response* with what is ours put in; what it lacks is taken from the request."""
        own = {"id": self._identity.id, "object": "response", "model": self._identity.model}
        return {**told(self._head, response), **own}

    def _learn(self, response: dict[str, Any], *, told: bool) -> None:
        """Usage, and why the answer ended; *told* says that something of it has come before.

        Raises:
            TrunklineError: it failed, or there is nothing in it.
        """
        outcome = self.outcome
        outcome.upstream_id = text(response.get("id")) or None
        usage = decode_usage(response.get("usage"))
        if usage is not None:
            outcome.usage, outcome.usage_final = usage, True
        output = response_items.listed(response.get("output"))
        status = text(response.get("status"))
        if status == "failed":
            raise from_object(response.get("error"))
        if not told and not output and status == "completed":
            raise UpstreamFailed("the provider sent an empty answer")
        calls = any(item["type"] in response_items.CALLS for item in output)
        ended = reason(response, status, calls=calls)
        outcome.finish_reason, outcome.native_finish_reason = ended.reason, ended.native

    def _last(
        self, response: dict[str, Any], usage: Usage, cost: Cost, metadata: dict[str, Any] | None
    ) -> dict[str, Any]:
        last = self._ours(response)
        output = [response_items.complete(item) for item in response_items.listed(last["output"])]
        last["output"], last["output_text"] = output, output_text(output)
        if last["status"] not in STATUSES:
            last["status"] = "completed"
        last["usage"] = encode_usage(usage, cost, same=True)
        if metadata is not None:
            last["openrouter_metadata"] = metadata
        return last


class StreamRelay(_Answer):
    """A `Converter` for streams."""

    def __init__(self, identity: Identity, call: Call) -> None:
        super().__init__(identity, call)
        self._blocks = BlockReader()
        self._out: list[bytes] = []
        self._number = 0
        self._items: dict[int, RelayedItem] = {}
        self._response: dict[str, Any] | None = None
        self._begun = False
        self._committed = False

    @property
    def committed(self) -> bool:
        """As `Converter.committed`."""
        return self._committed

    @property
    def ended(self) -> bool:
        """As `Converter.ended`."""
        return self._response is not None

    def feed(self, chunk: bytes) -> bytes:
        """As `Converter.feed`."""
        blocks = self._blocks.feed(chunk)
        if blocks:
            for block in blocks.split(b"\n\n"):
                if block and self._response is None:
                    self._block(block, last=False)
        return self._take()

    def close(self) -> bytes:
        """As `Converter.close`."""
        tail = self._blocks.close()
        for block in tail.split(b"\n\n"):
            if block and self._response is None:
                self._block(block, last=True)
        if self._response is None:
            raise UpstreamTruncated("the provider's stream ended before its answer did")
        return self._take()

    def _take(self) -> bytes:
        if not self._committed or not self._out:
            return b""
        out, self._out = b"".join(self._out), []
        return out

    def _block(self, block: bytes, *, last: bool) -> None:
        found = parse_block(block)
        data = b"" if found is None else found.data.strip()
        if found is None or not data:
            return
        if data == b"[DONE]":
            if not self._begun:
                raise UpstreamFailed("the provider sent an empty stream")
            raise UpstreamTruncated("the provider's stream ended before its answer did")
        body = _read(data, last=last)
        kind = text(leniently(body["type"])) if "type" in body else found.event
        error = leniently(body["error"]) if "error" in body else None
        if kind == "error" or (error and "response" not in body):
            raise from_object(error or {key: leniently(said) for key, said in body.items()})
        if not kind or kind in UNTOLD:
            return
        if bytes(body.get("response", b""))[:1] == b"{":
            self._whole(kind, body)
            return
        if not self._begun:
            self._begin({})
        if "item" in body and not response_items.listed([leniently(body["item"])]):
            return
        if not kind.endswith(".delta"):
            self._event(kind, body)
            if kind in WHOLE:
                self._catch_up(kind, body)
        elif "delta" in body:
            self._piece(kind, body)
        self._pass(block, kind, body)

    def _begin(self, response: dict[str, Any]) -> None:
        """The two events that a stream begins with, for a provider that has left them out."""
        self._begun = True
        for kind in ("response.created", "response.in_progress"):
            self._emit(kind, {"response": self._ours(response)})

    def _meet(self, response: dict[str, Any]) -> None:
        """What the first *response* says of the answer."""
        self.outcome.upstream_id = text(leniently(response["id"])) or None if "id" in response else None
        self._head = told(self._head, {key: said for key, said in response.items() if key not in LAST})

    def _whole(self, kind: str, body: dict[str, Any]) -> None:
        """A frame with the response in it."""
        response: dict[str, Any] = _raw.decode(body["response"])
        if kind in ENDS:
            if not self._begun:
                self._meet(response)
                self._begin({})
            response = {key: leniently(said) for key, said in response.items()}
            response["status"] = text(response.get("status")) or kind.removeprefix("response.")
            self._learn(response, told=bool(self._items))
            self._committed = True
            self._untold(response)
            self._response = response
            return
        if not self._begun:
            self._meet(response)
        self._begun = True
        self._emit(kind, {**body, "response": self._ours(response)})

    def _untold(self, response: dict[str, Any]) -> None:
        """Items that stand in the last event and were never told of: they are told now."""
        for at, item in enumerate(response_items.listed(response.get("output"))):
            if at not in self._items and len(self._items) <= at:
                for event in whole(at, item, self._identity):
                    self._emit(event.pop("type"), event)

    def _piece(self, kind: str, body: dict[str, Any]) -> None:
        """A frame with a piece of something."""
        delta = body["delta"]
        length = len(delta) - 2
        if length > 0:
            self._committed = True
            self.outcome.content_bytes += length
            self.outcome.pieces += 1
        item = self._items.get(_index(body, "output_index"))
        if item is not None:
            at = _index(body, "summary_index" if "summary_index" in body else "content_index")
            item.pieces.append((kind, at, delta))

    def _event(self, kind: str, body: dict[str, Any]) -> None:
        """A frame that is no piece: what it says of items is kept, and whether it says anything at all."""
        at = _index(body, "output_index")
        if "item" in body:
            item = _raw.decode(body["item"])
            name = text(leniently(item["type"])) if "type" in item else ""
            if b'"action"' in bytes(body["item"]) or b'"url_citation"' in bytes(body["item"]):
                body["item"] = _written(response_items.complete(leniently(body["item"])), body["item"])
            if kind == "response.output_item.done":
                self._items[at] = RelayedItem(body["item"], [], whole=True)
                self._committed = self._committed or name not in EMPTY or _says(item)
            else:
                called = text(leniently(item["name"])) if "name" in item else ""
                self._items[at] = RelayedItem(body["item"], [], called)
                self._committed = self._committed or name not in EMPTY
        elif kind == "response.output_text.annotation.added":
            self._committed = True
            self.outcome.pieces += 1
            note = leniently(body["annotation"]) if "annotation" in body else None
            if isinstance(note, dict):
                body["annotation"] = _written(complete(note, 0), body["annotation"])
        elif kind == "response.content_part.done" and b'"url_citation"' in bytes(body.get("part", b"")):
            body["part"] = _written(response_items.complete_part(leniently(body["part"])), body["part"])
        elif kind == "response.function_call_arguments.done" and "name" not in body and at in self._items:
            body["name"] = self._items[at].name

    def _catch_up(self, kind: str, body: dict[str, Any]) -> None:
        """The whole of what no piece was told of (LM Studio's arguments) is told as one piece first."""
        delta, field = WHOLE[kind]
        item, said = self._items.get(_index(body, "output_index")), body.get(field, b"")
        at = _index(body, "summary_index" if "summary_index" in body else "content_index")
        if item is None or len(bytes(said)) <= 2 or any(found[:2] == (delta, at) for found in item.pieces):
            return
        piece = {key: found for key, found in body.items() if key in PLACE}
        piece["delta"] = said
        if delta in PROMISED:
            piece["logprobs"] = []
        self._piece(delta, piece)
        self._emit(delta, piece)

    def _pass(self, block: bytes, kind: str, body: dict[str, Any]) -> None:
        """The frame as it came, where nothing in it must be other."""
        promised = PROMISED.get(kind)
        lacks = promised is not None and promised[0] not in body
        told = body.get("sequence_number")
        plain = told is not None and bytes(told) == b"%d" % self._number and block.startswith(_name(kind))
        if plain and not lacks and all(isinstance(said, Raw) for said in body.values()):
            self._number += 1
            self._out.append(block + b"\n\n")
            return
        if lacks and promised is not None:
            body[promised[0]] = promised[1]
        self._emit(kind, body)

    def _emit(self, kind: str, body: dict[str, Any]) -> None:
        self._out.append(frame(kind, {"type": kind, **body} | {"type": kind, "sequence_number": self._number}))
        self._number += 1

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The response as it is in the end, and [DONE]."""
        assert self._response is not None
        return self._terminal(self._last(self._response, usage, cost, metadata))

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """As `Converter.fail`; what was ready before the error came is said first."""
        if not self._begun:
            self._begin({})
        output = [_so_far(self._items[at]) for at in sorted(self._items)]
        response = {**self._ours({"output": output, "output_text": output_text(output)}), **failure(error)}
        if usage is not None and cost is not None:
            response["usage"] = encode_usage(usage, cost, same=True)
        return self._take() + self._terminal(response)

    def _terminal(self, response: dict[str, Any]) -> bytes:
        kind = f"response.{TERMINAL.get(response['status'], 'completed')}"
        last = frame(kind, {"type": kind, "response": response, "sequence_number": self._number})
        self._number += 1
        return last + DONE


def _read(data: bytes, *, last: bool) -> dict[str, Any]:
    """The top level of the JSON object in *data*; what a strict reader refuses is made readable, or the error it is."""
    try:
        if not data.isascii():
            data.decode()
        return _raw.decode(data)
    except (msgspec.DecodeError, RecursionError, ValueError):
        return _raw.decode(_json.encode(decode_object(data, last=last)))


def _name(kind: str) -> bytes:
    return b"event: %s\n" % kind.encode()


def _written(mended: Any, raw: Raw) -> Any:
    """*mended*, or the bytes *raw* that it was read from where nothing in it is other."""
    return raw if mended == leniently(raw) else mended


def _index(body: dict[str, Any], key: str) -> int:
    found = bytes(body.get(key, b"0"))
    return int(found) if found.isdigit() and len(found) < 9 else 0


def _says(item: dict[str, Any]) -> bool:
    """Whether a message or a thought, whole, has anything in it."""
    return any(key in item and bytes(item[key]) not in (b"[]", b"null", b'""') for key in _CONTENT)


_CONTENT = ("content", "summary", "encrypted_content", "signature")


def _so_far(item: RelayedItem) -> dict[str, Any]:
    """*item* with the pieces that have come of it."""
    body = leniently(item.body) if isinstance(item.body, Raw) else item.body
    if item.whole or not isinstance(body, dict):
        return body if isinstance(body, dict) else {}
    if "status" in body:
        body["status"] = "incomplete"
    texts: dict[tuple[str, int], list[str]] = {}
    for kind, at, delta in item.pieces:
        texts.setdefault((kind, at), []).append(text(leniently(delta)))
    for (kind, _), pieces in sorted(texts.items()):
        said = "".join(pieces)
        if (place := _PLACES.get(kind)) is not None:
            key, part = place
            if part is None:
                body[key] = said
            else:
                if not isinstance(body.get(key), list):
                    body[key] = []
                body[key].append({**part, "refusal" if part["type"] == "refusal" else "text": said})
    return body


_PLACES: dict[str, tuple[str, dict[str, Any] | None]] = {
    "response.output_text.delta": ("content", {"type": "output_text", "annotations": [], "logprobs": []}),
    "response.refusal.delta": ("content", {"type": "refusal"}),
    "response.reasoning_text.delta": ("content", {"type": "reasoning_text"}),
    "response.reasoning_summary_text.delta": ("summary", {"type": "summary_text"}),
    "response.function_call_arguments.delta": ("arguments", None),
    "response.custom_tool_call_input.delta": ("input", None),
}
"""A piece's event → where in its item it goes, and the part that it is put into."""


class BodyRelay(_Answer):
    """A `Converter` for one JSON body."""

    def __init__(self, identity: Identity, call: Call) -> None:
        super().__init__(identity, call)
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
        body = decode_object(self._whole.whole(), last=False)
        checked(body)
        body["status"] = text(body.get("status")) or "completed"
        self._learn(body, told=False)
        self._body = body
        return b""

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The body with what is ours put in."""
        assert self._body is not None
        return _json.encode(self._last(self._body, usage, cost, metadata))

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """Nothing has left, so an error is an error body; this is not called for JSON."""
        raise error


def converter(identity: Identity, call: Call, *, sse: bool) -> Converter:
    """What passes an answer on; *sse* is what the upstream sends.

    Where that is what the client asked for, bytes are relayed. Providers answer JSON where a stream was asked for and
    SSE where JSON was (U25, U26); that is translated.
    """
    if call.stream and sse:
        return StreamRelay(identity, call)
    if not call.stream and not sse:
        return BodyRelay(identity, call)
    encoder = StreamEncoder(identity, call.envelope) if call.stream else BodyEncoder(identity, call.envelope)
    return Translation(StreamDecoder() if sse else BodyDecoder(), encoder, streamed=call.stream)
