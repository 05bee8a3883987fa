"""Answers of Gemini, piece by piece: what the captures do not show, and what no upstream should send."""

from typing import Any

import msgspec
import pytest
from gemini_help import GEMINI, candidate, read

from trunkline.dialects.google_genai.response_arguments import put
from trunkline.dialects.google_genai.response_decoder import FINISH, BodyDecoder, StreamDecoder
from trunkline.dialects.google_genai.usage import decode as usage_of
from trunkline.model.errors import (
    ContextTooLong,
    TrunklineError,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamLimited,
    UpstreamOverloaded,
    UpstreamTruncated,
)
from trunkline.model.events import check
from trunkline.model.response import Choice, Part, Response, fold
from trunkline.model.usage import Usage
from trunkline.testing.golden import decode

Json = dict[str, Any]


def answer(*chunks: Json) -> Response:
    events, error = read(*chunks)
    assert error is None
    check(events)
    listed, _ = read(*chunks, cut=True)
    assert listed == events, "a list of the same chunks means the same"
    return fold(events)


def choice(*chunks: Json) -> Choice:
    (found,) = answer(*chunks).choices
    return found


def wrong(*chunks: Any) -> TrunklineError:
    _, error = read(*chunks)
    assert error is not None
    return error


def text(said: str, **more: Any) -> Json:
    return {"text": said, **more}


def kinds(found: Choice) -> list[str]:
    return [part.kind for part in found.parts]


# Ends.


@pytest.mark.parametrize("native", [*FINISH, "SOMETHING_NEW"])
def test_every_reason_has_a_word(native: str) -> None:
    found = choice(candidate(text("a"), finish=native))
    assert (found.native, found.reason) == (native, FINISH.get(native, "stop"))


def test_an_answer_with_calls_stops_for_them() -> None:
    call = {"functionCall": {"name": "a"}}
    assert choice(candidate(call, finish="STOP")).reason == "tool_calls"
    assert choice(candidate(call, finish="MAX_TOKENS")).reason == "length"


def test_a_stream_without_a_reason_is_cut_short() -> None:
    assert isinstance(wrong(candidate(text("a"))), UpstreamTruncated)
    assert isinstance(wrong(), UpstreamTruncated)
    assert isinstance(read(candidate(text("a")), cut=True)[1], UpstreamTruncated)


def test_every_candidate_needs_its_reason() -> None:
    other: Json = {"candidates": [{"index": 1, "content": {"parts": [text("b")]}}]}
    assert isinstance(wrong(candidate(text("a"), finish="STOP"), other), UpstreamTruncated)
    other["candidates"][0]["finishReason"] = "MAX_TOKENS"
    found = answer(candidate(text("a"), finish="STOP"), other)
    assert [(one.index, one.reason) for one in found.choices] == [(0, "stop"), (1, "length")]


def test_what_comes_behind_the_reason_counts() -> None:
    found = answer(candidate(text("a"), finish="STOP"), candidate(text("b"), finish="MAX_TOKENS"),
                   {"usageMetadata": {"promptTokenCount": 1, "totalTokenCount": 1}})  # fmt: skip
    assert (found.choices[0].parts[0].text, found.choices[0].reason) == ("ab", "length")
    assert found.usage is not None


def test_a_blocked_prompt() -> None:
    found = answer(
        {"promptFeedback": {"blockReason": "SAFETY", "safetyRatings": []}, "usageMetadata": {"promptTokenCount": 3}},
        candidate(text("never"), finish="STOP"),
    )
    (only,) = found.choices
    assert (only.reason, only.native, only.parts) == ("content_filter", "SAFETY", [])
    assert found.extra["promptFeedback"]["blockReason"] == "SAFETY"
    assert found.usage == Usage(prompt=3)


def test_no_candidates_at_all() -> None:
    assert isinstance(decode(BodyDecoder(), [b"{}"])[1], UpstreamFailed)
    assert isinstance(decode(BodyDecoder(), [b"[]"])[1], UpstreamFailed)


# Parts.


def test_adjacent_pieces_are_one_part() -> None:
    found = choice(
        candidate(text("I ", thought=True)), candidate(text("think", thought=True), text("So")),
        candidate(text(": yes"), finish="STOP"),
    )  # fmt: skip
    assert [(part.kind, part.text) for part in found.parts] == [("reasoning", "I think"), ("text", "So: yes")]


