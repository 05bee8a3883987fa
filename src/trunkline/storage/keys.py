"""API keys: creation, revocation and listing, and the copy in memory that requests use."""

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
from trunkline.storage.counters import increment_counter, read_counter
from trunkline.storage.database import Database
from trunkline.storage.tables import KEYS

PREFIX: Final = "sk-tl-v1-"
_SECRET_BYTES: Final = 32
_COUNTER: Final = "keys"
_LONG_ENOUGH: Final = 24
"""Length of a declared secret from which eight of its characters may be shown."""


def digest(secret: str | bytes) -> str:
    """Return the lower-case hex SHA-256 of *secret*, which is the key's id. Text may contain lone surrogates."""
    return hashlib.sha256(secret.encode(errors="surrogatepass") if isinstance(secret, str) else secret).hexdigest()


def label(secret: str) -> str:
    """Return the beginning and the end of *secret* for display: `sk-tl-v1-0a1b…9f3e`; nothing of a short one."""
    if len(secret) < _LONG_ENOUGH:
        return "…"
    begin = len(PREFIX) + 4 if secret.startswith(PREFIX) else 4
    return f"{secret[:begin]}…{secret[-4:]}"


class KeyRing:
    """All keys (port `KeyStore`): those of the database and those that the configuration declares.

    Other processes change the keys of the database too. `refresh`, called every second, reads their changes.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._stored: dict[str, Key] = {}
        self._declared: dict[str, Key] = {}
        self._keys: dict[str, Key] = {}
        self._version = -1

    def find(self, digest: str) -> Key | None:
        """Return the key whose hex SHA-256 is *digest*, or None. Disabled and expired keys are found too.

        The time of the look-up reveals nothing useful. It could only show how the digest of a guess relates to stored
        digests. Secrets are 256 random bits, and nobody can choose a guess whose SHA-256 begins in a certain way, so
        guesses cannot approach a secret. The comparison takes the same time wherever two digests differ. Unknown,
        disabled and expired keys cost the same look-up.
        """
        key = self._keys.get(digest)
        if key is None or not hmac.compare_digest(key.id, digest):
            return None
        return key

    def list(self) -> tuple[Key, ...]:
        """Return all keys: the declared ones, then the others, oldest first. Disabled and expired ones are included."""
        return (*self._declared.values(), *sorted(self._stored.values(), key=lambda key: (key.created, key.id)))

    def declare(self, keys: Iterable[tuple[str, str, Pico | None, Policy | None]]) -> None:
        """Replace the declared keys by *keys* of the configuration.

        Each is: name, secret, limit in pico-dollars (None: no limit), policy on who may serve it (None: none).
        """
        self._declared = {}
        for name, secret, limit, policy in keys:
            key_id = digest(secret)
            self._declared[key_id] = Key(
                id=key_id, name=name, label=label(secret), limit=limit, declared=True, policy=policy
            )
        self._merge()

    async def load(self) -> None:
        """Read the keys of the database. Call it before the first request, and in commands."""
        await self.refresh()

    async def refresh(self) -> bool:
        """Read the keys of the database if they have changed; return whether they had. Otherwise one row is read."""
        async with self._database.read() as connection:
            version = await read_counter(connection, _COUNTER)
            if version == self._version:
                return False
            rows = (await connection.execute(select(KEYS))).mappings().all()
        self._stored = {row["id"]: _key(row) for row in rows}
        self._version = version
        self._merge()
        return True

    async def create(self, name: str, limit: Pico | None = None, *, expires: float | None = None) -> tuple[Key, str]:
        """Create a key. Return it and its secret, which is stored nowhere.

        Args:
            name: shown in lists; need not be unique.
            limit: in pico-dollars; None: no limit.
            expires: Unix seconds; None: never.

        Raises:
            InvalidRequest: the name is empty, or the limit is out of range.
        """
        if not name.strip():
            raise InvalidRequest("a key needs a name", param="name")
        if limit is not None and not 0 <= limit <= MAX_PICO:
            raise InvalidRequest("a limit is between 0 and 9,223,372 USD", param="limit")
        key, secret = self._new(name, limit, expires)
        async with self._database.write() as connection:
            await increment_counter(connection, _COUNTER)
            await connection.execute(insert(KEYS).values(_values(key)))
        await self.refresh()
        return key, secret

    async def revoke(self, which: str) -> Key:
        """Disable the key whose id, name or label is *which*. Return the changed key. Its records stay.

        Raises:
            NotFound: there is no such key that is not disabled.
            Forbidden: the configuration declares it.
            InvalidRequest: several keys have that name; the message contains their labels.
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
            await increment_counter(connection, _COUNTER)
            await connection.execute(update(KEYS).where(KEYS.c.id == key.id).values(disabled=True))
        await self.refresh()
        return self._stored[key.id]

    async def ensure_first_key(self) -> str | None:
        """On the very first start, create a key named `default` and return its secret.

        None where any key exists or existed. Of several starting processes, one creates it.
        """
        if self._declared or self._stored:
            return None
        key, secret = self._new("default", None, None)
        async with self._database.write() as connection:
            await increment_counter(connection, _COUNTER)  # locks out other processes, in PostgreSQL too
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

    def _merge(self) -> None:
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
