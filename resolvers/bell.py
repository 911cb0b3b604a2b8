"""A bell for those who wait for an account's log to grow: rung by every change that this process commits."""

import asyncio
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import UUID


class Bell:
    """Who listens, by account. What other processes commit, it does not know."""

    def __init__(self) -> None:
        self._listening: dict[UUID, set[asyncio.Event]] = defaultdict(set)

    def ring(self, account_id: UUID) -> None:
        """Wake whoever listens to this account."""
        for heard in self._listening.get(account_id, ()):
            heard.set()

    @contextmanager
    def listening(self, account_id: UUID) -> Iterator[asyncio.Event]:
        """Listen to an account; the event is set by every ring, and cleared by the listener."""
        heard = asyncio.Event()
        self._listening[account_id].add(heard)
        try:
            yield heard
        finally:
            self._listening[account_id].discard(heard)
            if not self._listening[account_id]:
                del self._listening[account_id]
