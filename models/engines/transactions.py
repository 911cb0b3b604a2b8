"""What the engines share: Tortoise's calls as units of work, and transactions that belong to one task.

How it holds, wherever a task is cancelled:

* In the body: the statement may or may not have run, so the transaction is lost as a whole. It refuses everything
  from then on and is rolled back, even if the body swallowed the cancellation.
* COMMIT and ROLLBACK are carried to their end; only then does the cancellation come out.
* Outside a transaction a write happens whole or not at all. Cancelled while the database is at it, it may still happen.

A transaction belongs to the task that began it. A task started inside inherits it through its context, but may not
write into it, and reads what is committed (so that a DataLoader neither waits for the transaction nor caches what may
be rolled back). Work that should outlive it starts in `models.database.outside_transaction()`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import count
from types import TracebackType
from typing import Any, Protocol, TypeVar

from tortoise.backends.base.client import BaseDBAsyncClient, TransactionalDBClient, TransactionContext
from tortoise.backends.base.executor import BaseExecutor
from tortoise.connection import get_connections
from tortoise.exceptions import OperationalError, TransactionManagementError
from tortoise.models import Model

from core.meters import Watch

T = TypeVar("T")
Row = dict[str, Any]
Unit = Callable[[Any], Awaitable[T]]
"""Work on one connection of the database's driver: a few statements that belong together."""

watch = Watch(time.perf_counter)
"""Of statements, transactions, and their ends."""
_READING = ("SELECT", "EXPLAIN")
"""How a statement starts that surely only reads. All others count as writes, WITH included: it may write."""


class AwayError(OperationalError):
    """The database cannot do it now, whatever is asked of it: it is gone, full, busy or broken."""


class Line(Protocol):
    """A connection that a transaction has to itself. Its errors are Tortoise's."""

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit and give back what it returns. A cancellation does not wait for it."""
        ...

    async def carry(self, unit: Unit[T]) -> T:
        """Run a unit to its end even if the task is cancelled meanwhile; the cancellation comes out afterwards."""
        ...


class Units(Protocol):
    """The module of a database's units."""

    async def read(self, query: str, values: Sequence[Any], connection: Any, /) -> tuple[int, Sequence[Row]]:  # noqa: ANN401 - each driver's own
        """Run a statement that only reads: how many rows there are, and the rows."""
        ...

    async def change(self, query: str, values: Sequence[Any], connection: Any, /) -> tuple[int, Sequence[Row]]:  # noqa: ANN401
        """Run a statement: how many rows it changed, or returned if it changes none, and the rows."""
        ...

    async def insert(self, query: str, values: Sequence[Any], connection: Any, /) -> Any:  # noqa: ANN401
        """Insert a row and give back what Tortoise's executor wants of it."""
        ...

    async def insert_many(self, query: str, values: Sequence[Sequence[Any]], connection: Any, /) -> None:  # noqa: ANN401
        """Run a statement for each list of values, all or none."""
        ...

    async def several(self, statements: Sequence[tuple[str, Sequence[Any]]], connection: Any, /) -> None:  # noqa: ANN401
        """Run statements that write, each with its values, all or none."""
        ...

    async def script(self, query: str, connection: Any, /) -> None:  # noqa: ANN401
        """Run statements one after the other."""
        ...

    async def inside(self, unit: Unit[T], connection: Any, /) -> T:  # noqa: ANN401
        """Run a unit inside the transaction, if the database still has it open."""
        ...

    async def committed(self, connection: Any, /) -> None:  # noqa: ANN401
        """Commit; whatever happens, no transaction is open afterwards."""
        ...

    async def rolled_back(self, connection: Any, /) -> None:  # noqa: ANN401
        """Roll back, if there is anything to."""
        ...

    async def rolled_back_to(self, name: str, connection: Any, /) -> None:  # noqa: ANN401
        """Undo what was done since a savepoint, and forget it."""
        ...


class Prefetching(BaseExecutor):
    """An executor that prefetches in the task that asked.

    The stock ones prefetch in tasks of their own, which inside a transaction would read what is committed instead.
    """

    async def _execute_prefetch_queries(self, instance_list: Iterable[Model]) -> Iterable[Model]:
        if instance_list and (self.prefetch_map or self._prefetch_queries):
            self._make_prefetch_queries()
            for field, queries in self._prefetch_queries.items():
                for query in queries:
                    await self._do_prefetch(instance_list, field, query)
        return instance_list


