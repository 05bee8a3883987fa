"""A new configuration is served without dropping a request; a wrong one is refused and the old one stays.

Source: docs/reference/reliability.md, O1.
"""

import asyncio
import os
import signal
from pathlib import Path
from typing import Any

import pytest
from served import (
    SECRET,
    Answer,
    Client,
    Served,
    client,
    configure,
    demo_model,
    records,
    serving,
    spending,
    summed,
    until,
)

RELOADED = r"the configuration was reloaded"
REFUSED = r"the configuration was NOT reloaded"


async def models(served: Served) -> set[str]:
    with client(served.port) as one:
        return {model["id"] for model in (await one.ask("/api/v1/models")).json()["data"]}


async def wait_for(served: Served, what: str, times: int = 1) -> None:
    await until(lambda: served.log.count(what) >= times)


class Load:
    """Streams and bodies, without a pause, until told to stop; every one of them must be whole."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._stop = False
        self.answers: list[Answer] = []
        self._tasks = [asyncio.create_task(self._ask(stream=number % 2 == 0)) for number in range(6)]

    async def _ask(self, *, stream: bool) -> None:
        with client(self._served.port) as one:
            while not self._stop:
                demo: dict[str, Any] = {"events": 5, "interval_s": 0.01} if stream else {"delay_s": 0.02}
                self.answers.append(await one.chat("one two three four five", stream=stream, demo=demo))

    async def end(self) -> list[Answer]:
        self._stop = True
        await asyncio.gather(*self._tasks)
        return self.answers


@pytest.mark.parametrize("how", ["SIGHUP", "the file changed"])
async def test_no_request_is_dropped(tmp_path: Path, how: str) -> None:
    configure(tmp_path)
    with serving(tmp_path) as served:
        assert await models(served) == {"demo/echo"}
        with client(served.port) as one:
            running = asyncio.create_task(
                one.chat("here and there", stream=True, demo={"events": 60, "interval_s": 0.05})
            )
            load = Load(served)
            await asyncio.sleep(0.2)
            configure(tmp_path, models=demo_model("acme/new"))
            if how == "SIGHUP":
                served.signal(signal.SIGHUP)
            await wait_for(served, RELOADED)
            assert "acme/new" in await models(served)
            await asyncio.sleep(0.3)
            answers = await load.end()
            assert not running.done(), "the stream was to run through the reload"
            answers.append(await running)
        with client(served.port) as one:
            priced = await one.chat("now at a price", model="acme/new")
        assert priced.usage["cost"] > 0
    assert len(answers) > 50
    for answer in answers:
        assert answer.status == 200
        assert answer.ended
        assert answer.done or "content-length" in answer.headers
        assert not any("error" in chunk for chunk in answer.chunks)
    assert len(records(tmp_path)) == len(answers) + 1
    assert REFUSED not in served.log


async def test_many_reloads_in_a_row(tmp_path: Path) -> None:
    configure(tmp_path)
    with serving(tmp_path) as served:
        load = Load(served)
        for number in range(20):
            configure(tmp_path, models=demo_model(f"acme/new-{number}"))
            served.signal(signal.SIGHUP)
            await asyncio.sleep(0.03)
        await wait_for(served, RELOADED)
        await asyncio.sleep(0.1)
        assert await models(served) == {"demo/echo", "acme/new-19"}
        answers = await load.end()
    assert {(answer.status, answer.ended) for answer in answers} == {(200, True)}


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (
            'server:\n  port: 1\n  drain_s: -3\nkeys: [{name: test, secret: "x"}]\n',
            "trunkline.yaml:3: server.drain_s: ",
        ),
        (
            "models:\n  acme/new:\n    endpoints:\n      - provider: nobody\n        upstream_model: m\n",
            "trunkline.yaml:4: ",
        ),
        ("server: {port: 1\n", "trunkline.yaml:2: not YAML: "),
        ("sever:\n  port: 1\n", "trunkline.yaml:1: sever: "),
    ],
)
async def test_a_wrong_file_is_refused_loudly_and_the_old_one_stays(tmp_path: Path, text: str, complaint: str) -> None:
    file = configure(tmp_path, models=demo_model("acme/old"))
    with serving(tmp_path) as served:
        file.write_text(text)
        served.signal(signal.SIGHUP)
        await wait_for(served, REFUSED)
        (line,) = [line for line in served.log.splitlines() if REFUSED in line][:1]
        assert "ERROR" in line
        assert complaint in line
        assert "acme/old" in await models(served)
        with client(served.port) as one:
            assert (await one.chat("still here", model="acme/old")).status == 200
        configure(tmp_path, models=demo_model("acme/right"))
        served.signal(signal.SIGHUP)
        await wait_for(served, RELOADED)
        assert "acme/right" in await models(served)


async def test_a_file_that_is_gone_changes_nothing(tmp_path: Path) -> None:
    file = configure(tmp_path, models=demo_model("acme/old"))
    with serving(tmp_path) as served:
        file.unlink()
        served.signal(signal.SIGHUP)
        await wait_for(served, REFUSED)
        assert "acme/old" in await models(served)


async def test_a_key_taken_out_of_the_file_is_a_key_no_more(tmp_path: Path) -> None:
    other = "sk-test-another-one-0123456789"
    configure(tmp_path, keys=[{"name": "test", "secret": SECRET}, {"name": "other", "secret": other}])
    with serving(tmp_path) as served, client(served.port, other) as one:
        assert (await one.chat("hello")).status == 200
        configure(tmp_path, keys=[{"name": "test", "secret": SECRET}])
        served.signal(signal.SIGHUP)
        await wait_for(served, RELOADED)
        assert (await one.chat("hello")).status == 401
        with client(served.port) as kept:
            assert (await kept.chat("hello")).status == 200


async def test_what_needs_a_restart_is_said_and_what_the_command_line_said_stays(tmp_path: Path) -> None:
    configure(tmp_path, server={"port": 8484, "drain_s": 3})
    with serving(tmp_path) as served:
        configure(tmp_path, server={"port": 8485, "drain_s": 4})
        served.signal(signal.SIGHUP)
        await wait_for(served, RELOADED)
        assert "server.port is 0 until a restart; the configuration says 8485" in served.log
        assert await models(served) == {"demo/echo"}


async def test_every_worker_reloads(tmp_path: Path) -> None:
    configure(tmp_path)
    with serving(tmp_path, "--workers", "2") as served:
        load = Load(served)
        await until(lambda: len(workers(served)) == 2 and len(load.answers) > 20)
        await asyncio.sleep(1.0)  # a worker that is about to start knows no signal
        served.signal(signal.SIGHUP)
        await wait_for(served, RELOADED, times=2)
        configure(tmp_path, models=demo_model("acme/new"))
        served.signal(signal.SIGHUP)
        await wait_for(served, RELOADED, times=4)
        for _ in range(20):  # connections are spread over the workers
            assert "acme/new" in await models(served)
        answers = await load.end()
    assert {(answer.status, answer.ended) for answer in answers} == {(200, True)}


def workers(served: Served) -> list[int]:
    """Process ids of a server's children that serve."""
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    spawned = []
    for child in children:
        try:
            command = Path(f"/proc/{child}/cmdline").read_bytes()
        except OSError:
            continue
        if b"spawn_main" in command:
            spawned.append(int(child))
    return spawned


