"""Who may run now: so many operations of each caller at once, and a short line of those that wait for their turn."""

import asyncio
from collections.abc import Hashable
from dataclasses import dataclass

from core.errors import RateLimited

RETRY_AFTER_S = 1


@dataclass(slots=True)
class _Line:
    """One caller's operations: how many run or wait, and what lets so many of them run."""

    free: asyncio.Semaphore
    count: int = 0


class Turns:
    """The lines of all callers that have any operation. One that has none is forgotten."""

    def __init__(self, running: int, waiting: int) -> None:
        self._running = running
        self._most = running + waiting
        self._lines: dict[Hashable, _Line] = {}

    async def begin(self, whose: Hashable) -> None:
        """Wait for a turn, which is given back by `end`. Raises `RateLimited` if too many wait."""
        line = self._lines.get(whose)
        if line is None:
            line = self._lines[whose] = _Line(asyncio.Semaphore(self._running))
        if line.count >= self._most:
            raise RateLimited(RETRY_AFTER_S, "operations at once")
        line.count += 1
        try:
            await line.free.acquire()
        except BaseException:
            self._leave(whose, line)
            raise

    def end(self, whose: Hashable) -> None:
        """Give a turn back, to whoever waited for longest."""
        line = self._lines[whose]
        line.free.release()
        self._leave(whose, line)

    def _leave(self, whose: Hashable, line: _Line) -> None:
        line.count -= 1
        if not line.count:
            del self._lines[whose]

    def __len__(self) -> int:
        return len(self._lines)
