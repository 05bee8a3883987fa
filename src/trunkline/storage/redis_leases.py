"""The port `LeaseStore` over Redis, Valkey or a compatible server: a script for each request.

For each key there is a hash `trunkline:budget:<key id>`: `d:<database>` is the spending in a database, `h:<holder>` is
what a process holds, the number of its last request, and when the lease ends, by the server's clock. Replicas with
databases of their own share a limit too: each reports the spending in its database.

Data can be lost (a flush, a restart). `trunkline:budgets` is lost with it. Where it is missing, the script makes it and
grants nothing for `GRACE_S`. Meanwhile every living process reports again what it holds and what its database says; by
then, the free part of every lease that was not reported again has expired. So no money is granted twice.

Redis calculates with floating-point numbers. Amounts are passed as decimal text and split into millions and the rest,
so all sums are exact.
"""

import asyncio
from collections.abc import Collection
from typing import Any, Final

from redis.asyncio import Redis
from redis.exceptions import NoScriptError, RedisError

from trunkline.ledger.lease import LeaseAnswer, LeaseRequest
from trunkline.storage.lease_store import StoreUnavailable

LEASE_S: Final = 30.0
"""Seconds after which what a silent process holds is granted to others."""
VALID_S: Final = 1.5
"""Seconds for which the free part of a lease can be used without being confirmed."""
GRACE_S: Final = 2.0
"""Seconds without grants after the server has lost its data. More than `VALID_S`, and several ticks."""
TIMEOUT_S: Final = 1.0
"""Seconds for one request."""
MARKER: Final = "trunkline:budgets"
PREFIX: Final = "trunkline:budget:"

SCRIPT: Final = """
local M = 1000000
local function parse(s) return {tonumber(string.sub(s, 1, -7)) or 0, tonumber(string.sub(s, -6))} end
local function norm(a)
  local carry = math.floor(a[2] / M)
  return {a[1] + carry, a[2] - carry * M}
end
local function add(a, b) return norm({a[1] + b[1], a[2] + b[2]}) end
local function sub(a, b) return norm({a[1] - b[1], a[2] - b[2]}) end
local function less(a, b) return a[1] < b[1] or (a[1] == b[1] and a[2] < b[2]) end
local function text(a)
  if a[1] > 0 then return string.format('%.0f%06.0f', a[1], a[2]) end
  return string.format('%.0f', a[2])
end
local holder, seq, database = ARGV[1], tonumber(ARGV[2]), ARGV[3]
local lease_ms, grace_ms = tonumber(ARGV[4]), tonumber(ARGV[5])
local limit, held, total, least = parse(ARGV[6]), parse(ARGV[7]), parse(ARGV[8]), parse(ARGV[9])
local wanted, share = parse(ARGV[10]), tonumber(ARGV[11])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local epoch = redis.call('GET', KEYS[1])
if not epoch or tonumber(string.match(epoch, '^%d+')) > now then
  epoch = string.format('%.0f-%s', now, time[2])
  redis.call('SET', KEYS[1], epoch)
end
local wait = tonumber(string.match(epoch, '^%d+')) + grace_ms - now
local spent, others, elsewhere = {0, 0}, {0, 0}, {0, 0}
local fields = redis.call('HGETALL', KEYS[2])
for i = 1, #fields, 2 do
  local kind, name, value = string.sub(fields[i], 1, 2), string.sub(fields[i], 3), fields[i + 1]
  if kind == 'd:' and name == database then
    if less(total, parse(value)) then total = parse(value) end
  elseif kind == 'd:' then
    elsewhere = add(elsewhere, parse(value))
  elseif kind == 'h:' then
    local amount, last, ends = string.match(value, '^(%d+) (%d+) (%d+)$')
    if name == holder then
      if tonumber(last) > seq then return redis.error_reply('LATE a newer request was served') end
    elseif tonumber(ends) < now then
      redis.call('HDEL', KEYS[2], fields[i])
    else
      others = add(others, parse(amount))
    end
  end
end
spent = add(elsewhere, total)
local granted, zero = {0, 0}, {0, 0}
local left = sub(sub(sub(limit, spent), others), held)
if wait <= 0 and less(zero, least) and not less(left, least) then
  granted = least
  if less(granted, wanted) then granted = wanted end
  local part = {math.floor(left[1] / share), 0}
  if less(granted, part) then granted = part end
  if less(left, granted) then granted = left end
end
held = add(held, granted)
if less(zero, total) then redis.call('HSET', KEYS[2], 'd:' .. database, text(total)) end
if less(zero, held) then
  redis.call('HSET', KEYS[2], 'h:' .. holder, string.format('%s %.0f %.0f', text(held), seq, now + lease_ms))
else
  redis.call('HDEL', KEYS[2], 'h:' .. holder)
end
if wait < 0 then wait = 0 end
return {text(granted), text(spent), text(others), text(elsewhere), wait, epoch}
"""


