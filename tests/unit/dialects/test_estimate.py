"""The estimate is in the right place for what it was made for, and never fails."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.dialects.common.token_estimate import PER_IMAGE, request_tokens, text_tokens
from trunkline.model.request import ImagePart, Message, Request, TextPart, Tool

PROSE = "The reason to choose one gateway over every other: a conversation crosses dialects whole."


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [("", 0, 0), ("hello", 1, 1), (PROSE, 14, 26), ('{"a": [1, 22, 333]}', 8, 20), ("你好世界", 3, 8)],
)
def test_text(text: str, least: int, most: int) -> None:
    assert least <= text_tokens(text) <= most


@given(st.text(), st.text())
def test_more_text_is_no_fewer_tokens(one: str, two: str) -> None:
    assert text_tokens(f"{one} {two}") >= text_tokens(one)


def test_everything_of_a_request_counts() -> None:
    bare = Request(dialect="chat", messages=(Message(role="user", parts=(TextPart(PROSE),)),))
    image = Request(dialect="chat", messages=(Message(role="user", parts=(TextPart(PROSE), ImagePart("x"))),))
    tool = Tool(kind="function", name="look", parameters={"type": "object"})
    tools = Request(dialect="chat", messages=bare.messages, tools=(tool,))
    assert request_tokens(image) == request_tokens(bare) + PER_IMAGE
    assert request_tokens(tools) > request_tokens(bare)
