"""The gateway while its database is away: it serves, says so, answers in time, and is as before once it is back."""

import asyncio
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from api_help import CHAT, KEY, MODEL, Api, Counting, running, until

from trunkline.app.clock import SystemClock
from trunkline.model.errors import InvalidRequest
from trunkline.storage import IdempotencyStore, KeyRing, PresetStore, open_database
from trunkline.testing.postgres import Cluster

MARGIN_S = 5.0
"""For a machine that is busy with other tests; without a limit, an answer takes as long as the outage."""
TIMEOUT_S = 2.0
NOTICED_S = 5.0
BACK_S = 2.0
"""How soon a revoked key is refused after the database's return."""
PROMPT = [{"role": "user", "content": "one two three"}]
ASKS: dict[str, Any] = {
    CHAT: {"model": MODEL, "messages": PROMPT},
    "/api/v1/messages": {"model": MODEL, "messages": PROMPT, "max_tokens": 50},
    "/api/v1/responses": {"model": MODEL, "input": "one two three"},
}
"""A request for each client dialect."""
READS = ("/key", "/credits", "/generation?id=gen-x", "/presets", "/presets/mine", "/presets/mine/versions")


def stop(postgres: Cluster) -> Callable[[], None]:
    postgres.stop()
    return postgres.start


def hang(postgres: Cluster) -> Callable[[], None]:
    postgres.signal(signal.SIGSTOP)
    return lambda: postgres.signal(signal.SIGCONT)


def kill(postgres: Cluster) -> Callable[[], None]:
    postgres.kill()
    return postgres.start


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal of a gateway whose database is elsewhere is in the current folder."""
    monkeypatch.chdir(tmp_path)


async def metric(api: Api, name: str) -> float:
    """The sum over all labels."""
    lines = (await api.get("/metrics", None)).body.decode().splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith((f"{name} ", f"{name}{{")))


async def noticed(api: Api) -> bool:
    return await metric(api, "trunkline_database_failing") == 1


async def shown(api: Api) -> bool:
    ready = await api.get("/health/ready", None)
    assert ready.status == 200
    return "watch_database" in ready.json().get("failing_tasks", ())


async def when(true: Callable[[], Any], limit_s: float) -> float:
    """Wait until *true* is; the seconds that it took."""
    begun = time.monotonic()
    while not await true():
        assert time.monotonic() - begun < limit_s, f"not within {limit_s} s"
        await asyncio.sleep(0.05)
    return time.monotonic() - begun


async def in_time(api: Api, path: str, body: Any = None, **headers: str) -> None:
    """Ask for what needs the database: 503, in Messages 529, in the dialect's own words and in time."""
    messages = path == "/api/v1/messages"
    begun = time.monotonic()
    reply = await api.get(path, KEY, "GET" if body is None else "POST", body, **headers)
    assert reply.status == (529 if messages else 503), (path, reply.body)
    assert time.monotonic() - begun < TIMEOUT_S + MARGIN_S, path
    assert int(reply.headers["retry-after"]) >= 1, path
    said = reply.json()
    if messages:
        assert (said["type"], said["error"]["type"]) == ("error", "overloaded_error")
    else:
        assert said["error"]["code"] in (503, "server_error"), said


@pytest.mark.parametrize("away", [stop, hang, kill])
@pytest.mark.parametrize("away_s", [0.0, pytest.param(30.0, marks=pytest.mark.soak)], ids=["short", "long"])
async def test_away_and_back(
    away: Callable[[Cluster], Callable[[], None]], away_s: float, own_postgres: Cluster, tmp_path: Path
) -> None:
    url = own_postgres.fresh("gateway")
    storage = {"timeout_s": TIMEOUT_S}
    async with running(tmp_path, database=url, storage=storage) as api:
        database = await open_database(url)
        revoked, secret = await KeyRing(database, SystemClock()).create("to be revoked")
        await PresetStore(database, SystemClock()).put("mine", {}, None, "x")
        await database.close()
        await when(lambda: is_status(api, secret, 200), BACK_S)

        back = away(own_postgres)
        begun = time.monotonic()
        served = [asyncio.create_task(api.get(path, KEY, "POST", body)) for path, body in ASKS.items()]
        writes = [(path, body, {"idempotency-key": "order-1"}) for path, body in ASKS.items()]
        makes: list[tuple[str, Any, dict[str, str]]] = [
            (f"/api/v1/presets/mine{path[len('/api/v1') :]}", body, {}) for path, body in ASKS.items()
        ]
        await asyncio.gather(
            *(in_time(api, f"/api/v1{path}") for path in READS),
            *(in_time(api, path, body, **headers) for path, body, headers in writes + makes),
        )
        assert [reply.status for reply in await asyncio.gather(*served)] == [200, 200, 200]
        await when(lambda: noticed(api), max(NOTICED_S - (time.monotonic() - begun), 0.1))
        await when(lambda: shown(api), max(NOTICED_S - (time.monotonic() - begun), 0.1))
        await asyncio.sleep(max(4.0 - (time.monotonic() - begun), away_s))

        await asyncio.to_thread(back)
        returned = time.monotonic()
        await asyncio.to_thread(
            own_postgres.execute,
            f"UPDATE keys SET disabled = true WHERE id = '{revoked.id}'",
            "UPDATE counters SET value = value + 1 WHERE name = 'keys'",
            database="gateway",
        )
        await when(lambda: is_status(api, secret, 401), BACK_S - (time.monotonic() - returned))
        await until(lambda: not api.gateway.parts.journal.pending, 8)
        answered = {(await task).headers["x-generation-id"] for task in served}
        ids = [record.id for record in await api.gateway.records()]
        assert len(ids) == len(set(ids))
        assert answered <= set(ids)
        for path in READS[:2]:
            assert (await api.get(f"/api/v1{path}")).status == 200
        assert await metric(api, "trunkline_task_restarts_total") > 0
        await when(lambda: healthy(api), 6)


