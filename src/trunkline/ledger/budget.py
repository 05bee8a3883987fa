"""What keys have spent, what is reserved, and whether another call fits.

A call reserves the most it can cost before it is made and settles what it did cost when it ended. At every instant

    settled + reserved ≤ limit

holds for a key as long as no call costs more than it reserved. There is no `await` in here, so on one event loop
nothing can come between the check and the reservation. Source: reliability §7, M1.

Several processes on one database each keep their own accounts. What the others settled arrives with `observe`; until
it does, they can together pass a limit by what they settled and have under way since.
"""

from collections.abc import Mapping

from trunkline.model.errors import OutOfCredit
from trunkline.model.key import Key
from trunkline.model.money import Pico, to_usd


class Account:
    """One key's money, in pico-dollars: `settled` for ended calls, `reserved` for those under way."""

    __slots__ = ("reserved", "settled")

    def __init__(self) -> None:
        self.settled: Pico = 0
        self.reserved: Pico = 0


class Reservation:
    """Money set aside for one call. Ended exactly once, by `settle` or by `release`.

    `amount` is what was set aside: zero for a key without a limit.
    """

    __slots__ = ("_account", "amount", "ended")

    def __init__(self, account: Account, amount: Pico) -> None:
        self._account = account
        self.amount = amount
        self.ended = False

    def settle(self, cost: Pico) -> None:
        """Charge *cost* pico-dollars and give the rest back. More than was reserved is charged too.

        Call it beside `Journal.append`, with no `await` between the two: `Budgets.observe` counts on that.

        Raises:
            RuntimeError: settled or released before.
            ValueError: *cost* is negative.
        """
        if self.ended:
            raise RuntimeError("the reservation has ended")
        if cost < 0:
            raise ValueError(f"a charge is never negative: {cost}")
        self.ended = True
        self._account.reserved -= self.amount
        self._account.settled += cost

    def release(self) -> None:
        """Give everything back. Does nothing where the reservation has ended, so it can stand in a `finally`."""
        if not self.ended:
            self.ended = True
            self._account.reserved -= self.amount


class Budgets:
    """The accounts of all keys (port `Spending`), kept by key id. A key is first heard of when it first reserves."""

    __slots__ = ("_accounts",)

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def reserve(self, key: Key, upper_bound: Pico) -> Reservation:
        """Set *upper_bound* pico-dollars of the key's money aside.

        An upper bound of zero is one that is not known, or a free call: it is refused only when nothing at all is left.

        Raises:
            OutOfCredit: with what is spent and under way, the call could take the key past its limit.
        """
        account = self._accounts.get(key.id)
        if account is None:
            account = self._accounts[key.id] = Account()
        limit = key.limit
        if limit is None:
            return Reservation(account, 0)
        if upper_bound < 0:
            upper_bound = 0
        taken = account.settled + account.reserved
        if taken >= limit or taken + upper_bound > limit:
            raise _refusal(account, limit, upper_bound)
        account.reserved += upper_bound
        return Reservation(account, upper_bound)

    def spent(self, key_id: str) -> Pico:
        """Settled spending of the key so far."""
        account = self._accounts.get(key_id)
        return 0 if account is None else account.settled

    def reserved(self, key_id: str) -> Pico:
        """Money of the key that calls under way have set aside."""
        account = self._accounts.get(key_id)
        return 0 if account is None else account.reserved

    def load(self, spent: Mapping[str, Pico]) -> None:
        """Take *spent*, by key id, as settled. For the start, before the first call."""
        self.observe(spent, {})

    def observe(self, totals: Mapping[str, Pico], unflushed: Mapping[str, Pico]) -> None:
        """Take over what all processes have settled: for each key in *totals*, that plus its part of *unflushed*.

        *totals* is the database's spending by key id; *unflushed* what this process settled and *totals* does not hold
        yet. The two must belong to the same moment. Reservations stay.
        """
        for key_id, total in totals.items():
            account = self._accounts.get(key_id)
            if account is None:
                account = self._accounts[key_id] = Account()
            account.settled = total + unflushed.get(key_id, 0)


def _refusal(account: Account, limit: Pico, upper_bound: Pico) -> OutOfCredit:
    left = limit - account.settled - account.reserved
    if left <= 0:
        message = f"Key limit exceeded: {_usd(account.settled)} of {_usd(limit)} is spent"
        if account.reserved:
            message += f" and {_usd(account.reserved)} reserved by requests under way"
        return OutOfCredit(f"{message}.")
    return OutOfCredit(
        "This request requires more credits, or fewer max_tokens. "
        f"It may cost up to {_usd(upper_bound)}, and {_usd(left)} of the key's limit of {_usd(limit)} is left."
    )


def _usd(amount: Pico) -> str:
    """*amount* as people write dollars: every digit that counts, at least two after the point."""
    whole, _, cents = f"{to_usd(amount):.12f}".partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}"
