"""What Bedrock's InvokeModelWithResponseStream sends: another dialect's events, each in a frame of an event stream.

A frame `chunk` holds `{"bytes": …}`, in base64 the JSON that the model's own API has in the `data:` of an event; for
Claude that is Messages. So the decoder of that dialect is given events, and does the rest; exceptions are Bedrock's.

    InvokeDecoder(messages.StreamDecoder())      reads a stream of Claude's from Bedrock, and one from Anthropic too

Source: Bedrock API reference, "InvokeModelWithResponseStream" and "PayloadPart", read 2026-11-26.
"""

from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Iterator

import msgspec

from trunkline.dialects.bedrock_converse.errors import from_frame
from trunkline.dialects.bedrock_converse.response_event_stream import FRAMED, FrameReader
from trunkline.dialects.bedrock_converse.response_state import Frame
from trunkline.dialects.common.lenient_json import decode_object, text
from trunkline.dialects.interfaces import Decoder
from trunkline.model.errors import UpstreamGarbled
from trunkline.model.events import Event


class InvokeDecoder:
    """Feed it any slices of a body: one of frames is unwrapped for *inner*, any other is *inner*'s as it is."""

    __slots__ = ("_begun", "_frames", "_inner")

    def __init__(self, inner: Decoder) -> None:
        self._inner = inner
        self._frames: FrameReader | None = None
        self._begun = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """As `Decoder.feed`."""
        if not self._begun and chunk:
            self._begun = True
            if chunk[:1] in FRAMED:
                self._frames = FrameReader()
        if self._frames is None:
            yield from self._inner.feed(chunk)
            return
        for frame in self._frames.feed(chunk):
            yield from self._inner.feed(unwrapped(frame))

    def close(self) -> Iterator[Event]:
        """As `Decoder.close`: the end is that of the dialect inside."""
        yield from self._inner.close()


def unwrapped(frame: Frame) -> bytes:
    """The event in *frame* as server-sent events have it; nothing where it holds none.

    Raises:
        UpstreamGarbled: it is not what Bedrock sends.
        TrunklineError: it is an exception.
    """
    if frame.said(":message-type") in ("exception", "error"):
        name = frame.said(":exception-type") or frame.said(":error-code")
        raise from_frame(name, frame.payload, frame.said(":error-message"))
    if frame.said(":event-type") != "chunk":
        return b""
    try:
        data = b64decode(text(decode_object(frame.payload, last=False).get("bytes")), validate=True)
    except (NotBase64, ValueError) as error:
        raise UpstreamGarbled("the provider sent a chunk that is not base64") from error
    # Written anew, since JSON may have line ends in it and an event may not.
    body = decode_object(data, last=False)
    return f"event: {text(body.get('type'))}\ndata: ".encode() + msgspec.json.encode(body) + b"\n\n"
