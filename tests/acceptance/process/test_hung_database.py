"""Processes whose database hangs or is not there: they start, end and answer commands in bounded time."""

import asyncio
import signal
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from served import START_S, client, configure, demo_model, launch, run, serving, until

from trunkline.testing.postgres import Cluster

DRAIN_S = 1.0


async def test_sigterm_ends_the_process_while_the_database_hangs(own_postgres: Cluster, tmp_path: Path) -> None:
    url = own_postgres.fresh("served")
    configure(tmp_path, models=demo_model(), storage={"url": url}, server={"drain_s": DRAIN_S})
    with serving(tmp_path) as served:
        with client(served.port) as one:
            assert (await one.chat("Hello", model="acme/priced")).status == 200
            await until(lambda: bool(own_postgres.execute("SELECT FROM generations", database="served")))
            own_postgres.signal(signal.SIGSTOP)
            lost = await one.chat("Hello", model="acme/priced")
            # This one holds a connection to the database when the process is told to end.
            await one.send("/api/v1/key")
            await asyncio.sleep(0.2)
            begun = time.monotonic()
            served.process.terminate()
            code = await asyncio.to_thread(served.process.wait, 15)
        assert time.monotonic() - begun < DRAIN_S + 2.0, served.log
        assert code == 0, served.log
    own_postgres.signal(signal.SIGCONT)
    again = launch(tmp_path)
    query = f"SELECT FROM generations WHERE id = '{lost.id}'"
    await until(lambda: len(own_postgres.execute(query, database="served")) == 1)
    assert again.stop() == 0


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("keys", "list")], ids=["serve", "keys"])
def test_a_silent_host_fails_in_time(command: tuple[str, ...], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent, ThreadPoolExecutor(1) as threads:
        port = silent.getsockname()[1]
        configure(tmp_path, storage={"url": f"postgresql://u:hunter2@127.0.0.1:{port}/x"})
        ends = threads.submit(run, tmp_path, *command)
        silent.settimeout(START_S)
        connection, _ = silent.accept()
        begun = time.monotonic()
        with connection:
            done = ends.result()
    assert time.monotonic() - begun < 10
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}/x: it did not answer within 5 s" in done.stderr
    assert "hunter2" not in done.stderr


@pytest.mark.parametrize("command", [("serve", "--port", "0"), ("keys", "list")], ids=["serve", "keys"])
def test_nobody_listens(command: tuple[str, ...], tmp_path: Path) -> None:
    configure(tmp_path, storage={"url": "postgresql://u:hunter2@127.0.0.1:9/x"})
    done = run(tmp_path, *command)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "cannot use the database postgresql://u:***@127.0.0.1:9/x: " in done.stderr
    assert "refused" in done.stderr or "Connect call failed" in done.stderr
    assert "hunter2" not in done.stderr
