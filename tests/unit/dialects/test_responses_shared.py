"""Captured Responses traffic against what OpenAI's own SDK makes of it. Skipped where ../shared is not there."""

import hashlib
import random
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import Answer
from hypothesis import given, settings
from hypothesis import strategies as st
from responses_help import CLIENT, ENDPOINT, IDENTITY, RELAY, UPSTREAM, WAYS, Way, carry, read, wire

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses.request_native import to_wire
from trunkline.dialects.openai_responses.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.openai_responses.response_encoder import BodyEncoder
from trunkline.dialects.registry import CLIENTS
from trunkline.model.errors import InvalidRequest, TrunklineError, UpstreamTruncated
from trunkline.model.events import Event, check
from trunkline.model.response import Part, Response, fold, unfold
from trunkline.model.usage import Cost, Usage
from trunkline.testing.golden import decode, slices

FOLDER = "fixtures/upstream/openai_responses"
OURS = frozenset({"id", "model", "usage", "status", "output_text", "object"})
"""Fields of a response that are ours to say."""
SEALED_AGAIN = "openai--openai-responses-compact-stateful-mode-stream--s2"
"""Its last event has the compaction encrypted anew: what its own event said is as good, and is what translation has."""
Shared = Callable[[str], Path]


class Capture:
    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.sse = (folder / "response.sse").exists()
        self.body = (folder / ("response.sse" if self.sse else "response.json")).read_bytes()
        self.expected: dict[str, Any] = msgspec.json.decode((folder / "expected.json").read_bytes())
        request = folder / "request.json"
        self.request = request.read_bytes() if request.exists() else None

    @property
    def refused(self) -> bool:
        return (self.expected["http_status"] or 200) != 200

    def events(self) -> tuple[list[Event], TrunklineError | None]:
        return decode(StreamDecoder() if self.sse else BodyDecoder(), [self.body])

    def response(self) -> Any:
        """The response object that the provider ended with."""
        if not self.sse:
            return msgspec.json.decode(self.body)
        lines = [line[5:].strip() for line in self.body.splitlines() if line.startswith(b"data:")]
        bodies = [msgspec.json.decode(line) for line in lines if line != b"[DONE]"]
        return next(body["response"] for body in reversed(bodies) if "response" in body)


@pytest.fixture(scope="module")
def captures(shared: Shared) -> list[Capture]:
    found = [Capture(folder) for folder in sorted(shared(FOLDER).iterdir()) if folder.is_dir()]
    assert len(found) >= 36
    return found


@pytest.fixture(scope="module")
def answers(captures: list[Capture]) -> list[Capture]:
    return [capture for capture in captures if not capture.refused]


def test_what_is_read(answers: list[Capture]) -> None:
    for capture in answers:
        events, error = capture.events()
        assert (error is not None) == bool(capture.expected["error"]), capture.name
        if error is None:
            check(events)
        if events and fold(events).choices:
            _compare(capture, fold(events))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [True, False], ids=["to_stream", "to_json"])
def test_what_a_client_gets(answers: list[Capture], way: Way, stream: bool) -> None:
    for capture in answers:
        answer = carry(way, [capture.body], sse=capture.sse, stream=stream)
        assert (answer.error is not None) == bool(capture.expected["error"]), capture.name
        if not answer.out:
            continue
        if stream:
            told = wire(answer.out)
            assert told[0]["type"] == "response.created", capture.name
            assert told[-1]["response"]["id"] == IDENTITY.id, capture.name
        events, _ = read(answer.out, stream=stream)
        _compare(capture, fold(events))
        _compare_ends(capture, answer)