def test_signatures() -> None:
    call_, own_ = {"functionCall": {"name": "a"}}, {"functionCall": {"id": "own", "name": "a"}}
    parts = (text("Yes", thoughtSignature="s1"), {**call_, "thoughtSignature": "s2"},
             {**own_, "thoughtSignature": "s3"}, text("", thoughtSignature="s4"))  # fmt: skip
    found = choice(candidate(*parts, finish="STOP"))
    said, first, second, call, third, own, last = found.parts
    assert (said.text, call.text, own.id) == ("Yes", "{}", "own")
    assert [(part.text, part.id) for part in (first, second, third, last)] == [
        ("s1", None), ("s2", call.id), ("s3", "own"), ("s4", None),
    ]  # fmt: skip
    assert {part.form for part in (first, second, third, last)} == {"encrypted"}


def test_ids_that_are_made_up_are_the_same_each_time_and_none_twice() -> None:
    call = {"functionCall": {"name": "a", "args": {"x": 1}}}
    one, two = (answer({**candidate(call, call, finish="STOP"), "responseId": name}) for name in ("r1", "r2"))
    again = answer({**candidate(call, call, finish="STOP"), "responseId": "r1"})
    ids = [part.id for found in (one, two) for part in found.choices[0].parts]
    assert len(set(ids)) == 4
    assert [part.id for part in again.choices[0].parts] == ids[:2]


def test_code_and_its_result() -> None:
    code = {"executableCode": {"language": "PYTHON", "code": "1"}}
    result = {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}
    found = choice(candidate(code, result, text("1"), finish="STOP"))
    assert kinds(found) == ["server_tool_call", "server_tool_result", "text"]
    assert msgspec.json.decode(found.parts[0].text) == {"code": "1", "language": "PYTHON"}
    assert (found.parts[0].extra, found.parts[1].extra) == (code, result)


def test_media() -> None:
    image, audio, other = (
        {"inlineData": {"mimeType": kind, "data": "aGk="}} for kind in ("image/png", "audio/L16;rate=24000", "text/csv")
    )
    draft = {**image, "thought": True}
    found = choice(candidate(draft, image, audio, other, {"fileData": {"fileUri": "gs://a"}}, finish="STOP"))
    assert kinds(found) == ["opaque", "image", "audio", "opaque", "opaque"]
    assert found.parts[1].text == "data:image/png;base64,aGk="
    assert found.parts[2].extra == {"mimeType": "audio/L16;rate=24000"}


def test_what_a_text_says_beside_its_text_is_kept() -> None:
    assert choice(candidate(text("a", partMetadata={"x": 1}), finish="STOP")).parts[0].extra == {
        "partMetadata": {"x": 1}
    }


def test_when_it_was_made() -> None:
    chunk = candidate(text("a"), finish="STOP")
    assert answer({**chunk, "createTime": "2026-11-26T13:00:00.123456Z"}).created == 1795698000
    assert answer({**chunk, "createTime": "today"}).created == 0


# Calls in pieces.


def piece(path: str, said: str, **more: Any) -> Json:
    return {"functionCall": {"partialArgs": [{"jsonPath": path, "stringValue": said}], "willContinue": True, **more}}


def test_a_call_in_pieces() -> None:
    begun = {"functionCall": {"name": "a", "willContinue": True}, "thoughtSignature": "s"}
    found = choice(
        candidate(begun), candidate(piece("$.city", "Os")), candidate(piece("$.city", "lo")),
        candidate({"functionCall": {}}, finish="STOP"),
    )  # fmt: skip
    signed, call = found.parts
    assert (signed.text, signed.id) == ("s", call.id)
    assert msgspec.json.decode(call.text) == {"city": "Oslo"}


def test_a_call_whose_end_never_comes_is_said_as_far_as_it_came() -> None:
    begun = {"functionCall": {"name": "a", "willContinue": True}}
    found = choice(candidate(begun), candidate(piece("$.city", "Os"), finish="MAX_TOKENS"))
    assert [(part.name, part.text) for part in found.parts] == [("a", '{"city":"Os"}')]
    found = choice(candidate(begun), candidate({"functionCall": {"name": "b", "args": {"x": 1}}}, finish="STOP"))
    assert [(part.name, part.text) for part in found.parts] == [("a", "{}"), ("b", '{"x":1}')]


