"""Gemini's answers as wholes: what goes on over chunks, what stands beside the parts, each code of errors."""

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest
from chat_help import IDENTITY
from gemini_help import GEMINI, candidate, read
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.google_genai.citations import Places
from trunkline.dialects.google_genai.errors import STATUSES
from trunkline.dialects.google_genai.response_arguments import MAX_INDEX, put, steps
from trunkline.dialects.google_genai.response_decoder import FINISH, BodyDecoder, StreamDecoder
from trunkline.dialects.interfaces import Call
from trunkline.dialects.registry import CLIENTS
from trunkline.dialects.translation import Translation
from trunkline.model.errors import (
    ContextTooLong,
    TrunklineError,
    UpstreamDenied,
    UpstreamFailed,
    UpstreamGarbled,
    UpstreamLimited,
    UpstreamOverloaded,
    UpstreamRejected,
    UpstreamTimeout,
    UpstreamTruncated,
)
from trunkline.model.events import ChoiceEnded, Delta, Event, Noted, Reported, Started, check
from trunkline.model.response import Part, Response, fold
from trunkline.model.usage import Cost, Usage
from trunkline.testing.golden import decode, slices

Json = dict[str, Any]
STOP = candidate(finish="STOP")
CALL: Json = {"functionCall": {"name": "look", "args": {"x": 1}}}


def answer(*chunks: Json) -> Response:
    """What *chunks* say, which must be the same as a list in one body."""
    events, error = read(*chunks)
    assert error is None, error
    check(events)
    assert read(*chunks, cut=True) == (events, None)
    return fold(events)


def parts(*chunks: Json) -> list[Part]:
    (choice,) = answer(*chunks).choices
    return choice.parts


def failed(*chunks: Json) -> TrunklineError:
    error = read(*chunks)[1]
    assert error is not None
    return error


# Parts.


def test_parts_keep_their_order() -> None:
    found = parts(
        candidate({"text": "a"}, {**CALL, "thoughtSignature": "sig"}, {"text": "b"}),
        candidate({"text": "c", "thought": True}, {"text": "d"}, CALL, finish="STOP"),
    )
    kinds = ["text", "reasoning", "tool_call", "text", "reasoning", "text", "tool_call"]
    assert [part.kind for part in found] == kinds
    assert [part.text for part in found] == ["a", "sig", '{"x":1}', "b", "c", "d", '{"x":1}']
    assert found[1].id == found[2].id
    assert found[6].id != found[2].id


def test_empty_parts() -> None:
    chunks: list[Json] = [
        {"candidates": [{"content": {"role": "model"}}]},
        {"candidates": [{"content": {"parts": []}}]},
    ]
    assert parts(*chunks, candidate({}), candidate({"thought": True}), candidate(finish="STOP")) == []
    assert parts({"candidates": [{"finishReason": "STOP", "content": None}]}) == []


def test_identical_parallel_calls_have_ids_of_their_own() -> None:
    found = parts({**candidate(CALL, CALL), "responseId": "r"}, candidate(CALL, finish="STOP"))
    ids = [part.id or "" for part in found]
    assert len(set(ids)) == 3
    assert all(id_.startswith("call_") and len(id_) == 29 for id_ in ids)
    other = parts({**candidate(CALL, finish="STOP"), "responseId": "another"})
    assert other[0].id not in ids


@given(cuts=st.sets(st.integers(1, 600), max_size=30))
def test_made_up_ids_are_the_same_however_the_network_slices(cuts: set[int]) -> None:
    chunks = [{**candidate(CALL, CALL), "responseId": "r"}, candidate(CALL, finish="STOP")]
    body = b"".join(b"data: " + msgspec.json.encode(chunk) + b"\r\n\r\n" for chunk in chunks)
    assert decode(StreamDecoder(), slices(body, cuts)) == decode(StreamDecoder(), [body])


def test_calls_with_ids_and_without_arguments() -> None:
    (found,) = parts(candidate({"functionCall": {"id": "mine", "name": "look", "novel": 1}}, finish="STOP"))
    assert (found.id, found.text, found.extra) == ("mine", "{}", {"novel": 1})
    assert parts(candidate({"functionCall": {"name": "look", "args": None}}, finish="STOP"))[0].text == "{}"


def test_steps_of_a_path() -> None:
    assert steps("$.a.b[0]['c d'][\"e\"]") == ["a", "b", 0, "c d", "e"]
    assert steps("$") == []
    assert put({"a": [1]}, {"jsonPath": f"$.a[{MAX_INDEX + 1}]", "numberValue": 2}) == {"a": [1]}
    assert put(None, {"jsonPath": "$", "stringValue": "x"}) == "x"
    assert put({"a": 1}, {"jsonPath": "$.a.b", "stringValue": "x"}) == {"a": {"b": "x"}}


