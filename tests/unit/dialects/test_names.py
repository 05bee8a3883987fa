"""Names: of tools, which come back as the client wrote them; of users, which others are not told."""

from typing import Any

import msgspec
import pytest
from chat_help import IDENTITY

from trunkline.dialects.common.ids import pseudonym
from trunkline.dialects.interfaces import Call, Client, Quirks
from trunkline.dialects.registry import CLIENTS, UPSTREAMS
from trunkline.dialects.translation import Translation
from trunkline.model.endpoint import Endpoint
from trunkline.model.usage import Cost, Usage

SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
TOOLS: dict[str, Any] = {
    "chat": lambda name: {"tools": [{"type": "function", "function": {"name": name, "parameters": SCHEMA}}]},
    "functions": lambda name: {"functions": [{"name": name, "parameters": SCHEMA}]},
    "messages": lambda name: {"max_tokens": 9, "tools": [{"name": name, "input_schema": SCHEMA}]},
    "responses": lambda name: {"tools": [{"type": "function", "name": name, "parameters": SCHEMA}]},
}
"""A client's dialect → the fields of its request that offer a tool."""


def endpoint(upstream: str) -> Endpoint:
    return Endpoint(
        model="m", provider="p", provider_name="P", upstream_model="claude-sonnet-5", dialect=upstream, tag="p"
    )


def answer(upstream: str, name: str) -> bytes:
    """What *upstream* says to call the tool *name*."""
    bodies: dict[str, Any] = {
        "gemini": {"candidates": [{"content": {"parts": [{"functionCall": {"name": name}}]}, "finishReason": "STOP"}]},
        "messages": {"content": [{"type": "tool_use", "id": "a", "name": name}], "stop_reason": "tool_use"},
        "chat": {"choices": [{"message": {"tool_calls": [{"id": "a", "function": {"name": name}}]}}]},
    }
    return msgspec.json.encode(bodies[upstream])


def told(upstream: str, client: Client, call: Call, name: str) -> bytes:
    """What the client gets of it."""
    decoder, encoder = UPSTREAMS[upstream].decoder(sse=False), client.encoder(call, IDENTITY)
    through = Translation(decoder, encoder, streamed=False, call=call)
    through.feed(answer(upstream, name))
    through.close()
    return through.finish(Usage(), Cost())


@pytest.mark.parametrize("name", ["2look", "2 looks", "look.up", "Ünique", "2" + "x" * 63, "_2look", "look"])
@pytest.mark.parametrize("client", TOOLS)
@pytest.mark.parametrize("upstream", ["gemini", "messages", "chat"])
def test_a_call_comes_back_by_the_clients_name(upstream: str, client: str, name: str) -> None:
    near = CLIENTS["chat" if client == "functions" else client]
    said = {"input": "a"} if client == "responses" else {"messages": [{"role": "user", "content": "a"}]}
    call = near.parse(msgspec.json.encode({"model": "m", **said, **TOOLS[client](name)}))
    sent = msgspec.json.decode(UPSTREAMS[upstream].encode(near.decode(call), endpoint(upstream), Quirks()).body)
    tool = (sent.get("tools") or sent["functions"])[0]
    declared = tool.get("functionDeclarations", [tool.get("function", tool)])[0]["name"]
    assert b'"name":%s' % msgspec.json.encode(name) in told(upstream, near, call, declared)


def test_a_name_that_another_tool_has_is_that_ones() -> None:
    chat = CLIENTS["chat"]
    tools = [{"type": "function", "function": {"name": name}} for name in ("2look", "_2look")]
    body = {"model": "m", "messages": [{"role": "user", "content": "a"}], "tools": tools}
    call = chat.parse(msgspec.json.encode(body))
    assert b'"name":"_2look"' in told("gemini", chat, call, "_2look")


ASKED: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "a"}], "user": "ann@a.example"},
    "messages": {
        "messages": [{"role": "user", "content": "a"}],
        "max_tokens": 9,
        "metadata": {"user_id": "ann@a.example"},
    },
    "responses": {"input": "a", "user": "ann@a.example"},
}
"""A client's dialect → a request that says who asks."""


@pytest.mark.parametrize("upstream", UPSTREAMS)
@pytest.mark.parametrize("client", ASKED)
def test_a_provider_of_another_dialect_is_not_told_who_asks(client: str, upstream: str) -> None:
    near = CLIENTS[client]
    call = near.parse(msgspec.json.encode({"model": "m", **ASKED[client]}))
    sent = UPSTREAMS[upstream].encode(near.decode(call), endpoint(upstream), Quirks())
    told = {"chat": "user", "responses": "user", "messages": "user_id"}.get(upstream)
    if told is None:
        assert any(loss.path in ("user", "metadata.user_id") for loss in sent.losses)
        return
    wanted = "ann@a.example" if client == upstream else pseudonym("ann@a.example")
    assert b'"%s":"%s"' % (told.encode(), wanted.encode()) in sent.body


def test_a_pseudonym_is_a_digest() -> None:
    assert pseudonym("u") == "user_0bfe935e70c321c7ca3afc75ce0d0ca2f98b5422e008bb31c00c6d7f1f1c0ad6"