@pytest.mark.parametrize(
    ("pieces", "args"),
    [
        ([("$.a.b", "stringValue", "x"), ("$.a.b", "stringValue", "y")], {"a": {"b": "xy"}}),
        ([("$.a[1]", "numberValue", 2), ("$.a[0]", "boolValue", True)], {"a": [True, 2]}),
        ([("$['a.b']", "nullValue", None)], {"a.b": None}),
        ([("$.a", "stringValue", "x"), ("$.a", "numberValue", 2)], {"a": 2}),
        ([("$.a[99999999]", "numberValue", 2)], {"a": []}),
        ([("", "stringValue", "x")], "x"),
    ],
)
def test_pieces_of_arguments(pieces: list[tuple[str, str, Any]], args: Any) -> None:
    found: Any = None
    for path, kind, said in pieces:
        found = put(found, {"jsonPath": path, kind: said})
    assert found == args


# Sources.


def grounding(*supports: tuple[int, int, int]) -> dict[str, Any]:
    chunks = [{"web": {"uri": f"https://{name}.example", "title": name}} for name in "ab"]
    told = [
        {"segment": {"startIndex": begin, "endIndex": end, "text": "…"}, "groundingChunkIndices": [index, 9]}
        for begin, end, index in supports
    ]
    return {"groundingMetadata": {"groundingChunks": chunks, "groundingSupports": told}}


def cited(part: Part) -> list[tuple[str | None, int | None, int | None]]:
    return [(citation.title, citation.begin, citation.end) for citation in part.citations]


def test_places_are_characters() -> None:
    found = choice(candidate(text("héé wörld")), candidate(text("!"), finish="STOP", **grounding((6, 12, 0))))
    (part,) = found.parts
    assert cited(part) == [("a", 4, 9), ("b", None, None)]
    assert part.text[4:9] == "wörld"
    assert found.extra["groundingMetadata"]["groundingChunks"][0] == part.citations[0].native


def test_places_are_in_the_part_that_cites() -> None:
    code = {"executableCode": {"code": "1"}}
    found = choice(candidate(text("é one "), code, text("two"), finish="STOP", **grounding((0, 6, 0), (7, 10, 1))))
    assert cited(found.parts[0]) == []
    assert cited(found.parts[2]) == [("a", None, None), ("b", 0, 3)]


def test_sources_before_their_text_and_twice() -> None:
    sources: Json = {"citationMetadata": {"citationSources": [{"endIndex": 4, "uri": "https://a.example"}]}}
    found = choice(candidate(text("ä"), **sources), candidate(text("bc"), finish="STOP", **sources))
    (citation,) = found.parts[0].citations
    assert (citation.begin, citation.end, citation.url) == (0, 3, "https://a.example")


def test_sources_without_text() -> None:
    found = choice(candidate(finish="RECITATION", citationMetadata={"citations": [{"uri": "https://a.example"}]}))
    assert [(part.kind, part.text, len(part.citations)) for part in found.parts] == [("text", "", 1)]


def test_log_probabilities() -> None:
    one = {"token": "é", "tokenId": 7, "logProbability": -0.5}
    result = {"logprobsResult": {"chosenCandidates": [one], "topCandidates": [{"candidates": [one]}]}}
    (part,) = choice(candidate(text("é"), finish="STOP", **result)).parts
    token = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    assert part.logprobs == {"content": [{**token, "top_logprobs": [token]}]}
    call = {"functionCall": {"name": "a"}}
    assert choice(candidate(call, finish="STOP", **result)).extra == result


# Usage.


@pytest.mark.parametrize(
    ("said", "usage"),
    [
        ({"promptTokenCount": 5, "candidatesTokenCount": 7, "thoughtsTokenCount": 2, "totalTokenCount": 14},
         Usage(prompt=5, completion=9, total=14, reasoning=2)),
        ({"promptTokenCount": 5, "toolUsePromptTokenCount": 3, "cachedContentTokenCount": 4, "totalTokenCount": 8},
         Usage(prompt=8, total=8, cached=4)),
        ({"promptTokenCount": -5, "totalTokenCount": 1}, Usage(total=1, inconsistent=True)),
        ({"promptTokenCount": "x", "totalTokenCount": 1}, Usage(total=1, inconsistent=True)),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 9}, Usage(prompt=5, cached=9, inconsistent=True)),
        ({"promptTokenCount": 5, "trafficType": "ON_DEMAND"}, Usage(prompt=5, extra={"trafficType": "ON_DEMAND"})),
        ({}, None),
        (None, None),
        ([1], None),
    ],
)  # fmt: skip
def test_usage(said: Any, usage: Usage | None) -> None:
    assert usage_of(said) == usage


