"""Golden streams and bodies: what they mean, and what a client gets either way."""

import json
import tomllib
from pathlib import Path

import msgspec
import pytest
from chat_help import CHAT, ENDPOINT, GOLDEN, WAYS, Way, carry, cases, converter, name, read, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat.relay import BodyRelay
from trunkline.dialects.openai_chat.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.registry import RELAYS, UPSTREAMS
from trunkline.model.errors import UpstreamTruncated
from trunkline.model.events import check
from trunkline.testing.golden import Golden, decode, slices, to_json

STREAMS = cases("streams/chat/*.sse")
BODIES = cases("streams/chat/*.json")
ANSWERS = STREAMS + BODIES
REQUESTS = cases("requests/chat/*.json")
SUFFIXES = {"translate": ".to.chat", "relay": ".relay"}
SLICINGS = settings(max_examples=15)

DIFFERS = {
    "bad_bytes": "relay passes the escape of half a pair as it came, translation must hold it and cannot",
    "reasoning_server_tools": "translation numbers details that have no index; relay passes them as they came",
    "mistral_reference": "relay keeps blocks in the delta they came in; translation makes each a part",
}
"""Cases in which the two ways cannot say the same, event for event, and why."""


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
    golden(case.with_suffix(SUFFIXES[way] + case.suffix), answer.out if sse else _pretty(answer.out))


