"""Routing, seen from outside: three dialects, streaming and not, against providers that do what they are told."""

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_help import KEY, Api, until
from openai import DefaultAsyncHttpxClient

from trunkline.routing.statistics import MAX_CONSECUTIVE_FAILURES, OPEN_FIRST_S
from trunkline.settings import parse
from trunkline.testing.gateway import running_gateway
from trunkline.testing.scripted import Json, Pause, ScriptedUpstream, Seen, Sse, Status

OTHER = "sk-test-other-0123456789abcd"
BOUND = "sk-test-bound-0123456789abcd"
PATHS = {"chat": "/api/v1/chat/completions", "messages": "/api/v1/messages", "responses": "/api/v1/responses"}
BODIES: dict[str, dict[str, Any]] = {
    "chat": {"messages": [{"role": "user", "content": "Hi"}]},
    "messages": {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 10},
    "responses": {"input": "Hi"},
}
NEW = count()
"""Each request begins a conversation of its own, unless it names a session."""
USAGE = {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4}}
ANSWER = {
    "id": "x", "object": "chat.completion", "created": 1, "model": "m", "usage": USAGE,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
}  # fmt: skip
CHUNK = {"id": "x", "object": "chat.completion.chunk", "created": 1, "model": "m"}
STREAM = (
    b"".join(
        b"data: %s\n\n" % msgspec.json.encode({**CHUNK, **more})
        for more in (
            {"choices": [{"index": 0, "delta": {"role": "assistant", "content": "Hello"}, "finish_reason": None}]},
            {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            {"choices": [], "usage": USAGE},
        )
    )
    + b"data: [DONE]\n\n"
)


class World:
    """Providers by slug: what each answers with now, `ok` or a status; and what each was asked."""

    def __init__(self) -> None:
        self.states: dict[str, int] = {}
        self.slow: dict[str, float] = {}
        """Seconds before an answer begins."""
        self.calls: list[tuple[str, Any]] = []

    def choose(self, seen: Seen) -> Any:
        slug = seen.path.split("/")[1]
        status = self.states.get(slug, 200)
        if seen.method == "GET":
            return Json(b'{"data": []}') if status == 200 else Status(status)
        body = msgspec.json.decode(seen.body)
        self.calls.append((slug, body))
        pause = [Pause(self.slow[slug])] if slug in self.slow else []
        if status != 200:
            return [*pause, Status(status)]
        return [*pause, Sse(STREAM) if body.get("stream") else Json(msgspec.json.encode(ANSWER))]

    @property
    def asked(self) -> list[str]:
        return [slug for slug, _ in self.calls]


def price(prompt: float) -> dict[str, float]:
    return {"prompt": prompt, "completion": prompt, "cache_read": prompt / 10}


@contextlib.asynccontextmanager
async def routed(folder: Path, **routing: Any) -> AsyncGenerator[tuple[Api, World]]:
    """Three providers of one model: `cheap`, `dear` (zdr) and `fast`, whose endpoint serves the tier `priority`."""
    world = World()
    async with ScriptedUpstream(choose=world.choose) as upstream:
        blocks = {
            "keys": [
                {"name": "tests", "secret": KEY},
                {"name": "other", "secret": OTHER},
                {"name": "bound", "secret": BOUND, "routing": {"only": ["dear"]}},
            ],
            "server": {"port": 0},
            "routing": {"default_sort": "price", **routing},
            "providers": {
                slug: {
                    "base_url": f"{upstream.origin}/{slug}",
                    "credentials": [{"api_key": "sk-provider-fake"}],
                    "data_policy": {"zdr": slug == "dear", "training": slug == "cheap"},
                }
                for slug in ("cheap", "dear", "fast")
            },
            "models": {
                "acme/small": {
                    "endpoints": [
                        {"provider": "dear", "upstream_model": "m", "price": price(3)},
                        {"provider": "cheap", "upstream_model": "m", "price": price(1)},
                        {"provider": "fast", "upstream_model": "m", "price": price(9), "service_tier": "priority"},
                    ]
                },
                "acme/large": {"endpoints": [{"provider": "dear", "upstream_model": "l", "price": price(5)}]},
            },
        }
        http = DefaultAsyncHttpxClient(trust_env=False, verify=False, timeout=30)
        async with running_gateway(parse(msgspec.json.encode(blocks), {}), folder=folder) as gateway, http:
            yield Api(gateway, http), world


async def ask(api: Api, dialect: str, *, stream: bool = False, key: str = KEY, **more: Any) -> Any:
    headers = more.pop("headers", {})
    text = f"Hi {next(NEW)}"
    said = {"input": text} if dialect == "responses" else {"messages": [{"role": "user", "content": text}]}
    body = {"model": "acme/small", "stream": stream, **BODIES[dialect], **said, **more}
    return await api.get(PATHS[dialect], key, "POST", body, **headers)


EACH = pytest.mark.parametrize("stream", [True, False], ids=["stream", "body"])
DIALECT = pytest.mark.parametrize("dialect", list(PATHS))


@EACH
@DIALECT
async def test_preferences(dialect: str, stream: bool, tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, world):
        asked: tuple[dict[str, Any], ...] = (
            {}, {"provider": {"zdr": True}}, {"provider": {"order": ["Dear"]}}, {"model": "acme/small:nitro"},
            {"provider": {"ignore": ["cheap"]}}, {"provider": {"sort": "latency", "only": ["cheap"]}},
        )  # fmt: skip
        for more in asked:
            reply = await ask(api, dialect, stream=stream, **more)
            assert reply.status == 200, reply.body
        # `:nitro` admits the tier, and nobody has a throughput yet but those who were asked for streams or bodies.
        assert world.asked[:3] == ["cheap", "dear", "dear"]
        assert world.asked[4:] == ["dear", "cheap"]


@EACH
@DIALECT
async def test_the_cheaper_one_is_gone(dialect: str, stream: bool, tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, world):
        world.states["cheap"] = 503
        for _ in range(7):
            assert (await ask(api, dialect, stream=stream)).status == 200
        # Five failures in a row open the circuit: from then on it is the last that is asked.
        assert world.asked == ["cheap", "dear"] * 5 + ["dear", "dear"]
        record = (await api.gateway.records())[0]
        assert [(attempt.tag, attempt.status) for attempt in record.attempts] == [("cheap", 503)]


async def test_a_probe_ends_an_outage(tmp_path: Path) -> None:
    async with routed(tmp_path, probe_s=0.1) as (api, world):
        world.states["cheap"] = 500
        for _ in range(5):
            await ask(api, "chat")
        router = api.gateway.app.state.engine.router
        (cheap,) = [one for one in api.gateway.app.state.catalog.models[0].endpoints if one.tag == "cheap"]
        assert router.statistics(cheap).open_until > 0
        world.states["cheap"] = 200
        world.calls.clear()
        until_open = router.statistics(cheap).open_until
        await ask(api, "chat")
        await until(lambda: router.statistics(cheap).open_until < until_open)
        await ask(api, "chat")
        assert world.asked == ["dear", "cheap"]


@EACH
@DIALECT
async def test_nothing_is_left(dialect: str, stream: bool, tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, world):
        wanted = {"zdr": True, "only": ["cheap"]}
        reply = await ask(
            api, dialect, stream=stream, provider=wanted, headers={"X-OpenRouter-Metadata": "enabled"}
        )  # fmt: skip
        assert reply.status == 404
        error = reply.json()["error"]
        assert "2 removed by only (dear, fast)" in error["message"]
        assert "1 removed by zdr (cheap)" in error["message"]
        assert error["availability"]["code"] == "constraint_filtered"
        assert error["availability"]["excluded_by"] == ["allowed_providers", "data_policy:zdr"]
        left_out = {one["tag"]: one["filter"] for one in reply.json()["openrouter_metadata"]["filtered"]}
        assert left_out == {"dear": "only", "fast/priority": "only", "cheap": "zdr"}
        assert not world.calls


@EACH
@DIALECT
async def test_a_session_stays_where_it_was(dialect: str, stream: bool, tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, world):
        world.states["cheap"] = 503
        session: dict[str, Any] = {"headers": {"x-session-id": "s1"}}
        await ask(api, dialect, stream=stream, **session)
        world.states.clear()
        world.calls.clear()
        await ask(api, dialect, stream=stream, **session)
        await ask(api, dialect, stream=stream, headers={"x-session-id": "s2"}, provider={"sort": "price"})
        await ask(api, dialect, stream=stream, key=OTHER, **session)
        await ask(api, dialect, stream=stream, provider={"order": ["cheap"]}, **session)
        assert world.asked == ["dear", "cheap", "cheap", "cheap"]


@EACH
@DIALECT
async def test_service_tiers(dialect: str, stream: bool, tmp_path: Path) -> None:
    fast = {"speed": "fast"} if dialect == "messages" else {"service_tier": "priority"}
    async with routed(tmp_path) as (api, world):
        await ask(api, dialect, stream=stream)
        await ask(api, dialect, stream=stream, **fast)
        await ask(api, dialect, stream=stream, provider={"only": ["fast/priority"]})
        reply = await ask(api, dialect, stream=stream, provider={"only": ["fast"]})
        assert reply.status == 404
        # A conversation that was elsewhere goes to the tier that it asks for.
        session: dict[str, Any] = {"headers": {"x-session-id": "s"}}
        await ask(api, dialect, stream=stream, **session)
        await ask(api, dialect, stream=stream, **session, **fast)
        assert world.asked == ["cheap", "fast", "fast", "cheap", "fast"]
        tiers = [body.get("service_tier") for _, body in world.calls]
        assert tiers == [None, "priority", "priority", None, "priority"]


@DIALECT
async def test_a_key_of_its_own_ceiling(dialect: str, tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, world):
        assert (await ask(api, dialect, key=BOUND)).status == 200
        assert (await ask(api, dialect, key=BOUND, provider={"only": ["cheap"]})).status == 404
        assert world.asked == ["dear"]


@DIALECT
async def test_the_next_model(dialect: str, tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, world):
        world.states["cheap"] = 400
        headers = {"X-OpenRouter-Metadata": "enabled"}
        reply = await ask(api, dialect, models=["acme/large"], headers=headers)
        assert reply.status == 200
        assert world.asked == ["cheap", "dear"]
        said = reply.json()["openrouter_metadata"]
        assert said["strategy"] == "fallback"
        assert reply.json()["model"] == "acme/large"


@DIALECT
async def test_route_decides_and_asks_nobody(dialect: str, tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, world):
        body = {"model": "acme/small:floor", **BODIES[dialect], "provider": {"data_collection": "deny"}}
        path = "/api/v1/route" if dialect != "messages" else "/api/v1/route?dialect=messages"
        reply = await api.get(path, KEY, "POST", body)
        assert reply.status == 200, reply.body
        said = reply.json()
        assert said["dialect"] == dialect
        assert [one["tag"] for one in said["plan"]] == ["dear"]
        assert [one["filter"] for one in said["filtered"]] == ["service_tier", "data_collection"]
        assert not world.calls
        assert not await api.gateway.records()
        assert (await api.get(path, KEY, "POST", {**body, "provider": {"only": ["nobody"]}})).status == 404
        assert (await api.get(path, None, "POST", body)).status == 401


async def test_a_trial_is_taken_by_who_asks_and_not_by_who_looks(tmp_path: Path) -> None:
    async with routed(tmp_path, probe_s=0) as (api, world):
        router, clock = api.gateway.app.state.engine.router, api.gateway.app.state.clock
        cheap = next(slot for slot in router.pools["acme/small"] if slot.endpoint.provider == "cheap")
        for _ in range(MAX_CONSECUTIVE_FAILURES):  # so long ago that a trial is on offer
            cheap.statistics.failed(clock.monotonic() - OPEN_FIRST_S - 1)
        world.slow["cheap"] = 0.5

        async def first() -> str:
            cheap.pool.invalidate()
            reply = await api.get("/api/v1/route", KEY, "POST", {"model": "acme/small", **BODIES["chat"]})
            found: str = reply.json()["plan"][0]["tag"]
            return found

        assert [await first() for _ in range(3)] == ["cheap"] * 3
        asking = asyncio.create_task(ask(api, "chat"))
        await until(lambda: world.asked == ["cheap"])
        assert await first() == "dear", "its trial is under way"
        assert (await asking).status == 200
        assert await first() == "cheap", "it is back"


async def test_the_list_says_how_endpoints_do(tmp_path: Path) -> None:
    async with routed(tmp_path) as (api, _):
        for _ in range(3):
            await ask(api, "chat", stream=True)
        (cheap,) = [
            one
            for one in (await api.get("/api/v1/models/acme/small/endpoints")).data["endpoints"]
            if one["tag"] == "cheap"
        ]
        assert cheap["status"] == 0
        assert cheap["latency_last_30m"]["p50"] > 0
        assert cheap["throughput_last_30m"]["p99"] > 0
        assert cheap["uptime_last_5m"] is None, "three requests are too few to say"


async def test_a_default_model(tmp_path: Path) -> None:
    async with routed(tmp_path, default_model="acme/large") as (api, world):
        body = {"messages": [{"role": "user", "content": "Hi"}]}
        assert (await api.get(PATHS["chat"], KEY, "POST", body)).status == 200
        assert world.asked == ["dear"]


@EACH
@DIALECT
@pytest.mark.parametrize("second", ["quick", "refuses", "slower"])
async def test_hedging(dialect: str, stream: bool, second: str, tmp_path: Path) -> None:
    async with routed(tmp_path, hedge_after_s=0.2) as (api, world):
        world.slow["cheap"] = 0.8 if second != "quick" else 20
        if second == "refuses":
            world.states["dear"] = 500
        elif second == "slower":
            world.slow["dear"] = 20
        reply = await ask(api, dialect, stream=stream)
        assert reply.status == 200
        assert sorted(world.asked) == ["cheap", "dear"]
        (record,) = await api.gateway.records()
        assert record.endpoint == ("dear" if second == "quick" else "cheap")
        assert [attempt.tag for attempt in record.attempts] == ["cheap" if second == "quick" else "dear"]
        assert record.attempts[0].maybe_billed
        assert record.cost > 0


async def test_hedging_where_both_fail(tmp_path: Path) -> None:
    async with routed(tmp_path, hedge_after_s=0.1) as (api, world):
        world.states = {"cheap": 500, "dear": 503}
        world.slow = {"cheap": 0.3}
        reply = await ask(api, "chat")
        assert reply.status == 502
        assert sorted(world.asked) == ["cheap", "dear"]
        (record,) = await api.gateway.records()
        assert sorted(attempt.tag for attempt in record.attempts) == ["cheap", "dear"]
        world.states.clear()
        world.slow = {"cheap": 0.3}
        assert (await ask(api, "chat")).status == 200


async def test_a_quick_answer_is_not_hedged(tmp_path: Path) -> None:
    async with routed(tmp_path, hedge_after_s=5) as (api, world):
        assert (await ask(api, "chat")).status == 200
        assert world.asked == ["cheap"]
