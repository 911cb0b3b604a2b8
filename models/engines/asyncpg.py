"""PostgreSQL for Tortoise, over a pool of asyncpg's: a cancelled task leaves nothing behind, a lost connection little.

How it holds, wherever a task is cancelled, beside what `models.engines.transactions` says:

* Waiting for a connection: asyncpg's pool is safe there.
* BEGIN, or a statement outside a transaction: asyncpg has the server cancel it. The connection is rolled back and given
  back by a task of its own, for which the cancellation does not wait.

A connection that is found lost (the server was restarted, a proxy cut it) is replaced, as are all that are as old. A
read outside a transaction is asked again then, once, and so is BEGIN; any other statement fails with `LostError`.

Transactions and writes never hold the last connection, so that whoever is inside a transaction can always read what is
committed: a read never waits for a lock, so it ends.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import asyncpg
from asyncpg.pool import Pool
from tortoise.backends.asyncpg.client import AsyncpgDBClient as StockClient
from tortoise.backends.asyncpg.executor import AsyncpgExecutor
from tortoise.backends.asyncpg.schema_generator import AsyncpgSchemaGenerator
from tortoise.backends.base.client import TransactionContext
from tortoise.exceptions import DBConnectionError, OperationalError

from models.engines import asyncpg_units as units
from models.engines.asyncpg_units import LostError, lost, told
from models.engines.lanes import carried
from models.engines.transactions import (
    AwayError,
    Client,
    Line,
    Outermost,
    Prefetching,
    Statements,
    Transaction,
    Unit,
    within_itself,
)
from models.urls import Server

T = TypeVar("T")
Owner = asyncio.Task[Any] | None

CONNECT_TIMEOUT_S = 10.0
ACQUIRE_TIMEOUT_S = 10.0
"""How long a request waits for a connection that others use."""
CLOSE_TIMEOUT_S = 10.0
"""How long closing waits for what is under way."""

_KEEPALIVE = {"TCP_KEEPIDLE": 5, "TCP_KEEPINTVL": 2, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 10_000}
"""After how long a server that has vanished without a word is given up, in Linux's words."""


class Executor(Prefetching, AsyncpgExecutor):
    """The stock executor, prefetching in the task that asked."""


class Connection(asyncpg.Connection):  # type: ignore[misc] # asyncpg has no types
    """A connection that keeps no state between its users, so that there is none to reset on the way back."""

    def get_reset_query(self) -> str:
        """Reset nothing."""
        return ""


async def connect(server: Server, name: str | None = None) -> asyncpg.Connection:
    """Open a connection that belongs to no pool. Raises DBConnectionError, which is a ConnectionError.

    `name` is what the server's list of connections shows.
    """
    arguments = dict(server.arguments)
    if name is not None:
        arguments["server_settings"] = {**arguments["server_settings"], "application_name": name}
    try:
        connection = await asyncpg.connect(timeout=CONNECT_TIMEOUT_S, **arguments)
    except Exception as error:  # noqa: BLE001 - asyncpg has many
        raise unreachable(error) from None
    await _kept_alive(connection)
    return connection


def unreachable(error: Exception) -> DBConnectionError:
    """Say why the server cannot be used."""
    return DBConnectionError(f"the database cannot be reached: {lost(error)}")


async def _kept_alive(connection: asyncpg.Connection) -> None:
    """Have a connection fail within seconds of its server vanishing, not within the kernel's quarter of an hour."""
    wire = connection._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no other way to it
    if wire is not None and wire.family != socket.AF_UNIX:
        wire.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEPALIVE.items():
            if hasattr(socket, name):
                wire.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


class Held:
    """A pool's connection that a task has to itself."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self.connection = connection
        self.owner = asyncio.current_task()

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit and give back what it returns. A cancellation does not wait for it."""
        try:
            return await unit(self.connection)
        except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever asked
            raise told(error, self.connection)  # noqa: B904 - `told` decides what is shown of it

    async def carry(self, unit: Unit[T]) -> T:
        """Run a unit to its end even if the task is cancelled meanwhile; the cancellation comes out afterwards."""
        return await carried(asyncio.ensure_future(self.run(unit)))


class _Postgres(Statements):
    """What Tortoise must know of PostgreSQL."""

    units = units
    query_class = StockClient.query_class
    executor_class = Executor
    schema_generator = AsyncpgSchemaGenerator
    capabilities = StockClient.capabilities


