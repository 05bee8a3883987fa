"""Attempts without a task: on a connection that is idle, every fault ends as it does where a task waits for it."""

import asyncio
import errno
import re
from collections.abc import Callable
from typing import Any

import pytest
from faults_upstream import Good, eventually, good
from faults_wire import Gateway, Wire, ask, chat, post
from test_leaving import LONG, MOMENTS
from test_upstream_faults import FAULTS, Fault

from trunkline.model.record import GenerationRecord
from trunkline.storage import FileJournal
from trunkline.testing.gateway import RunningGateway
from trunkline.testing.scripted import ScriptedUpstream
from trunkline.transport.client import Http1Transport

OURS = re.compile(rb"gen-[0-9]+-[0-9A-Za-z]{20}|\"(?:created|retry_after|latency_ms)\": ?[0-9.]+|call_[0-9A-Za-z_]+")
WAYS: dict[str, Callable[[Http1Transport], bool]] = {"direct": lambda _: False, "task": lambda _: True}
"""Whether an attempt over a network is a task's."""
BOTH_STREAM = pytest.mark.parametrize("stream", [True, False], ids=["stream", "json"])


def told(record: GenerationRecord) -> dict[str, Any]:
    """What of a record does not depend on the clock."""
    return {
        "status": record.status,
        "http_status": record.http_status,
        "error_type": record.error_type,
        "error": record.error,
        "usage": record.usage,
        "cost": record.cost,
        "way": record.way,
        "attempts": [(attempt.provider, attempt.status, attempt.cause) for attempt in record.attempts],
    }


async def last(running: RunningGateway, count: int) -> GenerationRecord:
    """The newest of *count* records."""
    await eventually(lambda: not running.connections and not running.app.state.metrics.in_flight)
    records = await running.records()
    assert len(records) == count
    return records[-1]


def without_begin(monkeypatch: pytest.MonkeyPatch, tasks: Callable[[Http1Transport], bool]) -> list[Http1Transport]:
    """Make a task of every attempt over a network of which *tasks* is true; the others' networks are what comes back,
    one for each attempt that had none."""
    begun: list[Http1Transport] = []
    begin = Http1Transport.begin

    def spied(self: Http1Transport, *args: Any) -> Any:
        call = None if tasks(self) else begin(self, *args)
        if call is not None:
            begun.append(self)
        return call

    monkeypatch.setattr(Http1Transport, "begin", spied)
    return begun


@BOTH_STREAM
@pytest.mark.parametrize("healthy", [False, True], ids=["alone", "healthy"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.id)
async def test_faults_end_alike(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, fault: Fault, healthy: bool, stream: bool
) -> None:
    script = fault.stream if stream else fault.body

    def bad() -> ScriptedUpstream:
        return ScriptedUpstream(Good(), script, script)

    def behind(upstream: ScriptedUpstream) -> dict[str, str]:
        return {"bad": f"{upstream.origin}/v1", **({"good": f"{other.origin}/v1"} if healthy else {})}

    async def ends(running: RunningGateway, upstream: ScriptedUpstream) -> tuple[Any, ...]:
        await ask(running.port, chat(stream=stream))
        answer = await ask(running.port, chat(stream=stream))
        record = await last(running, 2)
        body = OURS.sub(b"", answer.body.replace(str(upstream.port).encode(), b""))
        if fault.within_s:  # how much came until then is a matter of time
            body = body[-200:]
        return (answer.status, body, answer.whole, told(record))

    # Side by side: most of the time is spent waiting for a limit.
    async with (
        good() as other,
        bad() as first,
        bad() as second,
        gateway(behind(first)) as direct,
        gateway(behind(second)) as task,
    ):
        begun = without_begin(monkeypatch, lambda network: network is task.network)
        found = await asyncio.gather(ends(direct, first), ends(task, second))
    assert begun == [direct.network]
    assert found[0] == found[1]


@pytest.mark.parametrize("moment", MOMENTS)
async def test_clients_that_leave_are_noted_alike(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    found = []
    for tasks in WAYS.values():
        with monkeypatch.context() as patch:
            without_begin(patch, tasks)
            async with (
                ScriptedUpstream(Good(), MOMENTS[moment]) as upstream,
                gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG) as running,
            ):
                await ask(running.port, chat(stream=True))
                wire = await Wire.open(running.port)
                await wire.send(post(chat(stream=True)))
                await eventually(lambda: len(upstream.seen) == 2)
                await asyncio.sleep(0.1)
                await wire.close()
                record = await last(running, 2)
            found.append((record.status, record.error_type, record.http_status))
    assert found[0] == found[1]
    assert found[0][0] == "cancelled"


@BOTH_STREAM
async def test_a_full_disk_ends_alike(gateway: Gateway, monkeypatch: pytest.MonkeyPatch, stream: bool) -> None:
    """Without a record there is no answer, though others' records are written in the same breath."""
    found = []
    for way, tasks in WAYS.items():
        with monkeypatch.context() as patch:
            begun = without_begin(patch, tasks)
            async with good() as upstream, gateway({"a": f"{upstream.origin}/v1"}) as running:
                await ask(running.port, chat(stream=stream))
                with monkeypatch.context() as full:
                    full.setattr(FileJournal, "_store", lambda *_: OSError(errno.ENOSPC, "No space left on device"))
                    answer = await ask(running.port, chat(stream=stream))
                after = await ask(running.port, chat(stream=stream))
        assert bool(begun) == (way == "direct")
        found.append((answer.status, OURS.sub(b"", answer.body), answer.whole, after.status))
    assert found[0] == found[1]
    assert found[0][0] == 503 or b'"finish_reason":"error"' in found[0][1]
    assert found[0][3] == 200


@BOTH_STREAM
async def test_a_shutdown_breaks_it_off_in_an_error(gateway: Gateway, stream: bool) -> None:
    async with (
        ScriptedUpstream(Good(), MOMENTS["before-head"]) as upstream,
        gateway({"a": f"{upstream.origin}/v1"}, timeouts=LONG) as running,
    ):
        await ask(running.port, chat(stream=stream))
        asking = asyncio.ensure_future(ask(running.port, chat(stream=stream)))
        await eventually(lambda: len(upstream.seen) == 2)
        for connection in tuple(running.connections):
            connection.cancel()
        answer = await asking
        assert answer.status == 503
        assert b"shutting down" in answer.body
        assert (await last(running, 2)).status == "failed"
