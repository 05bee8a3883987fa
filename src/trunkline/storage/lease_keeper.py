"""One process's leases: draws more where calls need it, confirms them, and gives back what is not used.

See `ledger.lease`. `draw` is called by requests of keys with a limit whose lease does not suffice. Everything else
happens in one background task. For one key, one request to the store is under way at a time.
"""

import asyncio
import contextlib
import logging
from collections import defaultdict
from collections.abc import AsyncGenerator, Callable, Collection, Iterable
from itertools import count
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from trunkline.ledger.budget import Account, Budgets, out_of_credit
from trunkline.ledger.lease import Lease, LeaseAnswer
from trunkline.model.errors import DatabaseUnavailable, OutOfCredit, Overloaded
from trunkline.model.key import Key
from trunkline.model.money import Pico
from trunkline.storage.generations import GenerationStore
from trunkline.storage.lease_store import LeaseStore, StoreUnavailable

DRAW_S: Final = 8.0
"""Seconds that a request waits for a grant."""
RETRY_S: Final = 1.0
"""Seconds for which a store that failed is not asked, where another one stands in."""
STOP_S: Final = 1.0
"""Seconds for giving everything back."""
TOTALS_S: Final = 5.0
"""Seconds between two reports of the spending of keys that have no lease, where the store needs them."""

_Failures = (DatabaseUnavailable, SQLAlchemyError, OSError, TimeoutError)

logger = logging.getLogger(__name__)


