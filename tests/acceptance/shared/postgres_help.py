"""A PostgreSQL of a test's own."""

import importlib.util
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import pytest

_FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")


def postgres_programs() -> Path:
    """The folder of `initdb` and `postgres`, or a skip."""
    if importlib.util.find_spec("asyncpg") is None:
        return _without("asyncpg is not installed")
    found = shutil.which("initdb")
    folders = [] if found is None else [Path(found).resolve().parent]
    for pattern in _FOLDERS:
        folders += sorted(Path("/").glob(pattern[1:]), reverse=True)
    for folder in folders:
        if (folder / "initdb").exists() and (folder / "postgres").exists():
            return folder
    return _without("PostgreSQL is not installed")


def _without(reason: str) -> NoReturn:
    if os.environ.get("TRUNKLINE_REQUIRE_ALL"):
        pytest.fail(reason)
    pytest.skip(reason)


class PostgresServer:
    """`postgres` in a temporary folder, on a port of its own. Root starts it as another user, since it refuses root."""

    def __init__(self, programs: Path) -> None:
        self._programs = programs
        self._folder = Path(tempfile.mkdtemp(prefix="trunkline-pg-"))
        self._user = _user()
        self._process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def __enter__(self) -> "PostgresServer":
        if self._user is not None:
            os.chown(self._folder, pwd.getpwnam(self._user).pw_uid, -1)
        self._run("initdb", "-D", str(self._folder / "data"), "-A", "trust", "-U", "trunkline", "--no-sync")
        with (self._folder / "log").open("wb") as log:
            command = [str(self._programs / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
            command += ["-k", "", "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]
            self._process = subprocess.Popen(
                command, user=self._user, cwd=self._folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert time.monotonic() < end, (self._folder / "log").read_text()
                time.sleep(0.05)
            else:
                return self

    def __exit__(self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(10)
        shutil.rmtree(self._folder, ignore_errors=True)

    def create_database(self, name: str) -> str:
        """Make a database; return its URL."""
        end = time.monotonic() + 20
        while True:
            try:
                self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "trunkline", name)
            except AssertionError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
            else:
                return f"postgresql://trunkline@127.0.0.1:{self.port}/{name}"

    def _run(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def _user() -> str | None:
    """Who runs the server, where that is not who runs the tests."""
    if os.geteuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"
