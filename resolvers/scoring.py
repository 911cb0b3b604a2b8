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
from typing import cast
from uuid import UUID

from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from core.errors import Invalid
from core.slices import sliced
from core.vocabulary import Action
from models import Account, Role, ScopeKind, Score, Token, TokenKind, TokenOrigin, living, now
from resolvers import evidence
from resolvers.advice import (
    ALIKE,
    BROAD_ROLES,
    SEVERITIES,
    AdviceKind,
    Severity,
    candidates,
    conditions,
    idle_roles,
    is_shared,
)
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
FEW = 25
"""Of how many tokens it is looked up at once from where they were used."""

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
                await advice_due(house, account, await due(account, at, row.counts))
            except Exception:  # noqa: BLE001 - as above: it holds up no other account
                _log.warning("it could not be noticed that there is advice; it is tomorrow", exc_info=True)


async def _unscored(day: date) -> list[Account]:
    scored = Score.filter(day=day).values("account_id")
    return await Account.filter(~Q(id__in=Subquery(scored))).order_by("id").limit(CHUNK)


async def due(account: Account, at: datetime, counts: Mapping[str, int]) -> int:
    """Count the pieces of advice in an account: those that were counted for its score, and of the other kinds.

    Not those that take proofs, `OVER_GRANTED` and `EXCEEDS_OWNER`: these are made for whoever asks.
    """
    tokens = Token.filter(account_id=account.id, kind__not=TokenKind.SESSION)
    uncounted = [condition for kind, condition in conditions(account, at).items() if kind not in counts]
    found = [counts.get(kind, 0) for kind in AdviceKind]
    found += [await tokens.filter(condition).count() for condition in uncounted]
    found.append(await Role.filter(idle_roles(account, at), account_id=account.id).count())
    return sum(found) + await _shared(account, at, tokens.filter(candidates(account, at, DAYS)[AdviceKind.SHARED]))


async def _shared(account: Account, at: datetime, tokens: QuerySet[Token]) -> int:
    """Count those of some tokens that are shared, a few at a time, so that others have a turn in between."""
    shared = 0
    ids = cast("list[UUID]", await tokens.order_by("id").values_list("id", flat=True))
    for some in sliced(ids, FEW):
        places: dict[UUID, tuple[set[str], set[str]]] = {token_id: (set(), set()) for token_id in some}
        alike = TokenOrigin.filter(account_id=account.id, token_id__in=list(some), last_at__gte=at - ALIKE)
        for token_id, agent, address in await alike.values_list("token_id", "user_agent", "address"):
            programs, networks = places[token_id]
            programs.add(evidence.program(agent))
            networks.add(evidence.network(address))
        shared += sum(is_shared(programs - {""}, networks - {""}) for programs, networks in places.values())
    return shared
