"""Captured Messages traffic against what Anthropic's own SDK makes of it. Skipped where ../shared is not there."""

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
from messages_help import CLIENT, ENDPOINT, IDENTITY, RELAY, UPSTREAM, WAYS, Way, carry, read, wire
from msgspec.structs import replace

from trunkline.dialects.anthropic_messages.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.anthropic_messages.response_encoder import BodyEncoder, StreamEncoder
from trunkline.dialects.anthropic_messages.response_parts import arguments, promised
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS
from trunkline.model.errors import TrunklineError, UpstreamTruncated
from trunkline.model.events import Event, check
from trunkline.model.response import Response, fold, unfold
from trunkline.model.usage import Cost, Usage
from trunkline.testing.golden import decode, slices

FOLDER = "fixtures/upstream/anthropic_messages"
OURS = frozenset({"id", "model"})
"""Fields of an answer that are ours to say."""
EARLY = frozenset({"usage.inference_geo", "usage.service_tier", "usage.speed"})
"""What a stream says at its beginning only, which the sum of its events does not know."""
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

    @property
    def fails(self) -> bool:
        """It has an error in it, or no end."""
        return bool(self.expected["error"]) or (self.sse and not self.expected["terminal_event_seen"])

    def events(self) -> tuple[list[Event], TrunklineError | None]:
        return decode(StreamDecoder() if self.sse else BodyDecoder(), [self.body])

    def message(self) -> Any:
        """The whole message that the provider sent, put together without our code."""
        if not self.sse:
            return msgspec.json.decode(self.body)
        lines = [line[5:].strip() for line in self.body.splitlines() if line.startswith(b"data:")]
        return put_together([msgspec.json.decode(line) for line in lines if line != b"[DONE]"])


def put_together(frames: list[dict[str, Any]]) -> dict[str, Any]:
    """What the frames of a stream add up to, by Anthropic's guide on streaming."""
    message: dict[str, Any] = {}
    blocks: dict[int, dict[str, Any]] = {}
    given: dict[int, str] = {}
    for frame in frames:
        delta, at = frame.get("delta", {}), frame.get("index", 0)
        match frame["type"]:
            case "message_start":
                message = frame["message"]
            case "content_block_start":
                blocks[at] = frame["content_block"]
            case "content_block_delta" if delta["type"] == "input_json_delta":
                given[at] = given.get(at, "") + delta["partial_json"]
            case "content_block_delta" if delta["type"] == "citations_delta":
                blocks[at]["citations"] = [*(blocks[at].get("citations") or []), delta["citation"]]
            case "content_block_delta":
                for key, said in delta.items():
                    if key in ("text", "thinking"):
                        blocks[at][key] = blocks[at].get(key, "") + said
                    elif key != "type":
                        blocks[at][key] = said
            case "message_delta":
                usage = {**message["usage"], **frame.get("usage", {})}
                if "cache_creation" not in frame.get("usage", {}):
                    usage.pop("cache_creation", None)  # what the beginning said is past
                beside = {key: said for key, said in frame.items() if key not in ("type", "delta", "usage")}
                message = {**message, **beside, **delta, "usage": usage}
            case _:
                pass
    for at, text in given.items():
        if text:
            blocks[at]["input"] = arguments(text)
    return {**message, "content": [block for _, block in sorted(blocks.items())]}


@pytest.fixture(scope="module")
def captures(shared: Shared) -> list[Capture]:
    found = [Capture(folder) for folder in sorted(shared(FOLDER).iterdir()) if folder.is_dir()]
    assert len(found) >= 33
    return found


@pytest.fixture(scope="module")
def answers(captures: list[Capture]) -> list[Capture]:
    return [capture for capture in captures if not capture.refused]


def test_what_is_read(answers: list[Capture]) -> None:
    for capture in answers:
        events, error = capture.events()
        assert (error is not None) == capture.fails, capture.name
        if error is None:
            check(events)
        if events and fold(events).choices:
            _compare(capture, fold(events))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [True, False], ids=["to_stream", "to_json"])
