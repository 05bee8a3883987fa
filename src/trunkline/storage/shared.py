"""What replicas tell each other: a log of facts that every one of them writes and reads.

What a replica sees (an endpoint that fails, a credential that is limited, a conversation that was served) is put into a
list when it happens and appended to the log a moment later; what the others appended is learned as if it had been seen
here. There is nothing to lock and nothing to ask for on the way of a request, and without the log everyone goes on with
what it knows. The log is two streams, since what it holds is of use for different times. See docs/replicas.md.
"""

import asyncio
import contextlib
import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

import msgspec
from msgspec import Raw, Struct

from trunkline.model.replica_events import CredentialRested, ReplicaEvent, StickyRouteSet

PASSING: Final = "trunkline:attempts"
"""The stream of attempts and probes: what health is made of."""
LASTING: Final = "trunkline:facts"
"""The stream of rests and of where conversations are."""
KEPT_S: Final[Mapping[str, float]] = {PASSING: 300.0, LASTING: 12 * 3600.0}
"""How old an entry may be to be of use. No conversation stays for longer than that."""
MOST_ENTRIES: Final[Mapping[str, int]] = {PASSING: 10_000, LASTING: 50_000}
"""In a stream, about; the oldest go first."""
FLUSH_S: Final = 0.2
"""How long a fact waits to be sent together with others."""
MOST_BYTES: Final = 64 * 1024
"""Of an entry."""
MOST_WAITING: Final = 20_000
"""Facts of a stream that wait to be sent, about 2 MB; the oldest go first. A second's worth at 10,000 answers."""
STALE_S: Final = 30.0
"""An attempt that is told later than this is left out: what it was told for is what goes on now."""
PAGE: Final = 200
"""Entries that are read at a time."""
BLOCK_S: Final = 1.0
"""How long a read waits for something new."""
TRIM_S: Final = 60.0
START_S: Final = 5.0
"""How long a start waits for what the log holds. The rest is read while it serves."""
RETRY_MOST_S: Final = 5.0
_AT_ONCE = 16
"""Entries appended in one go."""
_BREATH = 200
"""Facts that are learned before others have their turn."""
_MOST_REPLICAS = 1000
"""Names that are remembered; one that is forgotten may be believed twice."""

logger = logging.getLogger(__name__)


class LogAway(Exception):
    """The log cannot be used now. The message is one word or two, and holds nothing of its address."""


