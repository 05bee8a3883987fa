"""What the README promises of the commands, from a folder with nothing in it."""

import asyncio
import json
import re
import subprocess
from pathlib import Path

import pytest
from served import ANSWER_S, Client, client, configure, demo_model, environ, records, run, serving, spending, summed

KEY = re.compile(r"A first key was made; keep it, it is not shown again:  (sk-tl-v1-[0-9a-f]{64})\n")
CURL = re.compile(r"^curl -N .*?\n\n", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_the_first_start_prints_a_key_and_a_command_that_works_at_once(tmp_path: Path, workers: str) -> None:
    with serving(tmp_path, "--workers", workers) as served:
        printed = served.printed
        (command,) = CURL.findall(printed)
        done = subprocess.run(
            ["bash", "-c", command],
            env={**environ(), "no_proxy": "*"},
            capture_output=True,
            text=True,
            timeout=ANSWER_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        frames = [line[6:] for line in done.stdout.splitlines() if line.startswith("data: ")]
        assert frames[-1] == "[DONE]"
        chunks = [json.loads(frame) for frame in frames[:-1]]
        said = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
        assert said == "Hello, Trunkline!"
        found = KEY.search(printed)
        assert found
        assert found[1] in command
        assert served.stop() == 0
        assert found[1] not in served.log
    (row,) = records(tmp_path)
    assert row["status"] == "completed"


def test_the_second_start_keeps_the_key_and_does_not_show_it(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        found = KEY.search(served.printed)
        assert found
    with serving(tmp_path) as served:
        assert "sk-tl-v1-" not in served.printed
        assert "trunkline keys create --name me" in served.printed
        status = asyncio.run(_ask(served.port, found[1]))
        assert status == 200
        assert asyncio.run(_ask(served.port, found[1][:-1] + "x")) == 401


async def _ask(port: int, secret: str) -> int:
    with client(port, secret) as one:
        return (await one.chat("hello")).status


def test_no_key_is_made_where_the_configuration_declares_one(tmp_path: Path) -> None:
    configure(tmp_path)
    with serving(tmp_path) as served:
        assert "sk-" not in served.printed


def test_nothing_readable_by_others_is_left(tmp_path: Path) -> None:
    """Records say who asked what model when."""
    with serving(tmp_path) as served:
        asyncio.run(_ask(served.port, "none"))
        assert (tmp_path / "data" / "journal").stat().st_mode & 0o077 == 0
        for file in (tmp_path / "data" / "journal").iterdir():
            assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("command", [("serve",), ("check",), ("models",), ("keys", "list")])
def test_a_wrong_configuration_is_exit_code_two_and_one_line(tmp_path: Path, command: tuple[str, ...]) -> None:
    (tmp_path / "trunkline.yaml").write_text("server:\n  port: 8484\n  prot: 1\n")
    done = run(tmp_path, *command)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("trunkline: trunkline.yaml:3: server.prot: ")
    assert "port" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("serve", "--config", "nowhere.yaml"), "nowhere.yaml: cannot be read: No such file"),
        (("serve", "--port", "70000"), "--port: "),
        (("serve", "--workers", "0"), "--workers: "),
    ],
)
def test_wrong_arguments_too(tmp_path: Path, arguments: tuple[str, ...], words: str) -> None:
    done = run(tmp_path, *arguments)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert words in line


def test_a_database_that_cannot_be_opened_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("not a folder")
    done = run(tmp_path, "serve", "--port", "0")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("trunkline: ")


