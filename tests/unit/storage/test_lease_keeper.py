"""Processes that share a key's limit, over a simulated store that is slow, loses replies and data, and is away."""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest

from trunkline.ledger import Budgets, LeaseNeeded, Reservation
from trunkline.ledger.lease import LeaseAnswer, LeaseRequest, grant
from trunkline.model.errors import OutOfCredit, Overloaded
from trunkline.model.key import Key
from trunkline.model.money import Pico
from trunkline.storage.lease_keeper import LeaseKeeper
from trunkline.storage.lease_store import StoreUnavailable

LIMIT = 10_000
KEY = Key(id="k", name="k", label="…", limit=LIMIT)
LEASE_S, VALID_S, GRACE_S = 0.20, 0.05, 0.08


@dataclass
class Data:
    """What the simulated store has, for all processes: as the store in Redis."""

    begun_at: float = float("-inf")
    epoch: str = "0"
    spent: Pico = 0
    held: dict[str, tuple[Pico, int, float]] = field(default_factory=dict)
    away: bool = False

    def lose(self) -> None:
        """As a flush."""
        self.begun_at, self.epoch, self.spent = time.monotonic(), str(int(self.epoch) + 1), 0
        self.held.clear()

    def serve(self, holder: str, request: LeaseRequest) -> LeaseAnswer:
        now = time.monotonic()
        for name, (_, seq, ends) in list(self.held.items()):
            if name == holder and seq > request.seq:
                raise StoreUnavailable("late")
            if name != holder and ends < now:
                del self.held[name]
        others = sum(held for name, (held, _, _) in self.held.items() if name != holder)
        self.spent = max(self.spent, request.spent)
        wait_s = max(self.begun_at + GRACE_S - now, 0.0)
        granted = 0 if wait_s else grant(request, spent=self.spent, others=others, share=20)
        self.held[holder] = (request.held + granted, request.seq, now + LEASE_S)
        return LeaseAnswer(granted=granted, spent=self.spent, others=others, wait_s=wait_s, epoch=self.epoch)


class Store:
    """The port, for one process. With *trouble* (a probability) a request or its reply is lost, or comes late."""

    name, tick_s, renew_s, valid_s, needs_totals = "the store", 0.01, 0.008, VALID_S, True

    def __init__(self, data: Data, holder: str, choose: random.Random, trouble: float) -> None:
        self._data = data
        self._holder = holder
        self._choose = choose
        self._trouble = trouble

    async def sync(self, request: LeaseRequest) -> LeaseAnswer:
        await asyncio.sleep(self._choose.uniform(0, 0.002))
        fate = self._choose.random() / self._trouble if self._trouble else 9.0
        if fate < 0.3 or self._data.away:
            raise StoreUnavailable("the request was lost")
        if fate < 0.6:
            asyncio.get_running_loop().call_later(0.004, self._serve_late, request)
            raise StoreUnavailable("the request came late")
        answer = self._data.serve(self._holder, request)
        await asyncio.sleep(self._choose.uniform(0, 0.002))
        if fate < 1.0:
            raise StoreUnavailable("the reply was lost")
        return answer

    def _serve_late(self, request: LeaseRequest) -> None:
        try:
            self._data.serve(self._holder, request)
        except StoreUnavailable:
            return

    async def epoch(self) -> str:
        if self._data.away:
            raise StoreUnavailable("away")
        return self._data.epoch

    async def release(self, holders: Collection[str], key_ids: Collection[str]) -> None:
        del key_ids
        for holder in holders:
            self._data.held.pop(holder, None)

    async def close(self) -> None:
        pass


