"""Usage of chat, from the wire and back."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.common.openai_usage import COMPLETION, MAX_TOKENS, PROMPT, decode
from trunkline.dialects.openai_chat.usage import encode, read
from trunkline.model.usage import FREE, Cost, Usage

COUNTS = st.integers(0, 10**9)


def test_every_name() -> None:
    body = {
        "prompt_tokens": 100,
        "completion_tokens": 50,
        "total_tokens": 150,
        "prompt_tokens_details": {name: at for at, name in enumerate(PROMPT, 1)},
        "completion_tokens_details": {name: at for at, name in enumerate(COMPLETION, 11)},
        "cost": 0.000123,
    }
    assert decode(body) == Usage(
        prompt=100, completion=50, total=150, cached=1, cache_write=2, audio_prompt=3, video_prompt=4, reasoning=11,
        audio_completion=12, image_completion=13, accepted_prediction=14, rejected_prediction=15,
        upstream_cost=123_000_000,
    )  # fmt: skip


@pytest.mark.parametrize("found", [None, [], "9", 5, True])
def test_no_usage(found: Any) -> None:
    assert decode(found) is None


@pytest.mark.parametrize(
    ("body", "usage"),
    [
        ({}, Usage()),
        ({"prompt_tokens": None, "prompt_tokens_details": None}, Usage()),
        ({"prompt_tokens": 5, "prompt_cache_hit_tokens": 2},
         Usage(prompt=5, cached=2, extra={"prompt_cache_hit_tokens": 2})),
        ({"prompt_tokens": 5, "cached_tokens": 2}, Usage(prompt=5, cached=2, extra={"cached_tokens": 2})),
        ({"prompt_tokens": -5}, Usage(inconsistent=True)),
        ({"prompt_tokens": "5"}, Usage(inconsistent=True)),
        ({"prompt_tokens": True}, Usage(inconsistent=True)),
        ({"prompt_tokens": 2**63}, Usage(prompt=MAX_TOKENS, inconsistent=True)),
        ({"prompt_tokens": 3.0}, Usage(prompt=3)),
        ({"prompt_tokens": 5, "total_tokens": 9}, Usage(prompt=5, total=9, inconsistent=True)),
        (
            {"prompt_tokens": 5, "prompt_tokens_details": {"cached_tokens": 6}},
            Usage(prompt=5, cached=6, inconsistent=True),
        ),
        (
            {"total_tokens": 10, "completion_tokens": 4, "completion_tokens_details": {"reasoning_tokens": 6}},
            Usage(completion=4, total=10, reasoning=6, reasoning_apart=True),
        ),
        ({"cost": -1}, Usage()),
        ({"cost": 1e30}, Usage()),
        ({"cost": "1"}, Usage()),
        ({"cost": {"total_cost": 0.5, "currency": "USD"}}, Usage(upstream_cost=5 * 10**11)),
        ({"prompt_tokens_details": {"novel": 1, "cached_tokens": 0}},
         Usage(cached=0, extra={"prompt_tokens_details": {"novel": 1}})),
        ({"tier": "x"}, Usage(extra={"tier": "x"})),
    ],
)  # fmt: skip
def test_what_providers_say(body: dict[str, Any], usage: Usage) -> None:
    assert decode(body) == usage


WHATEVER = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3)


@given(
    found=st.dictionaries(
        st.sampled_from(
            ["prompt_tokens", "completion_tokens", "total_tokens", "cost", "cached_tokens", "prompt_tokens_details"]
        ),
        WHATEVER | st.dictionaries(st.sampled_from(list(PROMPT)), WHATEVER),
    )
)
def test_nonsense_is_never_trusted(found: dict[str, Any]) -> None:
    usage = decode(found)
    assert usage is not None
    for count in (usage.prompt, usage.completion, usage.total, usage.cached, usage.upstream_cost):
        assert count is None or 0 <= count <= 2**63
    msgspec.json.encode(encode(usage, FREE))


@given(
    found=st.fixed_dictionaries(
        {
            "prompt_tokens": st.integers(-1, 9),
            "completion_tokens": st.integers(0, 9),
            "total_tokens": st.integers(0, 25),
        },
        optional={
            "prompt_tokens_details": st.none()
            | st.dictionaries(st.sampled_from([*PROMPT, "novel"]), st.integers(0, 9)),
            "completion_tokens_details": st.none()
            | st.dictionaries(st.sampled_from(list(COMPLETION)), st.integers(0, 9)),
            "cost": st.just(0.5),
        },
    )
)
def test_the_fast_reader_reads_the_same(found: dict[str, Any]) -> None:
    assert read(msgspec.Raw(msgspec.json.encode(found))) == decode(found)


@given(prompt=COUNTS, completion=COUNTS, cached=COUNTS, reasoning=COUNTS, estimated=st.booleans())
def test_there_and_back(prompt: int, completion: int, cached: int, reasoning: int, estimated: bool) -> None:
    usage = Usage(
        prompt=prompt + cached,
        completion=completion + reasoning,
        cached=cached,
        reasoning=reasoning,
        estimated=estimated,
        extra={"tier": "x", "prompt_tokens_details": {"novel": 1}},
    )
    body = msgspec.to_builtins(encode(usage, Cost(total=10**12, prompt=1, completion=2, upstream=5 * 10**11)))
    assert body["total_tokens"] == prompt + cached + completion + reasoning
    assert body["cost"] == 1.0
    assert body["is_byok"] is False
    assert body["cost_details"]["upstream_inference_cost"] == 0.5
    assert body["tier"] == "x"
    assert body.get("estimated", False) is estimated
    again = decode(body)
    assert again is not None
    assert (again.prompt, again.completion, again.cached, again.reasoning) == (
        usage.prompt, usage.completion, usage.cached, usage.reasoning,
    )  # fmt: skip
    assert again.upstream_cost == 10**12
    assert again.extra["prompt_tokens_details"] == {"novel": 1}
