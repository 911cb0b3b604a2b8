"""Advice, listed a page at a time.

Each kind is a question to the database, as far as it can be; what takes proofs is decided row by row, for the page that
is asked for alone. Kinds come one after the other, the most urgent first, and in each the newest row first.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple, TypeVar
from uuid import UUID

from tortoise.queryset import QuerySet

from core.errors import Invalid
from core.vocabulary import Action
from models import Role, Token, now
from resolvers import lists
from resolvers.advice import ORDER, Advice, AdviceKind, K, candidates, conditions, idle_roles
from resolvers.callers import Caller, note_deeds
from resolvers.judging import Bench, Judged
from resolvers.lists import TokenFilter
from resolvers.pages import Order, Page, Window
from resolvers.reading import readable, uses_readable

MAX_DAYS = 365
ROW_BY_ROW = frozenset({AdviceKind.SHARED, AdviceKind.OVER_GRANTED, AdviceKind.EXCEEDS_OWNER})
CHUNK = 25
"""How many rows are looked at together, of a kind that is decided row by row."""
MOST_EXAMINED = 500
"""How many such rows one page is looked for among, at most."""
_LEAST, _GREATEST = UUID(int=0), UUID(int=2**128 - 1)
BEGINNING = {True: _GREATEST, False: _LEAST}
"""Where each kind begins, forwards and backwards."""
BY_URGENCY = Order("ADVICE", "kind", lambda told: AdviceKind(str(told)))


@dataclass(frozen=True, slots=True)
class AdviceFilter:
    """Which advice. `days` is how long rights may go unused; the tokens are judged at the moment of asking."""

    kinds: Sequence[AdviceKind] = ORDER
    tokens: TokenFilter | None = None
    days: int = 30


class Reached(NamedTuple):
    """A place in the list, whether there is advice or not."""

    kind: AdviceKind
    pk: UUID


@dataclass(frozen=True, slots=True)
class Found(Page[Advice]):
    """A page of advice. `reached` is how far was looked, where it ends before it is full."""

    reached: Reached | None = None


async def advice(caller: Caller, wanted: AdviceFilter, window: Window) -> Found:
    """Give a page of the advice on the tokens that the caller sees, with their uses, and on the roles.

    Without `VIEW_ADVICE` on the account, on the caller's own tokens alone. A page may end before it is full.
    """
    if not 1 <= wanted.days <= MAX_DAYS:
        raise Invalid("days", f"must be from 1 to {MAX_DAYS}")
    everybodys = bool(caller.may(Action.VIEW_ADVICE, caller.account))
    if not everybodys and caller.member is None:
        caller.require(Action.VIEW_ADVICE, caller.account)
    _note_lists(caller)
    at = now()
    search = _Search(caller, wanted, at, Bench(caller, at, wanted.days), everybodys=everybodys)
    found: list[Advice] = []
    reached = None
    for kind in _asked(wanted.kinds, window):
        reached = await search.onto(found, kind, window)
        if reached is not None or len(found) > window.size:
            break
    if len(found) > window.size:
        reached = None
    page = Page.cut(found, window, short=reached is not None)
    return Found(page.rows, page.order, page.has_next, page.has_previous, reached)


def _note_lists(caller: Caller) -> None:
    """Note what lists it is made of: without these actions, it would be empty."""
    listed = (caller.somewhere((action,)) for action in (Action.VIEW_ACCESS_TOKEN, Action.VIEW_ACCESS_TOKEN_USE))
    note_deeds(caller, *filter(None, listed))


def _asked(kinds: Sequence[AdviceKind], window: Window) -> list[AdviceKind]:
    """List the kinds that are asked for, between the two places, in the order of looking."""
    first = ORDER.index(window.after.value) if window.after else 0
    last = ORDER.index(window.before.value) if window.before else len(ORDER)
    between = ORDER[first : last + 1]
    return [kind for kind in (between if window.forward else reversed(between)) if kind in kinds]


M = TypeVar("M", Token, Role)


@dataclass(frozen=True, slots=True)
class _Search:
    """Looks for advice, kind by kind."""

    caller: Caller
    wanted: AdviceFilter
    at: datetime
    bench: Bench
    everybodys: bool

    async def onto(self, found: list[Advice], kind: AdviceKind, window: Window) -> Reached | None:
        """Add the advice of a kind that is within a window; says how far it looked if it ended before that was all."""
        if kind is K.EMPTY_ROLE:
            return await self._onto(found, kind, window, await self._roles(), self.bench.roles)
        rows = await self._tokens(kind)
        return None if rows is None else await self._onto(found, kind, window, rows, self.bench.judge(kind))

    async def _onto(
        self,
        found: list[Advice],
        kind: AdviceKind,
        window: Window,
        rows: QuerySet[M],
        judge: Callable[[Sequence[M]], Awaitable[Judged]],
    ) -> Reached | None:
        for place, than in ((window.after, "lt"), (window.before, "gt")):
            if place is not None and place.value == kind:
                rows = rows.filter(**{f"id__{than}": place.id})
        than, ordered = ("lt", rows.order_by("-id")) if window.forward else ("gt", rows.order_by("id"))
        begun = window.after if window.forward else window.before
        last = begun.id if begun is not None and begun.value == kind else BEGINNING[window.forward]
        for _ in range(0, MOST_EXAMINED, CHUNK):
            if kind in ROW_BY_ROW and self.bench.is_spent:
                return Reached(kind, last)
            many = CHUNK if kind in ROW_BY_ROW else window.size + 1 - len(found)
            chunk = await ordered.filter(**{f"id__{than}": last}).limit(many)
            judged = await judge(chunk)
            found += filter(None, judged)
            last = chunk[len(judged) - 1].id if judged else last
            if len(judged) < len(chunk):
                return Reached(kind, last)
            if len(chunk) < many or len(found) > window.size:
                return None
        return Reached(kind, last)

    async def _tokens(self, kind: AdviceKind) -> QuerySet[Token] | None:
        account = self.caller.account
        decided = {**conditions(account, self.at), **candidates(account, self.at, self.wanted.days)}
        if kind not in decided:
            return None
        rows = (await lists.tokens(self.caller, self.wanted.tokens or TokenFilter())).filter(uses_readable(self.caller))
        if not self.everybodys:
            assert self.caller.member is not None  # noqa: S101 - refused before
            rows = rows.filter(owner_id=self.caller.member.id)
        return rows.filter(decided[kind])

    async def _roles(self) -> QuerySet[Role]:
        account = self.caller.account
        if not self.everybodys or self.wanted.tokens is not None:
            return Role.filter(account_id=account.id, id__in=[])
        return readable(self.caller, Role).filter(idle_roles(account, self.at))
