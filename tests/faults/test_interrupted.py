"""A process that is killed while it migrates leaves all of it or nothing, and the next one does the rest."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from models.database import check
from models.migrator import is_current, migrate
from tests.cli.test_server import ROOT
from tests.databases import Elsewhere, Postgres, asynchronous
from tests.effort import tries
from tests.faults.figures import Figures

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


def migrating(url: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-c", SCRIPT, url]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "ready\n"
    return process


def tables(elsewhere: Elsewhere) -> set[str]:
    return {str(name) for (name,) in elsewhere(TABLES[elsewhere.is_file])}


@pytest.mark.soak
@pytest.mark.parametrize("database", ["SQLite", "PostgreSQL"])
def test_a_migration_that_is_killed_leaves_all_or_nothing(
    database: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    chance, figures, made = random.Random(), Figures("a migration is killed", database), list[str]()  # noqa: S311 - when
    postgres: Postgres | None = request.getfixturevalue("postgres") if database == "PostgreSQL" else None

    def empty() -> str:
        if postgres is None:
            return f"sqlite://{tmp_path / f'{len(made)}.sqlite3'}"
        return postgres.make("template0")

    took_s = 0.0
    for run in range(tries(1) + 1):
        made.append(url := empty())
        began_s = time.monotonic()
        with migrating(url) as process:
            if run:
                time.sleep(chance.uniform(0, took_s))
                process.kill()
        if not run:
            took_s, whole = time.monotonic() - began_s, tables(Elsewhere(url))
            continue
        left = tables(Elsewhere(url)) if postgres or Path(url.removeprefix("sqlite://")).exists() else set()
        assert left in (set(), whole)
        asynchronous(migrate(url))
        assert asynchronous(is_current(url))
        assert check(url)
        assert tables(Elsewhere(url)) == whole
        figures.runs += 1
    if postgres:
        for url in made:
            postgres.drop(url)
    figures.keep()
