"""Whatever Gemini sends or a client asks, what comes of it is an answer, a request, or an error of ours."""

import json
from typing import Any

from gemini_help import FLASH, GEMINI, PRO, THREE, asked, endpoint, sent
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.dialects.google_genai.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.interfaces import Call, Identity, Quirks
from trunkline.dialects.registry import CLIENTS
from trunkline.dialects.translation import Translation
from trunkline.model.errors import TrunklineError
from trunkline.model.events import check
from trunkline.model.request import Message, Reasoning, Request, Sampling, TextPart, Tool, ToolCallPart, ToolChoice
from trunkline.model.usage import Cost, Usage
from trunkline.testing.golden import decode, slices

IDENTITY = Identity(id="gen-1790000000-AbCdEfGhIjKlMnOpQrSt", model="acme/small", provider="Google", created=1790000001)
WHATEVER = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "\ud800", "image/png", "STOP"]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["text", "data", "name", "id", "args", "uri", "web"]), inner, max_size=2)
    ),
    max_leaves=4,
)


def near(key: str, proper: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    """`key` with a proper value, with anything, or not at all."""
    return st.builds(lambda value: {key: value}, proper | WHATEVER) | st.just({})


def merged(*fields: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.tuples(*fields).map(lambda found: {key: value for one in found for key, value in one.items()})


PIECE = merged(
    near("jsonPath", st.sampled_from(["$.a", "$.a.b", "$.a[1]", "$", "$.a[99999999999]", "$[0]"])),
    near("stringValue", st.just("x")),
    near("numberValue", st.just(1)),
)
CALL = merged(
    near("id", st.sampled_from(["a", "b"])),
    near("name", st.sampled_from(["f", "g"])),
    near("args", st.just({"x": 1})),
    near("partialArgs", st.lists(PIECE, max_size=2)),
    near("willContinue", st.booleans()),
)
PART = st.one_of(
    merged(near("text", st.just("é")), near("thought", st.just(True)), near("thoughtSignature", st.just("s"))),
    merged(near("functionCall", CALL), near("thoughtSignature", st.just("s"))),
    merged(
        near(
            "inlineData",
            merged(
                near("data", st.sampled_from(["AA==", "A"])),
                near("mimeType", st.sampled_from(["image/png", "audio/wav", "text/x"])),
            ),
        ),
        near("thought", st.just(True)),
    ),
    near("executableCode", merged(near("code", st.just("1")), near("language", st.just("PYTHON")))),
    near("codeExecutionResult", merged(near("output", st.just("1")))),
    WHATEVER,
)
SEGMENT = merged(near("startIndex", st.integers(0, 9)), near("endIndex", st.integers(0, 9)), near("text", st.just("t")))
GROUNDING = merged(
    near("groundingChunks", st.lists(st.just({"web": {"uri": "u", "title": "t"}}) | WHATEVER, max_size=2)),
    near(
        "groundingSupports",
        st.lists(merged(near("segment", SEGMENT), near("groundingChunkIndices", st.just([0, 1]))), max_size=2),
    ),
)
TOKENS = st.lists(merged(near("token", st.just("t")), near("logProbability", st.just(-0.1))) | WHATEVER, max_size=2)
CANDIDATE = merged(
    near("index", st.integers(0, 1)),
    near("content", merged(near("parts", st.lists(PART, max_size=3)))),
    near("finishReason", st.sampled_from(["STOP", "SAFETY", "MALFORMED_FUNCTION_CALL", "NOVEL"])),
    near("groundingMetadata", GROUNDING),
    near("citationMetadata", merged(near("citations", st.lists(SEGMENT | WHATEVER, max_size=2)))),
    near(
        "logprobsResult",
        merged(
            near("chosenCandidates", TOKENS),
            near("topCandidates", st.lists(merged(near("candidates", TOKENS)) | WHATEVER, max_size=2)),
        ),
    ),
)
DETAILS = st.lists(merged(near("modality", st.just("AUDIO")), near("tokenCount", st.integers(-1, 3))), max_size=2)
CHUNK = merged(
    near("responseId", st.just("r")),
    near("createTime", st.sampled_from(["2026-11-26T10:00:00Z", "0001-01-01T00:00:00"])),
    near("candidates", st.lists(CANDIDATE, max_size=2)),
    near("usageMetadata", merged(near("promptTokenCount", st.just(1)), near("promptTokensDetails", DETAILS))),
    st.just({}) | near("promptFeedback", merged(near("blockReason", st.just("SAFETY")))),
    st.just({}) | near("error", merged(near("code", st.just(503)), near("status", st.just("UNAVAILABLE")))),
)


def carried(client: str, chunks: list[bytes], *, sse: bool, stream: bool) -> None:
    """*chunks* to a *client*, whatever becomes of them."""
    call = Call(envelope={}, stream=stream)
    through = Translation(GEMINI.decoder(sse=sse), CLIENTS[client].encoder(call, IDENTITY), streamed=stream)
    try:
        for chunk in chunks:
            through.feed(chunk)
        through.close()
        through.finish(through.outcome.usage or Usage(estimated=True), Cost())
    except TrunklineError as error:
        if through.committed:
            through.fail(error, None, None)


@settings(max_examples=250)
@given(
    chunks=st.lists(CHUNK, min_size=1, max_size=3),
    ended=st.booleans(),
    cuts=st.sets(st.integers(1, 500), max_size=5),
    client=st.sampled_from(["chat", "messages", "responses"]),
    stream=st.booleans(),
)
def test_no_stream_is_an_internal_error(
    chunks: list[Any], ended: bool, cuts: set[int], client: str, stream: bool
) -> None:
    last = [{"candidates": [{"index": at, "finishReason": "STOP"} for at in (0, 1)]}] if ended else []
    body = b"".join(b"data: %s\r\n\r\n" % json.dumps(chunk).encode() for chunk in [*chunks, *last])
    events, error = decode(StreamDecoder(), [body])
    cut, cut_error = decode(StreamDecoder(), slices(body, cuts))
    assert (cut, type(cut_error)) == (events, type(error))
    if error is None:
        check(events)
    carried(client, slices(body, cuts), sse=True, stream=stream)


@settings(max_examples=200)
@given(
    body=CHUNK | st.lists(CHUNK, max_size=2) | WHATEVER,
    client=st.sampled_from(["chat", "messages", "responses"]),
    stream=st.booleans(),
)
def test_no_body_is_an_internal_error(body: Any, client: str, stream: bool) -> None:
    said = json.dumps(body).encode()
    events, error = decode(BodyDecoder(), [said])
    if error is None:
        check(events)
    carried(client, [said], sse=False, stream=stream)
    for status in (200, 400, 503):
        assert isinstance(GEMINI.error(status, {}, said, 0.0), TrunklineError)


@given(body=st.binary(max_size=60), sse=st.booleans())
def test_any_bytes(body: bytes, sse: bool) -> None:
    decode(GEMINI.decoder(sse=sse), [body])
    decode(GEMINI.decoder(sse=sse), [b"data: " + body + b"\n\n", b"[{" + body])
    assert isinstance(GEMINI.error(400, {}, body, 0.0), TrunklineError)


def maybe(key: str, *proper: Any) -> st.SearchStrategy[dict[str, Any]]:
    """`key` with one of *proper*, or not at all."""
    return st.sampled_from(proper).map(lambda value: {key: value}) | st.just({})


def function(id_: str, name: str, arguments: str) -> Any:
    return {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}


IMAGE = {"type": "image_url", "image_url": {"url": "x"}}
SIGNED = {"type": "reasoning.encrypted", "data": "s", "format": "google-gemini-v1", "id": "c"}
MESSAGE = st.sampled_from(
    [
        {"role": "system", "content": "s"},
        {"role": "developer", "content": [{"type": "text", "text": ""}]},
        {"role": "user", "content": ""},
        {"role": "user", "content": [IMAGE, {"type": "novel"}], "name": "é"},
        {"role": "assistant", "content": "a", "reasoning_details": [SIGNED, {"type": "reasoning.text", "text": "t"}]},
        {"role": "assistant", "tool_calls": [function("c", "1 f", "{"), function("d", "f", "[]")]},
        {"role": "assistant", "tool_calls": [function("c", "f", '{"a": 1}')], "reasoning_details": [SIGNED]},
        {"role": "tool", "tool_call_id": "c", "content": "[1"},
        {"role": "tool", "tool_call_id": "d", "content": [{"type": "text", "text": "{}"}, IMAGE]},
    ]
)
ASKED = merged(
    st.builds(lambda value: {"messages": value}, st.lists(MESSAGE, min_size=1, max_size=5)),
    maybe("tools", [{"type": "function", "function": {"name": "f", "parameters": {"type": ["object"]}}}], []),
    maybe("tool_choice", "auto", "none", "required", {"type": "function", "function": {"name": "g"}}),
    maybe("response_format", {"type": "json_object"},
          {"type": "json_schema", "json_schema": {"name": "s", "schema": {"$ref": "#"}}}),
    maybe("reasoning", {"effort": "low"}, {"effort": "none"}, {"max_tokens": 9}, {}),
    maybe("stop", "a", ["a"] * 3),
    maybe("modalities", ["text", "image"]),
    maybe("image_config", {"aspect_ratio": 1}, {}, {"novel": [1]}),
    maybe("n", 2),
    maybe("top_logprobs", 2),
)  # fmt: skip


@settings(max_examples=300)
@given(body=ASKED, model=st.sampled_from([FLASH, PRO, THREE]), vertex=st.booleans(), old=st.booleans())
def test_no_request_is_an_internal_error(body: Any, model: str, vertex: bool, old: bool) -> None:
    found, _ = sent(asked("chat", body), model, Quirks(vertex=vertex, schema="gemini" if old else "full"))
    assert found["contents"][0]["role"] == "user"
    assert all(turn["parts"] for turn in found["contents"])


SCHEMA = st.recursive(
    st.none() | st.booleans() | st.sampled_from(["object", "string", "#/$defs/a", "a"]) | st.integers(-1, 1),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                ["type", "properties", "required", "items", "anyOf", "allOf", "oneOf", "enum", "const", "$ref", "$defs",
                 "format", "a", "additionalProperties", "exclusiveMinimum"]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=300)
@given(
    schema=st.dictionaries(
        st.sampled_from(["type", "properties", "anyOf", "allOf", "$ref", "$defs", "enum", "items", "required"]), SCHEMA
    ),
    arguments=st.text(max_size=8),
    name=st.text(max_size=5),
)
def test_schemas_and_names_may_be_anything(schema: dict[str, Any], arguments: str, name: str) -> None:
    request = Request(
        dialect="chat",
        messages=(
            Message(role="assistant", parts=(ToolCallPart("t", name, arguments), TextPart(arguments))),
            Message(role="tool", tool_call_id="t", parts=(TextPart(arguments),)),
        ),
        tools=(Tool(kind="function", name=name, parameters=schema),),
        tool_choice=ToolChoice(mode="tool", name=name),
        sampling=Sampling(stop=(arguments,)),
        reasoning=Reasoning(effort=name, max_tokens=None),
    )
    for quirks in (Quirks(), Quirks(schema="gemini"), Quirks(schema="plain")):
        assert GEMINI.encode(request, endpoint(THREE), quirks).body
