"""Lanes: aiosqlite connections that work off what is in line, indifferent to cancellation."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Any, TypeVar

from aiosqlite import Connection
from tortoise.exceptions import OperationalError

from models.engines.soundness import Soundness
from models.engines.transactions import Unit

T = TypeVar("T")

_keepers: set[asyncio.Task[None]] = set()
"""All keepers at work. An event loop holds its tasks weakly, and a keeper that is forgotten could not close."""


class Lane:
    """Connections of one kind, opened when first needed, with a keeper each. Units wait in line, first come first.

    A cancelled `await connection.execute()` leaves the statement running on aiosqlite's thread. So nobody but its
    keeper, a task of its own in a clean context, ever awaits a connection: a unit that was begun runs to its end,
    whoever is cancelled; one still in line is dropped when nobody waits for it any more. What must be undone is put
    in line behind what it undoes. Errors of sqlite3 come out as Tortoise's.

    aiosqlite's threads keep a process alive until they are closed. If `close` is forgotten, the end of the event loop
    cancels the keepers, and they close.
    """

    def __init__(self, connect: Callable[[], Awaitable[Connection]], soundness: Soundness, size: int = 1) -> None:
        self._connect = connect
        self._soundness = soundness
        self._size = size
        self._line: asyncio.Queue[tuple[Unit[Any], asyncio.Future[Any]] | None] = asyncio.Queue()
        self._kept: list[asyncio.Task[None]] = []
        self._closed = False

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit and give back what it returns. A cancellation does not wait for it. Raises `DamagedError`."""
        self._soundness.require()
        return await self._start(unit)

    async def carry(self, unit: Unit[T]) -> T:
        """Run a unit to its end even if the task is cancelled meanwhile; the cancellation comes out afterwards.

        What was begun is ended also in a file that is damaged.
        """
        return await carried(self._start(unit))

    def post(self, unit: Unit[object]) -> None:
        """Put a unit in line and wait for nothing. On a closed lane there is nothing left to do."""
        with suppress(OperationalError):
            self._start(unit)

    def __len__(self) -> int:
        return len(self._kept)

    async def close(self) -> None:
        """Finish what is in line and close the connections. Closing twice is closing once."""
        self._closed = True
        self._line.put_nowait(None)
        await carried(asyncio.gather(*self._kept))

    def _start(self, unit: Unit[T]) -> asyncio.Future[T]:
        if self._closed:
            raise OperationalError("the database is closed")
        while len(self._kept) < self._size:
            keeper = asyncio.create_task(self._keep(), context=Context())
            self._kept.append(keeper)
            _keepers.add(keeper)
            keeper.add_done_callback(_keepers.discard)
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._line.put_nowait((unit, answer))
        return answer

    async def _keep(self) -> None:
        """Own a connection: open it for the first unit, serve one after the other, close it when the lane closes."""
        connection: Connection | None = None
        try:
            while waiting := await self._line.get():
                unit, answer = waiting
                if answer.cancelled():
                    continue
                try:
                    connection = connection or await self._connect()
                    result = await unit(connection)
                except Exception as error:  # noqa: BLE001 - whatever it is, it belongs to whoever asked
                    told = self._soundness.told(error)
                    if not answer.cancelled():
                        answer.set_exception(told)
                        answer.exception()  # seen, even if its caller has just left
                else:
                    if not answer.cancelled():
                        answer.set_result(result)
                finally:
                    answer.cancel()  # changes nothing unless the event loop ends
        finally:
            self._end()
            if connection:
                await connection.close()

    def _end(self) -> None:
        """Leave nobody waiting, and let the other keepers end too."""
        self._closed = True
        while not self._line.empty():
            if waiting := self._line.get_nowait():
                waiting[1].cancel()
        self._line.put_nowait(None)


async def carried(future: asyncio.Future[T]) -> T:
    """Wait until the future is done even if this task is cancelled; the cancellation comes out afterwards."""
    cancelled: asyncio.CancelledError | None = None
    while not future.done():
        try:
            await asyncio.wait((future,))
        except asyncio.CancelledError as error:
            cancelled = error
    if cancelled:
        raise cancelled from future.exception()
    return future.result()
