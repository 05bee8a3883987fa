"""Clients that go away or do not read, and what their providers see of it: docs/reference/reliability.md, C8, C9 and
U36."""

# ruff: noqa: N802 - names begin with the ids of the specification

import asyncio
import functools
import json
from collections.abc import Callable
from typing import Any

import openai
import pytest
from faults_upstream import (
    DONE,
    HELLO,
    JSON,
    ROLE,
    STOP,
    STREAM,
    STREAM_HEAD,
    THERE,
    USED,
    Forever,
    check_whole,
    chunk,
    event,
    eventually,
    good,
)
from faults_wire import Gateway, Wire, ask, chat, post

from trunkline.model.record import GenerationRecord
from trunkline.testing.gateway import KEY, MODEL, RunningGateway
from trunkline.testing.scripted import Action, Exchange, Hang, Pause, Replay, ScriptedUpstream, Send, Sse

RELAY = pytest.mark.parametrize("relay", ["auto", "never"], ids=["relayed", "translated"])
HALF_JSON = Send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 5000\r\n\r\n" + JSON[:90])
LONG = {"first_byte_s": 30.0, "first_content_s": 30.0, "idle_s": 30.0, "content_idle_s": 30.0, "total_s": 60.0}


async def one_record(running: RunningGateway) -> GenerationRecord:
    await eventually(lambda: not running.connections and not running.app.state.metrics.in_flight)
    (record,) = await running.records()
    return record


MOMENTS: dict[str, list[Action]] = {
    "before-head": [Hang()],
    "before-first-token": [Send(STREAM_HEAD + chunk(ROLE)), Hang()],
    "after-comment": [Send(STREAM_HEAD + chunk(b": thinking\n\n")), Hang()],
    "in-content": [Send(STREAM_HEAD + chunk(ROLE + HELLO)), Hang()],
    "mid-event": [Send(STREAM_HEAD + chunk(ROLE + HELLO + THERE[:40])), Hang()],
    "mid-chunk": [Send(STREAM_HEAD + chunk(ROLE + HELLO) + b"ff\r\ndata"), Hang()],
    "before-done": [Send(STREAM_HEAD + chunk(ROLE + HELLO + THERE + STOP + USED)), Hang()],
    "flowing": [Send(STREAM_HEAD + chunk(ROLE)), Forever(HELLO, 0.01)],
}


@RELAY
@pytest.mark.parametrize("how", ["fin", "rst"])
@pytest.mark.parametrize("moment", MOMENTS, ids=lambda moment: f"C9-{moment}")
async def test_a_client_that_leaves_a_stream_takes_its_provider_with_it(
    gateway: Gateway, moment: str, how: str, relay: str
) -> None:
    async with (
        ScriptedUpstream(MOMENTS[moment]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG, server={"relay": relay}) as running,
    ):
        loop = asyncio.get_running_loop()
        wire = await Wire.open(running.port)
        await wire.send(post(chat(stream=True)))
        await eventually(lambda: bool(upstream.seen) and (bool(upstream.seen[0].sent) or moment == "before-head"))
        said = "Hello" if moment in ("in-content", "mid-event", "mid-chunk", "before-done", "flowing") else ""
        if said:
            await asyncio.wait_for(wire.reader.readuntil(b"Hello"), 5)
        left = loop.time()
        if how == "rst":
            wire.reset()
        else:
            await wire.close()
        await eventually(lambda: upstream.seen[0].hung_up_at is not None)
        gone = upstream.seen[0].hung_up_at
        assert gone is not None
        assert gone - left < 1.0, "U36 wants 250 ms, on a machine that does nothing else"
        record = await one_record(running)
        assert record.status == "cancelled"
        assert record.error_type == "client_closed"
        assert record.http_status == 499
        if moment == "before-done":
            assert (record.usage.prompt, record.usage.completion) == (7, 3)
            assert not record.usage.estimated
        elif said:
            assert record.usage.estimated
            assert record.usage.completion > 0
            assert record.cost > 0


@pytest.mark.parametrize(
    "script", [[Hang()], [HALF_JSON, Hang()], [Send(STREAM_HEAD + chunk(ROLE + HELLO)), Hang()]],
    ids=["C9-before-head", "C9-in-body", "C9-in-a-stream-for-json"],
)  # fmt: skip
async def test_a_client_that_leaves_before_its_body_takes_its_provider_with_it(
    gateway: Gateway, script: list[Action]
) -> None:
    async with ScriptedUpstream(script) as upstream, gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG) as running:
        wire = await Wire.open(running.port)
        await wire.send(post(chat(stream=False)))
        await eventually(lambda: bool(upstream.seen) and (bool(upstream.seen[0].sent) or len(script) == 1))
        await asyncio.sleep(0.02)
        await wire.close()
        await eventually(lambda: upstream.seen[0].hung_up_at is not None)
        assert (await one_record(running)).status == "cancelled"


