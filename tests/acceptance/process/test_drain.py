"""SIGTERM: nothing new is taken, what runs may end within `drain_s`, and nothing is lost.

Source: docs/reference/reliability.md, O2.
"""

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest
from served import (
    Answer,
    Client,
    Served,
    configure,
    demo_model,
    launch,
    records,
    run,
    serving,
    spending,
    summed,
    until,
)

SLOW = {"model": "acme/priced", "stream": True, "stream_options": {"include_usage": True}}


async def begun(answer: Answer) -> None:
    """Wait until text has come."""
    await until(lambda: re.search(rb'"content":"[^"]', answer.body) is not None)


async def ended(served: Served) -> int:
    return await asyncio.to_thread(served.process.wait, 15)


async def refused(port: int) -> None:
    """Wait until nobody listens."""
    async with asyncio.timeout(5):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                return
            writer.close()
            await asyncio.sleep(0.01)


def start(served: Served, events: int, interval_s: float) -> "tuple[asyncio.Task[Answer], Answer]":
    answer = Answer()
    demo = {"events": events, "interval_s": interval_s}
    client = Client(served.port)

    async def ask() -> Answer:
        try:
            return await client.chat("one two three four", answer, demo=demo, **SLOW)
        finally:
            client.close()

    return asyncio.create_task(ask()), answer


async def test_streams_that_run_end_and_nothing_new_is_taken(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model(), server={"drain_s": 10})
    with serving(tmp_path) as served:
        kept = Client(served.port)
        for number in range(30):  # the last of these are not in the database yet when the signal comes
            assert (await kept.chat(f"quick {number}")).status == 200
        running = [start(served, 20, 0.05) for _ in range(5)]
        for _, answer in running:
            await begun(answer)
        served.signal(signal.SIGTERM)
        await refused(served.port)
        assert not any(task.done() for task, _ in running), "the streams ended before the listener closed"
        await _unready(kept)
        answers = await asyncio.gather(*(task for task, _ in running))
        assert await ended(served) == 0
    for answer in answers:
        assert answer.ended
        assert answer.done
        assert answer.text == "one two three four" * 5
    rows = {row["id"]: row for row in records(tmp_path)}
    assert len(rows) == 35
    assert {row["status"] for row in rows.values()} == {"completed"}
    assert {answer.id for answer in answers} <= rows.keys()
    assert spending(tmp_path) == summed(list(rows.values()))
    assert list((tmp_path / "data" / "journal").iterdir()) == []


async def _unready(client: Client) -> None:
    """On a connection from before: 503 with the reason, or no answer at all."""
    try:
        answer = await client.ask("/health/ready")
    except (OSError, EOFError):
        return
    finally:
        client.close()
    assert answer.status == 503
    assert answer.json() == {"status": "unavailable", "reason": "draining"}


async def test_a_stream_that_does_not_end_in_time_gets_an_error_and_a_partial_record(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model(), server={"drain_s": 0.5})
    with serving(tmp_path) as served:
        task, answer = start(served, 10_000, 0.05)
        await begun(answer)
        before = time.monotonic()
        served.signal(signal.SIGTERM)
        await task
        assert await ended(served) == 0
        assert time.monotonic() - before < 0.5 + 2, "reliability.md, O2: exit within the limit and two seconds"
    assert answer.ended, "the body ended as HTTP wants it"
    assert answer.done
    broken = [chunk for chunk in answer.chunks if "error" in chunk]
    assert len(broken) == 1
    assert broken[0]["choices"][0]["finish_reason"] == "error"
    assert broken[0]["error"]["code"] == 503
    (row,) = records(tmp_path)
    assert (row["id"], row["status"]) == (answer.id, "partial")
    assert row["completion_tokens"] == answer.usage["completion_tokens"] > 0
    assert row["data"]["usage"]["estimated"] is True


async def test_a_request_that_waits_for_its_answer_is_told(tmp_path: Path) -> None:
    configure(tmp_path, server={"drain_s": 0.2})
    with serving(tmp_path) as served:
        client = Client(served.port)
        task = asyncio.create_task(client.chat("hello", demo={"delay_s": 30}))
        await asyncio.sleep(0.3)
        served.signal(signal.SIGTERM)
        answer = await task
        client.close()
        assert await ended(served) == 0
    assert answer.status == 503
    assert answer.json()["error"]["code"] == 503
    (row,) = records(tmp_path)
    assert (row["status"], row["cost_pico"]) == ("failed", 0)


async def test_an_idle_connection_does_not_hold_it_up(tmp_path: Path) -> None:
    configure(tmp_path)
    with serving(tmp_path) as served:
        idle = Client(served.port)
        assert (await idle.chat("hello")).status == 200
        before = time.monotonic()
        served.signal(signal.SIGTERM)
        assert await ended(served) == 0
        assert time.monotonic() - before < 5, "drain_s is 30"
        idle.close()


async def test_interrupting_it_ends_it_as_gracefully(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model())
    with serving(tmp_path) as served:
        task, answer = start(served, 10, 0.05)
        await begun(answer)
        served.signal(signal.SIGINT)
        await task
        assert await ended(served) == 0
    assert answer.done
    assert "error" not in answer.chunks[-1]
    assert "Traceback" not in served.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_two_workers_drain_too(tmp_path: Path, number: int) -> None:
    configure(tmp_path, models=demo_model(), server={"drain_s": 10})
    with serving(tmp_path, "--workers", "2") as served:
        running = [start(served, 30, 0.05) for _ in range(8)]
        for _, answer in running:
            await begun(answer)
        served.signal(number)
        await refused(served.port)
        assert not any(task.done() for task, _ in running)
        answers = await asyncio.gather(*(task for task, _ in running))
        assert await ended(served) == 0
    assert all(answer.done and "error" not in answer.chunks[-1] for answer in answers)
    rows = records(tmp_path)
    assert {row["id"] for row in rows} == {answer.id for answer in answers}
    assert spending(tmp_path) == summed(rows)


def test_a_port_that_is_taken_is_said_plainly(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        other = tmp_path / "other"
        other.mkdir()
        again = _serve_at(other, served.port)
    assert again[0] == 1
    assert "in use" in again[1]
    assert "Traceback" not in again[1]


def _serve_at(folder: Path, port: int) -> tuple[int, str]:
    done = run(folder, "serve", "--port", str(port))
    return done.returncode, done.stderr


def test_no_process_stays(tmp_path: Path) -> None:
    """This is about the helper: `kill` waits for the end."""
    served = launch(tmp_path)
    served.kill()
    with pytest.raises(ProcessLookupError):
        os.kill(served.process.pid, 0)
