"""How often somebody may fail to sign in, per e-mail address and per network address."""

import math
import time

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.aio.storage import MemoryStorage
from limits.aio.strategies import MovingWindowRateLimiter

from core.errors import RateLimited

PER_EMAIL = RateLimitItemPerMinute(10, 5)
PER_ADDRESS = RateLimitItemPerMinute(50, 5)


class Attempts:
    """Failures of one process, kept in memory. Success costs nothing."""

    def __init__(self) -> None:
        self._limiter = MovingWindowRateLimiter(MemoryStorage())

    async def allow(self, email_key: str, address: str | None) -> None:
        """Raise `RateLimited` while there were too many failures."""
        for limit, whose in _watched(email_key, address):
            if not await self._limiter.test(limit, whose):
                window = await self._limiter.get_window_stats(limit, whose)
                raise RateLimited(max(1, math.ceil(window.reset_time - time.time())))

    async def failed(self, email_key: str, address: str | None) -> None:
        """Count a failure."""
        for limit, whose in _watched(email_key, address):
            await self._limiter.hit(limit, whose)


def _watched(email_key: str, address: str | None) -> list[tuple[RateLimitItem, str]]:
    return [(PER_EMAIL, f"email/{email_key}"), (PER_ADDRESS, f"address/{address or '-'}")]
