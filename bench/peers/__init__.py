"""What a user would otherwise pick to check tokens, each installed from a lock of its own and set up as its docs allow.

A peer is a module with `installed()`, which does nothing the second time, and `serving(folder)`, which gives what to
press by the name of the configuration.
"""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
INSTALLED = HERE.parent / ".peers"
_UV = Path(sys.executable).with_name("uv")


def environment(name: str) -> Path:
    """Make a peer's virtual environment from its `requirements.txt`; gives the folder of its programs."""
    folder, lock = INSTALLED / name, HERE / name / "requirements.txt"
    if not is_installed(folder, lock):
        run(_UV, "venv", "--quiet", "--clear", "--python", sys.executable, folder)
        python = folder / "bin" / "python"
        run(_UV, "pip", "sync", "--quiet", "--require-hashes", "--python", python, lock)
        stamp(folder, lock)
    return folder / "bin"


def is_installed(folder: Path, lock: Path) -> bool:
    """Say whether what is in a folder was installed from this very lock."""
    mark = folder / ".installed-from"
    return mark.exists() and mark.read_text() == _digest(lock)


def stamp(folder: Path, lock: Path) -> None:
    """Note that what is in a folder was installed from a lock."""
    (folder / ".installed-from").write_text(_digest(lock))


def _digest(lock: Path) -> str:
    return hashlib.sha256(lock.read_bytes()).hexdigest()


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a program and give back what it said. Raises RuntimeError with all of it if it failed."""
    words: Sequence[str] = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603 - commands of the benches alone
    if done.returncode:
        raise RuntimeError(f"`{' '.join(words)}` failed:\n{done.stdout[-2_000:]}{done.stderr[-2_000:]}")
    return done.stdout
