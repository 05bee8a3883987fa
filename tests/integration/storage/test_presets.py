"""Presets: made, versioned, bounded, everywhere at once."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import event, func, select

from trunkline.model.errors import InvalidRequest
from trunkline.model.preset import Preset
from trunkline.ports import Clock
from trunkline.presets.fields import encode_raw
from trunkline.storage import Database, PresetStore, open_database, presets
from trunkline.storage.tables import PRESET_VERSIONS


@pytest.fixture
def store(database: Database, clock: Clock) -> PresetStore:
    return PresetStore(database, clock)


async def put(
    store: PresetStore, slug: str = "mine", system: str | None = None, *, owner: str = "", **config: Any
) -> Preset:
    return await store.put(slug, {key: encode_raw(said) for key, said in config.items()}, system, "dev", owner=owner)


def content(found: Preset | None) -> Any:
    assert found is not None
    config = {key: bytes(said).decode() for key, said in found.version.config.items()}
    return found.slug, found.version.version, config, found.version.system, found.version.creator


async def test_one_is_made_and_found(store: PresetStore, database: Database, clock: Clock) -> None:
    odd = 'a "b" \x00 \n ü 😀'
    made = await put(store, system=odd, model="a/b", temperature=1.0)
    assert store.find("mine") is made
    assert content(made) == ("mine", 1, {"model": '"a/b"', "temperature": "1.0"}, odd, "dev")
    assert made.created == made.updated == made.version.created == clock.now()
    assert made.version.preset_id == made.id
    assert store.find("Mine") is None
    again = PresetStore(database, clock)
    await again.refresh()
    assert content(again.find("mine")) == content(made)


async def test_the_newest_version_counts_and_the_others_stay(store: PresetStore, clock: Any) -> None:
    first = await put(store, temperature=1)
    clock.time += 5
    second = await put(store, system="New.", top_p=0.5)
    assert (second.id, second.created) == (first.id, first.created)
    assert second.updated == clock.now()
    assert content(store.find("mine")) == ("mine", 2, {"top_p": "0.5"}, "New.", "dev")
    await put(store, top_p=1)
    page, total = await store.versions(second, 0, 2)
    assert [one.version for one in page] == [1, 2]
    assert total == 3
    page, total = await store.versions(second, 2, 2)
    assert [one.version for one in page] == [3]
    old = await store.version(second, 1)
    assert old is not None
    assert old.id == first.version.id
    for number in (0, -1, 4, 2**63, 2**80):
        assert await store.version(second, number) is None


async def test_listed_by_their_last_change(store: PresetStore, clock: Any) -> None:
    for slug in ("a", "b", "c", "a"):
        clock.time += 1
        await put(store, slug)
    assert [one.slug for one in store.list()] == ["a", "c", "b"]


async def test_made_elsewhere(url: str, store: PresetStore, clock: Clock) -> None:
    await put(store, temperature=1)
    kept = await put(store, "other")
    database = await open_database(url)
    await put(PresetStore(database, clock), temperature=2)
    await database.close()
    assert content(store.find("mine"))[1] == 1
    assert await store.refresh()
    assert content(store.find("mine"))[1:3] == (2, {"temperature": "2"})
    found = store.find("other")
    assert found is not None
    assert found.version is kept.version, "what did not change was not read again"
    assert not await store.refresh()


async def test_refresh_of_nothing_new_is_one_query(database: Database, store: PresetStore) -> None:
    await store.refresh()
    statements: list[str] = []
    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    await store.refresh()
    assert len([text for text in statements if text != "BEGIN"]) == 1


async def test_many_are_read_at_once(database: Database, store: PresetStore, clock: Clock) -> None:
    for number in range(2 * presets._VERSIONS_PER_QUERY + 1):  # pyright: ignore[reportPrivateUsage]
        await put(store, f"p{number}", seed=number)
    again = PresetStore(database, clock)
    await again.refresh()
    assert sorted(map(content, again.list())) == sorted(map(content, store.list()))


async def test_of_those_that_come_at_once_each_is_a_version(database: Database, clock: Clock) -> None:
    stores = [PresetStore(database, clock) for _ in range(4)]
    made = await asyncio.gather(*(put(each, seed=number) for number, each in enumerate(stores)))
    assert len({one.id for one in made}) == 1
    page, total = await stores[0].versions(made[0], 0, 100)
    assert ([one.version for one in page], total) == ([1, 2, 3, 4], 4)
    for each in stores:
        await each.refresh()
        assert content(each.find("mine"))[1] == 4


async def test_bounds(store: PresetStore, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="at most 262144 bytes; this one has 262"):
        await put(store, system="x" * presets.MAX_BYTES)
    assert store.find("mine") is None
    monkeypatch.setattr(presets, "COMMON", presets.Bound(2, 10**6))
    await put(store, "a")
    await put(store, "b")
    with pytest.raises(InvalidRequest, match="2 shared presets already"):
        await put(store, "c")
    await put(store, "b", seed=1)
    monkeypatch.setattr(presets, "COMMON", presets.Bound(2, 200))
    with pytest.raises(InvalidRequest, match="all shared presets together have at most 200 bytes"):
        await put(store, "b", system="x" * 200)
    await put(store, "b", system="x" * 100)
    await put(store, "b", system="y" * 100)
    monkeypatch.setattr(presets, "MAX_VERSIONS", 2)
    newest = await put(store, "b", seed=5)
    page, total = await store.versions(newest, 0, 100)
    assert ([one.version for one in page], total) == ([4, 5], 2)
    async with database.read() as connection:
        assert await connection.scalar(select(func.count()).select_from(PRESET_VERSIONS)) == 3


async def test_each_owner_has_its_own_and_sees_the_shared_ones(
    store: PresetStore, database: Database, clock: Clock
) -> None:
    shared, other = await put(store, "mine"), await put(store, "other")
    assert [preset.id for preset in store.list("one")] == [shared.id, other.id]
    one, two = await put(store, owner="one", seed=1), await put(store, owner="two", seed=2)
    assert len({shared.id, one.id, two.id}) == 3
    assert [found.version.version for found in (one, two)] == [1, 1]
    again = PresetStore(database, clock)
    await again.refresh()
    for each in (store, again):
        seen = {owner: each.find("mine", owner) for owner in ("", "one", "two", "three")}
        assert {owner: found and found.id for owner, found in seen.items()} == {
            "": shared.id,
            "one": one.id,
            "two": two.id,
            "three": shared.id,
        }
        assert {found.id for found in each.list("one")} == {one.id, other.id}
        assert {found.id for found in each.list("three")} == {shared.id, other.id}
    await put(store, "only", owner="one")
    assert store.find("only", "two") is store.find("only") is None


async def test_an_owner_that_is_full_locks_nobody_out(store: PresetStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presets, "OWN", presets.Bound(2, 400))
    for slug in "ab":
        await put(store, slug, owner="one")
    with pytest.raises(InvalidRequest, match="2 presets of this key already"):
        await put(store, "c", owner="one")
    with pytest.raises(InvalidRequest, match="all presets of this key together have at most 400 bytes"):
        await put(store, "b", system="x" * 400, owner="one")
    await put(store, "c", owner="two")
    await put(store, "c")
    monkeypatch.setattr(presets, "ALL", presets.Bound(4, 10**6))
    with pytest.raises(InvalidRequest, match="no room for more presets"):
        await put(store, "d", owner="three")
    await put(store, "c", system="A new version is not one more.", owner="two")
