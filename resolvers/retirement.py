"""The end of all account-wide tokens of an account: a date, seen beforehand, that holds for each of them."""

from dataclasses import dataclass
from datetime import datetime

from tortoise.expressions import Q
from tortoise.queryset import QuerySet

from core.errors import Conflict
from core.vocabulary import Action
from models import Account, AuditEntry, Token, TokenKind, living, now
from resolvers import input as typed
from resolvers.callers import Caller
from resolvers.reading import readable
from resolvers.writing import At, Said, change

ENDING = "endingTokens"
"""Under which name an entry says how many tokens a date ends."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """When account-wide tokens end, or would, and how many of them that ends: none of those that end earlier anyway."""

    account: Account
    at: datetime | None
    count: int
    entry: AuditEntry | None = None

    async def seen(self, caller: Caller) -> QuerySet[Token]:
        """List those of them that the caller sees."""
        return _ending(readable(caller, Token), self.account, self.at).select_related("owner")


async def retire(caller: Caller, at: datetime | None, said: Said, *, dry_run: bool = False) -> Retirement:
    """Set when all account-wide tokens end, or take away a date that is still ahead; a dry run changes nothing.

    Raises `Invalid` for a date that is not ahead, and `Conflict` once one has passed: what has ended is not revived.
    """
    if at is not None:
        at = typed.future("at", at)
    if dry_run:
        caller.require(Action.RETIRE_ACCOUNT_TOKENS, caller.account)
        _refuse_retired(caller.account)
        return Retirement(caller.account, at, await _count(caller.account, at))
    async with change(caller, Action.RETIRE_ACCOUNT_TOKENS, At(Account, caller.account.id), said) as deed:
        account = deed.row
        _refuse_retired(account)
        if account.legacy_ends_at != at:
            count = await _count(account, at)
            deed.note({}, {ENDING: count})
        account.legacy_ends_at = at
        await account.save(update_fields=["legacy_ends_at"])
    return Retirement(account, at, await _count(account, at), deed.entry)


def _refuse_retired(account: Account) -> None:
    if account.has_retired_legacy(now()):
        raise Conflict(f"account-wide tokens ended on {account.legacy_ends_at:%Y-%m-%d}: what has ended is not revived")


async def _count(account: Account, at: datetime | None) -> int:
    return await _ending(Token.filter(account_id=account.id), account, at).count()


def _ending(tokens: QuerySet[Token], account: Account, at: datetime | None) -> QuerySet[Token]:
    """Find the living account-wide tokens that a date ends; with none, nothing is ended."""
    if at is None:
        return tokens.filter(id__in=[])
    later = Q(expires_at__isnull=True) | Q(expires_at__gt=at)
    return tokens.filter(living(now(), account), later, kind=TokenKind.ACCOUNT)
