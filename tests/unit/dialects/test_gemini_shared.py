"""Captured traffic of Gemini against what google-genai makes of it. Skipped where ../shared is not there."""

import random
import re
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import Shared
from gemini_help import GEMINI, asked, body_of, merged, sent
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from trunkline.dialects.common.reasoning import GEMINI as FORMAT
from trunkline.dialects.common.sse import FrameReader
from trunkline.dialects.google_genai.response_decoder import BodyDecoder, StreamDecoder
from trunkline.dialects.interfaces import Quirks
from trunkline.model.errors import TrunklineError, UpstreamDenied, UpstreamLimited, UpstreamTruncated
from trunkline.model.events import check
from trunkline.model.request import Tool
from trunkline.model.response import Choice, Part, Response, fold
from trunkline.testing.golden import decode, slices

PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
FOLDER = "fixtures/upstream/gemini"
Json = dict[str, Any]


class Capture:
    def __init__(self, folder: Path) -> None:
        self.name = folder.name
        self.stream = (folder / "response.sse").exists()
        self.body = (folder / ("response.sse" if self.stream else "response.json")).read_bytes()
        self.expected: Json = msgspec.json.decode((folder / "expected.json").read_bytes())

    @property
    def refused(self) -> bool:
        return (self.expected["http_status"] or 200) != 200

    def decoder(self) -> StreamDecoder | BodyDecoder:
        return StreamDecoder() if self.stream else BodyDecoder()

    def chunks(self) -> list[Json]:
        """The JSON of the answer: a stream's chunks, or the body alone."""
        if not self.stream:
            found = msgspec.json.decode(self.body)
            return found if isinstance(found, list) else [found]
        reader = FrameReader()
        frames = [*reader.feed(self.body), *reader.close()]
        return [msgspec.json.decode(frame.data) for frame in frames if frame.data]


@pytest.fixture(scope="module")
def captures(shared: Shared) -> list[Capture]:
    found = [Capture(folder) for folder in sorted(shared(FOLDER).iterdir()) if folder.is_dir()]
    assert len(found) > 30
    return found


@pytest.fixture(scope="module")
def answers(captures: list[Capture]) -> list[Capture]:
    return [capture for capture in captures if not capture.refused]


def test_what_is_assembled(answers: list[Capture], subtests: pytest.Subtests) -> None:
    for capture in answers:
        with subtests.test(capture.name):
            events, error = decode(capture.decoder(), [capture.body])
            assert (error is None) == (capture.expected["error"] is None)
            if error is None:
                check(events)
            _compare(capture, fold(events), cut=error is not None)


def _compare(capture: Capture, found: Response, *, cut: bool) -> None:
    expected = capture.expected["assembled"]
    (choice,) = found.choices
    _compare_parts(choice.parts, expected)
    if not cut:  # an error before the end of the body leaves the choice open
        assert choice.native == (expected["finish_reason"] or expected.get("block_reason"))
        assert choice.reason == _reason(choice, expected)
    told = capture.expected["usage"]
    assert (found.usage is None) == (told is None)
    if found.usage is not None:
        usage = found.usage
        got = (usage.prompt, usage.completion, usage.total, usage.cached, usage.cache_write, usage.reasoning)
        names = ("prompt_total", "output_total", "total", "cache_read", "cache_write", "reasoning")
        assert got == tuple(told[name] for name in names)
    assert found.model == (capture.expected["model"] or "")
    assert found.id == (capture.expected["response_id"] or "")


def _reason(choice: Choice, expected: Json) -> str:
    """What a client is told: every filter's word is one."""
    native = expected["finish_reason"]
    if native in (None, "SAFETY", "RECITATION", "MODEL_ARMOR"):
        return "content_filter"
    if native in ("UNEXPECTED_TOOL_CALL", "MAX_TOKENS"):
        return {"MAX_TOKENS": "length"}.get(native, "error")
    return "tool_calls" if any(part.kind == "tool_call" for part in choice.parts) else "stop"


def _compare_parts(parts: list[Part], expected: Json) -> None:
    thoughts = [part for part in parts if part.kind == "reasoning"]
    assert "".join(part.text for part in parts if part.kind == "text") == expected["text"]
    assert "".join(part.text for part in thoughts if part.form != "encrypted") == expected["reasoning"]
    calls = [part for part in parts if part.kind == "tool_call"]
    told = [(call["name"], call["arguments"]) for call in expected["tool_calls"]]
    assert [(call.name, msgspec.json.decode(call.text)) for call in calls] == told
    assert len({call.id for call in calls} - {None}) == len(calls)
    signed = [part for part in thoughts if part.form == "encrypted"]
    assert [sha256(part.text.encode()).hexdigest() for part in signed] == [
        one["sha256"] for one in expected["reasoning_opaque"]
    ]
    ids = {call.id for call in calls}
    assert [part.id in ids for part in signed] == [one["on"] == "functionCall" for one in expected["reasoning_opaque"]]
    servers = [part for part in parts if part.kind.startswith("server_tool")]
    assert [next(iter(part.extra)) for part in servers] == [one["type"] for one in expected["server_tools"]]
    images = [part.text.partition(",") for part in parts if part.kind == "image"]
    assert [head for head, _, _ in images] == [f"data:{one['media_type']};base64" for one in expected["images"]]
    cited = {citation.url for part in parts for citation in part.citations}
    assert cited == {one["url"] for one in expected["citations"]}


