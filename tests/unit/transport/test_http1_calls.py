"""How calls end, and what they leave: the pool, the limits of time, cancellation, the client's side."""

import asyncio
import time

import pytest
from upstream_kit import BODY, HEAD, pair, pumped, request, transport, until

from trunkline.model.errors import (
    TrunklineError,
    UpstreamOverloaded,
    UpstreamTimeout,
    UpstreamTruncated,
    UpstreamUnreachable,
)
from trunkline.testing.scripted import (
    Close,
    Hang,
    Pause,
    ReadHead,
    Replay,
    Rst,
    Script,
    ScriptedUpstream,
    Send,
    Sse,
    Status,
)
from trunkline.transport.client import Http1Transport
from trunkline.transport.connection import Connection
from trunkline.transport.limits import Limits
from trunkline.transport.pool import Pool

HEADED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


async def ask(ours: Http1Transport, upstream: ScriptedUpstream, **timeouts: float) -> bytes:
    return await (await ours.send(request(upstream.origin, BODY, HEAD, **timeouts))).read(100_000)


# Stale connections.


@pytest.mark.parametrize("ending", [Close(), Rst()], ids=["fin", "rst"])
async def test_a_pooled_connection_that_closes_unanswered_is_replaced_once(ending: Close | Rst) -> None:
    async with pair(Status(200, {}, b"1"), ending, Status(200, {}, b"2")) as (ours, upstream):
        assert await ask(ours, upstream) == b"1"
        assert await ask(ours, upstream) == b"2"
        assert (ours.stale_retries, upstream.accepted, len(upstream.seen)) == (1, 2, 3)


async def test_and_not_twice() -> None:
    async with pair(Status(200), Close()) as (ours, upstream):
        await ask(ours, upstream)
        with pytest.raises(UpstreamUnreachable):
            await ask(ours, upstream)
        assert len(upstream.seen) == 3


async def test_it_is_replaced_by_a_new_one_though_others_are_idle() -> None:
    slow: Script = [Pause(0.1), Status(200)]
    async with pair(slow, slow, Rst(), Status(200)) as (ours, upstream):
        await asyncio.gather(ask(ours, upstream), ask(ours, upstream))
        await ask(ours, upstream)
        assert upstream.accepted == 3


async def test_it_is_replaced_at_the_limit_of_the_pool_too() -> None:
    slow: Script = [Pause(0.1), Status(200)]
    async with pair(slow, slow, Rst(), Status(200), max_connections=2) as (ours, upstream):
        await asyncio.gather(ask(ours, upstream), ask(ours, upstream))
        await asyncio.gather(ask(ours, upstream), ask(ours, upstream))
        assert ours.stale_retries == 1


async def test_a_connection_that_began_to_answer_is_not_replaced() -> None:
    async with pair(Status(200), [Send(b"HTTP/1.1 2"), Rst()]) as (ours, upstream):
        await ask(ours, upstream)
        with pytest.raises(UpstreamTruncated):
            await ask(ours, upstream)
        assert ours.stale_retries == 0


@pytest.mark.parametrize("rest", [[Close()], [Send(b"HTTP/1.1 408 Too late\r\n\r\n")]], ids=["eof", "data"])
async def test_an_idle_connection_on_which_something_happens_is_dropped(rest: list[Close | Send]) -> None:
    async with pair([Status(200), Pause(0.05), *rest], Status(200)) as (ours, upstream):
        await ask(ours, upstream)
        assert ours.connections_idle == 1
        await until(lambda: ours.connections_idle == 0)
        await ask(ours, upstream)
        assert (ours.stale_retries, upstream.accepted) == (0, 2)


async def test_idle_connections_expire() -> None:
    async with pair(Status(200), keepalive_s=0.2) as (ours, upstream):
        await ask(ours, upstream)
        await asyncio.sleep(0.1)
        assert ours.connections_idle == 1
        await until(lambda: ours.connections_open == 0 and upstream.open == 0)
        await until(lambda: ours.deadlines._timer is None)


