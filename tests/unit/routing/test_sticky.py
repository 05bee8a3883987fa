"""Where conversations were: for how long, how many, and whose."""

from typing import Any

import msgspec
import pytest

from trunkline.dialects.registry import CLIENTS
from trunkline.model.endpoint import Model
from trunkline.routing.sticky_routing import MAX_TTL_S, MIN_TTL_S, Conversations, conversation_digest, sticky_ttl_s

SMALL, LARGE = (Model(id=f"acme/{name}", name=name, endpoints=()) for name in ("small", "large"))


def test_route_is_sticky_until_it_expires() -> None:
    kept = Conversations()
    kept.record("a", "acme", until=100.0)
    assert kept.find("a", 99.9) == "acme"
    assert kept.find("b", 99.9) is None
    assert kept.find("a", 100.0) is None
    assert len(kept) == 0, "and nothing is left of it"


def test_next_response_updates_and_extends_the_route() -> None:
    kept = Conversations()
    kept.record("a", "acme", until=100.0)
    kept.record("a", "beta", until=200.0)
    assert kept.find("a", 150.0) == "beta"
    assert len(kept) == 1


def test_least_recent_route_is_removed_when_full() -> None:
    kept = Conversations(max_conversations=3)
    for name in "abc":
        kept.record(name, "acme", until=100.0)
    kept.record("a", "acme", until=100.0)
    kept.record("d", "acme", until=100.0)
    assert [name for name in "abcd" if kept.find(name, 0.0)] == ["a", "c", "d"]
    assert len(kept) == 3


def test_number_of_routes_is_bounded() -> None:
    kept = Conversations(max_conversations=10)
    for number in range(1000):
        kept.record(str(number), "acme", until=100.0)
        assert len(kept) <= 10


def test_conversation_digest_depends_on_key_and_model() -> None:
    found = {
        conversation_digest(key, model, conversation)
        for key in ("one", "two")
        for model in (SMALL, LARGE)
        for conversation in (b"sa", b"sb")
    }
    assert len(found) == 8
    assert all(len(one) == 32 for one in found)
    assert conversation_digest("one", SMALL, b"sa") == conversation_digest(
        "one", Model(id="acme/small", name="x", endpoints=()), b"sa"
    )


def lasting(dialect: str, **said: Any) -> float:
    body = {"model": "acme/small", **said}
    return sticky_ttl_s(CLIENTS[dialect].parse(msgspec.json.encode(body)))


def marked(ttl: str | None) -> dict[str, Any]:
    mark = {"type": "ephemeral"} if ttl is None else {"type": "ephemeral", "ttl": ttl}
    return {"type": "text", "text": "Hi", "cache_control": mark}


@pytest.mark.parametrize(
    ("ttls", "seconds"),
    [([], MIN_TTL_S), ([None], MIN_TTL_S), (["5m"], MIN_TTL_S), (["1h"], 3600), (["5m", "1h", "5m"], 3600)],
)
@pytest.mark.parametrize("dialect", ["chat", "messages"])
def test_ttl_is_the_longest_cache_ttl_at_least_ten_minutes(
    dialect: str, ttls: list[str | None], seconds: float
) -> None:
    content = [marked(ttl) for ttl in ttls] or "Hi"
    assert lasting(dialect, messages=[{"role": "user", "content": content}], max_tokens=10) == seconds


def test_a_mark_on_the_system_or_a_tool_counts_too() -> None:
    messages = [{"role": "user", "content": "Hi"}]
    assert lasting("messages", messages=messages, max_tokens=10, system=[marked("1h")]) == 3600
    tool = {"name": "look", "input_schema": {"type": "object"}, "cache_control": marked("1h")["cache_control"]}
    assert lasting("messages", messages=messages, max_tokens=10, tools=[tool]) == 3600


def test_ttl_of_days_is_cut() -> None:
    assert lasting("responses", input="Hi", cache_of_theirs={"ttl": "99h"}) == MAX_TTL_S


def test_text_that_mentions_a_ttl_is_ignored() -> None:
    assert lasting("chat", messages=[{"role": "user", "content": '"ttl": "1h"'}]) == MIN_TTL_S
