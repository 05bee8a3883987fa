"""Calls and their results, as strict providers want them."""

from typing import Any

import msgspec
import pytest
from gemini_help import endpoint

from trunkline.dialects.common.tool_pairing import NO_RESULT, pair_results
from trunkline.dialects.interfaces import Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS
from trunkline.model.loss import Losses
from trunkline.model.request import Message, TextPart, ToolCallPart

MANY = 100_000
"""So many that pairing each with each would not end within the test's time."""


def asks(*ids: str) -> Message:
    return Message(role="assistant", parts=tuple(ToolCallPart(id=id_, name="f", arguments="{}") for id_ in ids))


def result(id_: str, text: str = "x") -> Message:
    return Message(role="tool", parts=(TextPart(text),), tool_call_id=id_)


def said(messages: tuple[Message, ...]) -> list[tuple[str, str | None, str]]:
    """Of each message its role, its call's id and its text."""
    return [
        (one.role, one.tool_call_id, " ".join(part.text for part in one.parts if isinstance(part, TextPart)))
        for one in messages
    ]


def test_a_late_result_moves_to_its_call() -> None:
    user = Message(role="user", parts=(TextPart("u"),))
    losses = Losses()
    found = pair_results((asks("a", "b"), result("b"), user, result("a", "late")), losses)
    assert said(found) == [
        ("assistant", None, ""), ("tool", "a", "late"), ("tool", "b", "x"), ("user", None, "u")
    ]  # fmt: skip
    assert not losses


def test_a_call_nobody_answered_and_a_result_nobody_asked_for_are_losses() -> None:
    losses = Losses()
    found = pair_results((result("a", "early"), asks("a"), result("z")), losses, "input")
    assert said(found) == [
        ("user", None, "Result of the tool call a: early"),
        ("assistant", None, ""),
        ("tool", "a", NO_RESULT),
        ("user", None, "Result of the tool call z: x"),
    ]
    assert [loss.path for loss in losses.found()] == ["input[0]", "input[1].tool_calls", "input[2]"]


def test_calls_of_one_id_are_answered_in_order() -> None:
    losses = Losses()
    found = pair_results((asks("a"), result("a", "1"), asks("a"), result("a", "2"), result("a", "3")), losses)
    assert [text for _, _, text in said(found)] == ["", "1", "", "2", "Result of the tool call a: 3"]
    assert [loss.path for loss in losses.found()] == ["messages[4]"]


def test_the_pairing_of_many_ends() -> None:
    calls = asks(*(str(at) for at in range(MANY)))
    found = pair_results((calls, *(result(str(at)) for at in reversed(range(2 * MANY)))), Losses())
    assert len(found) == 1 + 2 * MANY


@pytest.mark.parametrize("dialect", UPSTREAMS)
def test_every_provider_s_turns_of_many_calls_end(dialect: str) -> None:
    many = MANY // 5
    calls: list[dict[str, Any]] = [
        {"id": f"c{at}", "type": "function", "function": {"name": "f", "arguments": "{}"}} for at in range(many)
    ]
    body = {
        "model": "acme/small",
        "messages": [
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "content": None, "tool_calls": calls},
            *({"role": "tool", "tool_call_id": f"c{at}", "content": "x"} for at in range(2 * many, many // 2, -1)),
        ],
    }
    client = CLIENTS["chat"]
    request = client.decode(client.parse(msgspec.json.encode(body)))
    encoded = UPSTREAMS[dialect].encode(request, endpoint(), Quirks())
    assert encoded.body.count(b'"c0"') >= 1
