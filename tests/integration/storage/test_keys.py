"""Keys: made, found, revoked, everywhere at once."""

import asyncio
import hashlib
import re

import pytest
from sqlalchemy import event, select

from trunkline.model.errors import Forbidden, InvalidRequest, NotFound
from trunkline.ports import Clock
from trunkline.storage import Database, KeyRing, digest, open_database
from trunkline.storage.keys import label
from trunkline.storage.tables import METADATA


@pytest.fixture
def ring(database: Database, clock: Clock) -> KeyRing:
    return KeyRing(database, clock)


async def test_a_key_is_made_and_found(database: Database, clock: Clock, ring: KeyRing) -> None:
    key, secret = await ring.create("dev", 5, expires=9e9)
    assert re.fullmatch(r"sk-tl-v1-[0-9a-f]{64}", secret)
    assert key.id == hashlib.sha256(secret.encode()).hexdigest() == digest(secret) == digest(secret.encode())
    assert key.label == f"{secret[:13]}…{secret[-4:]}"
    assert (key.name, key.limit, key.created, key.expires) == ("dev", 5, clock.now(), 9e9)
    assert ring.find(key.id) == key
    assert ring.find(digest(secret + "x")) is None
    again = KeyRing(database, clock)
    await again.load()
    assert again.list() == (key,)


async def test_the_secret_is_kept_nowhere(url: str, database: Database, ring: KeyRing) -> None:
    _, secret = await ring.create("dev")
    async with database.read() as connection:
        for table in METADATA.tables.values():
            assert secret[13:-4] not in repr((await connection.execute(select(table))).all())
    await database.close()
    if database.dialect == "sqlite":
        with open(url.removeprefix("sqlite:///"), "rb") as file:  # noqa: ASYNC230
            assert secret[13:-4].encode() not in file.read()


@pytest.mark.parametrize("by", ["id", "name", "label"])
async def test_revoked_elsewhere(url: str, ring: KeyRing, clock: Clock, by: str) -> None:
    key, _ = await ring.create("dev")
    database = await open_database(url)
    revoked = await KeyRing(database, clock).revoke(getattr(key, by))
    await database.close()
    assert revoked.disabled
    assert ring.find(key.id) == key
    assert await ring.refresh()
    assert ring.find(key.id) == revoked
    assert not await ring.refresh()


async def test_refresh_of_nothing_new_is_one_query(database: Database, ring: KeyRing) -> None:
    await ring.load()
    statements: list[str] = []
    event.listen(database.engine.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
    await ring.refresh()
    (only,) = [text for text in statements if text != "BEGIN"]
    assert only.startswith("SELECT counters.value \nFROM counters \nWHERE counters.name = ")


async def test_what_cannot_be_revoked(ring: KeyRing) -> None:
    ring.declare([("conf", "short", None, None)])
    await ring.create("twin")
    await ring.create("twin")
    with pytest.raises(NotFound, match="no key 'x'"):
        await ring.revoke("x")
    with pytest.raises(Forbidden, match="declared"):
        await ring.revoke("conf")
    with pytest.raises(InvalidRequest, match="2 keys are 'twin': sk-tl-v1-"):
        await ring.revoke("twin")


async def test_declared_keys(ring: KeyRing) -> None:
    ring.declare([("conf", "short", 7, None), ("long", "x" * 20 + "1234", None, None)])
    key = ring.find(digest("short"))
    assert key is not None
    assert (key.name, key.limit, key.declared, key.label) == ("conf", 7, True, "…")
    assert ring.list()[1].label == "xxxx…1234"
    made, _ = await ring.create("made")
    assert [key.name for key in ring.list()] == ["conf", "long", "made"]
    ring.declare([])
    assert ring.find(digest("short")) is None
    assert ring.list() == (made,)


async def test_the_first_key(database: Database, clock: Clock, ring: KeyRing) -> None:
    rings = [ring, KeyRing(database, clock), KeyRing(database, clock)]
    for each in rings:
        await each.load()
    secrets = await asyncio.gather(*(each.ensure_first_key() for each in rings))
    (secret,) = filter(None, secrets)
    assert all(each.find(digest(secret)) for each in rings)
    await ring.revoke("default")
    assert await ring.ensure_first_key() is None, "one existed"


async def test_no_first_key_beside_declared_ones(ring: KeyRing) -> None:
    ring.declare([("conf", "short", None, None)])
    assert await ring.ensure_first_key() is None


@pytest.mark.parametrize(("name", "limit"), [(" ", None), ("x", -1), ("x", 2**63)])
async def test_keys_that_are_not_made(ring: KeyRing, name: str, limit: int | None) -> None:
    with pytest.raises(InvalidRequest):
        await ring.create(name, limit)


def test_a_short_secret_is_not_shown() -> None:
    assert label("x" * 23) == "…"


def test_any_text_has_a_digest() -> None:
    assert digest("\ud800") != digest("?")
