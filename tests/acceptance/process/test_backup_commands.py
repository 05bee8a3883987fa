"""`trunkline backup` and `trunkline restore`, and what commands say of a database that they cannot use."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from served import client, configure, demo_model, run, serving


@pytest.fixture(params=["sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest) -> dict[str, Any]:
    return {"url": request.getfixturevalue("postgres_url")} if request.param == "postgresql" else {}


async def test_backed_up_while_it_runs_restored_when_it_does_not(storage: dict[str, Any], tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model(), storage=storage)
    with serving(tmp_path) as served:
        assert run(tmp_path, "keys", "create", "--name", "laptop").returncode == 0
        with client(served.port) as one:
            answers = [await one.chat("Hello", model="acme/priced") for _ in range(5)]
            made = run(tmp_path, "backup", "copy.backup")
            assert made.returncode == 0, made.stderr
            assert (tmp_path / "copy.backup").stat().st_mode & 0o777 == 0o600
            await one.chat("This one is not in the backup.", model="acme/priced")
        again = run(tmp_path, "backup", "copy.backup")
        assert (again.returncode, again.stderr) == (1, "trunkline: copy.backup exists already\n")
        refused = run(tmp_path, "restore", "copy.backup", "--force")
        assert refused.returncode == 1
        assert "running" in refused.stderr or "another process" in refused.stderr
        assert served.stop() == 0
    refused = run(tmp_path, "restore", "copy.backup")
    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "--force" in refused.stderr
    assert run(tmp_path, "keys", "revoke", "laptop").returncode == 0
    restored = run(tmp_path, "restore", "copy.backup", "--force")
    assert restored.returncode == 0, restored.stderr
    listed = run(tmp_path, "keys", "list").stdout
    assert "laptop" in listed
    assert "revoked" not in listed
    with serving(tmp_path) as served, client(served.port) as one:
        for answer in answers:
            assert (await one.ask(f"/api/v1/generation?id={answer.id}")).status == 200
        used = (await one.ask("/api/v1/credits")).json()["data"]["total_usage"]
        costs = [(await one.ask(f"/api/v1/generation?id={each.id}")).json()["data"]["total_cost"] for each in answers]
        assert used == pytest.approx(sum(costs), rel=1e-9)
    assert not (tmp_path / "copy.backup.part").exists()


COMMANDS = [("keys", "create", "--name", "x"), ("keys", "revoke", "laptop"), ("restore", "copy.backup", "--force")]


def test_a_locked_database_is_one_line(tmp_path: Path) -> None:
    configure(tmp_path, storage={"timeout_s": 1.0})
    assert run(tmp_path, "keys", "create", "--name", "laptop").returncode == 0
    assert run(tmp_path, "backup", "copy.backup").returncode == 0
    with closing(sqlite3.connect(tmp_path / "data" / "trunkline.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        for command in COMMANDS:
            done = run(tmp_path, *command)
            assert (done.returncode, done.stdout) == (1, ""), command
            assert done.stderr == "trunkline: the database does not answer at the moment: database is locked\n"
        for command in (("keys", "list"), ("backup", "second.backup")):
            assert run(tmp_path, *command).returncode == 0, "who only reads waits for nobody"


def test_a_missing_or_broken_database_is_one_line(tmp_path: Path) -> None:
    configure(tmp_path)
    done = run(tmp_path, "backup", "copy.backup")
    assert (done.returncode, done.stderr) == (1, "trunkline: there is no database file data/trunkline.db\n")
    assert not (tmp_path / "data").exists()
    done = run(tmp_path, "restore", "copy.backup")
    assert (done.returncode, done.stderr) == (1, "trunkline: there is no file copy.backup\n")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "trunkline.db").write_bytes(b"not a database, and long enough to be seen as such" * 50)
    for command in (*COMMANDS[:2], ("keys", "list"), ("backup", "copy.backup"), ("serve", "--port", "0")):
        done = run(tmp_path, *command)
        assert done.returncode == 1, command
        assert done.stderr.count("\n") == 1, done.stderr
        assert "file is not a database" in done.stderr
    assert not list(tmp_path.glob("copy.backup*"))
