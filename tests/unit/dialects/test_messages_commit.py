"""The commit point of Messages streams, relayed and translated the same.

Source: docs/reference/reliability.md, "Rules".
"""

from typing import Any

import msgspec
import pytest
from messages_help import WAYS, Way, converter

from trunkline.model.errors import UpstreamFailed, UpstreamLimited, UpstreamOverloaded

Json = dict[str, Any]
START: Json = {"type": "message_start", "message": {"id": "msg_1", "model": "m", "usage": {"input_tokens": 3}}}
PING: Json = {"type": "ping"}


def begin(**block: Any) -> Json:
    return {"type": "content_block_start", "index": 0, "content_block": block}


def piece(**delta: Any) -> Json:
    return {"type": "content_block_delta", "index": 0, "delta": delta}


TEXT, THOUGHT = begin(type="text", text=""), begin(type="thinking", thinking="", signature="")
CITATION = {"type": "web_search_result_location", "url": "https://a", "title": None, "cited_text": "x"}
HELD: dict[str, list[Json]] = {
    "start": [START],
    "ping": [START, PING],
    "empty_text": [START, TEXT, piece(type="text_delta", text="")],
    "empty_thought": [START, THOUGHT, piece(type="thinking_delta", thinking="")],
    "signature": [START, THOUGHT, piece(type="signature_delta", signature="RXJj")],
    "ended": [START, TEXT, {"type": "content_block_stop", "index": 0}],
    "no_type": [START, begin(text="", citations=None)],
    "no_text": [START, begin(type="text", text=True)],
    "no_citation": [START, TEXT, piece(type="citations_delta", citation=None)],
}
CONTENT: dict[str, list[Json]] = {
    "text": [START, TEXT, piece(type="text_delta", text="Hi")],
    "text_at_once": [START, begin(type="text", text="Hi")],
    "thought": [START, THOUGHT, piece(type="thinking_delta", thinking="hm")],
    "redacted": [START, begin(type="redacted_thinking", data="RXJj")],
    "call": [START, begin(type="tool_use", id="a", name="f", input={})],
    "server_call": [START, begin(type="server_tool_use", id="a", name="web_search", input={})],
    "server_result": [START, begin(type="web_search_tool_result", tool_use_id="a", content=[])],
    "citation": [START, TEXT, piece(type="citations_delta", citation=CITATION)],
    "novel": [START, begin(type="novel", x=1)],
}


def sse(*events: Json) -> bytes:
    return b"".join(
        b"event: %s\ndata: %s\n\n" % (event["type"].encode(), msgspec.json.encode(event)) for event in events
    )


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", HELD)
def test_what_is_held_back(way: Way, name: str) -> None:
    through = converter(way, sse=True, stream=True)
    assert through.feed(sse(*HELD[name])) == b"", "nothing leaves, so nothing is committed"
    out = through.feed(sse(piece(type="text_delta", text="Hi")))
    assert through.committed
    assert out.startswith(b"event: message_start\n"), "what was held back comes first"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CONTENT)
def test_what_is_content(way: Way, name: str) -> None:
    through = converter(way, sse=True, stream=True)
    assert through.feed(sse(*CONTENT[name][:-1])) == b""
    out = through.feed(sse(CONTENT[name][-1]))
    assert out.startswith(b"event: message_start\n")
    assert through.committed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("kind", "error"),
    [("overloaded_error", UpstreamOverloaded), ("rate_limit_error", UpstreamLimited), ("api_error", UpstreamFailed)],
)
@pytest.mark.parametrize("name", HELD)
def test_an_error_before_content_can_be_taken_elsewhere(way: Way, kind: str, error: type[Exception], name: str) -> None:
    through = converter(way, sse=True, stream=True)
    through.feed(sse(*HELD[name]))
    with pytest.raises(error):
        through.feed(sse({"type": "error", "error": {"type": kind, "message": "no"}}))
    assert not through.committed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", HELD)
def test_an_answer_with_nothing_in_it_is_none(way: Way, name: str) -> None:
    through = converter(way, sse=True, stream=True)
    with pytest.raises(UpstreamFailed, match="empty answer"):
        through.feed(sse(*HELD[name], {"type": "message_stop"}))
    assert not through.committed


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", CONTENT)
def test_an_answer_with_something_in_it_is_one(way: Way, name: str) -> None:
    """Whether or not it says why it ended."""
    through = converter(way, sse=True, stream=True)
    through.feed(sse(*CONTENT[name], {"type": "message_stop"}))
    assert through.ended