@pytest.mark.parametrize("part", [1, 20, 80, 150, 215], ids=lambda part: f"C9-{part}-bytes")
async def test_a_client_that_leaves_before_its_request_is_whole_costs_nothing(gateway: Gateway, part: int) -> None:
    async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:
        request = post(chat(stream=True))
        assert part < len(request)
        wire = await Wire.open(running.port)
        await wire.send(request[:part])
        await asyncio.sleep(0.05)
        await wire.close()
        await eventually(lambda: not running.connections)
        assert await running.records() == []
        assert upstream.seen == []


async def test_C9_a_client_that_leaves_while_a_connection_is_made(gateway: Gateway) -> None:
    async with (
        ScriptedUpstream(greeting=[Hang()]) as upstream,
        gateway(
            {"a": f"{upstream.origin.replace('http:', 'https:')}/v1"}, timeouts={**LONG, "connect_s": 20.0}
        ) as running,
    ):
        wire = await Wire.open(running.port)
        await wire.send(post(chat(stream=True)))
        await eventually(lambda: upstream.accepted == 1)
        await wire.close()
        assert (await one_record(running)).status == "cancelled"
        await eventually(lambda: running.network.connections_open == 0)


@pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])
async def test_C9_a_client_that_leaves_is_not_taken_to_the_next_endpoint(gateway: Gateway, stream: bool) -> None:
    async with (
        ScriptedUpstream([Hang()]) as bad,
        good() as other,
        gateway({"bad": f"{bad.origin}/v1", "good": f"{other.origin}/v1"}, timeouts=LONG) as running,
    ):
        wire = await Wire.open(running.port)
        await wire.send(post(chat(stream=stream)))
        await eventually(lambda: bool(bad.seen))
        await wire.close()
        assert (await one_record(running)).status == "cancelled"
        await asyncio.sleep(0.05)
        assert other.seen == []


@RELAY
async def test_C9_leaving_at_any_moment_leaves_one_record_and_nothing_else(gateway: Gateway, relay: str) -> None:
    """A hundred clients at a hundred moments of the same answer."""
    script: list[Action] = [Pause(0.02), Sse(STREAM, range(0, len(STREAM), 60), 0.004)]
    async with (
        ScriptedUpstream(script) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, server={"relay": relay}) as running,
    ):

        async def visit(number: int) -> None:
            wire = await Wire.open(running.port)
            await wire.send(post(chat(stream=number % 4 != 0)))
            await asyncio.sleep(number * 0.0015)
            if number % 2:
                wire.reset()
            else:
                await wire.close()

        await asyncio.gather(*(visit(number) for number in range(100)))
        await eventually(lambda: not running.connections and not running.app.state.metrics.in_flight)
        records = await running.records()
        assert {record.status for record in records} <= {"cancelled", "completed"}
        assert len({record.id for record in records}) == len(records)
        assert len(upstream.seen) <= len(records) <= 100
        check_whole(await ask(running.port, chat(stream=True)), stream=True)


def more_than(count: int, upstream: ScriptedUpstream) -> bool:
    return len(upstream.seen) > count


async def test_C9_a_reservation_is_given_back(gateway: Gateway) -> None:

    async with (
        ScriptedUpstream([Hang()], [Hang()], [Sse(STREAM)]) as upstream,
        gateway(
            {"a": f"{upstream.origin}/v1"}, timeouts=LONG, keys=[{"name": "tests", "secret": KEY, "limit_usd": 0.00014}]
        ) as running,
    ):
        body = chat(stream=True, max_tokens=40)  # 40 tokens and the prompt: less than the limit, twice that is more
        for _ in range(2):
            wire = await Wire.open(running.port)
            seen = len(upstream.seen)
            await wire.send(post(body))
            await eventually(functools.partial(more_than, seen, upstream))
            assert (await ask(running.port, body)).status == 402, "all the key has is reserved"
            await wire.close()
            await eventually(lambda: not running.connections)
        assert (await ask(running.port, chat(stream=True, max_tokens=1))).status == 200


