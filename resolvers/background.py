"""What is done beside requests, for as long as the server runs."""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from logging import Logger
from typing import Any, TypeVar

from models.database import outside_transaction

T = TypeVar("T")

_log = logging.getLogger(__name__)

NICENESS = 5
"""How nice a thread is that computes: where the event loop wants the same core, it gets a third of what that gets."""


def stand_back() -> None:
    """Have this thread leave its core to the event loop, where it may: only Linux knows how nice a thread is.

    Only for threads that do without Python's lock: whoever else wants the core would keep them from giving it back.
    """
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # a sandbox may refuse it
            os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICENESS)


@asynccontextmanager
async def beside(*running: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something for as long as this is open. At its end that is cancelled, and has ended when this returns.

    What ends by an exception before is told in the log at once, and raises it at the end.
    """
    tasks = [asyncio.create_task(each, context=outside_transaction()) for each in running]
    for task in tasks:
        task.add_done_callback(_tell)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in tasks:
        with suppress(asyncio.CancelledError):
            task.result()


def _tell(task: asyncio.Task[None]) -> None:
    error = None if task.cancelled() else task.exception()
    if error is not None:
        what = getattr(task.get_coro(), "__qualname__", "something")
        _log.error("`%s` has ended, and is not done again until a restart", what, exc_info=error)


async def over_and_over(do: Callable[[], Awaitable[None]], pause_s: float, log: Logger, trouble: str) -> None:
    """Do something again and again, with a pause between; what fails is told in the log, and done the next time."""
    while True:
        try:
            await do()
        except Exception:
            log.warning(trouble, exc_info=True)
        await asyncio.sleep(pause_s)


async def together(
    claimed: Callable[[int], Awaitable[list[T]]], do: Callable[[T], Awaitable[None]], most: int, pause_s: float
) -> None:
    """Do all that can be claimed, so much of it at a time at most, until there is nothing and all is done.

    `claimed` takes up to so many; what became due meanwhile is seen after a pause at the latest.
    """
    under_way: set[asyncio.Future[None]] = set()
    try:
        while True:
            under_way |= {asyncio.ensure_future(do(each)) for each in await claimed(most - len(under_way))}
            if not under_way:
                return
            _, under_way = await asyncio.wait(under_way, timeout=pause_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