def _compare(capture: Capture, found: Response) -> None:
    expected, parts = capture.expected["assembled"], found.choices[0].parts if found.choices else []
    name = capture.name

    def said(kind: str) -> str:
        return "".join(part.text for part in parts if part.kind == kind and part.form != "encrypted")

    assert said("text") == expected["text"], name
    assert said("reasoning").replace("\n", "") == expected["reasoning"].replace("\n", ""), name
    assert said("refusal") == (expected["refusal"] or ""), name
    calls = [(part.id, part.name, part.text) for part in parts if part.kind == "tool_call"]
    assert calls == [(call["id"], call["name"], call["arguments_raw"]) for call in expected["tool_calls"]], name
    notes = [citation.native for part in parts for citation in part.citations]
    assert len(notes) == len(expected["citations"]), name
    sealed = [hashlib.sha256(part.text.encode()).hexdigest() for part in parts if part.form == "encrypted"]
    assert sealed == [opaque["sha256"] for opaque in expected["reasoning_opaque"]], name
    assert sum(part.kind == "image" for part in parts) == len(expected["images"]), name
    tools = [_tool(part) for part in parts if part.kind in ("server_tool_call", "opaque", "image")]
    assert tools == [(tool["type"], tool["status"]) for tool in expected["server_tools"]], name


def _tool(part: Part) -> tuple[str, str | None]:
    assert part.item is not None
    item = part.item.fields
    return item["type"], item.get("status")


def _compare_ends(capture: Capture, answer: Answer) -> None:
    if answer.error is None:
        native = answer.outcome.native_finish_reason
        assert native == capture.expected["assembled"]["finish_reason"].rpartition(":")[2], capture.name
    expected, usage = capture.expected["usage"], answer.outcome.usage
    if expected:
        assert usage is not None, capture.name
        got = (usage.prompt, usage.completion, usage.cached, usage.cache_write, usage.reasoning)
        keys = ("prompt_total", "output_total", "cache_read", "cache_write", "reasoning")
        assert got == tuple(expected[key] for key in keys), capture.name


def test_every_field_comes_back(answers: list[Capture]) -> None:
    """Decoded and encoded again, from the stream's events and from their sum."""
    for capture in answers:
        events, error = capture.events()
        if error is not None:
            continue
        for told in (events, list(unfold(fold(events)))):
            encoder = BodyEncoder(IDENTITY, {})
            assert not b"".join(map(encoder.encode, told))
            body = msgspec.json.decode(encoder.finish(fold(events).usage or Usage(), Cost()))
            assert encoder.losses == (), capture.name
            missing = [path for path in _missing(capture.response(), body, "") if path.partition(".")[0] not in OURS]
            assert not [path for path in missing if capture.name != SEALED_AGAIN], capture.name


def _missing(given: Any, got: Any, where: str) -> list[str]:
    """Where *got* lacks something of *given*. A null that is not there says as much."""
    if isinstance(given, dict) and isinstance(got, dict):
        found = [_missing(said, got.get(key), f"{where}.{key}" if where else key) for key, said in given.items()]
        return list(chain.from_iterable(found))
    if isinstance(given, list) and isinstance(got, list) and len(given) == len(got):
        found = [_missing(said, got[at], f"{where}[{at}]") for at, said in enumerate(given)]
        return list(chain.from_iterable(found))
    return [] if given == got else [where]


def test_the_two_ways_agree(answers: list[Capture]) -> None:
    for capture in answers:
        for stream in (True, False):
            relayed, translated = (carry(way, [capture.body], sse=capture.sse, stream=stream) for way in WAYS)
            assert type(relayed.error) is type(translated.error), capture.name
            assert str(relayed.error) == str(translated.error), capture.name
            mine, other = relayed.outcome, translated.outcome
            assert (mine.usage, mine.finish_reason, mine.native_finish_reason, mine.upstream_id) == (
                other.usage, other.finish_reason, other.native_finish_reason, other.upstream_id,
            ), capture.name  # fmt: skip
            assert bool(relayed.out) == bool(translated.out), capture.name
            if relayed.out:
                left, right = (fold(read(answer.out, stream=stream)[0]) for answer in (relayed, translated))
                assert left == right, capture.name
            if relayed.out and stream and capture.name != SEALED_AGAIN:
                first, second = (wire(answer.out)[-1]["response"] for answer in (relayed, translated))
                assert not _missing(first, second, ""), capture.name


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_slices(answers: list[Capture], seed: int) -> None:
    chance = random.Random(seed)
    for capture in chance.sample(answers, 5):
        cuts = [chance.randrange(1, len(capture.body)) for _ in range(chance.choice([1, 3, 100]))]
        for way in WAYS:
            for stream in (True, False):
                once = carry(way, [capture.body], sse=capture.sse, stream=stream)
                cut = carry(way, slices(capture.body, cuts), sse=capture.sse, stream=stream)
                assert type(cut.error) is type(once.error), capture.name
                if cut.out or once.error is None:
                    assert cut.out == once.out, capture.name


