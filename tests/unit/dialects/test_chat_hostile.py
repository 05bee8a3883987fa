"""Upstreams may say anything: what comes of it is an answer or an error of ours, the same either way."""

import json
from typing import Any

import pytest
from chat_help import IDENTITY, WAYS, Way, carry, converter, read
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.dialects.common import body_reader
from trunkline.dialects.common.sse import frames
from trunkline.dialects.common.types import Frame
from trunkline.dialects.openai_chat.relay_template import Template, learn
from trunkline.model.errors import UpstreamGarbled
from trunkline.model.events import PartStarted

WHATEVER = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-3, 3)
    | st.sampled_from(["", "a", "\ud800", "error", "x"])
    | st.floats(0, 1),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["type", "text", "url", "name", "id", "arguments"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def near(key: str, proper: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`key` with a proper value, with anything, or not at all."""
    return st.builds(lambda value: {key: value}, proper | WHATEVER) | st.just({})


def merged(*fields: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*fields).map(lambda found: {key: value for one in found for key, value in one.items()})


CALL = merged(
    near("index", st.integers(0, 2)),
    near("id", st.sampled_from(["a", "b"])),
    near(
        "function", merged(near("name", st.sampled_from(["f", "g"])), near("arguments", st.sampled_from(["{}", "1"])))
    ),
)
DETAIL = merged(
    near("type", st.sampled_from(["reasoning.text", "reasoning.summary", "reasoning.encrypted", "novel"])),
    near("text", st.just("t")),
    near("index", st.integers(0, 1)),
    near("signature", st.just("s")),
)
DELTA = merged(
    near("content", st.sampled_from(["a", "b", ""])),
    near("reasoning", st.just("r")),
    near("reasoning_details", st.lists(DETAIL, max_size=2)),
    near("tool_calls", st.lists(CALL, max_size=2)),
    near("images", st.just([{"image_url": {"url": "u"}}])),
    near("audio", st.just({"id": "a", "data": "d"})),
    near("function_call", st.just({"name": "f", "arguments": "{}"})),
)
CHOICE = merged(
    near("index", st.integers(0, 1)),
    near("delta", DELTA),
    near("finish_reason", st.sampled_from(["stop", None])),
    near("logprobs", st.just({"content": [1]})),
)
CHUNK = merged(
    near("id", st.just("1")),
    near("choices", st.lists(CHOICE, max_size=2)),
    near("usage", st.just({"prompt_tokens": 1})),
    st.just({}) | near("error", st.just({"message": "x"})),
)


def agree(body: bytes, *, sse: bool, stream: bool) -> None:
    """Both ways take *body* for an answer, or for the same error."""
    answers = [carry(way, [body], sse=sse, stream=stream) for way in WAYS]
    assert len({type(answer.error) for answer in answers}) == 1
    for answer in answers:
        if answer.error is None:
            read(answer.out, stream=stream)  # which checks that it is a stream


@settings(max_examples=300)
@given(chunks=st.lists(CHUNK, min_size=1, max_size=3), stream=st.booleans())
def test_no_stream_is_an_internal_error(chunks: list[Any], stream: bool) -> None:
    body = b"".join(b"data: %s\n\n" % json.dumps(chunk).encode() for chunk in chunks) + b"data: [DONE]\n\n"
    agree(body, sse=True, stream=stream)


@settings(max_examples=200)
@given(body=CHUNK | WHATEVER, message=DELTA)
def test_no_body_is_an_internal_error(body: Any, message: Any) -> None:
    whole = {"choices": [{"message": message, "finish_reason": "stop"}]}
    for found in (body, whole):
        agree(json.dumps(found).encode(), sse=False, stream=False)


@given(body=st.binary(max_size=60), sse=st.booleans(), stream=st.booleans())
def test_any_bytes(body: bytes, sse: bool, stream: bool) -> None:
    errors = [carry(way, [b"data: ", body], sse=sse, stream=stream).error for way in WAYS]
    assert type(errors[0]) is type(errors[1])


def chunk(text: str, **more: Any) -> bytes:
    return (
        b"data: %s\n\n"
        % json.dumps({"id": "1", "choices": [{"index": 0, "delta": {"content": text}}], **more}).encode()
    )


@given(texts=st.lists(st.text(max_size=6), min_size=1, max_size=6), padded=st.booleans(), at_once=st.booleans())
def test_the_fast_way_through_says_what_the_slow_one_says(texts: list[str], padded: bool, at_once: bool) -> None:
    more = {"obfuscation": "x"} if padded else {}
    body = b"".join(chunk(text, **more) for text in ["start", *texts])
    body += b'data: {"id":"1","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
    chunks = [body] if at_once else [block + b"\n\n" for block in body.split(b"\n\n") if block]
    answer = carry("relay", chunks, sse=True, stream=True)
    assert answer.error is None
    said = [json.loads(frame.data) for frame in frames(answer.out) if frame != Frame(b"[DONE]")]
    assert [one["choices"][0]["delta"].get("content") for one in said[: len(texts) + 1]] == ["start", *texts]
    assert all(one["id"] == IDENTITY.id and one["model"] == IDENTITY.model for one in said)
    assert all(one["provider"] == IDENTITY.provider and "obfuscation" not in one for one in said)


def test_a_template_takes_no_frame_that_says_more() -> None:
    written = b'data: {"c":[{"delta":{"content":"a"},"finish":null}]}\n\n'
    template = learn(written, written.replace(b"data: {", b'data: {"id":"ours",'), b'"a"')
    assert isinstance(template, Template)
    assert template.one(written.replace(b'"a"', b'"b\\"\\u00e9"')) == (
        b'data: {"id":"ours","c":[{"delta":{"content":"b\\"\\u00e9"},"finish":null}]}\n\n'
    )
    for other in (
        written.replace(b"null", b'"stop"'),
        written.replace(b'"a"', b'"a","x":"b"'),
        written.replace(b'"a"', b'"a\\"'),
        written.replace(b'"a"', b'"a\\x"'),
        written.replace(b'"a"', b'"a\x01"'),
        written.replace(b'"a"', b'"a\xff"'),
        written.replace(b'"a"', b'"a\n"'),
        written + written,
        written[:-1],
        b"event: x\n" + written,
    ):
        assert template.one(other) == b""


def test_nothing_is_learned_where_the_text_is_not_found_once() -> None:
    twice = b'{"content":"a","x":{"content":"b"}}'
    assert learn(twice + twice, twice, b'"a"') is None
    assert learn(twice, twice + twice, b'"a"') is None
    assert learn(b"{}", b"{}", b'"a"') is None


@pytest.mark.parametrize("way", WAYS)
def test_a_blank_line_too_many_does_not_hang(way: Way) -> None:
    through = converter(way, sse=True, stream=True)
    assert through.feed(chunk("a") + b"\n")
    assert through.feed(b"\n\n" + chunk("b"))


@pytest.mark.parametrize("way", WAYS)
def test_an_endless_body_is_refused(way: Way, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "MAX_BODY_BYTES", 100)
    through = converter(way, sse=False, stream=False)
    for _ in range(10):
        through.feed(b" " * 10)
    with pytest.raises(UpstreamGarbled, match="longer than 100 bytes"):
        through.feed(b" ")


@pytest.mark.parametrize("way", WAYS)
def test_what_was_said_is_counted_for_an_estimate(way: Way) -> None:
    call = {"index": 0, "id": "a", "function": {"name": "f", "arguments": "{}"}}
    deltas: list[dict[str, Any]] = [
        {"content": "äb"}, {"content": "cd"}, {"reasoning": "xyz"}, {"refusal": "no"}, {"tool_calls": [call]}
    ]  # fmt: skip
    through = converter(way, sse=True, stream=True)
    for delta in deltas:
        through.feed(
            b"data: %s\n\n" % json.dumps({"id": "1", "choices": [{"delta": delta}]}, ensure_ascii=False).encode()
        )
    assert through.outcome.content_bytes == 3 + 2 + 3 + 2 + 2


@pytest.mark.parametrize("way", WAYS)
def test_nothing_leaves_before_there_is_content(way: Way) -> None:
    through = converter(way, sse=True, stream=True)
    assert through.feed(b": ping\n\n") == b""
    assert (
        through.feed(b'data: {"id":"1","choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}\n\n') == b""
    )
    before = through.committed
    out = through.feed(chunk("Hi"))
    assert (before, through.committed) == (False, True)
    assert b'"Hi"' in out


@pytest.mark.parametrize("choices", [{}, "", 0, None, "x", 7, [7], [{}, None]])
@pytest.mark.parametrize("error", [None, {"message": "x"}])
@pytest.mark.parametrize("sse", [True, False])
def test_choices_that_are_none(choices: Any, error: Any, sse: bool) -> None:
    body = json.dumps({"id": "1", "choices": choices, "error": error}).encode()
    agree(b"data: %s\n\ndata: [DONE]\n\n" % body if sse else body, sse=sse, stream=sse)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sse", [True, False])
def test_a_call_that_is_no_object_is_left_out(way: Way, sse: bool) -> None:
    calls = [7, {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    said = {"delta" if sse else "message": {"tool_calls": calls}, "finish_reason": "tool_calls"}
    body = json.dumps({"id": "1", "choices": [said]}).encode()
    answer = carry(way, [b"data: %s\n\ndata: [DONE]\n\n" % body if sse else body], sse=sse, stream=sse)
    assert answer.error is None
    events, _ = read(answer.out, stream=sse)
    assert [event.id for event in events if isinstance(event, PartStarted)] == ["a"]
