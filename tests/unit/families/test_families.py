"""The tables of model families: each row can be reached, names its source, and is found by any of a model's names."""

import re

import pytest

from trunkline.dialects.common.reasoning import FORMATS
from trunkline.families.efforts import ORDER, nearest_effort
from trunkline.families.lookup import FAMILIES, MAX_NAME, UNKNOWN, family_of
from trunkline.families.traits import Family

NAMES = (
    "us.anthropic.claude-sonnet-4-6",
    "claude-opus-4-8",
    "claude-opus-4-7",
    "claude-haiku-4-5",
    "claude-opus-4-1-20250805",
    "claude-3-haiku-20240307",
    "claude-opus-4-0",
    "us.amazon.nova-2-lite-v1:0",
    "amazon.nova-pro-v1:0",
    "openai.gpt-oss-120b-1:0",
    "openai/gpt-5.6-chat-latest",
    "gpt-4o",
    "gpt-5.6-sol",
    "openai.o3",
    "moonshot.kimi-k2-thinking",
    "qwen.qwen3-32b",
    "mistral.mistral-large",
    "deepseek.v3-v1:0",
    "grok-4",
    "zai.glm-4.7",
    "gemini-3-pro-preview",
    "gemini-3.1-pro",
    "gemini-3.5-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash-lite",
    "gemini-2.5-flash",
)


def test_every_row_is_some_models() -> None:
    assert tuple(family_of(name) for name in NAMES) == FAMILIES


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: str(family.pattern))
def test_a_row_names_its_source_and_accepts_what_can_be_said(family: Family) -> None:
    assert re.search(r"read 20\d\d-\d\d-\d\d$", family.source)
    assert set(family.efforts) <= set(ORDER)
    assert list(family.efforts) == sorted(family.efforts, key=ORDER.index)
    assert list(family.levels) == sorted(family.levels, key=ORDER.index)
    assert family.reasoning_format in {None, *FORMATS}
    assert family.least_budget <= (family.most_budget or family.least_budget)


def test_the_first_name_that_a_row_describes_counts() -> None:
    assert family_of("arn:aws:bedrock:us-east-1:1:profile/abc", "Anthropic/Claude-Opus-4.7").claude
    assert family_of("gemini-2.5-flash", "anthropic/claude-opus-4.7").most_budget == 24_576
    assert family_of("nobody/knows") is family_of() is UNKNOWN
    assert family_of("x" * MAX_NAME + "claude") is UNKNOWN


@pytest.mark.parametrize(
    ("name", "reasons", "breakpoints"),
    [
        ("gpt-5", True, False),
        ("gpt-5.5", True, False),
        ("gpt-5.6", True, True),
        ("gpt-5.10-mini", True, True),
        ("gpt-6", True, True),
        ("gpt-3.5-turbo", False, False),
        ("openai/gpt-4.1", False, False),
        ("chatgpt-4o-latest", False, False),
        ("gpt-5-chat-latest", False, False),
        ("gpt-5.2-chat-latest", False, False),
        ("gpt-5.7-chat", False, True),
        ("ft:gpt-4o:acme", True, False),
        ("o3", True, False),
        ("gpt-oss-20b", True, False),
    ],
)
def test_generations_of_gpt(name: str, reasons: bool, breakpoints: bool) -> None:
    found = family_of(name)
    assert (found.reasons, found.cache_breakpoints) == (reasons, breakpoints)


@pytest.mark.parametrize(
    ("effort", "efforts", "nearest"),
    [
        ("max", ("low", "medium", "high"), "high"),
        ("minimal", ("low", "medium", "high"), "low"),
        ("xhigh", ("minimal", "low", "medium", "high"), "high"),
        ("medium", ("low", "high"), "high"),
        ("minimal", ("none", "low"), "low"),
        ("none", ("none", "low"), "none"),
        ("novel", ("low", "medium", "high"), "medium"),
    ],
)
def test_the_nearest_effort(effort: str, efforts: tuple[str, ...], nearest: str) -> None:
    assert nearest_effort(effort, efforts) == nearest
