"""Meters: how often something happened, and how long it took, since the process began.

They are plain numbers that cost next to nothing to keep, beside what they are about. Who shows them is `web.metrics`.
"""

from bisect import bisect_left
from collections.abc import Awaitable, Callable
from typing import TypeVar

T = TypeVar("T")

BOUNDS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""From an answer out of memory to what is far too long."""


class Spread:
    """How long something took: how often between each two bounds, and in all."""

    __slots__ = ("counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * (len(BOUNDS_S) + 1)
        self.total_s = 0.0

    def took(self, duration_s: float) -> None:
        """Count once more that it happened."""
        self.counts[bisect_left(BOUNDS_S, duration_s)] += 1
        self.total_s += duration_s


class Lookups:
    """How often something was looked for in a memory, and was there."""

    __slots__ = ("found", "missed")

    def __init__(self) -> None:
        self.found = 0
        self.missed = 0


Took = Callable[[str, float], None]
"""Is told what took how many seconds, when that is over."""


class Watch:
    """Tells those who want to know how long something takes. There are none unless the settings ask for it."""

    __slots__ = ("_clock_s", "_told", "is_on")

    def __init__(self, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._told: tuple[Took, ...] = ()
        self.is_on = False

    def tell(self, *told: Took) -> None:
        """Tell these from here on, and no others."""
        self._told = told
        self.is_on = bool(told)

    def begun_s(self) -> float:
        """Give the time at which something begins, 0 if nobody wants to know."""
        return self._clock_s() if self.is_on else 0.0

    def over(self, what: str, began_s: float) -> None:
        """Say that something is over. What began while nobody wanted to know is left out."""
        if began_s:
            duration_s = self._clock_s() - began_s
            for took in self._told:
                took(what, duration_s)

    async def through(self, what: str, running: Awaitable[T]) -> T:
        """Wait for something, and say that it is over, however it ended."""
        began_s = self.begun_s()
        try:
            return await running
        finally:
            self.over(what, began_s)