@given(cuts=st.lists(st.binary(max_size=7), max_size=6))
def test_sound_is_one_text_of_base64(cuts: list[bytes]) -> None:
    sound = [{"inlineData": {"mimeType": "audio/L16;rate=24000", "data": b64encode(cut).decode()}} for cut in cuts]
    found = parts(*map(candidate, sound), STOP)
    assert len(found) == (1 if cuts else 0)
    for part in found:
        assert (part.kind, part.form, part.extra) == ("audio", "data", {"mimeType": "audio/L16;rate=24000"})
        assert b64decode(part.text, validate=True) == b"".join(cuts)


def test_sound_of_two_kinds_and_text_between() -> None:
    one, two = ({"inlineData": {"mimeType": f"audio/{kind}", "data": "AA=="}} for kind in ("wav", "mp3"))
    found = parts(candidate(one, two, {"text": "a"}, two, finish="STOP"))
    assert [(part.kind, part.text) for part in found] == [
        ("audio", "AA=="), ("audio", "AA=="), ("text", "a"), ("audio", "AA=="),
    ]  # fmt: skip
    assert isinstance(
        failed(candidate({"inlineData": {"mimeType": "audio/wav", "data": "A"}}, finish="STOP")), UpstreamGarbled
    )


def test_several_candidates() -> None:
    def both(first: str, second: str, **more: Any) -> Json:
        said = [
            {"content": {"parts": [{"text": text}]}, "index": at, **more} for at, text in enumerate((first, second))
        ]
        return {"candidates": said}

    found = answer(both("a", "x"), both("b", "y", finishReason="STOP"))
    assert [(choice.index, choice.parts[0].text, choice.reason) for choice in found.choices] == [
        (0, "ab", "stop"), (1, "xy", "stop"),
    ]  # fmt: skip


# What stands beside the parts.


def test_the_head() -> None:
    head = {"modelVersion": "gemini-2.5-flash", "responseId": "r", "createTime": "2026-11-26T10:00:00.5Z", "novel": 1}
    events, _ = read({**candidate({"text": "a"}), **head}, {**candidate(finish="STOP"), **head, "later": 2})
    assert events[0] == Started(
        id="r", model="gemini-2.5-flash", created=1795687200, dialect="gemini", extra={"novel": 1}
    )
    assert [event for event in events if isinstance(event, Noted)] == [Noted({"later": 2})]
    assert answer({**STOP, "createTime": "yesterday"}).created == 0


def test_other_fields_of_a_candidate() -> None:
    (choice,) = answer(
        candidate({"text": "a"}, safetyRatings=[{"category": "X"}]),
        candidate(finish="STOP", avgLogprobs=-0.5, urlContextMetadata={"urlMetadata": []}, tokenCount=None),
    ).choices
    assert choice.extra == {
        "safetyRatings": [{"category": "X"}], "avgLogprobs": -0.5, "urlContextMetadata": {"urlMetadata": []},
    }  # fmt: skip


# Sources.


def grounding(start: int | None, end: int, *chunks: int, text: str | None = None) -> Json:
    segment = {**({} if start is None else {"startIndex": start}), "endIndex": end, **({"text": text} if text else {})}
    return {"segment": segment, "groundingChunkIndices": list(chunks)}


WEB = [{"web": {"uri": f"https://a.example/{at}", "title": f"t{at}"}} for at in range(3)]


def test_grounding_on_text_that_is_not_ascii() -> None:
    """Google counts bytes of UTF-8."""
    said = ["Zürich ", "hat 🌧. ", "Ok."]
    before = len("Zürich ".encode())
    metadata = {
        "groundingChunks": WEB,
        "groundingSupports": [grounding(None, 7, 0, text="Zürich"), grounding(before, before + 9, 0, 1)],
        "webSearchQueries": ["q"],
    }
    (choice,) = answer(
        *(candidate({"text": text}) for text in said), candidate(finish="STOP", groundingMetadata=metadata)
    ).choices
    (found,) = choice.parts
    assert [(one.url, one.title, one.begin, one.end, one.cited_text) for one in found.citations] == [
        ("https://a.example/0", "t0", 0, 6, "Zürich"),
        ("https://a.example/0", "t0", 7, 13, None),
        ("https://a.example/1", "t1", 7, 13, None),
        ("https://a.example/2", "t2", None, None, None),
    ]
    assert "".join(said)[7:13] == "hat 🌧."
    assert choice.extra == {"groundingMetadata": metadata}


@pytest.mark.parametrize(
    ("begin", "end", "place"),
    [
        (0, 2, {"begin": 0, "end": 1}),
        (None, 4, {"begin": 0, "end": 3}),
        (1, 3, {"begin": 0, "end": 2}),
        (0, 99, {"begin": 0, "end": 98}),
        (2, None, {"begin": 1, "end": None}),
        (-1, 3, {}),
        ("x", 3, {}),
        (True, 3, {}),
        (0, "x", {"begin": 0, "end": None}),
    ],
)
def test_places(begin: Any, end: Any, place: Json) -> None:
    assert Places("éab", 0).of(begin, end) == place