# The pool.


async def test_the_last_idle_is_the_first_used() -> None:
    slow: Script = [Pause(0.05), Status(200)]
    async with pair(slow, slow, slow) as (ours, upstream):
        await asyncio.gather(*(ask(ours, upstream) for _ in range(3)))
        (pool,) = ours._pools.values()
        last = pool.idle[-1]
        for _ in range(3):
            await ask(ours, upstream)
            assert pool.idle[-1] is last


async def test_no_more_connections_than_the_limit() -> None:
    async with pair([Pause(0.03), Status(200, {}, b"ok")], max_connections=2) as (ours, upstream):
        answers = await asyncio.gather(*(ask(ours, upstream) for _ in range(8)))
        assert answers == [b"ok"] * 8
        assert upstream.accepted == 2


async def test_the_first_to_wait_is_the_first_to_go() -> None:
    order: list[int] = []
    async with pair([Pause(0.02), Status(200)], max_connections=1) as (ours, upstream):

        async def one(number: int) -> None:
            await ask(ours, upstream)
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(5)))
    assert order == [0, 1, 2, 3, 4]


async def test_a_slot_of_a_closed_connection_goes_to_who_waits() -> None:
    async with pair([Pause(0.02), Status(200, {"connection": "close"})], max_connections=1) as (ours, upstream):
        await asyncio.gather(*(ask(ours, upstream) for _ in range(4)))
        assert upstream.accepted == 4


async def test_no_connection_in_time() -> None:
    async with pair([Pause(0.6), Status(200)], max_connections=1) as (ours, upstream):
        first = asyncio.ensure_future(ask(ours, upstream))
        await asyncio.sleep(0.05)
        begun = time.monotonic()
        with pytest.raises(UpstreamOverloaded):
            await ask(ours, upstream, pool_wait_s=0.2)
        assert 0.2 <= time.monotonic() - begun < 0.5
        await first
        await ask(ours, upstream)


async def test_a_failed_connection_frees_its_slot() -> None:
    async with transport(max_connections=1) as ours:
        for _ in range(3):
            with pytest.raises(UpstreamUnreachable):
                await ours.send(request("http://127.0.0.1:1", pool_wait_s=0.2))


# Cancellation.


@pytest.mark.parametrize("script", [[Hang()], [Send(HEADED[:9]), Hang()]], ids=["before", "inside"])
async def test_cancelling_send_closes_and_frees(script: list[Send | Hang]) -> None:
    async with pair(script, Status(200), max_connections=1) as (ours, upstream):
        call = asyncio.ensure_future(ours.send(request(upstream.origin)))
        await until(lambda: upstream.seen)
        await asyncio.sleep(0.02)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: upstream.seen[0].hung_up_at is not None, 0.25)
        await ask(ours, upstream, pool_wait_s=0.2)


async def test_cancelling_who_waits_for_a_connection() -> None:
    async with pair([Pause(0.1), Status(200)], max_connections=1) as (ours, upstream):
        calls = [asyncio.ensure_future(ask(ours, upstream)) for _ in range(4)]
        await asyncio.sleep(0.03)
        calls[1].cancel()
        done = await asyncio.gather(*calls, return_exceptions=True)
        assert [type(each).__name__ for each in done] == ["bytes", "CancelledError", "bytes", "bytes"]


async def test_cancelling_who_was_just_given_a_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    async with pair([Pause(0.02), Status(200)], max_connections=1) as (ours, upstream):
        first = asyncio.ensure_future(ask(ours, upstream))
        second = asyncio.ensure_future(ask(ours, upstream))
        put = Pool[Connection].put

        def put_and_cancel(pool: Pool[Connection], connection: Connection) -> None:
            put(pool, connection)
            second.cancel()  # it has been given, and not been seen

        await until(lambda: any(pool.waiters for pool in ours._pools.values()))
        monkeypatch.setattr(Pool, "put", put_and_cancel)
        await first
        await asyncio.wait([second])
        assert second.cancelled()
        await ask(ours, upstream, pool_wait_s=0.3)


