"""What is done beside requests, for as long as the server runs."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any

from models.database import outside_transaction


@asynccontextmanager
async def beside(*running: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run something for as long as this is open. At its end that is cancelled, and has ended when this returns."""
    tasks = [asyncio.create_task(each, context=outside_transaction()) for each in running]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for task in tasks:
            with suppress(asyncio.CancelledError):
                await task
