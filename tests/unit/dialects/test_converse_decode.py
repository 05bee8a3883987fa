"""Answers of Converse that captures do not hold: odd orders, unknown kinds, ends."""

from base64 import b64encode
from typing import Any

import msgspec
import pytest
from converse_help import frames
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.dialects.bedrock_converse import response_event_stream as event_stream
from trunkline.dialects.bedrock_converse.response_decoder import FINISH, BodyDecoder, StreamDecoder
from trunkline.dialects.bedrock_converse.usage import decode as usage_of
from trunkline.dialects.common.reasoning import ANTHROPIC
from trunkline.model.errors import UpstreamGarbled, UpstreamTruncated
from trunkline.model.events import ChoiceEnded, Event, check
from trunkline.model.response import Part, Response, fold
from trunkline.testing.golden import decode

Json = dict[str, Any]
START = ("messageStart", {"role": "assistant"})
STOP = ("messageStop", {"stopReason": "end_turn"})
USED = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
METADATA = ("metadata", {"usage": USED, "metrics": {"latencyMs": 7}})
DOCUMENTED = {
    "end_turn", "tool_use", "max_tokens", "stop_sequence", "guardrail_intervened", "content_filtered",
    "malformed_model_output", "malformed_tool_use", "model_context_window_exceeded",
}  # fmt: skip


def block(index: int, **delta: Any) -> tuple[str, Json]:
    return "contentBlockDelta", {"contentBlockIndex": index, "delta": delta}


def start(index: int, **said: Any) -> tuple[str, Json]:
    return "contentBlockStart", {"contentBlockIndex": index, "start": said}


def stop(index: int) -> tuple[str, Json]:
    return "contentBlockStop", {"contentBlockIndex": index}


def streamed(*said: tuple[str, Json]) -> Response:
    events, error = decode(StreamDecoder(), [frames(START, *said, STOP, METADATA)])
    assert error is None
    check(events)
    return fold(events)


def parts(*said: tuple[str, Json]) -> list[Part]:
    return streamed(*said).choices[0].parts


def whole(content: list[Json], **beside: Any) -> Response:
    body = {"output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn", **beside}
    events, error = decode(BodyDecoder(), [msgspec.json.encode(body)])
    assert error is None
    check(events)
    return fold(events)


def test_the_table_of_stop_reasons_is_total() -> None:
    assert set(FINISH) == DOCUMENTED


@pytest.mark.parametrize(("native", "reason"), [*FINISH.items(), ("brand_new", "stop")])
def test_stop_reasons(native: str, reason: str) -> None:
    events, _ = decode(StreamDecoder(), [frames(START, ("messageStop", {"stopReason": native}))])
    (ended,) = [event for event in events if isinstance(event, ChoiceEnded)]
    assert (ended.native, ended.reason) == (native, reason)


def test_the_stop_sequence_that_was_met() -> None:
    said = {"stopReason": "stop_sequence", "additionalModelResponseFields": {"stop_sequence": "END"}}
    events, _ = decode(StreamDecoder(), [frames(START, ("messageStop", said))])
    (choice,) = fold(events).choices
    assert choice.stop == "END"
    assert choice.extra == {"additionalModelResponseFields": {"stop_sequence": "END"}}
    assert whole([{"text": "Hi"}], **said).choices[0].stop == "END"


def test_a_call_without_arguments_has_an_empty_object() -> None:
    use = {"toolUseId": "t1", "name": "now"}
    (part,) = parts(start(0, toolUse=use), stop(0))
    assert (part.kind, part.id, part.name, part.text) == ("tool_call", "t1", "now", "{}")
    (part,) = parts(start(0, toolUse=use))  # and no end of its block
    assert part.text == "{}"
    (part,) = whole([{"toolUse": {**use, "input": {}}}]).choices[0].parts
    assert part.text == "{}"


def test_calls_that_are_interleaved() -> None:
    found = parts(
        start(0, toolUse={"toolUseId": "a", "name": "f"}),
        start(1, toolUse={"toolUseId": "b", "name": "g"}),
        block(0, toolUse={"input": '{"x":'}),
        block(1, toolUse={"input": "{}"}),
        block(0, toolUse={"input": "1}"}),
        stop(1),
        stop(0),
    )
    assert [(part.id, part.text) for part in found] == [("a", '{"x":1}'), ("b", "{}")]


