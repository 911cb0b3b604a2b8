"""Lanes: SQLite connections with a thread each, off the event loop, indifferent to cancellation."""

import asyncio
import queue
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TypeVar

from tortoise.exceptions import IntegrityError, OperationalError

T = TypeVar("T")
Unit = Callable[[sqlite3.Connection], T]
"""Work on one connection: a plain function, run on a lane's thread."""


class Lane:
    """Connections of one kind, opened when first needed, and as many threads. Units wait in line, first come first.

    A unit that a thread has begun runs to its end, whatever is cancelled; one still in line is dropped when nobody
    waits for it any more. So a lane is never left in the middle of a unit, and what must be undone is put in line
    behind what it undoes. Errors of sqlite3 come out as Tortoise's.
    """

    def __init__(self, name: str, connect: Callable[[], sqlite3.Connection], size: int = 1) -> None:
        self._connect = connect
        self._idle: queue.SimpleQueue[sqlite3.Connection] = queue.SimpleQueue()
        self._threads = ThreadPoolExecutor(size, thread_name_prefix=name)

    async def run(self, unit: Unit[T]) -> T:
        """Run a unit and give back what it returns. A cancellation does not wait for it."""
        return await self._start(unit)

    async def carry(self, unit: Unit[T]) -> T:
        """Run a unit to its end even if the task is cancelled meanwhile; the cancellation comes out afterwards."""
        return await carried(self._start(unit))

    def post(self, unit: Unit[object]) -> None:
        """Put a unit in line and wait for nothing. On a closed lane there is nothing left to do."""
        with suppress(RuntimeError):
            self._threads.submit(self._work, unit)

    async def close(self) -> None:
        """Finish what is in line, end the threads, close the connections."""
        self._threads.shutdown(wait=False)
        await carried(asyncio.ensure_future(asyncio.to_thread(self._end)))

    def _start(self, unit: Unit[T]) -> asyncio.Future[T]:
        try:
            return asyncio.wrap_future(self._threads.submit(self._work, unit))
        except RuntimeError as error:
            raise OperationalError("the database is closed") from error

    def _work(self, unit: Unit[T]) -> T:
        try:
            connection = self._take()
            try:
                return unit(connection)
            finally:
                self._idle.put(connection)
        except sqlite3.IntegrityError as error:
            raise IntegrityError(error) from error
        except sqlite3.DatabaseError as error:
            raise OperationalError(error) from error

    def _take(self) -> sqlite3.Connection:
        try:
            return self._idle.get_nowait()
        except queue.Empty:
            return self._connect()  # at most once a thread, since each gives back what it took

    def _end(self) -> None:
        self._threads.shutdown(wait=True)
        with suppress(queue.Empty):
            while True:
                self._idle.get_nowait().close()


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
