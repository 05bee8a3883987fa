"""`X-OpenRouter-Cache`: the same answer again, for nothing, under a new id. Source: OpenRouter, "Response caching"."""

import asyncio
import errno
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
from anthropic import AsyncAnthropic
from api_help import CHAT, KEY, MODEL, OTHER, POOR, Api, Counting, Reply, check, running, until
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from test_dialects import ASKS, frames
from test_dialects import ask as ask_in

from trunkline.app.application import App
from trunkline.app.reload import apply
from trunkline.dialects.common.sse import KEEP_ALIVE
from trunkline.dialects.registry import CLIENTS
from trunkline.ports import CachedAnswer
from trunkline.settings import parse
from trunkline.storage.answer_cache import MemoryAnswerCache
from trunkline.storage.journal import FileJournal
from trunkline.testing.gateway import MODEL as SCRIPTED
from trunkline.testing.gateway import running_gateway, settings_for
from trunkline.testing.scripted import Json, ScriptedUpstream, Sse

EACH = pytest.mark.parametrize("client", ASKS)
BOTH = pytest.mark.parametrize("stream", [False, True], ids=["json", "stream"])
ON = {"x-openrouter-cache": "true"}
STATUS, AGE, TTL, SOURCE = (f"x-openrouter-cache-{name}" for name in ("status", "age", "ttl", "source-id"))


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


