"""Usage of Messages that is billed and stands outside the totals, and usage that is not final."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from matrix_help import carry
from messages_help import WAYS, Way
from messages_help import carry as carry_messages

from trunkline.dialects.anthropic_messages.usage import decode, encode
from trunkline.ledger import cost
from trunkline.model.endpoint import Price
from trunkline.model.money import PICO_PER_USD
from trunkline.model.usage import FREE, Usage, with_outside

Json = dict[str, Any]
OPUS = Price(
    prompt=5 * PICO_PER_USD // 10**6, completion=25 * PICO_PER_USD // 10**6, cache_read=PICO_PER_USD // 2_000_000
)


def iteration(type_: str, put_in: int, put_out: int, **more: Any) -> Json:
    return {"type": type_, "input_tokens": put_in, "output_tokens": put_out, **more}


CACHED = {"cache_read_input_tokens": 50, "cache_creation_input_tokens": 30,
          "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20}}  # fmt: skip
MESSAGE = iteration("message", 5, 3)
CASES: dict[str, tuple[tuple[int, int], Any, tuple[int, int] | None, bool]] = {
    # The totals of input and output; iterations; what is outside the totals; whether another model ran for a part.
    "none": ((5, 3), None, None, False),
    "one": ((5, 3), [MESSAGE], None, False),
    "compaction": ((5, 3), [iteration("compaction", 900, 40), MESSAGE], (900, 40), False),
    "two compactions and a loop": (
        (12, 7),
        [iteration("compaction", 900, 40), MESSAGE, iteration("message", 7, 4), iteration("compaction", 100, 1)],
        (1000, 41),
        False,
    ),
    "the first input alone is in the total": ((5, 7), [MESSAGE, iteration("message", 9, 4)], (9, 0), False),
    "advisor": ((5, 3), [MESSAGE, iteration("advisor_message", 80, 60, model="claude-opus-4-7")], (80, 60), True),
    "a fallback after output": (
        (9, 4),
        [iteration("message", 8, 2), iteration("fallback_message", 9, 4)],
        (8, 2),
        True,
    ),
    "a fallback before output": ((9, 4), [iteration("message", 8, 0), iteration("fallback_message", 9, 4)], None, True),
    "of a kind that nobody knows": ((5, 3), [MESSAGE, iteration("news", 1, 1)], (1, 1), False),
    "with a cache": ((5, 3), [iteration("compaction", 9, 4, **CACHED), MESSAGE], (89, 4), False),
    "less than the totals": ((5, 3), [iteration("message", 1, 1)], None, False),
    "nonsense": ((5, 3), [7, None, {"input_tokens": "x"}], None, False),
    "no list": ((5, 3), {"a": 1}, None, False),
}


def body_of(name: str) -> Json:
    (put_in, put_out), iterations, *_ = CASES[name]
    return {"input_tokens": put_in, "output_tokens": put_out, "iterations": iterations}


@pytest.mark.parametrize("name", CASES)
def test_what_the_totals_leave_out(name: str) -> None:
    totals, iterations, expected, other_model = CASES[name]
    usage = decode(body_of(name))
    assert usage is not None
    assert (usage.prompt, usage.completion) == totals
    outside = usage.outside
    assert (None if outside is None else (outside.prompt, outside.completion)) == expected
    assert usage.other_model is other_model
    assert encode(usage, FREE, same=True)["iterations"] == iterations, "clients get them as they came"


def test_a_cache_outside_the_totals() -> None:
    usage = decode(body_of("with a cache"))
    assert usage is not None
    assert usage.outside == Usage(prompt=89, completion=4, cached=50, cache_write=30, cache_write_1h=20)
    assert (with_outside(usage).prompt, with_outside(usage).cached) == (94, 50)


def test_an_end_that_repeats_only_a_part() -> None:
    start = decode({"input_tokens": 900, "output_tokens": 1, "cache_read_input_tokens": 0})
    found = {
        "input_tokens": 5,
        "output_tokens": 3,
        "iterations": [iteration("compaction", 900, 40), iteration("message", 5, 3)],
    }
    usage = decode(found, start)
    assert usage is not None
    assert usage.outside is not None
    assert (usage.prompt, usage.outside.prompt, usage.outside.completion) == (5, 900, 40)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("name", "billed", "usd", "known"),
    [
        ("anthropic--anthropic-compaction-1--n0", (61_067, 1912), "0.353135", True),
        ("anthropic--anthropic-compaction-1--s0", (60_997, 3341), "0.38851", True),
        ("anthropic--anthropic-advisor-20260301-1--n0", (5142, 4074), "0.12756", False),
    ],
)
def test_recorded_answers_cost_what_they_were_billed(
    name: str, billed: tuple[int, int], usd: str, known: bool, way: Way, shared: Callable[[str], Path]
) -> None:
    """At the price of Claude Opus, 5 and 25 USD per million tokens."""
    folder = shared(f"fixtures/upstream/anthropic_messages/{name}")
    sse = name.endswith("s0")
    body = (folder / ("response.sse" if sse else "response.json")).read_bytes()
    answer = carry_messages(way, [body], sse=sse, stream=sse)
    usage = answer.outcome.usage
    assert usage is not None
    assert answer.outcome.usage_final
    charged = with_outside(usage)
    assert (charged.prompt, charged.completion) == billed
    found = cost(usage, OPUS)
    assert f"{found.total / PICO_PER_USD:g}" == usd
    assert found.known is known


def stream(*bodies: Json) -> list[bytes]:
    return [b"event: %s\ndata: %s\n\n" % (body["type"].encode(), msgspec.json.encode(body)) for body in bodies]


def parts(*, delta: Json | None) -> list[bytes]:
    message = {"id": "m", "type": "message", "role": "assistant", "model": "x", "content": [],
               "usage": {"input_tokens": 7, "output_tokens": 1}}  # fmt: skip
    bodies: list[Json] = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hello"}},
        {"type": "content_block_stop", "index": 0},
    ]
    if delta is not None:
        bodies.append({"type": "message_delta", **delta})
    return stream(*bodies, {"type": "message_stop"})


END = {"stop_reason": "end_turn", "stop_sequence": None}


@pytest.mark.parametrize("way", ["relay", "translate"])
@pytest.mark.parametrize(
    ("delta", "final"),
    [
        ({"delta": END, "usage": {"output_tokens": 3}}, True),
        ({"delta": {}, "usage": {"output_tokens": 3}}, True),
        ({"delta": END}, False),
        (None, False),
    ],
    ids=["whole", "no reason", "no usage", "no delta"],
)
def test_what_the_start_says_is_not_final(delta: Json | None, final: bool, way: str) -> None:
    chunks = parts(delta=delta)
    carried = carry("messages", "messages", chunks, sse=True, stream=True, way=way)
    assert carried.error is None
    assert carried.converter.outcome.usage is not None
    assert carried.converter.outcome.usage_final is final


@pytest.mark.parametrize("way", ["relay", "translate"])
def test_usage_on_the_way_is_not_final(way: str) -> None:
    chunks = parts(delta={"delta": {}, "usage": {"output_tokens": 2}})[:-1]
    carried = carry("messages", "messages", chunks, sse=True, stream=True, way=way)
    assert carried.error is not None
    assert carried.converter.outcome.usage is not None
    assert not carried.converter.outcome.usage_final


@pytest.mark.parametrize("way", ["relay", "translate"])
def test_usage_with_the_reason_is_final(way: str) -> None:
    chunks = parts(delta={"delta": END, "usage": {"output_tokens": 3}})[:-1]
    carried = carry("messages", "messages", chunks, sse=True, stream=True, way=way)
    assert carried.error is not None
    assert carried.converter.outcome.usage_final


@pytest.mark.parametrize("way", ["relay", "translate"])
def test_signatures_are_not_counted_as_content(way: str) -> None:
    chunks = parts(delta=None)
    piece = {"type": "content_block_delta", "index": 0, "delta": {"type": "signature_delta", "signature": "A" * 4096}}
    carried = carry("messages", "messages", [*chunks[:3], *stream(piece), *chunks[3:]], sse=True, stream=True, way=way)
    assert carried.converter.outcome.content_bytes == len("Hello")
