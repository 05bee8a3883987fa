"""A Responses answer, given out: a stream's bytes or one JSON body from events.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult` and `StreamEvents`.
"""

from typing import Any

import msgspec
from msgspec import Raw

from trunkline.dialects.common.sse import DONE
from trunkline.dialects.interfaces import Identity
from trunkline.dialects.openai_responses.errors import failure
from trunkline.dialects.openai_responses.response_output import Writer
from trunkline.dialects.openai_responses.usage import encode as encode_usage
from trunkline.model.errors import TrunklineError
from trunkline.model.events import Delta, Event, Started
from trunkline.model.loss import Loss
from trunkline.model.usage import Cost, Usage

TERMINAL = {"completed": "completed", "incomplete": "incomplete", "failed": "failed"}
"""A response's status → the event that ends its stream; `completed` for all others."""

_json = msgspec.json.Encoder()


def frame(kind: str, body: dict[str, Any]) -> bytes:
    """One SSE frame."""
    return b"event: %s\ndata: %s\n\n" % (kind.encode(), _json.encode(body))


class StreamEncoder:
    """Events to frames, numbered from 0.

    Text, most of what is ever said, costs a few concatenations and the escaping of the string.
    """

    __slots__ = ("_begun", "_number", "_part", "_start", "_writer")

    def __init__(self, identity: Identity, envelope: dict[str, Raw]) -> None:
        self._writer = Writer(identity, envelope)
        self._number = 0
        self._begun = False
        self._part = -1
        self._start = b""

    def encode(self, event: Event) -> bytes:
        """As `Encoder.encode`."""
        writer = self._writer
        if isinstance(event, Delta) and event.index == self._part and event.text and not _more(event):
            writer.add(event.text)
            number = self._number
            self._number = number + 1
            return b'%s%s,"logprobs":[],"sequence_number":%d}\n\n' % (self._start, _json.encode(event.text), number)
        self._begun = self._begun or isinstance(event, Started)
        writer.on(event)
        out = self._frames()
        plain = writer.plain
        if plain is None:
            self._part = -1
        elif plain[0] != self._part:
            self._part, id_, at, content = plain
            self._start = (
                b'event: response.output_text.delta\ndata: {"type":"response.output_text.delta","item_id":%s,'
                b'"output_index":%d,"content_index":%d,"delta":' % (_json.encode(id_), at, content)
            )
        return out

    def _frames(self) -> bytes:
        out: list[bytes] = []
        for body in self._writer.items.take():
            out.append(frame(body["type"], {**body, "sequence_number": self._number}))
            self._number += 1
        return b"".join(out)

    @property
    def losses(self) -> tuple[Loss, ...]:
        """As `Encoder.losses`."""
        return self._writer.items.losses.found()

    def _last(self, response: dict[str, Any]) -> bytes:
        kind = f"response.{TERMINAL.get(response['status'], 'completed')}"
        last = frame(kind, {"type": kind, "response": response, "sequence_number": self._number})
        self._number += 1
        return last + DONE

    def _open(self) -> bytes:
        """What begins a stream, where nothing has yet."""
        return b"" if self._begun else self.encode(Started())

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The rest of the last item, the response as it is in the end, and [DONE]."""
        begun = self._open()
        _, response = self._writer.ended()
        return begun + self._frames() + self._last(_closed(self._writer, response, usage, cost, metadata))

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """`response.failed` with what has come so far, and [DONE]."""
        begun = self._open()
        response = {**self._writer.final("incomplete"), **failure(error)}
        if usage is not None and cost is not None:
            response["usage"] = encode_usage(usage, cost, same=self._writer.items.same)
        return begun + self._frames() + self._last(response)


def _more(event: Delta) -> bool:
    return event.logprobs is not None or event.citations is not None or event.extra is not None


class BodyEncoder:
    """Events to one JSON body."""

    __slots__ = ("_writer",)

    def __init__(self, identity: Identity, envelope: dict[str, Raw]) -> None:
        self._writer = Writer(identity, envelope)

    def encode(self, event: Event) -> bytes:
        """Keeps what *event* says; everything comes from `finish`."""
        self._writer.on(event)
        self._writer.items.take()
        return b""

    @property
    def losses(self) -> tuple[Loss, ...]:
        """As `Encoder.losses`."""
        return self._writer.items.losses.found()

    def finish(self, usage: Usage, cost: Cost, metadata: dict[str, Any] | None = None) -> bytes:
        """The whole body."""
        _, response = self._writer.ended()
        return _json.encode(_closed(self._writer, response, usage, cost, metadata))

    def fail(self, error: TrunklineError, usage: Usage | None, cost: Cost | None) -> bytes:
        """Nothing has left, so an error is an error body; this is not called for JSON."""
        raise error


def _closed(
    writer: Writer, response: dict[str, Any], usage: Usage, cost: Cost, metadata: dict[str, Any] | None
) -> dict[str, Any]:
    response["usage"] = encode_usage(usage, cost, same=writer.items.same)
    if metadata is not None:
        response["openrouter_metadata"] = metadata
    return response
