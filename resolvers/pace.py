"""How much each may do within a minute, counted in the memory of one process."""

import math
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable

from core.errors import RateLimited

WINDOW_S = 60
MOST = 10_000
"""How many are remembered; of more, whoever has done nothing for longest is forgotten."""


class Pace:
    """What each has done in the last minute, as (when, how much). Whoever has done nothing since is forgotten."""

    def __init__(self, most: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._clock_s = clock_s
        self._done: OrderedDict[Hashable, deque[tuple[float, int]]] = OrderedDict()  # whoever did something last, last

    def take(self, whose: Hashable, many: int) -> None:
        """Count `many`, no more than a minute may hold. Raises `RateLimited`, and counts none, if they are too many."""
        at_s = self._clock_s()
        self._forget(at_s - WINDOW_S)
        done = self._done.setdefault(whose, deque())
        self._done.move_to_end(whose)
        _drop(done, at_s - WINDOW_S)  # where others, who did something before, are not forgotten yet
        too_many = sum(each for _, each in done) + many - self._most
        for since_s, each in done:
            if too_many <= 0:
                break
            too_many -= each
            if too_many <= 0:
                raise RateLimited(max(1, math.ceil(since_s + WINDOW_S - at_s)))
        done.append((at_s, many))
        while len(self._done) > MOST:
            self._done.popitem(last=False)

    def _forget(self, until_s: float) -> None:
        while self._done:
            whose, done = next(iter(self._done.items()))
            _drop(done, until_s)
            if done:
                return
            del self._done[whose]


def _drop(done: deque[tuple[float, int]], until_s: float) -> None:
    while done and done[0][0] <= until_s:
        done.popleft()