async def test_U36_a_provider_that_bills_all_the_same_is_heard_to_the_end(gateway: Gateway) -> None:
    script: list[Action] = [Send(STREAM_HEAD + chunk(ROLE + HELLO)), Pause(0.3)]
    script.append(Send(chunk(THERE + STOP + USED + DONE) + b"0\r\n\r\n"))
    async with (
        ScriptedUpstream(script) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, provider={"quirks": {"bills_after_cancel": True}}) as running,
    ):
        wire = await Wire.open(running.port)
        await wire.send(post(chat(stream=True)))
        await asyncio.wait_for(wire.reader.readuntil(b"Hello"), 5)
        await wire.close()
        await eventually(lambda: not running.app.state.metrics.in_flight)
        (record,) = await running.records()
        assert record.status == "cancelled"
        assert (record.usage.prompt, record.usage.completion) == (7, 3)
        assert not record.usage.estimated


async def test_U36_the_official_client_closes_its_stream(gateway: Gateway) -> None:
    async with (
        ScriptedUpstream([Send(STREAM_HEAD), Forever(HELLO, 0.01)]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG) as running,
    ):
        messages: Any = [{"role": "user", "content": "x"}]
        async with openai.AsyncOpenAI(base_url=running.api, api_key=running.key) as client:
            stream = await client.chat.completions.create(model=MODEL, messages=messages, stream=True)
            async for _ in stream:
                break
            await stream.close()
            await eventually(lambda: upstream.seen[0].hung_up_at is not None)
        assert (await one_record(running)).status == "cancelled"


class Fast:
    """As much as is taken, counted; then a good end."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.sent = 0

    async def play(self, exchange: Exchange) -> None:
        await exchange.send(STREAM_HEAD + chunk(ROLE))
        piece = chunk(event({"content": "x" * 16_000}))
        while self.sent < self.most:
            await exchange.send(piece)
            self.sent += len(piece)
        await exchange.send(chunk(STOP + USED + DONE) + b"0\r\n\r\n")


async def settles(value: Callable[[], int]) -> int:
    """*value*, once it no longer changes."""
    before = -1
    async with asyncio.timeout(10):
        while before != value():
            before = value()
            await asyncio.sleep(0.3)
    return before


BUFFERS = 24_000_000
"""What the kernel may hold of two connections on the loopback interface, and more."""


@RELAY
async def test_C8_a_client_that_does_not_read_pauses_its_provider(gateway: Gateway, relay: str) -> None:
    fast = Fast(100_000_000)
    async with (
        ScriptedUpstream([fast]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG, server={"relay": relay}) as running,
    ):
        wire = await Wire.open(running.port)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's own, on every transport
        await wire.send(post(chat(stream=True)))
        sent = await settles(lambda: fast.sent)
        assert 0 < sent < BUFFERS
        (connection,) = running.connections
        waiting = connection.transport.get_write_buffer_size()
        assert waiting <= 512 * 1024, "128 KiB, and one read of the upstream's socket beyond it"
        wire.writer.transport.resume_reading()  # type: ignore[attr-defined]
        answer = await wire.answer(within_s=60)
        assert answer.frames[-1] == "[DONE]"
        assert answer.body.count(b"x" * 16_000) >= 100_000_000 // 16_500
        await wire.close()
        assert (await one_record(running)).status == "completed"


@RELAY
async def test_C8_a_client_that_never_reads_is_dropped_and_recorded(gateway: Gateway, relay: str) -> None:
    fast = Fast(100_000_000)
    async with (
        ScriptedUpstream([fast]) as upstream,
        gateway(
            {"a": f"{upstream.origin}/v1"}, timeouts=LONG, server={"relay": relay, "write_stall_s": 0.5}
        ) as running,
    ):
        wire = await Wire.open(running.port)
        wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await wire.send(post(chat(stream=True)))
        await eventually(lambda: bool(upstream.seen) and upstream.seen[0].hung_up_at is not None, within_s=10)
        record = await one_record(running)
        assert record.status in ("cancelled", "partial")
        assert record.cost > 0
        assert fast.sent < BUFFERS
        wire.reset()


async def test_C8_others_are_served_meanwhile(gateway: Gateway) -> None:
    fast = Fast(100_000_000)

    def choose(seen: Any) -> Any:
        if b"slow" in seen.body:
            return [fast]
        return [Replay(JSON)] if not json.loads(seen.body).get("stream") else [Sse(STREAM)]

    async with (
        ScriptedUpstream(choose=choose) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG) as running,
    ):
        wires = [await Wire.open(running.port) for _ in range(5)]
        for wire in wires:
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]
            await wire.send(post({**chat(stream=True), "user": "slow"}))
        await eventually(lambda: fast.sent > 0)
        for stream in (True, False) * 5:
            check_whole(await ask(running.port, chat(stream=stream)), stream=stream)
        for wire in wires:
            wire.reset()
        await eventually(lambda: not running.connections)
        statuses = sorted(record.status for record in await running.records())
        assert statuses == ["cancelled"] * 5 + ["completed"] * 10
