"""A PostgreSQL cluster for tests: on the loopback interface, in a temporary folder, without fsync.

    with cluster() as postgres:
        url = postgres.fresh("orders")
        …
        postgres.kill()
        postgres.start()

The test session has one cluster for all its processes (`shared`), and tests that stop or hang the server have their
own. PostgreSQL refuses to run as root; root starts it as the user `postgres` or `nobody`.
"""

import asyncio
import contextlib
import fcntl
import functools
import importlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Generator
from pathlib import Path
from typing import Any

from sqlalchemy.engine import URL

USER = "trunkline"
PASSWORD = "s3cret-of-postgres"  # noqa: S105 - of a database that lives as long as the test
OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "fsync": "off",
    "full_page_writes": "off",
    "shared_buffers": "16MB",
    "autovacuum": "off",
    "log_min_messages": "warning",
}
START_S = 60


class PostgresMissing(Exception):
    """The programs of the server are not installed."""


@functools.cache
def programs() -> Path:
    """The folder of `initdb` and `pg_ctl`. Debian keeps them out of the path.

    Raises:
        PostgresMissing: there is none.
    """
    found = shutil.which("initdb")
    if found is not None and shutil.which("pg_ctl") is not None:
        return Path(found).parent
    versions = [path.parent for path in Path("/usr/lib/postgresql").glob("*/bin/initdb")]
    if not versions:
        raise PostgresMissing("PostgreSQL is not installed: neither initdb nor /usr/lib/postgresql/*/bin/initdb exists")
    return max(versions, key=lambda folder: float(folder.parent.name))


class Cluster:
    """The cluster in *folder*, which `create` has made."""

    def __init__(self, folder: Path, port: int) -> None:
        self.folder = folder
        """Holds the data, the log and the Unix socket."""
        self.port = port
        self._data = folder / "data"

    @classmethod
    def create(cls, folder: Path) -> "Cluster":
        """Make the cluster in the existing *folder*. It is not running yet."""
        as_user = _as_user()
        if as_user:
            os.chown(folder, as_user["user"], as_user["group"])
        secret = folder / "password"
        secret.write_text(PASSWORD)
        secret.chmod(0o644)  # the other user reads it; the folder admits nobody else
        options = ["--auth=scram-sha-256", f"--username={USER}", f"--pwfile={secret}"]
        options += ["--no-sync", "--no-instructions", "--encoding=UTF8", "--locale=C"]
        cluster = cls(folder, _free_port())
        cluster._run("initdb", *options)
        lines = [f"{name} = '{value}'\n" for name, value in OPTIONS.items()]
        with (folder / "data" / "postgresql.conf").open("a") as file:
            file.writelines([*lines, f"port = {cluster.port}\n", f"unix_socket_directories = '{folder}'\n"])
        return cluster

    def start(self) -> None:
        """Start the server, and wait until it answers. Processes of a killed one may have to end first."""
        end = time.monotonic() + START_S
        while True:
            try:
                self._run("pg_ctl", "--wait", f"--log={self.folder}/log", "start")
            except RuntimeError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.2)
            else:
                return

    def stop(self) -> None:
        """Stop the server as an operator does; connections are closed."""
        self._run("pg_ctl", "--wait", "--mode=fast", "stop")

    def kill(self) -> None:
        """SIGKILL to every process of the server."""
        self.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Send *number* to every process of the server: SIGSTOP makes it hang, SIGCONT ends that."""
        for pid in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def processes(self) -> list[int]:
        """The ids of the server's processes, the first one's first."""
        main = int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])
        children = Path(f"/proc/{main}/task/{main}/children").read_text()
        return [main, *map(int, children.split())]

    @property
    def running(self) -> bool:
        """Whether the server has left its mark that it runs. It is there after `kill` too."""
        return (self._data / "postmaster.pid").exists()

    def url(self, database: str = "postgres") -> str:
        """The URL of *database*, as `storage.url` takes it."""
        found = URL.create("postgresql", USER, PASSWORD, "127.0.0.1", self.port, database)
        return found.render_as_string(hide_password=False)

    def fresh(self, database: str) -> str:
        """Make *database*, or empty it; the URL."""
        name = f'"{database}"'
        if not self.execute(f"SELECT FROM pg_database WHERE datname = '{database}'"):
            self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        else:
            others = f"pid <> pg_backend_pid() AND datname = '{database}'"
            self.execute(f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {others}")  # noqa: S608
            self.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public", database=database)
        return self.url(database)

    def execute(self, *statements: str, database: str = "postgres") -> list[Any]:
        """Execute *statements*; the rows of the last one. Any thread may call it, also one with an event loop."""
        asyncpg: Any = importlib.import_module("asyncpg")  # the extra `postgres`; its functions have no types

        async def work() -> list[Any]:
            rows: list[Any] = []
            connection = await asyncpg.connect(self.url(database), timeout=10)
            try:
                for statement in statements:
                    rows = await connection.fetch(statement)
            finally:
                await connection.close(timeout=10)
            return rows

        result: list[Any] = []
        failure: list[Exception] = []

        def run() -> None:
            try:
                result.extend(asyncio.run(work()))
            except Exception as error:  # noqa: BLE001 - raised below
                failure.append(error)

        thread = threading.Thread(target=run)
        thread.start()
        thread.join()
        if failure:
            raise failure[0]
        return result

    def remove(self) -> None:
        """Stop the server if it runs, and delete the folder."""
        if self.running:
            with contextlib.suppress(OSError):
                self.signal(signal.SIGCONT)
            with contextlib.suppress(RuntimeError):
                self._run("pg_ctl", "--wait", "--mode=immediate", "stop")
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(programs() / program), f"--pgdata={self._data}", *arguments]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")}
        # Not into a pipe: the server inherits it, and it would never end.
        with tempfile.TemporaryFile() as output:
            done = subprocess.run(  # noqa: S603 - our own arguments
                command,
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                check=False,
                timeout=START_S,
                **_as_user(),
            )
            output.seek(0)
            said = output.read().decode(errors="replace")
        if done.returncode:
            log = self.folder / "log"
            raise RuntimeError(f"{program}: {said}\n{log.read_text() if log.exists() else ''}")


@contextlib.contextmanager
def cluster() -> Generator[Cluster]:
    """A running cluster of the caller's own.

    Raises:
        PostgresMissing: the server is not installed.
    """
    programs()
    made = Cluster.create(new_folder())
    try:
        made.start()
        yield made
    finally:
        made.remove()


def shared(folder: Path) -> Cluster:
    """The running cluster in *folder*: the first process that calls this makes it. `Cluster.remove` ends it.

    Raises:
        PostgresMissing: the server is not installed.
    """
    programs()
    port = folder / "port"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if port.exists():
            return Cluster(folder, int(port.read_text()))
        made = Cluster.create(folder)
        made.start()
        port.write_text(str(made.port))
        return made


def new_folder() -> Path:
    """A new folder whose path is short: a Unix socket's has at most about 100 bytes."""
    return Path(tempfile.mkdtemp(prefix="tl-pg-", dir="/tmp" if Path("/tmp").is_dir() else None))  # noqa: S108


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _as_user() -> dict[str, Any]:
    """Arguments of `subprocess` that make root another user; none for others."""
    if os.geteuid() != 0:
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            found = pwd.getpwnam(name)
            return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}
    return {}