async def test_cancelling_while_connecting() -> None:
    async with ScriptedUpstream(greeting=[Hang()]) as upstream, transport(max_connections=1) as ours:
        origin = f"https://localhost:{upstream.port}"
        for _ in range(2):
            call = asyncio.ensure_future(ours.send(request(origin, pool_wait_s=0.2)))
            await until(lambda: upstream.open == 1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
            await until(lambda: upstream.open == 0)


async def test_cancelling_pump_closes() -> None:
    async with pair([Send(HEADED + b"2\r\nhi\r\n"), Hang()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        task = asyncio.ensure_future(response.read(100))
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await until(lambda: upstream.seen[0].hung_up_at is not None, 0.25)
        assert not ours.active


# Time.


async def late(ours: Http1Transport, upstream: ScriptedUpstream, **timeouts: float) -> tuple[UpstreamTimeout, float]:
    begun = time.monotonic()
    with pytest.raises(UpstreamTimeout) as caught:
        await (await ours.send(request(upstream.origin, BODY, HEAD, **timeouts))).read(1000)
    assert not ours.active
    await until(lambda: upstream.open == 0)
    return caught.value, time.monotonic() - begun


@pytest.mark.parametrize(
    "script", [[Hang()], [Send(HEADED, range(len(HEADED)), 0.1), Hang()]], ids=["nothing", "slow head"]
)
async def test_first_byte(script: list[Send | Hang]) -> None:
    async with pair(script) as (ours, upstream):
        error, took = await late(ours, upstream, first_byte_s=0.2)
        assert error.message == "no answer within 0.2 s"
        assert error.maybe_billed
        assert 0.2 <= took < 0.9


async def test_idle() -> None:
    async with pair([Send(HEADED + b"2\r\nhi\r\n"), Hang()]) as (ours, upstream):
        error, took = await late(ours, upstream, idle_s=0.2)
        assert error.message == "no byte for 0.2 s"
        assert error.maybe_billed
        assert 0.2 <= took < 0.9


async def test_a_slow_body_is_not_idle() -> None:
    async with pair(Replay(b"x" * 8, cuts=range(8), pause_s=0.1)) as (ours, upstream):
        assert await ask(ours, upstream, idle_s=0.35) == b"x" * 8


async def test_total() -> None:
    async with pair(Replay(b"x" * 80, cuts=range(80), pause_s=0.05)) as (ours, upstream):
        error, took = await late(ours, upstream, idle_s=0.5, total_s=0.4)
        assert "within 0.4 s" in error.message
        assert 0.4 <= took < 1.0


async def test_an_upload_that_stalls() -> None:
    async with pair([ReadHead(), Hang()]) as (ours, upstream):
        with pytest.raises(UpstreamTimeout) as caught:
            await ours.send(request(upstream.origin, b"x" * 30_000_000, idle_s=0.3, first_byte_s=0.1))
        assert "was not taken" in caught.value.message
        assert not caught.value.maybe_billed


async def test_a_call_after_a_quiet_time_has_its_limits() -> None:
    async with pair(Status(200), [Hang()]) as (ours, upstream):
        await ask(ours, upstream)
        await until(lambda: not ours.deadlines.frequent)
        _, took = await late(ours, upstream, first_byte_s=0.2)
        assert took < 0.9


async def test_many_calls_have_one_timer() -> None:
    async with pair([Pause(0.2), Status(200)]) as (ours, upstream):
        calls = [asyncio.ensure_future(ask(ours, upstream)) for _ in range(20)]
        await until(lambda: len(ours.active) == 20)
        timers = [each for each in asyncio.get_running_loop()._scheduled if not each.cancelled()]  # type: ignore[attr-defined]
        ours_only = [each for each in timers if "Deadlines" in repr(each)]
        assert len(ours_only) == 1
        await asyncio.gather(*calls)


# The client's side.


async def test_pausing_stops_the_upstream_and_is_not_idleness() -> None:
    body = b"x" * 40_000_000
    got = 0
    async with pair(Replay(body, cuts=range(0, len(body), 100_000))) as (ours, upstream):
        response = await ours.send(request(upstream.origin, idle_s=0.3))

        def count(chunk: bytes) -> None:
            nonlocal got
            if not got:
                response.pause()
            got += len(chunk)

        pump = asyncio.ensure_future(response.pump(count))
        await asyncio.sleep(0.8)
        held, sent = got, upstream.sent
        assert held < 1_000_000
        assert sent < len(body) / 2, "the rest fits no buffer"
        await asyncio.sleep(0.1)
        assert (got, upstream.sent) == (held, sent)
        response.resume()
        await pump
        assert got == len(body)
        assert ours.connections_idle == 1


async def test_a_body_that_nobody_asked_for_is_bounded() -> None:
    body = b"x" * 40_000_000
    async with pair(Replay(body, cuts=range(0, len(body), 100_000))) as (ours, upstream):
        response = await ours.send(request(upstream.origin, idle_s=0.2))
        await asyncio.sleep(0.5)
        assert response._size < 1_000_000
        assert upstream.sent < len(body) / 2
        assert sum(map(len, await pumped(response))) == len(body)


async def test_an_error_of_the_callers_closes_and_comes_back() -> None:
    async with pair([Send(HEADED + b"2\r\nhi\r\n"), Pause(0.05), Send(b"2\r\nho\r\n"), Hang()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        pieces = iter([None, ValueError("mine")])

        def fail(chunk: bytes) -> None:
            if (error := next(pieces)) is not None:
                raise error

        with pytest.raises(ValueError, match="mine"):
            await response.pump(fail)
        await until(lambda: upstream.open == 0)


async def test_abort_ends_pump() -> None:
    async with pair([Send(HEADED + b"2\r\nhi\r\n"), Hang()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        asyncio.get_running_loop().call_later(0.05, response.abort)
        with pytest.raises(UpstreamTruncated):
            await response.pump(lambda chunk: None)
        response.abort()
        response.release()
        await until(lambda: upstream.open == 0, 0.25)


async def test_abort_within_on_chunk() -> None:
    async with pair([Send(HEADED + b"2\r\nhi\r\n"), Hang()]) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        with pytest.raises(UpstreamTruncated):
            await response.pump(lambda chunk: response.abort())
        assert not ours.active


async def test_a_call_that_is_over_cannot_disturb_the_next() -> None:
    async with pair(Status(200, {}, b"1"), [Pause(0.1), Status(200, {}, b"2")]) as (ours, upstream):
        first = await ours.send(request(upstream.origin))
        assert await first.read(10) == b"1"
        second = asyncio.ensure_future(ask(ours, upstream))
        await asyncio.sleep(0.02)
        first.pause()
        first.abort()
        first.release()
        assert await second == b"2"
        assert upstream.accepted == 1


async def test_release_keeps_the_connection_if_the_end_is_near() -> None:
    script: Script = [Send(HEADED + b"2\r\nhi\r\n"), Pause(0.05), Send(b"2\r\nho\r\n0\r\n\r\n")]
    async with pair(script, Status(200)) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        pieces: list[bytes] = []

        def first(chunk: bytes) -> None:
            pieces.append(chunk)
            response.pause()
            response.release()

        await asyncio.wait_for(response.pump(first), 0.04)
        await until(lambda: ours.connections_idle == 1)
        assert pieces == [b"hi"]
        await ask(ours, upstream)
        assert upstream.accepted == 1


async def test_release_while_pump_waits() -> None:
    async with pair([Send(HEADED + b"2\r\nhi\r\n"), Hang()], limits=Limits(drain_s=0.2)) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        asyncio.get_running_loop().call_later(0.05, response.release)
        await response.pump(lambda chunk: None)
        assert len(ours.active) == 1
        await until(lambda: not ours.active and upstream.open == 0)
        assert ours.connections_idle == 0


async def test_release_of_a_long_body_closes() -> None:
    body = b"x" * 40_000_000
    async with pair(Replay(body, cuts=range(0, len(body), 100_000))) as (ours, upstream):
        response = await ours.send(request(upstream.origin))
        response.release()
        await until(lambda: upstream.open == 0)
        assert upstream.sent < len(body) / 2


# The end.


@pytest.mark.parametrize(("where", "script"), [("head", [Hang()]), ("body", [Send(HEADED), Hang()])])
async def test_close_ends_all(where: str, script: Script) -> None:
    async with pair(script, max_connections=1) as (ours, upstream):
        calls = [asyncio.ensure_future(ask(ours, upstream)) for _ in range(3)]
        await until(lambda: upstream.seen)
        await asyncio.sleep(0.02)
        await ours.close()
        ended = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 0.5)
        expected = UpstreamUnreachable if where == "head" else UpstreamTruncated
        assert [type(each) for each in ended] == [expected, UpstreamUnreachable, UpstreamUnreachable]
        assert all("stopping" in each.message for each in ended if isinstance(each, TrunklineError))
        with pytest.raises(UpstreamUnreachable):
            await ours.send(request(upstream.origin))
        await until(lambda: upstream.open == 0)


async def test_close_ends_who_is_connecting() -> None:
    async with ScriptedUpstream(greeting=[Hang()]) as upstream, transport() as ours:
        call = asyncio.ensure_future(ours.send(request(f"https://localhost:{upstream.port}")))
        await until(lambda: upstream.open == 1)
        await ours.close()
        with pytest.raises(UpstreamUnreachable, match="stopping"):
            await asyncio.wait_for(call, 0.5)


async def test_a_storm_leaves_nothing() -> None:
    """Calls cancelled at every moment, over a small pool; `transport` counts the slots at the end."""
    scripts: list[Script] = [
        [Status(200, {}, b"ok")],
        [Pause(0.004), Status(200)],
        [Rst()],
        [Sse(b"x" * 50, cuts=range(50))],
        [Send(HEADED), Close()],
    ]
    turn = iter(range(10**6))
    async with (
        ScriptedUpstream(choose=lambda seen: scripts[next(turn) % len(scripts)]) as upstream,
        transport(max_connections=3) as ours,
    ):

        async def one(number: int) -> None:
            await asyncio.sleep(number % 17 / 1000)
            async with asyncio.timeout(0.001 * (number % 23) + 0.0005):
                await ask(ours, upstream)

        ended = await asyncio.gather(*(one(number) for number in range(300)), return_exceptions=True)
        unexpected = [each for each in ended if isinstance(each, Exception)]
        assert all(isinstance(each, TrunklineError | TimeoutError) for each in unexpected), unexpected
        assert len(ours.connections) <= 3
        assert not ours.active
        await ours.close()


def test_a_storm_under_uvloop() -> None:
    """Which does not tell a protocol that it was lost when its making was cancelled."""
    uvloop = pytest.importorskip("uvloop")
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(test_a_storm_leaves_nothing())


async def test_a_connection_that_closes_before_it_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def closing(address: object, connection: Connection, *_: object) -> None:
        connection.eof_received()

    monkeypatch.setattr("trunkline.transport.connecting.connect", closing)
    async with transport(max_connections=1) as ours:
        for _ in range(2):
            with pytest.raises(UpstreamUnreachable, match="connection was closed"):
                await ours.send(request("http://upstream.test", pool_wait_s=0.2))
