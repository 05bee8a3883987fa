"""Processes that take parts of a key's limit from one database."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import insert, select

from trunkline.ledger.lease import LeaseRequest
from trunkline.model.money import MAX_PICO, Pico
from trunkline.storage import Database
from trunkline.storage.database_leases import LEASE_S, DatabaseLeases, database_id
from trunkline.storage.lease_store import StoreUnavailable
from trunkline.storage.tables import KEY_BUDGET_LEASES, KEY_SPEND

Make = Callable[[str], DatabaseLeases]


@pytest.fixture
def make(database: Database, clock: Any) -> Make:
    return lambda holder: DatabaseLeases(database, now=clock.now, holder=holder, share=20)


def asks(
    seq: int, *, held: Pico = 0, least: Pico = 0, wanted: Pico = 0, limit: Pico = 1000, key_id: str = "k"
) -> LeaseRequest:
    return LeaseRequest(key_id=key_id, limit=limit, seq=seq, held=held, spent=0, least=least, wanted=wanted)


async def spend(database: Database, day: str, amount: Pico) -> None:
    async with database.write() as connection:
        values = {"key_id": "k", "day": day, "cost_pico": amount}
        counts = {"requests": 1, "prompt_tokens": 0, "completion_tokens": 0}
        await connection.execute(insert(KEY_SPEND).values(**values, **counts))


async def test_two_processes_share_a_limit(database: Database, make: Make) -> None:
    await spend(database, "2023-11-13", 300)
    await spend(database, "2023-11-14", 100)
    one, other = make("one"), make("other")
    answer = await one.sync(asks(1, least=10))
    assert (answer.granted, answer.spent, answer.others, answer.wait_s) == (30, 400, 0, 0)
    answer = await other.sync(asks(1, least=571))
    assert (answer.granted, answer.others) == (0, 30)
    assert (await other.sync(asks(2, least=570))).granted == 570
    assert (await one.sync(asks(2, held=30, least=1))).granted == 0
    await other.sync(asks(3, held=70))  # it gives 500 back
    assert (await one.sync(asks(3, held=30, least=500))).granted == 500
    assert (await make("third").sync(asks(1, least=1))).granted == 0


async def test_keys_have_nothing_to_do_with_one_another(make: Make) -> None:
    one = make("one")
    assert (await one.sync(asks(1, least=1000))).granted == 1000
    assert (await make("other").sync(asks(1, least=1000, key_id="l"))).granted == 1000


async def test_concurrent_requests_never_pass_the_limit(make: Make) -> None:
    stores = [make(str(n)) for n in range(12)]
    answers = await asyncio.gather(*(store.sync(asks(1, least=300)) for store in stores))
    assert sorted(answer.granted for answer in answers) == [0] * 9 + [300] * 3


async def test_what_a_silent_process_held_is_granted_after_a_while(database: Database, make: Make, clock: Any) -> None:
    if database.dialect == "postgresql":
        pytest.skip("the server's clock cannot be set")
    await make("silent").sync(asks(1, least=1000))
    clock.time += LEASE_S - 1
    other = make("other")
    assert (await other.sync(asks(1, least=1))).granted == 0
    clock.time += 2
    assert (await other.sync(asks(2, least=1000))).granted == 1000


async def test_what_a_process_holds_is_a_fact_whatever_is_left(make: Make) -> None:
    one, other = make("one"), make("other")
    assert (await one.sync(asks(1, held=900))).granted == 0
    assert (await other.sync(asks(1, held=900, least=1))).granted == 0
    assert (await one.sync(asks(2, held=900, least=1))).others == 900


async def test_a_late_request_changes_nothing(make: Make) -> None:
    one = make("one")
    await one.sync(asks(5, held=100))
    with pytest.raises(StoreUnavailable):
        await one.sync(asks(4, held=0))
    assert (await make("other").sync(asks(1, least=1))).others == 100


async def test_a_process_that_holds_nothing_leaves_no_row(database: Database, make: Make) -> None:
    one = make("one")
    await one.sync(asks(1, least=1))
    await one.sync(asks(2))
    async with database.read() as connection:
        assert (await connection.execute(select(KEY_BUDGET_LEASES))).all() == []
    await one.sync(asks(3, least=1))
    await make("other").release(["one", "unheard of"], ["k"])
    async with database.read() as connection:
        assert (await connection.execute(select(KEY_BUDGET_LEASES))).all() == []


async def test_the_largest_amounts(database: Database, make: Make) -> None:
    await spend(database, "2023-11-13", MAX_PICO)
    await spend(database, "2023-11-14", MAX_PICO)
    answer = await make("one").sync(asks(1, held=MAX_PICO, least=1, limit=MAX_PICO))
    assert (answer.granted, answer.spent) == (0, 2 * MAX_PICO)
    assert (await make("other").sync(asks(1, least=1, limit=MAX_PICO))).others == MAX_PICO


async def test_without_its_tables_the_store_is_unavailable(database: Database, make: Make) -> None:
    async with database.write() as connection:
        await connection.run_sync(KEY_BUDGET_LEASES.drop)
    with pytest.raises(StoreUnavailable):
        await make("one").sync(asks(1, least=1))
    with pytest.raises(StoreUnavailable):
        await make("one").release(["one"], [])


async def test_a_database_has_one_name(database: Database) -> None:
    names = set(await asyncio.gather(*(database_id(database) for _ in range(4))))
    assert len(names) == 1
    assert names == {await database_id(database)}
