"""What the three inference routes have in common, each in its own words: routes, envelopes, keep-alives, metadata."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_help import KEY, MODEL, Api, Reply, running
from openai import DefaultAsyncHttpxClient

from trunkline.settings import Settings, parse
from trunkline.testing.gateway import running_gateway
from trunkline.testing.scripted import Json, ScriptedUpstream, Status

CHAT, MESSAGES, RESPONSES = "/api/v1/chat/completions", "/api/v1/messages", "/api/v1/responses"
HELLO = [{"role": "user", "content": "one two three"}]
ASKS: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": (CHAT, {"model": MODEL, "messages": HELLO}),
    "messages": (MESSAGES, {"model": MODEL, "messages": HELLO, "max_tokens": 50}),
    "responses": (RESPONSES, {"model": MODEL, "input": "one two three"}),
}
EACH = pytest.mark.parametrize("client", ASKS)
STREAMED = pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])


async def ask(api: Api, client: str, path: str | None = None, **more: Any) -> Reply:
    """Ask in the dialect *client*; what has a dash in its name is a header."""
    headers = {name: said for name, said in more.items() if "-" in name}
    fields = {name: said for name, said in more.items() if "-" not in name}
    usual, body = ASKS[client]
    return await api.get(path or usual, KEY, "POST", {**body, **fields}, **headers)


def frames(reply: Reply) -> list[Any]:
    """The data of a stream's events; `[DONE]` is itself, comments are left out."""
    lines = [line.removeprefix("data: ") for line in reply.body.decode().split("\n") if line.startswith("data: ")]
    return [line if line == "[DONE]" else msgspec.json.decode(line) for line in lines]


def error_type(client: str, body: Any) -> str:
    return str(body["error"]["error_type"] if client == "messages" else body["error"]["metadata"]["error_type"])


