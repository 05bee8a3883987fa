"""Two replicas and a real Redis: what one has seen the other knows within a second, and both go on without it.

Issue 4; docs/guides/replicas.md.
"""

import asyncio
import logging
import re
import signal
import time
from collections.abc import Generator
from pathlib import Path

import msgspec
import pytest
from shared_help import BODY, PASSWORD, RedisServer, chat, get, metric, program, replica, until, workers

from trunkline.routing.statistics import DOWN, MAX_CONSECUTIVE_FAILURES
from trunkline.storage.fact_log import ATTEMPTS, FACTS
from trunkline.storage.redis import RedisAnswerCache, open_redis
from trunkline.testing.gateway import MODEL, UPSTREAM_MODEL, RunningGateway
from trunkline.testing.scripted import Json, ScriptedUpstream, Status


@pytest.fixture
def redis(tmp_path: Path) -> Generator[RedisServer, None, None]:
    folder = tmp_path / "redis"
    folder.mkdir()
    server = RedisServer(program(), folder)
    server.start()
    try:
        yield server
    finally:
        server.kill()


def standing(running: RunningGateway, slug: str) -> int:
    """What the replica thinks of the provider's endpoint."""
    router = running.app.state.engine.router
    endpoint = next(one.endpoint for one in router.pools[MODEL].slots if one.endpoint.provider == slug)
    return router.statistics(endpoint).refresh(time.monotonic()).standing


def rests(running: RunningGateway, slug: str) -> bool:
    return running.parts.credentials.rests(running.app.state.catalog.providers[slug], UPSTREAM_MODEL)


async def test_failures_at_one_put_the_endpoint_last_at_the_other(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Status(500)]) as bad,
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"bad": bad.origin, "good": good.origin}) as a,
        replica(tmp_path, "b", redis.url, {"bad": bad.origin, "good": good.origin}) as b,
    ):
        for _ in range(MAX_CONSECUTIVE_FAILURES):
            assert (await chat(a.port))[0] == 200
        failed = len(bad.seen)
        assert failed >= MAX_CONSECUTIVE_FAILURES
        await until(lambda: standing(b, "bad") == DOWN)
        assert (await chat(b.port))[0] == 200
        assert len(bad.seen) == failed, "B asked the endpoint that A knew to be down"


async def test_a_limit_that_one_met_rests_the_credential_at_the_other(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Status(429, {"retry-after": "30"})]) as limited,
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"limited": limited.origin, "good": good.origin}) as a,
        replica(tmp_path, "b", redis.url, {"limited": limited.origin, "good": good.origin}) as b,
    ):
        assert (await chat(a.port))[0] == 200
        assert len(limited.seen) == 1
        await until(lambda: rests(b, "limited"))
        assert (await chat(b.port))[0] == 200
        assert len(limited.seen) == 1, "B asked with the credential that rests"
        status, body = await chat(b.port, provider={"only": ["limited"]})
        assert status == 429
        assert 20 < body["error"]["metadata"].get("retry_after_seconds", 29) <= 30


async def test_a_session_is_sticky_at_the_other_and_after_a_restart(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Json(BODY)]) as first,
        ScriptedUpstream([Json(BODY)]) as second,
        replica(tmp_path, "a", redis.url, {"first": first.origin, "second": second.origin}) as a,
    ):
        providers = {"first": first.origin, "second": second.origin}
        async with replica(tmp_path, "b", redis.url, providers) as b:
            assert (await chat(a.port, session="s-1", provider={"order": ["second"]}))[0] == 200
            await until(lambda: len(b.parts.memory.conversations) == 1)
            assert (await chat(b.port, session="s-1"))[0] == 200
            assert (len(first.seen), len(second.seen)) == (0, 2)
            assert (await chat(b.port, session="s-2"))[0] == 200
            assert (len(first.seen), len(second.seen)) == (1, 2), "another session is not bound to it"
        async with replica(tmp_path, "b", redis.url, providers) as b:  # it knows before it is asked
            assert (await chat(b.port, session="s-1"))[0] == 200
            assert (len(first.seen), len(second.seen)) == (1, 3)


async def test_rests_and_health_survive_a_restart(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Status(500)]) as bad,
        ScriptedUpstream([Status(429, {"retry-after": "30"})]) as limited,
        ScriptedUpstream([Json(BODY)]) as good,
    ):
        providers = {"bad": bad.origin, "limited": limited.origin, "good": good.origin}
        async with replica(tmp_path, "a", redis.url, providers) as a:
            for _ in range(MAX_CONSECUTIVE_FAILURES):
                assert (await chat(a.port))[0] == 200
        async with replica(tmp_path, "a", redis.url, providers) as a:
            assert standing(a, "bad") == DOWN
            assert rests(a, "limited")
            before = len(bad.seen), len(limited.seen)
            assert (await chat(a.port))[0] == 200
            assert (len(bad.seen), len(limited.seen)) == before


