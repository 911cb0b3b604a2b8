"""What is done on an asyncpg connection: statements, and the ends of a transaction, with errors that tell no values."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, TypeVar

import asyncpg
from asyncpg import Connection
from tortoise.exceptions import IntegrityError, OperationalError, TransactionManagementError

from models.engines.transactions import AwayError, Row, Unit

T = TypeVar("T")

LOCKS_WITHIN_S = 10
"""How long a transaction waits for a lock that another holds, a backup or somebody at `psql` among them."""

PORTION_BYTES = 64 * 1024
"""How much of many lists of values asyncpg is given at once: less than what it sends without waiting in between.

Where it does wait, of 128 KiB or more, a cancellation or a lost connection would have it wait for good.
"""
_ROW_BYTES, _VALUE_BYTES = 64, 32
"""What a list of values takes beside them, and a value that is no text, at most."""
_UTF8_BYTES = 4
"""What a letter takes at most: a text is written once, by asyncpg, and not to be measured too."""

_COUNTED = re.compile(r"\s*(INSERT|UPDATE|DELETE)\b(?!.*\bRETURNING\b)", re.IGNORECASE | re.DOTALL)
"""A statement that returns no rows, but says how many it changed."""

_IN_NO_TEXT = "\uffff"
"""What Unicode assigns to nobody, for good."""


class LostError(AwayError):
    """The connection is gone, and with it whatever was not committed."""


async def read(query: str, values: Sequence[Any], connection: Connection) -> tuple[int, Sequence[Row]]:
    """Run a statement that only reads: how many rows there are, and the rows.

    No column holds a text with NUL, and PostgreSQL takes none. To ask for one is to find nothing, as in SQLite.
    """
    asked = [value.replace("\0", _IN_NO_TEXT) if isinstance(value, str) else value for value in values]
    rows = [dict(row) for row in await connection.fetch(query, *asked)]
    return len(rows), rows


async def change(query: str, values: Sequence[Any], connection: Connection) -> tuple[int, Sequence[Row]]:
    """Run a statement: how many rows it changed, or returned if it changes none, and the rows."""
    if not _COUNTED.match(query):
        return await read(query, values, connection)
    return int((await connection.execute(query, *values)).rpartition(" ")[2]), []


async def insert(query: str, values: Sequence[Any], connection: Connection) -> Row | None:
    """Insert a row and give back what the database made of it, where the statement asks."""
    return await connection.fetchrow(query, *values)  # type: ignore[no-any-return] # asyncpg has no types


async def insert_many(query: str, values: Sequence[Sequence[Any]], connection: Connection) -> None:
    """Run a statement for each list of values, all or none: in the transaction that is open, or one of its own."""
    if connection.is_in_transaction():
        for portion in _portions(values):
            await connection.executemany(query, portion)
        return
    await begun(connection)
    await insert_many(query, values, connection)
    await committed(connection)


def _portions(rows: Sequence[Sequence[Any]]) -> Iterator[Sequence[Sequence[Any]]]:
    portion: list[Sequence[Any]] = []
    size = 0
    for row in rows:
        row_size = _ROW_BYTES + sum(map(_size, row))
        if portion and size + row_size > PORTION_BYTES:
            yield portion
            portion, size = [], 0
        portion.append(row)
        size += row_size
    if portion:
        yield portion


def _size(value: object) -> int:
    return _VALUE_BYTES + (len(value) * (1 if value.isascii() else _UTF8_BYTES) if isinstance(value, str) else 0)


async def several(statements: Sequence[tuple[str, Sequence[Any]]], connection: Connection) -> None:
    """Run statements, all or none: in the transaction that is open, or one of its own.

    Those of the same words that follow each other do not wait for each other's answers.
    """
    if connection.is_in_transaction():
        for query, alike in groupby(statements, itemgetter(0)):
            first, *rest = (values for _, values in alike)
            if rest:
                await insert_many(query, (first, *rest), connection)
            else:
                await connection.execute(query, *first)
        return
    await begun(connection)
    await several(statements, connection)
    await committed(connection)


async def script(query: str, connection: Connection) -> None:
    """Run statements one after the other, in the transaction that is open or in one of their own."""
    await connection.execute(query)


async def inside(unit: Unit[T], connection: Connection) -> T:
    """Run a unit inside the transaction, if it is still open."""
    if not is_lost(connection) and not connection.is_in_transaction():
        raise TransactionManagementError("the database has already rolled the transaction back")
    return await unit(connection)


async def begun(connection: Connection) -> None:
    """Begin a transaction, whatever the server's default is: the rows that a change locks do the rest.

    One that waits for longer than `LOCKS_WITHIN_S` for one of them fails, as whoever holds it may never let go.
    """
    await connection.execute(f"BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '{LOCKS_WITHIN_S}s'")


async def committed(connection: Connection) -> None:
    """Commit. To commit after a statement has failed is to roll back, which PostgreSQL mentions in passing only."""
    if await inside(lambda connection: connection.execute("COMMIT"), connection) != "COMMIT":
        raise TransactionManagementError("a statement failed, so nothing of its transaction was written")


async def rolled_back(connection: Connection) -> None:
    """Roll back, if there is anything to. Of a lost connection the server rolls back by itself."""
    if not is_lost(connection) and connection.is_in_transaction():
        await connection.execute("ROLLBACK")


async def rolled_back_to(name: str, connection: Connection) -> None:
    """Undo what was done since a savepoint, and forget it."""
    if not is_lost(connection) and connection.is_in_transaction():
        await connection.execute(f"ROLLBACK TO {name}; RELEASE {name}")


def is_lost(connection: Connection) -> bool:
    """Say whether a connection is closed. The pool takes back by itself what the server has closed."""
    try:
        return bool(connection.is_closed())
    except asyncpg.InterfaceError:
        return True


def told(error: Exception, connection: Connection) -> Exception:
    """Say an error of asyncpg as Tortoise says it. What it tells of values is left out: they may be digests."""
    match error:
        case asyncpg.IntegrityConstraintViolationError():
            said: Exception = IntegrityError(error.args[0])
        case _ if is_lost(connection) or isinstance(error, _LOSING):
            said = lost(error)
        case asyncpg.PostgresError() if (error.sqlstate or "").startswith(_AWAY):
            said = AwayError(error.args[0])
        case asyncpg.DataError() | ValueError():
            said = OperationalError(f"a value does not fit its column ({type(error).__name__})")
        case asyncpg.PostgresError() | asyncpg.InterfaceError():
            said = OperationalError(error.args[0])
        case _:
            return error
    said.__suppress_context__ = True  # the error of asyncpg, which would be shown with its details
    return said


_LOSING = (
    OSError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.InternalClientError,  # the server's last words came at a moment when asyncpg did not expect any
    asyncpg.PostgresConnectionError,
)

_AWAY = ("25006", "40", "53", "55P03", "57", "58", "XX001", "XX002")
"""What is no mistake in a statement: https://www.postgresql.org/docs/current/errcodes-appendix.html."""


def lost(error: Exception) -> LostError:
    """Say why there is no connection."""
    if isinstance(error, asyncpg.TargetServerAttributeNotMatched):
        said = LostError("it follows another server, and may be behind")
    else:
        said = LostError((str(error) if isinstance(error, OSError) else str(error.args[0])) or type(error).__name__)
    said.__suppress_context__ = True
    return said
