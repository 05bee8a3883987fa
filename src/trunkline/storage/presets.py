"""Presets: creation and reading, and the copy of the newest versions in memory that requests use.

Space in the database and in memory is bounded: `MAX_BYTES` for one version, `MAX_PRESETS` presets, `MAX_ALL_BYTES` for
the newest versions together, `MAX_VERSIONS` versions of each preset, of which the oldest are deleted.
"""

import uuid
from collections.abc import Iterable
from typing import Any, Final

import msgspec
from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from trunkline.model.errors import InvalidRequest
from trunkline.model.preset import Config, Preset, PresetVersion
from trunkline.ports import Clock
from trunkline.storage.counters import increment_counter, read_counter
from trunkline.storage.database import Database
from trunkline.storage.tables import PRESET_VERSIONS, PRESETS

MAX_BYTES: Final = 256 * 1024
MAX_PRESETS: Final = 1000
MAX_ALL_BYTES: Final = 64 * 1024 * 1024
MAX_VERSIONS: Final = 1000
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
        self._presets: dict[str, Preset] = {}
        self._version = -1

    def find(self, slug: str) -> Preset | None:
        """Return the preset *slug* with its newest version, or None."""
        return self._presets.get(slug)

    def list(self) -> tuple[Preset, ...]:
        """Return all presets, the last changed first."""
        return tuple(sorted(self._presets.values(), key=lambda preset: (-preset.updated, preset.slug)))

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
        self._presets = {row["slug"]: _preset(row, known[row["version_id"]]) for row in rows}
        self._version = version
        return True

    async def put(self, slug: str, config: Config, system: str | None, creator: str) -> Preset:
        """Create the preset *slug*, or a new version of it. Requests use the new version from now on.

        Args:
            slug: the name in requests.
            config: the fields of the preset.
            system: the system text; None: none.
            creator: the name of the API key that creates it.

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
            row = (await connection.execute(select(PRESETS).where(PRESETS.c.slug == slug))).mappings().first()
            await _check_room(connection, None if row is None else row["version_id"], size)
            if row is None:
                preset_id, number = str(uuid.uuid4()), 1
                values: dict[str, Any] = {"id": preset_id, "slug": slug, "created": now}
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
        return self._presets[slug]

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


async def _check_room(connection: AsyncConnection, replaced: str | None, size: int) -> None:
    """Check that a version of *size* bytes fits. *replaced* is the id of the version that it replaces, or None.

    Raises:
        InvalidRequest: it does not.
    """
    others = PRESETS.c.version_id == PRESET_VERSIONS.c.id
    if replaced is not None:
        others &= PRESETS.c.version_id != replaced
    count, total = (
        await connection.execute(
            select(func.count(), func.coalesce(func.sum(PRESET_VERSIONS.c.bytes), 0))
            .select_from(PRESETS)
            .join(PRESET_VERSIONS, others)
        )
    ).one()
    if count >= MAX_PRESETS:
        raise InvalidRequest(f"there are {count} presets already, and no more are taken")
    if int(total) + size > MAX_ALL_BYTES:
        raise InvalidRequest(f"all presets together have at most {MAX_ALL_BYTES} bytes")


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
    return Preset(id=row["id"], slug=row["slug"], created=row["created"], updated=row["updated"], version=version)


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
