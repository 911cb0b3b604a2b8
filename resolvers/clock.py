"""Whether the clock is believed, where what it leads to cannot be taken back.

A clock that leaps ahead makes everything look old. It is believed once it has gone on for hours: as this process has
seen, by a clock that nobody sets, or as the log says, which then has an entry as old as that.
"""

import time
from collections.abc import Callable
from datetime import timedelta
from uuid import UUID

from models import AuditEntry, now

SETTLES = timedelta(hours=6)
"""For how long a clock has to go on since the process began, or since it leapt."""
LEAP = timedelta(days=2)
"""How far a clock may get ahead and be believed all the same: by so much is a deed too early at most."""


class Watch:
    """Holds the clock against one that nobody sets."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._since_s = clock_s()
        self._zero = now() - timedelta(seconds=self._since_s)
        """What time it was when the other clock stood at zero, by the earliest that this one ever said."""

    def went_on(self) -> timedelta:
        """Say for how long the clock has gone on without a leap ahead. A leap counts from when it is seen here."""
        at_s = self._clock_s()
        zero = now() - timedelta(seconds=at_s)
        if zero > self._zero + LEAP:
            self._since_s, self._zero = at_s, zero
        self._zero = min(self._zero, zero)
        return timedelta(seconds=at_s - self._since_s)


_watch = Watch()


async def is_believed(account_id: UUID) -> bool:
    """Say whether the clock has gone on for `SETTLES`: in this process, or since an entry of the account's log."""
    if _watch.went_on() >= SETTLES:
        return True
    at = now()
    return await AuditEntry.filter(account_id=account_id, at__gt=at - LEAP, at__lte=at - SETTLES).exists()