class RedisLeases:
    """The port `LeaseStore`, for one process."""

    name = "the shared state"
    tick_s = 0.5
    renew_s = 0.4
    valid_s = VALID_S
    needs_totals = True

    def __init__(self, redis: "Redis", *, holder: str, database: str, share: int) -> None:
        """A store over a client, which `close` closes.

        Args:
            redis: the client.
            holder: a name that no other process has or had.
            database: the name of the process's database: the same for all processes that use it.
            share: one part in so many of what is left is granted at least.
        """
        self._redis: Any = redis  # half of its methods are typed Any, the others `Awaitable | value`
        self._holder = holder
        self._tail = (database, int(LEASE_S * 1000), int(GRACE_S * 1000))
        self._share = share
        self._sha = ""

    async def sync(self, request: LeaseRequest) -> LeaseAnswer:
        """As `LeaseStore.sync`."""
        amounts = (request.limit, request.held, request.spent, request.least, request.wanted)
        keys = (MARKER, PREFIX + request.key_id)
        answer = await self._run(keys, (self._holder, request.seq, *self._tail, *amounts, self._share))
        granted, spent, others, elsewhere, wait_ms, epoch = answer
        return LeaseAnswer(
            granted=int(granted),
            spent=int(spent),
            others=int(others),
            elsewhere=int(elsewhere),
            wait_s=wait_ms / 1000,
            epoch=epoch.decode(),
        )

    async def epoch(self) -> str:
        """As `LeaseStore.epoch`; empty where nothing was stored yet."""
        try:
            async with asyncio.timeout(TIMEOUT_S):
                return (await self._redis.get(MARKER) or b"").decode()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def release(self, holders: Collection[str], key_ids: Collection[str]) -> None:
        """As `LeaseStore.release`."""
        if not holders or not key_ids:
            return
        batch = self._redis.pipeline(transaction=False)
        for key_id in key_ids:
            batch.hdel(PREFIX + key_id, *(f"h:{holder}" for holder in holders))
        try:
            async with asyncio.timeout(TIMEOUT_S):
                await batch.execute()
        except (RedisError, OSError, TimeoutError) as error:
            raise StoreUnavailable(type(error).__name__) from None

    async def close(self) -> None:
        """As `LeaseStore.close`."""
        await self._redis.aclose()

    async def _run(self, keys: tuple[str, ...], arguments: tuple[object, ...]) -> Any:
        try:
            async with asyncio.timeout(TIMEOUT_S):
                try:
                    return await self._redis.evalsha(self._sha or await self._load(), len(keys), *keys, *arguments)
                except NoScriptError:  # the server was restarted
                    return await self._redis.evalsha(await self._load(), len(keys), *keys, *arguments)
        except (RedisError, OSError, TimeoutError) as error:
            # The text of the error may contain the address.
            raise StoreUnavailable(type(error).__name__) from None

    async def _load(self) -> str:
        self._sha = await self._redis.script_load(SCRIPT)
        return self._sha