async def test_a_worker_that_dies_is_started_again(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model())
    with serving(tmp_path, "--workers", "2") as served:
        asked = 0
        await until(lambda: len(workers(served)) == 2)
        for _ in range(20):
            with client(served.port) as one:
                assert (await one.chat("hello", model="acme/priced")).status == 200
            asked += 1
        victim = workers(served)[0]
        os.kill(victim, signal.SIGKILL)
        await until(lambda: victim not in workers(served) and len(workers(served)) == 2)
        for _ in range(20):
            one = Client(served.port)
            assert (await one.chat("hello", model="acme/priced")).status == 200
            one.close()
            asked += 1
        assert f"worker {victim} ended with exit code -9 and is restarted" in served.log
        # What the dead one had in its journal is taken over by the new one
        await until(lambda: len(records(tmp_path)) >= asked)
        assert served.stop() == 0
    rows = records(tmp_path)
    assert len(rows) == asked
    assert spending(tmp_path) == summed(rows)


@pytest.mark.parametrize("content", ["", "\n", "providers: {}\n"], ids=["empty", "blank", "without keys"])
@pytest.mark.parametrize("how", ["SIGHUP", "the file changed"])
async def test_a_file_that_lost_its_keys_is_refused(tmp_path: Path, content: str, how: str) -> None:
    file = configure(tmp_path)
    with serving(tmp_path) as served, client(served.port) as one:
        file.write_text(content)
        if how == "SIGHUP":
            served.signal(signal.SIGHUP)
        await wait_for(served, REFUSED)
        assert "--allow-empty" in served.log
        assert (await one.chat("hello")).status == 200
        configure(tmp_path, models=demo_model("acme/new"))
        await wait_for(served, RELOADED)
        assert "acme/new" in await models(served)


async def test_it_is_applied_where_that_is_allowed(tmp_path: Path) -> None:
    file = configure(tmp_path)
    with serving(tmp_path, "--allow-empty") as served, client(served.port) as one:
        assert (await one.chat("hello")).status == 200
        file.write_text("")
        await wait_for(served, RELOADED)
        assert (await one.chat("hello")).status == 401


async def test_a_file_that_appears_after_the_start_is_taken_up(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        assert await models(served) == {"demo/echo"}
        configure(tmp_path, models=demo_model("acme/new"))
        await wait_for(served, RELOADED)
        assert "acme/new" in await models(served)
        with client(served.port) as one:
            assert (await one.chat("hello")).status == 200