def test_blocks_without_an_end_and_with_one_index_twice() -> None:
    found = parts(block(0, text="a"), start(0, toolUse={"toolUseId": "t", "name": "f"}), block(0, text="b"))
    assert [(part.kind, part.text) for part in found] == [("text", "a"), ("tool_call", "{}"), ("text", "b")]


def test_a_citation_belongs_to_the_text_before_it() -> None:
    cited: Json = {"location": {"web": {"url": "https://a.example/", "domain": "a.example"}}}
    one, two = parts(block(0, text="A."), stop(0), block(1, citation=cited), stop(1), block(2, text="B."), stop(2))
    (citation,) = one.citations
    assert (one.text, two.text, two.citations) == ("A.", "B.", [])
    assert (citation.kind, citation.url, citation.native) == ("url", "https://a.example/", cited)


def test_a_citation_in_its_own_text_and_before_any() -> None:
    cited = {"title": "T", "location": {"documentPage": {"documentIndex": 1, "start": 2, "end": 3}}}
    one, two = parts(
        block(0, citation=cited), block(0, text="A."), stop(0), block(1, text="B"), block(1, citation=cited)
    )
    for part in (one, two):
        (citation,) = part.citations
        told = (citation.kind, citation.document, citation.source_begin, citation.source_end, citation.title)
        assert told == ("page", 1, 2, 3, "T")


@pytest.mark.parametrize(
    ("location", "kind"),
    [
        ({"documentChar": {"documentIndex": 0, "start": 1, "end": 2}}, "char"),
        ({"documentChunk": {"documentIndex": 0, "start": 1, "end": 2}}, "block"),
        ({"searchResultLocation": {"searchResultIndex": 0, "start": 1, "end": 2}}, "search_result"),
        ({"somewhere": {"start": 1}}, "opaque"),
        (None, "opaque"),
    ],
)
def test_each_kind_of_citation(location: Json | None, kind: str) -> None:
    cited = {"location": location, "sourceContent": [{"text": "a"}, {"text": "b"}], "source": "s"}
    (part,) = whole([{"citationsContent": {"content": [{"text": "A"}], "citations": [cited]}}]).choices[0].parts
    (citation,) = part.citations
    assert (citation.kind, citation.cited_text, citation.url, citation.native) == (kind, "ab", "s", cited)


def test_thoughts_of_a_stream() -> None:
    found = parts(
        block(0, reasoningContent={"text": "Hm"}),
        block(0, reasoningContent={"text": "m"}),
        block(0, reasoningContent={"signature": "c2ln"}),
        stop(0),
        block(1, reasoningContent={"signature": "b25seQ=="}),
        stop(1),
    )
    assert [(part.form, part.format, part.text, part.signature) for part in found] == [
        ("text", ANTHROPIC, "Hmm", "c2ln"),
        ("text", ANTHROPIC, "", "b25seQ=="),
    ]


def test_thoughts_of_a_body() -> None:
    signed, plain = {"text": "a", "signature": "c2ln"}, {"text": "b"}
    content = [{"reasoningContent": {"reasoningText": said}} for said in (signed, plain)]
    found = whole(content).choices[0].parts
    assert [(part.form, part.format, part.text) for part in found] == [("text", ANTHROPIC, "a"), ("plain", None, "b")]


def test_a_redacted_thought_is_what_anthropic_says() -> None:
    """The blob is Anthropic's own base64, once more in base64; what is not goes by a mark, and is nobody's else."""
    inner = b64encode(b"\x12\xef secret").decode()
    outer = b64encode(inner.encode()).decode()
    for blob, format_, data in ((outer, ANTHROPIC, inner), ("AP8=", "unknown", "bedrock:AP8=")):
        (part,) = whole([{"reasoningContent": {"redactedContent": blob}}]).choices[0].parts
        assert (part.form, part.format, part.text) == ("encrypted", format_, data)
        (part,) = parts(block(0, reasoningContent={"redactedContent": blob}))
        assert (part.form, part.format, part.text) == ("encrypted", format_, data)


def test_an_image() -> None:
    (part,) = parts(start(0, image={"format": "webp"}), block(0, image={"source": {"bytes": "AAAA"}}), stop(0))
    assert (part.kind, part.text) == ("image", "data:image/webp;base64,AAAA")
    (part,) = whole([{"image": {"format": "png", "source": {"bytes": "BBBB"}}}]).choices[0].parts
    assert (part.kind, part.text) == ("image", "data:image/png;base64,BBBB")
    (part,) = whole([{"image": {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}}]).choices[0].parts
    assert part.extra == {"format": "png", "source": {"s3Location": {"uri": "s3://b/k"}}}


