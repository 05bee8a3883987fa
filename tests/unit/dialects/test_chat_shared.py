"""Captured provider traffic against what the providers' own SDKs make of it. Skipped where ../shared is not there."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import CHAT, ENDPOINT, WAYS, Shared, Way, carry, ended, read, whole
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.dialects.common.sse import BlockReader, frames
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_chat.request_encoder import OURS
from trunkline.dialects.openai_chat.request_native import to_wire
from trunkline.dialects.openai_chat.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.registry import RELAYS, UPSTREAMS
from trunkline.model.errors import TrunklineError, UpstreamTruncated
from trunkline.model.events import check
from trunkline.model.response import Response, fold
from trunkline.testing.golden import decode, slices

FOLDER = "fixtures/upstream/openai_chat"

REASONING_NOT_SEEN = {
    "openrouter--2-searches-transparently-returning-citations-and-usage-counters--n0",
    "snowflake--snowflake-thinking-streaming--s0",
}
"""Reasoning that stands in `reasoning_details` alone: the SDK knows no such field, so expected.json has none."""

CALLS_NOT_SEEN = {"openai--simple-lcel-with-events-with-content--n0"}
"""A legacy `function_call`, which expected.json does not count among tool calls."""


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


@pytest.fixture(scope="module")
def captures(shared: Shared) -> list[Capture]:
    found = [Capture(folder) for folder in sorted(shared(FOLDER).iterdir()) if folder.is_dir()]
    assert len(found) > 40
    return found


@pytest.fixture(scope="module")
def answers(captures: list[Capture]) -> list[Capture]:
    return [capture for capture in captures if not capture.refused]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("stream", [True, False], ids=["to_stream", "to_json"])
def test_what_is_assembled(answers: list[Capture], way: Way, stream: bool) -> None:
    for capture in answers:
        answer = carry(way, [capture.body], sse=capture.sse, stream=stream)
        if not answer.out:
            assert answer.error is not None, capture.name
            continue
        events, error = read(answer.out, stream=stream)
        assert (error is None) == (answer.error is None), capture.name
        _compare(capture, fold(events), None if answer.error else answer.outcome.native_finish_reason)
        expected = capture.expected["usage"]
        if expected and expected["prompt_total"] is not None:
            usage = answer.outcome.usage
            assert usage is not None, capture.name
            assert (usage.prompt, usage.completion) == (expected["prompt_total"], expected["output_total"]), (
                capture.name
            )


def _compare(capture: Capture, found: Response, native: str | None) -> None:
    expected, parts = capture.expected["assembled"], found.choices[0].parts
    text = "".join(part.text for part in parts if part.kind == "text")
    reasoning = "".join(part.text for part in parts if part.kind == "reasoning" and part.form != "encrypted")
    calls = [(part.id, part.name, part.text) for part in parts if part.kind == "tool_call"]
    if expected["choices"] == 1:
        assert text == expected["text"], capture.name
    else:
        assert len(found.choices) == expected["choices"], capture.name
    if capture.name not in REASONING_NOT_SEEN:
        assert reasoning.replace("\n", "") == expected["reasoning"].replace("\n", ""), capture.name
    if capture.name not in CALLS_NOT_SEEN:
        assert calls == [(c["id"], c["name"], c["arguments_raw"] or "") for c in expected["tool_calls"]], capture.name
    if native is not None:
        # OpenRouter gives the native word beside its own, which is the one that SDKs read.
        assert expected["finish_reason"] in (native, found.choices[0].reason), capture.name


def test_the_two_ways_agree(answers: list[Capture]) -> None:
    for capture in answers:
        for stream in (True, False):
            relayed, translated = (carry(way, [capture.body], sse=capture.sse, stream=stream) for way in WAYS)
            assert type(relayed.error) is type(translated.error), capture.name
            assert str(relayed.error) == str(translated.error), capture.name
            assert relayed.outcome.usage == translated.outcome.usage, capture.name
            if relayed.out:
                mine, other = read(relayed.out, stream=stream)[0], read(translated.out, stream=stream)[0]
                left, right = whole(mine), whole(other)
                if relayed.error is not None:
                    # What a provider says of a choice rides on every relayed frame, translated on the choice's end.
                    for choice in (*left["choices"], *right["choices"]):
                        choice.pop("extra", None)
                assert left == right, capture.name


@settings(max_examples=10)
@given(seed=st.integers(0, 2**32))
def test_slices(answers: list[Capture], seed: int) -> None:
    chance = random.Random(seed)
    for capture in chance.sample(answers, 6):
        cuts = [chance.randrange(1, len(capture.body)) for _ in range(chance.choice([1, 3, 100]))]
        for way in WAYS:
            for stream in (True, False):
                once = carry(way, [capture.body], sse=capture.sse, stream=stream)
                cut = carry(way, slices(capture.body, cuts), sse=capture.sse, stream=stream)
                assert type(cut.error) is type(once.error), capture.name
                if cut.out or once.error is None:
                    assert cut.out == once.out, capture.name


def test_cut_short(answers: list[Capture]) -> None:
    chance = random.Random(1)
    for capture in answers:
        if not capture.sse:
            continue
        body = capture.body.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        edges = [at + 2 for at in range(len(body) - 1) if body[at : at + 2] == b"\n\n"]
        if len(edges) > 60:
            edges = [*edges[:10], *chance.sample(edges[10:-10], 40), *edges[-10:]]
        offsets = [chance.randrange(1, len(body)) for _ in range(50)]
        for way in WAYS:
            for at in (*edges, *offsets):
                answer = carry(way, [body[:at]], sse=True, stream=True)
                if answer.error is None:
                    # Clean only where the end was seen: every choice that began has its reason, or [DONE].
                    events, error = decode(StreamDecoder(), [body[:at]])
                    assert error is None, (capture.name, at)
                    check(events)
                    assert all(ended(events)) or b"data: [DONE]" in body[:at], (capture.name, at)
                elif answer.committed:
                    assert read(answer.out, stream=True)[1] is not None, (capture.name, at)
                if answer.error is not None and at < len(body) // 3 and not capture.expected["error"]:
                    assert isinstance(answer.error, UpstreamTruncated), (capture.name, at)


def test_refusals(captures: list[Capture]) -> None:
    refused = [capture for capture in captures if capture.refused]
    assert refused
    for capture in refused:
        error = UPSTREAMS["chat"].error(capture.expected["http_status"], {}, capture.body, 0.0)
        assert isinstance(error, TrunklineError), capture.name
        assert error.upstream_status == capture.expected["http_status"], capture.name
        assert error.raw, capture.name


def test_requests_come_back_as_they_were(captures: list[Capture]) -> None:
    seen = 0
    for capture in captures:
        if capture.request is None:
            continue
        body: dict[str, Any] = msgspec.json.decode(capture.request)
        call = CHAT.parse(capture.request)
        request = CHAT.decode(call)
        assert to_wire(request) == body, capture.name
        relayed = msgspec.json.decode(RELAYS["chat", "chat"].request(call, ENDPOINT, Quirks()).body)
        assert relayed == msgspec.json.decode(UPSTREAMS["chat"].encode(request, ENDPOINT, Quirks()).body), capture.name
        for key, value in body.items():
            if key not in OURS | {"model", "stream_options"}:
                assert relayed[key] == value, capture.name
        seen += 1
    assert seen > 30


OURS_IN_ANSWERS = {"id", "model", "provider", "object", "created", "usage", "choices", "native_finish_reason"}
MOVED = {"reasoning_content": "reasoning"}
"""Fields of a message that come back under another name; content that is a list comes back as text and reasoning."""


def test_every_field_of_an_answer_comes_back(answers: list[Capture]) -> None:
    """Translated, not relayed: the vocabulary holds them all. Usage is told in our terms, further fields as said."""
    for capture in answers:
        if capture.sse:
            continue
        answer = carry("translate", [capture.body], sse=False, stream=False)
        if answer.error is not None:
            continue
        theirs, ours = msgspec.json.decode(capture.body), msgspec.json.decode(answer.out)
        for key in theirs.keys() - OURS_IN_ANSWERS:
            assert theirs[key] is None or ours[key] == theirs[key], (capture.name, key)
        assert len(ours["choices"]) == len(theirs["choices"]), capture.name
        for said, wanted in zip(ours["choices"], theirs["choices"], strict=True):
            _all_there(capture.name, said, wanted)
        usage = theirs.get("usage") or {}
        for key in usage.keys() - {"cost"}:
            if usage[key] is not None:
                _within(capture.name, ours["usage"][key], usage[key])


def test_every_field_beside_the_pieces_of_a_stream_comes_back(answers: list[Capture]) -> None:
    for capture in answers:
        if not capture.sse:
            continue
        answer = carry("translate", [capture.body], sse=True, stream=True)
        if answer.error is not None:
            continue
        theirs, ours = _said(capture.body), _said(answer.out)
        assert theirs <= ours, (capture.name, theirs - ours)


def _said(body: bytes) -> set[tuple[str, bytes]]:
    """What chunks say beside the pieces: field and value, of the chunks and of their choices."""
    found: set[tuple[str, bytes]] = set()
    for frame in frames(BlockReader().feed(body)):
        if frame.data.strip() in (b"[DONE]", b""):
            continue
        chunk: dict[str, Any] = msgspec.json.decode(frame.data)
        extra = {key: said for key, said in chunk.items() if key not in OURS_IN_ANSWERS | {"obfuscation"}}
        for choice in chunk.get("choices") or ():
            extra |= {key: said for key, said in choice.items() if key not in ("index", "delta", *NOT_EXTRA)}
        found |= {(key, msgspec.json.encode(said, order="sorted")) for key, said in extra.items() if said}
    return found


NOT_EXTRA = ("finish_reason", "native_finish_reason", "logprobs", "message", "text")
"""Beside the delta, Perplexity's `message` is the text so far once more, and Together's `text` the delta's."""


def _all_there(name: str, said: dict[str, Any], wanted: dict[str, Any]) -> None:
    for key, value in wanted.items():
        if key not in ("message", "finish_reason", "native_finish_reason") and value not in (None, {}):
            assert said[key] == value, (name, key)
    for key, value in (wanted.get("message") or {}).items():
        if value in (None, [], "") or (key == "content" and isinstance(value, list)):
            continue
        _within(name, said["message"][MOVED.get(key, key)], value)


def _within(name: str, said: Any, wanted: Any) -> None:
    """All of *wanted* is in *said*, which may say more."""
    if isinstance(wanted, dict):
        for key, value in wanted.items():
            if value is not None:
                _within(name, said[key], value)
    elif isinstance(wanted, list):
        assert len(said) == len(wanted), (name, said, wanted)
        for one, other in zip(said, wanted, strict=True):
            _within(name, one, other)
    else:
        assert said == wanted, (name, said, wanted)


def test_bodies_are_read_by_the_right_reader(answers: list[Capture]) -> None:
    """The two decoders are not mixed up: a stream is no body, and the reverse."""
    for capture in answers:
        _, error = decode(BodyDecoder() if capture.sse else StreamDecoder(), [capture.body])
        assert error is not None, capture.name
