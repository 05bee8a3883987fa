"""What a key may spend holds to the request, whatever comes at once.

Source: docs/reference/reliability.md, M1 and M11.
"""

import asyncio
import errno
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from api_help import KEY, LIMIT, MODEL, POOR, Api, Counting, Reply, running, until

from trunkline.app.clock import SystemClock
from trunkline.storage.database import open_database
from trunkline.storage.journal import FileJournal
from trunkline.storage.keys import KeyRing

USD = 10**12


@pytest.fixture
def upstream(monkeypatch: pytest.MonkeyPatch) -> Counting:
    return Counting(monkeypatch)


def limit_of(api: Api) -> tuple[str, int]:
    """The poor key's id, and its limit in pico-dollars."""
    (key,) = [key for key in api.gateway.parts.keys.list() if key.name == "poor"]
    assert key.limit == round(LIMIT * USD)
    return key.id, round(LIMIT * USD)


async def test_a_limit_that_is_used_up_stops_before_the_provider_is_asked(tmp_path: Path, upstream: Counting) -> None:
    async with running(tmp_path) as api:
        key, limit = limit_of(api)
        statuses: list[int] = []
        while 402 not in statuses:
            assert len(statuses) < 100
            statuses.append((await api.chat(POOR, demo={"events": 90})).status)
        assert set(statuses[:-1]) == {200}
        calls = upstream.calls
        assert calls == len(statuses) - 1
        for stream in (True, False):
            reply = await api.chat(POOR, stream=stream, demo={"events": 90})
            assert reply.status == 402
        assert upstream.calls == calls
        assert api.gateway.parts.budgets.spent(key) <= limit
        assert (await api.chat(KEY)).status == 200, "another key's money is its own"


@pytest.mark.parametrize("stream", [True, False])
async def test_calls_at_once_never_pass_it(stream: bool, tmp_path: Path, upstream: Counting) -> None:
    """Forty at once, with money for fewer than half of them: no more than the money is for, at any instant."""
    async with running(tmp_path) as api:
        key, limit = limit_of(api)
        budgets = api.gateway.parts.budgets
        highest = 0

        async def watch() -> None:
            nonlocal highest
            while True:
                highest = max(highest, budgets.spent(key) + budgets.reserved(key))
                await asyncio.sleep(0)

        watcher = asyncio.create_task(watch())
        demo = {"events": 80, "delay_s": 0.3}
        replies = await asyncio.gather(*(api.chat(POOR, stream=stream, max_tokens=100, demo=demo) for _ in range(40)))
        watcher.cancel()
        served = [reply for reply in replies if reply.status == 200]
        refused = [reply for reply in replies if reply.status == 402]
        assert len(served) + len(refused) == 40
        assert served
        assert refused
        assert upstream.calls == len(served)
        assert 0 < highest <= limit
        assert budgets.reserved(key) == 0
        await settled(api, served, key, limit, stream=stream)


async def settled(api: Api, served: list[Reply], key: str, limit: int, *, stream: bool) -> None:
    """The sum of what clients were told, of the records, and of the account are one. M11."""
    records = [
        record for record in await api.gateway.records() if record.key_id == key and record.status == "completed"
    ]
    assert len(records) == len(served)
    total = sum(record.cost for record in records)
    assert total == api.gateway.parts.budgets.spent(key) <= limit
    told = (await api.get("/api/v1/key", POOR)).data
    assert Decimal(str(told["usage"])) * USD == total
    if not stream:
        assert sum(Decimal(str(reply.json()["usage"]["cost"])) for reply in served) * USD == total


async def test_nobody_is_refused_while_there_is_money(tmp_path: Path) -> None:
    """What failed, was cut off or cost less than it might have gives its reservation back."""
    async with running(tmp_path) as api:
        key, limit = limit_of(api)
        chance = random.Random(5)
        wishes: list[dict[str, Any]] = [{"error": 500}, {"cut_after": 1}, {"error_after": 0}, {"events": 1}]
        for _ in range(30):
            wish = chance.choice(wishes)
            reply = await api.chat(POOR, stream=chance.random() < 0.5, max_tokens=50, demo=wish)
            spent = api.gateway.parts.budgets.spent(key)
            assert api.gateway.parts.budgets.reserved(key) == 0
            assert spent <= limit
            if reply.status == 402:
                worst = 50 * 4 * 10**6 + 300 * 10**6
                assert spent + worst > limit, "refused with money left"


async def test_clients_that_leave_settle_too(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        key, limit = limit_of(api)
        port = int(api.gateway.url.rpartition(":")[2])
        said = [{"role": "user", "content": "a b"}]
        demo = {"interval_s": 0.02, "events": 100}
        body = {"model": MODEL, "stream": True, "max_tokens": 20, "demo": demo, "messages": said}
        data = msgspec.json.encode(body)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {POOR}\r\n"
        head += f"content-length: {len(data)}\r\n\r\n"
        for _ in range(3):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(head.encode() + data)
            async with asyncio.timeout(5):
                assert b" 200 " in await reader.readline()
                await reader.readuntil(b'"content":"b')
            assert api.gateway.parts.budgets.reserved(key) > 0
            writer.transport.abort()
            await until(lambda: not api.gateway.parts.budgets.reserved(key))
        records = [record for record in await api.gateway.records() if record.key_id == key]
        assert [record.status for record in records] == ["cancelled"] * 3
        assert sum(record.cost for record in records) == api.gateway.parts.budgets.spent(key) <= limit
        assert all(record.cost > 0 for record in records)


@pytest.mark.parametrize("stream", [True, False])
async def test_without_a_record_there_is_no_answer_and_no_charge(
    stream: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full. Source: docs/reference/reliability.md, M7."""
    async with running(tmp_path) as api:
        key, _ = limit_of(api)

        def full(*_: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(FileJournal, "append", full)
            reply = await api.chat(POOR, stream=stream, max_tokens=20)
        assert reply.status == 503 or b'"finish_reason":"error"' in reply.body
        assert api.gateway.parts.budgets.reserved(key) == 0
        assert (await api.chat(POOR, stream=stream, max_tokens=20)).status == 200


async def test_a_limit_survives_a_restart(tmp_path: Path) -> None:
    async with running(tmp_path) as api:
        key, _ = limit_of(api)
        assert (await api.chat(POOR, demo={"events": 90})).status == 200
        spent = api.gateway.parts.budgets.spent(key)
    async with running(tmp_path) as api:
        assert api.gateway.parts.budgets.spent(key) == spent > 0


async def test_a_revoked_key_is_refused_within_a_second_and_a_half(tmp_path: Path) -> None:
    """Source: docs/reference/reliability.md, S2. Revoked by another process, as `trunkline keys revoke` is one."""
    async with running(tmp_path) as api:
        database = await open_database(api.gateway.app.settings.storage.url)
        try:
            ring = KeyRing(database, SystemClock())
            await ring.load()
            made, secret = await ring.create("short-lived", None)
            await _becomes(api, secret, 200)
            await ring.revoke(made.id)
            assert await _becomes(api, secret, 401) < 1.5
        finally:
            await database.close()


async def _becomes(api: Api, secret: str, status: int) -> float:
    loop = asyncio.get_running_loop()
    begun = loop.time()
    while (await api.chat(secret)).status != status:
        assert loop.time() - begun < 10
        await asyncio.sleep(0.02)
    return loop.time() - begun
