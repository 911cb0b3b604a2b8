"""What is done on an aiosqlite connection: opening it, statements, and the ends of a transaction."""

import logging
import sqlite3
import time
from asyncio import sleep
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import aiosqlite
from aiosqlite import Connection
from tortoise.exceptions import TransactionManagementError

from models.engines.transactions import Row, Unit

T = TypeVar("T")

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another process."""

logging.getLogger("aiosqlite").setLevel(logging.INFO)  # below, it writes down every statement's values: digests too


def address(path: str) -> str:
    """Say to SQLite that the file must exist."""
    return f"{Path(path).as_uri()}?mode=rw"


async def connect(
    path: str, *, query_only: bool, foreign_keys: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> Connection:
    """Open a connection to a file that exists, in autocommit. A writer makes it a WAL database."""
    connection = await aiosqlite.connect(address(path), uri=True, timeout=busy_timeout_s, isolation_level=None)
    try:
        connection.row_factory = sqlite3.Row
        if query_only:
            await connection.execute_fetchall("PRAGMA query_only = ON")
        else:
            await _patiently(connection, "PRAGMA journal_mode = WAL")
            await connection.execute_fetchall("PRAGMA synchronous = FULL")  # NORMAL loses writes in a power cut
            await connection.execute_fetchall(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    except BaseException:
        await connection.close()
        raise
    return connection


async def read(query: str, values: Sequence[Any], connection: Connection) -> tuple[int, Sequence[Row]]:
    """Run a statement that only reads: how many rows there are, and the rows."""
    rows = _named(await connection.execute_fetchall(_without_nul(query), values))
    return len(rows), rows


async def change(query: str, values: Sequence[Any], connection: Connection) -> tuple[int, Sequence[Row]]:
    """Run a statement: how many rows it changed, or returned if it changes none, and the rows."""
    cursor = await connection.execute(_without_nul(query), values)
    rows = _named(await cursor.fetchall()) if cursor.description else []
    return (cursor.rowcount if cursor.rowcount >= 0 else len(rows)), rows


async def insert(query: str, values: Sequence[Any], connection: Connection) -> int:
    """Insert a row and give back its rowid."""
    cursor = await connection.execute(query, values)
    if cursor.description:  # RETURNING: a statement is over only when its rows are read
        await cursor.fetchall()
    return cursor.lastrowid or 0


async def insert_many(query: str, values: Sequence[Sequence[Any]], connection: Connection) -> None:
    """Run a statement for each list of values, all or none: in the transaction that is open, or one of its own."""
    if connection.in_transaction:
        await connection.executemany(query, values)
        return
    await begun(connection)
    await connection.executemany(query, values)
    await committed(connection)


async def several(statements: Sequence[tuple[str, Sequence[Any]]], connection: Connection) -> None:
    """Run statements, all or none: in the transaction that is open, or one of its own. One turn of the thread's."""
    if connection.in_transaction:
        await connection._execute(partial(_one_by_one, connection._conn, statements))  # type: ignore[no-untyped-call] # noqa: SLF001 - it has no other way
        return
    await begun(connection)
    await several(statements, connection)
    await committed(connection)


def _one_by_one(connection: sqlite3.Connection, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
    for query, values in statements:
        connection.execute(query, values)


async def script(query: str, connection: Connection) -> None:
    """Run statements one after the other, in the transaction that is open, which `executescript` would commit."""
    for statement in _statements(query):
        await connection.execute_fetchall(statement)


def _statements(script: str) -> Iterator[str]:
    """Split at the semicolons that end a statement: not those in texts, comments or the body of a trigger."""
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
    if statement.strip(" \t\r\n;"):
        yield statement


async def alone(unit: Unit[T], connection: Connection) -> T:
    """Run a unit outside a transaction, and leave the connection outside whatever it did."""
    try:
        return await unit(connection)
    finally:
        await rolled_back(connection)


async def inside(unit: Unit[T], connection: Connection) -> T:
    """Run a unit inside the transaction: SQLite ends one by itself on some errors, and the rest would stand alone."""
    if not connection.in_transaction:
        raise TransactionManagementError("the database has already rolled the transaction back")
    return await unit(connection)


async def begun(connection: Connection) -> None:
    """Begin a transaction with the write lock in hand."""
    await _patiently(connection, "BEGIN IMMEDIATE")  # a deferred one fails when others write between read and write


async def committed(connection: Connection) -> None:
    """Commit; whatever happens, no transaction is open afterwards."""
    try:
        await inside(lambda connection: connection.execute("COMMIT"), connection)
    finally:
        await rolled_back(connection)


async def rolled_back(connection: Connection) -> None:
    """Roll back, if there is anything to."""
    if connection.in_transaction:
        await connection.execute("ROLLBACK")


async def rolled_back_to(name: str, connection: Connection) -> None:
    """Undo what was done since a savepoint, and forget it."""
    if connection.in_transaction:
        await connection.execute(f"ROLLBACK TO {name}")
        await connection.execute(f"RELEASE {name}")


def _without_nul(query: str) -> str:
    return query.replace("\x00", "'||CHAR(0)||'")


def _named(found: Iterable[sqlite3.Row]) -> list[Row]:
    rows = list(found)
    names = rows[0].keys() if rows else ()
    return [dict(zip(names, row, strict=True)) for row in rows]


async def _patiently(connection: Connection, statement: str) -> None:
    """Run a statement, waiting for other processes also where SQLite's own busy timeout does not."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            await connection.execute_fetchall(statement)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            await sleep(0.005)
        else:
            return
