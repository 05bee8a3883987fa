"""A Responses answer, read: events from a stream's bytes or from one JSON body.

Source: OpenRouter's OpenAPI document, `OpenResponsesResult` and `StreamEvents`.

The last `response.*` event is the end; a [DONE] may follow or not, and is none by itself.
"""

from collections.abc import Iterator
from typing import Any

from trunkline.dialects.common.body_reader import BodyReader
from trunkline.dialects.common.lenient_json import decode_object, text
from trunkline.dialects.common.sse import FrameReader
from trunkline.dialects.openai_responses.errors import from_object
from trunkline.dialects.openai_responses.response_events import Reader
from trunkline.model.errors import UpstreamFailed, UpstreamTruncated
from trunkline.model.events import Event


class StreamDecoder:
    """Feed it any slices of a stream's body."""

    __slots__ = ("_frames", "_reader")

    def __init__(self) -> None:
        self._frames = FrameReader()
        self._reader = Reader()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """As `Decoder.feed`."""
        for frame in self._frames.feed(chunk):
            yield from self._on(frame.data, frame.event, last=False)

    def close(self) -> Iterator[Event]:
        """As `Decoder.close`."""
        for frame in self._frames.close():
            yield from self._on(frame.data, frame.event, last=True)
        if not self._reader.ended:
            raise UpstreamTruncated("the provider's stream ended before its answer did")

    def _on(self, data: bytes, event: str, *, last: bool) -> Iterator[Event]:
        data = data.strip()
        if self._reader.ended or not data:
            return
        if data == b"[DONE]":
            if not self._reader.begun:
                raise UpstreamFailed("the provider sent an empty stream")
            raise UpstreamTruncated("the provider's stream ended before its answer did")
        body = decode_object(data, last=last)
        kind = text(body.get("type")) or event
        if kind == "error" or (body.get("error") and "response" not in body):
            raise from_object(body.get("error") or body)
        if kind:
            yield from self._reader.event(kind, {**body, "type": kind})


class BodyDecoder(BodyReader):
    """One JSON body, in any slices."""

    __slots__ = ()

    def close(self) -> Iterator[Event]:
        """The whole answer."""
        body = decode_object(self.whole(), last=False)
        checked(body)
        reader = Reader()
        yield from reader.top(body)
        yield from reader.end(body, text(body.get("status")) or "completed")


def checked(body: dict[str, Any]) -> None:
    """Raise what *body* means where it is no response."""
    output = body.get("output")
    if body.get("error") and not output:
        raise from_object(body["error"])
    if not isinstance(output, list):
        raise UpstreamFailed("the provider sent an answer without output")