async def test_without_redis_both_go_on_and_say_so(
    redis: RedisServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "trunkline")
    async with (
        ScriptedUpstream([Status(429, {"retry-after": "60"})]) as limited,
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"limited": limited.origin, "good": good.origin}) as a,
        replica(tmp_path, "b", redis.url, {"limited": limited.origin, "good": good.origin}) as b,
    ):
        for running in (a, b):
            assert await get(running.port, "/health/ready") == (200, b'{"status":"ok","shared_state":"ok"}')
            assert await metric(running, "trunkline_shared_state_up") == 1
        assert (await chat(a.port, session="before", provider={"only": ["good"]}))[0] == 200
        await until(lambda: len(b.parts.memory.conversations) == 1)

        redis.kill()
        await until(
            lambda: a.app.state.shared_state_reachable() is False and b.app.state.shared_state_reachable() is False, 2.0
        )
        for running in (a, b):
            status, body = await get(running.port, "/health/ready")
            assert status == 200, "it goes on serving"
            assert msgspec.json.decode(body) == {"status": "ok", "shared_state": "unreachable"}
            assert await metric(running, "trunkline_shared_state_up") == 0
            assert (await chat(running.port, provider={"only": ["good"]}))[0] == 200
        assert len(b.parts.memory.conversations) == 1, "what was known is known"
        assert (await chat(a.port))[0] == 200  # A meets a limit that B cannot know of
        assert rests(a, "limited")
        assert not rests(b, "limited")

        redis.start()
        await until(
            lambda: a.app.state.shared_state_reachable() is True and b.app.state.shared_state_reachable() is True, 8.0
        )
        await until(lambda: rests(b, "limited"))
        assert (await get(a.port, "/health/ready"))[1] == b'{"status":"ok","shared_state":"ok"}'
        assert await metric(a, "trunkline_shared_state_up") == 1
        assert await metric(a, "trunkline_shared_facts_sent_total") >= 2
        assert await metric(b, "trunkline_shared_facts_received_total") >= 2
        assert await metric(b, "trunkline_shared_facts_dropped_total") == 0
    said = [record.getMessage() for record in caplog.records if "shared state" in record.getMessage()]
    assert sorted(said) == sorted(
        2 * ["the shared state is back"] + [line for line in said if line.startswith("the shared state is away (")]
    )
    assert len(said) == 4, "one line when it goes and one when it comes back, for each"
    assert PASSWORD not in caplog.text


async def test_an_answer_that_one_kept_the_other_gives(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"good": good.origin}) as a,
        replica(tmp_path, "b", redis.url, {"good": good.origin}) as b,
    ):
        status, first = await chat(a.port, cache=True)
        assert status == 200
        status, again = await chat(b.port, cache=True)
        assert status == 200
        assert again["choices"] == first["choices"]
        assert again["usage"]["cost"] == 0
        assert len(good.seen) == 1
        redis.kill()
        for running in (a, b):  # a miss, and nothing else
            begun = time.monotonic()
            assert (await chat(running.port, cache=True))[0] == 200
            assert time.monotonic() - begun < 2
        assert len(good.seen) == 3


async def test_a_cache_without_room_keeps_nothing_in_redis_either(redis: RedisServer, tmp_path: Path) -> None:
    nothing = {"response_cache": {"max_bytes": 0}}
    async with (
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"good": good.origin}, **nothing) as a,
    ):
        for _ in range(2):
            assert (await chat(a.port, cache=True))[0] == 200
        assert len(good.seen) == 2


async def test_the_cache_of_answers(redis: RedisServer) -> None:
    client = open_redis(redis.url)
    usable = True
    cache = RedisAnswerCache(client, lambda: usable)
    assert await cache.get(b"\x00\xff") is None
    await cache.put(b"\x00\xff", b"\x01answer", 60.0)
    found = await cache.get(b"\x00\xff")
    assert found is not None
    assert found.value == b"\x01answer"
    assert 59 < found.remaining_s <= 60
    usable = False
    assert await cache.get(b"\x00\xff") is None
    usable = True
    await cache.delete(b"\x00\xff")
    assert await cache.get(b"\x00\xff") is None
    await cache.put(b"short", b"x", 0.05)
    await asyncio.sleep(0.1)
    assert await cache.get(b"short") is None
    redis.signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert await cache.get(b"short") is None
    assert time.monotonic() - begun < 1
    await client.aclose()