def test_usage_by_modality() -> None:
    details = {"promptTokensDetails": [{"modality": "AUDIO", "tokenCount": 4}, {"modality": "VIDEO", "tokenCount": 2}],
               "candidatesTokensDetails": [{"modality": "IMAGE", "tokenCount": 9}, {"modality": "X"}, 3]}  # fmt: skip
    found = usage_of({"promptTokenCount": 6, "candidatesTokenCount": 9, "totalTokenCount": 15, **details})
    assert found is not None
    assert (found.audio_prompt, found.video_prompt, found.image_completion) == (4, 2, 9)


# Errors, and nonsense.


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({"code": 503, "status": "UNAVAILABLE", "message": "overloaded"}, UpstreamOverloaded),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED", "message": "quota"}, UpstreamLimited),
        ({"code": 403, "status": "PERMISSION_DENIED", "message": "no"}, UpstreamDenied),
        ({"code": 500}, UpstreamFailed),
        ({"message": "?"}, UpstreamFailed),
        ("broken", UpstreamFailed),
    ],
)
def test_an_error_in_the_midst_of_a_stream(said: Any, kind: type[TrunklineError]) -> None:
    events, error = read(candidate(text("a")), {"error": said})
    assert isinstance(error, kind)
    assert len(events) == 3
    bare = [b"data: " + msgspec.json.encode(candidate(text("a"))) + b"\n\n", msgspec.json.encode({"error": said})]
    assert type(decode(StreamDecoder(), bare)[1]) is type(error), "without a frame around it"


@pytest.mark.parametrize(
    ("status", "body", "kind"),
    [
        (400, {"status": "INVALID_ARGUMENT", "message": "API key not valid. Please pass a valid API key."},
         UpstreamDenied),
        (400, {"status": "INVALID_ARGUMENT",
               "message": "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576)."},
         ContextTooLong),
        (503, {"status": "UNAVAILABLE", "message": "The model is overloaded."}, UpstreamOverloaded),
    ],
)  # fmt: skip
@pytest.mark.parametrize("listed", [False, True])
def test_refusals(status: int, body: Json, kind: type[TrunklineError], listed: bool) -> None:
    said: Any = {"error": {"code": status, **body}}
    error = GEMINI.error(status, {}, msgspec.json.encode([said] if listed else said), 0.0)
    assert isinstance(error, kind)
    assert (error.raw, error.provider_code) == (body["message"], body["status"])


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b'{"error":[]}', b"[[[", b"null"])
def test_a_refusal_that_says_nothing(body: bytes) -> None:
    assert isinstance(GEMINI.error(500, {}, body, 0.0), UpstreamFailed)


@pytest.mark.parametrize(
    "chunk",
    [
        {"candidates": {}}, {"candidates": [1]}, {"candidates": [{"content": {"parts": [1]}}]},
    ],
)  # fmt: skip
def test_nonsense(chunk: Json) -> None:
    assert isinstance(wrong(chunk), UpstreamGarbled)


@pytest.mark.parametrize("body", [b"1", b"[1]", b"{", b"", b'"x"'])
def test_bodies_that_are_no_answer(body: bytes) -> None:
    assert isinstance(decode(BodyDecoder(), [body])[1], UpstreamGarbled | UpstreamTruncated | UpstreamFailed)


@pytest.mark.parametrize(
    "candidate_",
    [
        {"content": 1, "finishReason": "STOP"},
        {"content": {"parts": {}}, "finishReason": "STOP", "index": "x"},
        {"finishReason": "STOP", "groundingMetadata": {"groundingChunks": 1, "groundingSupports": [1, {"segment": 2}]}},
        {"finishReason": "STOP", "citationMetadata": {"citations": [1, {"startIndex": -1, "endIndex": "x"}]}},
        {"finishReason": "STOP", "logprobsResult": {"chosenCandidates": [1], "topCandidates": {}}},
        {"content": {"parts": [{"functionCall": {"partialArgs": 1}}]}, "finishReason": "STOP"},
        {"content": {"parts": [{"text": 1}, {"executableCode": 1}, {}]}, "finishReason": "STOP"},
    ],
)
def test_odd_answers_are_answers_all_the_same(candidate_: Json) -> None:
    assert choice({"candidates": [candidate_], "usageMetadata": 1, "modelVersion": 2}).native == "STOP"
