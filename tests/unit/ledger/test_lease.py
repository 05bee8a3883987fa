"""What a store grants, and what a lease covers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trunkline.ledger import Budgets, LeaseNeeded
from trunkline.ledger.lease import IDLE_S, Lease, LeaseAnswer, LeaseRequest, grant
from trunkline.model.errors import OutOfCredit
from trunkline.model.key import Key
from trunkline.model.money import Pico

KEY = Key(id="k", name="k", label="…", limit=1000)
amounts = st.integers(0, 2**63 - 1)


def asks(*, held: Pico = 0, least: Pico = 0, wanted: Pico = 0, limit: Pico = 1000) -> LeaseRequest:
    return LeaseRequest(key_id="k", limit=limit, seq=1, held=held, spent=0, least=least, wanted=wanted)


@pytest.mark.parametrize(
    ("request_", "spent", "others", "granted"),
    [
        (asks(least=10), 0, 0, 50),  # one part in twenty
        (asks(least=80), 0, 0, 80),  # all that is missing
        (asks(least=10, wanted=70), 0, 0, 70),  # what waiting calls would use
        (asks(least=10, wanted=70), 940, 20, 40),  # no more than is left
        (asks(least=10, held=30), 940, 20, 10),  # to the last
        (asks(least=11, held=30), 940, 20, 0),  # all that is missing, or nothing
        (asks(least=1), 1000, 0, 0),
        (asks(least=1), 2000, 0, 0),
        (asks(held=30), 0, 0, 0),  # a report
    ],
)  # fmt: skip
def test_a_grant(request_: LeaseRequest, spent: Pico, others: Pico, granted: Pico) -> None:
    assert grant(request_, spent=spent, others=others, share=20) == granted


@given(held=amounts, least=amounts, wanted=amounts, limit=amounts, spent=amounts, others=amounts)
def test_a_grant_never_passes_the_limit(
    held: Pico, least: Pico, wanted: Pico, limit: Pico, spent: Pico, others: Pico
) -> None:
    granted = grant(asks(held=held, least=least, wanted=wanted, limit=limit), spent=spent, others=others, share=20)
    assert granted == 0 or (granted >= least and spent + others + held + granted <= limit)


def leased(held: Pico, valid_until: float = 10.0) -> tuple[Budgets, list[float]]:
    time = [0.0]
    budgets = Budgets(lambda: time[0])
    lease = budgets.account("k").lease = Lease(1000)
    lease.held, lease.valid_until = held, valid_until
    return budgets, time


def test_a_call_is_reserved_from_the_lease_alone() -> None:
    budgets, _ = leased(30)
    first = budgets.reserve(KEY, 20)
    with pytest.raises(LeaseNeeded) as needed:
        budgets.reserve(KEY, 11)
    assert needed.value.amount == 11
    first.settle(5)
    assert budgets.account("k").free == 25
    budgets.reserve(KEY, 25)
    with pytest.raises(LeaseNeeded) as needed:
        budgets.reserve(KEY, 0)
    assert needed.value.amount == 1, "an unknown bound needs something that is left"


def test_without_a_lease_one_is_needed_and_without_a_limit_none() -> None:
    budgets = Budgets(lambda: 0.0)
    with pytest.raises(LeaseNeeded):
        budgets.reserve(KEY, 5)
    unlimited = Key(id="u", name="u", label="…")
    budgets.reserve(unlimited, 5).settle(4)
    assert budgets.spent("u") == 4


def test_a_lease_expires() -> None:
    budgets, time = leased(30)
    held = budgets.reserve(KEY, 10)
    time[0] = 10.0
    with pytest.raises(LeaseNeeded):
        budgets.reserve(KEY, 1)
    held.settle(10)  # calls under way go on


def test_a_spent_limit_is_refused_without_the_store() -> None:
    budgets, _ = leased(30)
    budgets.replace_settled({"k": 1000}, {})
    with pytest.raises(OutOfCredit, match="Key limit exceeded"):
        budgets.reserve(KEY, 0)
    with pytest.raises(OutOfCredit):
        budgets.check(KEY)


def test_what_other_databases_have_counts() -> None:
    budgets, _ = leased(30)
    lease = budgets.account("k").lease
    assert lease is not None
    request = lease.request("k", 1, 0)
    lease.apply(request, LeaseAnswer(spent=990, others=0, elsewhere=990), 0.0, 5.0)
    assert budgets.spent("k") == 990
    budgets.reserve(KEY, 10).settle(10)
    with pytest.raises(OutOfCredit):
        budgets.reserve(KEY, 1)


def test_a_cost_that_reached_the_database_is_no_longer_held() -> None:
    budgets, _ = leased(100)
    account = budgets.account("k")
    lease = account.lease
    assert lease is not None
    budgets.reserve(KEY, 20).settle(15)
    budgets.reserve(KEY, 20)
    assert (lease.held, lease.pending, account.free) == (100, 15, 65)
    budgets.replace_settled({"k": 10}, {"k": 5})
    assert (lease.held, lease.pending, account.free) == (90, 5, 65)
    assert lease.request("k", 1, 0).spent == 10
    budgets.charge(KEY, 7)  # nothing was reserved for it
    assert account.free == 58


def test_a_cost_above_its_reservation_is_held_all_the_same() -> None:
    budgets, _ = leased(10)
    account = budgets.account("k")
    lease = account.lease
    assert lease is not None
    budgets.reserve(KEY, 10).settle(25)
    assert account.free == -15
    lease.cover(account.reserved)
    assert (lease.held, account.free) == (25, 0)


def test_an_idle_key_gives_all_back_and_a_used_one_what_is_above_a_grant() -> None:
    lease = Lease(1000)
    lease.held, lease.chunk, lease.pending, lease.used_at = 100, 20, 5, 1.0
    lease.trim(10, 1.5)
    assert lease.held == 35
    lease.trim(10, 1.0 + IDLE_S)
    assert lease.held == 35, "a call is under way"
    lease.trim(0, 1.0 + IDLE_S)
    assert lease.held == 5
