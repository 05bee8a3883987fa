"""Two replicas and one key with a limit: together they spend no more than it."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from postgres_help import PostgresServer, postgres_programs
from shared_help import RedisServer, metric, program, until

from trunkline.ledger.lease import LeaseRequest, grant
from trunkline.model.money import PICO_PER_USD, to_usd
from trunkline.storage.lease_store import StoreUnavailable
from trunkline.storage.redis import open_redis
from trunkline.storage.redis_leases import GRACE_S, MARKER, PREFIX, SCRIPT, RedisLeases
from trunkline.testing.gateway import KEY, MODEL, UPSTREAM_MODEL, RunningGateway, running_gateway, settings_for
from trunkline.testing.scripted import Json, Pause, ScriptedUpstream

CLIENTS = 64
SECRET = "sk-test-limited-0123456789abcdef"
LIMIT_USD = 1
BODY = {
    "id": "up-1",
    "object": "chat.completion",
    "created": 1_700_000_000,
    "model": "x",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10},
}
PRICE = {"prompt": 100, "completion": 2000}
COST = 7 * 100_000_000 + 3 * 2_000_000_000
"""Of one request, in pico-dollars: $0.0067."""


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


@pytest.fixture
def postgres() -> Generator[PostgresServer, None, None]:
    with PostgresServer(postgres_programs()) as server:
        yield server


async def replica(
    stack: AsyncExitStack,
    folder: Path,
    upstream: ScriptedUpstream,
    redis_url: str | None = None,
    database_url: str | None = None,
) -> RunningGateway:
    """A gateway with the limited key; its database is in *folder* where it is given no other."""
    await asyncio.to_thread(folder.mkdir, exist_ok=True)
    endpoints = [{"provider": "acme", "upstream_model": UPSTREAM_MODEL, "price": PRICE}]
    more: dict[str, Any] = {} if redis_url is None else {"shared_state": {"url": redis_url}}
    configured = settings_for(
        {"acme": f"{upstream.origin}/v1"},
        models={MODEL: {"endpoints": endpoints}},
        keys=[{"name": "tests", "secret": KEY}, {"name": "limited", "secret": SECRET, "limit_usd": LIMIT_USD}],
        **more,
    )
    return await stack.enter_async_context(running_gateway(configured, folder=folder, database_url=database_url))


async def ask(port: int, *, max_tokens: int = 5) -> tuple[int, Any]:
    """One request of the limited key."""
    asked = {"model": MODEL, "max_tokens": max_tokens, "messages": [{"role": "user", "content": "Say hello."}]}
    body = json.dumps(asked).encode()
    head = "POST /api/v1/chat/completions HTTP/1.1\r\nhost: test\r\nconnection: close\r\n"
    head += f"authorization: Bearer {SECRET}\r\ncontent-length: {len(body)}\r\n\r\n"
    async with asyncio.timeout(30):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
        answer_head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    return int(answer_head.split()[1]), json.loads(answer)


async def race(replicas: list[RunningGateway], served: Counter[int]) -> None:
    """Every client asks until it was refused twice."""

    async def client(number: int) -> None:
        refused = 0
        while refused < 2:
            status, body = await ask(replicas[number % len(replicas)].port)
            served[status] += 1
            assert status in (200, 402), body
            refused += status == 402

    await asyncio.gather(*(client(number) for number in range(CLIENTS)))


def upstream() -> ScriptedUpstream:
    return ScriptedUpstream([Pause(0.005), Json(BODY)])


async def check_race(replicas: list[RunningGateway], asked: ScriptedUpstream) -> int:
    """Race; return what was spent."""
    served: Counter[int] = Counter()
    await race(replicas, served)
    spent = len(asked.seen) * COST
    assert served[200] == len(asked.seen)
    assert spent <= LIMIT_USD * PICO_PER_USD, f"${to_usd(spent)} of ${LIMIT_USD}"
    assert spent >= LIMIT_USD * PICO_PER_USD * 0.85, f"refused too early, at ${to_usd(spent)}"
    return spent


async def races_on_redis(folder: Path, server: RedisServer, rounds: int) -> list[int]:
    """Race *rounds* times with databases that are new, and a Redis that knows nothing."""
    spent: list[int] = []
    for number in range(rounds):
        async with AsyncExitStack() as stack:
            asked = await stack.enter_async_context(upstream())
            replicas = [await replica(stack, folder / f"{number}{name}", asked, server.url) for name in "ab"]
            spent.append(await check_race(replicas, asked))
        with server.client() as client:
            client.flushall()
    return spent


async def test_clients_race_at_two_replicas_with_redis(redis: RedisServer, tmp_path: Path) -> None:
    await races_on_redis(tmp_path, redis, 2)


@pytest.mark.soak
async def test_a_hundred_races_with_redis(
    redis: RedisServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spent = await races_on_redis(tmp_path, redis, 100)
    with capsys.disabled():
        sys.stdout.write(f"\n100 races on Redis: ${to_usd(min(spent))} to ${to_usd(max(spent))} of ${LIMIT_USD}\n")


async def test_clients_race_at_two_processes_with_one_database(tmp_path: Path) -> None:
    async with upstream() as asked, AsyncExitStack() as stack:
        replicas = [await replica(stack, tmp_path / "data", asked) for _ in "ab"]
        served: Counter[int] = Counter()
        await race(replicas, served)
        assert served[200] == len(asked.seen)
        assert len(asked.seen) * COST <= LIMIT_USD * PICO_PER_USD
        # A process that seems alone takes half of what is left at a time.
        assert len(asked.seen) * COST >= LIMIT_USD * PICO_PER_USD * 0.4


async def races_on_postgres(
    folder: Path, server: PostgresServer, rounds: int, *, redis: str | None = None
) -> list[int]:
    """Race *rounds* times, each with a new database."""
    spent: list[int] = []
    for number in range(rounds):
        url = server.create_database(f"race{number}")
        async with AsyncExitStack() as stack:
            asked = await stack.enter_async_context(upstream())
            replicas = [await replica(stack, folder / f"{number}{name}", asked, redis, url) for name in "ab"]
            spent.append(await check_race(replicas, asked))
    return spent


async def test_clients_race_at_two_replicas_with_postgres_alone(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # the journal is in the current folder
    await races_on_postgres(tmp_path, postgres, 2)


@pytest.mark.soak
async def test_twenty_races_with_postgres_alone(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    spent = await races_on_postgres(tmp_path, postgres, 20)
    with capsys.disabled():
        sys.stdout.write(f"\n20 races on PostgreSQL: ${to_usd(min(spent))} to ${to_usd(max(spent))} of ${LIMIT_USD}\n")


async def test_postgres_stands_in_for_redis(
    postgres: PostgresServer, redis: RedisServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    redis.kill()
    await races_on_postgres(tmp_path, postgres, 1, redis=redis.url)


async def test_redis_is_emptied_restarted_and_away_during_the_race(redis: RedisServer, tmp_path: Path) -> None:
    async with upstream() as asked, AsyncExitStack() as stack:
        replicas = [await replica(stack, tmp_path / name, asked, redis.url) for name in "ab"]
        served: Counter[int] = Counter()

        async def client(number: int) -> None:
            refused = 0
            while refused < 2:
                status, body = await ask(replicas[number % 2].port)
                served[status] += 1
                assert status in (200, 402, 503), body
                if status == 503:
                    assert "limit of this key cannot be checked" in body["error"]["message"]
                    await asyncio.sleep(0.1)
                refused += status == 402

        async def disturb() -> None:
            for _ in range(2):
                await asyncio.sleep(0.3)
                with redis.client() as other:
                    other.flushall()
                await asyncio.sleep(0.3)
                redis.kill()
                await asyncio.sleep(0.5)
                redis.start()

        async with asyncio.timeout(60):
            await asyncio.gather(disturb(), *(client(number) for number in range(16)))
        assert len(asked.seen) * COST <= LIMIT_USD * PICO_PER_USD
        assert served[200] == len(asked.seen)


async def test_a_refusal_without_redis_names_the_reason_and_other_keys_go_on(
    redis: RedisServer, tmp_path: Path
) -> None:
    async with upstream() as asked, AsyncExitStack() as stack:
        running = await replica(stack, tmp_path / "a", asked, redis.url)
        assert (await ask(running.port))[0] == 200
        redis.kill()
        await asyncio.sleep(1.6)
        status, body = await ask(running.port)
        assert status == 503
        assert body["error"]["message"] == "the shared state is away: the limit of this key cannot be checked"
        redis.start()
        assert (await ask(running.port))[0] == 200
        assert len(asked.seen) == 2


async def test_spending_is_known_after_redis_lost_it(redis: RedisServer, tmp_path: Path) -> None:
    async with upstream() as asked, AsyncExitStack() as stack:
        replicas = [await replica(stack, tmp_path / name, asked, redis.url) for name in "ab"]
        await check_race(replicas, asked)
        before = len(asked.seen)
        with redis.client() as client:
            client.flushall()
        await asyncio.sleep(GRACE_S + 1.0)
        for running in replicas:
            for _ in range(12):
                await ask(running.port)
        assert len(asked.seen) * COST <= LIMIT_USD * PICO_PER_USD, f"{len(asked.seen) - before} more were served"
        status, body = await ask(replicas[0].port, max_tokens=500)
        assert status == 402
        assert "$1.00" in body["error"]["message"]


async def test_leases_are_given_back_at_a_stop(redis: RedisServer, tmp_path: Path) -> None:
    async with upstream() as asked:
        async with AsyncExitStack() as stack:
            running = await replica(stack, tmp_path / "a", asked, redis.url)
            assert (await ask(running.port))[0] == 200
        with redis.client() as client:
            names: Any = client.keys("trunkline:budget:*")
            (name,) = names
            fields: Any = client.hgetall(name)
        assert [field[:2] for field in fields] == [b"d:"]
        assert list(fields.values()) == [str(COST).encode()]


# The script.

amounts = st.one_of(st.integers(0, 2**63 - 1), st.integers(0, 3_000_000), st.sampled_from((10**6, 10**12, 2**53)))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    limit=amounts,
    spent=st.dictionaries(st.sampled_from("xyz"), amounts, max_size=3),
    others=st.lists(amounts, max_size=3),
    held=amounts,
    least=amounts,
    wanted=amounts,
)
def test_the_script_grants_what_the_function_grants(
    redis: RedisServer,
    limit: int,
    spent: dict[str, int],
    others: list[int],
    held: int,
    least: int,
    wanted: int,
) -> None:
    with redis.client() as client:
        client.delete(PREFIX + "k")
        client.set(MARKER, "1-1")  # long ago

        def run(holder: str, seq: int, database: str, *numbers: int) -> Any:
            return client.eval(SCRIPT, 2, MARKER, PREFIX + "k", holder, seq, database, 30_000, 2000, *numbers, 20)

        for database, amount in spent.items():
            run("reporter", 1, database, limit, 0, amount, 0, 0)
        for number, amount in enumerate(others):
            run(str(number), 1, "x", limit, amount, 0, 0, 0)
        granted, total, held_by_others, elsewhere, wait, _ = run("me", 1, "x", limit, held, 0, least, wanted)
        request = LeaseRequest(key_id="k", limit=limit, seq=1, held=held, spent=0, least=least, wanted=wanted)
        expected = grant(request, spent=sum(spent.values()), others=sum(others), share=20)
        assert (int(total), int(held_by_others), wait) == (sum(spent.values()), sum(others), 0)
        assert int(elsewhere) == sum(amount for name, amount in spent.items() if name != "x")
        # One part in twenty is a whole number of millions.
        assert int(granted) == expected or (
            expected == (limit - sum(spent.values()) - sum(others) - held) // 20
            and max(least, wanted) <= int(granted) <= expected
            and expected - int(granted) < 2_000_000
        )


async def test_requests_over_redis(redis: RedisServer) -> None:
    def asks(seq: int, *, held: int = 0, least: int = 0, spent: int = 0) -> LeaseRequest:
        return LeaseRequest(key_id="k", limit=1000, seq=seq, held=held, spent=spent, least=least)

    one = RedisLeases(open_redis(redis.url), holder="one", database="x", share=20)
    other = RedisLeases(open_redis(redis.url), holder="other", database="y", share=20)
    try:
        assert await one.epoch() == ""
        answer = await one.sync(asks(1, least=10, spent=100))
        assert answer.granted == 0, "it knows nothing yet: others may hold something"
        assert 0 < answer.wait_s <= GRACE_S
        assert await one.epoch() == answer.epoch
        await asyncio.sleep(answer.wait_s)
        assert (await one.sync(asks(2, least=10, spent=100))).granted == 10
        answer = await other.sync(asks(1, least=1, spent=50))
        assert (answer.granted, answer.spent, answer.others, answer.elsewhere) == (1, 150, 10, 100)
        with pytest.raises(StoreUnavailable):
            await one.sync(asks(1, held=0))
        assert (await other.sync(asks(2, held=1))).others == 10
        await other.release(["one"], ["k"])
        assert (await other.sync(asks(3, held=1))).others == 0
        redis.kill()
        with pytest.raises(StoreUnavailable):
            await one.sync(asks(3))
        redis.start()  # without its scripts
        assert (await one.sync(asks(4, least=10))).wait_s > 0
    finally:
        await one.close()
        await other.close()


async def test_the_metrics_say_that_limits_cannot_be_checked(redis: RedisServer, tmp_path: Path) -> None:
    async with upstream() as asked, AsyncExitStack() as stack:
        running = await replica(stack, tmp_path / "a", asked, redis.url)
        assert await metric(running, "trunkline_limits_failing") == 0
        redis.kill()
        await until(lambda: running.parts.leases.failing, 5.0)
        assert await metric(running, "trunkline_limits_failing") == 1