def test_places_in_an_earlier_part() -> None:
    places = Places("abcdef", 3)
    assert places.of(0, 2) == {}
    assert places.of(1, 5) == {"begin": 0, "end": 2}
    assert places.of(4, 5) == {"begin": 1, "end": 2}


# The end.

REFERENCE = frozenset(
    {"FINISH_REASON_UNSPECIFIED", "STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "LANGUAGE", "OTHER", "BLOCKLIST",
     "PROHIBITED_CONTENT", "SPII", "MALFORMED_FUNCTION_CALL", "IMAGE_SAFETY", "IMAGE_PROHIBITED_CONTENT",
     "IMAGE_OTHER", "NO_IMAGE", "IMAGE_RECITATION", "UNEXPECTED_TOOL_CALL", "TOO_MANY_TOOL_CALLS",
     "MISSING_THOUGHT_SIGNATURE", "MALFORMED_RESPONSE", "MODEL_ARMOR"}
)  # fmt: skip
"""The finish reasons of the Gemini API and of Vertex AI (google-genai, "FinishReason"), read 2026-11-26."""


def test_every_finish_reason_is_known() -> None:
    assert set(FINISH) == REFERENCE


def test_a_blocked_prompt() -> None:
    feedback = {"blockReason": "SAFETY", "safetyRatings": []}
    found = answer({"promptFeedback": feedback, "usageMetadata": {"promptTokenCount": 3}}, candidate({"text": "late"}))
    (choice,) = found.choices
    assert (choice.reason, choice.native, choice.parts) == ("content_filter", "SAFETY", [])
    assert found.extra == {"promptFeedback": feedback}
    assert found.usage == Usage(prompt=3)


def test_feedback_that_blocks_nothing() -> None:
    chunk = {**candidate({"text": "a"}, finish="STOP"), "promptFeedback": {"safetyRatings": []}}
    assert answer(chunk).choices[0].reason == "stop"


@pytest.mark.parametrize("chunks", [(), ({},), ({"candidates": []},), ({"usageMetadata": {"promptTokenCount": 1}},)])
def test_an_answer_without_candidates(chunks: tuple[Json, ...]) -> None:
    assert isinstance(failed(*chunks), UpstreamTruncated)
    body = msgspec.json.encode(chunks[0] if chunks else [])
    assert isinstance(decode(BodyDecoder(), [body])[1], UpstreamFailed)


def test_a_body_without_a_finish_reason_is_whole() -> None:
    events, error = decode(BodyDecoder(), [msgspec.json.encode(candidate({"text": "a"}))])
    assert error is None
    assert ChoiceEnded() in events


def test_streams_have_other_forms() -> None:
    body = b'\xef\xbb\xbf: hello\r\n\r\nevent: x\r\ndata: {"candidates":[{"content":{"parts":[{"text":"a"}]}}]}\r\n\r\n'
    body += b'data:{"candidates":[{"finishReason":"STOP"}]}\n\ndata: [DONE]\n\n'
    events, error = decode(StreamDecoder(), [body])
    assert error is None
    assert fold(events).choices[0].parts[0].text == "a"
    assert [GEMINI.streamed(start) for start in (b"data: {", b'[{"candidates"', b"{")] == [True, False, False]


def test_a_stream_that_ends_inside_an_event() -> None:
    assert isinstance(decode(StreamDecoder(), [b'data: {"candidates":[{"con'])[1], UpstreamTruncated)


# Usage.


def test_usage_that_a_later_chunk_alone_has() -> None:
    events, _ = read(candidate({"text": "a"}), candidate(finish="STOP"), {"usageMetadata": {"promptTokenCount": 3}})
    assert [event for event in events if isinstance(event, Reported)] == [Reported(Usage(prompt=3))]
    events, _ = read({**candidate({"text": "a"}), "usageMetadata": {"promptTokenCount": 3}}, STOP)
    assert fold(events).usage == Usage(prompt=3)


# Errors.


def error_of(status: int, code: str, words: str = "words", *, listed: bool = False, **more: Any) -> TrunklineError:
    body = {"error": {"code": status, "status": code, "message": words, **more}}
    return GEMINI.error(status, {}, msgspec.json.encode([body] if listed else body), 0.0)