class Database:
    """The spending in the one database, in place of `GenerationStore`; each process has its own `unflushed`."""

    def __init__(self, shared: list[Pico]) -> None:
        self.shared = shared
        self.unflushed: Pico = 0

    def flush(self) -> None:
        self.shared[0] += self.unflushed
        self.unflushed = 0

    async def spend_by_key(self, key_ids: Collection[str]) -> dict[str, Pico]:
        return dict.fromkeys(key_ids, self.shared[0])

    async def refresh(self, budgets: Budgets, key_ids: Collection[str]) -> None:
        spent, unflushed = self.shared[0], self.unflushed
        budgets.replace_settled(dict.fromkeys(key_ids, spent), dict.fromkeys(key_ids, unflushed))
        await asyncio.sleep(0)


class Process:
    """One gateway: its budgets, its keeper, and calls under way."""

    def __init__(self, data: Data, spent: list[Pico], holder: str, choose: random.Random, trouble: float) -> None:
        self.budgets = Budgets(time.monotonic)
        self.database = Database(spent)
        self.keeper = LeaseKeeper(
            self.budgets,
            (Store(data, holder, choose, trouble),),
            self.database,  # type: ignore[arg-type]  # has what the keeper uses of it
            holder=holder,
            limited_keys=lambda: [KEY],
            monotonic=time.monotonic,
        )
        self.choose = choose
        self.refused = 0
        self.served = 0

    async def reserve(self, amount: Pico) -> Reservation:
        while True:
            try:
                return self.budgets.reserve(KEY, amount)
            except LeaseNeeded as need:
                missing = need.amount
            await self.keeper.draw(KEY, missing)

    async def call(self, amount: Pico) -> bool:
        """One call of at most *amount*. False: the limit is spent."""
        try:
            reservation = await self.reserve(amount)
        except Overloaded:
            return True
        except OutOfCredit:
            self.refused += 1
            return False
        await asyncio.sleep(self.choose.uniform(0, 0.01))
        cost = self.choose.randint(0, amount)
        reservation.settle(cost)
        self.database.unflushed += cost
        self.served += 1
        return True


@asynccontextmanager
async def processes(
    data: Data, many: int, seed: int, trouble: float = 0.0
) -> AsyncGenerator[tuple[list[Process], list[Pico]]]:
    spent: list[Pico] = [0]
    running = [Process(data, spent, str(n), random.Random(seed * 100 + n), trouble) for n in range(many)]
    for process in running:
        await process.keeper.start()
    try:
        yield running, spent
    finally:
        for process in running:
            await process.keeper.stop()


def committed(running: list[Process], spent: list[Pico]) -> Pico:
    """All that is spent or may be, by calls that are under way."""
    return spent[0] + sum(process.database.unflushed + process.budgets.reserved("k") for process in running)


async def race(running: list[Process], spent: list[Pico], data: Data, choose: random.Random, **chances: float) -> Pico:
    """Clients call until each is refused; return the most that was ever committed."""
    most = 0

    async def client(process: Process) -> None:
        nonlocal most
        refusals = 0
        while refusals < 3:
            if await process.call(process.choose.choice((1, 20, 100, 400))):
                refusals = 0
            else:
                refusals += 1
                await asyncio.sleep(0.02)
            most = max(most, committed(running, spent))

    async def disturb() -> None:
        while True:
            await asyncio.sleep(0.004)
            choose.choice(running).database.flush()
            if choose.random() < chances.get("loses", 0):
                data.lose()
            if choose.random() < chances.get("away", 0):
                data.away = not data.away
            elif chances.get("away", 0) == 0 or choose.random() < 0.3:
                data.away = False

    disturbing = asyncio.create_task(disturb())
    try:
        async with asyncio.timeout(30):
            await asyncio.gather(*(client(process) for process in running for _ in range(8)))
    finally:
        disturbing.cancel()
        await asyncio.gather(disturbing, return_exceptions=True)
    return most


@pytest.mark.parametrize("seed", range(4))
async def test_the_limit_holds_and_is_used_up(seed: int) -> None:
    data = Data()
    async with processes(data, 3, seed) as (running, spent):
        most = await race(running, spent, data, random.Random(seed))
        assert most <= LIMIT
        assert all(process.served > 10 for process in running)
        assert committed(running, spent) >= LIMIT - 400, "no one is refused while more than a call's bound is left"


