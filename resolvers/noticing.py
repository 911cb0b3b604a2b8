"""What Latchkey notices by itself: ended secrets that come back. Written to the log beside requests, never in them."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from core.vocabulary import Action
from models import ActorKind, AuditEntry, SecretDigest, Token, now
from resolvers import clock, notices, tokens
from resolvers.background import beside
from resolvers.callers import Caller, Request, with_credential
from resolvers.house import House
from resolvers.reuses import Presented
from resolvers.tokens import CUT_SHORT, ENDED, REUSED
from resolvers.writing import Said, append, fetch_held, opened

PAUSE_S = 1.0
"""How long at least between two rounds."""
ENTRY_EVERY = timedelta(hours=1)
"""How often at most an ended secret is an entry, however often it is presented."""

_log = logging.getLogger(__name__)


@asynccontextmanager
async def noticing(house: House) -> AsyncIterator[None]:
    """Notice what comes back within about a second, and once more at the end."""
    try:
        async with beside(_notice_forever(house)):
            yield
    finally:
        await notice(house)


async def _notice_forever(house: House) -> None:
    while True:
        await house.reuses.waiting.wait()
        await notice(house)
        await asyncio.sleep(PAUSE_S)


async def notice(house: House) -> None:
    """Write what was gathered. What cannot be written now is kept for the next round."""
    gathered = house.reuses.take()
    while gathered:
        secret_id, presented = gathered.popitem()
        try:
            await _notice(house, secret_id, presented)
        except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again
            _log.warning("the return of an ended secret could not be recorded; it is kept", exc_info=True)
            house.reuses.put_back(secret_id, presented)
        except BaseException:
            for each in ((secret_id, presented), *gathered.items()):
                house.reuses.put_back(*each)
            raise


async def _notice(house: House, secret_id: UUID, presented: Presented) -> None:
    secret = await SecretDigest.get_or_none(id=secret_id).select_related("account", "token")
    if secret is None:
        return
    request = Request(house, presented.request_id, presented.address, presented.user_agent)
    caller = await with_credential(secret.account, request, ActorKind.SYSTEM)
    if secret.account.revokes_reused and await _is_held_against(secret):
        await tokens.revoke_reused(caller, secret.token_id, secret.id)
    elif not await _was_noticed(secret):
        await _record(caller, secret)


async def _is_held_against(secret: SecretDigest) -> bool:
    """Say whether its return may end its token: one that lives, and no grace cut short or perhaps not over."""
    ends_at, at = secret.expires_at, now()
    if ends_at is None or ends_at == CUT_SHORT or secret.token.dead(at, secret.account) is not None:
        return False
    return ends_at == ENDED or (ends_at <= at and await clock.is_believed(secret.account_id))


async def _was_noticed(secret: SecretDigest) -> bool:
    """Say whether there is an entry of it within the hour, from whichever process."""
    since = now() - ENTRY_EVERY
    about = AuditEntry.filter(account_id=secret.account_id, target_id=secret.token_id, at__gt=since)
    entries = await about.filter(actor_kind=ActorKind.SYSTEM)
    return any((entry.after or {}).get(REUSED) == str(secret.id) for entry in entries)


async def _record(caller: Caller, secret: SecretDigest) -> None:
    action = Action.REUSE_ACCESS_TOKEN
    async with opened(caller, Said()) as (fresh, head):
        if await _was_noticed(secret):  # asked again with the head locked: another process may have been faster
            return
        token = await Token.get(account_id=secret.account_id, id=secret.token_id)
        await fetch_held(token)
        entry = await append(fresh, head, notices.line(fresh, action, token, {REUSED: str(secret.id)}))
        await notices.tell(fresh, [(entry, notices.reused(token, secret.id, entry.at))])
