"""SQLite for Tortoise: one connection writes, others read, and a cancelled task leaves nothing behind.

How it holds, wherever a task is cancelled:

* Waiting for the writer: asyncio's own lock is safe there.
* BEGIN: a ROLLBACK is put in line behind it before the writer is given on, so the next in line finds it clean.
* In the body: the statement may or may not have run, so the transaction is lost as a whole. It refuses everything
  from then on and is rolled back, even if the body swallowed the cancellation.
* COMMIT and ROLLBACK are carried to their end; only then does the cancellation come out.
* A write outside a transaction is one unit on the writer's thread, `execute_many` with its own BEGIN and COMMIT: it
  happens whole or not at all. Cancelled while SQLite is at it, it may still happen.

A transaction belongs to the task that began it. A task started inside inherits it through its context, but may not
write into it, and reads what is committed (so that a DataLoader neither waits for the transaction nor caches what may
be rolled back). Work that should outlive it starts in `models.database.outside_transaction()`.
"""

import asyncio
import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import count
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient as StockClient
from tortoise.backends.sqlite.executor import SqliteExecutor
from tortoise.backends.sqlite.schema_generator import SqliteSchemaGenerator
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError
from tortoise.models import Model

from models.engines.lanes import Lane, Unit

T = TypeVar("T")
Row = dict[str, Any]

BUSY_TIMEOUT_S = 10.0
"""How long a writer waits for another process."""

READERS = 2
"""How many reads outside transactions go on at once."""

_READING = ("SELECT", "EXPLAIN")
"""How a statement starts that surely only reads. All others go to the writer, WITH included: it may write."""


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


class Executor(SqliteExecutor):
    """The stock executor, but prefetching in the task that asked.

    The stock one prefetches in tasks of its own, which inside a transaction would read what is committed instead.
    """

    async def _execute_prefetch_queries(self, instance_list: Iterable[Model]) -> Iterable[Model]:
        if instance_list and (self.prefetch_map or self._prefetch_queries):
            self._make_prefetch_queries()
            for field, queries in self._prefetch_queries.items():
                for query in queries:
                    await self._do_prefetch(instance_list, field, query)
        return instance_list


class _Statements(BaseDBAsyncClient):
    """Tortoise's calls, in terms of one unit that reads or one that writes."""

    query_class = StockClient.query_class
    executor_class = Executor
    schema_generator = SqliteSchemaGenerator
    capabilities = StockClient.capabilities

    async def execute_insert(self, query: str, values: list[Any]) -> int:
        """Insert a row and give back its rowid."""
        return await self._write(partial(_insert, query, values))

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        """Run a statement once for each list of values: all of them or none."""
        await self._write(partial(_insert_many, query, values))

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[Row]]:
        """Run a statement and give back how many rows it changed (for a read: returned), and the rows."""
        go = self._read if query.lstrip()[:7].upper().startswith(_READING) else self._write
        return await go(partial(_query, query.replace("\x00", "'||CHAR(0)||'"), values or ()))

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[Row]:
        """Run a statement and give back its rows."""
        return list((await self.execute_query(query, values))[1])

    async def execute_script(self, query: str) -> None:
        """Run statements one after the other. Inside a transaction they stay inside."""
        await self._write(partial(_script, query))

    async def _read(self, unit: Unit[T]) -> T:
        raise NotImplementedError

    async def _write(self, unit: Unit[T]) -> T:
        raise NotImplementedError


class SqliteClient(_Statements):
    """A database file: a writer that one task holds at a time, and readers that wait for nobody."""

    def __init__(
        self,
        file_path: str,
        *,
        connection_name: str,
        foreign_keys: bool = True,
        busy_timeout_s: float = BUSY_TIMEOUT_S,
    ) -> None:
        super().__init__(connection_name)
        self.filename = file_path
        writing = partial(
            connect, file_path, query_only=False, foreign_keys=foreign_keys, busy_timeout_s=busy_timeout_s
        )
        self.writer = Lane("sqlite-writer", writing)
        self.readers = Lane("sqlite-reader", partial(connect, file_path, query_only=True), READERS)
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002 - Tortoise's signature; there is no server to reach without a database
        """Open the writer now, so that a file that cannot be used is known before the first request."""
        await self.writer.run(_rolled_back)

    async def close(self) -> None:
        """Finish what is under way and close every connection. The client stays closed."""
        try:
            await self.readers.close()
        finally:
            await self.writer.close()

    async def take_turn(self) -> None:
        """Wait until this task alone may write."""
        if self._holder and self._holder is asyncio.current_task():
            raise TransactionManagementError("this task is inside a transaction and would wait for itself")
        await self._turn.acquire()
        self._holder = asyncio.current_task()

    def end_turn(self) -> None:
        """Let the next task write."""
        self._holder = None
        self._turn.release()

    def _in_transaction(self) -> TransactionContext:
        return _Outermost(SqliteTransaction(self))

    async def _read(self, unit: Unit[T]) -> T:
        return await self.readers.run(unit)

    async def _write(self, unit: Unit[T]) -> T:
        await self.take_turn()
        try:
            return await self.writer.run(partial(_alone, unit))
        finally:
            self.end_turn()