async def is_status(api: Api, secret: str, status: int) -> bool:
    return (await api.chat(secret)).status == status


async def healthy(api: Api) -> bool:
    ready = (await api.get("/health/ready", None)).json()
    return ready == {"status": "ok"} and not await noticed(api)


async def test_a_request_that_runs_keeps_its_key_over_an_outage(
    own_postgres: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody can renew a lease of a database that is away; its return gives nothing away."""
    monkeypatch.setattr("trunkline.storage.idempotency.LEASE_S", 1.5)
    monkeypatch.setattr("trunkline.app.background.RENEW_S", 0.5)
    upstream = Counting(monkeypatch)
    url = own_postgres.fresh("gateway")
    body = {**ASKS[CHAT], "demo": {"delay_s": 9}}
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
    async with (
        running(tmp_path / "one", database=url) as one,
        running(tmp_path / "two", database=url) as two,
    ):
        first = asyncio.create_task(one.get(CHAT, KEY, "POST", body, **{"idempotency-key": "order-1"}))
        await until(lambda: upstream.calls == 1)
        await asyncio.to_thread(own_postgres.stop)
        await asyncio.sleep(2.5)
        await asyncio.to_thread(own_postgres.start)
        while True:  # the second asks as soon as it can
            reply = await two.get(CHAT, KEY, "POST", body, **{"idempotency-key": "order-1"})
            if reply.status != 503:
                break
        assert (reply.status, upstream.calls) == (409, 1), reply.body
        assert (await first).status == 200
        again = await two.get(CHAT, KEY, "POST", body, **{"idempotency-key": "order-1"})
        assert (again.headers["idempotent-replayed"], upstream.calls) == ("true", 1)


TASKS = {
    "watch_database": (KeyRing, "refresh"),
    "renew_leases": (IdempotencyStore, "renew"),
    "sweep_answers": (IdempotencyStore, "sweep"),
}


@pytest.mark.parametrize(
    "error", [OSError("s3cret"), ValueError("s3cret"), InvalidRequest("no"), asyncio.CancelledError]
)
@pytest.mark.parametrize("name", TASKS)
async def test_a_task_that_fails_is_started_again(
    name: str, error: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("trunkline.app.background.RENEW_S", 0.1)
    monkeypatch.setattr("trunkline.app.background.WATCH_S", 0.1)
    monkeypatch.setattr("trunkline.app.background.SWEEP_S", 0.0)
    kind, method = TASKS[name]
    works = getattr(kind, method)
    fails = True
    calls = 0

    async def sometimes(*given: Any) -> Any:
        nonlocal calls
        calls += 1
        if fails:
            raise error
        return await works(*given)

    async with running(tmp_path) as api:
        monkeypatch.setattr(kind, method, sometimes)
        await until(lambda: calls >= 3)
        assert (await api.get("/health/ready", None)).json() == {"status": "ok", "failing_tasks": [name]}
        assert await metric(api, "trunkline_task_restarts_total") >= 2
        fails = False
        await when(lambda: healthy(api), 5)
        before = calls
        await until(lambda: calls > before + 2)
    assert "s3cret" not in caplog.text
    assert f"the task {name} failed" in caplog.text
    assert f"the task {name} works again" in caplog.text
