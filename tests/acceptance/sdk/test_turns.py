"""Two turns with a thought and a tool between them, through each inbound dialect to each upstream dialect.

The client sends back what its SDK gave it, in its dialect's own way; or has lost the thought, as many clients do.
Either way the provider gets its thought back as it signed it. See `turns_help`.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from readers import Ask, Heard, clients
from sdk_help import WAYS, bench
from turns_help import CITY, PROVIDERS, RESULT, SIGNATURE, THOUGHT, TOOL, Provider

from trunkline.settings import Settings, parse
from trunkline.testing.gateway import KEY, MODEL
from trunkline.testing.scripted import Json

SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
QUESTION = "How is the weather in Oslo?"
Replayed = dict[str, Any]


def settings(provider: Provider, way: str, url: str) -> Settings:
    endpoint = {"provider": "acme", "upstream_model": provider.upstream_model, "price": {"prompt": 1, "completion": 2}}
    quirks = {"quirks": provider.quirks} if provider.quirks else {}
    acme = {"base_url": url, "dialect": provider.dialect, "credentials": [{"api_key": "sk-fake"}], **quirks}
    configuration = {
        "keys": [{"name": "tests", "secret": KEY}],
        "providers": {"acme": acme},
        "models": {MODEL: {"endpoints": [endpoint]}},
        "server": {"port": 0, "relay": way},
    }
    return parse(msgspec.json.encode(configuration), {})


def chat_first() -> Replayed:
    function = {"name": TOOL, "parameters": SCHEMA}
    return {
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [{"type": "function", "function": function}],
        "reasoning_effort": "medium",
    }


def chat_second(first: Replayed, heard: Heard, *, lost: bool) -> Replayed:
    message = heard.raw.choices[0].message.to_dict()
    if lost:
        message = {key: message[key] for key in ("role", "content", "tool_calls") if key in message}
    result = {"role": "tool", "tool_call_id": heard.calls[0][0], "content": RESULT}
    return {**first, "messages": [*first["messages"], message, result]}


def messages_first() -> Replayed:
    return {
        "messages": [{"role": "user", "content": QUESTION}],
        "tools": [{"name": TOOL, "input_schema": SCHEMA}],
        "thinking": {"type": "enabled", "budget_tokens": 1024},
        "max_tokens": 4096,
    }


def messages_second(first: Replayed, heard: Heard, *, lost: bool) -> Replayed:
    content = [block.to_dict() for block in heard.raw.content]
    if lost:
        content = [block for block in content if block["type"] == "tool_use"]
    result = {"type": "tool_result", "tool_use_id": heard.calls[0][0], "content": RESULT}
    more = [{"role": "assistant", "content": content}, {"role": "user", "content": [result]}]
    return {**first, "messages": [*first["messages"], *more]}


def responses_first() -> Replayed:
    return {
        "input": [{"role": "user", "content": QUESTION}],
        "tools": [{"type": "function", "name": TOOL, "parameters": SCHEMA, "strict": False}],
        "reasoning": {"effort": "medium", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
        "store": False,
    }


def responses_second(first: Replayed, heard: Heard, *, lost: bool) -> Replayed:
    items = [item.to_dict() for item in heard.raw.output]
    if lost:
        items = [item for item in items if item["type"] == "function_call"]
    result = {"type": "function_call_output", "call_id": heard.calls[0][0], "output": RESULT}
    return {**first, "input": [*first["input"], *items, result]}


FIRST: dict[str, Callable[[], Replayed]] = {
    "chat": chat_first,
    "messages": messages_first,
    "responses": responses_first,
}
SECOND: dict[str, Callable[..., Replayed]] = {
    "chat": chat_second,
    "messages": messages_second,
    "responses": responses_second,
}


async def _two_turns(folder: Path, provider: Provider, client: str, way: str, *, stream: bool, lost: bool) -> None:
    async with (
        bench(folder, way, lambda url: settings(provider, way, url)) as all_three,
        clients(all_three.gateway) as askers,
    ):
        asker: Ask = askers[client]
        all_three.script = Json(msgspec.json.encode(provider.answer))
        first = FIRST[client]()
        heard = await asker(stream=stream, **first)
        assert heard.raised is None, heard.raised
        assert [call[1] for call in heard.calls] == [TOOL]
        assert msgspec.json.decode(heard.calls[0][2]) == CITY
        assert heard.calls[0][0] == provider.call_id
        assert heard.reasoning == THOUGHT
        again = await asker(stream=stream, **SECOND[client](first, heard, lost=lost))
        assert again.raised is None, again.raised
        assert len(all_three.upstream.seen) == 2
        provider.check(all_three.sent)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
@pytest.mark.parametrize("client", FIRST)
@pytest.mark.parametrize("dialect", PROVIDERS)
async def test_the_thought_comes_back(dialect: str, client: str, stream: bool, tmp_path: Path) -> None:
    for way in WAYS:
        (tmp_path / way).mkdir()
        await _two_turns(tmp_path / way, PROVIDERS[dialect], client, way, stream=stream, lost=False)


@pytest.mark.parametrize("client", FIRST)
@pytest.mark.parametrize("dialect", PROVIDERS)
async def test_the_thought_that_a_client_lost_comes_back(dialect: str, client: str, tmp_path: Path) -> None:
    await _two_turns(tmp_path, PROVIDERS[dialect], client, "never", stream=True, lost=True)


@pytest.mark.parametrize("dialect", PROVIDERS)
def test_a_strict_provider_is_strict(dialect: str) -> None:
    """The judge itself: without its signature, or with another, nothing passes."""
    provider = replace(PROVIDERS[dialect])
    text = msgspec.json.encode(provider.answer).decode()
    assert SIGNATURE in text
    with pytest.raises((AssertionError, KeyError, ValueError, TypeError)):
        provider.check({"messages": [], "input": [], "contents": []})
