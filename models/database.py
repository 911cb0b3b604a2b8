"""A database from its opening to its closing, for the server, the command line and the tests alike."""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager, suppress
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.backends.base.executor import EXECUTOR_CACHE
from tortoise.connection import get_connections
from tortoise.context import TortoiseContext

from models.engines.asyncpg import PostgresClient, connect
from models.engines.lanes import carried
from models.engines.soundness import examine
from models.engines.sqlite import SqliteClient
from models.engines.transactions import Transaction
from models.engines.units import BUSY_TIMEOUT_S, address
from models.listening import HeardVersions
from models.urls import Server, parse
from models.versions import FileVersions, Versions, wal_index

CONNECTION = "default"
"""The one connection's name. With one, Tortoise needs not be told."""

LISTENER = "latchkey listener"
"""What the server's list of connections calls the one that listens."""

CHECK_S = 5.0
"""For how long a file is looked through before it is served."""

APPS: Mapping[str, Mapping[str, object]] = {
    "models": {"models": ["models"], "default_connection": CONNECTION, "migrations": "models.migrations"}
}
"""Our rows and their migrations, in Tortoise's words."""


def tortoise_config(
    place: Path | Server, apps: Mapping[str, Mapping[str, object]] = APPS, **credentials: object
) -> dict[str, Any]:
    """Say it all in Tortoise's words. `credentials` are arguments of the engine's client."""
    if isinstance(place, Path):
        engine = {"engine": "models.engines.sqlite", "credentials": {"file_path": str(place), **credentials}}
    else:
        engine = {"engine": "models.engines.asyncpg", "credentials": {"server": place, **credentials}}
    return {
        "connections": {CONNECTION: engine},
        "apps": {label: dict(app) for label, app in apps.items()},
        "use_tz": True,
        "timezone": "UTC",
    }


TORTOISE = tortoise_config(Path("/dev/null"))
"""For `tortoise makemigrations`, which opens no database. Migrations are applied by `models.migrator` alone."""


@dataclass(frozen=True, slots=True)
class Database:
    """An open database."""

    versions: Versions = field(repr=False)
    path: Path | None = None
    """The file, if it is one."""

    async def is_at(self, account_id: UUID, version: int) -> bool:
        """Say whether this is the account's version now. Waits only where the database must be asked."""
        known = self.versions.known(account_id)
        if known is None:
            with suppress(LookupError):
                known = await self.versions.read(account_id)
        return known == version

    def free_bytes(self) -> int | None:
        """Tell how much is free on the disk of the file; None for a database on a server."""
        if self.path is None:
            return None
        disk = os.statvfs(self.path.parent)
        return disk.f_bavail * disk.f_frsize


def prepare(path: Path) -> None:
    """Create the file for its owner's eyes only, and the folders above it; what exists stays as it is."""
    for folder in reversed(path.parents):
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))  # SQLite gives its WAL the same mode


def plain(path: Path) -> sqlite3.Connection:
    """Open a connection to a file that exists, without Tortoise or a thread, for a look that changes nothing."""
    connection = sqlite3.connect(address(str(path)), uri=True, timeout=BUSY_TIMEOUT_S, isolation_level=None)
    connection.execute("PRAGMA query_only = ON")
    return connection


def check(url: str) -> bool:
    """Look through the pages of a file for damage; says whether there was time for all of them.

    Raises `DamagedError`. What does not exist yet is whole, and a server looks after its own.
    """
    path = parse(url)
    return not isinstance(path, Path) or not path.exists() or examine(path, CHECK_S)


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Database]:
    """Open the database for every task of this process, and close it. One at a time.

    Raises ValueError on a bad URL, and ConnectionError if the server cannot be reached.
    """
    place = parse(url)
    opening = _file(place) if isinstance(place, Path) else _served(place)
    async with opening as database:
        yield database


@asynccontextmanager
async def _file(path: Path) -> AsyncIterator[Database]:
    prepare(path)
    with ExitStack() as last:
        async with started(tortoise_config(path)) as context:
            client = context.connections.get(CONNECTION)
            assert isinstance(client, SqliteClient)  # noqa: S101 - as the configuration says
            connection = plain(path)
            mapped = last.enter_context(wal_index(connection))
            last.callback(connection.close)  # comes before the index is left
            yield Database(FileVersions(connection, mapped, client.soundness), path)


@asynccontextmanager
async def _served(server: Server) -> AsyncIterator[Database]:
    async with started(tortoise_config(server)) as context:
        client = context.connections.get(CONNECTION)
        assert isinstance(client, PostgresClient)  # noqa: S101 - as the configuration says
        versions = HeardVersions(partial(_version, client))
        async with versions.listening(partial(connect, server, LISTENER), client.hear):
            yield Database(versions)


async def _version(client: BaseDBAsyncClient, account_id: UUID) -> int | None:
    """Read the version of an account that is committed, whatever transaction the task is in."""
    rows = await client.execute_query_dict("SELECT version FROM account WHERE id = $1", [account_id])
    return int(rows[0]["version"]) if rows else None


@asynccontextmanager
async def started(config: dict[str, Any]) -> AsyncIterator[TortoiseContext]:
    """Start Tortoise for every task of this process, and stop it. One at a time.

    Tortoise keeps its state in a context variable, which tasks made by a server do not inherit from its lifespan; so
    this sets the fallback that all tasks see.
    """
    EXECUTOR_CACHE.clear()  # statements in another database's words, if one was open before
    context = TortoiseContext()
    with context:
        await context.init(config=config, _enable_global_fallback=True)
    try:
        await context.connections.get(CONNECTION).create_connection(with_db=True)
        yield context
    finally:
        await carried(asyncio.ensure_future(context.close_connections()))


def is_inside_transaction() -> bool:
    """Say whether what is written here goes into a transaction that is open, and may still be undone."""
    return isinstance(get_connections().get(CONNECTION), Transaction)


def outside_transaction() -> Context:
    """Make a context for a task that shall outlive the transaction it is started in, or write on its own.

    `asyncio.create_task(flush(), context=outside_transaction())`
    """
    context = copy_context()
    context.run(_leave_transaction)
    return context


def _leave_transaction() -> None:
    connections = get_connections()
    client = connections.get(CONNECTION)
    if isinstance(client, Transaction):
        connections.set(CONNECTION, client.parent)