class LeaseKeeper:
    """The leases of *budgets*. `start` it after the keys are loaded, `stop` it after the last record was flushed."""

    def __init__(
        self,
        budgets: Budgets,
        stores: tuple[LeaseStore, ...],
        generations: GenerationStore,
        *,
        holder: str,
        limited_keys: Callable[[], Iterable[Key]],
        monotonic: Callable[[], float],
    ) -> None:
        """Nothing is read or written before `start`.

        Args:
            budgets: made with the same *monotonic*.
            stores: the first is used; while it is unavailable, the next one.
            generations: for the spending in the database.
            holder: the name of this process in *stores*.
            limited_keys: returns the keys that have a limit.
            monotonic: seconds that only grow.
        """
        self.failing = False
        """Whether no store is available."""
        self._budgets = budgets
        self._stores = stores
        self._generations = generations
        self._holder = holder
        self._limited_keys = limited_keys
        self._monotonic = monotonic
        self._seq = count(1)
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)
        self._epoch = ""
        self._totals: dict[str, Pico] = {}
        """Spending that was reported to a store that needs it, by key id."""
        self._retry_at = float("-inf")
        """When a store that another one stands in for is tried again."""
        self._task: asyncio.Task[None] | None = None
        self._closing = False

    async def start(self, dead: Collection[str] = ()) -> None:
        """Forget what the processes *dead* held, and keep leases in the background."""
        for store in self._stores:
            with contextlib.suppress(StoreUnavailable):
                await store.release(dead, [key.id for key in self._limited_keys()])
        if self._stores[0].needs_totals:
            with contextlib.suppress(StoreUnavailable, *_Failures):
                self._epoch = await self._stores[0].epoch()
                await self._report_totals()
        self._task = asyncio.create_task(self._keep_forever())

    async def stop(self) -> None:
        """Give everything back. Call it when no request runs, and the journal is in the database."""
        self._closing = True
        running = set() if self._task is None else {self._task}
        while running:  # a client can lose a cancellation that coincides with its time limit
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=0.5)
        with contextlib.suppress(StoreUnavailable, *_Failures):
            async with asyncio.timeout(STOP_S):
                await self._give_back()
        for store in self._stores:
            await store.close()

    async def _give_back(self) -> None:
        leased = [key_id for key_id, _ in self._budgets.leased()]
        if not leased:
            return
        if self._stores[0].needs_totals:
            await self._observe(leased)
            for key_id, account in self._budgets.leased():
                assert account.lease is not None
                account.lease.expire(account.reserved)
                await self._sync(key_id, account.lease, 0)
        for store in self._stores:
            await store.release([self._holder], leased)

    async def draw(self, key: Key, amount: Pico) -> None:
        """Take *amount* more of the key's limit from the store; return when the key's lease has it.

        Raises:
            OutOfCredit: the limit has no such amount left.
            Overloaded: no store can tell.
        """
        assert key.limit is not None
        account = self._budgets.account(key.id)
        try:
            async with asyncio.timeout(DRAW_S), self._waiting(key, account, amount) as lease:
                await self._draw(key.id, account, lease, amount)
        except (StoreUnavailable, *_Failures) as error:
            self._log_state(failing=True, error=error)
            raise Overloaded(
                f"{self._stores[-1].name} is away: the limit of this key cannot be checked", retry_after_s=2.0
            ) from None

    @contextlib.asynccontextmanager
    async def _waiting(self, key: Key, account: Account, amount: Pico) -> AsyncGenerator[Lease]:
        """Wait for the key's turn. Its lease is made if it is the first time."""
        assert key.limit is not None
        lease = account.lease
        if lease is None:
            lease = account.lease = Lease(key.limit)
        lease.waiting += amount
        try:
            async with self._locks[key.id]:
                lease.limit = key.limit
                yield lease
        finally:
            lease.waiting -= amount

    async def _draw(self, key_id: str, account: Account, lease: Lease, amount: Pico) -> None:
        observed = lease.reported_at > float("-inf")
        if not observed:
            await self._observe([key_id])
        while True:
            now = self._monotonic()
            if now >= lease.valid_until:
                lease.expire(account.reserved)
            elif account.free >= amount:
                return
            lease.cover(account.reserved)
            answer = await self._sync(key_id, lease, amount - account.free)
            if answer.granted:
                return
            if answer.wait_s:
                await asyncio.sleep(answer.wait_s)
            elif observed:
                # Costs that reached the database since the last look were counted twice.
                await self._observe([key_id])
                observed = False
            else:
                raise _refusal(account, lease, answer, amount)

    async def _sync(self, key_id: str, lease: Lease, least: Pico) -> LeaseAnswer:
        """Tell the first store that works what is held, and ask it for *least* or more."""
        failure: StoreUnavailable | None = None
        for store in self._stores:
            sent_at = self._monotonic()
            if store is not self._stores[-1] and sent_at < self._retry_at:
                continue
            request = lease.request(key_id, next(self._seq), least)
            try:
                answer = await store.sync(request)
            except StoreUnavailable as error:
                failure = failure or error
                self._retry_at = self._monotonic() + RETRY_S
                continue
            lease.apply(request, answer, sent_at, store.valid_s)
            if store.needs_totals:
                self._totals[key_id] = request.spent
            self._log_state(failing=False)
            return answer
        assert failure is not None, "there is a store"
        raise failure

    async def _observe(self, key_ids: Collection[str]) -> None:
        """Read what the database has of the keys' spending."""
        await self._generations.refresh(self._budgets, key_ids)

    # In the background.

    async def _keep_forever(self) -> None:
        totals_at = self._monotonic()
        while not self._closing:
            await asyncio.sleep(self._stores[0].tick_s)
            try:
                async with asyncio.timeout(DRAW_S):
                    await self._keep()
                    now = self._monotonic()
                    if self._stores[0].needs_totals and now - totals_at >= TOTALS_S:
                        totals_at = now
                        await self._report_totals()
            except (StoreUnavailable, *_Failures) as error:
                self._log_state(failing=True, error=error)
            except Exception:
                logger.exception("leases could not be kept")

    async def _keep(self) -> None:
        """Confirm leases, give back what is not used, and report again what the store has lost."""
        first, lost = self._stores[0], False
        if first.needs_totals:
            try:
                epoch = await first.epoch()
            except StoreUnavailable:
                if len(self._stores) == 1:
                    raise
                self._retry_at = self._monotonic() + RETRY_S  # another store stands in
            else:
                lost, self._epoch = epoch != self._epoch, epoch
        active = {
            key_id: account
            for key_id, account in self._budgets.leased()
            if account.lease is not None and (lost or _is_active(account.lease))
        }
        if active:
            # Without the database the leases are confirmed all the same: they then cover more ended calls.
            with contextlib.suppress(*_Failures):
                await self._observe(list(active))
        for key_id, account in active.items():
            async with self._locks[key_id]:
                await self._keep_one(key_id, account, first.renew_s, lost=lost)
        if lost:
            self._totals.clear()
            await self._report_totals()

    async def _keep_one(self, key_id: str, account: Account, renew_s: float, *, lost: bool) -> None:
        lease, now = account.lease, self._monotonic()
        assert lease is not None
        if now >= lease.valid_until:
            lease.expire(account.reserved)
        lease.cover(account.reserved)
        lease.trim(account.reserved, now)
        returned = lease.reported - lease.held
        if lost or now - lease.reported_at >= renew_s or returned > lease.chunk or (returned and not lease.held):
            await self._sync(key_id, lease, 0)

    async def _report_totals(self) -> None:
        """Tell the store what the database says of keys that have no lease here."""
        limits = {key.id: key.limit for key in self._limited_keys() if key.limit is not None}
        if not limits:
            return
        for key_id, spent in (await self._generations.spend_by_key(limits.keys())).items():
            account = self._budgets.account(key_id)
            async with self._locks[key_id]:
                if account.lease is None and spent > self._totals.get(key_id, 0):
                    lease = Lease(limits[key_id])
                    lease.observe(spent, 0)
                    await self._sync(key_id, lease, 0)

    def _log_state(self, *, failing: bool, error: Exception | None = None) -> None:
        """Log a warning when the leases have become unavailable or available again."""
        if failing == self.failing:
            return
        self.failing = failing
        if failing:
            logger.warning("limits of keys cannot be checked: %s (%s)", error, type(error).__name__)
        else:
            logger.warning("limits of keys can be checked again")


def _is_active(lease: Lease) -> bool:
    """Whether there is something to confirm or to give back."""
    return lease.held != 0 or lease.reported != 0 or lease.pending != 0


def _refusal(account: Account, lease: Lease, answer: LeaseAnswer, amount: Pico) -> OutOfCredit:
    """The client's error where the store has too little left."""
    spent = max(answer.spent, account.spent)
    left = lease.limit - answer.spent - answer.others - lease.held + max(account.free, 0)
    reserved = lease.limit - spent - left
    return out_of_credit(lease.limit, amount, spent=spent, reserved=max(reserved, 0))
