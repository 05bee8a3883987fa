"""What a request costs that was under way when the gateway was killed."""

import pytest
from msgspec.structs import replace

from trunkline.ledger.config import InterruptedPolicy
from trunkline.ledger.interrupted import interrupted
from trunkline.model.endpoint import Price
from trunkline.model.intent import Intent

INTENT = Intent(
    id="gen-1",
    created=1.7e9,
    key_id="k",
    api_type="messages",
    streamed=True,
    model="a/m",
    provider="Acme",
    endpoint="acme/fp8",
    price=Price(prompt=3, completion=5, cache_write=4, request=100),
    tokens=20,
    bound=40,
    output=7,
    parent_id="gen-0",
    purpose="judge",
)


@pytest.mark.parametrize(
    ("policy", "cost"),
    [("estimate", 20 * 3 + 100), ("reserve", 40 * 4 + 7 * 5 + 100), ("free", 0)],
)
def test_by_policy(policy: InterruptedPolicy, cost: int) -> None:
    record = interrupted(INTENT, policy)
    assert (record.cost, record.cost_known, record.status) == (cost, True, "interrupted")
    assert (record.usage.prompt, record.usage.completion, record.usage.estimated) == (20, 0, True)
    assert (record.id, record.created, record.key_id) == ("gen-1", 1.7e9, "k")
    assert (record.model, record.provider, record.endpoint) == ("a/m", "Acme", "acme/fp8")
    assert (record.api_type, record.streamed, record.parent_id, record.purpose) == ("messages", True, "gen-0", "judge")


@pytest.mark.parametrize("policy", ["estimate", "reserve"])
def test_an_unknown_price_is_named(policy: InterruptedPolicy) -> None:
    record = interrupted(replace(INTENT, price=Price()), policy)
    assert (record.cost, record.cost_known) == (0, False)
