"""A preset in a request: who wins, what comes first."""

import contextlib
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from presets_help import LOST, SAID, Json

from trunkline.dialects.registry import CLIENTS
from trunkline.model.errors import InvalidRequest
from trunkline.presets.fields import encode_raw
from trunkline.presets.merge import find_reference, merge_preset
from trunkline.presets.to_dialect import config_to_dialect
from trunkline.presets.tools import merge_tools, tool_identity
from trunkline.server.api.presets import parse_content


def fields(body: Json) -> dict[str, msgspec.Raw]:
    return {key: encode_raw(said) for key, said in body.items()}


def both(dialect: str, request: Json, preset: Json, system: str | None = None) -> Json:
    found = merge_preset(fields(request), fields(preset), system, dialect)
    return {key: msgspec.json.decode(said) for key, said in found.items()}


REFERENCES: list[tuple[Json, tuple[str, str, Json] | None]] = [
    ({"model": "@preset/mine", "x": 1}, ("mine", "model", {"x": 1})),
    ({"model": "a/b@preset/mine"}, ("mine", "model", {"model": "a/b"})),
    ({"model": "a/b:free@preset/mine"}, ("mine", "model", {"model": "a/b:free"})),
    ({"preset": "mine", "model": "a/b"}, ("mine", "preset", {"model": "a/b"})),
    ({"preset": "mine", "model": "@preset/mine"}, ("mine", "model", {})),
    ({"preset": "", "model": "a/b"}, ("", "preset", {"model": "a/b"})),
    ({"model": "@preset/"}, ("", "model", {})),
    ({"preset": None, "model": "a/b"}, None),
    ({"model": "a/preset", "messages": "preset"}, None),
    ({"model": 5}, None),
    ({"model": ["@preset/mine"]}, None),
]


@pytest.mark.parametrize(("body", "expected"), REFERENCES)
def test_references(body: Json, expected: tuple[str, str, Json] | None) -> None:
    found = find_reference(fields(body))
    if expected is None:
        assert found is None
        return
    assert found is not None
    assert (found.slug, found.param) == expected[:2]
    assert found.rest == fields(expected[2])


@pytest.mark.parametrize("body", [{"preset": 5}, {"preset": ["a"]}, {"preset": "a", "model": "@preset/b"}])
def test_invalid_references(body: Json) -> None:
    with pytest.raises(InvalidRequest) as caught:
        find_reference(fields(body))
    assert caught.value.param == "preset"


F, G = ({"type": "function", "function": {"name": name, "description": "preset"}} for name in "fg")
F2 = {"type": "function", "function": {"name": "f", "description": "request"}}
MERGES: list[tuple[str, str, Json, Json, Json]] = [
    # what, dialect, request, preset, result
    ("what the request leaves out", "chat", {}, {"model": "a/b", "top_p": 1}, {"model": "a/b", "top_p": 1}),
    ("the request wins", "chat", {"top_p": 0.5}, {"top_p": 1, "seed": 2}, {"top_p": 0.5, "seed": 2}),
    (
        "objects are not merged",
        "chat",
        {"provider": {"only": ["a"]}},
        {"provider": {"zdr": True}},
        {"provider": {"only": ["a"]}},
    ),
    ("a null takes it away", "chat", {"seed": None}, {"seed": 2}, {"seed": None}),
    ("no model is none", "chat", {"model": None}, {"model": "a/b"}, {"model": "a/b"}),
    ("models beside a model", "chat", {"model": "c/d"}, {"models": ["a/b"]}, {"model": "c/d", "models": ["a/b"]}),
    ("two names of one thing", "chat", {"max_tokens": 1}, {"max_completion_tokens": 2}, {"max_tokens": 1}),
    ("and the other way", "chat", {"max_completion_tokens": 1}, {"max_tokens": 2}, {"max_completion_tokens": 1}),
    ("effort", "chat", {"reasoning_effort": "low"}, {"reasoning": {"effort": "high"}}, {"reasoning_effort": "low"}),
    ("fallbacks", "messages", {"fallbacks": []}, {"models": ["a/b"]}, {"fallbacks": []}),
    ("same", "messages", {"output_config": {}}, {"output_config": {"effort": "low"}}, {"output_config": {}}),
    ("tools by name", "chat", {"tools": [G, F2]}, {"tools": [F, {"type": "x"}]}, {"tools": [F2, {"type": "x"}, G]}),
    ("no tools", "chat", {"tools": None}, {"tools": [F], "tool_choice": "auto"}, {"tools": None}),
    ("none more", "chat", {"tools": []}, {"tools": [F]}, {"tools": [F]}),
    ("wrong tools are left to be found", "chat", {"tools": "all"}, {"tools": [F]}, {"tools": "all"}),
    ("a choice needs tools", "chat", {}, {"tool_choice": "auto", "parallel_tool_calls": True}, {}),
    ("and has them", "chat", {"tools": [F]}, {"tool_choice": "auto"}, {"tool_choice": "auto", "tools": [F]}),
    (
        "its own choice is the caller's",
        "chat",
        {"tool_choice": "none"},
        {"tool_choice": "auto"},
        {"tool_choice": "none"},
    ),
]


@pytest.mark.parametrize(
    ("dialect", "request_", "preset", "expected"), [one[1:] for one in MERGES], ids=[one[0] for one in MERGES]
)
def test_the_merge(dialect: str, request_: Json, preset: Json, expected: Json) -> None:
    assert both(dialect, request_, preset) == expected


