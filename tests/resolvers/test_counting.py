"""Counts over time are those of a plain reading, on either database."""

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from core.errors import Invalid
from core.ids import global_id
from core.vocabulary import Action, BuiltInRole
from models import ActorKind, AuditEntry
from resolvers import counting
from resolvers.counting import MOST_BUCKETS, Grouping, Histogram, Span, histogram
from resolvers.entries import EntryFilter
from tests.organisation import Organisation
from tests.resolvers.test_searching import START, drawn, matches, written

END = START + timedelta(minutes=100)


def keys(grouping: Grouping | None, row: AuditEntry) -> Iterable[str | None]:
    """Say to which groups an entry belongs, once for each time that it counts."""
    if grouping is Grouping.ACTION:
        return [access["action"] for access in row.accesses]
    session = row.actor_kind is ActorKind.SESSION
    told = {
        None: None,
        Grouping.ACTOR_KIND: row.actor_kind.value,
        Grouping.OUTCOME: row.outcome.value,
        Grouping.TARGET_KIND: row.target_kind,
        Grouping.MEMBER: global_id("Member", row.member_id) if row.member_id else None,
        Grouping.TOKEN: global_id("Session" if session else "Token", row.token_id) if row.token_id else None,
    }
    return [told[grouping]]


def read(counted: Histogram) -> Counter[tuple[str | None, datetime]]:
    told: Counter[tuple[str | None, datetime]] = Counter()
    for group in counted.groups:
        assert not group.is_rest
        for start, number in zip(counted.starts, group.counts, strict=True):
            told[group.key, start] += number
    return +told


def plainly(
    rows: Iterable[AuditEntry], counted: Histogram, grouping: Grouping | None
) -> Counter[tuple[str | None, datetime]]:
    told: Counter[tuple[str | None, datetime]] = Counter()
    for row in rows:
        if counted.since <= row.at < counted.until:
            start = max(start for start in counted.starts if start <= row.at)
            told.update((key, start) for key in keys(grouping, row))
    return told


async def test_counts_are_those_of_a_plain_reading(organisation: Organisation) -> None:
    rnd = random.Random(8)  # noqa: S311 - to be the same again
    somebody = await organisation.as_role(BuiltInRole.WRITER)
    assert somebody.member
    log = await written(organisation, rnd, 100, also=somebody.member.id)
    log.creators = {token: maker for token, maker in log.creators.items() if token in log.tokens}
    found = 0
    for _ in range(80):
        grouping = rnd.choice([None, *(each for each in Grouping if each is not Grouping.TOKEN)])
        wanted = replace(drawn(log, rnd), creator_id=None)
        since = START + timedelta(seconds=rnd.randrange(-100, 3_000), microseconds=rnd.randrange(1_000_000))
        over = Span(since, since + timedelta(seconds=rnd.randrange(1, 9_000)), rnd.choice([1, 2, 7, 50, 500]))
        for caller in (organisation.owner, somebody):
            seen = [row for row in log.rows if caller.sees(Action.VIEW_AUDIT_LOG, row)]
            counted = await histogram(caller, wanted, over, grouping)
            assert 1 <= len(counted.starts) <= over.buckets
            assert counted.starts[0] <= max(over.since, START - timedelta(days=1))
            expected = plainly([row for row in seen if matches(caller, log, wanted, row)], counted, grouping)
            assert read(counted) == expected, (wanted, grouping, over)
            found += sum(expected.values())
    assert found > 500


async def test_a_whole_log_is_told_apart_by_tokens_and_sessions(organisation: Organisation) -> None:
    robot = await organisation.made(organisation.owner, name="robot")
    await organisation.made(await organisation.identify(robot), name="child")
    rows = await AuditEntry.filter(account_id=organisation.account.id)
    over = Span(min(row.at for row in rows), None, 10)
    counted = await histogram(organisation.owner, EntryFilter(), over, Grouping.TOKEN)
    assert read(counted) == plainly(rows, counted, Grouping.TOKEN)
    labels = {group.key: group.label for group in counted.groups}
    assert labels[global_id("Token", robot.row.id)] == "robot"


async def test_small_groups_are_one(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_GROUPS", 2)
    over = Span(datetime(2020, 1, 1, tzinfo=UTC), None, 3)
    counted = await histogram(organisation.owner, EntryFilter(), over, Grouping.ACTION)
    assert [group.is_rest for group in counted.groups] == [False, False, True]
    entries = await AuditEntry.filter(account_id=organisation.account.id)
    assert sum(group.total for group in counted.groups) == sum(len(entry.accesses) for entry in entries)


async def test_only_the_latest_are_looked_at(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_COUNTED", 2)
    over = Span(datetime(2020, 1, 1, tzinfo=UTC), None, 3)
    counted = await histogram(organisation.owner, EntryFilter(), over, None)
    latest = await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence").limit(3)
    assert counted.counted_from == latest[-1].at
    assert [group.total for group in counted.groups] == [3]


@pytest.mark.parametrize("minutes", [1, 59, 600, 100_000, 10_000_000])
@pytest.mark.parametrize("buckets", [1, 3, 500])
async def test_buckets_begin_where_clocks_do(
    organisation: Organisation,
    sqlite: None,  # noqa: ARG001 - nothing is asked of the database
    minutes: int,
    buckets: int,
) -> None:
    over = Span(START + timedelta(seconds=17), START + timedelta(minutes=minutes), buckets)
    counted = await histogram(organisation.owner, EntryFilter(), over, None)
    assert len(counted.starts) <= buckets
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert all((start - epoch) % timedelta(seconds=counted.width_s) == timedelta(0) for start in counted.starts)
    assert counted.starts[0] <= over.since
    assert over.until
    assert counted.starts[-1] < over.until <= counted.starts[-1] + timedelta(seconds=counted.width_s)


@pytest.mark.parametrize(
    ("over", "field"),
    [
        (Span(START, END, 0), "buckets"),
        (Span(START, END, MOST_BUCKETS + 1), "buckets"),
        (Span(END, START, 5), "until"),
        (Span(END, END, 5), "until"),
        (Span(datetime(1, 1, 1, tzinfo=UTC), datetime(1, 1, 2, tzinfo=UTC), 5), "until"),
    ],
)
async def test_what_makes_no_sense_is_refused_by_name(
    organisation: Organisation,
    sqlite: None,  # noqa: ARG001 - as above
    over: Span,
    field: str,
) -> None:
    with pytest.raises(Invalid) as refused:
        await histogram(organisation.owner, EntryFilter(), over, None)
    assert refused.value.extensions["field"] == field