def test_what_a_client_gets(answers: list[Capture], way: Way, stream: bool) -> None:
    for capture in answers:
        answer = carry(way, [capture.body], sse=capture.sse, stream=stream)
        assert (answer.error is not None) == capture.fails, capture.name
        if not answer.out:
            continue
        if stream:
            message = wire(answer.out)[0]["message"]
            assert (message["id"], message["model"]) == (IDENTITY.id, IDENTITY.model), capture.name
        events, _ = read(answer.out, stream=stream)
        _compare(capture, fold(events))
        if answer.error is None:
            _compare_ends(capture, answer)


def _compare(capture: Capture, found: Response) -> None:
    expected, parts = capture.expected["assembled"], found.choices[0].parts if found.choices else []
    name = capture.name

    def said(kind: str) -> str:
        return "".join(part.text for part in parts if part.kind == kind and part.form != "encrypted")

    assert said("text") == expected["text"], name
    assert said("reasoning") == expected["reasoning"], name
    calls = [(part.id, part.name) for part in parts if part.kind == "tool_call"]
    assert calls == [(call["id"], call["name"]) for call in expected["tool_calls"]], name
    for part, call in zip((one for one in parts if one.kind == "tool_call"), expected["tool_calls"], strict=True):
        if "arguments" in call and not capture.fails:
            assert arguments(part.text) == call["arguments"], name
    notes = [citation.native for part in parts for citation in part.citations]
    assert len(notes) == len(expected["citations"]), name
    sealed = [part.text if part.form == "encrypted" else part.signature for part in parts if part.kind == "reasoning"]
    hashes = [hashlib.sha256(one.encode()).hexdigest() for one in sealed if one]
    assert hashes == [opaque["sha256"] for opaque in expected["reasoning_opaque"]], name


def _compare_ends(capture: Capture, answer: Answer) -> None:
    assert answer.outcome.native_finish_reason == capture.expected["assembled"]["finish_reason"], capture.name
    expected, usage = capture.expected["usage"], answer.outcome.usage
    if expected:
        assert usage is not None, capture.name
        got = (usage.prompt, usage.completion, usage.cached or 0, usage.cache_write or 0, usage.reasoning)
        keys = ("prompt_total", "output_total", "cache_read", "cache_write", "reasoning")
        assert got == tuple(expected[key] for key in keys), capture.name


def test_every_field_comes_back(answers: list[Capture]) -> None:
    """Decoded and encoded again: from the stream's events, from their sum, and as a stream."""
    seen = 0
    for capture in answers:
        events, error = capture.events()
        if error is not None:
            continue
        usage, given = fold(events).usage or Usage(), _normal(capture.message())
        for told in (events, list(unfold(fold(events)))):
            bodies, streams = BodyEncoder(IDENTITY), StreamEncoder(IDENTITY)
            assert not b"".join(map(bodies.encode, told))
            out = b"".join(map(streams.encode, told)) + streams.finish(usage, Cost())
            body = msgspec.json.decode(bodies.finish(usage, Cost()))
            assert bodies.losses == streams.losses == (), capture.name
            early = EARLY if told is not events else frozenset()
            for got, ours in ((body, OURS), (put_together(wire(out)), OURS | early)):
                assert not [path for path in _missing(given, _normal(got), "") if path not in ours], capture.name
        seen += 1
    assert seen >= 25


def _normal(message: dict[str, Any]) -> dict[str, Any]:
    """*message* with the keys that blocks always have and some providers leave out."""
    return {**message, "content": [promised(block) for block in message["content"]]}


def _missing(given: Any, got: Any, where: str) -> list[str]:
    """Where *got* lacks something of *given*. A null that is not there says as much."""
    if isinstance(given, dict) and isinstance(got, dict):
        found = [_missing(said, got.get(key), f"{where}.{key}" if where else key) for key, said in given.items()]
        return list(chain.from_iterable(found))
    if isinstance(given, list) and isinstance(got, list) and len(given) == len(got):
        found = [_missing(said, got[at], f"{where}[{at}]") for at, said in enumerate(given)]
        return list(chain.from_iterable(found))
    return [] if given == got else [where]


