"""SQLite for Tortoise, over aiosqlite: one connection writes, others read, a cancelled task leaves nothing behind.

How it holds, wherever a task is cancelled:

* Waiting for the writer: asyncio's own lock is safe there.
* BEGIN: a ROLLBACK is put in line behind it before the writer is given on, so the next in line finds it clean.
* In the body: the statement may or may not have run, so the transaction is lost as a whole. It refuses everything
  from then on and is rolled back, even if the body swallowed the cancellation.
* COMMIT and ROLLBACK are carried to their end; only then does the cancellation come out.
* A write outside a transaction is one unit of the writer's lane, `execute_many` with its own BEGIN and COMMIT: it
  happens whole or not at all. Cancelled while SQLite is at it, it may still happen.

A transaction belongs to the task that began it. A task started inside inherits it through its context, but may not
write into it, and reads what is committed (so that a DataLoader neither waits for the transaction nor caches what may
be rolled back). Work that should outlive it starts in `models.database.outside_transaction()`.
"""

import asyncio
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient, TransactionContext
from tortoise.backends.sqlite.client import SqliteClient as StockClient
from tortoise.backends.sqlite.executor import SqliteExecutor
from tortoise.backends.sqlite.schema_generator import SqliteSchemaGenerator
from tortoise.connection import get_connections
from tortoise.exceptions import TransactionManagementError
from tortoise.models import Model

from models.engines import units
from models.engines.lanes import Lane, Unit

T = TypeVar("T")

READERS = 2
"""How many reads outside transactions go on at once."""

_READING = ("SELECT", "EXPLAIN")
"""How a statement starts that surely only reads. All others go to the writer, WITH included: it may write."""


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
        return await self._write(partial(units.insert, query, values))

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        """Run a statement once for each list of values: all of them or none."""
        await self._write(partial(units.insert_many, query, values))

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[units.Row]]:
        """Run a statement and give back how many rows it changed (for a read: returned), and the rows."""
        statement = query.replace("\x00", "'||CHAR(0)||'")
        if query.lstrip()[:7].upper().startswith(_READING):
            return await self._read(partial(units.read, statement, values or ()))
        return await self._write(partial(units.change, statement, values or ()))

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[units.Row]:
        """Run a statement and give back its rows."""
        return list((await self.execute_query(query, values))[1])

    async def execute_script(self, query: str) -> None:
        """Run statements one after the other. Inside a transaction they stay inside."""
        await self._write(partial(units.script, query))

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
        busy_timeout_s: float = units.BUSY_TIMEOUT_S,
    ) -> None:
        super().__init__(connection_name)
        self.filename = file_path
        writing = partial(
            units.connect, file_path, query_only=False, foreign_keys=foreign_keys, busy_timeout_s=busy_timeout_s
        )
        self.writer = Lane(writing)
        self.readers = Lane(partial(units.connect, file_path, query_only=True), READERS)
        self._turn = asyncio.Lock()
        self._holder: asyncio.Task[Any] | None = None

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002 - Tortoise's signature; there is no server to reach without a database
        """Open the writer now, so that a file that cannot be used is known before the first request."""
        await self.writer.run(units.rolled_back)

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
            return await self.writer.run(partial(units.alone, unit))
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
            await self.parent.writer.run(units.begun)
        except BaseException:
            self.parent.writer.post(units.rolled_back)  # a cancelled BEGIN may still run: this runs behind it
            self.parent.end_turn()
            raise

    async def commit(self) -> None:
        """Make everything durable, or nothing. Once sent it is carried to its end."""
        if self._lost and not self._finalized:
            await self.rollback()
            raise TransactionManagementError("a statement was cancelled, so nothing of its transaction was written")
        await self._end(units.committed)

    async def rollback(self) -> None:
        """Undo everything. It is carried to its end."""
        await self._end(units.rolled_back)

    async def savepoint(self) -> None:
        """Mark a point to go back to."""
        name = f"nested_{next(self._names)}"
        await self._write(partial(units.script, f"SAVEPOINT {name}"))
        self._savepoints.append(name)

    async def release_savepoint(self) -> None:
        """Forget the innermost mark and keep what was done since."""
        await self._write(partial(units.script, f"RELEASE {self._savepoints.pop()}"))

    async def savepoint_rollback(self) -> None:
        """Undo what was done since the innermost mark, unless the whole transaction is lost anyway."""
        name = self._savepoints.pop()
        if not self._lost and not self._finalized:
            await self._run(partial(units.rolled_back_to, name))

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
        return await self._run(partial(units.inside, unit))

    async def _write(self, unit: Unit[T]) -> T:
        self._refuse_others()
        return await self._run(partial(units.inside, unit))

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


client_class = SqliteClient
"""The name under which Tortoise looks for the engine of a module."""
