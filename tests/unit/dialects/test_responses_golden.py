"""Golden streams, bodies and requests of Responses: what they mean, and what a client or an upstream gets."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import cases, name
from hypothesis import given, settings
from hypothesis import strategies as st
from responses_help import CLIENT, ENDPOINT, RELAY, UPSTREAM, WAYS, Way, carry, read, wire

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses.request_native import to_wire
from trunkline.dialects.openai_responses.response_decoder import BodyDecoder, StreamDecoder
from trunkline.model.errors import UpstreamFailed, UpstreamGarbled, UpstreamTruncated
from trunkline.model.events import check
from trunkline.model.response import fold
from trunkline.testing.golden import Golden, decode, slices, to_json

STREAMS = cases("streams/responses/*.sse")
BODIES = cases("streams/responses/*.json")
ANSWERS = STREAMS + BODIES
REQUESTS = cases("requests/responses/*.json")
SUFFIXES = {"translate": ".to.responses", "relay": ".relay"}
SLICINGS = settings(max_examples=10)


@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_what_it_means(case: Path, golden: Golden) -> None:
    events, error = decode(StreamDecoder() if case.suffix == ".sse" else BodyDecoder(), [case.read_bytes()])
    if error is None:
        check(events)
    golden(case.with_suffix(".events.json"), to_json(events, error))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_what_the_client_gets(case: Path, way: Way, golden: Golden) -> None:
    sse = case.suffix == ".sse"
    answer = carry(way, [case.read_bytes()], sse=sse, stream=sse)
    if sse and answer.out:
        wire(answer.out)
    golden(case.with_suffix(SUFFIXES[way] + case.suffix), answer.out if sse else _pretty(answer.out))


@pytest.mark.parametrize("case", REQUESTS, ids=name)
def test_requests(case: Path, golden: Golden) -> None:
    call = CLIENT.parse(case.read_bytes())
    relayed = RELAY.request(call, ENDPOINT, Quirks())
    translated = UPSTREAM.encode(CLIENT.decode(call), ENDPOINT, Quirks())
    golden(case.with_suffix(".to.responses.json"), _pretty(relayed.body))
    assert msgspec.json.decode(translated.body) == msgspec.json.decode(relayed.body)
    assert translated.losses == relayed.losses
    assert msgspec.json.decode(msgspec.json.encode(to_wire(CLIENT.decode(call)))) == msgspec.json.decode(
        case.read_bytes()
    )


def _pretty(body: bytes) -> bytes:
    return msgspec.json.format(body, indent=1) + b"\n" if body else b""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ANSWERS, ids=name)
@SLICINGS
@given(cuts=st.sets(st.integers(1, 6000), max_size=40))
def test_however_the_network_slices_it_the_answer_is_the_same(case: Path, way: Way, cuts: set[int]) -> None:
    sse, body = case.suffix == ".sse", case.read_bytes()
    for stream in (True, False):
        once = carry(way, [body], sse=sse, stream=stream)
        cut = carry(way, slices(body, cuts), sse=sse, stream=stream)
        assert type(cut.error) is type(once.error)
        if once.out and cut.out:  # sliced, an error may come before or after the commit point
            assert cut.out == once.out
            assert cut.outcome == once.outcome
        elif once.error is None:
            assert cut.out == once.out


@pytest.mark.parametrize("ends", [b"\r\n", b"\r"], ids=["crlf", "cr"])
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_line_ends_marks_and_comments(case: Path, way: Way, ends: bytes) -> None:
    """U31: the same events whatever the lines end with."""
    body = case.read_bytes()
    other = b"\xef\xbb\xbf: hello\n\n" + body.replace(b"data: ", b"id: 1\ndata:", 1)
    once = carry(way, [body], sse=True, stream=True)
    again = carry(way, [other.replace(b"\n", ends)], sse=True, stream=True)
    assert type(once.error) is type(again.error)
    assert once.out == again.out


@pytest.mark.parametrize("stream", [True, False], ids=["to_stream", "to_json"])
@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_both_ways_say_the_same(case: Path, stream: bool) -> None:
    sse, body = case.suffix == ".sse", case.read_bytes()
    relayed, translated = (carry(way, [body], sse=sse, stream=stream) for way in WAYS)
    assert type(relayed.error) is type(translated.error)
    assert str(relayed.error) == str(translated.error)
    assert relayed.committed == translated.committed
    for key in ("usage", "finish_reason", "native_finish_reason", "upstream_id"):
        assert getattr(relayed.outcome, key) == getattr(translated.outcome, key), key
    if relayed.out:
        assert _meaning(relayed.out, stream=stream) == _meaning(translated.out, stream=stream)


def _meaning(out: bytes, *, stream: bool) -> Any:
    events, error = read(out, stream=stream)
    found = msgspec.to_builtins(fold(events))
    for choice in found.get("choices", ()):
        # Interleaved items are told one after the other where they are translated; what they are is the same.
        choice["parts"] = sorted(choice.get("parts", ()), key=lambda part: part.get("item", {}).get("at", 0))
    return found, type(error)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_a_stream_is_the_json_of_its_events(case: Path, way: Way) -> None:
    """The same bytes, asked for as a stream and as JSON: the client learns the same."""
    body = case.read_bytes()
    streamed, at_once = (carry(way, [body], sse=True, stream=stream) for stream in (True, False))
    assert type(streamed.error) is type(at_once.error)
    if streamed.error is None:
        assert wire(streamed.out)[-1]["response"]["output"] == msgspec.json.decode(at_once.out)["output"]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_cut_short_is_never_a_clean_finish(case: Path, way: Way) -> None:
    body = case.read_bytes()
    end = max(body.rfind(kind) for kind in (b'{"type":"response.completed"', b'{"type":"response.incomplete"'))
    for at in range(1, end if end > 0 else len(body), 97):
        answer = carry(way, [body[:at]], sse=True, stream=True)
        assert answer.error is not None
        if answer.committed:
            assert wire(answer.out)[-1]["type"] == "response.failed"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"", UpstreamTruncated),
        (b"data: [DONE]\n\n", UpstreamFailed),
        (b"data: {\n\n", UpstreamGarbled),
        (b"data: [1]\n\n", UpstreamGarbled),
        (b'data: {"type":"response.created","response":{}}\n\ndata: [DONE]\n\n', UpstreamTruncated),
        (b'data: {"error":{"message":"x"}}\n\n', UpstreamFailed),
        (b"event: error\ndata: {}\n\n", UpstreamFailed),
    ],
)
def test_streams_that_are_none(way: Way, body: bytes, error: type[Exception]) -> None:
    assert isinstance(carry(way, [body], sse=True, stream=True).error, error)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("body", "error"),
    [
        (b"{}", UpstreamFailed),
        (b"[]", UpstreamGarbled),
        (b"<html>", UpstreamGarbled),
        (b'{"error":{"code":"server_error","message":"x"}}', UpstreamFailed),
        (b'{"output":[],"status":"completed"}', UpstreamFailed),
    ],
)
def test_bodies_that_are_none(way: Way, body: bytes, error: type[Exception]) -> None:
    assert isinstance(carry(way, [body], sse=False, stream=False).error, error)


@pytest.mark.parametrize("way", WAYS)
def test_nothing_of_the_wrong_type_is_an_error_of_ours(way: Way) -> None:
    """Whatever stands where a string or a list should: read as if it were not there, or the provider's error."""
    body = next(case for case in STREAMS if case.stem == "reasoning_text").read_bytes()
    for old in (b'"Hm."', b'"rs_1"', b'"reasoning"', b"[]", b'"output_text"', b'"completed"', b"0", b'"U0lH"'):
        for new in (b"null", b"7", b'["x"]', b'{"x":1}', b'""', b"-1", b"true"):
            carry(way, [body.replace(old, new)], sse=True, stream=True)
