"""What a preset keeps of a body, and what it says in a request of each dialect."""

from typing import Any

import msgspec
import pytest
from presets_help import LOST, SAID, Json

from trunkline.dialects.registry import CLIENTS
from trunkline.model.errors import InvalidRequest
from trunkline.presets.fields import PER_REQUEST_FIELDS
from trunkline.presets.from_body import PresetContent, parse_preset
from trunkline.presets.to_dialect import DIALECT_FIELDS, config_to_dialect
from trunkline.server.api.presets import parse_content

HELLO = [{"role": "user", "content": "Hello"}]


def made(dialect: str, body: Json) -> PresetContent:
    return parse_content(CLIENTS[dialect], msgspec.json.encode(body))


def plain(fields: Any) -> Json:
    return {key: msgspec.json.decode(said) for key, said in fields.items()}


def told(content: PresetContent, dialect: str) -> tuple[Json, list[str]]:
    found = config_to_dialect(content.config, dialect)
    return plain(found.fields), [loss.path for loss in found.losses]


@pytest.mark.parametrize("name", SAID)
def test_preset_is_stored_in_chat_form_and_encoded_in_each_dialect(name: str) -> None:
    dialect, body, config, expected = SAID[name]
    content = made(dialect, body)
    assert plain(content.config) == config
    for other, fields in expected.items():
        assert told(content, other)[0] == fields, other


@pytest.mark.parametrize("name", SAID)
@pytest.mark.parametrize("dialect", CLIENTS)
def test_encoded_preset_is_valid_and_round_trips(name: str, dialect: str) -> None:
    origin, body, _, _ = SAID[name]
    said, _ = told(made(origin, body), dialect)
    again = made(dialect, said)
    assert told(again, dialect)[0] == said


@pytest.mark.parametrize("name", LOST)
def test_inexpressible_fields_are_reported_as_losses(name: str) -> None:
    origin, body, dialect, losses = LOST[name]
    assert told(made(origin, body), dialect)[1] == losses


SYSTEMS: list[tuple[str, Json, str | None]] = [
    ("chat", {"messages": [{"role": "system", "content": "Be brief."}, *HELLO]}, "Be brief."),
    ("chat", {"messages": [*HELLO, {"role": "developer", "content": [{"type": "text", "text": "A"}]}]}, "A"),
    ("chat", {"messages": HELLO}, None),
    ("chat", {"messages": "no messages"}, None),
    ("chat", {}, None),
    ("messages", {"system": "A"}, "A"),
    ("messages", {"system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}, "A\n\nB"),
    ("messages", {"messages": HELLO}, None),
    ("responses", {"instructions": "A", "input": [{"role": "system", "content": "B"}]}, "A"),
    ("responses", {"input": [{"role": "developer", "content": [{"type": "input_text", "text": "B"}]}]}, "B"),
    ("responses", {"input": "Hello"}, None),
]


@pytest.mark.parametrize(("dialect", "body", "system"), SYSTEMS)
def test_system_text_is_extracted(dialect: str, body: Json, system: str | None) -> None:
    content = made(dialect, {"temperature": 1, **body})
    assert content.system == system
    assert plain(content.config) == {"temperature": 1}


@pytest.mark.parametrize("dialect", CLIENTS)
def test_per_request_fields_are_not_stored(dialect: str) -> None:
    fields = dict.fromkeys(PER_REQUEST_FIELDS, msgspec.Raw(b'"x"')) | {"messages": msgspec.Raw(b"[]")}
    assert parse_preset(fields, dialect).config == {}


@pytest.mark.parametrize(
    ("dialect", "body", "param"),
    [
        ("chat", {"temperature": 3}, "temperature"),
        ("chat", {"tools": [{"type": "function"}]}, "tools[0].function"),
        ("chat", {"provider": {"nothing": 1}}, "provider.nothing"),
        ("messages", {"stop_sequences": "x"}, "stop_sequences"),
        ("messages", {"thinking": {"type": "enabled"}}, "thinking.budget_tokens"),
        ("responses", {"text": {"format": {"type": "json_schema"}}}, "text.format.name"),
        ("chat", {"cache_enabled": "yes"}, "cache_enabled"),
        ("messages", {"cache_ttl_seconds": True}, "cache_ttl_seconds"),
        ("responses", {"cache_ttl_seconds": -1}, "cache_ttl_seconds"),
        ("chat", {"model": "@preset/other"}, "model"),
        ("chat", {"model": "a/b@preset/other"}, "model"),
    ],
)
def test_invalid_body_creates_no_preset(dialect: str, body: Json, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        made(dialect, body)
    assert caught.value.param == param
    assert param in caught.value.message


ODD: list[tuple[str, Json]] = [
    ("chat", {"tools": [{"type": "custom"}, {"type": "function", "name": "f", "function": None}]}),
    ("chat", {"tools": [{"type": "custom", "custom": None, "x": [1]}]}),
    ("chat", {"tool_choice": {"type": "allowed_tools"}}),
    ("chat", {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [1, {"type": []}]}}}),
    ("chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "n"}}}),
    ("chat", {"response_format": {"type": "grammar", "grammar": "x"}, "reasoning": {}, "stop": []}),
    ("chat", {"n": 10**9 % 100, "bias": 10**40, "deep": [[[[{}]]]]}),
    ("messages", {"output_config": {}, "fallbacks": [], "models": [], "thinking": {"type": "new"}}),
    ("messages", {"tools": [{"type": "web_search_20250305", "name": "web_search"}]}),
    ("responses", {"tool_choice": {"type": "custom", "function": {"name": "x"}}}),
    ("responses", {"tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "mcp"}, {}]}}),
    ("responses", {"tools": [{"type": "namespace", "name": "n", "tools": []}, {"type": "mcp", "server_label": 1}]}),
    ("responses", {"text": {"format": None, "other": 1}, "reasoning": {"effort": None}}),
]


@pytest.mark.parametrize(("origin", "body"), ODD)
@pytest.mark.parametrize("dialect", CLIENTS)
def test_unusual_presets_can_be_encoded(origin: str, body: Json, dialect: str) -> None:
    try:
        content = made(origin, body)
    except InvalidRequest:
        return
    told(content, dialect)


def test_numbers_keep_their_text() -> None:
    content = parse_content(CLIENTS["chat"], b'{"temperature": 1.0, "seed": 12345678901234567890123, "x": 1e-7}')
    assert {key: bytes(said) for key, said in content.config.items()} == {
        "temperature": b"1.0",
        "seed": b"12345678901234567890123",
        "x": b"1e-7",
    }


def test_every_client_dialect_has_field_names() -> None:
    assert DIALECT_FIELDS.keys() == CLIENTS.keys()
