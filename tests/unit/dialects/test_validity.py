"""Which tool calls count as valid."""

import msgspec
import pytest

from trunkline.dialects.common.tool_validation import ToolCallCheck, offered_names
from trunkline.model.events import PartStarted

NAMES = frozenset({"look"})


def raw(tools: object) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(tools))


def test_what_is_offered() -> None:
    tools = [
        {"type": "function", "function": {"name": "chat"}},
        {"name": "messages", "input_schema": {}},
        {"type": "custom", "custom": {"name": "free"}},
        {"type": "web_search"},
        {"name": 7},
    ]
    assert offered_names(raw(tools)) == {"chat", "messages", "free"}
    assert offered_names(raw(None)) == frozenset()


@pytest.mark.parametrize(
    ("name", "form", "arguments", "valid"),
    [
        ("look", None, ['{"x"', ": 1}"], True),
        ("look", None, [], True),
        ("look", None, ["{"], False),
        ("look", None, ["[1]"], False),
        ("look", "custom", ["anything"], True),
        ("other", None, ["{}"], False),
    ],
)
def test_one_call(name: str, form: str | None, arguments: list[str], valid: bool) -> None:
    calls = ToolCallCheck()
    calls.part(PartStarted(0, "tool_call", id="a", name=name, form=form))
    for piece in arguments:
        calls.delta(0, piece)
        calls.delta(1, "text of another part")
    assert calls.valid(NAMES) is valid


def test_none() -> None:
    assert ToolCallCheck().valid(NAMES) is None
