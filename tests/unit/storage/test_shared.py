"""The log of facts, over a log that is a list."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import msgspec
import pytest

from trunkline.model.replica_events import (
    AttemptEnded,
    CredentialRested,
    EndpointRecovered,
    ReplicaEvent,
    StickyRouteSet,
)
from trunkline.storage import fact_log, fact_writer, shared_facts
from trunkline.storage.fact_log import ATTEMPTS, FACTS, MAX_ENTRY_BYTES, LogUnavailable
from trunkline.storage.shared_facts import SharedFacts

FAILED = AttemptEnded("acme/small@acme", "failed")
STUCK = StickyRouteSet("00" * 16, "acme/small@acme", 600.0)
RESTED = CredentialRested("acme", "one", 30.0, False, 429)
UNIX = 1_700_000_000.0


class Log:
    """The port `FactLog`, its clock put forward by hand."""

    def __init__(self) -> None:
        self.time = UNIX
        self.entries: list[tuple[str, str, bytes]] = []
        self.away = False
        self.unheard = False
        """Appends are carried out and said to have failed."""
        self.trimmed: list[Mapping[str, str]] = []

    async def now(self) -> float:
        self._check()
        return self.time

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> None:
        self._check()
        for stream, data in entries:
            self.entries.append((stream, f"{int(self.time * 1000)}-{len(self.entries)}", data))
        if self.unheard:
            raise LogUnavailable("TimeoutError")

    async def read(self, after: Mapping[str, str], wait_s: float) -> list[tuple[str, str, bytes]]:
        del wait_s
        await asyncio.sleep(0.002)
        self._check()
        return [one for one in self.entries if _number(one[1]) > _number(after[one[0]])][: fact_log.PAGE]

    async def trim(self, before: Mapping[str, str]) -> None:
        self._check()
        self.trimmed.append(before)

    async def close(self) -> None:
        pass

    def _check(self) -> None:
        if self.away:
            raise LogUnavailable("ConnectionError")


def _number(id_: str) -> tuple[int, ...]:
    return tuple(int(part) for part in id_.split("-"))


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not true():  # noqa: ASYNC110 - nobody would set an event
            await asyncio.sleep(0.002)


class Replica:
    def __init__(self, log: Log, name: str) -> None:
        self.log = log
        self.facts = SharedFacts(log, monotonic=lambda: log.time - UNIX, replica=name)
        self.learned: list[tuple[ReplicaEvent, float]] = []

    @asynccontextmanager
    async def open(self) -> AsyncGenerator["Replica"]:
        await self.facts.open(lambda fact, age_s: self.learned.append((fact, round(age_s, 3))))
        try:
            yield self
        finally:
            await self.facts.close()

    async def learns(self, count: int) -> list[tuple[ReplicaEvent, float]]:
        await until(lambda: len(self.learned) >= count)
        await asyncio.sleep(0.02)
        return self.learned


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_facts, "FLUSH_S", 0.005)
    monkeypatch.setattr(shared_facts, "MAX_RETRY_S", 0.02)


async def told(log: Log, *facts: ReplicaEvent) -> None:
    """Have a replica tell *facts* and go."""
    async with Replica(log, "before").open() as one:
        for fact in facts:
            one.facts.publish(fact)
    assert one.facts.sent == len(facts)


async def test_others_learn_what_one_tells_and_it_does_not_hear_itself() -> None:
    log = Log()
    async with Replica(log, "a").open() as a, Replica(log, "b").open() as b:
        facts: list[ReplicaEvent] = [FAILED, EndpointRecovered("x"), RESTED, STUCK]
        for fact in facts:
            a.facts.publish(fact)
        learned = await b.learns(4)
        assert sorted(learned, key=repr) == sorted([(fact, 0.0) for fact in facts], key=repr)
        assert not a.learned
        assert (a.facts.sent, b.facts.received, a.facts.dropped) == (4, 4, 0)


async def test_a_start_learns_what_is_of_use_with_its_age() -> None:
    log = Log()
    await told(log, FAILED, STUCK, RESTED)
    log.time += 20
    await told(log, FAILED)
    log.time += 290  # the first is 310 s old
    async with Replica(log, "c").open() as c:
        assert sorted(c.learned, key=repr) == [(FAILED, 290.0), (msgspec.structs.replace(STUCK, seconds=290.0), 310.0)]


async def test_after_a_pause_attempts_that_are_over_are_not_learned() -> None:
    log = Log()
    async with Replica(log, "a").open() as a, Replica(log, "b").open() as b:
        log.away = True
        await until(lambda: not a.facts.up and not b.facts.up)
        a.facts.publish(FAILED)
        a.facts.publish(RESTED)
        a.facts.publish(STUCK)
        log.time += 31
        a.facts.publish(EndpointRecovered("x"))
        log.away = False
        learned = await b.learns(2)
        assert sorted(learned, key=repr) == [
            (EndpointRecovered("x"), 0.0),
            (msgspec.structs.replace(STUCK, seconds=569.0), 0.0),
        ]
        assert (a.facts.sent, a.facts.dropped) == (2, 2)


async def test_what_is_appended_again_is_learned_once() -> None:
    log = Log()
    async with Replica(log, "a").open() as a, Replica(log, "b").open() as b:
        log.unheard = True
        a.facts.publish(FAILED)
        await b.learns(1)
        assert not a.facts.up
        log.unheard = False
        log.time += 1
        a.facts.publish(STUCK)
        assert [fact for fact, _ in await b.learns(2)] == [FAILED, STUCK]
        assert len([one for one in log.entries if one[0] == ATTEMPTS]) > 1
        assert (a.facts.sent, a.facts.up) == (2, True)


async def test_entries_are_bounded_and_so_is_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fact_writer, "MAX_WAITING", 5000)
    log = Log()
    async with Replica(log, "a").open() as a, Replica(log, "b").open() as b:
        for number in range(5010):
            a.facts.publish(StickyRouteSet(f"{number:032x}", "acme/" + "x" * 100, 600.0))
        log.time += 0.123
        learned = await b.learns(5000)
        assert len({fact.conversation for fact, _ in learned if isinstance(fact, StickyRouteSet)}) == 5000
        assert (a.facts.sent, a.facts.dropped) == (5000, 10)
        assert max(len(data) for _, _, data in log.entries) <= MAX_ENTRY_BYTES


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'["x"]', b'["x",1,{}]', b'["x","y",[]]', b'["x",1,[["news",1]]]', b'["x",1,[3]]']
)
async def test_what_makes_no_sense_is_left_out(data: bytes) -> None:
    log = Log()
    async with Replica(log, "a").open() as a, Replica(log, "b").open() as b:
        await log.append([(ATTEMPTS, data)])
        a.facts.publish(FAILED)
        assert await b.learns(1) == [(FAILED, 0.0)]
        assert b.facts.dropped == 1
        assert b.facts.up


async def test_a_fact_that_cannot_be_learned_does_not_stop_the_rest() -> None:
    log = Log()
    b = Replica(log, "b")
    learned: list[ReplicaEvent] = []

    def learn(fact: ReplicaEvent, age_s: float) -> None:
        del age_s
        learned.append(fact)
        if fact == FAILED:
            raise ValueError

    await b.facts.open(learn)
    await told(log, FAILED, STUCK)
    await until(lambda: len(learned) == 2)
    await b.facts.close()
    assert (b.facts.received, b.facts.dropped) == (1, 1)


async def test_a_log_whose_clock_was_put_back_is_read_on() -> None:
    log = Log()
    await told(log, FAILED)
    async with Replica(log, "b").open() as b:
        assert len(b.learned) == 1
        log.away = True
        await until(lambda: not b.facts.up)
        log.entries.clear()
        log.time -= 3600
        log.away = False
        await until(lambda: b.facts.up)
        log.time += 1
        await told(log, STUCK)
        await b.learns(2)


async def test_what_is_too_old_is_trimmed() -> None:
    log = Log()
    async with Replica(log, "a").open():
        await until(lambda: bool(log.trimmed))
    assert log.trimmed == [{ATTEMPTS: f"{int(UNIX - 300) * 1000}-0", FACTS: f"{int(UNIX - 12 * 3600) * 1000}-0"}]


async def test_it_says_once_that_the_log_has_gone_and_once_that_it_is_back(caplog: pytest.LogCaptureFixture) -> None:
    log = Log()
    log.away = True
    async with Replica(log, "a").open() as a:
        await asyncio.sleep(0.05)
        assert not a.facts.up
        log.away = False
        await until(lambda: a.facts.up)
    assert [record.getMessage() for record in caplog.records] == [
        "the shared state is away (ConnectionError): this replica goes on with what it knows",
        "the shared state is back",
    ]


async def test_it_ends_even_where_a_client_loses_a_cancellation() -> None:
    class Deaf(Log):
        lost = 0

        async def read(self, after: Mapping[str, str], wait_s: float) -> list[tuple[str, str, bytes]]:
            try:
                return await super().read(after, wait_s)
            except asyncio.CancelledError:
                self.lost += 1
                raise LogUnavailable("TimeoutError") from None

    log = Deaf()
    async with asyncio.timeout(5), Replica(log, "a").open() as a:
        await until(lambda: a.facts.up)
    assert log.lost == 1
