"""Entries that a filter finds, a page at a time, at a cost that does not grow with the log.

Of what a filter asks, whatever has an index by sequence leads: it names candidates, the next in the list's order, and
of them those are read for which all else holds too. What leads farthest is taken. A page ends before it is full where
so many candidates were looked at that others would wait.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, cast
from uuid import UUID

from tortoise.queryset import QuerySet

from models import CLOCKS_DIFFER, AuditAccess, AuditEntry, AuditHead
from resolvers import addresses, pages
from resolvers.callers import Caller
from resolvers.conditions import Condition, every, sql
from resolvers.entries import EntryFilter, columns, made_by, sees_all
from resolvers.pages import Page, Place, Window
from resolvers.reading import readable
from resolvers.statements import Statement

STEPS = (200, 1_000, 1_000, 1_000, 1_000)
"""How many candidates of a lead are looked at for one page, at once and then again: most find it full at first."""
DENSE = 10
"""Among how many entries one is a candidate, at least, where all of them are better looked through."""
FEW = 5
"""How many tokens a member may have made for each of them to lead."""
NOBODY = UUID(int=0)

Lead = Sequence[QuerySet[Any]]
"""What together holds all that is asked for, each in its index's order."""


@dataclass(frozen=True, slots=True)
class Reached:
    """How far was looked, whatever is there."""

    sequence: int
    pk: UUID = NOBODY


