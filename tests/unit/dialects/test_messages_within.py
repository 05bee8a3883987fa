"""System messages within a Messages client's conversation, for models that take them and for those that do not."""

from typing import Any

import msgspec
import pytest
from messages_help import CLIENT, ENDPOINT, RELAY, UPSTREAM
from msgspec.structs import replace

from trunkline.dialects.anthropic_messages import request_midway_system
from trunkline.dialects.interfaces import Encoded, Quirks

Json = dict[str, Any]
HI: Json = {"role": "user", "content": "Hi"}
HELLO: Json = {"role": "assistant", "content": "Hello"}
CALL: Json = {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "f", "input": {}}]}
RESULT: Json = {"type": "tool_result", "tool_use_id": "a", "content": "1"}
BRIEF: Json = {"role": "system", "content": "Be brief."}
TEXT: Json = {"type": "text", "text": "Be brief."}
TAGGED: Json = {"type": "text", "text": "<system-reminder>\nBe brief.\n</system-reminder>"}


def block(text: str) -> Json:
    return {"type": "text", "text": text}


def sent(*messages: Json, model: str, quirks: Quirks | None = None, **more: Any) -> tuple[Json, list[str]]:
    """What leaves and what is lost, relayed and translated the same."""
    body = {"model": "m", "max_tokens": 9, "messages": list(messages), **more}
    call = CLIENT.parse(msgspec.json.encode(body))
    endpoint = replace(ENDPOINT, model="x/y", upstream_model=model)
    relayed: Encoded = RELAY.request(call, endpoint, quirks or Quirks())
    translated = UPSTREAM.encode(CLIENT.decode(call), endpoint, quirks or Quirks())
    found = msgspec.json.decode(relayed.body)
    assert found == msgspec.json.decode(translated.body)
    assert relayed.losses == translated.losses
    return found, [loss.path for loss in relayed.losses]


@pytest.mark.parametrize(
    ("model", "takes"),
    [
        ("claude-opus-4-8", True),
        ("claude-opus-4-8-20260528", True),
        ("anthropic/claude-opus-4.8", True),
        ("claude-opus-5", True),
        ("claude-sonnet-5-5", True),
        ("claude-fable-5", True),
        ("claude-mythos-5-1", True),
        ("claude-opus-4-7", False),
        ("claude-sonnet-4-5", False),
        ("claude-sonnet-4-6", False),
        ("claude-haiku-4-5-20251001", False),
        ("claude-3-5-sonnet-latest", False),
        ("qwen3.7-max", False),
        ("deepseek-v4", False),
    ],
)
def test_who_takes_them(model: str, takes: bool) -> None:
    endpoint = replace(ENDPOINT, model="x/y", upstream_model=model)
    assert request_midway_system.takes(endpoint, Quirks()) == takes
    assert not request_midway_system.takes(endpoint, Quirks(model_in_body=False)), "none on Vertex"


def test_who_takes_them_gets_them() -> None:
    messages = [HI, {**BRIEF, "clear_at": "never"}, HELLO, HI]
    body, lost = sent(*messages, model="claude-opus-4-8", system="Be kind.")
    assert (body["messages"], body["system"], lost) == (messages, "Be kind.", [])


@pytest.mark.parametrize(
    ("messages", "said", "lost"),
    [
        ([HI, BRIEF], [{"role": "user", "content": [block("Hi"), TAGGED]}], [1]),
        (
            [HI, BRIEF, HELLO, HI],
            [{"role": "user", "content": [block("Hi"), TAGGED]}, HELLO, HI],
            [1],
        ),
        (
            [HI, HELLO, BRIEF, HI],
            [HI, HELLO, {"role": "user", "content": [block("Hi"), TAGGED]}],
            [2],
        ),
        ([HI, HELLO, BRIEF], [HI, HELLO, {"role": "user", "content": [TAGGED]}], [2]),
        (
            [HI, CALL, BRIEF, {"role": "user", "content": [RESULT, block("So?")]}],
            [HI, CALL, {"role": "user", "content": [RESULT, block("So?"), TAGGED]}],
            [2],
        ),
        ([HI, BRIEF, BRIEF], [{"role": "user", "content": [block("Hi"), TAGGED, TAGGED]}], [1, 2]),
    ],
    ids=["last", "before_the_model", "behind_the_model", "at_the_end", "before_a_result", "two"],
)
def test_who_takes_none_hears_it_from_the_user(messages: list[Json], said: list[Json], lost: list[int]) -> None:
    body, found = sent(*messages, model="deepseek-v4")
    assert body["messages"] == said
    assert found == [f"messages[{at}].role" for at in lost]


def test_the_first_ones_are_the_system_text() -> None:
    body, lost = sent(BRIEF, HI, model="claude-sonnet-4-5")
    assert (body["system"], body["messages"], lost) == ([TEXT], [HI], [])
    body, lost = sent(BRIEF, BRIEF, HI, model="claude-sonnet-4-5", system="Be kind.")
    assert (body["system"], body["messages"], lost) == ([block("Be kind."), TEXT, TEXT], [HI], [])


def test_what_only_they_have_is_lost() -> None:
    added = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
    marked = {**TEXT, "cache_control": {"type": "ephemeral"}}
    body, lost = sent(HI, {"role": "system", "content": [added, marked], "clear_at": "never"}, model="qwen3.7-max")
    assert body["messages"] == [
        {"role": "user", "content": [block("Hi"), {**TAGGED, "cache_control": {"type": "ephemeral"}}]}
    ]
    assert lost == ["messages[1].clear_at", "messages[1].content[0]", "messages[1].role"]


def test_a_word_that_looks_like_one_costs_only_a_translation() -> None:
    messages = [HI, {"role": "assistant", "content": [{**CALL["content"][0], "input": {"role": "system"}}]}]
    body, lost = sent(*messages, model="qwen3.7-max", system="Be kind.", novel=1)
    assert (body["messages"], body["system"], body["novel"], lost) == (messages, "Be kind.", 1, [])
