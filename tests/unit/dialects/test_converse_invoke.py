"""Claude's own events in frames, as InvokeModelWithResponseStream sends them, against captured traffic."""

from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import Shared
from converse_help import frames

from trunkline.dialects.bedrock_converse import response_event_stream as event_stream
from trunkline.dialects.bedrock_converse.response_invoke_stream import InvokeDecoder
from trunkline.dialects.common.sse import FrameReader
from trunkline.dialects.openai_chat.response_decoder import StreamDecoder
from trunkline.model.errors import UpstreamGarbled, UpstreamLimited
from trunkline.model.events import Event, check
from trunkline.model.response import fold
from trunkline.testing.golden import decode, slices

FOLDER = "fixtures/upstream/bedrock_invoke"


class Told:
    """A decoder that notes what it is told."""

    def __init__(self) -> None:
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._frames = FrameReader()

    def feed(self, chunk: bytes) -> Iterator[Event]:
        self.events += [(frame.event, msgspec.json.decode(frame.data)) for frame in self._frames.feed(chunk)]
        return iter(())

    def close(self) -> Iterator[Event]:
        return iter(())


def told(chunks: list[bytes]) -> list[tuple[str, dict[str, Any]]]:
    inner = Told()
    assert decode(InvokeDecoder(inner), chunks) == ([], None)
    return inner.events


@pytest.fixture(scope="module")
def captures(shared: Shared) -> list[Path]:
    found = sorted(shared(FOLDER).glob("*/response.eventstream.bin"))
    assert len(found) == 4
    return found


def test_what_the_dialect_inside_is_told(captures: list[Path]) -> None:
    for path in captures:
        body = path.read_bytes()
        expected = msgspec.json.decode((path.parent / "expected.json").read_bytes())
        events = told([body])
        assert all(name == event["type"] for name, event in events), path
        assert (events[0][0], events[-1][0]) == ("message_start", "message_stop"), path
        deltas = [event["delta"] for name, event in events if name == "content_block_delta"]
        assert "".join(delta.get("text", "") for delta in deltas) == expected["assembled"]["text"], path
        calls: dict[int, str] = {}
        for name, event in events:
            if name == "content_block_delta" and "partial_json" in event["delta"]:
                calls[event["index"]] = calls.get(event["index"], "") + event["delta"]["partial_json"]
        arguments = [msgspec.json.decode(call) for call in calls.values()]
        assert arguments == [call["arguments"] for call in expected["assembled"]["tool_calls"]], path
        assert told(slices(body, range(1, len(body), 97))) == events, path


def chunk(body: bytes) -> tuple[str, dict[str, Any]]:
    return "chunk", {"bytes": b64encode(body).decode(), "p": "abc"}


def test_any_dialect_of_events() -> None:
    said = b'{"choices": [{"index": 0,\n "delta": {"content": "Hi"}, "finish_reason": "stop"}]}'
    framed, error = decode(InvokeDecoder(StreamDecoder()), [frames(chunk(said), ("unheard-of", {}))])
    plain, _ = decode(InvokeDecoder(StreamDecoder()), [b"data: " + said.replace(b"\n", b"") + b"\n\n"])
    assert error is None
    check(framed)
    assert fold(framed) == fold(plain)


def test_exceptions_and_nonsense() -> None:
    _, error = decode(InvokeDecoder(Told()), [frames(("throttlingException", {"message": "m"}))])
    assert type(error) is UpstreamLimited
    for payload in (b'{"bytes":"%"}', b"{}", b"[", b'{"bytes":"e30"}'):
        _, error = decode(InvokeDecoder(Told()), [event_stream.event("chunk", payload)])
        assert type(error) is UpstreamGarbled, payload