async def test_a_redis_that_hangs_is_away_and_nothing_is_told_twice(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"good": good.origin, "spare": good.origin}) as a,
        replica(tmp_path, "b", redis.url, {"good": good.origin, "spare": good.origin}) as b,
    ):
        redis.signal(signal.SIGSTOP)
        for _ in range(3):
            begun = time.monotonic()
            assert (await chat(a.port))[0] == 200
            assert time.monotonic() - begun < 1, "a request waits for nobody"
        await until(
            lambda: a.app.state.shared_state_reachable() is False and b.app.state.shared_state_reachable() is False,
            10.0,
        )
        redis.signal(signal.SIGCONT)
        there, here = a.parts.shared, b.parts.shared
        assert there is not None
        assert here is not None
        await until(lambda: here.up and there.sent == here.received == 3, 8.0)
        assert (await chat(a.port))[0] == 200
        await until(lambda: here.received == 4)
        assert len(redis.entries(ATTEMPTS)) >= 2
        assert here.dropped == there.dropped == 0


async def test_a_redis_that_is_full_is_away_until_it_is_not(redis: RedisServer, tmp_path: Path) -> None:
    async with (
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"good": good.origin}) as a,
        replica(tmp_path, "b", redis.url, {"good": good.origin}) as b,
    ):
        with redis.client() as client:
            client.config_set("maxmemory", 1)
            assert (await chat(a.port))[0] == 200
            await until(lambda: a.app.state.shared_state_reachable() is False)
            assert b.app.state.shared_state_reachable() is True, "it can read and has nothing to tell"
            await asyncio.sleep(0.7)
            assert a.app.state.shared_state_reachable() is False
            client.config_set("maxmemory", 0)
        shared = b.parts.shared
        assert shared is not None
        await until(lambda: a.app.state.shared_state_reachable() is True and shared.received == 1, 6.0)


async def test_a_start_without_redis_serves(redis: RedisServer, tmp_path: Path) -> None:
    redis.kill()
    async with ScriptedUpstream([Json(BODY)]) as good:
        begun = time.monotonic()
        async with replica(tmp_path, "a", redis.url, {"good": good.origin}) as a:
            assert time.monotonic() - begun < 4
            assert (await chat(a.port))[0] == 200
            assert await get(a.port, "/health/ready") == (200, b'{"status":"ok","shared_state":"unreachable"}')


async def test_the_metrics_that_the_docs_name(redis: RedisServer, tmp_path: Path) -> None:
    page = (Path(__file__).parents[3] / "docs" / "guides" / "replicas.md").read_text("utf-8")
    async with replica(tmp_path, "a", redis.url, {"good": "http://127.0.0.1:9"}) as a:
        there = set(re.findall(r"^trunkline_shared\w+", (await get(a.port, "/metrics"))[1].decode(), re.MULTILINE))
    assert there == set(re.findall(r"^\| `(trunkline_\w+)` \|", page, re.MULTILINE))


async def test_without_a_url_nothing_is_said_of_it(tmp_path: Path) -> None:
    async with replica(tmp_path, "a", None, {"good": "http://127.0.0.1:9"}) as a:
        assert await get(a.port, "/health/ready") == (200, b'{"status":"ok"}')
        assert b"shared" not in (await get(a.port, "/metrics"))[1]


async def test_what_is_in_redis(redis: RedisServer, tmp_path: Path) -> None:
    """Two streams, entries of JSON; no prompt, no secret."""
    async with (
        ScriptedUpstream([Json(BODY)]) as good,
        replica(tmp_path, "a", redis.url, {"good": good.origin, "spare": good.origin}) as a,
    ):
        shared = a.parts.shared
        assert shared is not None
        assert (await chat(a.port, session="s-1"))[0] == 200
        await until(lambda: shared.sent == 2)
        (attempt,), (fact,) = redis.entries(ATTEMPTS), redis.entries(FACTS)
        _, _, facts = msgspec.json.decode(attempt)
        assert [one[:3] for one in facts] == [["attempt", f"{MODEL}@good:{UPSTREAM_MODEL}", "served"]]
        _, _, facts = msgspec.json.decode(fact)
        assert [(one[0], one[2]) for one in facts] == [("stick", f"{MODEL}@good:{UPSTREAM_MODEL}")]
        assert b"s-1" not in fact


async def test_each_worker_is_a_replica(redis: RedisServer, tmp_path: Path) -> None:
    with workers(tmp_path, 2, redis.url) as port:
        names: set[str] = set()
        async with asyncio.timeout(20):
            while len(names) < 2:
                assert (await chat(port, model="demo/echo"))[0] == 200
                await asyncio.sleep(0.05)
                names = {msgspec.json.decode(entry)[0] for entry in redis.entries(ATTEMPTS)}


def test_urls_of_valkey() -> None:
    for url, secure in (("valkey://h:7000/3", False), ("valkeys://h:7000/3", True), ("rediss://h:7000/3", True)):
        pool = open_redis(url).connection_pool
        assert (pool.connection_kwargs["host"], pool.connection_kwargs["port"]) == ("h", 7000)
        assert ("SSL" in pool.connection_class.__name__) == secure
