"""Keys: made, revoked and listed here, and kept in memory for the way of a request."""

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import func, insert, select, update

from trunkline.model.errors import Forbidden, InvalidRequest, NotFound
from trunkline.model.key import Key
from trunkline.model.money import MAX_PICO, Pico
from trunkline.model.policy import Policy
from trunkline.ports import Clock
from trunkline.storage.counters import count_up, counted
from trunkline.storage.database import Database
from trunkline.storage.tables import KEYS

PREFIX: Final = "sk-tl-v1-"
_SECRET_BYTES: Final = 32
_COUNTER: Final = "keys"
_LONG_ENOUGH: Final = 24
"""Characters of a declared secret from which on eight of them may be shown."""


def digest(secret: str | bytes) -> str:
    """The lower-case hex SHA-256 of *secret*: the key's id. Takes any text, lone surrogates too."""
    return hashlib.sha256(secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret).hexdigest()


def label(secret: str) -> str:
    """*secret*'s beginning and end, to tell keys apart: `sk-tl-v1-0a1b…9f3e`; of a short one nothing."""
    if len(secret) < _LONG_ENOUGH:
        return "…"
    begin = len(PREFIX) + 4 if secret.startswith(PREFIX) else 4
    return f"{secret[:begin]}…{secret[-4:]}"


class KeyRing:
    """All keys (port `KeyStore`): those of the database and those that the configuration declares.

    Other processes change the database's keys too: `refresh`, called every second, brings in what they did.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._stored: dict[str, Key] = {}
        self._declared: dict[str, Key] = {}
        self._keys: dict[str, Key] = {}
        self._version = -1

    def find(self, digest: str) -> Key | None:
        """The key whose hex SHA-256 is *digest*, or None. Disabled and expired ones are found too.

        Timing tells nothing of use. The dictionary is asked for a digest, so all it could tell is how the digest of a
        guess relates to stored ones; secrets are 256 random bits, and nobody can choose a guess by what its SHA-256
        begins with, so there is no way to walk towards one. The comparison takes the same time wherever two digests
        differ. Unknown, disabled and expired keys cost the same look-up.
        """
        key = self._keys.get(digest)
        if key is None or not hmac.compare_digest(key.id, digest):
            return None
        return key

    def list(self) -> tuple[Key, ...]:
        """All keys: the declared ones, then the others, oldest first. Disabled and expired ones too."""
        return (*self._declared.values(), *sorted(self._stored.values(), key=lambda key: (key.created, key.id)))

    def declare(self, keys: Iterable[tuple[str, str, Pico | None, Policy | None]]) -> None:
        """Take *keys* of the configuration, in place of those before.

        Of each: name, secret, limit in pico-dollars or None, and who may serve it or None.
        """
        self._declared = {}
        for name, secret, limit, policy in keys:
            key_id = digest(secret)
            self._declared[key_id] = Key(
                id=key_id, name=name, label=label(secret), limit=limit, declared=True, policy=policy
            )
        self._mix()

    async def load(self) -> None:
        """Read the database's keys. Before the first request, and in commands."""
        await self.refresh()

    async def refresh(self) -> bool:
        """Read the database's keys where they have changed; whether they had. One query of one row where not."""
        async with self._database.read() as connection:
            version = await counted(connection, _COUNTER)
            if version == self._version:
                return False
            rows = (await connection.execute(select(KEYS))).mappings().all()
        self._stored = {row["id"]: _key(row) for row in rows}
        self._version = version
        self._mix()
        return True

    async def create(self, name: str, limit: Pico | None = None, *, expires: float | None = None) -> tuple[Key, str]:
        """Make a key; it and its secret, which is shown nowhere else ever. *expires* is Unix seconds.

        Raises:
            InvalidRequest: no name, or a limit that is no amount.
        """
        if not name.strip():
            raise InvalidRequest("a key needs a name", param="name")
        if limit is not None and not 0 <= limit <= MAX_PICO:
            raise InvalidRequest("a limit is between 0 and 9,223,372 USD", param="limit")
        key, secret = self._new(name, limit, expires)
        async with self._database.write() as connection:
            await count_up(connection, _COUNTER)
            await connection.execute(insert(KEYS).values(_values(key)))
        await self.refresh()
        return key, secret

    async def revoke(self, which: str) -> Key:
        """Disable the key whose id, name or label is *which*; the key as it is now. Records of it stay.

        Raises:
            NotFound: no such key, or all of that name are revoked.
            Forbidden: the configuration declares it.
            InvalidRequest: several keys have that name; the message gives their labels.
        """
        await self.refresh()
        found = [key for key in self.list() if which in (key.id, key.name, key.label) and not key.disabled]
        if not found:
            raise NotFound(f"no key {which!r}")
        if len(found) > 1:
            raise InvalidRequest(f"{len(found)} keys are {which!r}: {', '.join(key.label for key in found)}")
        key = found[0]
        if key.declared:
            raise Forbidden(f"the key {key.name!r} is declared in the configuration; take it out there")
        async with self._database.write() as connection:
            await count_up(connection, _COUNTER)
            await connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(disabled=True))
        await self.refresh()
        return self._stored[key.id]

    async def ensure_first_key(self) -> str | None:
        """On the very first start, make a key named `default`; its secret. None where any key exists or existed.

        Of processes that start at once, one makes it.
        """
        if self._declared or self._stored:
            return None
        key, secret = self._new("default", None, None)
        async with self._database.write() as connection:
            await count_up(connection, _COUNTER)  # alone from here on, on PostgreSQL too
            if await connection.scalar(select(func.count()).select_from(KEYS)):
                await connection.rollback()
                secret = ""
            else:
                await connection.execute(insert(KEYS).values(_values(key)))
        await self.refresh()
        return secret or None

    def _new(self, name: str, limit: Pico | None, expires: float | None) -> tuple[Key, str]:
        secret = PREFIX + secrets.token_hex(_SECRET_BYTES)
        created = self._clock.now()
        key = Key(id=digest(secret), name=name, label=label(secret), limit=limit, created=created, expires=expires)
        return key, secret

    def _mix(self) -> None:
        self._keys = self._stored | self._declared


def _values(key: Key) -> dict[str, Any]:
    return {
        "id": key.id,
        "name": key.name,
        "label": key.label,
        "limit_pico": key.limit,
        "disabled": key.disabled,
        "created": key.created,
        "expires": key.expires,
    }


def _key(row: Any) -> Key:
    return Key(
        id=row["id"],
        name=row["name"],
        label=row["label"],
        limit=row["limit_pico"],
        disabled=row["disabled"],
        created=row["created"],
        expires=row["expires"],
    )