@pytest.mark.parametrize("way", WAYS)
def test_cut_short(answers: list[Capture], way: Way) -> None:
    """Nothing but the last event is an end; what came before it is told when it breaks off."""
    chance = random.Random(1)
    for capture in answers:
        if not capture.sse or capture.expected["error"]:
            continue
        body = capture.body.replace(b"data: [DONE]\n\n", b"")
        last = body.rstrip().rfind(b"\n\n")
        for at in (*(chance.randrange(1, last) for _ in range(25)), last + 2, last + 40):
            answer = carry(way, [body[:at]], sse=True, stream=True)
            assert isinstance(answer.error, UpstreamTruncated), (capture.name, at)
            if answer.committed:
                response = wire(answer.out)[-1]["response"]
                assert response["status"] == "failed", (capture.name, at)
                assert response["error"]["code"] == "server_error"
                assert response["error_type"] == "provider_unavailable"


def test_what_failed_tells_the_output_so_far(answers: list[Capture]) -> None:
    (capture,) = (answer for answer in answers if answer.name == "openai--derived-midstream-error-event--s0")
    for way in WAYS:
        answer = carry(way, [capture.body], sse=True, stream=True)
        response = wire(answer.out)[-1]["response"]
        assert response["output_text"] == capture.expected["assembled"]["text"] != ""
        assert [item["status"] for item in response["output"]] == ["incomplete"]


def test_refusals(captures: list[Capture]) -> None:
    refused = [capture for capture in captures if capture.refused]
    assert len(refused) == 3
    for capture in refused:
        error = UPSTREAM.error(capture.expected["http_status"], {}, capture.body, 0.0)
        assert error.upstream_status == capture.expected["http_status"], capture.name
        assert error.raw, capture.name


def test_requests_come_back_as_they_were(captures: list[Capture]) -> None:
    seen = 0
    for capture in captures:
        if capture.request is None:
            continue
        body: dict[str, Any] = msgspec.json.decode(capture.request)
        if body.get("previous_response_id"):
            with pytest.raises(InvalidRequest, match="not stored"):
                CLIENT.parse(capture.request)
            continue
        call = CLIENT.parse(capture.request)
        request = CLIENT.decode(call)
        assert msgspec.json.decode(msgspec.json.encode(to_wire(request))) == body, capture.name
        relayed = msgspec.json.decode(RELAY.request(call, ENDPOINT, Quirks()).body)
        encoded = UPSTREAM.encode(request, ENDPOINT, Quirks())
        assert relayed == msgspec.json.decode(encoded.body), capture.name
        assert encoded.losses == (), capture.name
        for key, value in body.items():
            if key not in ("model", "background"):
                assert relayed[key] == value, capture.name
        seen += 1
    assert seen >= 18


def test_answers_for_clients_of_chat(answers: list[Capture]) -> None:
    """Chat hears text and calls, whatever else is lost."""
    for capture in answers:
        events, error = capture.events()
        if error is not None:
            continue
        chat = CLIENTS["chat"]
        encoder = chat.encoder(chat.parse(b'{"messages":[{"role":"user","content":"Hi"}]}'), IDENTITY)
        for event in events:
            encoder.encode(event)
        body = msgspec.json.decode(encoder.finish(Usage(), Cost()))
        if body["choices"]:
            message = body["choices"][0]["message"]
            assert (message["content"] or "") == capture.expected["assembled"]["text"], capture.name
            assert len(message.get("tool_calls", ())) == len(capture.expected["assembled"]["tool_calls"]), capture.name
