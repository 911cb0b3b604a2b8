"""When and from where tokens were last used: gathered in memory, written every few seconds beside the log.

The only writes that verifying a token causes. They change no version, so no memory of what a token may do is lost.
"""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from tortoise.expressions import Q
from tortoise.transactions import in_transaction

from models import Token, now
from models.database import outside_transaction

FLUSH_EVERY_S = 5.0
BATCH = 500
"""How many are written in one transaction, so that other writers wait milliseconds."""

_log = logging.getLogger(__name__)


class Use(NamedTuple):
    """One use of a token."""

    at: datetime
    address: str | None
    user_agent: str | None


class Uses:
    """The last use of each token since the last flush. What a process that dies had gathered is lost."""

    def __init__(self) -> None:
        self._last: dict[UUID, Use] = {}

    def note(self, token_id: UUID, address: str | None, user_agent: str | None) -> None:
        """Note that a token was used now."""
        self._last[token_id] = Use(now(), address, user_agent)

    async def flush(self) -> None:
        """Write what was gathered. A later use that another process wrote stays; a token being changed waits."""
        waiting: dict[UUID, Use] = {}
        while self._last:
            batch = dict(self._last.popitem() for _ in range(min(BATCH, len(self._last))))
            try:
                async with in_transaction():
                    free = await _locked(list(batch))
                    for token_id in free:
                        await _write(token_id, batch[token_id])
            except BaseException:
                self._last = batch | waiting | self._last
                raise
            waiting |= {token_id: use for token_id, use in batch.items() if token_id not in free}
        self._last = waiting | self._last

    @asynccontextmanager
    async def flushed(self) -> AsyncIterator[None]:
        """Flush every few seconds, and once more at the end."""
        flushing = asyncio.create_task(self._flush_forever(), context=outside_transaction())
        try:
            yield
        finally:
            flushing.cancel()
            with suppress(asyncio.CancelledError):
                await flushing
            await self.flush()

    async def _flush_forever(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY_S)
            try:
                await self.flush()
            except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again
                _log.warning("last uses of tokens could not be written; they are kept", exc_info=True)


async def _locked(token_ids: list[UUID]) -> set[UUID]:
    """Lock tokens, but none that somebody else has locked: who holds some and waits for others may wait for good."""
    return {token.id for token in await Token.filter(id__in=token_ids).select_for_update(skip_locked=True).only("id")}


async def _write(token_id: UUID, use: Use) -> None:
    earlier = Q(last_used_at__isnull=True) | Q(last_used_at__lt=use.at)
    await Token.filter(earlier, id=token_id).update(
        last_used_at=use.at, last_used_address=use.address, last_used_agent=use.user_agent
    )