class FactLog(Protocol):
    """Named streams of entries, in an order that is everyone's. Ids are `<Unix milliseconds>-<number>`.

    Everything raises `LogAway` where it does not work, within seconds.
    """

    async def now(self) -> float:
        """Unix seconds by the clock that makes ids."""
        ...

    async def append(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Append all (stream, entry) or none of them."""
        ...

    async def read(self, after: Mapping[str, str], wait_s: float) -> list[tuple[str, str, bytes]]:
        """At most `PAGE` entries of each stream *after* an id: stream, id, entry. Waits a while where there is none."""
        ...

    async def trim(self, before: Mapping[str, str]) -> None:
        """Forget what is older than these ids."""
        ...

    async def close(self) -> None:
        """Close the connections."""
        ...


class _Entry(Struct, frozen=True, array_like=True):
    """What one replica saw, and how many entries it had written to any stream."""

    replica: str
    number: int
    facts: Raw


class _Sent(Struct, frozen=True):
    """Facts on their way, each with the time when it was told."""

    stream: str
    number: int
    facts: list[tuple[float, ReplicaEvent]]


class SharedFacts:
    """One replica's side of the log. *replica* is a name that no other process has or had.

    `tell` is called for each fact that is seen here, from the event loop; what others saw goes to the *learn* of
    `open`, with its age in seconds.
    """

    def __init__(self, log: FactLog, *, monotonic: Callable[[], float], replica: str) -> None:
        self._log = log
        self._monotonic = monotonic
        self._replica = replica
        self._waiting: dict[str, deque[tuple[float, ReplicaEvent]]] = {
            PASSING: deque(maxlen=MOST_WAITING),
            LASTING: deque(maxlen=MOST_WAITING),
        }
        self._sending: list[_Sent] = []
        self._number = 0
        self._learn: Callable[[ReplicaEvent, float], None] = lambda _fact, _age_s: None
        self._after: dict[str, str] = {}
        self._ahead = 0.0
        """What the log's clock shows more than ours."""
        self._seen: dict[tuple[str, str], int] = {}
        """The last number of each stream and replica: an entry that was appended again says nothing new."""
        self._heard = 0
        self._starting = True
        self._closing = False
        self._caught_up = asyncio.Event()
        self._reads = self._writes = False
        self._said: bool | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.sent = 0
        """Facts in entries that were appended."""
        self.received = 0
        """Facts of others that were learned."""
        self.dropped = 0
        """Facts that were not told: too many, or too old when they could be; and those of others that made no sense."""

    @property
    def up(self) -> bool:
        """Whether the log can be read and written, as far as is known."""
        return self._reads and self._writes

    def publish(self, fact: ReplicaEvent) -> None:
        """Have the others learn *fact*, soon."""
        waiting = self._waiting[LASTING if isinstance(fact, StickyRouteSet | CredentialRested) else PASSING]
        if len(waiting) == MOST_WAITING:
            self.dropped += 1
        waiting.append((self._monotonic(), fact))

    async def open(self, learn: Callable[[ReplicaEvent, float], None]) -> None:
        """Learn what the log holds, as far as that is soon done, then go on in the background."""
        self._learn = learn
        self._tasks = [asyncio.create_task(self._read_forever()), asyncio.create_task(self._write_forever())]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(START_S):
                await self._caught_up.wait()
        self._starting = False

    async def close(self) -> None:
        """Tell what is left, if that is soon done, and end."""
        self._closing = True
        left = set(self._tasks)
        while left:  # a cancellation that comes when a time limit does can get lost in a client
            for task in left:
                task.cancel()
            _, left = await asyncio.wait(left, timeout=0.5)
        with contextlib.suppress(LogAway, TimeoutError):
            async with asyncio.timeout(1.0):
                if self.up:
                    await self._flush()
        await self._log.close()

    # Reading.

    async def _read_forever(self) -> None:
        wait = 0.1
        while not self._closing:
            try:
                await self._begin()
                wait = 0.1
                await self._follow()
            except LogAway as error:
                self._reads = False
                self._note(error)
                self._caught_up.set()  # there is nothing to wait for
            await asyncio.sleep(wait)
            wait = min(2 * wait, RETRY_MOST_S)

    async def _begin(self) -> None:
        """Take the log's time, and go on reading where we were."""
        now = await self._log.now()
        self._ahead = now - self._monotonic()
        for stream, kept_s in KEPT_S.items():
            after = self._after.get(stream)
            # A log that lost what it held and whose clock was put back begins anew.
            if after is None or _seconds(after) > now:
                self._after[stream] = _id(now if after is not None else now - kept_s)

    async def _follow(self) -> None:
        while not self._closing:
            found = await self._log.read(self._after, BLOCK_S if self._reads else 0.0)
            if not found and not self._reads:
                self._reads = self._writes = True  # until a write says otherwise
                self._note()
                self._caught_up.set()
            for stream, id_, data in found:
                self._after[stream] = id_
                await self._take(stream, max(0.0, self._monotonic() + self._ahead - _seconds(id_)), data)

    async def _take(self, stream: str, age_s: float, data: bytes) -> None:
        """Learn what an entry says."""
        try:
            entry = msgspec.json.decode(data, type=_Entry)
            if entry.replica == self._replica or not self._first_time(stream, entry):
                return
            facts = msgspec.json.decode(entry.facts, type=list[Raw])
        except msgspec.MsgspecError:
            self.dropped += 1
            return
        if stream == PASSING and age_s > (KEPT_S[PASSING] if self._starting else STALE_S):
            return
        for raw in facts:
            try:
                fact = _aged(msgspec.json.decode(raw, type=ReplicaEvent), age_s)
                if fact is not None:
                    self._learn(fact, age_s)
                    self.received += 1
            except (msgspec.MsgspecError, ValueError, ArithmeticError):  # of a newer version, say
                self.dropped += 1
            self._heard += 1
            if self._heard % _BREATH == 0:
                await asyncio.sleep(0)

    def _first_time(self, stream: str, entry: _Entry) -> bool:
        who = (stream, entry.replica)
        before = self._seen.pop(who, 0)  # and in again: who was heard of last is forgotten last
        self._seen[who] = max(before, entry.number)
        if len(self._seen) > _MOST_REPLICAS:
            del self._seen[next(iter(self._seen))]
        return entry.number > before

    # Writing.

    async def _write_forever(self) -> None:
        wait, again, trimmed = FLUSH_S, float("-inf"), float("-inf")
        while not self._closing:
            await asyncio.sleep(FLUSH_S)
            if not self._reads or (not self._writes and self._monotonic() < again):
                continue
            try:
                while await self._flush():
                    pass
                now = self._monotonic()
                if now - trimmed >= TRIM_S:
                    await self._log.trim({name: _id(now + self._ahead - kept_s) for name, kept_s in KEPT_S.items()})
                    trimmed = now
            except LogAway as error:
                self._writes = False
                self._note(error)
                wait = min(2 * wait, RETRY_MOST_S)
                again = self._monotonic() + wait
                trimmed = float("-inf")  # what shows that it can be written, where nothing waits
            else:
                wait = FLUSH_S
                if not self._writes:
                    self._writes = True
                    self._note()

    async def _flush(self) -> bool:
        """Append some of what waits; whether there was more."""
        if not self._sending:
            self._gather()
        if not self._sending:
            return False
        now = self._monotonic()
        entries: list[tuple[str, bytes]] = []
        count = 0
        for sent in self._sending:
            facts = [msgspec.json.encode(fact) for at, old in sent.facts if (fact := self._fresh(old, now - at))]
            count += len(facts)
            head = msgspec.json.encode((self._replica, sent.number))[:-1]
            entries.append((sent.stream, head + b",[" + b",".join(facts) + b"]]"))
        await self._log.append(entries)
        self.dropped += sum(len(sent.facts) for sent in self._sending) - count
        self.sent += count
        self._sending = []
        return any(self._waiting.values())

    def _gather(self) -> None:
        """Put what waits into entries."""
        for stream in (LASTING, PASSING):
            waiting = self._waiting[stream]
            while waiting and len(self._sending) < _AT_ONCE:
                facts: list[tuple[float, ReplicaEvent]] = []
                size = 0
                while waiting and size < MOST_BYTES - 4096:  # a number grows by some digits when time is taken off
                    facts.append(waiting.popleft())
                    size += len(msgspec.json.encode(facts[-1][1])) + 1
                self._number += 1
                self._sending.append(_Sent(stream, self._number, facts))

    def _fresh(self, fact: ReplicaEvent, age_s: float) -> ReplicaEvent | None:
        """*fact* as it is told after *age_s* seconds, None where it is of no use any more."""
        if isinstance(fact, StickyRouteSet | CredentialRested):
            return _aged(fact, age_s)
        return fact if age_s <= STALE_S else None

    def _note(self, error: LogAway | None = None) -> None:
        """Say it once where the log has gone or come back."""
        if self.up == self._said:
            return
        if not self.up:
            logger.warning("the shared state is away (%s): this replica goes on with what it knows", error)
        elif self._said is False:
            logger.warning("the shared state is back")
        self._said = self.up


def _aged(fact: ReplicaEvent, age_s: float) -> ReplicaEvent | None:
    """*fact* when it is *age_s* seconds old; None where its time is over."""
    if not isinstance(fact, StickyRouteSet | CredentialRested):
        return fact
    left = round(fact.seconds - age_s, 3)
    return msgspec.structs.replace(fact, seconds=left) if left > 0 else None


def _id(unix_s: float) -> str:
    return f"{max(0, int(unix_s * 1000))}-0"


def _seconds(id_: str) -> float:
    return int(id_.partition("-")[0]) / 1000