@pytest.mark.parametrize("seed", range(4))
async def test_the_limit_holds_where_requests_and_replies_are_lost(seed: int) -> None:
    data = Data()
    async with processes(data, 3, seed, trouble=0.3) as (running, spent):
        assert await race(running, spent, data, random.Random(seed)) <= LIMIT


@pytest.mark.parametrize("seed", range(4))
async def test_the_limit_holds_where_the_store_loses_its_data_and_is_away(seed: int) -> None:
    data = Data()
    async with processes(data, 3, seed, trouble=0.1) as (running, spent):
        assert await race(running, spent, data, random.Random(seed), loses=0.05, away=0.05) <= LIMIT


async def test_what_a_dead_process_held_comes_back() -> None:
    data = Data()
    async with processes(data, 2, 1) as (running, _):
        dead, other = running
        await dead.reserve(LIMIT)
        assert dead.keeper._task is not None
        dead.keeper._task.cancel()
        with pytest.raises(OutOfCredit, match="reserved by requests under way"):
            await other.reserve(1)
        await asyncio.sleep(LEASE_S + 0.05)
        (await other.reserve(LIMIT)).release()


async def test_a_silent_process_gives_its_free_part_up() -> None:
    data = Data()
    async with processes(data, 2, 1) as (running, _):
        silent, other = running
        (await silent.reserve(1000)).release()
        assert silent.keeper._task is not None
        silent.keeper._task.cancel()
        data.lose()
        await asyncio.sleep(GRACE_S + 0.02)
        (await other.reserve(LIMIT)).settle(LIMIT)
        other.database.unflushed += LIMIT
        with pytest.raises(OutOfCredit):
            await silent.reserve(1)


async def test_an_idle_process_gives_its_part_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.ledger.lease.IDLE_S", 0.05)
    data = Data()
    async with processes(data, 2, 1) as (running, _):
        (await running[0].reserve(100)).release()
        assert data.held["0"][0] >= 100
        await asyncio.sleep(0.15)
        assert data.held["0"][0] == 0
        (await running[1].reserve(LIMIT)).release()


async def test_without_a_store_a_limited_key_is_refused_and_says_why() -> None:
    data = Data()
    async with processes(data, 1, 1) as (running, _):
        held = await running[0].reserve(100)
        data.away = True
        await asyncio.sleep(VALID_S + 0.02)
        with pytest.raises(Overloaded, match="the store is away: the limit of this key cannot be checked"):
            await running[0].reserve(1)
        assert running[0].keeper.failing
        held.settle(100)  # calls under way end as they do
        data.away = False
        (await running[0].reserve(1)).release()
        assert not running[0].keeper.failing


async def test_another_store_stands_in(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trunkline.ledger.lease.IDLE_S", 0.05)
    first, second = Data(away=True), Data()
    budgets, choose = Budgets(time.monotonic), random.Random(1)
    keeper = LeaseKeeper(
        budgets,
        (Store(first, "a", choose, 0.0), Store(second, "a", choose, 0.0)),
        Database([0]),  # type: ignore[arg-type]  # has what the keeper uses of it
        holder="a",
        limited_keys=lambda: [KEY],
        monotonic=time.monotonic,
    )
    await keeper.start()
    try:
        await keeper.draw(KEY, 100)
        reservation = budgets.reserve(KEY, 100)
        assert second.held["a"][0] >= 100
        await asyncio.sleep(0.1)
        budgets.reserve(KEY, 1).release()  # it is confirmed there
        assert not keeper.failing
        reservation.release()
        await asyncio.sleep(0.2)
        assert second.held["a"][0] == 0, "and given back there"
        assert not first.held
    finally:
        await keeper.stop()
