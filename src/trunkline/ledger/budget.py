"""Spending, reservations and limits of keys.

A call reserves its maximum cost before it starts and settles its actual cost when it ends. At every moment

    settled + reserved ≤ limit

holds for a key, provided that no call costs more than it reserved. This module contains no `await`, so on one event
loop nothing runs between the check and the reservation. Source: docs/reference/reliability.md, M1.

Several processes share a key's limit by leases (`ledger.lease`): a process reserves from the part of the limit that a
common store has granted to it. Where that part does not suffice, `reserve` raises `LeaseNeeded`, and the caller draws
more from the store. Without leases, a `Budgets` is the only account of its keys.
"""

from collections.abc import Callable, Iterator, Mapping

from trunkline.ledger.lease import Lease
from trunkline.model.errors import OutOfCredit
from trunkline.model.key import Key
from trunkline.model.money import Pico, to_usd


class LeaseNeeded(Exception):
    """The process's part of the key's limit does not cover a call of up to `amount`. Draw from the store, try again."""

    def __init__(self, amount: Pico) -> None:
        super().__init__(amount)
        self.amount = amount


class Account:
    """The money of one key, in pico-dollars: `settled` for ended calls, `reserved` for running calls.

    `lease` is the process's part of the limit; None where the key has no limit, or nothing was drawn yet.
    """

    __slots__ = ("lease", "reserved", "settled")

    def __init__(self) -> None:
        self.settled: Pico = 0
        self.reserved: Pico = 0
        self.lease: Lease | None = None

    @property
    def spent(self) -> Pico:
        """What is settled, in other databases too."""
        return self.settled if self.lease is None else self.settled + self.lease.elsewhere

    @property
    def free(self) -> Pico:
        """What of the lease a further call can reserve; negative where calls cost more than they had reserved."""
        lease = self.lease
        return 0 if lease is None else lease.held - lease.pending - self.reserved


class Reservation:
    """Money reserved for one call. It ends exactly once, by `settle` or `release`.

    `amount` is the reserved amount: zero for a key without a limit.
    """

    __slots__ = ("_account", "amount", "ended")

    def __init__(self, account: Account, amount: Pico) -> None:
        self._account = account
        self.amount = amount
        self.ended = False

    def settle(self, cost: Pico) -> None:
        """Charge *cost* pico-dollars and release the rest. A cost above the reserved amount is charged in full.

        Call it next to `Journal.append` with no `await` between the two: `Budgets.replace_settled` relies on that.

        Raises:
            RuntimeError: the reservation was settled or released before.
            ValueError: *cost* is negative.
        """
        if self.ended:
            raise RuntimeError("the reservation has ended")
        if cost < 0:
            raise ValueError(f"a charge is never negative: {cost}")
        self.ended = True
        account = self._account
        account.reserved -= self.amount
        account.settled += cost
        if account.lease is not None:
            account.lease.pending += cost

    def release(self) -> None:
        """Release the reserved amount.

        Has no effect where the reservation has ended, so it can be called in a `finally`.
        """
        if not self.ended:
            self.ended = True
            self._account.reserved -= self.amount