PLAIN = (
    b'{"id":"c-1","object":"chat.completion","created":1790000000,"model":"m","choices":[{"index":0,"message":'
    b'{"role":"assistant","content":"Hi \\u00e9\\n","refusal":null},"finish_reason":"stop"}],"usage":'
    b'{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}}'
)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"", b""),
        (b'"Hi \\u00e9\\n"', b"null"),
        (b'"Hi \\u00e9\\n"', b'""'),
        (b'"Hi \\u00e9\\n"', '"\u00fc \u4e16"'.encode()),
        (b'"Hi \\u00e9\\n"', b'"\\ud800"'),
        (b'"Hi \\u00e9\\n"', b'"\xff"'),
        (b'"Hi \\u00e9\\n"', b'[{"type":"text","text":"Hi"}]'),
        (b',"refusal":null', b""),
        (b',"refusal":null', b',"refusal":"No.","annotations":[]'),
        (b',"refusal":null', b',"annotations":null'),
        (b',"refusal":null', b',"reasoning":"Hm."'),
        (b'"finish_reason":"stop"', b'"finish_reason":"length","native_finish_reason":"MAX","logprobs":{"content":[]}'),
        (b'"finish_reason":"stop"', b'"finish_reason":"eos"'),
        (b'"finish_reason":"stop"', b'"finish_reason":null'),
        (b'"index":0', b'"index":1'),
        (b'"c-1"', b'""'),
        (b'"c-1"', b"7"),
        (b'"model":"m"', b'"provider":"Other","service_tier":"default","system_fingerprint":"fp","model":null'),
        (b'"model":"m"', b'"error":null,"x_other":1'),
        (b'"created":1790000000,', b""),
        (b'"total_tokens":7', b'"total_tokens":7,"cost":0.5,"x":1'),
        (b'"usage"', b'"x_usage"'),
        (b"}}", b"}} "),
    ],
)
def test_a_plain_body_says_what_a_mended_one_says(old: bytes, new: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    body = PLAIN.replace(old, new)
    fast = carry("relay", [body], sse=False, stream=False)
    monkeypatch.setattr(BodyRelay, "_pass", lambda *_: False)
    slow = carry("relay", [body], sse=False, stream=False)
    fast.outcome.content_bytes = slow.outcome.content_bytes  # escapes count where nothing is decoded
    assert (type(fast.error), fast.outcome) == (type(slow.error), slow.outcome)
    assert fast.out == slow.out == b"" or json.loads(fast.out) == json.loads(slow.out)


@pytest.mark.parametrize("case", REQUESTS, ids=name)
def test_requests(case: Path, golden: Golden) -> None:
    call = CHAT.parse(case.read_bytes())
    relayed = RELAYS["chat", "chat"].request(call, ENDPOINT, Quirks()).body
    translated = UPSTREAMS["chat"].encode(CHAT.decode(call), ENDPOINT, Quirks()).body
    golden(case.with_suffix(".to.chat.json"), _pretty(relayed))
    assert msgspec.json.decode(translated) == msgspec.json.decode(relayed)


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


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_byte_by_byte(case: Path, way: Way) -> None:
    sse, body = case.suffix == ".sse", case.read_bytes()
    once = carry(way, [body], sse=sse, stream=sse)
    cut = carry(way, [body[at : at + 1] for at in range(len(body))], sse=sse, stream=sse)
    assert type(cut.error) is type(once.error)
    assert cut.outcome == once.outcome
    assert cut.out == once.out


@pytest.mark.parametrize("stream", [True, False], ids=["to_stream", "to_json"])
@pytest.mark.parametrize("case", ANSWERS, ids=name)
def test_both_ways_say_the_same(case: Path, stream: bool) -> None:
    sse, body = case.suffix == ".sse", case.read_bytes()
    relayed = carry("relay", [body], sse=sse, stream=stream)
    translated = carry("translate", [body], sse=sse, stream=stream)
    assert type(relayed.error) is type(translated.error)
    assert str(relayed.error) == str(translated.error)
    assert relayed.committed == translated.committed
    assert relayed.outcome.usage == translated.outcome.usage
    assert relayed.outcome.finish_reason == translated.outcome.finish_reason
    assert relayed.outcome.native_finish_reason == translated.outcome.native_finish_reason
    assert relayed.outcome.upstream_id == translated.outcome.upstream_id
    if not relayed.out or case.stem in DIFFERS:
        return
    mine, error = read(relayed.out, stream=stream)
    other, other_error = read(translated.out, stream=stream)
    assert type(error) is type(other_error)
    assert whole(mine) == whole(other)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_a_stream_is_the_json_of_its_fold(case: Path, way: Way) -> None:
    """The same bytes, asked for as a stream and as JSON: the client learns the same."""
    body = case.read_bytes()
    streamed, at_once = (carry(way, [body], sse=True, stream=stream) for stream in (True, False))
    assert type(streamed.error) is type(at_once.error)
    if streamed.error is None:
        left, right = (whole(read(a.out, stream=s)[0]) for a, s in ((streamed, True), (at_once, False)))
        for found in (left, right):
            for choice in found["choices"]:
                # JSON has a place for each kind and no order among them.
                choice["parts"] = sorted(
                    (part for part in choice["parts"] if part["kind"] != "opaque"), key=lambda part: part["kind"]
                )
        if case.stem not in ("reasoning_summary", "tool_after_text", *DIFFERS):
            assert [c["parts"] for c in left["choices"]] == [c["parts"] for c in right["choices"]]
        assert [c["reason"] for c in left["choices"] if "reason" in c] == [
            c["reason"] for c in right["choices"] if "reason" in c
        ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("case", STREAMS, ids=name)
def test_cut_short_is_never_a_clean_finish(case: Path, way: Way) -> None:
    body = case.read_bytes()
    text = body.replace(b"\r\n", b"\n")
    edges = [at for at in range(len(text)) if text[at : at + 2] == b"\n\n"]
    for edge in [*(edge + 2 for edge in edges), *range(1, len(text), max(1, len(text) // 50))]:
        answer = carry(way, [text[:edge]], sse=True, stream=True)
        if answer.error is None:
            events, error = decode(StreamDecoder(), [text[:edge]])
            assert error is None
            check(events)  # which wants the end that the stream has: [DONE], or the reason of each choice
            assert b"[DONE]" in text[:edge] or b'"finish_reason":"' in text[:edge].replace(b": ", b":")
            assert answer.out.endswith(b"data: [DONE]\n\n")
        elif answer.committed:
            _, error = read(answer.out, stream=True)
            assert error is not None, "the client learns of it"


def test_a_cut_stream_is_called_truncated() -> None:
    for way in WAYS:
        through = converter(way, sse=True, stream=True)
        through.feed(b'data: {"id":"1","choices":[{"index":0,"delta":{"content":"Hi"}}]}\n\n')
        with pytest.raises(UpstreamTruncated):
            through.close()


def test_the_same_events_give_the_same_bytes() -> None:
    for case in STREAMS:
        body = case.read_bytes()
        assert (
            carry("translate", [body], sse=True, stream=True).out
            == carry("translate", [body], sse=True, stream=True).out
        )


def test_every_golden_file_is_used() -> None:
    """Each belongs to a case, and each case says what it is."""
    expected: set[Path] = set()
    for case in ANSWERS:
        expected |= {case, case.with_suffix(".toml"), case.with_suffix(".events.json")}
        expected |= {case.with_suffix(suffix + case.suffix) for suffix in SUFFIXES.values()}
    for case in REQUESTS:
        expected |= {case, case.with_suffix(".toml"), case.with_suffix(".to.chat.json")}
    for toml in GOLDEN.rglob("*.toml"):
        told = tomllib.loads(toml.read_text())
        assert told["source"] in ("recorded", "documented", "made up"), toml
        assert told["what"], toml
        assert set(told) <= {"source", "what", "reference", "when", "scrubbed"}, toml
    # What a chat request is in another dialect's words is that dialect's to look after.
    folders = [path for folder in GOLDEN.glob("*/chat") for path in folder.iterdir()]
    found = {path for path in folders if ".to." not in path.name or ".to.chat." in path.name}
    assert found == expected