U = {"role": "user", "content": "Hello"}
S = {"role": "system", "content": "Preset."}
SYSTEMS: list[tuple[str, Json, Json]] = [
    ("chat", {"messages": [U]}, {"messages": [S, U]}),
    ("chat", {"messages": [{**S, "content": "Mine."}, U]}, {"messages": [S, {**S, "content": "Mine."}, U]}),
    ("chat", {"messages": []}, {"messages": []}),
    ("chat", {"messages": "x"}, {"messages": "x"}),
    ("chat", {}, {}),
    ("messages", {}, {"system": "Preset."}),
    ("messages", {"system": ""}, {"system": "Preset."}),
    ("messages", {"system": "Mine."}, {"system": "Preset.\n\nMine."}),
    (
        "messages",
        {"system": [{"type": "text", "text": "M"}]},
        {"system": [{"type": "text", "text": "Preset."}, {"type": "text", "text": "M"}]},
    ),
    ("messages", {"system": 5}, {"system": 5}),
    ("responses", {}, {"instructions": "Preset."}),
    ("responses", {"instructions": None}, {"instructions": "Preset."}),
    ("responses", {"instructions": "Mine."}, {"instructions": "Preset.\n\nMine."}),
    ("responses", {"instructions": [5]}, {"instructions": [5]}),
]


@pytest.mark.parametrize(("dialect", "request_", "expected"), SYSTEMS)
def test_the_presets_system_text_comes_first(dialect: str, request_: Json, expected: Json) -> None:
    assert both(dialect, request_, {}, "Preset.") == expected


def test_whitespace_around_messages() -> None:
    request = {"messages": msgspec.Raw(b' [ \n {"role":"user","content":"x"} ] ')}
    found = merge_preset(request, {}, "Preset.", "chat")
    assert [one["role"] for one in msgspec.json.decode(found["messages"])] == ["system", "user"]
    empty = msgspec.Raw(b" [ \n ] ")
    assert merge_preset({"messages": empty}, {}, "Preset.", "chat")["messages"] is empty


ADVISOR = "openrouter:advisor"
PAIRS: list[tuple[str, Any, Any, bool]] = [
    ("by name", F, F2, True),
    ("another name", F, G, False),
    ("flat and nested", F, {"type": "function", "name": "f"}, True),
    ("without its type", F, {"function": {"name": "f"}}, True),
    ("free-form input has names too", F, {"type": "custom", "custom": {"name": "f"}}, True),
    ("of messages", {"name": "f", "input_schema": {}}, {"type": "custom", "name": "f", "input_schema": {}}, True),
    (
        "server tools by type",
        {"type": "openrouter:web_search", "parameters": {"a": 1}},
        {"type": "openrouter:web_search"},
        True,
    ),
    ("other types", {"type": "openrouter:web_search"}, {"type": "openrouter:web_fetch"}, False),
    (
        "advisors by name",
        {"type": ADVISOR, "parameters": {"name": "a"}},
        {"type": ADVISOR, "parameters": {"name": "b"}},
        False,
    ),
    (
        "the same",
        {"type": ADVISOR, "parameters": {"name": "a", "x": 1}},
        {"type": ADVISOR, "parameters": {"name": "a"}},
        True,
    ),
    ("nameless", {"type": ADVISOR}, {"type": ADVISOR, "parameters": {}}, True),
    ("servers", {"type": "mcp", "server_label": "a"}, {"type": "mcp", "server_label": "b"}, False),
    ("namespaces", {"type": "namespace", "name": "a"}, {"type": "namespace", "name": "a", "tools": []}, True),
]


@pytest.mark.parametrize(("one", "other", "same"), [pair[1:] for pair in PAIRS], ids=[pair[0] for pair in PAIRS])
def test_tool_identity(one: Any, other: Any, same: bool) -> None:
    assert (tool_identity(one) == tool_identity(other)) is same


anything = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.sampled_from(["function", "custom", ADVISOR, "mcp"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["type", "name", "function", "custom", "parameters", "tools"]), inner, max_size=4
        )
    ),
    max_leaves=10,
)


@given(st.lists(anything, max_size=4), st.lists(anything, max_size=4))
def test_every_tool_of_the_request_is_kept(preset: list[Any], request: list[Any]) -> None:
    found = merge_tools(preset, request)
    assert len(found) >= len(preset)
    assert set(map(tool_identity, found)) == set(map(tool_identity, preset)) | set(map(tool_identity, request))


@pytest.mark.parametrize("dialect", CLIENTS)
@given(
    body=st.dictionaries(st.sampled_from(["model", "messages", "tools", "system", "instructions", "input"]), anything)
)
def test_any_request_can_be_merged(dialect: str, body: Json) -> None:
    both(dialect, body, {"tools": [F], "tool_choice": "auto", "model": "a/b"}, "Preset.")


@pytest.mark.parametrize("dialect", CLIENTS)
@given(
    body=st.dictionaries(
        st.sampled_from(["model", "messages", "tools", "tool_choice", "system", "instructions", "input", "thinking"]),
        anything,
    ),
    number=st.integers(0, len(SAID) + len(LOST) - 1),
)
def test_merged_request_is_parsed_or_rejected(dialect: str, body: Json, number: int) -> None:
    origin, preset, *_ = [*SAID.values(), *LOST.values()][number]
    said = config_to_dialect(parse_content(CLIENTS[origin], msgspec.json.encode(preset)).config, dialect)
    usual = {"model": "a/b", "messages": [{"role": "user", "content": "x"}], "input": "x"}
    for request in (body, {**usual, **body}):
        whole = msgspec.json.encode(merge_preset(fields(request), said.fields, "Preset.", dialect))
        with contextlib.suppress(InvalidRequest):
            CLIENTS[dialect].parse(whole)
    CLIENTS[dialect].parse(msgspec.json.encode(merge_preset(fields(usual), said.fields, "Preset.", dialect)))