class Budgets:
    """The accounts of all keys (port `Spending`), by key id. A key's account is created by its first reservation."""

    __slots__ = ("_accounts", "_monotonic")

    def __init__(self, monotonic: Callable[[], float] | None = None) -> None:
        """With *monotonic* (seconds, for the validity of leases), limits are shared by leases; see `LeaseNeeded`."""
        self._accounts: dict[str, Account] = {}
        self._monotonic = monotonic

    def reserve(self, key: Key, upper_bound: Pico) -> Reservation:
        """Reserve *upper_bound* pico-dollars of the key's limit.

        An upper bound of zero means unknown or free: it is refused only where nothing is left.

        Raises:
            OutOfCredit: with settled and reserved amounts, the call could exceed the key's limit.
            LeaseNeeded: this process's part of the limit does not cover the call.
        """
        account = self._accounts.get(key.id)
        if account is None:
            account = self._accounts[key.id] = Account()
        limit = key.limit
        if limit is None:
            return Reservation(account, 0)
        if upper_bound < 0:
            upper_bound = 0
        if self._monotonic is None:
            taken = account.settled + account.reserved
            if taken >= limit or taken + upper_bound > limit:
                raise out_of_credit(limit, upper_bound, spent=account.settled, reserved=account.reserved)
        else:
            self._require_lease(account, limit, upper_bound, self._monotonic())
        account.reserved += upper_bound
        return Reservation(account, upper_bound)

    def _require_lease(self, account: Account, limit: Pico, upper_bound: Pico, now: float) -> None:
        """Raise where the account's lease does not cover *upper_bound*, or, where that is zero, has nothing left."""
        if account.spent >= limit:
            raise out_of_credit(limit, upper_bound, spent=account.spent, reserved=account.reserved)
        lease, least = account.lease, upper_bound or 1
        if lease is None or now >= lease.valid_until or account.free < least:
            raise LeaseNeeded(least)
        lease.used_at = now

    def check(self, key: Key) -> None:
        """Raise `OutOfCredit` where the key's limit is known to be spent. Nothing is reserved."""
        if key.limit is not None:
            account = self.account(key.id)
            if account.spent + account.reserved >= key.limit:
                raise out_of_credit(key.limit, 0, spent=account.spent, reserved=account.reserved)

    def charge(self, key: Key, cost: Pico) -> None:
        """Charge *cost* for which nothing was reserved. As `Reservation.settle`, next to `Journal.append`."""
        Reservation(self.account(key.id), 0).settle(cost)

    def account(self, key_id: str) -> Account:
        """The account of the key; it is created where there is none."""
        account = self._accounts.get(key_id)
        if account is None:
            account = self._accounts[key_id] = Account()
        return account

    def leased(self) -> Iterator[tuple[str, Account]]:
        """Yield the id and the account of each key with a lease."""
        return ((key_id, account) for key_id, account in self._accounts.items() if account.lease is not None)

    def spent(self, key_id: str) -> Pico:
        """The settled spending of the key, in pico-dollars."""
        account = self._accounts.get(key_id)
        return 0 if account is None else account.spent

    def reserved(self, key_id: str) -> Pico:
        """The amount that the key's running calls have reserved, in pico-dollars."""
        account = self._accounts.get(key_id)
        return 0 if account is None else account.reserved

    def load(self, spent: Mapping[str, Pico]) -> None:
        """Set *spent*, by key id, as settled. Called at start, before the first call."""
        self.replace_settled(spent, {})

    def replace_settled(self, totals: Mapping[str, Pico], unflushed: Mapping[str, Pico]) -> None:
        """Replace the settled amount of each key in *totals* by its total plus its part of *unflushed*.

        *totals* is the database's spending by key id. *unflushed* is what this process settled and *totals* does not
        yet include. Both must belong to the same moment. Reservations are unchanged.
        """
        for key_id, total in totals.items():
            account, waiting = self.account(key_id), unflushed.get(key_id, 0)
            account.settled = total + waiting
            if account.lease is not None:
                account.lease.observe(total, waiting)


def out_of_credit(limit: Pico, upper_bound: Pico, *, spent: Pico, reserved: Pico) -> OutOfCredit:
    """The error of a call of up to *upper_bound*, where so much of *limit* is spent and reserved."""
    left = limit - spent - reserved
    if left <= 0:
        message = f"Key limit exceeded: {_usd(spent)} of {_usd(limit)} is spent"
        if reserved:
            message += f" and {_usd(reserved)} reserved by requests under way"
        return OutOfCredit(f"{message}.")
    return OutOfCredit(
        "This request requires more credits, or fewer max_tokens. "
        f"It may cost up to {_usd(upper_bound)}, and {_usd(left)} of the key's limit of {_usd(limit)} is left."
    )


def _usd(amount: Pico) -> str:
    """*amount* in dollars with all significant digits, at least two after the point."""
    whole, _, cents = f"{to_usd(amount):.12f}".partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}"
