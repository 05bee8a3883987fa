"""Server-sent events (SSE): decode frames from bytes.

The reader accepts chunks cut at any byte, LF, CR and CRLF line ends, a byte order mark, comments, several `data:`
lines, and a last event without a blank line. Providers send all of these. A chunk can end between the CR and the LF of
one line end, or inside the byte order mark; the reader keeps that state between chunks.

Source: the HTML standard, "Server-sent events", read 2026-11-21. One difference: `close` returns an event that the end
of the body left without a blank line, because some providers omit it.
"""

from trunkline.dialects.common.lenient_json import BOM
from trunkline.dialects.common.types import Frame
from trunkline.model.errors import UpstreamFailed, UpstreamGarbled

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""Limit of one event. A base64 image fits; an endless line does not. Source: docs/reference/reliability.md, U33."""

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"


class BlockReader:
    """Splits a body into complete blocks. `feed` returns blocks with LF line ends and their blank lines, or nothing."""

    __slots__ = ("_begun", "_held", "_limit", "_size", "_swallow_lf")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._swallow_lf = False
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        """Add a chunk; return all blocks that are now complete, as one byte string.

        Raises:
            UpstreamGarbled: an event exceeds the limit.
        """
        if not self._begun:
            chunk = self._begin(chunk)
        if self._swallow_lf and chunk:
            self._swallow_lf = False
            if chunk[0] == 10:
                chunk = chunk[1:]
        if b"\r" in chunk:
            self._swallow_lf = chunk[-1] == 13
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        if not self._held:
            if chunk[-2:] == b"\n\n":
                return chunk
        elif chunk[:1] == b"\n" and self._held[-1][-1:] == b"\n":
            # The chunk border is inside the blank line: the held bytes are a complete block.
            held = b"".join(self._held) + b"\n"
            self._held, self._size = [], 0
            return held + self._cut(chunk[1:])
        return self._cut(chunk)

    def _cut(self, chunk: bytes) -> bytes:
        end = chunk.rfind(b"\n\n")
        whole = b""
        if end >= 0:
            whole = b"".join((*self._held, chunk[: end + 2]))
            chunk = chunk[end + 2 :]
            self._held, self._size = [], 0
        if chunk:
            self._held.append(chunk)
            self._size += len(chunk)
            if self._size > self._limit:
                raise UpstreamGarbled(f"an event of the stream is longer than {self._limit} bytes")
        return whole

    def _begin(self, chunk: bytes) -> bytes:
        if self._held:
            chunk = self._held.pop() + chunk
            self._size = 0
        if len(chunk) < 3 and BOM.startswith(chunk):
            if chunk:
                self._held = [chunk]
            return b""
        self._begun = True
        return chunk.removeprefix(BOM)

    def close(self) -> bytes:
        """Return the incomplete block at the end of the body; empty if there is none."""
        held, self._held = b"".join(self._held), []
        return held


def parse_block(block: bytes) -> Frame | None:
    """Decode the event in *block* (without its blank line); return None if it has only comments or no data."""
    if block[:6] == b"data: " and b"\n" not in block:
        return Frame(block[6:])
    event = ""
    data: list[bytes] = []
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            data.append(value)
        elif name == b"event":
            event = value.decode("utf-8", "replace")
    return Frame(b"\n".join(data), event) if data else None


class FrameReader:
    """Decodes the frames of a body from its chunks."""

    __slots__ = ("_blocks",)

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._blocks = BlockReader(limit)

    def feed(self, chunk: bytes) -> list[Frame]:
        """Add a chunk; return the frames that are now complete.

        Raises:
            UpstreamGarbled: an event exceeds the limit.
        """
        return frames(self._blocks.feed(chunk))

    def close(self) -> list[Frame]:
        """Return the frame that the end of the body left without a blank line, if there is one."""
        return frames(self._blocks.close())


def frames(blocks: bytes) -> list[Frame]:
    """Decode the events of complete *blocks*."""
    found = [parse_block(block) for block in blocks.split(b"\n\n") if block]
    return [frame for frame in found if frame is not None]


def is_stream(start: bytes) -> bool | None:
    """Return True if a body that begins with *start* is a stream, False if it is JSON, None if *start* is too short.

    The content type is ignored, because some providers send a wrong one (U25–U27).

    Raises:
        UpstreamFailed: the body is HTML.
    """
    text = start.removeprefix(BOM).lstrip()
    if not text or (len(start) < 3 and BOM.startswith(start)):
        return None
    if text[:1] == b"<":
        raise UpstreamFailed("the provider answered with a page of HTML")
    return text[:1] not in (b"{", b"[")
