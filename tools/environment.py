"""Make an environment that runs this checkout: `python tools/environment.py FOLDER REQUIREMENTS`.

It holds the packages of the lock file REQUIREMENTS and nothing else: no pip and no build tools. pip is used from
outside: from the interpreter that runs this script, else from a temporary environment. The checkout's `src` folder is
on the path, so that changed source is used at the next start. Standard library only; `make` runs it.
"""

import os
import shlex
import subprocess
import sys
import tempfile
import venv
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Errors only: pip's warnings are about the machine's own configuration. Wheels only: no package runs code at install.
INSTALL = ("--disable-pip-version-check", "--no-input", "--quiet", "--quiet")
LOCKED = ("install", "--only-binary", ":all:", "--require-hashes", "--requirement")


def main(folder: Path, requirements: Path) -> int:
    """Make the environment; return the exit code."""
    outside = has_pip()
    if not outside and find_spec("ensurepip") is None:
        print(
            f"{sys.executable} cannot install packages: it has neither pip 22.3 or newer nor ensurepip. "
            "On Debian and Ubuntu, install the package python3-venv.",
            file=sys.stderr,
        )
        return 1
    print(f"Installing into {folder}, once ...", file=sys.stderr)
    venv.create(folder, clear=True, symlinks=os.name != "nt", with_pip=False)
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    with tempfile.TemporaryDirectory() as temporary:
        pip = sys.executable
        if not outside:
            venv.create(temporary, symlinks=os.name != "nt", with_pip=True)
            pip = str(Path(temporary, python.relative_to(folder)))
        command = [pip, "-m", "pip", "--python", str(python), *INSTALL, *LOCKED, str(requirements)]
        done = subprocess.run(command, check=False)
    if done.returncode:
        return done.returncode
    link(python)
    # Compiled now, not at the first start.
    return subprocess.run([python, "-m", "compileall", "-q", str(ROOT / "src")], check=False).returncode


def has_pip() -> bool:
    """Whether this interpreter has a pip that can install into another one: `--python` came with 22.3."""
    try:
        found = version("pip")
    except PackageNotFoundError:
        return False
    major, minor = (int(part) for part in found.split(".")[:2])
    return (major, minor) >= (22, 3)


def link(python: Path) -> None:
    """Put the source folder on the path of the environment, and the command `trunkline` beside its interpreter."""
    asked = "import sysconfig; print(sysconfig.get_path('purelib'))"
    packages = subprocess.run([python, "-c", asked], check=True, capture_output=True, text=True).stdout.strip()
    Path(packages, "trunkline.pth").write_text(f"{ROOT / 'src'}\n", "utf-8")
    command = python.absolute().with_name("trunkline")
    # -P: a module in the current folder must not stand in for one of ours.
    command.write_text(f'#!/bin/sh\nexec {shlex.quote(str(python.absolute()))} -P -m trunkline "$@"\n', "utf-8")
    command.chmod(0o755)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
