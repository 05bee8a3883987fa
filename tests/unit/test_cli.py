"""The command line: what it prints, its exit codes, and how fast it starts."""

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from trunkline import __version__
from trunkline.cli import main
from trunkline.providers.compatible import compatible

COMMANDS = ["serve", "check", "models", "keys", "keys create", "keys list", "keys revoke"]


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a folder without a file, with no key of the developer's in the environment and no Ollama in reach."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1:9")
    for entry in compatible().values():
        if entry.env:
            monkeypatch.delenv(entry.env, raising=False)


@pytest.fixture
def provider() -> Iterator[str]:
    """A provider on this machine that lists one model; its base URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/v1/models" and self.headers["authorization"] == "Bearer k"
            body = json.dumps({"data": [{"id": "m-1", "pricing": {"prompt": "0.0000015", "completion": "0"}}]})
            self.send_response(200 if found else 404)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name it has there
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1"
    server.shutdown()
    thread.join()
    server.server_close()


def run(*arguments: str) -> int:
    """The exit code, also where argparse ends the process."""
    try:
        return main(arguments)
    except SystemExit as end:
        return int(end.code or 0)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*command.split(), "--help") == 0
    said = capsys.readouterr().out
    assert f"usage: trunkline {command}".strip() in said
    assert "docs/reference/configuration.md" in said


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--version") == 0
    assert capsys.readouterr().out == f"trunkline {__version__}\n"


@pytest.mark.parametrize("wrong", [[], ["fly"], ["keys"], ["keys", "create"], ["serve", "--port", "x"]])
def test_a_wrong_command(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(*wrong) == 2
    assert "usage: trunkline" in capsys.readouterr().err


@pytest.mark.parametrize("amount", ["-1", "x", "NaN", "1e-13"])
def test_a_limit_that_is_no_amount(amount: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("keys", "create", "--name", "n", f"--limit={amount}") == 2
    assert "is not an amount in USD" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["serve", "check", "models", "keys create --name n", "keys list", "keys revoke n"])
def test_a_wrong_configuration_is_one_line(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text("server:\n  prot: 1\n")
    assert run(*command.split(), "--config", "c.yaml") == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert re.fullmatch(r"trunkline: c\.yaml:2: server\.prot: unknown key, .* \(did you mean 'port'\?\)\n", said.err)


def test_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trunkline.yaml").write_text("""
providers:
  acme: {base_url: "https://api.acme.example/v1", credentials: [{api_key: top-secret}, {api_key: top-secret-2}]}
  groq: {credentials: [{api_key: top-secret}]}
models:
  acme/small:
    endpoints:
      - {provider: acme, upstream_model: s, price: {prompt: 1, completion: 2}}
      - {provider: demo, upstream_model: e}
  acme/big:
    endpoints: [{provider: acme, upstream_model: b}]
""")
    assert run("check") == 0
    assert (
        capsys.readouterr().out
        == """\
configuration: trunkline.yaml
listens on: 127.0.0.1:8484, 1 worker
providers:
  acme: https://api.acme.example/v1, 2 credentials, 2 endpoints
  groq: https://api.groq.com/openai/v1, 1 credential, 0 endpoints, asked for its models at start
  demo: demo://demo, 0 credentials, 2 endpoints
models: 3, with 4 endpoints
prices: 3 from configuration, 1 from unknown
keys declared: 0; a key is required
"""
    )


def test_check_without_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check") == 0
    said = capsys.readouterr().out
    assert said.startswith("configuration: none; providers are found from the environment\n")
    assert "  ollama: http://127.0.0.1:9/v1, if it answers at start\n" in said


def test_models_asks_the_providers(tmp_path: Path, provider: str, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "c.yaml").write_text(
        f"providers: {{acme: {{base_url: '{provider}', models: discover, credentials: [{{api_key: k}}]}}}}"
    )
    assert run("models", "--config", "c.yaml") == 0
    assert (
        capsys.readouterr().out
        == """\
MODEL      ENDPOINT  UPSTREAM MODEL  CONTEXT  PROMPT  COMPLETION  PRICE FROM
acme/m-1   acme      m-1             ?        1.5     0           provider
demo/echo  demo      echo            128000   0       0           configuration
Prices are in USD per million tokens; ? is not known.
"""
    )


def test_a_key_is_made_listed_and_revoked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trunkline.yaml").write_text(
        "storage: {url: 'sqlite:///keys.db'}\nkeys: [{name: dev, secret: a-secret-of-the-file, limit_usd: 10}]"
    )
    assert run("keys", "create", "--name", "bob", "--limit", "2.5") == 0
    made = capsys.readouterr().out
    found = re.fullmatch(
        r"name:   bob\nhash:   ([0-9a-f]{64})\nlimit:  \$2\.50\nkey:    (sk-tl-v1-[0-9a-f]{64})\n", made
    )
    assert found is not None
    assert run("keys", "list") == 0
    listed = capsys.readouterr().out
    assert found[2] not in listed
    assert "a-secret-of-the-file" not in listed
    assert [re.split(r"  +", line) for line in listed.splitlines()] == [
        ["NAME", "KEY", "LIMIT", "SPENT", "STATE", "HASH"],
        ["dev", "…", "$10.00", "$0.00", "declared", listed.splitlines()[1].split()[-1]],
        ["bob", f"{found[2][:13]}…{found[2][-4:]}", "$2.50", "$0.00", "active", found[1]],
    ]
    assert run("keys", "revoke", "bob") == 0
    assert capsys.readouterr().out.startswith("revoked bob (sk-tl-v1-")
    assert run("keys", "revoke", "bob") == 1
    assert capsys.readouterr().err == "trunkline: no key 'bob'\n"
    assert run("keys", "revoke", "dev") == 1
    assert "declared in the configuration" in capsys.readouterr().err


def test_a_database_that_cannot_be_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "trunkline.yaml").write_text("storage: {url: 'sqlite:////proc/no/such.db'}")
    assert run("keys", "list") == 1
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_help_waits_for_nothing() -> None:
    code = "import sys, trunkline.cli; print(sorted(m for m in sys.modules if m.split('.')[0] in sys.argv[1:]))"
    heavy = ["msgspec", "yaml", "asyncio", "uvicorn", "sqlalchemy", "genai_prices", "starlette"]
    said = subprocess.run([sys.executable, "-c", code, *heavy], check=True, capture_output=True, text=True)
    assert said.stdout == "[]\n"
    took: list[float] = []
    for _ in range(3):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-m", "trunkline.cli", "--help"], check=True, capture_output=True)
        took.append(time.perf_counter() - begun)
    assert min(took) < 0.3  # 0.05 s on a quiet machine; the goal is 0.15
