"""Betas of Messages: what a body needs is in the header, whoever asked."""

from typing import Any

import msgspec
import pytest
from messages_help import CLIENT, RELAY, UPSTREAM
from messages_help import ENDPOINT as OLDER
from msgspec.structs import replace

from trunkline.dialects.anthropic_messages.request_betas import NEEDED
from trunkline.dialects.anthropic_messages.request_encoder import STRUCTURED
from trunkline.dialects.anthropic_messages.token_count import MessagesCounter
from trunkline.dialects.interfaces import Quirks
from trunkline.model.endpoint import Endpoint

ENDPOINT = replace(OLDER, upstream_model="claude-opus-4-8")
IMAGE = {"type": "image", "source": {"type": "file", "file_id": "file_1"}}
ADDED = {"type": "tool_addition", "tool": {"type": "tool_reference", "name": "f"}}
DEFINED = {"type": "tool_addition", "tool": {"type": "tool_definition", "definition": {}}}
REMOVED = {"type": "tool_removal", "tool": {"type": "tool_reference", "name": "f"}}
CASES: list[tuple[dict[str, Any], str]] = [
    ({"context_management": {"edits": [{"type": "compact_20260112"}]}}, "compact-2026-01-12"),
    ({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}, "context-management-2025-06-27"),
    ({"mcp_servers": [{"type": "url"}]}, "mcp-client-2025-11-20"),
    ({"speed": "fast"}, "fast-mode-2026-02-01"),
    ({"output_config": {"task_budget": {"type": "tokens", "total": 20000}}}, "task-budgets-2026-03-13"),
    ({"tools": [{"type": "advisor_20260301", "name": "advisor", "model": "m"}]}, "advisor-tool-2026-03-01"),
    ({"messages": [{"role": "user", "content": [IMAGE]}]}, "files-api-2025-04-14"),
    ({"thinking": {"type": "adaptive", "display": "updates"}}, "thinking-display-updates-2026-08-18"),
    ({"thinking": {"type": "adaptive", "block_binding": {}}}, "thinking-binding-controls-2026-08-01"),
    (
        {"messages": [{"role": "system", "content": "x", "clear_at": "never"}]},
        "mid-conversation-system-clear-at-2026-08-21",
    ),
    ({"messages": [{"role": "system", "content": [ADDED]}]}, "mid-conversation-tool-changes-2026-07-01"),
    ({"messages": [{"role": "system", "content": [REMOVED]}]}, "mid-conversation-tool-changes-2026-07-01"),
    (
        {"messages": [{"role": "system", "content": [DEFINED]}]},
        "mid-conversation-tool-changes-2026-07-01,inline-tools-2026-09-15",
    ),
]
NOTHING: list[dict[str, Any]] = [
    {},
    {"speed": "standard"},
    {"speed": None},
    {"output_config": {"task_budget": None}},
    {"context_management": None},
    {"messages": [{"role": "user", "content": 'the "speed": "fast", "file_id": "x" and "mcp_servers"'}]},
    {"messages": [{"role": "user", "content": [{"type": "text", "text": "x", "citations": [{"file_id": None}]}]}]},
]


def sent(body: dict[str, Any], *betas: str, endpoint: Endpoint = ENDPOINT) -> list[dict[str, str]]:
    """The headers, relayed and translated."""
    told = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], **body}
    call = replace(CLIENT.parse(msgspec.json.format(msgspec.json.encode(told))), betas=betas)
    relayed = RELAY.request(call, endpoint, Quirks())
    translated = UPSTREAM.encode(CLIENT.decode(call), endpoint, Quirks())
    return [dict(encoded.headers) for encoded in (relayed, translated)]


@pytest.mark.parametrize(("body", "betas"), CASES, ids=[betas for _, betas in CASES])
def test_what_a_body_needs(body: dict[str, Any], betas: str) -> None:
    assert sent(body) == [{"anthropic-beta": betas}] * 2


@pytest.mark.parametrize("body", NOTHING)
def test_what_needs_nothing(body: dict[str, Any]) -> None:
    assert sent(body) == [{}] * 2


def test_every_beta_is_under_test() -> None:
    assert {beta for _, _, beta in NEEDED} == {beta for _, betas in CASES for beta in betas.split(",")}


def test_a_version_that_the_client_names_is_left() -> None:
    assert sent({"speed": "fast"}, "fast-mode-2099-01-01", "x") == [{"anthropic-beta": "fast-mode-2099-01-01,x"}] * 2


def test_other_models_are_told_what_the_client_says() -> None:
    other = replace(ENDPOINT, model="deepseek/deepseek-v4", upstream_model="deepseek-v4")
    assert sent({"speed": "fast"}, endpoint=other) == [{}] * 2
    assert sent({"speed": "fast"}, "x", endpoint=other) == [{"anthropic-beta": "x"}] * 2


def test_counts_need_them_too() -> None:
    call = CLIENT.parse(msgspec.json.encode({"model": "m", "messages": [{"role": "user", "content": [IMAGE]}]}))
    encoded = MessagesCounter().encode(CLIENT.decode(call), ENDPOINT, Quirks())
    assert dict(encoded.headers) == {"anthropic-beta": f"{STRUCTURED},files-api-2025-04-14"}