class SqliteTransaction(_Statements, TransactionalDBClient):
    """An open transaction. It belongs to one task; savepoints nest inside it."""

    _names = count()

    def __init__(self, parent: SqliteClient) -> None:
        super().__init__(parent.connection_name)
        self.parent = parent
        self._owner = asyncio.current_task()
        self._savepoints: list[str] = []
        self._lost = False

    async def begin(self) -> None:
        """Take the writer's turn and the database's write lock, waiting for other processes too."""
        await self.parent.take_turn()
        try:
            await self.parent.writer.run(_begun)
        except BaseException:
            self.parent.writer.post(_rolled_back)  # a cancelled BEGIN may still run: this runs behind it
            self.parent.end_turn()
            raise

    async def commit(self) -> None:
        """Make everything durable, or nothing. Once sent it is carried to its end."""
        if self._lost and not self._finalized:
            await self.rollback()
            raise TransactionManagementError("a statement was cancelled, so nothing of its transaction was written")
        await self._end(_committed)

    async def rollback(self) -> None:
        """Undo everything. It is carried to its end."""
        await self._end(_rolled_back)

    async def savepoint(self) -> None:
        """Mark a point to go back to."""
        name = f"nested_{next(self._names)}"
        await self._write(partial(_script, f"SAVEPOINT {name}"))
        self._savepoints.append(name)

    async def release_savepoint(self) -> None:
        """Forget the innermost mark and keep what was done since."""
        await self._write(partial(_script, f"RELEASE {self._savepoints.pop()}"))

    async def savepoint_rollback(self) -> None:
        """Undo what was done since the innermost mark, unless the whole transaction is lost anyway."""
        name = self._savepoints.pop()
        if not self._lost and not self._finalized:
            await self._run(partial(_rolled_back_to, name))

    async def _end(self, unit: Unit[None]) -> None:
        if self._finalized:
            raise TransactionManagementError("the transaction is over")
        self._finalized = True
        try:
            await self.parent.writer.carry(unit)
        finally:
            self.parent.end_turn()

    def _in_transaction(self) -> TransactionContext:
        return _Nested(self)

    @property
    def _foreign(self) -> bool:
        return self._finalized or asyncio.current_task() is not self._owner

    def _refuse_others(self) -> None:
        if self._finalized:
            raise TransactionManagementError("the transaction is over")
        if self._foreign:
            raise TransactionManagementError(
                "a task started inside a transaction may not write into it;"
                " start it in `outside_transaction()`, or write from the task that began the transaction"
            )

    async def _read(self, unit: Unit[T]) -> T:
        if self._foreign:
            return await self.parent._read(unit)  # noqa: SLF001 - the two classes are one engine
        return await self._run(partial(_inside, unit))

    async def _write(self, unit: Unit[T]) -> T:
        self._refuse_others()
        return await self._run(partial(_inside, unit))

    async def _run(self, unit: Unit[T]) -> T:
        if self._lost:
            raise TransactionManagementError("a statement was cancelled, so its transaction is lost")
        try:
            return await self.parent.writer.run(unit)
        except asyncio.CancelledError:
            self._lost = True
            raise


class _Outermost(TransactionContext):
    """`async with in_transaction()`: commits, or rolls back on any exception."""

    def __init__(self, client: SqliteTransaction) -> None:
        self.client = client

    async def __aenter__(self) -> TransactionalDBClient:
        await self.client.begin()
        self._connections = get_connections()
        self._token = self._connections.set(self.client.connection_name, self.client)
        return self.client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        try:
            if not self.client._finalized:  # noqa: SLF001 - Tortoise's own mark of a transaction ended by hand
                await (self.client.rollback() if exc_type else self.client.commit())
        finally:
            self._connections.reset(self._token)


class _Nested(TransactionContext):
    """`async with in_transaction()` inside another: a savepoint."""

    def __init__(self, client: SqliteTransaction) -> None:
        self.client = client

    async def __aenter__(self) -> TransactionalDBClient:
        await self.client.savepoint()
        return self.client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await (self.client.savepoint_rollback() if exc_type else self.client.release_savepoint())


def _query(query: str, values: Sequence[Any], connection: sqlite3.Connection) -> tuple[int, Sequence[Row]]:
    cursor = connection.execute(query, values)
    names = [column[0] for column in cursor.description or ()]
    rows = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return (cursor.rowcount if cursor.rowcount >= 0 else len(rows)), rows


def _insert(query: str, values: Sequence[Any], connection: sqlite3.Connection) -> int:
    cursor = connection.execute(query, values)
    cursor.fetchall()  # RETURNING: a statement is over only when its rows are read
    return cursor.lastrowid or 0


def _insert_many(query: str, values: Sequence[Sequence[Any]], connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.executemany(query, values)
        return
    _begun(connection)
    connection.executemany(query, values)
    _committed(connection)


def _script(query: str, connection: sqlite3.Connection) -> None:
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


def _alone(unit: Unit[T], connection: sqlite3.Connection) -> T:
    """Run a unit outside a transaction, and leave the connection outside whatever it did."""
    try:
        return unit(connection)
    finally:
        _rolled_back(connection)


def _inside(unit: Unit[T], connection: sqlite3.Connection) -> T:
    """Run a unit inside the transaction: SQLite ends one by itself on some errors, and the rest would stand alone."""
    if not connection.in_transaction:
        raise TransactionManagementError("the database has already rolled the transaction back")
    return unit(connection)


def _begun(connection: sqlite3.Connection) -> None:
    _patiently(connection, "BEGIN IMMEDIATE")  # a deferred one fails at once when others write between read and write


def _committed(connection: sqlite3.Connection) -> None:
    try:
        _inside(lambda connection: connection.execute("COMMIT"), connection)
    finally:
        _rolled_back(connection)


def _rolled_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


def _rolled_back_to(name: str, connection: sqlite3.Connection) -> None:
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


client_class = SqliteClient
"""The name under which Tortoise looks for the engine of a module."""