@dataclass(frozen=True, slots=True)
class Found(Page[AuditEntry]):
    """A page of entries. `reached` is how far was looked, where it ends before it is full."""

    reached: Reached | None = None


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Sequence numbers in which to look. `end` is the last of them; None if there are no more."""

    numbers: Sequence[int]
    end: int | None


async def search(caller: Caller, wanted: EntryFilter, window: Window) -> Found:
    """Find entries. Raises `Invalid` naming the field."""
    own, accessed = every(columns(caller, wanted)), wanted.accessed()
    leads = await _leads(caller, wanted, own)
    found: list[AuditEntry] = []
    part, end = await _of_time(caller, wanted, window), None
    for step in STEPS:
        candidates = await _farthest(leads, part, step)
        numbers = await _accessed(caller, accessed, candidates.numbers)
        if numbers:
            rows = readable(caller, AuditEntry).filter(sql(own), sequence__in=numbers)
            left = replace(part, size=window.size - len(found))
            found += await Statement.of(pages.asked(rows, left)).run()
        end = candidates.end
        if end is None or len(found) > window.size:
            page = Page.cut(found, window)
            return Found(page.rows, page.order, page.has_next, page.has_previous)
        part = _beyond(part, end)
    page = Page.cut(found, window, short=True)
    return Found(page.rows, page.order, page.has_next, page.has_previous, Reached(end or 0))


async def _of_time(caller: Caller, wanted: EntryFilter, window: Window) -> Window:
    """Narrow a window to numbers among which all entries of the time that is asked for are.

    Times grow with the numbers, as far as clocks differ little; entries whose clock was set back say so. Of the first
    ones of a log that began before they did, nothing is known: they are left out by no time but a later entry's.
    """
    if wanted.since is None and wanted.until is None:
        return window
    rows = AuditEntry.filter(account_id=caller.account.id)
    unclocked = (await AuditHead.get(account_id=caller.account.id)).clocked_from
    with suppress(OverflowError):
        if wanted.since is not None:
            earlier = rows.filter(at__lt=wanted.since - CLOCKS_DIFFER, set_back__isnull=True)
            number = await _first(earlier.order_by("-at", "-sequence"))
            if number is not None and number > unclocked:
                window = _within(window, number, later=True)
    with suppress(OverflowError):
        if wanted.until is not None:
            later = rows.filter(at__gte=wanted.until + CLOCKS_DIFFER)
            if (number := await _first(later.order_by("at", "sequence"))) is not None:
                end = await _past_set_back(rows, wanted.until, max(number, unclocked))
                window = _within(window, max(end, unclocked + 1), later=False)
    return window


async def _past_set_back(rows: QuerySet[AuditEntry], until: datetime, number: int) -> int:
    """Move a number past the last later entry whose clock was set back to before a time; farther, if those are many."""
    later = rows.filter(set_back=True, sequence__gt=number).order_by("-sequence").limit(STEPS[-1])
    found = cast("list[tuple[int, datetime]]", await later.values_list("sequence", "at"))
    earlier = [sequence for sequence, at in found if at < until]
    if not earlier and len(found) == STEPS[-1]:
        return found[-1][0]
    return max([number, *(sequence + 1 for sequence in earlier[:1])])


async def _first(rows: QuerySet[AuditEntry]) -> int | None:
    numbers = cast("list[int]", await rows.limit(1).values_list("sequence", flat=True))
    return numbers[0] if numbers else None


def _within(window: Window, number: int, *, later: bool) -> Window:
    """Narrow a window to what has a later number, or an earlier one."""
    forward = later is not window.order.descending
    known = window.after if forward else window.before
    if known is not None and (known.value > number if later else known.value < number):
        return window
    place = Place(number, NOBODY)
    return replace(window, after=place) if forward else replace(window, before=place)


async def _leads(caller: Caller, wanted: EntryFilter, own: Condition) -> list[Lead]:
    """List what may lead. For whoever sees a part of the log only, what they see does: nothing else is told of."""
    if not sees_all(caller):
        return [[readable(caller, AuditEntry).filter(sql(own))]]

    rows, access = readable(caller, AuditEntry), AuditAccess.filter(account_id=caller.account.id)
    leads: list[Lead] = [
        [rows.filter(**{name: value}) for name in names]
        for names, value in (
            (("member_id", "behalf_member_id"), wanted.member_id),
            (("token_id", "behalf_token_id"), wanted.token_id),
            (("token_ending", "behalf_token_ending"), wanted.token_ending),
            (("target_id",), wanted.target_id),
            (("request_id",), wanted.request_id),
            (("outcome",), wanted.outcome),
            (("actor_kind",), wanted.actor_kind),
            (("target_kind",), wanted.target_kind),
        )
        if value is not None
    ]
    leads += [
        [access.filter(**{name: value})]
        for name, value in (("resource", wanted.resource), ("action", wanted.action))
        if value is not None and "*" not in value
    ]
    if wanted.network is not None and (spelled := addresses.spelled(wanted.network)):
        leads.append([rows.filter(address=address) for address in spelled])
    if wanted.creator_id is not None:
        made = await made_by(caller, wanted.creator_id).limit(FEW + 1).values_list("id", flat=True)
        if len(made) <= FEW:
            leads.append([rows.filter(**{name: id_}) for id_ in made for name in ("token_id", "behalf_token_id")])
    return leads or [[rows]]


async def _farthest(leads: Sequence[Lead], part: Window, step: int) -> _Candidates:
    best: _Candidates | None = None
    for lead in leads:
        candidates = await _candidates(lead, part, step)
        if candidates.end is None:
            return candidates
        if best is None or _before(part, best.end or 0, candidates.end):
            best = candidates
    return best or _Candidates((), None)


async def _candidates(lead: Lead, part: Window, step: int) -> _Candidates:
    numbers: set[int] = set()
    end: int | None = None
    for source in lead:
        ordered = part.within(source).order_by(*part.order.columns(forward=part.forward)).limit(step)
        given = cast("list[int]", await ordered.values_list("sequence", flat=True))
        numbers.update(given)
        if len(given) == step and (end is None or _before(part, given[-1], end)):
            end = given[-1]
    within = numbers if end is None else {number for number in numbers if number == end or _before(part, number, end)}
    return _Candidates(sorted(within), end)


def _before(part: Window, one: int, other: int) -> bool:
    """Say whether one number is met before another."""
    return one > other if part.forward is part.order.descending else one < other


def _beyond(part: Window, end: int) -> Window:
    place = Place(end, NOBODY)
    return replace(part, after=place) if part.forward else replace(part, before=place)


async def _accessed(caller: Caller, accessed: Condition, numbers: Sequence[int]) -> Sequence[int]:
    if accessed is True or not numbers:
        return numbers
    access = AuditAccess.filter(account_id=caller.account.id, sequence__in=numbers).filter(sql(accessed))
    first, last = min(numbers), max(numbers)
    if last - first < DENSE * len(numbers):  # which says nothing more, but SQLite looks no further
        access = access.filter(sequence__gte=first, sequence__lte=last)
    return sorted(set(cast("list[int]", await access.values_list("sequence", flat=True))))
