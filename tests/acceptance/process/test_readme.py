"""The snippets of README.md run as printed, from top to bottom, against a gateway that has just been started."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from served import ANSWER_S, environ, records, serving

README = (Path(__file__).parents[3] / "README.md").read_text("utf-8")
FENCE = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PRINTED = re.compile(r"sk-tl-v1-[0-9a-f]{64}")
ADDRESS = "http://127.0.0.1:8484"
EXPORT = "export TRUNKLINE_KEY=sk-tl-v1-…"


def snippets() -> list[tuple[str, str]]:
    """Language and text of every snippet, in the order of the page."""
    return [(language, text) for language, text in FENCE.findall(README)]


def script(port: int, key: str) -> str:
    """All snippets as one shell script. The reader puts in the key that was printed; a test also puts in the port."""
    parts: list[str] = ["set -e"]
    for language, text in snippets():
        adapted = text.replace(ADDRESS, f"http://127.0.0.1:{port}").replace("sk-tl-v1-…", key)
        parts.append(f"{sys.executable} - <<'EOF'\n{adapted}EOF\n" if language == "python" else f"{adapted}\necho")
    return "\n".join(parts)


def test_the_snippets_are_what_the_test_expects() -> None:
    assert [language for language, _ in snippets()] == ["sh", "sh", "python", "python"]
    assert README.count(EXPORT) == 1
    assert all(ADDRESS in text for _, text in snippets()[1:])
    assert len(README.splitlines()) < 150


def test_the_snippets_run_from_top_to_bottom(tmp_path: Path) -> None:
    with serving(tmp_path) as served:
        found = PRINTED.search(served.printed)
        assert found
        done = subprocess.run(
            ["bash", "-c", script(served.port, found[0])],
            env={**environ(), "no_proxy": "*", "PYTHONPATH": os.environ.get("PYTHONPATH", "")},
            capture_output=True,
            text=True,
            timeout=ANSWER_S * 2,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        answer, *lines = filter(None, done.stdout.splitlines())
        assert json.loads(answer)["choices"][0]["message"]["content"] == "Hello from curl"
        assert lines == ["Hello from the OpenAI SDK", "Hello from Responses", "Hello from the Anthropic SDK"]
        assert served.stop() == 0
    assert [row["status"] for row in records(tmp_path)] == ["completed"] * 4
