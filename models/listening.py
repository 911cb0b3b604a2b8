"""Versions in a PostgreSQL database: remembered, and heard of when they change.

A trigger on `account` notifies of each new version, so that whoever commits one tells all processes. A listener that
has lost its connection does not know it, so what is remembered counts only for `TRUSTED_S` after a heartbeat: a
statement sent by the listener's own connection, whose answer PostgreSQL sends after all notifications of what was
committed before the statement came in. Without that, every use asks the database.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from contextvars import Context
from uuid import UUID

from asyncpg import Connection

from models.engines.lanes import carried

CHANNEL = "latchkey_version"
TRUSTED_S = 0.5
"""For how long after the sending of an answered heartbeat what is remembered counts."""
HEARTBEAT_EVERY_S = 0.15
PATIENCE_S = 2.0
"""How long the listener waits for an answer before it gives the connection up."""
MOST_PAUSE_S = 1.0
"""Between attempts to connect again."""
MOST_KNOWN = 100_000
ATTEMPTS = 2
"""After how many attempts to connect that nothing came back from the server counts as silent."""

_log = logging.getLogger(__name__)


class HeardVersions:
    """The versions that this process knows.

    `ask` reads an account's committed version outside any transaction, None if there is no such account.
    """

    def __init__(
        self, ask: Callable[[UUID], Awaitable[int | None]], clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._ask = ask
        self._clock_s = clock_s
        self._known: dict[UUID, int] = {}
        self._confirmed_at_s = -TRUSTED_S
        self._heard = 0
        """Counts whatever may have made a version that is being read an old one."""

    def known(self, account_id: UUID) -> int | None:
        """Give the version; None if a change may not have been heard of yet, or if it was not asked for since."""
        is_trusted = self._clock_s() - self._confirmed_at_s < TRUSTED_S
        return self._known.get(account_id) if is_trusted else None

    async def read(self, account_id: UUID) -> int:
        """Ask the database. Raises LookupError if there is no such account."""
        heard = self._heard
        version = await self._ask(account_id)
        if version is None:
            raise LookupError(f"there is no account `{account_id}`")
        if heard == self._heard:  # else it raced with a change, and may be the one before
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[account_id] = version
        return version

    def changed(self, account_id: UUID) -> None:
        """Forget what is known of an account."""
        self._known.pop(account_id, None)
        self._heard += 1

    def confirm(self, sent_at_s: float) -> None:
        """Note that all that was committed before this moment has been heard."""
        self._confirmed_at_s = sent_at_s

    def lose(self) -> None:
        """Note that something may have been missed: nothing is known any more."""
        self._confirmed_at_s = -TRUSTED_S
        self._known.clear()
        self._heard += 1

    @asynccontextmanager
    async def listening(
        self, connect: Callable[[], Awaitable[Connection]], hear: Callable[[bool], object] = bool
    ) -> AsyncIterator[None]:
        """Listen while this is open, on connections of its own, connecting again whenever one is lost.

        `hear` is told whether the server is silent: it neither answers nor refuses.
        """
        listener = asyncio.create_task(self._listen_forever(connect, hear), context=Context())
        try:
            yield
        finally:
            listener.cancel()
            await carried(asyncio.ensure_future(asyncio.wait((listener,))))

    async def _listen_forever(
        self, connect: Callable[[], Awaitable[Connection]], hear: Callable[[bool], object]
    ) -> None:
        pause_s, unanswered = HEARTBEAT_EVERY_S, 0
        while True:
            try:
                async with asyncio.timeout(PATIENCE_S):  # `wait_for` may swallow a cancellation before Python 3.12
                    connection = await connect()
            except Exception as error:  # noqa: BLE001 - whatever keeps it from connecting, it tries again
                _log.warning("no listener, so every request asks the database: %s", type(error).__name__)
                unanswered = unanswered + 1 if isinstance(error, TimeoutError) else 0
                hear(unanswered >= ATTEMPTS)
            else:
                pause_s, unanswered = HEARTBEAT_EVERY_S, 0
                hear(False)
                if not await self._listen(connection):
                    return
            await asyncio.sleep(pause_s)
            pause_s = min(2 * pause_s, MOST_PAUSE_S)

    async def _listen(self, connection: Connection) -> bool:
        """Listen on one connection until it is lost; say whether another one may do better."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                if await connection.fetchval("SELECT pg_backend_pid()") != connection.get_server_pid():
                    # A pooler answers heartbeats on whichever of its connections, and loses what the others hear.
                    _log.warning("no listener, so every request asks the database: it is reached through a pooler")
                    return False
                await connection.add_listener(CHANNEL, self._notified)
            self.lose()  # what was committed before was not heard, nor can an answer under way be trusted
            while True:
                sent_at_s = self._clock_s()
                async with asyncio.timeout(PATIENCE_S):
                    await connection.execute("SELECT 1")
                self.confirm(sent_at_s)
                await asyncio.sleep(HEARTBEAT_EVERY_S)
        except Exception as error:  # noqa: BLE001 - however it was lost
            _log.warning("the listener lost its connection, and connects again: %s", type(error).__name__)
        finally:
            connection.terminate()
        return True

    def _notified(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        with suppress(ValueError):
            self.changed(UUID(str(payload).partition(" ")[0]))