def test_a_tool_that_bedrock_runs() -> None:
    call, result = parts(
        start(0, toolUse={"toolUseId": "t", "name": "nova_grounding", "type": "server_tool_use"}),
        block(0, toolUse={"input": '{"query":"q"}'}),
        stop(0),
        start(1, toolResult={"toolUseId": "t", "status": "success", "type": "nova_grounding_result"}),
        block(1, toolResult=[{"text": "a"}]),
        block(1, toolResult=[{"json": {"b": 1}}]),
        stop(1),
    )
    assert (call.kind, call.id, call.name, call.text) == ("server_tool_call", "t", "nova_grounding", '{"query":"q"}')
    assert (result.kind, result.id) == ("server_tool_result", "t")
    assert result.extra["content"] == [{"text": "a"}, {"json": {"b": 1}}]
    assert result.extra["type"] == "nova_grounding_result"


def test_what_nobody_knows_is_kept() -> None:
    found = streamed(
        start(0, hologram={"format": "h"}),
        block(0, hologram={"bytes": "AA", "at": [1]}),
        block(0, hologram={"bytes": "BB", "at": [2], "end": True}),
        stop(0),
        ("weather", {"sky": "blue"}),
    )
    (part,) = found.choices[0].parts
    assert part.kind == "opaque"
    assert part.extra == {"hologram": {"format": "h", "bytes": "AABB", "at": [1, 2], "end": True}}
    assert found.extra == {"weather": {"sky": "blue"}, "metrics": {"latencyMs": 7}}
    body = {"hologram": {"format": "h"}}, {"toolUse": {"toolUseId": "t", "name": "n", "input": {}}, "more": 1}
    assert [part.extra for part in whole(list(body)).choices[0].parts] == list(body)


def test_the_padding_says_nothing() -> None:
    plain = streamed(block(0, text="Hi"))
    padded = streamed(("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": "Hi"}, "p": "abc"}))
    assert plain == padded


def test_empty_pieces_begin_nothing() -> None:
    assert parts(block(0, text=""), stop(0), block(1, reasoningContent={"text": ""}), stop(1), stop(7)) == []
    assert streamed(("weather", {})).extra == {"metrics": {"latencyMs": 7}}


def test_the_first_end_wins() -> None:
    late = (block(0, text="late"), ("throttlingException", {"message": "m"}), ("messageStop", {"stopReason": "x"}))
    events, error = decode(StreamDecoder(), [frames(START, block(0, text="Hi"), STOP, *late, METADATA, START, *late)])
    assert error is None
    check(events)
    found = fold(events)
    assert found.choices[0].parts[0].text == "Hi"
    assert found.choices[0].native == "end_turn"
    assert found.usage is not None


def test_an_answer_without_metadata_is_whole() -> None:
    """Its usage is not known then, which is not its end."""
    body = frames(START, block(0, text="Hi"), STOP)
    for tail in (b"", b"\x00", frames(METADATA)[:20]):
        events, error = decode(StreamDecoder(), [body + tail])
        assert error is None
        check(events)
        assert fold(events).usage is None


@pytest.mark.parametrize("said", [(), (START,), (START, METADATA), (START, block(0, text="Hi"), stop(0))])
def test_without_its_end_it_is_cut(said: tuple[tuple[str, Json], ...]) -> None:
    assert type(decode(StreamDecoder(), [frames(*said)])[1]) is UpstreamTruncated


def test_a_stream_that_begins_in_the_middle() -> None:
    events, error = decode(StreamDecoder(), [frames(block(0, text="Hi"), START, START, STOP)])
    assert error is None
    check(events)


@pytest.mark.parametrize("payload", [b"{", b"[1]", b'{"delta": 1}'])
def test_payloads_that_make_no_sense(payload: bytes) -> None:
    body = frames(START) + event_stream.event("contentBlockDelta", payload)
    assert type(decode(StreamDecoder(), [body])[1]) is UpstreamGarbled


def test_bytes_that_are_not_utf_8_are_replaced() -> None:
    body = frames(START) + event_stream.event("contentBlockDelta", b'{"delta":{"text":"a\xffb\\ud83d"}}') + frames(STOP)
    events, error = decode(StreamDecoder(), [body])
    assert error is None
    assert fold(events).choices[0].parts[0].text == "a\ufffdb\ufffd"


