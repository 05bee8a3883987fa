"""The ports `FactLog` and `AnswerCache` over Redis, Valkey or a compatible server.

The client library is the extra `trunkline[redis]`. So this module is imported only where a URL is configured.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final, TypeVar

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from trunkline.ports import CachedAnswer
from trunkline.storage.fact_log import BLOCK_S, MAX_ENTRIES, PAGE, LogUnavailable

CONNECT_S: Final = 2.0
ANSWER_S: Final = BLOCK_S + 2.0
"""Seconds for any command. The longest is a read that waits for `BLOCK_S`."""
ANSWERS_S: Final = 0.5
"""Seconds for a cached response: a client waits for it, and a provider can respond instead."""
ANSWER_PREFIX: Final = "trunkline:answer:"
_FIELD = b"e"

T = TypeVar("T")


def open_redis(url: str) -> "Redis":
    """Return a client for the server at *url*. Nothing is sent yet. The client retries nothing: its users do.

    Raises:
        ValueError: *url* is not the URL of a Redis server.
    """
    scheme, colon, rest = url.partition(":")
    scheme = {"valkey": "redis", "valkeys": "rediss"}.get(scheme, scheme)
    return Redis.from_url(
        f"{scheme}{colon}{rest}",
        protocol=2,
        retry=Retry(NoBackoff(), 0),
        socket_connect_timeout=CONNECT_S,
        socket_timeout=ANSWER_S,
    )


class RedisLog:
    """The port `FactLog`."""

    def __init__(self, redis: "Redis") -> None:
        self._redis: Any = redis  # half of its methods are typed Any, the others `Awaitable | value`

    async def now(self) -> float:
        """As the port's."""
        answer: tuple[int, int] = await self._do(self._redis.time())
        seconds, microseconds = answer
        return seconds + microseconds / 1e6

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """As the port's."""
        batch = self._redis.pipeline(transaction=True)
        for stream, data in entries:
            batch.xadd(stream, {_FIELD: data}, maxlen=MAX_ENTRIES[stream], approximate=True)
        await self._do(batch.execute())

    async def read(self, after: Mapping[str, str], wait_s: float) -> list[tuple[str, str, bytes]]:
        """As the port's."""
        block = int(wait_s * 1000) or None
        answer = await self._do(self._redis.xread(dict(after), count=PAGE, block=block))
        return [
            (stream.decode(), id_.decode(), fields.get(_FIELD, b""))
            for stream, entries in answer or ()
            for id_, fields in entries
        ]

    async def trim(self, before: Mapping[str, str]) -> None:
        """As the port's."""
        for stream, id_ in before.items():
            await self._do(self._redis.xtrim(stream, minid=id_, approximate=True))

    async def close(self) -> None:
        """As the port's."""
        await self._redis.aclose()

    async def _do(self, answer: Awaitable[T]) -> T:
        try:
            async with asyncio.timeout(CONNECT_S + ANSWER_S):
                return await answer
        except (RedisError, OSError, TimeoutError) as error:
            # The text of the error may contain the address.
            raise LogUnavailable(type(error).__name__) from None


class RedisAnswerCache:
    """The port `AnswerCache`, shared by all replicas. While *usable* returns False, nothing is read or written.

    The server bounds the memory (`maxmemory`). Every entry expires.
    """

    def __init__(self, redis: "Redis", usable: Callable[[], bool]) -> None:
        self._redis: Any = redis
        self._usable = usable

    async def get(self, key: bytes) -> CachedAnswer | None:
        """As `AnswerCache.get`."""
        both = self._redis.pipeline(transaction=True).get(_name(key)).pttl(_name(key))
        value, left_ms = await self._within_limit(both.execute) or (None, 0)
        return None if value is None else CachedAnswer(value, left_ms / 1000)

    async def put(self, key: bytes, value: bytes, ttl_s: float) -> None:
        """As `AnswerCache.put`."""
        await self._within_limit(lambda: self._redis.set(_name(key), value, px=max(1, int(ttl_s * 1000))))

    async def delete(self, key: bytes) -> None:
        """As `AnswerCache.delete`."""
        await self._within_limit(lambda: self._redis.delete(_name(key)))

    async def _within_limit(self, do: Callable[[], Awaitable[Any]]) -> Any:
        """Return the result of *do*; None where it fails or takes longer than `ANSWERS_S`."""
        if not self._usable():
            return None
        try:
            async with asyncio.timeout(ANSWERS_S):
                return await do()
        except (RedisError, OSError, TimeoutError):
            return None


def _name(key: bytes) -> str:
    return ANSWER_PREFIX + key.hex()
