"""Redacted thoughts of Converse: whatever their bytes are, Converse gets the same ones with the second turn."""

from base64 import b64decode, b64encode
from itertools import pairwise

import msgspec
import pytest
from converse_help import frames
from hypothesis import example, given
from hypothesis import strategies as st
from second_turn import again, first, heard, sent

from trunkline.dialects.bedrock_converse.redacted_reasoning import MARK
from trunkline.dialects.registry import CLIENTS

USED = {"inputTokens": 3, "outputTokens": 2, "totalTokens": 5}
blobs = (
    st.binary(min_size=1) | st.binary(min_size=1).map(b64encode) | st.binary(min_size=1).map(b64encode).map(b64encode)
)


def body(blob: bytes) -> bytes:
    """The answer that has *blob* and a text."""
    content = [{"reasoningContent": {"redactedContent": b64encode(blob).decode()}}, {"text": "Well."}]
    message = {"role": "assistant", "content": content}
    return msgspec.json.encode({"output": {"message": message}, "stopReason": "end_turn", "usage": USED})


def stream(pieces: list[bytes]) -> bytes:
    """The same, streamed, with a blob for each of *pieces*."""
    said = [{"reasoningContent": {"redactedContent": b64encode(piece).decode()}} for piece in pieces]
    return frames(
        ("messageStart", {"role": "assistant"}),
        *(("contentBlockDelta", {"contentBlockIndex": 0, "delta": delta}) for delta in said),
        ("contentBlockStop", {"contentBlockIndex": 0}),
        ("contentBlockDelta", {"contentBlockIndex": 1, "delta": {"text": "Well."}}),
        ("contentBlockStop", {"contentBlockIndex": 1}),
        ("messageStop", {"stopReason": "end_turn"}),
        ("metadata", {"usage": USED}),
    )


def second(client: str, answer: bytes, *, sse: bool) -> list[bytes]:
    """The bytes of the redacted thoughts that Converse gets after the *client* got *answer*."""
    asked = first(client)
    whole = sent(client, again(client, asked, heard(client, asked, "converse", answer, sse=sse)), "converse")
    thoughts = [block["reasoningContent"] for block in whole["messages"][1]["content"] if "reasoningContent" in block]
    return [b64decode(thought["redactedContent"], validate=True) for thought in thoughts]


@pytest.mark.parametrize("client", CLIENTS)
@given(blob=blobs)
@example(blob=b"\x00\xff")
@example(blob=b"EuYB")
@example(blob=b"RXVZQg==")
@example(blob=MARK.encode())
@example(blob=b"unknown::EuYB")
def test_a_bodys_come_back(client: str, blob: bytes) -> None:
    assert second(client, body(blob), sse=False) == [blob]


@pytest.mark.parametrize("client", CLIENTS)
@given(blob=blobs, cuts=st.sets(st.integers(1, 40), max_size=2))
@example(blob=b"EuYB", cuts={1})
@example(blob=b"EuYBEuYB", cuts={4})
@example(blob=b"\x00\xffEuYB", cuts={2})
def test_a_streams_come_back(client: str, blob: bytes, cuts: set[int]) -> None:
    edges = [0, *sorted(cut for cut in cuts if cut < len(blob)), len(blob)]
    pieces = [blob[a:b] for a, b in pairwise(edges)]
    assert second(client, stream(pieces), sse=True) == [blob]


@pytest.mark.parametrize("client", CLIENTS)
def test_anthropic_itself_gets_its_own_alone(client: str) -> None:
    asked = first(client)
    for blob, goes in ((b"EuYB", ["EuYB"]), (b"\x00\xff", [])):
        said = heard(client, asked, "converse", body(blob), sse=False)
        content = sent(client, again(client, asked, said), "messages")["messages"][1]["content"]
        assert [block["data"] for block in content if block["type"] == "redacted_thinking"] == goes