class PostgresClient(_Postgres, Client):
    """A database on a server, over a pool."""

    def __init__(self, server: Server, *, connection_name: str) -> None:
        super().__init__(connection_name)
        self._pool: Pool = asyncpg.create_pool(
            **server.arguments,
            min_size=server.pool_min,
            max_size=server.pool_max,
            init=_kept_alive,
            connection_class=Connection,
            timeout=CONNECT_TIMEOUT_S,
        )
        self._turns = asyncio.Semaphore(server.pool_max - 1)
        self._writing: set[Owner] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._is_open = False
        self._is_closed = False
        self._is_silent = False

    async def create_connection(self, with_db: bool) -> None:  # noqa: ARG002 - Tortoise's signature; nothing is done without a database
        """Connect now, so that a server that cannot be used is known before the first request."""
        try:
            await self._pool
        except Exception as error:  # noqa: BLE001 - asyncpg has many
            raise unreachable(error) from None
        self._is_open = True

    async def close(self) -> None:
        """Finish what is under way, if it takes no longer than `CLOSE_TIMEOUT_S`. The client stays closed."""
        was_open, self._is_open, self._is_closed = self._is_open, False, True
        if not was_open:
            return
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    def hear(self, silent: bool) -> None:
        """Learn from who listens at the server whether anything comes from there at all.

        While nothing does, what is under way fails and nothing is begun: connections that a proxy or a firewall keeps
        up would be waited for without end.
        """
        self._is_silent = silent
        if silent:
            for holder in self._pool._holders:  # noqa: SLF001 - asyncpg would end the whole pool, for good
                holder.terminate()

    @property
    def connections(self) -> Mapping[str, int]:
        """How many connections the pool has, and how many of them nobody uses."""
        return {"open": self._pool.get_size(), "idle": self._pool.get_idle_size()}

    async def begin(self) -> Line:
        """Begin on a connection of the pool that was not found lost."""
        owner = await self._take_turn()
        try:
            return await self._twice(self._begun)
        except BaseException:
            self._end_turn(owner)
            raise

    async def end(self, line: Line) -> None:
        """Give the connection back, and let the next task write."""
        assert isinstance(line, Held)  # noqa: S101 - as `begin` made it
        try:
            await self._pool.release(line.connection)
        finally:
            self._end_turn(line.owner)

    async def _begun(self) -> Held:
        held = await self._held()
        try:
            await held.run(units.begun)
        except BaseException:
            self._leave(held)
            raise
        return held

    async def _held(self) -> Held:
        if self._is_closed:
            raise OperationalError("the database is closed")
        if self._is_silent:
            raise LostError("nothing is heard of it")
        try:
            return Held(await self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S))
        except TimeoutError as error:
            if error.errno is not None:  # it is the network's
                raise lost(error)  # noqa: B904 - as `told`
            raise AwayError("no connection came free") from None  # those that others use are not lost
        except Exception as error:  # noqa: BLE001 - asyncpg has many
            raise lost(error)  # noqa: B904 - as `told`

    def _leave(self, held: Held) -> None:
        """Give a connection back in whatever state it is, and wait for nothing."""
        leaving = asyncio.create_task(self._left(held))
        self._leaving.add(leaving)
        leaving.add_done_callback(self._leaving.discard)

    async def _left(self, held: Held) -> None:
        try:
            await held.connection.execute("", timeout=CLOSE_TIMEOUT_S)  # waits for the cancelled statement's end
            await units.rolled_back(held.connection)
        except Exception:  # noqa: BLE001 - a connection that does not answer is worth nothing
            with suppress(asyncpg.InterfaceError):  # the pool already has it back
                held.connection.terminate()
        await self._pool.release(held.connection)

    async def _take_turn(self) -> Owner:
        owner = asyncio.current_task()
        if owner in self._writing:
            raise within_itself()
        await self._turns.acquire()
        self._writing.add(owner)
        return owner

    def _end_turn(self, owner: Owner) -> None:
        self._writing.discard(owner)
        self._turns.release()

    def _in_transaction(self) -> TransactionContext:
        return Outermost(PostgresTransaction(self))

    async def _read(self, unit: Unit[T]) -> T:
        return await self._twice(partial(self._alone, unit))

    async def _write(self, unit: Unit[T]) -> T:
        owner = await self._take_turn()
        try:
            return await self._alone(unit)
        finally:
            self._end_turn(owner)

    async def _alone(self, unit: Unit[T]) -> T:
        held = await self._held()
        try:
            result = await held.run(unit)
        except BaseException:
            self._leave(held)
            raise
        if not units.is_lost(held.connection) and held.connection.is_in_transaction():
            self._leave(held)
        else:
            await self._pool.release(held.connection)
        return result

    async def _twice(self, attempt: Callable[[], Awaitable[T]]) -> T:
        try:
            return await attempt()
        except LostError:
            await self._pool.expire_connections()
            return await attempt()


class PostgresTransaction(_Postgres, Transaction):
    """A transaction on a connection of the pool."""


client_class = PostgresClient
"""The name under which Tortoise looks for the engine of a module."""
