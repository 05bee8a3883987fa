"""Server-sent events: frames from bytes and back.

A reader must be right for any slicing of the bytes, for LF, CR and CRLF line ends, a byte order mark, comments,
several `data:` lines and a last event without its blank line. Providers send all of these. The hard part is that a
slice may end between the CR and the LF of one line end, or inside the mark; both are remembered across slices.

Source: the HTML standard, "Server-sent events", read 2026-11-21. One departure: an event that the end of the body
leaves without its blank line is given out by `close`, because providers forget the blank line.
"""

from trunkline.dialects.common.lenient_json import BOM
from trunkline.dialects.common.types import Frame
from trunkline.model.errors import UpstreamFailed, UpstreamGarbled

MAX_EVENT_BYTES = 32 * 1024 * 1024
"""An image in base64 fits; an endless line does not. Source: reliability §5, U33."""

DONE = b"data: [DONE]\n\n"
KEEP_ALIVE = b": OPENROUTER PROCESSING\n\n"


class BlockReader:
    """Cuts a body into whole blocks: what `feed` returns has LF line ends and ends with a blank line, or is empty."""

    __slots__ = ("_begun", "_held", "_limit", "_size", "_swallow_lf")

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._held: list[bytes] = []
        self._size = 0
        self._limit = limit
        self._swallow_lf = False
        self._begun = False

    def feed(self, chunk: bytes) -> bytes:
        """Take a slice in; return all blocks that are now whole, as one piece.

        Raises:
            UpstreamGarbled: an event is longer than the limit.
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
            # The blank line was cut in two: what is held is a whole block.
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
        """The block that the end of the body cut short, as it is; empty where there is none."""
        held, self._held = b"".join(self._held), []
        return held


def parse_block(block: bytes) -> Frame | None:
    """The event in *block* (lines without the blank one), or None where it holds only comments or no data."""
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
    """Feed it any slices of the body; frames come out."""

    __slots__ = ("_blocks",)

    def __init__(self, limit: int = MAX_EVENT_BYTES) -> None:
        self._blocks = BlockReader(limit)

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that are whole now.

        Raises:
            UpstreamGarbled: an event is longer than the limit.
        """
        return frames(self._blocks.feed(chunk))

    def close(self) -> list[Frame]:
        """The frame that the body's end left without a blank line, if there is one."""
        return frames(self._blocks.close())


def frames(blocks: bytes) -> list[Frame]:
    """The events of whole *blocks*."""
    found = [parse_block(block) for block in blocks.split(b"\n\n") if block]
    return [frame for frame in found if frame is not None]


def is_stream(start: bytes) -> bool | None:
    """Whether a body that begins with *start* is a stream (True) or JSON (False); None where it is too soon to say.

    Content types are not asked, since providers get them wrong (U25–U27).

    Raises:
        UpstreamFailed: it is a page of HTML.
    """
    text = start.removeprefix(BOM).lstrip()
    if not text or (len(start) < 3 and BOM.startswith(start)):
        return None
    if text[:1] == b"<":
        raise UpstreamFailed("the provider answered with a page of HTML")
    return text[:1] not in (b"{", b"[")
