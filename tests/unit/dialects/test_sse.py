"""The reader of event streams, by the HTML standard."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.common.lenient_json import BOM
from trunkline.dialects.common.sse import DONE, BlockReader, FrameReader, is_stream
from trunkline.dialects.common.types import Frame
from trunkline.model.errors import UpstreamFailed, UpstreamGarbled
from trunkline.testing.golden import slices

LINES = st.sampled_from(
    [
        b"data: a",
        b"data:b",
        b"data",
        b"data: ",
        b": ping",
        b"event: e",
        b"id: 1",
        b"retry: 5",
        b"novel: x",
        b"",
        b"data:  c",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r", b"\r\n"])


@st.composite
def streams(draw: st.DrawFn) -> bytes:
    """A body in one or several kinds of line ends, with or without a mark."""
    end = draw(st.none() | ENDS)
    lines = draw(st.lists(LINES, max_size=12))
    body = b"".join(line + (end or draw(ENDS)) for line in lines)
    return (BOM if draw(st.booleans()) else b"") + body


def read(chunks: list[bytes], limit: int = 1 << 20) -> list[Frame]:
    reader = FrameReader(limit)
    return [frame for chunk in chunks for frame in reader.feed(chunk)] + reader.close()


def reference(body: bytes) -> list[Frame]:
    """The standard, word by word, but for the last event, which needs no blank line."""
    text = body.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    found: list[Frame] = []
    data: list[bytes] = []
    event = ""
    for line in [*text.split(b"\n"), b""]:
        if not line:
            if data:
                found.append(Frame(b"\n".join(data), event))
            data, event = [], ""
        elif not line.startswith(b":"):
            field, _, value = line.partition(b":")
            value = value[1:] if value[:1] == b" " else value
            if field == b"data":
                data.append(value)
            elif field == b"event":
                event = value.decode()
    return found


@given(body=streams(), cuts=st.sets(st.integers(1, 120)))
def test_any_slicing_gives_the_frames_of_the_standard(body: bytes, cuts: set[int]) -> None:
    assert read([body]) == reference(body)
    assert read(slices(body, cuts)) == reference(body)


@given(body=st.binary(max_size=80), cuts=st.sets(st.integers(1, 80)))
def test_any_bytes_at_all(body: bytes, cuts: set[int]) -> None:
    assert [frame.data for frame in read(slices(body, cuts))] == [frame.data for frame in read([body])]


@given(body=streams())
def test_byte_by_byte_and_with_empty_slices(body: bytes) -> None:
    assert read([part for at in range(len(body)) for part in (body[at : at + 1], b"")]) == reference(body)


@given(body=streams(), cuts=st.sets(st.integers(1, 120)))
def test_blocks_are_whole_and_nothing_is_lost(body: bytes, cuts: set[int]) -> None:
    reader = BlockReader()
    blocks = [reader.feed(chunk) for chunk in slices(body, cuts)]
    assert all(block == b"" or block.endswith(b"\n\n") for block in blocks)
    text = body.removeprefix(BOM).replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    assert b"".join(blocks) + reader.close() == text


@pytest.mark.parametrize(
    ("body", "frames"),
    [
        (b"data: a\r\n\r\ndata: b\r\ndata: c\r\n\r\n", [Frame(b"a"), Frame(b"b\nc")]),
        (b"event: error\ndata: {}\n\n", [Frame(b"{}", "error")]),
        (b"data: a\n\n\n\n\ndata: b\n\n", [Frame(b"a"), Frame(b"b")]),
        (b"data: a", [Frame(b"a")]),
        (BOM + b"data: a\n\n", [Frame(b"a")]),
        (b"event: nothing\n\n: comment\n\nid: 7\n\n", []),
        (DONE, [Frame(b"[DONE]")]),
        (b"", []),
    ],
)
def test_forms(body: bytes, frames: list[Frame]) -> None:
    assert read([body]) == frames


def test_a_line_end_cut_after_a_blank_line_that_was_cut() -> None:
    """Once lost: the CR at the end of a slice that also began with the rest of a blank line."""
    assert read([b"data: a\r\n", b"\r\ndata: b\r", b"\ndata: c\r\n\r\n"]) == [Frame(b"a"), Frame(b"b\nc")]


def test_an_endless_line_is_refused() -> None:
    reader = FrameReader(limit=100)
    for _ in range(10):
        assert reader.feed(b"x" * 10) == []
    with pytest.raises(UpstreamGarbled, match="longer than 100 bytes"):
        reader.feed(b"x")


def test_the_limit_is_of_one_event_not_of_all() -> None:
    assert len(read([b"data: 0123456789\n\n"] * 50, limit=30)) == 50


@pytest.mark.parametrize(
    ("start", "stream"),
    [
        (b"", None), (b" \r\n", None), (b"\xef", None), (b"\xef\xbb", None), (BOM, None), (b'{"a":1}', False),
        (b"\n {", False), (BOM + b"{", False), (b"[{", False), (b"data: x", True), (b": ping", True),
        (BOM + b"data", True), (b"event: x", True), (b"d", True), (b"Not Found", True),
    ],
)  # fmt: skip
def test_stream_or_json_by_its_beginning(start: bytes, stream: bool | None) -> None:
    assert is_stream(start) is stream


def test_a_page_of_html_is_neither() -> None:
    with pytest.raises(UpstreamFailed, match="HTML"):
        is_stream(b"\n<!doctype html>")
