"""The answer cache in memory: its bounds, its order, its time."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.ports import AnswerCache, CachedAnswer
from trunkline.storage.answer_cache import OVERHEAD_BYTES, SWEEP_S, MemoryAnswerCache


class Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def time() -> Time:
    return Time()


def cache(time: Time, *, entries: int = 100, size: int = 1 << 20) -> MemoryAnswerCache:
    made = MemoryAnswerCache(time, max_bytes=size, max_answers=entries)
    port: AnswerCache = made
    assert port is made
    return made


async def test_get_put_delete(time: Time) -> None:
    kept = cache(time)
    assert await kept.get(b"a") is None
    await kept.put(b"a", b"1", 10)
    assert await kept.get(b"a") == CachedAnswer(b"1", 10)
    time.now += 4
    assert await kept.get(b"a") == CachedAnswer(b"1", 6)
    await kept.put(b"a", b"22", 10)
    assert await kept.get(b"a") == CachedAnswer(b"22", 10)
    assert (len(kept), kept.size) == (1, 3 + OVERHEAD_BYTES)
    await kept.delete(b"a")
    await kept.delete(b"a")
    assert await kept.get(b"a") is None
    assert (len(kept), kept.size) == (0, 0)


async def test_time(time: Time) -> None:
    kept = cache(time)
    await kept.put(b"a", b"1", 10)
    time.now += 9.99
    assert await kept.get(b"a") is not None
    time.now += 0.01
    assert await kept.get(b"a") is None
    assert (len(kept), kept.size) == (0, 0), "what has expired is gone when it is asked for"


async def test_what_has_expired_is_swept(time: Time) -> None:
    kept = cache(time)
    for number in range(5):
        await kept.put(b"%d" % number, b"x", 10)
    time.now += SWEEP_S
    await kept.put(b"new", b"x", 10)
    assert len(kept) == 1


async def test_the_least_recently_used_goes_first(time: Time) -> None:
    kept = cache(time, entries=3)
    for key in (b"a", b"b", b"c"):
        await kept.put(key, b"x", 10)
    await kept.get(b"a")
    await kept.put(b"d", b"x", 10)
    assert [await kept.get(key) is not None for key in (b"a", b"b", b"c", b"d")] == [True, False, True, True]


async def test_what_is_too_large_pushes_nothing_out(time: Time) -> None:
    kept = cache(time, size=2 * OVERHEAD_BYTES)
    await kept.put(b"a", b"x", 10)
    await kept.put(b"b", b"x" * 2 * OVERHEAD_BYTES, 10)
    assert await kept.get(b"a") is not None
    assert await kept.get(b"b") is None
    await kept.put(b"a", b"x" * 2 * OVERHEAD_BYTES, 10)
    assert await kept.get(b"a") is None, "the old answer is not the one that was to be kept"


@pytest.mark.parametrize("limits", [{"max_bytes": 0, "max_answers": 9}, {"max_bytes": 1 << 20, "max_answers": 0}])
async def test_none_at_all(limits: dict[str, int], time: Time) -> None:
    kept = cache(time)
    await kept.put(b"a", b"x", 10)
    kept.limit(**limits)
    assert (len(kept), kept.size) == (0, 0)
    await kept.put(b"a", b"x", 10)
    assert await kept.get(b"a") is None


Step = tuple[str, int, int, float]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["get", "put", "delete", "wait"]), st.integers(0, 6), st.integers(0, 900), st.floats(0.5, 90)
    ),
    max_size=60,
)


@given(steps=STEPS)
def test_it_stays_within_its_bounds_and_gives_what_was_put(steps: list[Step]) -> None:
    time, most = Time(), 3000
    kept = cache(time, entries=4, size=most)
    last: dict[bytes, tuple[bytes, float]] = {}

    async def play() -> None:
        for what, number, size, seconds in steps:
            key = b"%d" % number
            if what == "put":
                value = bytes([number]) * size
                await kept.put(key, value, seconds)
                last[key] = (value, time.now + seconds)
            elif what == "delete":
                await kept.delete(key)
                last.pop(key, None)
            elif what == "wait":
                time.now += seconds
            found = await kept.get(key)
            if found is not None:
                value, expires = last[key]
                assert found.value == value
                assert 0 < found.remaining_s == expires - time.now
            assert len(kept) <= 4
            assert 0 <= kept.size <= most
            assert bool(kept.size) == bool(len(kept))

    asyncio.run(play())