def test_usage_counts_the_cache_in() -> None:
    said = {
        "inputTokens": 5, "outputTokens": 7, "totalTokens": 62, "cacheReadInputTokens": 20, "cacheWriteInputTokens": 30,
        "cacheDetails": [{"ttl": "1h", "inputTokens": 10}, {"ttl": "5m", "inputTokens": 20}],
    }  # fmt: skip
    found = usage_of(said)
    assert found is not None
    assert (found.prompt, found.completion, found.total) == (55, 7, 62)
    assert (found.cached, found.cache_write, found.cache_write_1h, found.inconsistent) == (20, 30, 10, False)
    assert found.extra == {"cacheDetails": said["cacheDetails"]}


@pytest.mark.parametrize(
    ("said", "inconsistent"),
    [
        ({}, False),
        ({"inputTokens": -1}, True),
        ({"inputTokens": "5"}, True),
        ({"inputTokens": 1e300}, True),
        ({"inputTokens": 1, "outputTokens": 1, "totalTokens": 9}, True),
        ({"inputTokens": 1, "outputTokens": 1, "totalTokens": 2, "cacheReadInputTokens": 5}, False),
        ({"cacheWriteInputTokens": 1, "cacheDetails": [{"ttl": "1h", "inputTokens": 2}]}, True),
        ({"cacheDetails": [{"ttl": "1h", "inputTokens": -2}]}, True),
    ],
)
def test_usage_that_makes_no_sense_is_marked(said: Json, inconsistent: bool) -> None:
    found = usage_of(said)
    assert found is not None
    assert found.inconsistent is inconsistent
    assert found.prompt >= 0


def test_usage_that_is_none() -> None:
    assert usage_of(None) is None
    assert usage_of([1]) is None


def test_a_guardrails_trace_is_kept() -> None:
    trace: Json = {"guardrail": {"inputAssessment": {"g": {}}}}
    events: list[Event] = decode(
        StreamDecoder(),
        [frames(START, block(0, text="no"), ("messageStop", {"stopReason": "guardrail_intervened"}),
                ("metadata", {"usage": USED, "trace": trace}))],
    )[0]  # fmt: skip
    assert fold(events).extra == {"trace": trace}


KEYS = (
    "text", "toolUse", "toolResult", "reasoningContent", "reasoningText", "redactedContent", "signature", "citation",
    "citationsContent", "citations", "content", "image", "source", "bytes", "format", "input", "name", "toolUseId",
    "type", "location", "web", "documentChar", "documentIndex", "sourceContent", "url", "start", "delta", "stopReason",
    "contentBlockIndex", "usage", "inputTokens", "cacheDetails", "additionalModelResponseFields", "message",
)  # fmt: skip
NAMES = ("messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata", "new")
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(-3, 3), st.floats(allow_nan=False), st.text(max_size=3))
VALUES: st.SearchStrategy[Any] = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(KEYS), inner, min_size=1, max_size=3)
    ),
    max_leaves=8,
)
BODIES = st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=4)
INDEXED = st.builds(
    lambda name, index, key, value: (name, {"contentBlockIndex": index, key: value}),
    st.sampled_from(NAMES),
    st.integers(0, 2),
    st.sampled_from(("start", "delta", "stopReason", "usage")),
    st.dictionaries(st.sampled_from(KEYS), VALUES, max_size=2),
)


@settings(max_examples=300)
@given(said=st.lists(st.one_of(st.tuples(st.sampled_from(NAMES), BODIES), INDEXED), max_size=8))
def test_whatever_a_stream_says_it_is_read_or_refused(said: list[tuple[str, Json]]) -> None:
    """No exception but ours, and never a stream of events that is none."""
    events, error = decode(StreamDecoder(), [frames(*said, STOP)])
    if error is None:
        check(events)
        fold(events)


@settings(max_examples=300)
@given(content=st.lists(VALUES, max_size=4), beside=BODIES)
def test_whatever_a_body_says_it_is_read_or_refused(content: list[Any], beside: Json) -> None:
    body = {"output": {"message": {"content": content}}, **beside}
    events, error = decode(BodyDecoder(), [msgspec.json.encode(body)])
    if error is None:
        check(events)
        fold(events)
