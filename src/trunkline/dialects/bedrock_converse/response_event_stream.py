"""AWS event streams: frames from bytes and back.

    total length (4) | headers' length (4) | CRC of these 8 | headers | payload | CRC of all before it (4)

All numbers are big-endian, both checksums CRC-32. A header is a length (1), a name, a type (1) and a value. Lengths are
believed only after the prelude's checksum, and never beyond the bounds below, so no more than one frame is ever held.

Source: docs.aws.amazon.com, "Event stream encoding" (Amazon Lex V2 and Amazon Transcribe), and smithy.io, "Amazon Event
Stream", read 2026-11-26.
"""

import struct
from collections.abc import Iterator, Mapping
from zlib import crc32

from trunkline.dialects.bedrock_converse.response_state import Frame, Header
from trunkline.model.errors import UpstreamGarbled

MAX_FRAME_BYTES = 16 * 1024 * 1024
"""Source: docs/reference/reliability.md, U42; the specification's own bound."""
MAX_HEADER_BYTES = 128 * 1024
"""Of all headers of a frame. Source: the specification."""

FRAMED = (b"\x00", b"\x01")
"""How a body of frames begins: with the length of the first one, whose first byte is zero up to 16 MB. No text does."""


_PRELUDE = struct.Struct(">III")
_SUM = struct.Struct(">I")
_LEAST = _PRELUDE.size + _SUM.size
_FIXED = {2: 1, 3: 2, 4: 4, 5: 8, 8: 8}
"""A header's type → the bytes of its number: byte, short, integer, long, and a timestamp in milliseconds."""
_UUID = 9


class FrameReader:
    """Feed it any slices of the body; frames come out."""

    __slots__ = ("_held", "_need")

    def __init__(self) -> None:
        self._held = bytearray()
        self._need = _PRELUDE.size

    def feed(self, chunk: bytes) -> Iterator[Frame]:
        """The frames that are whole now; those before broken bytes come before the error.

        Raises:
            UpstreamGarbled: a checksum or a length is wrong, or a frame is too long.
        """
        self._held += chunk
        at = 0
        try:
            while len(self._held) - at >= self._need:
                total, headers = self._lengths(at)
                self._need = total
                if len(self._held) - at < total:
                    break
                yield _frame(bytes(self._held[at : at + total]), headers)
                at += total
                self._need = _PRELUDE.size
        finally:
            if at:
                del self._held[:at]

    def _lengths(self, at: int) -> tuple[int, int]:
        total, headers, checksum = _PRELUDE.unpack_from(self._held, at)
        if crc32(self._held[at : at + 8]) != checksum:
            raise UpstreamGarbled("the prelude of a frame does not match its checksum")
        if total > MAX_FRAME_BYTES:
            raise UpstreamGarbled(f"a frame of the stream is longer than {MAX_FRAME_BYTES} bytes")
        if headers > MAX_HEADER_BYTES or total < _LEAST + headers:
            raise UpstreamGarbled("the lengths of a frame contradict each other")
        return total, headers


def _frame(whole: bytes, headers: int) -> Frame:
    end = len(whole) - _SUM.size
    if crc32(memoryview(whole)[:end]) != _SUM.unpack_from(whole, end)[0]:
        raise UpstreamGarbled("a frame does not match its checksum")
    begin = _PRELUDE.size + headers
    return Frame(_headers(whole[_PRELUDE.size : begin]), whole[begin:end])


def _headers(block: bytes) -> dict[str, Header]:
    found: dict[str, Header] = {}
    at = 0
    try:
        while at < len(block):
            end = at + 1 + block[at]
            name = block[at + 1 : end].decode()
            found[name], at = _value(block, end)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise UpstreamGarbled("the headers of a frame cannot be read") from error
    if at != len(block):
        raise UpstreamGarbled("the headers of a frame cannot be read")
    return found


def _value(block: bytes, at: int) -> tuple[Header, int]:
    """The value whose type stands at *at*, and where the next header begins."""
    kind = block[at]
    at += 1
    if kind in (0, 1):
        return kind == 0, at
    if kind in _FIXED:
        end = at + _FIXED[kind]
        return int.from_bytes(block[at:end], "big", signed=True), end
    if kind == _UUID:
        return block[at : at + 16], at + 16
    if kind not in (6, 7):
        raise UpstreamGarbled(f"a frame has a header of the unknown type {kind}")
    begin = at + 2
    end = begin + struct.unpack_from(">H", block, at)[0]
    value = block[begin:end]
    return (value if kind == 6 else value.decode()), end


def write(headers: Mapping[str, Header], payload: bytes) -> bytes:
    """A frame with *headers* (strings, bytes, booleans, and integers as longs) and *payload*, checksums and all."""
    block = b"".join(_header(name, value) for name, value in headers.items())
    lengths = struct.pack(">II", _LEAST + len(block) + len(payload), len(block))
    whole = b"".join((lengths, _SUM.pack(crc32(lengths)), block, payload))
    return whole + _SUM.pack(crc32(whole))


def _header(name: str, value: Header) -> bytes:
    encoded = name.encode()
    head = bytes((len(encoded),)) + encoded
    if isinstance(value, bool):
        return head + bytes((0 if value else 1,))
    if isinstance(value, int):
        return head + struct.pack(">bq", 5, value)
    said, kind = (value.encode(), 7) if isinstance(value, str) else (value, 6)
    return head + struct.pack(">bH", kind, len(said)) + said


def event(name: str, payload: bytes) -> bytes:
    """The frame of the event *name*, as Bedrock writes it."""
    return write({":event-type": name, ":content-type": "application/json", ":message-type": "event"}, payload)


def exception(name: str, payload: bytes) -> bytes:
    """The frame of the exception *name*, as Bedrock writes it."""
    return write({":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}, payload)
