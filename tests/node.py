"""Node, with the packages of a folder's lock: the one that builds the console."""

import fcntl
import hashlib
import os
import runpy
import subprocess
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).parents[1]


def node_beside(folder: Path) -> str:
    """Install what a folder's package-lock.json says, unless that is done; returns the Node to run."""
    programs: Callable[[], tuple[str, list[str]]] = runpy.run_path(str(ROOT / "console" / "build"))["programs"]
    node, npm = programs()
    installed = folder / "node_modules" / ".installed-from"
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    locked = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(locked, fcntl.LOCK_EX)
        if not installed.exists() or installed.read_text(encoding="ascii") != wanted:
            succeeded([*npm, "ci"], folder, patience_s=600)
            installed.write_text(wanted, encoding="ascii")
    finally:
        os.close(locked)
    return node


def succeeded(command: list[str], folder: Path, patience_s: int = 120, **environment: str) -> str:
    """Run a program that has to succeed and warn of nothing; returns what it printed."""
    env = {**os.environ, "NO_COLOR": "1", **environment}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=patience_s)
    assert (ran.returncode, ran.stderr) == (0, ""), f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout
