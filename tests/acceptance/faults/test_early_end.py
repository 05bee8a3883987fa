"""Answers that end before their final usage: what the provider had reported by then is not what is charged.

A Messages stream says at its start that its output is a token or two, and only at its end how long it was. Other
dialects report usage with each chunk. Whoever broke the stream off, at least what came of it is charged.
"""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from faults_upstream import eventually
from faults_wire import Wire, post
from voices import UPSTREAMS, sse

from trunkline.model.record import GenerationRecord
from trunkline.settings import Settings, parse
from trunkline.testing.gateway import KEY, running_gateway
from trunkline.testing.scripted import Action, Hang, Pause, Replay, Rst, ScriptedUpstream

TEXT = "word" * 16 * 1024 + " THE-END"
TOKENS = len(TEXT) // 4
CLIENTS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/api/v1/chat/completions", {"messages": [{"role": "user", "content": "Say hello."}]}),
    "messages": ("/api/v1/messages", {"messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 99}),
    "responses": ("/api/v1/responses", {"input": "Say hello."}),
}


def _chat() -> bytes:
    usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
    body = {"id": "up-1", "object": "chat.completion.chunk", "created": 1, "model": "x", "usage": usage}
    first, second = (
        {**body, "choices": [{"index": 0, "delta": {"role": "assistant", "content": text}, "finish_reason": None}]}
        for text in (TEXT[:99], TEXT[99:])
    )
    return sse(first, second)


def _gemini() -> bytes:
    usage = {"promptTokenCount": 7, "candidatesTokenCount": 2, "totalTokenCount": 9}
    content = {"role": "model", "parts": [{"text": TEXT}]}
    candidate = {"content": content, "index": 0}
    return sse({"candidates": [candidate], "usageMetadata": usage, "modelVersion": "x", "responseId": "up-1"})


BEGUN: dict[str, bytes] = {
    "chat": _chat(),
    "messages": UPSTREAMS["messages"].head + UPSTREAMS["messages"].hello.replace(b"Hello", TEXT.encode()),
    "gemini": _gemini(),
}
"""By the upstream's dialect: 64 kB of text, and usage that says two tokens or fewer."""
PAIRS = [(client, upstream, "auto") for client in CLIENTS for upstream in BEGUN] + [
    ("chat", "chat", "never"),
    ("messages", "messages", "never"),
]


def settings(dialect: str, relay: str, origin: str) -> Settings:
    provider = {"dialect": dialect, "base_url": f"{origin}/v1", "credentials": [{"api_key": "sk-provider"}]}
    endpoint = {"provider": "a", "upstream_model": "m", "price": {"prompt": 1, "completion": 2}}
    configuration = {
        "keys": [{"name": "tests", "secret": KEY}],
        "server": {"port": 0, "relay": relay},
        "timeouts": {"idle_s": 30, "content_idle_s": 30},
        "providers": {"a": provider},
        "models": {"x/y": {"endpoints": [endpoint]}},
    }
    return parse(msgspec.json.encode(configuration), {})


async def end(way: str, client: str, upstream: str, relay: str, folder: Path) -> GenerationRecord:
    """The record of a stream that ends in the *way* after its text."""
    begun = Replay(BEGUN[upstream], end=False)
    scripts: dict[str, list[Action]] = {
        "client leaves": [begun, Hang()],
        "cut": [begun, Pause(0.3), Rst()],
        "truncated": [Replay(BEGUN[upstream])],
        "error": [Replay(BEGUN[upstream] + UPSTREAMS[upstream].error)],
    }
    path, body = CLIENTS[client]
    async with (
        ScriptedUpstream(scripts[way]) as scripted,
        running_gateway(settings(upstream, relay, scripted.origin), folder=folder) as running,
    ):
        wire = await Wire.open(running.port, limit=2**20)
        await wire.send(post({"model": "x/y", "stream": True, **body}, path=path))
        await wire.reader.readuntil(b"THE-END")
        if way == "client leaves":
            await wire.close()
        await eventually(lambda: not running.app.state.metrics.in_flight)
        await wire.close()
        (record,) = await running.records()
        return record


@pytest.mark.parametrize(("client", "upstream", "relay"), PAIRS, ids=lambda value: value)
@pytest.mark.parametrize("way", ["client leaves", "cut", "truncated", "error"])
async def test_what_came_is_charged(way: str, client: str, upstream: str, relay: str, tmp_path: Path) -> None:
    record = await end(way, client, upstream, relay, tmp_path)
    assert record.status == ("cancelled" if way == "client leaves" else "partial")
    assert record.usage.estimated
    assert record.usage.prompt == 7
    assert TOKENS <= record.usage.completion <= TOKENS * 1.1
    assert record.cost == 7 * 10**6 + record.usage.completion * 2 * 10**6


def test_the_texts_are_told_as_few_tokens() -> None:
    assert b'"output_tokens": 1' in BEGUN["messages"]
    assert json.dumps(TEXT).encode() in BEGUN["gemini"]
