"""SQLite for Tortoise, over aiosqlite: one connection writes, others read, a cancelled task leaves nothing behind.

How it holds, wherever a task is cancelled, beside what `models.engines.transactions` says:

* Waiting for the writer: asyncio's own lock is safe there.
* BEGIN: a ROLLBACK is put in line behind it before the writer is given on, so the next in line finds it clean.
* A write outside a transaction is one unit of the writer's lane, `execute_many` with its own BEGIN and COMMIT.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any, TypeVar

from tortoise.backends.base.client import TransactionContext
from tortoise.backends.sqlite.client import SqliteClient as StockClient
from tortoise.backends.sqlite.executor import SqliteExecutor
from tortoise.backends.sqlite.schema_generator import SqliteSchemaGenerator

from models.engines import units
from models.engines.lanes import Lane
from models.engines.soundness import Soundness
from models.engines.transactions import (
    Client,
    Line,
    Outermost,
    Prefetching,
    Statements,
    Transaction,
    Unit,
    within_itself,
)

T = TypeVar("T")

READERS = 2
"""How many reads outside transactions go on at once."""


class Executor(Prefetching, SqliteExecutor):
    """The stock executor, prefetching in the task that asked."""


class _Sqlite(Statements):
    """What Tortoise must know of SQLite."""

    units = units
    query_class = StockClient.query_class
    executor_class = Executor
    schema_generator = SqliteSchemaGenerator
    capabilities = StockClient.capabilities


class SqliteClient(_Sqlite, Client):
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
        self.soundness = Soundness(file_path)
        writing = partial(
            units.connect, file_path, query_only=False, foreign_keys=foreign_keys, busy_timeout_s=busy_timeout_s
        )
        self.writer = Lane(writing, self.soundness)
        self.readers = Lane(partial(units.connect, file_path, query_only=True), self.soundness, READERS)
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

    @property
    def connections(self) -> Mapping[str, int]:
        """How many connections there are."""
        return {"open": len(self.readers) + len(self.writer)}

    async def begin(self) -> Line:
        """Take the writer's turn and the database's write lock, waiting for other processes too."""
        await self._take_turn()
        try:
            await self.writer.run(units.begun)
        except BaseException:
            self.writer.post(units.rolled_back)  # a cancelled BEGIN may still run: this runs behind it
            self._end_turn()
            raise
        return self.writer

    async def end(self, line: Line) -> None:  # noqa: ARG002 - there is one
        """Let the next task write."""
        self._end_turn()

    async def _take_turn(self) -> None:
        """Wait until this task alone may write."""
        if self._holder and self._holder is asyncio.current_task():
            raise within_itself()
        await self._turn.acquire()
        self._holder = asyncio.current_task()

    def _end_turn(self) -> None:
        self._holder = None
        self._turn.release()

    def _in_transaction(self) -> TransactionContext:
        return Outermost(SqliteTransaction(self))

    async def _read(self, unit: Unit[T]) -> T:
        return await self.readers.run(unit)

    async def _write(self, unit: Unit[T]) -> T:
        await self._take_turn()
        try:
            return await self.writer.run(partial(units.alone, unit))
        finally:
            self._end_turn()


class SqliteTransaction(_Sqlite, Transaction):
    """A transaction on the writer."""


client_class = SqliteClient
"""The name under which Tortoise looks for the engine of a module."""
