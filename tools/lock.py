"""Write requirements/*.txt: every package that is installed, with its hashes, and no name of a registry's host.

`run.txt` is what serving needs. `test.txt` has the extras, the tests' and the checks' packages too.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def compile_(out: str, groups: list[str]) -> None:
    """Compile pyproject.toml with *groups* into requirements/*out*."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--custom-compile-command", "make lock"]
    command += ["-o", f"requirements/{out}", "pyproject.toml"]
    for group in groups:
        command += ["--group", group]
    subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=True)


compile_("run.txt", [])
compile_("test.txt", ["test", "check"])
