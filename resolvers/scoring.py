"""How near accounts are to least privilege, day by day: a number from 0 to 100, see docs/advice.md.

Sound tokens count for it; each piece of advice on a token counts against it, by how much it matters. Following advice
never lowers it, and no token that there is something to say about raises it.
"""

import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from datetime import date, datetime, timedelta
from functools import reduce
from operator import or_

from tortoise.expressions import Q, Subquery

from core.errors import Invalid
from core.vocabulary import Action
from models import Account, ScopeKind, Score, Token, TokenKind, living, now
from resolvers.advice import BROAD_ROLES, SEVERITIES, AdviceKind, Severity, conditions
from resolvers.background import beside, over_and_over
from resolvers.callers import Caller
from resolvers.house import House
from resolvers.notices import advice_due

TOKENS, SOUND, BROAD = "TOKENS", "SOUND", "BROAD"
"""What is counted beside the kinds of advice: all living tokens, those without fault, and those that may do it all."""
WEIGHTS = {Severity.HIGH: 4, Severity.MEDIUM: 2, Severity.LOW: 0}
"""For how many sound tokens a piece of advice weighs."""
BROAD_WEIGHT = 2
DAYS, MAX_DAYS = 30, 366
EVERY_S = 10 * 60.0
"""How often it is looked whether a day's score is missing."""
CHUNK = 100
"""How many accounts are looked up at once."""

_log = logging.getLogger(__name__)


def score(counts: Mapping[str, int]) -> int:
    """Reckon the score: what part sound tokens are of them and all that weighs against, in percent, rounded down."""
    sound, against = counts[SOUND], BROAD_WEIGHT * counts[BROAD]
    against += sum(WEIGHTS[SEVERITIES[kind]] * counts.get(kind, 0) for kind in AdviceKind)
    return 100 * sound // (sound + against) if against else 100


async def reckoned(account: Account, at: datetime) -> Score:
    """Reckon an account's score at a moment, in as many statements for many tokens as for one. It is not saved."""
    tokens = Token.filter(living(at, account), account_id=account.id, kind__not=TokenKind.SESSION)
    faults = {kind.value: fault for kind, fault in conditions(account, at).items() if WEIGHTS[SEVERITIES[kind]]}
    faults[BROAD] = Q(scope_kind=ScopeKind.BUILT_IN, scope_role__in=list(BROAD_ROLES))
    counts = {name: await tokens.filter(fault).count() for name, fault in faults.items()}
    counts[TOKENS] = await tokens.count()
    counts[SOUND] = counts[TOKENS] - await tokens.filter(reduce(or_, faults.values())).count()
    return Score(account_id=account.id, day=at.date(), score=score(counts), counts=counts)


async def scores(caller: Caller, days: int) -> list[Score]:
    """List the scores of the last days, the latest first; today's is reckoned now. Raises `Invalid` or `Forbidden`."""
    if not 1 <= days <= MAX_DAYS:
        raise Invalid("days", f"must be from 1 to {MAX_DAYS}")
    caller.require(Action.VIEW_ADVICE, caller.account)
    at = now()
    since = at.date() - timedelta(days=days - 1)
    earlier = Score.filter(account_id=caller.account.id, day__gte=since, day__lt=at.date()).order_by("-day")
    return [await reckoned(caller.account, at), *await earlier]


def scoring(house: House) -> AbstractAsyncContextManager[None]:
    """Keep a score of every account and day, as long as the server runs."""
    return beside(_score_forever(house))


async def _score_forever(house: House) -> None:
    await over_and_over(lambda: keep(house, now()), EVERY_S, _log, "scores could not be kept; they are tried again")


async def keep(house: House, at: datetime) -> None:
    """Save the score of the day for every account that has none. Of several processes, the first one's stays.

    What there is to advise is noticed along with it.
    """
    while accounts := await _unscored(at.date()):
        rows = [await reckoned(account, at) for account in accounts]
        await Score.bulk_create(rows, ignore_conflicts=True)
        for account, row in zip(accounts, rows, strict=True):
            try:
                await advice_due(house, account, sum(row.counts.get(kind, 0) for kind in AdviceKind))
            except Exception:  # noqa: BLE001 - as above: it holds up no other account
                _log.warning("it could not be noticed that there is advice; it is tomorrow", exc_info=True)


async def _unscored(day: date) -> list[Account]:
    scored = Score.filter(day=day).values("account_id")
    return await Account.filter(~Q(id__in=Subquery(scored))).order_by("id").limit(CHUNK)
