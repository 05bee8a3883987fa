"""Which credentials may be used now (U18, U19)."""

import logging

import pytest

from trunkline.dialects.common.upstream_errors import MAX_REST_S
from trunkline.engine.credentials import DENIED_FIRST_S, NONE, REST_UNTOLD_S, Credentials
from trunkline.model.errors import UpstreamDenied, UpstreamFailed, UpstreamLimited
from trunkline.providers.provider import Credential, Provider

ONE, TWO, THREE = (Credential(id=name, secret=f"secret-of-{name}") for name in ("one", "two", "three"))


def provider(*credentials: Credential, slug: str = "acme") -> Provider:
    return Provider(
        slug=slug, name=slug, base_url="https://api.acme.example/v1", dialect="chat", credentials=credentials
    )


class Fixture:
    def __init__(self, *credentials: Credential) -> None:
        self.now = 1000.0
        self.health = Credentials(lambda: self.now)
        self.provider = provider(*credentials)

    def pick(self) -> str:
        return self.health.pick(self.provider).id

    def limited(self, credential: Credential, wait: float | None = None) -> None:
        self.health.failed(self.provider, credential, UpstreamLimited("x", retry_after_s=wait, upstream_status=429))

    def denied(self, credential: Credential) -> None:
        self.health.failed(self.provider, credential, UpstreamDenied("x", upstream_status=401))


def test_in_turn() -> None:
    world = Fixture(ONE, TWO, THREE)
    assert [world.pick() for _ in range(7)] == ["one", "two", "three", "one", "two", "three", "one"]


def test_turns_are_of_one_provider() -> None:
    world = Fixture(ONE, TWO)
    other = provider(ONE, TWO, slug="beta")
    assert world.pick() == "one"
    assert world.health.pick(other).id == "one"
    world.limited(ONE, 50)
    assert {world.health.pick(other).id for _ in range(4)} == {"one", "two"}, "a rest is of one provider too"


def test_one_and_none() -> None:
    assert [Fixture(ONE).pick() for _ in range(3)] == ["one"] * 3
    assert Fixture().health.pick(provider()) is NONE


def test_a_limited_one_rests_as_told() -> None:
    world = Fixture(ONE, TWO)
    world.limited(ONE, 30)
    assert [world.pick() for _ in range(4)] == ["two"] * 4
    world.now += 29.9
    assert {world.pick() for _ in range(4)} == {"two"}
    world.now += 0.2
    assert {world.pick() for _ in range(4)} == {"one", "two"}


@pytest.mark.parametrize(("told", "rest"), [(None, REST_UNTOLD_S), (0.5, 0.5), (10**9, MAX_REST_S)])
def test_how_long(told: float | None, rest: float) -> None:
    world = Fixture(ONE)
    world.limited(ONE, told)
    with pytest.raises(UpstreamLimited) as caught:
        world.pick()
    assert caught.value.retry_after_s == pytest.approx(rest)
    world.now += rest
    assert world.pick() == "one"


def test_told_to_wait_no_time_it_does_not_rest() -> None:
    world = Fixture(ONE)
    world.limited(ONE, 0)
    assert world.pick() == "one"


def test_all_rest_the_shortest_wait_is_named() -> None:
    world = Fixture(ONE, TWO)
    world.limited(ONE, 30)
    world.limited(TWO, 7)
    with pytest.raises(UpstreamLimited) as caught:
        world.pick()
    assert caught.value.retry_after_s == pytest.approx(7)
    assert caught.value.upstream_status == 429


def test_a_late_answer_does_not_cut_a_rest_short() -> None:
    world = Fixture(ONE)
    world.limited(ONE, 60)
    world.limited(ONE, None)
    world.health.served(world.provider, ONE)  # a call that began before the limit was reached
    world.now += 30
    with pytest.raises(UpstreamLimited):
        world.pick()


def test_a_refused_one_rests_longer_each_time(caplog: pytest.LogCaptureFixture) -> None:
    world = Fixture(ONE)
    with caplog.at_level(logging.ERROR):
        rest = DENIED_FIRST_S
        for _ in range(12):
            world.denied(ONE)
            with pytest.raises(UpstreamDenied):
                world.pick()
            world.now += min(rest, MAX_REST_S) - 0.1
            with pytest.raises(UpstreamDenied):
                world.pick()
            world.now += 0.1
            assert world.pick() == "one"
            rest *= 2
    assert world.health.quarantined == 12
    assert "credential one of provider acme was refused with status 401" in caplog.text
    assert ONE.secret not in caplog.text


def test_once_accepted_it_begins_anew(caplog: pytest.LogCaptureFixture) -> None:
    world = Fixture(ONE)
    for _ in range(3):
        world.denied(ONE)
        world.now += MAX_REST_S
    world.health.served(world.provider, ONE)
    world.denied(ONE)
    world.now += DENIED_FIRST_S
    assert world.pick() == "one"
    assert "refused" in caplog.text


def test_refused_and_limited_together_are_limited() -> None:
    world = Fixture(ONE, TWO)
    world.denied(ONE)
    world.limited(TWO, 5)
    with pytest.raises(UpstreamLimited) as caught:
        world.pick()
    assert caught.value.retry_after_s == pytest.approx(5)


def test_other_errors_say_nothing_of_a_credential() -> None:
    world = Fixture(ONE)
    world.health.failed(world.provider, ONE, UpstreamFailed("x", upstream_status=500))
    assert world.pick() == "one"
    assert world.health.quarantined == 0


def test_served_without_a_history() -> None:
    world = Fixture(ONE, TWO)
    world.health.served(world.provider, ONE)
    world.limited(ONE, 5)
    world.health.served(world.provider, TWO)
    assert world.pick() == "two"
