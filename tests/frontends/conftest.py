"""Node with the packages of package-lock.json, and a demo whose members sign in."""

import fcntl
import hashlib
import os
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
INSTALLED = HERE / "node_modules" / ".installed-from"


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo, and the password of its members."""

    url: str
    password: str


@pytest.fixture(scope="session")
def node() -> str:
    """A Node beside whose tests the packages are installed: the one that builds the console."""
    programs: Callable[[], tuple[str, list[str]]] = runpy.run_path(str(ROOT / "console" / "build"))["programs"]
    node, npm = programs()
    wanted = hashlib.sha256((HERE / "package-lock.json").read_bytes()).hexdigest()
    folder = os.open(HERE, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        if not INSTALLED.exists() or INSTALLED.read_text(encoding="ascii") != wanted:
            succeeded([*npm, "ci"], HERE)
            INSTALLED.write_text(wanted, encoding="ascii")
    finally:
        os.close(folder)
    return node


def succeeded(command: list[str], folder: Path, **environment: str) -> str:
    """Run a program that has to succeed and warn of nothing; returns what it printed."""
    env = {**os.environ, "NO_COLOR": "1", **environment}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert (ran.returncode, ran.stderr) == (0, ""), f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Demo]:
    """A demo in a process of its own."""
    folder = tmp_path_factory.mktemp("demo")
    given = {name: value for name, value in os.environ.items() if not name.startswith("LATCHKEY_")}
    log = folder / "log"
    with (
        log.open("w") as err,
        subprocess.Popen(
            [sys.executable, str(ROOT / "server.py"), "--demo", "--port", "0"],
            env={**given, "LATCHKEY_DATA_DIR": str(folder)},
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        ) as process,
    ):
        try:
            yield _told(process, log)
        finally:
            process.kill()


def _told(process: subprocess.Popen[str], log: Path) -> Demo:
    assert process.stdout
    told = ""
    for line in process.stdout:
        told += line
        found = re.search(r"GraphQL +(http://\S+)/graphql.* password +(\S+)\n", told, re.DOTALL)
        if found:
            return Demo(found[1], found[2])
    raise AssertionError(log.read_text())
