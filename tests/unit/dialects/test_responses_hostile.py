"""Responses from upstreams and clients that send anything at all: never an error of ours, and always well-formed."""

import random
from typing import Any

import msgspec
import pytest
from chat_help import cases
from hostile_help import JUNK, spoiled, spoiled_stream
from hypothesis import given, settings
from hypothesis import strategies as st
from responses_help import CLIENT, ENDPOINT, RELAY, UPSTREAM, WAYS, Way, carry, read, wire
from test_responses_request import EVERYTHING

from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.openai_responses.request_native import to_wire
from trunkline.model.errors import InvalidRequest

STREAMS = cases("streams/responses/*.sse")
REQUESTS: list[Any] = [msgspec.json.decode(case.read_bytes()) for case in cases("requests/responses/*.json")]
MANY = settings(max_examples=100)


@MANY
@given(seed=st.integers(0, 2**32))
def test_answers(seed: int) -> None:
    chance = random.Random(seed)
    body = spoiled_stream(chance, chance.choice(STREAMS))
    for stream in (True, False):
        answers = {way: carry(way, [body], sse=True, stream=stream) for way in WAYS}
        assert len({type(answer.error) for answer in answers.values()}) == 1
        for answer in answers.values():
            if answer.out:
                read(answer.out, stream=stream)
                if stream:
                    wire(answer.out)


@MANY
@given(seed=st.integers(0, 2**32))
def test_requests(seed: int) -> None:
    """What is taken leaves, and what leaves is what came."""
    chance = random.Random(seed)
    whole = {"model": "m", "input": EVERYTHING, "text": {"format": {"type": "text"}}}
    body = spoiled(chance, chance.choice([*REQUESTS, whole]), chance.choice([0.0, 0.01, 0.05]))
    if not isinstance(body, dict):
        return
    try:
        call = CLIENT.parse(msgspec.json.encode(body))
    except InvalidRequest:
        return
    request = CLIENT.decode(call)
    assert request.dialect == "responses"
    RELAY.request(call, ENDPOINT, Quirks())
    UPSTREAM.encode(request, ENDPOINT, Quirks())
    back = msgspec.json.decode(msgspec.json.encode(to_wire(request)))
    for key in body.keys() - {"tools"}:  # a tool without its type is a function, and says so
        assert back[key] == body[key], key


@pytest.mark.parametrize("name", ["id", "type", "status", "call_id", "name", "arguments"])
@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_calls_are_well_formed(name: str, junk: Any) -> None:
    """U38, as far as this dialect has it: ids are there and differ, arguments are text."""
    call = {
        "id": "fc_1",
        "type": "function_call",
        "status": "completed",
        "call_id": "c",
        "name": "f",
        "arguments": "{}",
    }
    output = [{**call, name: junk}, call]
    body = msgspec.json.encode({"status": "completed", "output": output})
    answer = carry("translate", [body], sse=False, stream=False)
    assert answer.error is None
    calls = [item for item in msgspec.json.decode(answer.out)["output"] if item["type"] == "function_call"]
    assert calls
    assert len({item["call_id"] for item in calls}) == len(calls)
    for item in calls:
        assert all(isinstance(item[key], str) for key in ("id", "call_id", "name", "arguments"))


def stream(*events: Any) -> bytes:
    return b"".join(b"data: %s\n\n" % msgspec.json.encode(event) for event in events)


MESSAGE = {"type": "message", "id": "msg_1", "role": "assistant", "content": []}
TEXT = {"type": "output_text", "text": "Hi", "annotations": []}
ENDED = {"type": "response.completed", "response": {"status": "completed", "output": []}}
SAID = [
    {"type": "response.output_item.added", "output_index": 0, "item": MESSAGE},
    {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "delta": "Hi"},
]


@pytest.mark.parametrize("way", WAYS)
def test_an_item_stays_what_it_began_as(way: Way) -> None:
    done = {"type": "response.output_item.done", "output_index": 0, "item": {**MESSAGE, "type": "", "content": [TEXT]}}
    for streamed in (True, False):
        answer = carry(way, [stream(*SAID, done, ENDED)], sse=True, stream=streamed)
        assert answer.error is None
        read(answer.out, stream=streamed)


@pytest.mark.parametrize("odd", [{"type": "response.in_progress", "response": "x"}, {"type": "novel", "error": []}])
@pytest.mark.parametrize("way", WAYS)
def test_what_says_nothing_is_passed_over(way: Way, odd: Any) -> None:
    answer = carry(way, [stream(odd, *SAID, ENDED)], sse=True, stream=True)
    assert answer.error is None
    assert any(event.get("delta") == "Hi" for event in wire(answer.out))