def test_keys_are_made_listed_and_revoked_while_the_gateway_runs(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model())
    with serving(tmp_path) as served:
        made = run(tmp_path, "keys", "create", "--name", "laptop", "--limit", "2.50")
        assert made.returncode == 0, made.stderr
        said = dict(line.split(":", 1) for line in made.stdout.splitlines())
        secret, hash_ = said["key"].strip(), said["hash"].strip()
        assert said["limit"].strip() == "$2.50"
        assert asyncio.run(_becomes(served.port, secret, 200)) < 1.6, "the gateway looks every second"

        listed = run(tmp_path, "keys", "list").stdout
        (row,) = [line for line in listed.splitlines() if line.startswith("laptop ")]
        assert "$2.50" in row
        assert "active" in row
        assert hash_ in row
        assert secret not in listed

        assert run(tmp_path, "keys", "revoke", "laptop").returncode == 0
        assert asyncio.run(_becomes(served.port, secret, 401)) < 1.6, "docs/reference/reliability.md, S2"
        again = run(tmp_path, "keys", "revoke", "laptop")
        assert again.returncode == 1
        assert len(again.stderr.splitlines()) == 1
        (row,) = [line for line in run(tmp_path, "keys", "list").stdout.splitlines() if line.startswith("laptop ")]
        assert "revoked" in row


async def _becomes(port: int, secret: str, status: int) -> float:
    """Seconds until *secret* is answered with *status*."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with client(port, secret) as one:
        while (await one.chat("hello")).status != status:
            assert loop.time() - begun < 10
            await asyncio.sleep(0.02)
    return loop.time() - begun


def test_what_a_key_spent_is_listed(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model())

    async def ask(port: int) -> float:
        with client(port) as one:
            return float((await one.chat("one two three", model="acme/priced")).usage["cost"])

    with serving(tmp_path) as served:
        cost = asyncio.run(ask(served.port))
    (row,) = [line for line in run(tmp_path, "keys", "list").stdout.splitlines() if line.startswith("test ")]
    assert f"${cost:.12f}".rstrip("0") in row
    assert "declared" in row
    revoked = run(tmp_path, "keys", "revoke", "test")
    assert revoked.returncode == 1
    assert "declared in the configuration" in revoked.stderr


def test_check_says_what_the_configuration_comes_to(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model(), server={"port": 9000})
    done = run(tmp_path, "check")
    assert done.returncode == 0
    assert done.stderr == ""
    for line in (
        "configuration: trunkline.yaml",
        "listens on: 127.0.0.1:9000, 1 worker",
        "keys declared: 1; a key is required",
    ):
        assert line in done.stdout
    assert not (tmp_path / "data").exists(), "it only looks"


def test_models_lists_endpoints_and_prices(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model())
    done = run(tmp_path, "models")
    assert done.returncode == 0, done.stderr
    (row,) = [line.split() for line in done.stdout.splitlines() if line.startswith("acme/priced ")]
    assert row[1:3] == ["demo", "echo"]
    assert row[4:6] == ["1", "3"]


@pytest.mark.parametrize(
    "command",
    [(), ("serve",), ("check",), ("models",), ("keys",), ("keys", "create"), ("keys", "list"), ("keys", "revoke")],
)
def test_every_command_has_help(tmp_path: Path, command: tuple[str, ...]) -> None:
    done = run(tmp_path, *command, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith("usage: trunkline")
    assert list(tmp_path.iterdir()) == []


async def test_two_workers_serve_and_keep_each_record_once(tmp_path: Path) -> None:
    configure(tmp_path, models=demo_model())
    with serving(tmp_path, "--workers", "2") as served:
        answers = await asyncio.gather(*(_some(served.port, number) for number in range(20)))
        ids = [id_ for some in answers for id_ in some]
        assert len(set(ids)) == 200
        # Each worker finds what another one served, at once.
        with client(served.port) as one:
            for id_ in ids[::10]:
                assert (await one.ask(f"/api/v1/generation?id={id_}")).status == 200
        assert await asyncio.to_thread(served.stop) == 0
    rows = records(tmp_path)
    assert {row["id"] for row in rows} == set(ids)
    assert spending(tmp_path) == summed(rows)
    assert list((tmp_path / "data" / "journal").iterdir()) == []


async def _some(port: int, number: int) -> list[str]:
    ids: list[str] = []
    for turn in range(10):
        one = Client(port)
        answer = await one.chat(f"hello {number} {turn}", model="acme/priced", stream=turn % 2 == 0)
        one.close()
        assert answer.status == 200
        ids.append(answer.id)
    return ids
