"""An answer given again is what it was, but for its id, its time and its usage; over all golden answers of ours."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from chat_help import GOLDEN
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.common.replay import map_data, map_frames, replace_fields
from trunkline.dialects.common.sse import FrameReader
from trunkline.dialects.registry import CLIENTS

ID, CREATED = "gen-1790000999-abcdefghijklmnopqrst", 1790000999
TIMES = {"chat": ("created",), "messages": (), "responses": ("created_at", "completed_at")}
WITHIN = ("message", "response")
"""Fields of frames that hold the answer, or its beginning."""


def dialect_of(path: Path) -> str:
    """Whose answer the golden file *path* is: `<case>.to.<dialect>.sse`, `<case>.relay.sse`."""
    words = path.name.split(".")
    return words[-2] if words[-3] == "to" else path.parent.name


def golden(suffix: str) -> list[Path]:
    found = [*GOLDEN.glob(f"streams/*/*.to.*.{suffix}"), *GOLDEN.glob(f"streams/*/*.relay.{suffix}")]
    return sorted(path for path in found if dialect_of(path) in CLIENTS and path.stat().st_size)  # empty: failed


def ident(path: Path) -> str:
    return f"{path.parent.name}-{path.name}"


STREAMS, BODIES = golden("sse"), golden("json")


def zeroed(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: zeroed(inner) for key, inner in value.items() if key != "estimated"}
    if isinstance(value, list):
        return [zeroed(inner) for inner in value]
    return 0 if isinstance(value, int | float) and not isinstance(value, bool) else value


def expected(client: str, body: Any) -> Any:
    """*body*, a whole answer or a frame, as it is to be the second time; written another way than the code is."""
    out: dict[str, Any] = {}
    inside = client == "chat" or body.get("type") == "message" or body.get("object") == "response"
    for key, value in body.items():
        if key == "openrouter_metadata":
            continue
        if key in WITHIN and isinstance(value, dict):
            out[key] = expected(client, value)
        elif key == "id" and inside:
            out[key] = ID
        elif key in TIMES[client] and inside:
            out[key] = value if value is None else CREATED
        else:
            out[key] = zeroed(value) if key == "usage" else value
    return out


def parsed(stream: bytes) -> list[tuple[str, Any]]:
    reader = FrameReader()
    found = [*reader.feed(stream), *reader.close()]
    return [(frame.event, frame.data if frame.data == b"[DONE]" else loads(frame.data)) for frame in found]


def loads(data: bytes) -> Any:
    return msgspec.json.decode(data)


def keys(value: Any) -> Any:
    return list(value) if isinstance(value, dict) else None


def test_there_are_cases_of_each() -> None:
    for some in (STREAMS, BODIES):
        assert {dialect_of(path) for path in some} == set(CLIENTS)


@pytest.mark.parametrize("path", STREAMS, ids=ident)
def test_a_stream(path: Path) -> None:
    client, stream = dialect_of(path), path.read_bytes()
    again = CLIENTS[client].replay(stream, ID, CREATED, stream=True)
    before, after = parsed(stream), parsed(again)
    assert after == [(name, data if data == b"[DONE]" else expected(client, data)) for name, data in before]
    for (_, old), (_, new) in zip(before, after, strict=True):
        assert keys(new) == (None if keys(old) is None else [key for key in old if key != "openrouter_metadata"])
    assert again.endswith(b"\n\n")
    assert CLIENTS[client].replay(again, ID, CREATED, stream=True) == again


@pytest.mark.parametrize("path", BODIES, ids=ident)
def test_a_body(path: Path) -> None:
    client, body = dialect_of(path), path.read_bytes()
    again = CLIENTS[client].replay(body, ID, CREATED, stream=False)
    assert loads(again) == expected(client, loads(body))
    assert CLIENTS[client].replay(again, ID, CREATED, stream=False) == again


@given(
    texts=st.lists(st.text() | st.sampled_from(['"usage"', '"choices":', '"id":"gen-0"', "\n\n", ": x"]), max_size=8)
)
def test_whatever_is_said_in_a_chat_stream(texts: list[str]) -> None:
    head: dict[str, Any] = {"id": "gen-0", "object": "chat.completion.chunk", "created": 1, "model": "a/b"}
    chunks: list[dict[str, Any]] = [
        {**head, "choices": [{"index": 0, "delta": {"content": text}}], "note": text} for text in texts
    ]
    chunks.append({**head, "choices": [], "usage": {"total_tokens": 3, "cost": 0.5}, "openrouter_metadata": {"a": 1}})
    stream = b"".join(b"data: %s\n\n" % msgspec.json.encode(chunk) for chunk in chunks) + b"data: [DONE]\n\n"
    again = parsed(CLIENTS["chat"].replay(stream, ID, CREATED, stream=True))
    assert [data for _, data in again] == [*(expected("chat", chunk) for chunk in chunks), b"[DONE]"]


@pytest.mark.parametrize(
    "head",
    [
        {"choices": [1], "id": "gen-0", "created": 1},
        {"id": "gen-0", "more": {"choices": 1}, "created": 1, "choices": [1]},
        {"id": "gen-0", "created": 1, "more": {"choices": 1}, "choices": [1]},
        {"id": "gen-0", "created": 1, "usage": {"n": 1}, "choices": [1]},
        {"id": "gen-0", "created": 1, "choices": [1], "more": {"id": "gen-0", "created": 1}},
    ],
    ids=str,
)
def test_chunks_that_are_not_as_ours(head: dict[str, Any]) -> None:
    frame = b"data: %s\n\n" % msgspec.json.encode(head)
    again = parsed(CLIENTS["chat"].replay(frame * 3, ID, CREATED, stream=True))
    assert [data for _, data in again] == [expected("chat", head)] * 3


@pytest.mark.parametrize("client", CLIENTS)
def test_what_is_no_answer(client: str) -> None:
    for body in (b"", b"[]", b"{", b"nonsense"):
        with pytest.raises(msgspec.DecodeError):
            CLIENTS[client].replay(body, ID, CREATED, stream=False)


def test_comments_and_blocks_without_data() -> None:
    assert map_frames(b": x\n\ndata: 1\n\n\n\n", lambda block: block) == b"data: 1\n\n"
    assert map_data(b"event: x", replace_fields) == b"event: x"


def test_ids_in_what_a_model_says_stay() -> None:
    """A Messages tool call's input is an object: what it names is its own."""
    block = {"type": "tool_use", "id": "t", "name": "f", "input": {"id": "gen-0", "usage": {"n": 1}, "response": {}}}
    body = {"id": "gen-0", "type": "message", "content": [block], "usage": {"input_tokens": 3}}
    again = loads(CLIENTS["messages"].replay(msgspec.json.encode(body), ID, CREATED, stream=False))
    assert again == {**body, "id": ID, "usage": {"input_tokens": 0}}
