"""Write requirements/*.txt: every installed package with its hashes, without registry host names."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BUILD = ["hatchling", "editables"]


def compile_(out: str, groups: list[str]) -> None:
    """Compile pyproject.toml with *groups* and the build backend into requirements/*out*."""
    extra = ROOT / "requirements" / "build.in"
    extra.write_text("".join(f"{name}\n" for name in BUILD))
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-emit-index-url", "--custom-compile-command", "make lock"]
    command += ["-o", f"requirements/{out}", "pyproject.toml", "requirements/build.in"]
    for group in groups:
        command += ["--group", group]
    subprocess.run([*command, *sys.argv[1:]], cwd=ROOT, check=True)


compile_("run.txt", [])
compile_("test.txt", ["test", "check"])
