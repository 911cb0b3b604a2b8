"""Whether the process is up, and whether it can do its work."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from core.secret import redacted
from models.migrator import DatabaseTooNewError

READY_TIMEOUT_S = 2.0

_log = logging.getLogger(__name__)
_NO_STORE = {"Cache-Control": "no-store"}


class EndingError(Exception):
    """The process answers for a while yet, so that others are asked instead before it ends."""


async def healthz(_: Request) -> Response:
    """Answer: the process is up."""
    return PlainTextResponse("ok\n", headers=_NO_STORE)


def readyz(database_answers: Callable[[], Awaitable[object]]) -> Callable[[Request], Awaitable[Response]]:
    """Make the endpoint that asks the database something, and answers 503 if no answer comes, or none that will do."""

    async def answer(_: Request) -> Response:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await database_answers()
        except EndingError:
            return _not_ready("the server is about to end")
        except DatabaseTooNewError:
            return _not_ready("the database was migrated by a later version")
        except Exception as error:  # noqa: BLE001 - whatever keeps the database from answering
            _log.warning("not ready: %s", redacted(repr(error)))
            return _not_ready("the database does not answer")
        return PlainTextResponse("ready\n", headers=_NO_STORE)

    return answer


def _not_ready(why: str) -> Response:
    return PlainTextResponse(f"{why}\n", 503, headers=_NO_STORE)
