"""Frames of AWS event streams: any slicing, broken ones, bounds."""

import struct
from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.bedrock_converse.response_event_stream import (
    MAX_FRAME_BYTES,
    FrameReader,
    event,
    exception,
    write,
)
from trunkline.dialects.bedrock_converse.response_state import Frame, Header
from trunkline.model.errors import UpstreamGarbled
from trunkline.testing.golden import slices

HEADERS = st.dictionaries(
    st.text(min_size=1, max_size=20),
    st.one_of(st.text(max_size=40), st.binary(max_size=40), st.booleans(), st.integers(-(2**63), 2**63 - 1)),
    max_size=5,
)
FRAMES = st.lists(st.tuples(HEADERS, st.binary(max_size=200)), max_size=6)


def read(chunks: list[bytes]) -> list[Frame]:
    reader = FrameReader()
    return [frame for chunk in chunks for frame in reader.feed(chunk)]


def refused(body: bytes) -> str:
    with pytest.raises(UpstreamGarbled) as raised:
        read([body])
    return raised.value.message


@given(said=FRAMES, cuts=st.sets(st.integers(1, 2000), max_size=30))
def test_what_is_written_is_read(said: list[tuple[dict[str, Header], bytes]], cuts: set[int]) -> None:
    body = b"".join(write(headers, payload) for headers, payload in said)
    assert read(slices(body, cuts)) == [Frame(headers, payload) for headers, payload in said]


def test_as_the_specification_writes_it() -> None:
    """One header of the type string, and a payload, laid out by hand."""
    name = b":event-type"
    header = bytes((len(name),)) + name + b"\x07" + struct.pack(">H", 4) + b"ping"
    lengths = struct.pack(">II", 16 + len(header) + 2, len(header))
    prelude = lengths + struct.pack(">I", crc32(lengths))
    body = prelude + header + b"{}"
    body += struct.pack(">I", crc32(body))
    assert read([body]) == [Frame({":event-type": "ping"}, b"{}")]
    assert write({":event-type": "ping"}, b"{}") == body


def test_an_empty_frame_is_sixteen_bytes() -> None:
    """The specification's smallest: lengths 16 and 0, and the two checksums that it prints."""
    body = bytes.fromhex("000000100000000005c248eb7d98c8ff")
    assert read([body]) == [Frame({}, b"")]
    assert write({}, b"") == body


@pytest.mark.parametrize(
    ("kind", "value", "expected"),
    [
        (0, b"", True),
        (1, b"", False),
        (2, b"\xff", -1),
        (3, b"\x01\x00", 256),
        (4, b"\x00\x00\x01\x00", 256),
        (5, b"\x80" + bytes(7), -(2**63)),
        (6, b"\x00\x02\xff\x00", b"\xff\x00"),
        (7, b"\x00\x02\xc3\xa9", "é"),
        (8, bytes(7) + b"\x05", 5),
        (9, bytes(range(16)), bytes(range(16))),
    ],
)
def test_each_type_of_header(kind: int, value: bytes, expected: object) -> None:
    (frame,) = read([_with_headers(b"\x01a" + bytes((kind,)) + value + b"\x01b\x07\x00\x01c")])
    assert frame.headers == {"a": expected, "b": "c"}
    assert frame.said("b") == "c"
    assert frame.said("absent") == ""


def _with_headers(block: bytes, payload: bytes = b"") -> bytes:
    lengths = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    body = lengths + struct.pack(">I", crc32(lengths)) + block + payload
    return body + struct.pack(">I", crc32(body))


@pytest.mark.parametrize(
    "block",
    [
        b"\x01",
        b"\x05a",
        b"\x01a",
        b"\x01a\x07",
        b"\x01a\x07\x00",
        b"\x01a\x07\x00\x09short",
        b"\x01a\x04\x00",
        b"\x01a\x0a",
        b"\x01\xff\x00",
        b"\x01a\x07\x00\x01\xff",
    ],
)
def test_headers_that_cannot_be_read(block: bytes) -> None:
    assert "header" in refused(_with_headers(block))


def test_a_bad_prelude() -> None:
    body = bytearray(event("ping", b"{}"))
    body[9] ^= 1
    assert "prelude" in refused(bytes(body))


def test_a_length_that_was_changed_is_seen_before_it_is_waited_for() -> None:
    body = bytearray(event("ping", b"{}"))
    body[1] = 0xFF
    assert "prelude" in refused(bytes(body[:12]))


@pytest.mark.parametrize("at", [14, -6, -1], ids=["headers", "payload", "checksum"])
def test_a_bad_message(at: int) -> None:
    body = bytearray(event("ping", b"{}"))
    body[at] ^= 0x20
    assert "checksum" in refused(bytes(body))


@given(at=st.integers(0, 10_000), bit=st.integers(0, 7))
def test_no_bit_can_be_changed(at: int, bit: int) -> None:
    body = bytearray(event("contentBlockDelta", b'{"delta":{"text":"Hi"}}'))
    body[at % len(body)] ^= 1 << bit
    refused(bytes(body))


def _prelude(total: int, headers: int) -> bytes:
    lengths = struct.pack(">II", total, headers)
    return lengths + struct.pack(">I", crc32(lengths))


@pytest.mark.parametrize(
    ("total", "headers"),
    [(MAX_FRAME_BYTES + 1, 0), (2**32 - 1, 0), (15, 0), (0, 0), (20, 5), (MAX_FRAME_BYTES, 128 * 1024 + 1)],
)
def test_lengths_that_are_not_believed(total: int, headers: int) -> None:
    """The prelude is enough: nothing is kept in memory to find out."""
    refused(_prelude(total, headers))


def test_the_longest_frame() -> None:
    payload = bytes(MAX_FRAME_BYTES - 16)
    body = write({}, payload)
    assert len(body) == MAX_FRAME_BYTES
    (frame,) = read([body[:1000], body[1000:9_000_000], body[9_000_000:]])
    assert frame.payload == payload


def test_frames_before_a_broken_one_are_given_out() -> None:
    broken = bytearray(event("b", b"{}"))
    broken[-1] ^= 1
    found = FrameReader().feed(event("a", b"{}") + bytes(broken))
    assert next(found).said(":event-type") == "a"
    with pytest.raises(UpstreamGarbled):
        next(found)


def test_names_of_frames() -> None:
    (told,) = read([event("messageStart", b"{}")])
    assert (told.said(":message-type"), told.said(":event-type")) == ("event", "messageStart")
    (told,) = read([exception("throttlingException", b"{}")])
    assert (told.said(":message-type"), told.said(":exception-type")) == ("exception", "throttlingException")