async def ask(
    api: Api,
    client: str = "chat",
    *,
    key: str = KEY,
    on: bool = True,
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Reply:
    """Ask, with the cache *on*."""
    path, body = ASKS[client]
    return await api.get(path, key, "POST", {**body, **fields}, **(ON if on else {}), **(headers or {}))


def cached(reply: Reply) -> str | None:
    return reply.headers.get(STATUS)


def later(api: Api, seconds: float) -> None:
    """Let time go on for what is kept."""
    api.gateway.parts.answers._monotonic = lambda: time.monotonic() + seconds


def numbers(value: Any) -> list[float]:
    """Every number in *value*."""
    if isinstance(value, dict | list):
        return [found for inner in (value.values() if isinstance(value, dict) else value) for found in numbers(inner)]
    return [value] if isinstance(value, int | float) and not isinstance(value, bool) else []


def usages(value: Any) -> list[Any]:
    if isinstance(value, dict):
        inner = [found for one in value.values() for found in usages(one)]
        return inner + ([value["usage"]] if value.get("usage") is not None else [])
    return [found for one in value for found in usages(one)] if isinstance(value, list) else []


@BOTH
@EACH
async def test_a_hit(
    client: str, stream: bool, tmp_path: Path, upstream: Counting, shared: Callable[[str], Path]
) -> None:
    async with running(tmp_path) as api:
        first = await ask(api, client, stream=stream)
        assert (first.status, cached(first), first.headers[TTL]) == (200, "MISS", "300")
        assert AGE not in first.headers
        assert SOURCE not in first.headers
        spent = (await api.get("/api/v1/key")).data["usage"]
        assert spent > 0
        second = await ask(api, client, stream=stream)
        assert (second.status, cached(second), upstream.calls) == (200, "HIT", 1)
        assert second.headers["content-type"] == first.headers["content-type"]
        assert 0 <= int(second.headers[AGE]) <= 5
        assert int(second.headers[TTL]) == 300 - int(second.headers[AGE])
        source, id_ = (reply.headers["x-generation-id"] for reply in (first, second))
        assert second.headers[SOURCE] == source != id_
        again = CLIENTS[client].replay(first.body, id_, 7, stream=stream)
        same = CLIENTS[client].replay(second.body, id_, 7, stream=stream)
        assert again == same, "all but id, time and usage is as it was"
        body = frames(second) if stream else second.json()
        assert source not in str(body)
        assert usages(body)
        assert not any(numbers(usages(body)))
        # The books.
        assert (await api.get("/api/v1/key")).data["usage"] == spent
        told = await api.get(f"/api/v1/generation?id={id_}")
        if client == "chat":  # the schema's enum has no word for the other two routes
            check(shared, "/generation", told.json())
        assert told.data["response_cache_source_id"] == source
        assert (told.data["total_cost"], told.data["tokens_prompt"], told.data["tokens_completion"]) == (0, 0, 0)
        assert (told.data["provider_name"], told.data["provider_responses"]) == (None, [])
        assert (told.data["finish_reason"], told.data["streamed"]) == ("stop", stream)
        assert (await api.get(f"/api/v1/generation?id={source}")).data["response_cache_source_id"] is None
        records = await api.gateway.records()
        assert [(one.id, one.status, one.way == "cache") for one in records] == [
            (source, "completed", False),
            (id_, "completed", True),
        ]
        text = (await api.get("/metrics")).body.decode()
        for line in ('{result="hit"} 1.0', '{result="miss"} 1.0'):
            assert f"trunkline_response_cache_total{line}" in text
        assert "trunkline_response_cache_answers 1.0" in text


async def test_streams_and_bodies_and_paths(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        for stream in (False, True):
            assert [cached(await ask(api, stream=stream)) for _ in range(2)] == ["MISS", "HIT"]
        path, body = ASKS["chat"]
        assert cached(await api.get(path.replace("/api", ""), KEY, "POST", {**body, "stream": True}, **ON)) == "HIT"
        assert upstream.calls == 2


@pytest.mark.parametrize("value", [None, "false", "1", "yes", ""])
async def test_it_is_off(value: str | None, tmp_path: Path, upstream: Counting) -> None:
    headers = {} if value is None else {"x-openrouter-cache": value}
    async with running(tmp_path) as api:
        await ask(api)
        reply = await ask(api, on=False, headers={**headers, "x-openrouter-cache-clear": "true"})
        assert (reply.status, cached(reply), upstream.calls) == (200, None, 2)
        assert cached(await ask(api)) == "HIT", "what is there stays"
        assert len(api.gateway.parts.answers) == 1


async def test_time(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        assert (await ask(api, headers={"x-openrouter-cache-ttl": "60abc"})).headers[TTL] == "60"
        later(api, 50)
        hit = await ask(api, headers={"x-openrouter-cache-ttl": "5"})
        assert cached(hit) == "HIT"
        assert 50 <= int(hit.headers[AGE]) <= 55
        assert int(hit.headers[AGE]) + int(hit.headers[TTL]) == 60
        later(api, 61)
        assert cached(await ask(api)) == "MISS"
        assert upstream.calls == 2


async def test_to_clear_is_to_ask_again(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        await ask(api)
        second = await ask(api, headers={"x-openrouter-cache-clear": "true"})
        assert (cached(second), upstream.calls) == ("MISS", 2)
        third = await ask(api)
        assert (cached(third), third.headers[SOURCE]) == ("HIT", second.headers["x-generation-id"])
        # It is gone even where nothing comes in its place.
        api.gateway.parts.answers.limit(max_bytes=1 << 20, max_answers=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(MemoryAnswerCache, "put", lambda *_: asyncio.sleep(0))
            await ask(api, headers={"x-openrouter-cache-clear": "true"})
        assert len(api.gateway.parts.answers) == 0


async def test_keys_share_nothing(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        for key in (KEY, OTHER):
            assert [cached(await ask(api, key=key)) for _ in range(2)] == ["MISS", "HIT"]
        assert upstream.calls == 2


@pytest.mark.parametrize(
    ("stream", "demo"),
    [
        (False, {"error": 400}),
        (False, {"error": 500}),
        (True, {"error": 429}),
        (True, {"cut_after": 1}),
        (True, {"error_after": 1}),
        (True, {"error_after": 0}),
    ],
    ids=str,
)
@EACH
async def test_what_went_wrong_is_not_kept(
    client: str, stream: bool, demo: dict[str, Any], tmp_path: Path, upstream: Counting
) -> None:
    async with running(tmp_path) as api:
        for _ in range(2):
            reply = await ask(api, client, stream=stream, demo=demo)
            assert cached(reply) == "MISS"
            assert (TTL in reply.headers) == (reply.status == 200)
        assert upstream.calls >= 1
        assert len(api.gateway.parts.answers) == 0
        assert {record.way == "cache" for record in await api.gateway.records()} == {False}


async def test_what_is_refused_is_refused_as_ever(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        for on in (True, False):
            assert (await ask(api, key="sk-nobody", on=on)).status == 401
            assert (await ask(api, on=on, messages="none")).status == 400
            assert (await ask(api, on=on, model="no/such")).status == 400
            assert (await ask(api, on=on, provider={"only": ["nobody"]})).status == 404
        assert upstream.calls == 0
        assert len(await api.gateway.records()) == 0
        assert api.gateway.parts.budgets.reserved("") == 0


async def test_money_is_looked_at_first(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        ask_poor: dict[str, Any] = {"key": POOR, "demo": {"events": 90}}
        assert (await ask(api, "chat", **ask_poor)).status == 200
        while (await api.chat(POOR, demo={"events": 60})).status == 200:
            assert upstream.calls < 50
        reply = await ask(api, "chat", **ask_poor)
        assert (reply.status, cached(reply)) == (200, "HIT"), "something is left, and a hit is free"
        settled = api.gateway.parts.budgets
        (key,) = {record.key_id for record in await api.gateway.records()}
        settled.replace_settled({key: 10**12}, {})
        assert (await ask(api, "chat", **ask_poor)).status == 402


async def test_no_metadata(tmp_path: Path) -> None:
    headers = {"x-openrouter-metadata": "enabled"}
    async with running(tmp_path) as api:
        for client in ASKS:
            for stream in (False, True):
                first, second = [await ask(api, client, stream=stream, headers=headers) for _ in range(2)]
                assert cached(second) == "HIT"
                assert b"openrouter_metadata" in first.body
                assert b"openrouter_metadata" not in second.body


@BOTH
async def test_tool_calls_are_kept(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    tools = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]
    more: dict[str, Any] = {
        "tools": tools,
        "demo": {"tool_call": True, "arguments": {"id": "gen-1", "usage": 3}},
        "stream": stream,
    }
    async with running(tmp_path) as api:
        first, second = [await ask(api, "chat", **more) for _ in range(2)]
        assert (cached(second), upstream.calls) == ("HIT", 1)
        assert b'\\"gen-1\\"' in first.body
        assert b'\\"gen-1\\"' in second.body


async def test_requests_under_way_do_not_wait_for_each_other(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        replies = await asyncio.gather(*(ask(api, demo={"delay_s": 0.3}) for _ in range(3)))
        assert [cached(reply) for reply in replies] == ["MISS"] * 3
        assert upstream.calls == 3
        assert cached(await ask(api, demo={"delay_s": 0.3})) == "HIT"


@BOTH
async def test_idempotency_comes_first(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        one, two = {"idempotency-key": "one"}, {"idempotency-key": "two"}
        first, replayed = [await ask(api, stream=stream, headers=one) for _ in range(2)]
        assert cached(first) == "MISS"
        assert (cached(replayed), replayed.headers["idempotent-replayed"]) == (None, "true")
        assert (replayed.status, replayed.body) == (200, first.body)
        hit, again = [await ask(api, stream=stream, headers=two) for _ in range(2)]
        assert (cached(hit), hit.headers[SOURCE]) == ("HIT", first.headers["x-generation-id"])
        assert again.headers["idempotent-replayed"] == "true"
        assert again.body == hit.body
        assert again.headers["x-generation-id"] == hit.headers["x-generation-id"]
        assert upstream.calls == 1
        assert len(await api.gateway.records()) == 2
        # What was refused leaves its idempotency key free.
        assert (await ask(api, model="no/such", headers={"idempotency-key": "three"})).status == 400
        assert (await ask(api, stream=stream, headers={"idempotency-key": "three"})).status == 200


@BOTH
async def test_what_is_too_long_is_not_kept(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path, response_cache={"max_answer_bytes": 50}) as api:
        assert [cached(await ask(api, stream=stream)) for _ in range(2)] == ["MISS", "MISS"]
        assert (len(api.gateway.parts.answers), upstream.calls) == (0, 2)


async def test_a_reload_sets_other_bounds(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        app: App = api.gateway.app
        await ask(api)
        blocks = {"response_cache": {"max_answers": 0, "max_answer_bytes": 10}}
        changed = parse(msgspec.json.encode(blocks), {}).response_cache
        apply(app, msgspec.structs.replace(app.settings, response_cache=changed))
        assert (len(api.gateway.parts.answers), app.state.max_answer_bytes) == (0, 10)
        assert [cached(await ask(api)) for _ in range(2)] == ["MISS", "MISS"]


async def test_comments_are_not_kept(tmp_path: Path) -> None:
    async with running(tmp_path, server={"keepalive_s": 1}) as api:
        demo = {"delay_s": 2.2}
        first, second = [await ask(api, stream=True, demo=demo) for _ in range(2)]
        assert KEEP_ALIVE in first.body
        assert (cached(first), first.headers[TTL]) == ("MISS", "300"), "also where a comment begins the stream"
        assert cached(second) == "HIT"
        assert KEEP_ALIVE not in second.body


@BOTH
async def test_a_client_that_left_leaves_nothing_behind(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    demo = {"delay_s": 0.3, "interval_s": 0.05, "events": 20}
    data = msgspec.json.encode({**ASKS["chat"][1], "stream": stream, "demo": demo})
    head = f"POST {CHAT} HTTP/1.1\r\nhost: x\r\nx-api-key: {KEY}\r\nx-openrouter-cache: true\r\n"
    async with running(tmp_path) as api:
        _, writer = await asyncio.open_connection("127.0.0.1", api.gateway.port)
        writer.write(f"{head}content-length: {len(data)}\r\n\r\n".encode() + data)
        await until(lambda: upstream.calls == 1)
        writer.transport.abort()
        await until(lambda: not api.gateway.app.state.metrics.in_flight)
        assert len(api.gateway.parts.answers) == 0
        assert [record.status for record in await api.gateway.records()] == ["cancelled"]


@pytest.mark.parametrize("there", [True, False])
async def test_a_client_that_left_while_it_was_looked_up(
    there: bool, tmp_path: Path, upstream: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    get = MemoryAnswerCache.get
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(store: MemoryAnswerCache, key: bytes) -> CachedAnswer | None:
        reached.set()
        await go.wait()
        return await get(store, key)

    async with running(tmp_path) as api:
        if there:
            await ask(api)
        monkeypatch.setattr(MemoryAnswerCache, "get", slow)
        asked = asyncio.create_task(ask(api))
        await asyncio.wait_for(reached.wait(), 5)
        for connection in tuple(api.gateway.connections):
            connection.abort()
        await until(lambda: not api.gateway.connections)
        go.set()
        await asyncio.gather(asked, return_exceptions=True)
        await until(lambda: not api.gateway.app.state.metrics.in_flight)
        assert upstream.calls == int(there)
        assert len(await api.gateway.records()) == int(there)


@BOTH
async def test_the_end_leaves_after_it_was_kept(stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put = MemoryAnswerCache.put
    reached, go = asyncio.Event(), asyncio.Event()

    async def slow(store: MemoryAnswerCache, *given: Any) -> None:
        reached.set()
        await go.wait()
        await put(store, *given)

    monkeypatch.setattr(MemoryAnswerCache, "put", slow)
    async with running(tmp_path) as api:
        asked = asyncio.create_task(ask(api, stream=stream))
        await asyncio.wait_for(reached.wait(), 5)
        await asyncio.sleep(0.05)
        assert not asked.done()
        go.set()
        assert (await asked).status == 200
        assert cached(await ask(api, stream=stream)) == "HIT"


@pytest.mark.parametrize("value", [b"", b"\xff\xff", msgspec.msgpack.encode({"v": 2, "body": b"{}"}), b"half"])
async def test_what_cannot_be_read_is_not_there(value: bytes, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        answers = api.gateway.parts.answers
        await ask(api)
        (key,) = answers._entries
        whole = await answers.get(key)
        assert whole is not None
        if value == b"half":  # the body was cut
            kept = msgspec.msgpack.decode(whole.value)
            value = msgspec.msgpack.encode({**kept, "body": kept["body"][:-9]})
        await answers.put(key, value, 100)
        reply = await ask(api)
        assert (reply.status, cached(reply), upstream.calls) == (200, "MISS", 2)
        assert cached(await ask(api)) == "HIT"


async def test_without_a_record_there_is_no_hit(
    tmp_path: Path, upstream: Counting, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async with running(tmp_path) as api:
        await ask(api)
        with monkeypatch.context() as patch:
            patch.setattr(FileJournal, "append", full)
            reply = await ask(api)
            assert (reply.status, cached(reply), upstream.calls) == (503, None, 1)
        assert cached(await ask(api)) == "HIT"


async def test_a_finish_in_an_error_is_no_answer(tmp_path: Path) -> None:
    """Providers end whole streams with the reason `error`; the client has what came, and the next one asks again."""
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    choice = {"index": 0, "message": {"role": "assistant", "content": "Hel"}, "finish_reason": "error"}
    async with ScriptedUpstream([Json({**head, "choices": [choice]})]) as scripted:
        settings = settings_for({"acme": f"{scripted.origin}/v1"})
        http = DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30)
        async with running_gateway(settings, folder=tmp_path) as gateway, http:
            api = Api(gateway, http)
            assert [cached(await ask(api, model=SCRIPTED)) for _ in range(2)] == ["MISS", "MISS"]
            assert len(scripted.seen) == 2


async def test_browsers_may_read_the_headers(tmp_path: Path) -> None:
    async with running(tmp_path, server={"allowed_origins": ["*"]}) as api:
        for _ in range(2):
            exposed = (await ask(api)).headers["access-control-expose-headers"].lower()
            assert {STATUS, AGE, TTL, SOURCE, "x-generation-id"} <= {name.strip() for name in exposed.split(",")}
        plain = await ask_in(api, "chat")
        assert STATUS not in plain.headers["access-control-expose-headers"].lower()


@BOTH
async def test_the_official_sdks_read_a_hit(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        url, more = api.gateway.url, {"api_key": KEY, "max_retries": 0, "default_headers": ON}
        options: list[dict[str, Any]] = [
            {**more, "http_client": DefaultAsyncHttpxClient(trust_env=False, verify=False)} for _ in "12"
        ]
        async with (
            AsyncOpenAI(base_url=api.gateway.api, **options[0]) as sdk,
            AsyncAnthropic(base_url=f"{url}/api", **options[1]) as claude,
        ):
            said = [await _all_three(sdk, claude, stream=stream) for _ in range(2)]
        assert upstream.calls == 3
        for (text, id_, used), (again, new, unused) in zip(*said, strict=True):
            assert text == again == "one two three"
            assert id_ != new
            assert used > 0 == unused
        assert [record.way == "cache" for record in await api.gateway.records()] == [False] * 3 + [True] * 3


async def _all_three(sdk: AsyncOpenAI, claude: AsyncAnthropic, *, stream: bool) -> list[tuple[str, str, int]]:
    """Text, id and tokens of an answer in each dialect, as the official SDK puts it together."""
    hello: Any = ASKS["chat"][1]["messages"]
    if stream:
        async with sdk.chat.completions.stream(model=MODEL, messages=hello) as chunks:
            chat: Any = await chunks.get_final_completion()
        async with claude.messages.stream(model=MODEL, messages=hello, max_tokens=50) as events:
            message: Any = await events.get_final_message()
        async with sdk.responses.stream(model=MODEL, input="one two three") as parts:
            response: Any = await parts.get_final_response()
    else:
        chat = await sdk.chat.completions.create(model=MODEL, messages=hello)
        message = await claude.messages.create(model=MODEL, messages=hello, max_tokens=50)
        response = await sdk.responses.create(model=MODEL, input="one two three")
    (block,) = message.content
    return [
        (chat.choices[0].message.content or "", chat.id, chat.usage.total_tokens),
        (getattr(block, "text", ""), message.id, message.usage.input_tokens + message.usage.output_tokens),
        (response.output_text, response.id, response.usage.total_tokens),
    ]


async def test_a_stream_that_was_relayed(tmp_path: Path) -> None:
    """Bytes that passed untranslated are kept as well, and given again whole however they were cut."""
    head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    pieces = [{"role": "assistant", "content": ""}, *({"content": f"{n} "} for n in range(50))]
    chunks: list[Any] = [{**head, "choices": [{"index": 0, "delta": piece, "finish_reason": None}]} for piece in pieces]
    chunks.append({**head, "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    data = b"".join(b"data: %s\n\n" % msgspec.json.encode(chunk) for chunk in chunks) + b"data: [DONE]\n\n"
    async with ScriptedUpstream([Sse(data, cuts=range(100, len(data), 997))]) as scripted:
        settings = settings_for({"acme": f"{scripted.origin}/v1"})
        http = DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30)
        async with running_gateway(settings, folder=tmp_path) as gateway, http:
            api = Api(gateway, http)
            first, second = [await ask(api, model=SCRIPTED, stream=True) for _ in range(2)]
            assert (cached(second), len(scripted.seen)) == ("HIT", 1)
            assert (await gateway.records())[0].way == "relay"
            id_ = second.headers["x-generation-id"]
            texts = [chunk["choices"][0]["delta"].get("content") for chunk in frames(second)[:-1]]
            assert "".join(text or "" for text in texts) == "".join(f"{n} " for n in range(50))
            assert {chunk["id"] for chunk in frames(second)[:-1]} == {id_}
            assert second.body.endswith(b"data: [DONE]\n\n")
            assert len(frames(first)) == len(frames(second))
