"""How often limited tokens are used, counted in the memory of one process: of several, each counts for itself."""

import math
import time
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

from limits import (
    RateLimitItem,
    RateLimitItemPerDay,
    RateLimitItemPerHour,
    RateLimitItemPerMinute,
    RateLimitItemPerSecond,
)
from limits.storage import MemoryStorage
from limits.strategies import MovingWindowRateLimiter

from core.errors import RateLimited
from core.rates import Rate
from resolvers.restrictions import Counted

_ITEMS: dict[str, type[RateLimitItem]] = {
    "second": RateLimitItemPerSecond,
    "minute": RateLimitItemPerMinute,
    "hour": RateLimitItemPerHour,
    "day": RateLimitItemPerDay,
}
_LOOKED_AT = 2
"""How many keys are looked at for each that is used: more than can come in, so that what is over does not stay."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a limit stands: how many more uses it lets through, and in how many seconds it lets through more."""

    name: str
    rate: Rate
    remaining: int
    reset_s: int


class Rates:
    """What was used of all limits within their windows."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(_Storage())

    def take(self, counted: Sequence[Counted], standings: list[Standing]) -> None:
        """Count a use towards every limit, and add to `standings` how they stand then.

        Where one of them leaves no room it counts towards none. Raises `RateLimited`.
        """
        asked = [(_ITEMS[each.rate.unit](each.rate.amount), str(each.whose)) for each in counted]
        room = [self._limiter.test(item, whose) for item, whose in asked]
        if all(room):
            for item, whose in asked:
                self._limiter.hit(item, whose)
        standings += [self._standing(each, *key) for each, key in zip(counted, asked, strict=True)]
        if not all(room):
            waits_s = [stands.reset_s for stands, has in zip(standings, room, strict=True) if not has]
            raise RateLimited(max(waits_s), "requests")

    def _standing(self, counted: Counted, item: RateLimitItem, whose: str) -> Standing:
        stats = self._limiter.get_window_stats(item, whose)
        reset_s = max(1, math.ceil(stats.reset_time - time.time()))  # nosemgrep: one-clock - the limiter goes by it
        return Standing(counted.name, counted.rate, max(0, stats.remaining), reset_s)


class _Storage(MemoryStorage):
    """The library's memory, but one that forgets in passing.

    By itself it looks through all its keys in a thread, up to a hundred times a second, and keeps those that are empty:
    a third of a core for 20,000 limited tokens, which those without limits would pay too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timer.cancel()

    def _MemoryStorage__schedule_expiry(self) -> None:  # noqa: N802 - where the library would start its thread
        """Drop what is over of the keys that were not looked at for longest."""
        for key in list(islice(self.events, _LOOKED_AT)):
            entries = self.events.pop(key)
            now_s = time.time()  # nosemgrep: one-clock - as above
            del entries[bisect_left(entries, -now_s, key=lambda entry: -entry.expiry) :]
            if entries:
                self.events[key] = entries
            else:
                self.locks.pop(key, None)
