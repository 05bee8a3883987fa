"""Captured traffic of Bedrock against what botocore makes of it. Skipped where ../shared is not there."""

import random
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import Shared
from converse_help import body_of
from hypothesis import given, settings
from hypothesis import strategies as st

from trunkline.dialects.bedrock_converse.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.bedrock_converse.response_event_stream import FrameReader, write
from trunkline.dialects.registry import UPSTREAMS
from trunkline.model.errors import ContextTooLong, UpstreamDenied, UpstreamLimited, UpstreamTruncated
from trunkline.model.events import Delta, Event, check
from trunkline.model.response import Response, fold
from trunkline.testing.golden import decode, slices

FOLDER = "fixtures/upstream/bedrock_converse"
CONVERSE = UPSTREAMS["converse"]


class Capture:
    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.stream = (folder / "response.eventstream.bin").exists()
        self.body = (folder / ("response.eventstream.bin" if self.stream else "response.json")).read_bytes()
        self.expected: dict[str, Any] = msgspec.json.decode((folder / "expected.json").read_bytes())

    @property
    def refused(self) -> bool:
        return (self.expected["http_status"] or 200) != 200

    def decoder(self) -> StreamDecoder | BodyDecoder:
        return StreamDecoder() if self.stream else BodyDecoder()


@pytest.fixture(scope="module")
def captures(shared: Shared) -> list[Capture]:
    found = [Capture(folder) for folder in sorted(shared(FOLDER).iterdir()) if folder.is_dir()]
    assert len(found) > 20
    return found


@pytest.fixture(scope="module")
def answers(captures: list[Capture]) -> list[Capture]:
    return [capture for capture in captures if not capture.refused]


def test_what_is_assembled(answers: list[Capture]) -> None:
    for capture in answers:
        events, error = decode(capture.decoder(), [capture.body])
        assert (error is None) == (capture.expected["error"] is None), capture.name
        if error is None:
            check(events)
        else:
            assert isinstance(error, UpstreamLimited)
        _compare(capture, fold(events))


def _compare(capture: Capture, found: Response) -> None:
    expected, (choice,) = capture.expected["assembled"], found.choices
    thoughts = [part for part in choice.parts if part.kind == "reasoning"]
    calls = [(p.id, p.name, msgspec.json.decode(p.text)) for p in choice.parts if p.kind == "tool_call"]
    servers = [part for part in choice.parts if part.kind.startswith("server_tool")]
    cited = [citation for part in choice.parts for citation in part.citations]
    assert "".join(part.text for part in choice.parts if part.kind == "text") == expected["text"], capture.name
    assert "\n\n".join(p.text for p in thoughts if p.form != "encrypted") == expected["reasoning"], capture.name
    assert len([p for p in thoughts if p.signature or p.form == "encrypted"]) == len(expected["reasoning_opaque"])
    assert calls == [(c["id"], c["name"], c["arguments"]) for c in expected["tool_calls"]], capture.name
    for part, told in zip(servers, expected["server_tools"], strict=True):
        assert part.id == told.get("id", told.get("tool_use_id")), capture.name
        assert part.kind != "server_tool_call" or (part.name, msgspec.json.decode(part.text)) == (
            told["name"],
            told["input"],
        )
    if expected[
        "citations"
    ]:  # those of Nova's streams stand in blocks of their own, which botocore's reader leaves out
        assert [citation.title for citation in cited] == [told["title"] for told in expected["citations"]]
    assert choice.native == expected["finish_reason"], capture.name
    told = capture.expected["usage"]
    assert (found.usage is None) == (told is None), capture.name
    if found.usage is not None:
        usage = found.usage
        assert (usage.prompt, usage.completion, usage.total) == (
            told["prompt_total"],
            told["output_total"],
            told["total"],
        ), capture.name
        assert (usage.cached, usage.cache_write) == (told["cache_read"], told["cache_write"]), capture.name
        assert not usage.inconsistent, capture.name


def test_every_field_of_a_body_comes_back(answers: list[Capture]) -> None:
    seen = 0
    for capture in answers:
        if not capture.stream:
            found = body_of(fold(decode(BodyDecoder(), [capture.body])[0]))
            wanted = msgspec.json.decode(capture.body)
            _without_repeats(wanted["usage"])
            assert found == wanted, capture.name
            seen += 1
    assert seen > 10


def _without_repeats(usage: dict[str, Any]) -> None:
    """Some models say two of the numbers twice; nothing is lost with the second."""
    for name in ("cacheReadInputToken", "cacheWriteInputToken"):
        if f"{name}Count" in usage:
            assert usage.pop(f"{name}Count") == usage[f"{name}s"]


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_slices(answers: list[Capture], seed: int) -> None:
    chance = random.Random(seed)
    for capture in chance.sample(answers, 5):
        cuts = [chance.randrange(1, len(capture.body)) for _ in range(chance.choice([1, 3, 100]))]
        events, error = decode(capture.decoder(), [capture.body])
        cut, cut_error = decode(capture.decoder(), slices(capture.body, cuts))
        assert cut == events, capture.name
        assert type(cut_error) is type(error), capture.name


def test_byte_by_byte(answers: list[Capture]) -> None:
    for capture in answers:
        events, _ = decode(capture.decoder(), [capture.body])
        bytes_ = [capture.body[at : at + 1] for at in range(len(capture.body))]
        assert decode(capture.decoder(), bytes_)[0] == events, capture.name


def test_cut_short(answers: list[Capture]) -> None:
    """A stream is whole from its `messageStop` on, and nowhere before."""
    for capture in answers:
        if not capture.stream or capture.expected["error"]:
            continue
        edges = _edges(capture.body)
        whole, _ = decode(StreamDecoder(), [capture.body])
        for number, edge in enumerate(edges):
            for at in (edge, edge + 5):
                if at >= len(capture.body):
                    continue
                events, error = decode(StreamDecoder(), [capture.body[:at]])
                if number < len(edges) - 2:  # the last two are messageStop and metadata
                    assert isinstance(error, UpstreamTruncated), (capture.name, at)
                    assert [e for e in events if isinstance(e, Delta)] == _deltas(whole, events), capture.name
                else:
                    assert error is None, (capture.name, at)
                    check(events)


def _deltas(whole: list[Event], some: list[Event]) -> list[Delta]:
    deltas = [event for event in whole if isinstance(event, Delta)]
    return deltas[: len([event for event in some if isinstance(event, Delta)])]


def _edges(body: bytes) -> list[int]:
    edges, at = [], 0
    while at < len(body):
        at += int.from_bytes(body[at : at + 4], "big")
        edges.append(at)
    return edges


def test_frames_are_written_as_they_came(captures: list[Capture]) -> None:
    for capture in captures:
        if capture.stream:
            written = b"".join(write(frame.headers, frame.payload) for frame in FrameReader().feed(capture.body))
            assert written == capture.body, capture.name


def test_refusals(captures: list[Capture]) -> None:
    refused = [capture for capture in captures if capture.refused]
    found = [CONVERSE.error(c.expected["http_status"], {}, c.body, 0.0) for c in refused]
    assert {type(error) for error in found} == {UpstreamDenied, ContextTooLong}
    for capture, error in zip(refused, found, strict=True):
        assert error.upstream_status == capture.expected["http_status"], capture.name
        assert error.raw == msgspec.json.decode(capture.body)["message"], capture.name


def test_bodies_are_told_apart(answers: list[Capture]) -> None:
    for capture in answers:
        for length in (1, 4, 40):
            assert CONVERSE.streamed(capture.body[:length]) is capture.stream, capture.name
