"""Messages from upstreams and clients that send anything at all: never an error of ours, and always well-formed."""

import random
from typing import Any

import msgspec
import pytest
from chat_help import cases
from hostile_help import JUNK, spoiled, spoiled_stream
from hypothesis import given, settings
from hypothesis import strategies as st
from messages_help import CLIENT, ENDPOINT, RELAY, WAYS, Way, carry, read, wire
from msgspec.structs import replace

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import UPSTREAMS
from trunkline.model.errors import InvalidRequest, UpstreamFailed

STREAMS = cases("streams/messages/*.sse")
BODIES = cases("streams/messages/*.json")
REQUESTS: list[Any] = [msgspec.json.decode(case.read_bytes()) for case in cases("requests/messages/*.json")]
MANY = settings(max_examples=100)


@MANY
@given(seed=st.integers(0, 2**32))
def test_streams(seed: int) -> None:
    chance = random.Random(seed)
    body = spoiled_stream(chance, chance.choice(STREAMS))
    for stream in (True, False):
        answers = {way: carry(way, [body], sse=True, stream=stream) for way in WAYS}
        assert len({type(answer.error) for answer in answers.values()}) == 1
        for way, answer in answers.items():
            if answer.out:
                read(answer.out, stream=stream)
                if stream and way == "translate":
                    wire(answer.out)


@MANY
@given(seed=st.integers(0, 2**32))
def test_bodies(seed: int) -> None:
    chance = random.Random(seed)
    found = spoiled(chance, msgspec.json.decode(chance.choice(BODIES).read_bytes()), chance.choice([0.02, 0.1]))
    outs = [carry(way, [msgspec.json.encode(found)], sse=False, stream=False) for way in WAYS]
    assert type(outs[0].error) is type(outs[1].error)
    for answer in outs:
        if answer.out:
            read(answer.out, stream=False)


@MANY
@given(seed=st.integers(0, 2**32))
def test_requests(seed: int) -> None:
    """What is taken leaves for every dialect."""
    chance = random.Random(seed)
    body = spoiled(chance, chance.choice(REQUESTS), chance.choice([0.0, 0.01, 0.05]))
    if not isinstance(body, dict):
        return
    try:
        call = CLIENT.parse(msgspec.json.encode(body))
    except InvalidRequest:
        return
    request = CLIENT.decode(call)
    assert isinstance(msgspec.json.decode(RELAY.request(call, ENDPOINT, Quirks()).body), dict)
    for name, upstream in UPSTREAMS.items():
        endpoint = replace(ENDPOINT, dialect=name, upstream_model="small-1")
        assert isinstance(msgspec.json.decode(upstream.encode(request, endpoint, Quirks()).body), dict)


@pytest.mark.parametrize("name", ["id", "type", "name", "input", "caller"])
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_calls_are_well_formed(name: str, junk: Any) -> None:
    """U38, as far as this dialect has it: ids are there and differ, the input is an object."""
    call = {"type": "tool_use", "id": "a", "name": "f", "input": {"x": 1}}
    body = msgspec.json.encode({"stop_reason": "tool_use", "content": [{**call, name: junk}, call]})
    answer = carry("translate", [body], sse=False, stream=False)
    assert answer.error is None
    calls = [block for block in msgspec.json.decode(answer.out)["content"] if block.get("type") == "tool_use"]
    assert calls
    assert len({block["id"] for block in calls}) == len(calls)
    for block in calls:
        assert isinstance(block["id"], str)
        assert isinstance(block["name"], str)
        assert isinstance(block["input"], dict)


@pytest.mark.parametrize("block", [{}, {"type": "text", "text": ""}, {"type": "thinking", "signature": "x"}], ids=repr)
@pytest.mark.parametrize("way", WAYS)
def test_a_body_that_says_nothing_is_empty(way: Way, block: Any) -> None:
    """U22: neither content nor an end, so another endpoint may answer."""
    body = msgspec.json.encode({"type": "message", "role": "assistant", "content": [block], "stop_reason": None})
    answer = carry(way, [body], sse=False, stream=False)
    assert isinstance(answer.error, UpstreamFailed)


def test_a_piece_of_no_known_kind_takes_no_words_place() -> None:
    begun = {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}}
    pieces = [{"type": "novel_delta", "thinking": 1.5, "x": 1}, {"type": "thinking_delta", "thinking": "hm"}]
    events = [begun, *({"type": "content_block_delta", "index": 0, "delta": piece} for piece in pieces)]
    body = b"".join(b"data: %s\n\n" % msgspec.json.encode(event) for event in [*events, {"type": "message_stop"}])
    answer = carry("translate", [body], sse=True, stream=False)
    (block,) = msgspec.json.decode(answer.out)["content"]
    assert block == {"type": "thinking", "thinking": "hm", "signature": "", "x": 1}