@EACH
async def test_both_prefixes(client: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        path, _ = ASKS[client]
        for prefix in ("/api/v1", "/v1"):
            reply = await ask(api, client, path.replace("/api/v1", prefix))
            assert reply.status == 200, reply.body
            assert reply.headers["x-generation-id"] == reply.json()["id"]


@pytest.mark.parametrize("base", ["/api", "", "/api/v1", "/v1"])
async def test_anthropics_clients_find_it_whatever_their_base_url_ends_in(base: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        for beta in ("", "?beta=true"):
            reply = await ask(api, "messages", f"{base}/v1/messages{beta}")
            assert reply.status == 200, reply.body
        counted = await ask(api, "messages", f"{base}/v1/messages/count_tokens")
        assert counted.status == 200


@EACH
async def test_errors_before_anything_in_the_dialects_own_envelope(client: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        path, body = ASKS[client]
        unknown = await api.get(path, "sk-wrong", "POST", body)
        assert unknown.status == 401
        assert error_type(client, unknown.json()) == "authentication"
        wrong = await ask(api, client, temperature="hot")
        assert wrong.status == 400
        assert "temperature" in msgspec.json.encode(wrong.json()).decode()
        missing = await ask(api, client, model="nobody/knows")
        assert missing.status == 400
        assert error_type(client, missing.json()) == "invalid_request"
        if client == "messages":
            assert unknown.json()["type"] == wrong.json()["type"] == "error"
            assert unknown.json()["request_id"] is None
            assert unknown.json()["error"]["type"] == "authentication_error"


@STREAMED
@EACH
async def test_metadata_is_there_for_who_asks(client: str, stream: bool, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        for header in ("X-OpenRouter-Metadata", "X-OpenRouter-Experimental-Metadata"):
            reply = await ask(api, client, stream=stream, **{header: "Enabled"})
            told = _metadata(client, reply, stream=stream)
            assert told["requested"] == MODEL
            assert told["endpoints"]["available"] == [{"provider": "Demo", "model": MODEL, "selected": True}]
            assert told["attempt"] == 1
            way = "relay" if client == "chat" else "translate"
            assert told["translation"] == {"way": way, "dialect": "chat", "losses": []}
        for header in ("disabled", "yes"):
            reply = await ask(api, client, stream=stream, **{"X-OpenRouter-Metadata": header})
            assert b"openrouter_metadata" not in reply.body
        assert b"openrouter_metadata" not in (await ask(api, client, stream=stream)).body


def _metadata(client: str, reply: Reply, *, stream: bool) -> Any:
    if not stream:
        return reply.json()["openrouter_metadata"]
    found = frames(reply)
    match client:
        case "chat":
            return found[-2]["openrouter_metadata"]
        case "messages":
            return found[-1]["openrouter_metadata"]
        case _:
            return found[-2]["response"]["openrouter_metadata"]


@pytest.mark.parametrize("client", ["messages", "responses"])
async def test_what_was_lost_is_in_the_record_and_in_the_answer(client: str, tmp_path: Path) -> None:
    lossy: dict[str, Any] = {"context_management": {"edits": [1]}} if client == "messages" else {"truncation": "auto"}
    async with running(tmp_path) as api:
        reply = await ask(api, client, **lossy, **{"X-OpenRouter-Metadata": "enabled"})
        assert reply.status == 200, reply.body
        losses = reply.json()["openrouter_metadata"]["translation"]["losses"]
        assert [loss["path"] for loss in losses] == list(lossy)
        assert all(loss["direction"] == "request" and loss["why"] for loss in losses)
        record = (await api.get(f"/api/v1/generation?id={reply.json()['id']}")).data
        assert record["translation"] == losses
        assert record["api_type"] == client
        refused = await ask(api, client, **lossy, provider={"require_parameters": True})
        assert refused.status == 404
        assert "require_parameters" in refused.body.decode()
        assert (await ask(api, client, provider={"require_parameters": True})).status == 200


@EACH
async def test_while_nothing_flows_the_dialects_own_sign_of_life(client: str, tmp_path: Path) -> None:
    async with running(tmp_path, server={"keepalive_s": 0.6}) as api:
        reply = await ask(api, client, stream=True, demo={"delay_s": 2.5})
        assert reply.status == 200
        sign = b'event: ping\ndata: {"type":"ping"}\n\n' if client == "messages" else b": OPENROUTER PROCESSING\n\n"
        assert reply.body.startswith(sign)
        assert reply.body.count(sign) >= 2
        assert "one two three" in "".join(_texts(client, frames(reply)))


def _texts(client: str, found: list[Any]) -> list[str]:
    match client:
        case "chat":
            return [one["delta"].get("content") or "" for frame in found[:-1] for one in frame["choices"]]
        case "messages":
            return [frame["delta"].get("text", "") for frame in found if frame["type"] == "content_block_delta"]
        case _:
            return [frame["delta"] for frame in found[:-1] if frame["type"] == "response.output_text.delta"]


# Counting.


def settings(dialect: str, url: str) -> Settings:
    endpoint = {"provider": "acme", "upstream_model": "small-1", "price": {"prompt": 1, "completion": 2}}
    provider = {"base_url": url, "dialect": dialect, "credentials": [{"api_key": "sk-fake"}]}
    blocks = {
        "keys": [{"name": "tests", "secret": KEY}],
        "providers": {"acme": provider},
        "models": {MODEL: {"endpoints": [endpoint]}},
    }
    return parse(msgspec.json.encode(blocks), {})


COUNTS = {
    "messages": ("/messages/count_tokens", {"input_tokens": 41}),
    "responses": ("/responses/input_tokens", {"object": "response.input_tokens", "input_tokens": 41}),
    "gemini": ("/models/small-1:countTokens", {"totalTokens": 41}),
}
"""An upstream dialect → where it counts, and how it answers."""


@pytest.mark.parametrize("client", ["messages", "responses"])
@pytest.mark.parametrize("dialect", COUNTS)
async def test_the_providers_own_counter_is_asked(dialect: str, client: str, tmp_path: Path) -> None:
    path, answer = COUNTS[dialect]
    async with ScriptedUpstream([Json(answer)]) as upstream:
        made = settings(dialect, f"{upstream.origin}/v1")
        async with (
            running_gateway(made, folder=tmp_path) as gateway,
            DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30) as http,
        ):
            reply = await ask(Api(gateway, http), client, _counting(client))
            assert reply.status == 200, reply.body
            assert reply.json()["input_tokens"] == 41
            assert "x-trunkline-estimated" not in reply.headers
            assert upstream.seen[-1].path == f"/v1{path}"
            assert b"one two three" in upstream.seen[-1].body
            assert await gateway.records() == []


@pytest.mark.parametrize("client", ["messages", "responses"])
async def test_where_nobody_counts_it_is_an_estimate_and_says_so(client: str, tmp_path: Path) -> None:
    async with ScriptedUpstream([Status(404, {}, b"{}")]) as upstream:
        made = settings("messages", f"{upstream.origin}/v1")
        async with (
            running_gateway(made, folder=tmp_path) as gateway,
            DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30) as http,
        ):
            reply = await ask(Api(gateway, http), client, _counting(client))
            assert reply.status == 200, reply.body
            assert 3 <= reply.json()["input_tokens"] <= 20
            assert reply.headers["x-trunkline-estimated"] == "true"
            assert len(upstream.seen) == 1


@pytest.mark.parametrize("client", ["messages", "responses"])
async def test_counting_refuses_what_asking_refuses(client: str, tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        assert (await api.get(_counting(client), "sk-wrong", "POST", ASKS[client][1])).status == 401
        assert (await ask(api, client, _counting(client), model="nobody/knows")).status == 400
        assert (await ask(api, client, _counting(client), tools="none")).status == 400


def _counting(client: str) -> str:
    return {"messages": f"{MESSAGES}/count_tokens", "responses": f"{RESPONSES}/input_tokens"}[client]


async def test_names_of_betas_reach_the_provider_and_nothing_else_does(tmp_path: Path) -> None:
    answer = {
        "id": "msg_1", "type": "message", "role": "assistant", "model": "x", "stop_reason": "end_turn",
        "content": [{"type": "text", "text": "Hi"}], "usage": {"input_tokens": 1, "output_tokens": 1},
    }  # fmt: skip
    async with ScriptedUpstream([Json(answer)]) as upstream:
        made = settings("messages", f"{upstream.origin}/v1")
        async with (
            running_gateway(made, folder=tmp_path) as gateway,
            DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30) as http,
        ):
            betas = "interleaved-thinking-2025-05-14, bad name,x;y, other-2026-01-01"
            reply = await ask(Api(gateway, http), "messages", **{"anthropic-beta": betas, "x-secret": "mine"})
            assert reply.status == 200, reply.body
            sent = upstream.seen[-1].headers
            assert sent["anthropic-beta"] == "interleaved-thinking-2025-05-14,other-2026-01-01"
            assert "x-secret" not in sent