class Statements(BaseDBAsyncClient):
    """Tortoise's calls, in terms of one unit that reads or one that writes."""

    units: Units

    async def execute_insert(self, query: str, values: list[Any]) -> Any:  # noqa: ANN401 - see `Units.insert`
        """Insert a row."""
        return await self._watched_write(partial(self.units.insert, query, values))

    async def execute_many(self, query: str, values: list[list[Any]]) -> None:
        """Run a statement once for each list of values: all of them or none."""
        await self._watched_write(partial(self.units.insert_many, query, values))

    async def execute_several(self, statements: Sequence[tuple[str, Sequence[Any]]]) -> None:
        """Run statements that write, each with its values, in their order: all of them or none."""
        await self._watched_write(partial(self.units.several, statements))

    async def execute_query(self, query: str, values: list[Any] | None = None) -> tuple[int, Sequence[Row]]:
        """Run a statement and give back how many rows it changed (for a read: returned), and the rows."""
        if query.lstrip()[:7].upper().startswith(_READING):
            return await self._watched_read(partial(self.units.read, query, values or ()))
        return await self._watched_write(partial(self.units.change, query, values or ()))

    async def execute_query_dict(self, query: str, values: list[Any] | None = None) -> list[Row]:
        """Run a statement and give back its rows."""
        return list((await self.execute_query(query, values))[1])

    async def execute_script(self, query: str) -> None:
        """Run statements one after the other. Inside a transaction they stay inside."""
        await self._watched_write(partial(self.units.script, query))

    def _watched_read(self, unit: Unit[T]) -> Awaitable[T]:
        return watch.through("read", self._read(unit)) if watch.is_on else self._read(unit)

    def _watched_write(self, unit: Unit[T]) -> Awaitable[T]:
        return watch.through("write", self._write(unit)) if watch.is_on else self._write(unit)

    async def _read(self, unit: Unit[T]) -> T:
        raise NotImplementedError

    async def _write(self, unit: Unit[T]) -> T:
        raise NotImplementedError


class Client(Statements):
    """A database, outside transactions."""

    async def begin(self) -> Line:
        """Begin a transaction on a connection of its own. A task has one at a time; cancelled, none is left behind."""
        raise NotImplementedError

    async def end(self, line: Line) -> None:
        """Take back the connection of a transaction that is over."""
        raise NotImplementedError

    @property
    def connections(self) -> Mapping[str, int]:
        """How many connections there are, by what they are."""
        raise NotImplementedError

    async def read(self, unit: Unit[T]) -> T:
        """Run a unit that reads what is committed."""
        return await self._read(unit)


def within_itself() -> TransactionManagementError:
    """Refuse a task that writes, or begins a transaction, beside the one that it is in."""
    return TransactionManagementError("this task is inside a transaction and would wait for itself")


class Transaction(Statements, TransactionalDBClient):
    """An open transaction. It belongs to one task; savepoints nest inside it."""

    _names = count()
    _line: Line

    def __init__(self, parent: Client) -> None:
        super().__init__(parent.connection_name)
        self.parent = parent
        self._owner = asyncio.current_task()
        self._savepoints: list[str] = []
        self._lost = False

    async def begin(self) -> None:
        """Begin, and wait for whoever must be over first."""
        self._line = await watch.through("begin", self.parent.begin())

    async def commit(self) -> None:
        """Make everything durable, or nothing. Once sent it is carried to its end."""
        if self._lost and not self._finalized:
            await self.rollback()
            raise TransactionManagementError("a statement was cancelled, so nothing of its transaction was written")
        await watch.through("commit", self._end(self.units.committed))

    async def rollback(self) -> None:
        """Undo everything. It is carried to its end."""
        await self._end(self.units.rolled_back)

    async def savepoint(self) -> None:
        """Mark a point to go back to."""
        name = f"nested_{next(self._names)}"
        await self._write(partial(self.units.script, f"SAVEPOINT {name}"))
        self._savepoints.append(name)

    async def release_savepoint(self) -> None:
        """Forget the innermost mark and keep what was done since."""
        await self._write(partial(self.units.script, f"RELEASE {self._savepoints.pop()}"))

    async def savepoint_rollback(self) -> None:
        """Undo what was done since the innermost mark, unless the whole transaction is lost anyway."""
        name = self._savepoints.pop()
        if not self._lost and not self._finalized:
            await self._run(partial(self.units.rolled_back_to, name))

    async def _end(self, unit: Unit[None]) -> None:
        if self._finalized:
            raise TransactionManagementError("the transaction is over")
        self._finalized = True
        try:
            await self._line.carry(unit)
        finally:
            await self.parent.end(self._line)

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
            return await self.parent.read(unit)
        return await self._run(partial(self.units.inside, unit))

    async def _write(self, unit: Unit[T]) -> T:
        self._refuse_others()
        return await self._run(partial(self.units.inside, unit))

    async def _run(self, unit: Unit[T]) -> T:
        if self._lost:
            raise TransactionManagementError("a statement was cancelled, so its transaction is lost")
        try:
            return await self._line.run(unit)
        except asyncio.CancelledError:
            self._lost = True
            raise


class Outermost(TransactionContext):
    """`async with in_transaction()`: commits, or rolls back on any exception."""

    def __init__(self, client: Transaction) -> None:
        self.client = client

    async def __aenter__(self) -> TransactionalDBClient:
        self._began_s = watch.begun_s()
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
            watch.over("transaction", self._began_s)


class _Nested(TransactionContext):
    """`async with in_transaction()` inside another: a savepoint."""

    def __init__(self, client: Transaction) -> None:
        self.client = client

    async def __aenter__(self) -> TransactionalDBClient:
        await self.client.savepoint()
        return self.client

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await (self.client.savepoint_rollback() if exc_type else self.client.release_savepoint())
