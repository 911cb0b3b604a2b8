"""Secrets that were presented after they had ended: gathered in memory, beside the requests that they came with."""

import asyncio
from typing import NamedTuple
from uuid import UUID

MOST = 1_000
"""How many secrets are gathered at once. Further ones are noticed when they come back."""


class Presented(NamedTuple):
    """The request that an ended secret came with first: its id, from where, and by which program."""

    request_id: str
    address: str | None
    user_agent: str | None


class Reuses:
    """The ended secrets that were presented since they were last taken, by the ids of their digests."""

    def __init__(self) -> None:
        self._first: dict[UUID, Presented] = {}
        self.times = 0
        """How often one was presented since the process began."""
        self.waiting = asyncio.Event()
        """Set while there are any."""

    def note(self, secret_id: UUID, presented: Presented) -> None:
        """Note that an ended secret was presented now."""
        self.times += 1
        if secret_id not in self._first:
            self.put_back(secret_id, presented)

    def put_back(self, secret_id: UUID, presented: Presented) -> None:
        """Gather what was taken and could not be recorded: before all that came since, and not counted again."""
        if secret_id in self._first or len(self._first) < MOST:
            self._first[secret_id] = presented
            self.waiting.set()

    def take(self) -> dict[UUID, Presented]:
        """Give what was gathered, and begin anew."""
        taken, self._first = self._first, {}
        self.waiting.clear()
        return taken
