"""Presets: creation and reading, and the copy of the newest versions in memory that requests use.

A preset belongs to the key that made it (its owner), or to all keys (`SHARED`). A key sees its own presets and the
shared ones; where both have a slug, its own.

Space in the database and in memory is bounded: `MAX_BYTES` for one version, `MAX_VERSIONS` versions of each preset, of
which the oldest are deleted, and `OWN`, `COMMON` and `ALL` for the newest versions of one key, of the shared presets
and of all. A key that fills its own bound leaves room for the others.
"""

import uuid
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunkline.model.errors import InvalidRequest
from trunkline.model.preset import Config, Preset, PresetVersion
from trunkline.ports import Clock
from trunkline.storage.counters import increment_counter, read_counter
from trunkline.storage.database import Database
from trunkline.storage.tables import PRESET_VERSIONS, PRESETS

SHARED: Final = ""
"""The owner of a preset that belongs to all keys."""
MAX_BYTES: Final = 256 * 1024
MAX_VERSIONS: Final = 1000


class Bound(NamedTuple):
    """The most presets, and the most bytes of their newest versions together."""

    presets: int
    bytes: int


OWN: Final = Bound(200, 8 * 2**20)
COMMON: Final = Bound(1000, 64 * 2**20)
ALL: Final = Bound(10_000, 256 * 2**20)
_COUNTER: Final = "presets"
_VERSIONS_PER_QUERY: Final = 100
"""Versions that one query reads."""


class _Data(msgspec.Struct):
    """The part of a version that is stored as JSON. It is escaped, so any database accepts it as text."""

    config: Config
    system: str | None = None


_decoder = msgspec.json.Decoder(_Data)


