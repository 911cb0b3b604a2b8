"""A bell for those who wait for an account's log to grow: rung by every change that this process commits."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID

from core.errors import RateLimited

MAX_LISTENING = 20
"""How often one member or token listens at a time, at most: every change wakes them all."""
WAIT_S = 60
"""What one who listens too often already is told to wait for."""


class Bell:
    """Who listens, by account. What other processes commit, it does not know."""

    def __init__(self) -> None:
        self._listening: dict[UUID, set[asyncio.Event]] = defaultdict(set)
        self._times: Counter[str] = Counter()

    def ring(self, account_id: UUID) -> None:
        """Wake whoever listens to this account."""
        for heard in self._listening.get(account_id, ()):
            heard.set()

    @contextmanager
    def listening(self, account_id: UUID, whose: str) -> Iterator[asyncio.Event]:
        """Listen to an account; the event is set by every ring, and cleared by the listener.

        Raises `RateLimited` for one who listens often enough already.
        """
        if self._times[whose] >= MAX_LISTENING:
            raise RateLimited(WAIT_S)
        heard = asyncio.Event()
        self._times[whose] += 1
        self._listening[account_id].add(heard)
        try:
            yield heard
        finally:
            self._times[whose] -= 1
            if not self._times[whose]:
                del self._times[whose]
            self._listening[account_id].discard(heard)
            if not self._listening[account_id]:
                del self._listening[account_id]
