"""What a key may still spend."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from trunkline.ledger import Budgets, Reservation
from trunkline.ledger.budget import Account
from trunkline.model.errors import OutOfCredit
from trunkline.model.key import Key
from trunkline.model.money import Pico, from_usd

LIMIT = 1000
KEYS = [Key(id=str(n), name=str(n), label="…", limit=limit) for n, limit in enumerate((LIMIT, 10, 0, None))]


def test_limit_for_a_hundred_calls_admits_a_hundred() -> None:
    budgets, key = Budgets(), Key(id="k", name="k", label="…", limit=100 * 7)
    held: list[Reservation] = []
    for _ in range(1000):
        try:
            held.append(budgets.reserve(key, 7))
        except OutOfCredit:
            continue
    assert len(held) == 100
    assert budgets.reserved("k") == 700
    for reservation in held:
        reservation.settle(6)
    assert (budgets.spent("k"), budgets.reserved("k")) == (600, 0)
    budgets.reserve(key, 100)


def test_refusal_names_the_amounts() -> None:
    budgets, key = Budgets(), Key(id="k", name="k", label="…", limit=from_usd(1))
    budgets.reserve(key, from_usd("0.75")).settle(from_usd("0.75"))
    with pytest.raises(OutOfCredit) as caught:
        budgets.reserve(key, from_usd("0.250001"))
    assert caught.value.message == (
        "This request requires more credits, or fewer max_tokens. "
        "It may cost up to $0.250001, and $0.25 of the key's limit of $1.00 is left."
    )
    budgets.reserve(key, from_usd("0.25"))
    with pytest.raises(OutOfCredit, match=r"^Key limit exceeded: \$0\.75 of \$1\.00 is spent and \$0\.25 reserved by"):
        budgets.reserve(key, 0)


def test_unknown_bound_requires_remaining_credit() -> None:
    budgets, key = Budgets(), Key(id="k", name="k", label="…", limit=5)
    budgets.reserve(key, 0).settle(5)
    with pytest.raises(OutOfCredit, match="Key limit exceeded"):
        budgets.reserve(key, 0)


def test_key_without_limit_counts_spending_only() -> None:
    budgets = Budgets()
    reservation = budgets.reserve(KEYS[3], 10**30)
    assert (reservation.amount, budgets.reserved("3")) == (0, 0)
    reservation.settle(4)
    assert budgets.spent("3") == 4


def test_a_reservation_ends_once() -> None:
    budgets = Budgets()
    reservation = budgets.reserve(KEYS[0], 10)
    with pytest.raises(ValueError, match="never negative"):
        reservation.settle(-1)
    reservation.settle(3)
    reservation.release()
    with pytest.raises(RuntimeError):
        reservation.settle(3)
    assert (budgets.spent("0"), budgets.reserved("0")) == (3, 0)
    other = budgets.reserve(KEYS[0], 10)
    other.release()
    other.release()
    assert (budgets.spent("0"), budgets.reserved("0")) == (3, 0)


def test_spending_of_other_processes_counts() -> None:
    budgets = Budgets()
    budgets.load({"0": 900, "unheard of": 1})
    budgets.reserve(KEYS[0], 40).settle(40)
    held = budgets.reserve(KEYS[0], 10)
    budgets.replace_settled({"0": 950}, {"0": 40, "1": 5})  # another process settled 50; our 40 are not flushed
    assert (budgets.spent("0"), budgets.spent("1"), budgets.spent("unheard of")) == (990, 0, 1)
    with pytest.raises(OutOfCredit):
        budgets.reserve(KEYS[0], 1)
    held.settle(10)
    assert budgets.spent("0") == LIMIT


class Accounts(RuleBasedStateMachine):
    """Any order of reserving, settling, releasing and looking into the database."""

    held = Bundle[tuple[Key, Reservation]]("held")

    def __init__(self) -> None:
        super().__init__()
        self.budgets = Budgets()
        self.settled: dict[str, Pico] = {}
        self.reserved: dict[str, Pico] = {}
        self.flushed: dict[str, Pico] = {}

    @rule(target=held, key=st.sampled_from(KEYS), bound=st.integers(0, LIMIT + 1))
    def reserve(self, key: Key, bound: Pico) -> tuple[Key, Reservation]:
        taken = self.settled.get(key.id, 0) + self.reserved.get(key.id, 0)
        fits = key.limit is None or (taken < key.limit and taken + bound <= key.limit)
        try:
            reservation = self.budgets.reserve(key, bound)
        except OutOfCredit:
            assert not fits
            return key, Reservation(account=_nowhere(), amount=0)
        assert fits
        self.reserved[key.id] = self.reserved.get(key.id, 0) + reservation.amount
        return key, reservation

    @rule(pair=consumes(held), part=st.floats(0, 1))
    def settle(self, pair: tuple[Key, Reservation], part: float) -> None:
        key, reservation = pair
        amount = reservation.amount if key.limit is not None else 50
        cost = int(amount * part)
        reservation.settle(cost)
        if reservation.amount or key.limit is None:
            self.reserved[key.id] -= reservation.amount
            self.settled[key.id] = self.settled.get(key.id, 0) + cost

    @rule(pair=consumes(held))
    def release(self, pair: tuple[Key, Reservation]) -> None:
        key, reservation = pair
        reservation.release()
        if reservation.amount:
            self.reserved[key.id] -= reservation.amount

    @rule(key=st.sampled_from(KEYS), part=st.floats(0, 1))
    def flush_and_observe(self, key: Key, part: float) -> None:
        before = self.flushed.get(key.id, 0)
        now = before + int((self.settled.get(key.id, 0) - before) * part)
        self.flushed[key.id] = now
        self.budgets.replace_settled({key.id: now}, {key.id: self.settled.get(key.id, 0) - now})

    @invariant()
    def within_the_limit(self) -> None:
        for key in KEYS:
            assert self.budgets.spent(key.id) == self.settled.get(key.id, 0)
            assert self.budgets.reserved(key.id) == self.reserved.get(key.id, 0)
            if key.limit is not None:
                assert self.budgets.spent(key.id) + self.budgets.reserved(key.id) <= key.limit


def _nowhere() -> Account:
    return Account()


TestAccounts = Accounts.TestCase
