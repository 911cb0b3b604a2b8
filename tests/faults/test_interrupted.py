"""A process that is killed while it migrates what an earlier version left, with its rows, leaves all of it or nothing.

The next one does the rest, and every secret, every right and the whole log go on.
"""

import asyncio
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

import pytest

from models.database import check
from models.migrator import is_current, migrate
from models.urls import Server, parse
from tests.cli.test_server import ROOT
from tests.databases import Elsewhere, Postgres, asynchronous
from tests.effort import tries
from tests.faults.figures import POSTGRESQL, SQLITE, Fault, Figures
from tests.test_upgrades import earlier, earlier_served, goes_on

SCRIPT = """
import asyncio, sys
from models.migrator import migrate
print("ready", flush=True)
asyncio.run(migrate(sys.argv[1]))
"""
TABLES = {
    True: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    False: "SELECT tablename FROM pg_tables WHERE schemaname = 'public'",
}
Copying = Callable[[], AbstractContextManager[str]]
"""Gives a database of its own, as an earlier version left it, and takes it away at the end."""


@contextmanager
def copied(left: Path) -> Iterator[str]:
    path = left.with_name("copy.sqlite3")
    shutil.copy(left, path)
    yield f"sqlite://{path}"
    for kept in path.parent.glob(f"{path.name}*"):
        kept.unlink()


@contextmanager
def copied_served(postgres: Postgres, name: str) -> Iterator[str]:
    url = postgres.make(name)
    yield url
    postgres.drop(url)


@pytest.fixture(params=[SQLITE, POSTGRESQL])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def copying(
    database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Iterator[Copying]:
    left = tmp_path / "left.sqlite3"
    earlier(left)
    if database == SQLITE:
        yield partial(copied, left)
        return
    postgres: Postgres = request.getfixturevalue("postgres")
    url = postgres.make("template0")
    monkeypatch.syspath_prepend(str(tmp_path))
    asynchronous(earlier_served(left, url))
    server = parse(url)
    assert isinstance(server, Server)
    yield partial(copied_served, postgres, server.arguments["database"])
    postgres.drop(url)


def migrating(url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def tables(elsewhere: Elsewhere) -> set[str]:
    return {str(name) for (name,) in elsewhere(TABLES[elsewhere.is_file])}


@pytest.mark.soak
def test_a_migration_that_is_killed_leaves_all_or_nothing(database: str, copying: Copying) -> None:
    chance, figures = random.Random(), Figures(Fault.MIGRATION_KILLED, database)  # noqa: S311 - when
    with copying() as url:
        before, some = Elsewhere(url).everything(), tables(Elsewhere(url))
        with migrating(url):
            began_s = time.monotonic()
        took_s, whole = time.monotonic() - began_s, tables(Elsewhere(url))
    for _ in range(tries(1)):
        with copying() as url:
            elsewhere = Elsewhere(url)
            with migrating(url) as process:
                time.sleep(chance.uniform(0, took_s))
                process.kill()
            if not asynchronous(is_current(url)):
                assert (elsewhere.everything(), tables(elsewhere)) == (before, some)
                assert asynchronous(migrate(url))
            assert asynchronous(is_current(url))
            assert check(url)
            assert tables(elsewhere) == whole
            asyncio.run(goes_on(url))
        figures.runs += 1
    figures.keep()