@pytest.mark.parametrize("listed", [False, True])
@pytest.mark.parametrize(
    ("status", "code", "words", "expected"),
    [
        (400, "INVALID_ARGUMENT", "Invalid role", UpstreamRejected),
        (400, "INVALID_ARGUMENT", "API key not valid. Please pass a valid API key.", UpstreamDenied),
        (400, "INVALID_ARGUMENT", "* API key not valid", UpstreamDenied),
        (400, "INVALID_ARGUMENT",
         "The input token count (9) exceeds the maximum number of tokens allowed (8).", ContextTooLong),
        (400, "FAILED_PRECONDITION", "User location is not supported", UpstreamRejected),
        (401, "UNAUTHENTICATED", "words", UpstreamDenied),
        (403, "PERMISSION_DENIED", "words", UpstreamDenied),
        (404, "NOT_FOUND", "words", UpstreamFailed),
        (429, "RESOURCE_EXHAUSTED", "words", UpstreamLimited),
        (500, "INTERNAL", "words", UpstreamFailed),
        (503, "UNAVAILABLE", "words", UpstreamOverloaded),
        (504, "DEADLINE_EXCEEDED", "words", UpstreamTimeout),
    ],
)  # fmt: skip
def test_refusals(status: int, code: str, words: str, expected: type[TrunklineError], listed: bool) -> None:
    found = error_of(status, code, words, listed=listed)
    assert type(found) is expected
    assert (found.provider_code, found.raw) == (code, words)


def test_how_long_to_wait() -> None:
    details = [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}]
    found = error_of(429, "RESOURCE_EXHAUSTED", details=details)
    assert isinstance(found, UpstreamLimited)
    assert found.retry_after_s == 34.5


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"[1]", b"[[]]", b'{"error":"words"}', b'{"error":{"status":7}}']
)
def test_refusals_of_other_forms(body: bytes) -> None:
    found = GEMINI.error(502, {}, body, 0.0)
    assert type(found) is UpstreamFailed
    assert found.raw == ("words" if b"words" in body else None)


IN_BAND = {400: UpstreamRejected, 401: UpstreamDenied, 403: UpstreamDenied, 429: UpstreamLimited,
           503: UpstreamOverloaded, 504: UpstreamTimeout}  # fmt: skip


@pytest.mark.parametrize("code", sorted(STATUSES))
def test_errors_inside_of_an_answer(code: str) -> None:
    error = {"error": {"status": code, "message": "words"}}
    expected = IN_BAND.get(STATUSES[code], UpstreamFailed)
    begun = candidate({"text": "a"})
    for found in (failed(begun, error), decode(BodyDecoder(), [msgspec.json.encode(error)])[1]):
        assert type(found) is expected
        assert found.provider_code == code


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ({"code": 503}, UpstreamOverloaded),
        ({"code": 503, "status": "NOVEL"}, UpstreamOverloaded),
        ({"code": 9, "message": "words"}, UpstreamFailed),
        ("words", UpstreamFailed),
        ([1], UpstreamFailed),
    ],
)
def test_errors_of_other_forms(error: Any, expected: type[TrunklineError]) -> None:
    assert type(failed({"error": error})) is expected


@pytest.mark.parametrize("frame", [b"%s", b"[%s]", b"[%s\n]\n"])
def test_errors_in_the_midst_of_a_stream_come_without_a_frame(frame: bytes) -> None:
    begun = b"data: " + msgspec.json.encode(candidate({"text": "a"})) + b"\r\n\r\n"
    error = b'{"error":{"code":503,"status":"UNAVAILABLE","message":"words"}}'
    found: TrunklineError | None
    events: list[Event]
    events, found = decode(StreamDecoder(), [begun, frame % error])
    assert type(found) is UpstreamOverloaded
    assert Delta(0, "a") in events


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("late", [True, False])
@pytest.mark.parametrize("said", ["standard", "FLEX", "priority"])
def test_the_tier_that_served_it(said: str, late: bool, stream: bool) -> None:
    """At the top in chat and Responses, and in the usage of Messages, which has other words."""
    usage = {"promptTokenCount": 1, "totalTokenCount": 2}
    tiered = {**usage, "serviceTier": said}
    chunks: list[Json] = [
        {"candidates": [{"content": {"parts": [{"text": "a"}]}}], "usageMetadata": usage if late else tiered},
        {"candidates": [{"finishReason": "STOP"}], "usageMetadata": tiered},
    ]
    tier = "default" if said == "standard" else said.lower()
    for client, near in CLIENTS.items():
        call = Call(envelope={}, stream=stream)
        through = Translation(GEMINI.decoder(sse=True), near.encoder(call, IDENTITY), streamed=stream)
        out = b"".join(through.feed(b"data: %s\n\n" % msgspec.json.encode(chunk)) for chunk in chunks)
        out += through.close() + through.finish(Usage(), Cost())
        unsaid = client == "messages" and tier == "flex"
        word = "standard" if client == "messages" and tier != "priority" else tier
        assert b'"service_tier":"%s"' % word.encode() in out
        assert [loss.path for loss in through.outcome.losses] == (["service_tier"] if unsaid else [])