@pytest.mark.parametrize("stream", [True, False], ids=["to_stream", "to_json"])
def test_the_two_ways_agree(answers: list[Capture], stream: bool) -> None:
    for capture in answers:
        relayed, translated = (carry(way, [capture.body], sse=capture.sse, stream=stream) for way in WAYS)
        assert type(relayed.error) is type(translated.error), capture.name
        assert str(relayed.error) == str(translated.error), capture.name
        assert relayed.committed == translated.committed, capture.name
        mine, other = relayed.outcome, translated.outcome
        for key in ("usage", "finish_reason", "native_finish_reason", "upstream_id"):
            assert getattr(mine, key) == getattr(other, key), (capture.name, key)
        if relayed.out and not stream:
            assert msgspec.json.decode(relayed.out) == msgspec.json.decode(translated.out), capture.name
        elif relayed.out:
            left, right = (fold(read(answer.out, stream=True)[0]) for answer in (relayed, translated))
            assert left == right, capture.name
            if relayed.error is None:
                ends = [wire(answer.out)[-2:] for answer in (relayed, translated)]
                assert ends[0] == ends[1], capture.name


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
def test_byte_by_byte(answers: list[Capture], way: Way) -> None:
    for capture in (one for one in answers if len(one.body) < 20_000):
        once = carry(way, [capture.body], sse=capture.sse, stream=True)
        cut = carry(way, [bytes([byte]) for byte in capture.body], sse=capture.sse, stream=True)
        assert type(cut.error) is type(once.error), capture.name
        assert cut.out == once.out, capture.name


@pytest.mark.parametrize("way", WAYS)
def test_cut_short(answers: list[Capture], way: Way) -> None:
    """Nothing but `message_stop` is an end; what came before it is told when it breaks off."""
    chance = random.Random(1)
    for capture in answers:
        end = capture.body.rfind(b"event: message_stop")
        if not capture.sse or capture.fails or end < 0:
            continue
        for at in (*(chance.randrange(1, end) for _ in range(25)), end, end + 5):
            answer = carry(way, [capture.body[:at]], sse=True, stream=True)
            assert isinstance(answer.error, UpstreamTruncated), (capture.name, at)
            if answer.committed:
                last = wire(answer.out)[-1]
                assert last["error"]["type"] == "api_error", (capture.name, at)
                assert last["error"]["error_type"] == "provider_unavailable"


def test_requests_come_back_as_they_were(captures: list[Capture]) -> None:
    seen = 0
    for capture in captures:
        if capture.request is None:
            continue
        body: dict[str, Any] = {"model": "claude-sonnet-4-5", **msgspec.json.decode(capture.request)}
        body.setdefault("max_tokens", 8192)
        endpoint = replace(ENDPOINT, upstream_model=body["model"])
        call = CLIENT.parse(msgspec.json.encode(body))
        relayed = RELAY.request(call, endpoint, Quirks())
        encoded = UPSTREAM.encode(CLIENT.decode(call), endpoint, Quirks())
        assert msgspec.json.decode(relayed.body) == body, capture.name
        assert msgspec.json.decode(encoded.body) == body, capture.name
        assert relayed.losses == encoded.losses == (), capture.name
        seen += 1
    assert seen >= 22


def test_requests_for_other_dialects(captures: list[Capture]) -> None:
    """Whatever a client of Messages says, every provider's dialect has a request for it."""
    for capture in captures:
        if capture.request is None:
            continue
        call = CLIENT.parse(msgspec.json.encode({"model": "m", **msgspec.json.decode(capture.request)}))
        request = CLIENT.decode(call)
        for name, upstream in UPSTREAMS.items():
            endpoint = replace(ENDPOINT, dialect=name, upstream_model="small-1")
            assert msgspec.json.decode(upstream.encode(request, endpoint, Quirks()).body), (capture.name, name)


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
        message = body["choices"][0]["message"]
        assert (message["content"] or "") == capture.expected["assembled"]["text"], capture.name
        assert len(message.get("tool_calls", ())) == len(capture.expected["assembled"]["tool_calls"]), capture.name
