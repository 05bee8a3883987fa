"""Spending, reservations and limits of keys.

A call reserves its maximum cost before it starts and settles its actual cost when it ends. At every moment

    settled + reserved ≤ limit

holds for a key, provided that no call costs more than it reserved. This module contains no `await`, so on one event
loop nothing runs between the check and the reservation. Source: docs/reference/reliability.md, M1.

Several processes on one database keep separate accounts. Costs settled by other processes arrive through
`replace_settled`; until then, the processes can together exceed a limit by what they settled and reserved since.
"""

from collections.abc import Mapping

from trunkline.model.errors import OutOfCredit
from trunkline.model.key import Key
from trunkline.model.money import Pico, to_usd


class Account:
    """The money of one key, in pico-dollars: `settled` for ended calls, `reserved` for running calls."""

    __slots__ = ("reserved", "settled")

    def __init__(self) -> None:
        self.settled: Pico = 0
        self.reserved: Pico = 0


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
        self._account.reserved -= self.amount
        self._account.settled += cost

    def release(self) -> None:
        """Release the reserved amount.

        Has no effect where the reservation has ended, so it can be called in a `finally`.
        """
        if not self.ended:
            self.ended = True
            self._account.reserved -= self.amount


class Budgets:
    """The accounts of all keys (port `Spending`), by key id. A key's account is created by its first reservation."""

    __slots__ = ("_accounts",)

    def __init__(self) -> None:
        self._accounts: dict[str, Account] = {}

    def reserve(self, key: Key, upper_bound: Pico) -> Reservation:
        """Reserve *upper_bound* pico-dollars of the key's limit.

        An upper bound of zero means unknown or free: it is refused only where nothing is left.

        Raises:
            OutOfCredit: with settled and reserved amounts, the call could exceed the key's limit.
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
            raise _out_of_credit(account, limit, upper_bound)
        account.reserved += upper_bound
        return Reservation(account, upper_bound)

    def spent(self, key_id: str) -> Pico:
        """The settled spending of the key, in pico-dollars."""
        account = self._accounts.get(key_id)
        return 0 if account is None else account.settled

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
            account = self._accounts.get(key_id)
            if account is None:
                account = self._accounts[key_id] = Account()
            account.settled = total + unflushed.get(key_id, 0)


def _out_of_credit(account: Account, limit: Pico, upper_bound: Pico) -> OutOfCredit:
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
    """*amount* in dollars with all significant digits, at least two after the point."""
    whole, _, cents = f"{to_usd(amount):.12f}".partition(".")
    return f"${whole}.{cents.rstrip('0').ljust(2, '0')}"
