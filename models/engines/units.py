"""What runs on a lane's thread: opening a connection, statements, and the ends of a transaction."""

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tortoise.exceptions import TransactionManagementError

from models.engines.lanes import Unit

T = TypeVar("T")
Row = dict[str, Any]

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another process."""


def connect(
    path: str, *, query_only: bool, foreign_keys: bool = True, busy_timeout_s: float = BUSY_TIMEOUT_S
) -> sqlite3.Connection:
    """Open a connection to a file that exists, in autocommit. A writer makes it a WAL database."""
    connection = sqlite3.connect(
        f"{Path(path).as_uri()}?mode=rw",
        uri=True,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
    )
    try:
        if query_only:
            connection.execute("PRAGMA query_only = ON")
        else:
            _patiently(connection, "PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")  # with NORMAL a power cut loses acknowledged writes
            connection.execute(f"PRAGMA foreign_keys = {'ON' if foreign_keys else 'OFF'}")
    except BaseException:
        connection.close()
        raise
    return connection


def query(query: str, values: Sequence[Any], connection: sqlite3.Connection) -> tuple[int, Sequence[Row]]:
    """Run a statement: how many rows it changed (for a read: returned), and the rows."""
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return (cursor.rowcount if cursor.rowcount >= 0 else len(rows)), rows


def insert(query: str, values: Sequence[Any], connection: sqlite3.Connection) -> int:
    """Insert a row and give back its rowid."""
    cursor = connection.execute(query, values)
    cursor.fetchall()  # RETURNING: a statement is over only when its rows are read
    return cursor.lastrowid or 0


def insert_many(query: str, values: Sequence[Sequence[Any]], connection: sqlite3.Connection) -> None:
    """Run a statement for each list of values, all or none: in the transaction that is open, or one of its own."""
    if connection.in_transaction:
        connection.executemany(query, values)
        return
    begun(connection)
    connection.executemany(query, values)
    committed(connection)


def script(query: str, connection: sqlite3.Connection) -> None:
    """Run statements one after the other."""
    for statement in _statements(query):
        connection.execute(statement).fetchall()


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


def alone(unit: Unit[T], connection: sqlite3.Connection) -> T:
    """Run a unit outside a transaction, and leave the connection outside whatever it did."""
    try:
        return unit(connection)
    finally:
        rolled_back(connection)


def inside(unit: Unit[T], connection: sqlite3.Connection) -> T:
    """Run a unit inside the transaction: SQLite ends one by itself on some errors, and the rest would stand alone."""
    if not connection.in_transaction:
        raise TransactionManagementError("the database has already rolled the transaction back")
    return unit(connection)


def begun(connection: sqlite3.Connection) -> None:
    """Begin a transaction with the write lock in hand."""
    _patiently(connection, "BEGIN IMMEDIATE")  # a deferred one fails at once when others write between read and write


def committed(connection: sqlite3.Connection) -> None:
    """Commit; whatever happens, no transaction is open afterwards."""
    try:
        inside(lambda connection: connection.execute("COMMIT"), connection)
    finally:
        rolled_back(connection)


def rolled_back(connection: sqlite3.Connection) -> None:
    """Roll back, if there is anything to."""
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def rolled_back_to(name: str, connection: sqlite3.Connection) -> None:
    """Undo what was done since a savepoint, and forget it."""
    if connection.in_transaction:
        connection.execute(f"ROLLBACK TO {name}")
        connection.execute(f"RELEASE {name}")


def _patiently(connection: sqlite3.Connection, statement: str) -> None:
    """Run a statement, waiting for other processes also where SQLite's own busy timeout does not."""
    give_up_at = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute(statement).fetchall()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > give_up_at:
                raise
            time.sleep(0.005)
        else:
            return