def test_every_field_comes_back(answers: list[Capture], subtests: pytest.Subtests) -> None:
    for capture in answers:
        with subtests.test(capture.name):
            events, error = decode(capture.decoder(), [capture.body])
            if error is None:
                assert body_of(fold(events)) == merged(capture.chunks())


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
        if len(capture.body) < 60_000:
            events, _ = decode(capture.decoder(), [capture.body])
            bytes_ = [capture.body[at : at + 1] for at in range(len(capture.body))]
            assert decode(capture.decoder(), bytes_)[0] == events, capture.name


def test_cut_short(answers: list[Capture]) -> None:
    """A stream is whole once a chunk named a finish reason, or the block of the prompt; nowhere before."""
    seen = 0
    for capture in answers:
        if not capture.stream or capture.expected["error"]:
            continue
        blocks = capture.body.replace(b"\r\n", b"\n").split(b"\n\n")
        ends = [b'"finishReason"' in block or b'"blockReason"' in block for block in blocks]
        for number in range(ends.index(True)):
            events, error = decode(StreamDecoder(), [b"\n\n".join(blocks[:number]) + b"\n\n"])
            assert isinstance(error, UpstreamTruncated), (capture.name, number)
            assert not any(type(event).__name__ == "Finished" for event in events)
            seen += 1
    assert seen > 10


def test_refusals(captures: list[Capture]) -> None:
    refused = [capture for capture in captures if capture.refused]
    found: list[TrunklineError] = []
    for capture in refused:
        error = GEMINI.error(capture.expected["http_status"], {}, capture.body, 0.0)
        assert error.upstream_status == capture.expected["http_status"], capture.name
        assert error.raw == msgspec.json.decode(capture.body)["error"]["message"], capture.name
        found.append(error)
    (limited,) = [error for error in found if isinstance(error, UpstreamLimited)]
    assert limited.retry_after_s == 34.4
    assert any(isinstance(error, UpstreamDenied) for error in found)


def test_bodies_are_told_apart(answers: list[Capture]) -> None:
    for capture in answers:
        for length in (1, 4, 40):
            assert GEMINI.streamed(capture.body[:length]) is capture.stream, capture.name


# Requests: all that they say a client of ours can say. `test_gemini_reread` reads them and writes them again.

OURS: Json = {
    "messages": [
        {"role": "system", "content": "s"},
        {"role": "user", "content": [{"type": "text", "text": "t"}, {"type": "image_url", "image_url": {"url": PNG}}]},
        {
            "role": "assistant",
            "tool_calls": [{"id": "c", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
            "reasoning_details": [{"type": "reasoning.encrypted", "data": "s", "format": FORMAT, "id": "c"}],
        },
        {"role": "tool", "tool_call_id": "c", "content": "r"},
    ],
    "tools": [{"type": "function", "function": {"name": "f", "description": "d", "parameters": SCHEMA}}],
    "tool_choice": "required",
    "logprobs": True,
    "top_logprobs": 2,
    "max_tokens": 9,
    "modalities": ["text"],
    "reasoning": {"max_tokens": 1024},
}
SERVERS = ("web_search", "web_fetch", "code_interpreter")
UNSAID = {
    "safetySettings": "an operator's, by the quirk `body`",
    "modelArmorConfig": "an operator's, by the quirk `body`",
}
"""What requests hold that no client of ours can say, and why."""


def kinds(found: Any, path: str = "") -> set[str]:
    """The fields in a request, down to what is the caller's own."""
    if path.endswith((".args", ".response", ".properties", "JsonSchema", "googleSearch")) or path in UNSAID:
        return {path}
    if isinstance(found, list):
        return {kind for one in found for kind in kinds(one, path)}
    if not isinstance(found, dict) or not found:
        return {path}
    camel = {re.sub("_([a-z])", lambda letter: letter[1].upper(), key): value for key, value in found.items()}
    return {kind for key, value in camel.items() for kind in kinds(value, f"{path}.{key}".lstrip("."))}


def test_every_field_of_a_request_can_be_said(shared: Shared) -> None:
    written: set[str] = set(UNSAID)
    for quirks in (Quirks(), Quirks(schema="gemini")):
        written |= kinds(sent(asked("chat", OURS), quirks=quirks)[0])
    for server in SERVERS:
        request = replace(asked("chat", {"messages": OURS["messages"]}), tools=(Tool(kind=server),))
        written |= kinds(sent(request)[0])
    seen = 0
    for path in sorted(shared(FOLDER).glob("*/request.json")):
        body = msgspec.json.decode(path.read_bytes())
        if isinstance(body, dict) and "contents" in body:
            seen += 1
            missing = {kind for kind in kinds(body) - written if kind not in ("generationConfig",)}
            assert not missing, (path.parent.name, missing)
    assert seen > 10
