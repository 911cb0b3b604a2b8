"""Node with the packages of package-lock.json, and a demo whose members sign in."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.node import ROOT, node_beside, succeeded

__all__ = ["HERE", "ROOT", "Demo", "succeeded"]

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Demo:
    """A running demo, and the password of its members."""

    url: str
    password: str


@pytest.fixture(scope="session")
def node() -> str:
    """A Node beside whose tests the packages are installed: the one that builds the console."""
    return node_beside(HERE)


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
