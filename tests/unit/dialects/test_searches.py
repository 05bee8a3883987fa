"""Web searches that a provider made, in its usage."""

from typing import Any

import pytest

from trunkline.dialects.anthropic_messages import usage as messages
from trunkline.dialects.common.openai_usage import decode
from trunkline.dialects.common.searches import searches_in
from trunkline.dialects.openai_responses import usage as responses


@pytest.mark.parametrize(
    ("usage", "count"),
    [
        ({}, None),
        ({"server_tool_use": None}, None),
        ({"server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1}}, 2),
        ({"server_side_tool_usage_details": {"web_search_calls": 3}}, 3),
        ({"num_search_queries": 0}, 0),
        ({"num_search_queries": -1}, None),
        ({"num_search_queries": "4"}, None),
        ({"num_search_queries": True}, None),
        ({"num_search_queries": 1e9}, None),
        ({"num_search_queries": 2**40}, None),
    ],
)
def test_the_number(usage: dict[str, Any], count: int | None) -> None:
    assert searches_in(usage) == count


def test_every_dialect_that_names_it() -> None:
    tools = {"server_tool_use": {"web_search_requests": 2}}
    found = messages.decode({"input_tokens": 1, "output_tokens": 1, **tools})
    assert found is not None
    assert found.searches == 2
    later = messages.decode({"output_tokens": 5}, found)
    assert later is not None
    assert later.searches == 2, "what the end of a stream does not repeat is kept"
    chat = decode({"prompt_tokens": 1, "completion_tokens": 1, "num_search_queries": 3})
    assert chat is not None
    assert chat.searches == 3
    assert chat.extra == {"num_search_queries": 3}, "clients of the dialect get it as it was"
    told = responses.decode({"input_tokens": 1, "output_tokens": 1, **tools})
    assert told is not None
    assert told.searches == 2
