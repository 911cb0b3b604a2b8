"""What each caller may spend within a minute, counted in the memory of one process: of several, each counts for itself.

A leaky bucket: all of it may be spent at once, and comes back evenly. Of each there is but one number to keep.
"""

import math
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import islice
from typing import Self

from core.errors import RateLimited

WINDOW_S = 60
_LOOKED_AT = 2
"""How many are looked at for each that spends: more than can come in, so that whoever has all of it again goes."""


class Budget:
    """So many points a minute for each."""

    def __init__(self, points: int, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.points = points
        self._clock_s = clock_s
        self._whole_at_s: OrderedDict[Hashable, float] = OrderedDict()
        """When each has all of it again. Those who are not here have."""

    def spend(self, whose: Hashable, points: int) -> tuple[int, int]:
        """Spend some of it; gives how many points are left, and in how many seconds there are all again.

        Raises `RateLimited`, and nothing is spent, if there are fewer.
        """
        at_s = self._clock_s()
        self._forget(at_s)
        whole_at_s = max(at_s, self._whole_at_s.get(whose, at_s)) + points * WINDOW_S / self.points
        short_s = whole_at_s - at_s - WINDOW_S
        if short_s > 0:
            raise RateLimited(math.ceil(short_s), "points spent")
        self._whole_at_s[whose] = whole_at_s
        return math.floor(-short_s * self.points / WINDOW_S), math.ceil(whole_at_s - at_s)

    def _forget(self, at_s: float) -> None:
        for whose in list(islice(self._whole_at_s, _LOOKED_AT)):
            whole_at_s = self._whole_at_s.pop(whose)
            if whole_at_s > at_s:
                self._whole_at_s[whose] = whole_at_s

    def __len__(self) -> int:
        return len(self._whole_at_s)


@dataclass(frozen=True, slots=True)
class Allowance:
    """What one kind of caller may spend: on one operation, and in a minute if that is limited."""

    cost: int
    budget: Budget | None

    @classmethod
    def of(cls, cost: int, cost_a_minute: int | None) -> Self:
        """Make one. What costs more than all of a minute is never affordable, so that it is no question of time."""
        if cost_a_minute is None:
            return cls(cost, None)
        return cls(min(cost, cost_a_minute), Budget(cost_a_minute))

    def with_more(self, cost: int) -> int:
        """Say what an operation may cost that may cost so much more than others: no more than all of a minute."""
        return self.cost + cost if self.budget is None else min(self.cost + cost, self.budget.points)
