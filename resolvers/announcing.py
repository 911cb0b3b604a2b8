"""What Latchkey announces by itself: tokens that are about to end, and account-wide ones that are used.

Every process looks through all accounts every minute, and each thing is noticed once.
"""

import logging
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from uuid import UUID

from tortoise.expressions import Q
from tortoise.query_utils import Prefetch
from tortoise.queryset import QuerySet

from core.slices import sliced
from core.vocabulary import Action
from models import Account, NoticeKind, Token, TokenKind, TokenRole, living, now
from resolvers import notices
from resolvers.background import beside, over_and_over
from resolvers.house import House, Looked
from resolvers.notices import News
from resolvers.writing import Said, append_all, opened

LOOK_EVERY_S = 60.0
DAYS = (14, 7, 1)
"""How many days before its end a token's is announced."""
FIRST_DAY = timedelta(days=1)
"""What would be announced in a token's first day is left out: whoever made it has just said when it ends.

But not where new lifetimes of the account said it since.
"""
USED_WITHIN = timedelta(days=2)
"""How far back uses of account-wide tokens are looked for, so that what was used before a midnight is not lost."""
BATCH = 200
"""How many tokens are looked at together."""
CHUNK = 50
"""Of how many notices are made in one transaction, so that other writers and requests wait a moment only."""

_TROUBLE = "it could not be looked for what is to be announced; that is done again"

_log = logging.getLogger(__name__)


def announcing(house: House) -> AbstractAsyncContextManager[None]:
    """Look now and then, for as long as this is open."""
    return beside(_announce_forever(house))


async def _announce_forever(house: House) -> None:
    await over_and_over(lambda: announce(house), LOOK_EVERY_S, _log, _TROUBLE)


async def announce(house: House) -> None:
    """Look through all accounts once. What fails is looked for again the next time, and holds up no other account."""
    for account in await Account.all().order_by("id"):
        try:
            await _announce_ends(house, account)
            await _notice_legacy_uses(house, account)
        except Exception:  # noqa: BLE001 - whatever the database says, the next round tries again
            _log.warning(_TROUBLE, exc_info=True)


async def _announce_ends(house: House, account: Account) -> None:
    """Announce the ends that come nearer than so many days. Of several announcements that are due, the nearest is made.

    While an account does not change, no other ends come near than those which time brings: new tokens announce nothing
    in their first day, unless it changes. A clock that was set back makes it look at all again.
    """
    at, looked = now(), house.announced.get(account.id)
    since = looked.until if looked and looked.version == account.version and looked.until <= at else None
    for days, nearer in pairwise((*DAYS, 0)):
        begin = at + timedelta(days=nearer)
        if since is not None:
            begin = max(begin, since + timedelta(days=days))
        await _announce_between(house, account, days, begin, at + timedelta(days=days))
    house.announced[account.id] = Looked(account.version, at)


async def _announce_between(house: House, account: Account, days: int, begin: datetime, end: datetime) -> None:
    tokens = Token.filter(account_id=account.id, revoked_at=None)
    ending = tokens.filter(expires_at__gt=begin, expires_at__lte=end, kind__not=TokenKind.SESSION)
    async for found in _by_end(ending):
        await _announce(house, account, days, found)
    retired_at = account.legacy_ends_at
    if retired_at is not None and begin < retired_at <= end:
        async for found in _by_id(tokens.filter(kind=TokenKind.ACCOUNT)):
            await _announce(house, account, days, [token for token in found if token.ends_at(account) == retired_at])


async def _by_end(tokens: QuerySet[Token]) -> AsyncIterator[list[Token]]:
    later = Q()
    while found := await tokens.filter(later).order_by("expires_at", "id").limit(BATCH):
        yield found
        last = found[-1]
        later = Q(expires_at__gte=last.expires_at) & (Q(expires_at__gt=last.expires_at) | Q(id__gt=last.id))


async def _by_id(tokens: QuerySet[Token]) -> AsyncIterator[list[Token]]:
    later = Q()
    while found := await tokens.filter(later).order_by("id").limit(BATCH):
        yield found
        later = Q(id__gt=found[-1].id)


async def _announce(house: House, account: Account, days: int, tokens: Sequence[Token]) -> None:
    ends = [(token, end) for token in tokens if (end := token.ends_at(account))]
    young = [notices.shortened(token, end).key for token, end in ends if not _is_old_enough(token, end, days)]
    shortened = await notices.known(account.id, young)
    news = [
        _ends_soon(token, end, days)
        for token, end in ends
        if _is_old_enough(token, end, days) or notices.shortened(token, end).key in shortened
    ]
    await _record(house, account, Action.ANNOUNCE_EXPIRY, news)


def _is_old_enough(token: Token, end: datetime, days: int) -> bool:
    return token.created_at + FIRST_DAY <= end - timedelta(days=days)


def _ends_soon(token: Token, ends_at: datetime, days: int) -> News:
    end = ends_at.astimezone(UTC).isoformat()
    return News(NoticeKind.EXPIRING, f"expiring:{token.id}:{days}:{end}", token, {"days": days, "expiresAt": end})


async def _notice_legacy_uses(house: House, account: Account) -> None:
    """Notice on which days account-wide tokens are used, each at most once a day."""
    used = Token.filter(account_id=account.id, kind=TokenKind.ACCOUNT, last_used_at__gt=now() - USED_WITHIN)
    async for tokens in _by_id(used):
        await _record(house, account, Action.NOTICE_LEGACY_USE, [_used(token) for token in tokens])


def _used(token: Token) -> News:
    assert token.last_used_at is not None  # noqa: S101 - found by it
    at = token.last_used_at.astimezone(UTC)
    details = {"lastUsedAt": at.isoformat()}
    return News(NoticeKind.LEGACY_USED, f"legacy:{token.id}:{at:%Y-%m-%d}", token, details)


async def _record(house: House, account: Account, action: Action, found: Sequence[News]) -> None:
    """Make the entries and notices of what was found, but for what was noticed before."""
    known = await notices.known(account.id, [news.key for news in found])
    fresh = [news for news in found if news.key not in known]
    for some in sliced(fresh, CHUNK):
        await _recorded(house, account, action, some)


async def _recorded(house: House, account: Account, action: Action, fresh: Sequence[News]) -> None:
    caller = await notices.by_itself(house, account)
    async with opened(caller, Said()) as (again, head):
        known = await notices.known(account.id, [news.key for news in fresh])  # another process may have been faster
        current = await Account.get(id=account.id)
        tokens = await _as_they_are(current, (news.token.id for news in fresh if news.token))
        still = [
            (token, news)
            for news in fresh
            if news.key not in known
            and news.token
            and (token := tokens.get(news.token.id))
            and token.ends_at(current) == news.token.ends_at(account)
        ]
        lines = [notices.line(again, action, token, news.details) for token, news in still]
        entries = await append_all(again, head, lines)
        await notices.tell(again, zip(entries, (news for _, news in still), strict=True))


async def _as_they_are(account: Account, ids: Iterable[UUID]) -> dict[UUID, Token]:
    held = Prefetch("roles", queryset=TokenRole.filter(account_id=account.id).select_related("role"))
    tokens = Token.filter(living(now(), account), account_id=account.id, id__in=list(ids))
    return {token.id: token for token in await tokens.prefetch_related(held)}