class PresetStore:
    """All presets. Other processes change them too. `refresh`, called every second, reads their changes."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._presets: dict[tuple[str, str], Preset] = {}
        """By owner and slug."""
        self._version = -1

    def find(self, slug: str, owner: str = SHARED) -> Preset | None:
        """Return the preset *slug* that *owner* sees, with its newest version, or None."""
        return self._presets.get((owner, slug)) or self._presets.get((SHARED, slug))

    def list(self, owner: str = SHARED) -> tuple[Preset, ...]:
        """Return the presets that *owner* sees, the last changed first."""
        seen = [preset for preset in self._presets.values() if self.find(preset.slug, owner) is preset]
        return tuple(sorted(seen, key=lambda preset: (-preset.updated, preset.slug)))

    async def refresh(self) -> bool:
        """Read the presets if any has changed; return whether one had. Otherwise one row is read."""
        async with self._database.read() as connection:
            version = await read_counter(connection, _COUNTER)
            if version == self._version:
                return False
            rows = (await connection.execute(select(PRESETS))).mappings().all()
            known = {preset.version.id: preset.version for preset in self._presets.values()}
            new = [row["version_id"] for row in rows if row["version_id"] not in known]
            known |= await _versions(connection, new)
        self._presets = {(row["owner"], row["slug"]): _preset(row, known[row["version_id"]]) for row in rows}
        self._version = version
        return True

    async def put(self, slug: str, config: Config, system: str | None, creator: str, *, owner: str = SHARED) -> Preset:
        """Create the preset *slug* of *owner*, or a new version of it. Requests use the new version from now on.

        Args:
            slug: the name in requests.
            config: the fields of the preset.
            system: the system text; None: none.
            creator: the name of the API key that creates it.
            owner: the id of the API key to which it belongs; `SHARED`: it belongs to all.

        Raises:
            InvalidRequest: the preset is too large, or there are too many.
        """
        data = msgspec.json.encode(_Data(config, system)).decode()
        size = len(data.encode())
        if size > MAX_BYTES:
            raise InvalidRequest(f"a preset has at most {MAX_BYTES} bytes; this one has {size}")
        now = self._clock.now()
        version_id = str(uuid.uuid4())
        async with self._database.write() as connection:
            await increment_counter(connection, _COUNTER)  # locks out other processes, in PostgreSQL too
            mine = select(PRESETS).where(PRESETS.c.owner == owner, PRESETS.c.slug == slug)
            row = (await connection.execute(mine)).mappings().first()
            await _check_room(connection, owner, None if row is None else row["version_id"], size)
            if row is None:
                preset_id, number = str(uuid.uuid4()), 1
                values: dict[str, Any] = {"id": preset_id, "owner": owner, "slug": slug, "created": now}
                await connection.execute(insert(PRESETS).values(**values, updated=now, version_id=version_id))
            else:
                preset_id = row["id"]
                number = await _newest(connection, preset_id) + 1
                changed = update(PRESETS).where(PRESETS.c.id == preset_id)
                await connection.execute(changed.values(updated=now, version_id=version_id))
            version = {"id": version_id, "preset_id": preset_id, "version": number, "creator": creator}
            await connection.execute(insert(PRESET_VERSIONS).values(**version, created=now, bytes=size, data=data))
            old = PRESET_VERSIONS.c.version <= number - MAX_VERSIONS
            await connection.execute(delete(PRESET_VERSIONS).where(PRESET_VERSIONS.c.preset_id == preset_id, old))
        await self.refresh()
        return self._presets[owner, slug]

    async def versions(self, preset: Preset, offset: int, limit: int) -> tuple[tuple[PresetVersion, ...], int]:
        """Return up to *limit* versions of *preset* from *offset* on, oldest first, and the number of all versions."""
        mine = PRESET_VERSIONS.c.preset_id == preset.id
        query = select(PRESET_VERSIONS).where(mine).order_by(PRESET_VERSIONS.c.version).offset(offset).limit(limit)
        async with self._database.read() as connection:
            total = await connection.scalar(select(func.count()).select_from(PRESET_VERSIONS).where(mine))
            rows = (await connection.execute(query)).mappings().all()
        return tuple(map(_version, rows)), total or 0

    async def version(self, preset: Preset, number: int) -> PresetVersion | None:
        """Return version *number* of *preset*; None where it does not exist or was deleted."""
        if not 0 < number < 2**63:
            return None
        query = select(PRESET_VERSIONS).where(
            PRESET_VERSIONS.c.preset_id == preset.id, PRESET_VERSIONS.c.version == number
        )
        async with self._database.read() as connection:
            row = (await connection.execute(query)).mappings().first()
        return None if row is None else _version(row)


async def _check_room(connection: AsyncConnection, owner: str, replaced: str | None, size: int) -> None:
    """Check that a version of *size* bytes fits. *replaced* is the id of the version that it replaces, or None.

    Raises:
        InvalidRequest: it does not.
    """
    count, total = await _used(connection, owner, replaced)
    bound, whose = (COMMON, "shared presets") if owner == SHARED else (OWN, "presets of this key")
    if count >= bound.presets:
        raise InvalidRequest(f"there are {count} {whose} already, and no more are taken")
    if total + size > bound.bytes:
        raise InvalidRequest(f"all {whose} together have at most {bound.bytes} bytes")
    count, total = await _used(connection, None, replaced)
    if count >= ALL.presets or total + size > ALL.bytes:
        raise InvalidRequest("the gateway has no room for more presets")


async def _used(connection: AsyncConnection, owner: str | None, replaced: str | None) -> tuple[int, int]:
    """Return the number and the bytes of the presets of *owner*, None: of all. The version *replaced* is left out."""
    query = (
        select(func.count(), func.coalesce(func.sum(PRESET_VERSIONS.c.bytes), 0))
        .select_from(PRESETS)
        .join(PRESET_VERSIONS, PRESETS.c.version_id == PRESET_VERSIONS.c.id)
    )
    if owner is not None:
        query = query.where(PRESETS.c.owner == owner)
    if replaced is not None:
        query = query.where(PRESETS.c.version_id != replaced)
    count, total = (await connection.execute(query)).one()
    return int(count), int(total)


async def _newest(connection: AsyncConnection, preset_id: str) -> int:
    mine = PRESET_VERSIONS.c.preset_id == preset_id
    return await connection.scalar(select(func.max(PRESET_VERSIONS.c.version)).where(mine)) or 0


async def _versions(connection: AsyncConnection, ids: list[str]) -> dict[str, PresetVersion]:
    found: dict[str, PresetVersion] = {}
    for at in range(0, len(ids), _VERSIONS_PER_QUERY):
        query = select(PRESET_VERSIONS).where(PRESET_VERSIONS.c.id.in_(ids[at : at + _VERSIONS_PER_QUERY]))
        rows: Iterable[Any] = (await connection.execute(query)).mappings()
        found |= {row["id"]: _version(row) for row in rows}
    return found


def _preset(row: Any, version: PresetVersion) -> Preset:
    return Preset(
        id=row["id"],
        owner=row["owner"],
        slug=row["slug"],
        created=row["created"],
        updated=row["updated"],
        version=version,
    )


def _version(row: Any) -> PresetVersion:
    data = _decoder.decode(row["data"])
    return PresetVersion(
        id=row["id"],
        preset_id=row["preset_id"],
        version=row["version"],
        creator=row["creator"],
        created=row["created"],
        config=data.config,
        system=data.system,
    )
