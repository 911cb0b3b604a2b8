"""Programs of others that look at Latchkey from outside, installed from the lock of this folder."""

import os
import runpy
import subprocess
import sys
from functools import cache
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
UV = Path(sys.executable).with_name("uv")
_OURS = ("UV_PROJECT_ENVIRONMENT", "UV_COMPILE_BYTECODE", "VIRTUAL_ENV")
"""What says where and how the server's own environment is made."""
Done = subprocess.CompletedProcess[str]


def run(*command: str | Path, cwd: Path = ROOT) -> Done:
    """Run a program to its end, whatever that is."""
    env = {name: value for name, value in os.environ.items() if name not in _OURS}
    words = [str(word) for word in command]
    return subprocess.run(words, cwd=cwd, env={**env, "NO_COLOR": "1"}, capture_output=True, text=True, check=False)  # noqa: S603 - named by our own files


def succeeded(*command: str | Path, cwd: Path = ROOT) -> str:
    """Run a program that has to succeed; returns what it printed. Raises RuntimeError with all it said if it failed."""
    done = run(*command, cwd=cwd)
    if done.returncode:
        raise RuntimeError(f"`{' '.join(map(str, command))}` failed:\n{done.stdout}{done.stderr}")
    return done.stdout


@cache
def programs() -> Path:
    """Install them unless they are; gives their folder."""
    succeeded(UV, "sync", "--project", HERE, "--python", sys.executable, "--frozen", "--quiet")
    return HERE / ".venv" / "bin"


@cache
def npm() -> tuple[str, ...]:
    """Say how to call the npm that builds the console."""
    found: tuple[str, list[str]] = runpy.run_path(str(ROOT / "console" / "build"))["programs"]()
    return tuple(found[1])
