"""Entries counted over time, as a histogram shows them: in buckets that begin where clocks and calendars do, in UTC."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from itertools import chain, count

from core import ids
from core.errors import Invalid
from models import ActorKind, AuditEntry, now
from resolvers.callers import Caller
from resolvers.entries import EntryFilter, entries
from resolvers.reading import readable
from resolvers.statements import dialect, found, written

MOST_BUCKETS = 500
MOST_GROUPS = 20
"""How many groups are told apart, the largest; the others are one."""
MOST_COUNTED = 250_000
"""So many entries, the latest of the time asked for, are looked at."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MINUTE, _HOUR, _DAY = 60, 3_600, 86_400
_WIDTHS_S = (
    *(1, 5, 10, 15, 30),
    *(_MINUTE * minutes for minutes in (1, 2, 5, 10, 15, 30)),
    *(_HOUR * hours for hours in (1, 2, 3, 6, 12)),
)


class Grouping(StrEnum):
    """By what entries are told apart."""

    ACTION = "ACTION"
    ACTOR_KIND = "ACTOR_KIND"
    MEMBER = "MEMBER"
    TOKEN = "TOKEN"  # noqa: S105 - a word, not a password
    OUTCOME = "OUTCOME"
    TARGET_KIND = "TARGET_KIND"


_KEYS: Mapping[Grouping | None, tuple[str, str]] = {
    None: ("NULL", "NULL"),
    Grouping.ACTION: ('"took"."action"', "NULL"),
    Grouping.ACTOR_KIND: ('"asked"."actor_kind"', "NULL"),
    Grouping.MEMBER: ('"asked"."member_id"', '"asked"."member_name"'),
    Grouping.TOKEN: ('"asked"."token_id"', '"asked"."token_name"'),
    Grouping.OUTCOME: ('"asked"."outcome"', "NULL"),
    Grouping.TARGET_KIND: ('"asked"."target_kind"', "NULL"),
}
"""The columns by which entries are told apart, and that say what people call it."""
_COLUMNS = ("id", "at", "actor_kind", "member_id", "member_name", "token_id", "token_name", "outcome", "target_kind")
_SECONDS = {
    "sqlite": """CAST(strftime('%s', substr("asked"."at", 1, 19)) AS INTEGER)""",
    "postgres": """CAST(FLOOR(EXTRACT(EPOCH FROM "asked"."at")) AS BIGINT)""",
}
"""The whole seconds of a time, in each database's words."""


@dataclass(frozen=True, slots=True)
class Group:
    """How many entries of a group are in each bucket. Without a key: of none, or of all the smaller groups."""

    key: str | None
    label: str | None
    counts: Sequence[int]
    is_rest: bool = False

    @property
    def total(self) -> int:
        """How many in all."""
        return sum(self.counts)


@dataclass(frozen=True, slots=True)
class Span:
    """Over which time to count, until now where nothing is said, and in how many buckets at most."""

    since: datetime
    until: datetime | None
    buckets: int


@dataclass(frozen=True, slots=True)
class Histogram:
    """Counts over time. `counted_from` is after `since` where there was more to look at than is looked at."""

    since: datetime
    until: datetime
    counted_from: datetime
    width_s: int
    starts: Sequence[datetime]
    groups: Sequence[Group]


async def histogram(caller: Caller, wanted: EntryFilter, over: Span, grouping: Grouping | None) -> Histogram:
    """Count the entries that a filter finds, among those the caller may see. Raises `Invalid` naming the argument."""
    if not 1 <= over.buckets <= MOST_BUCKETS:
        raise Invalid("buckets", f"must be from 1 to {MOST_BUCKETS}")
    since, until = max(over.since, _EPOCH), over.until or now()
    if until <= since:
        raise Invalid("until", "must be after `since`")
    width_s, begin_s, number = _cut(since, until, over.buckets)
    counted_from = await _bounded(caller, since, until)
    first, last = max(counted_from, wanted.since or since), min(until, wanted.until or until)
    placed = await _counted(caller, replace(wanted, since=first, until=last), width_s, begin_s, grouping)
    starts = [_EPOCH + timedelta(seconds=begin_s + width_s * index) for index in range(number)]
    return Histogram(since, until, counted_from, width_s, starts, list(_groups(placed, number)))


def _cut(since: datetime, until: datetime, buckets: int) -> tuple[int, int, int]:
    """Find the narrowest buckets that are few enough: their width, the first's begin, and how many there are."""
    first_s, last_s = ((at - _EPOCH) // timedelta(microseconds=1) for at in (since, until))
    for width_s in chain(_WIDTHS_S, (_DAY * 2**power for power in count())):
        begin = first_s // (width_s * 1_000_000)
        number = -(-last_s // (width_s * 1_000_000)) - begin
        if number <= buckets:
            return width_s, begin * width_s, number
    raise AssertionError  # the widths have no end


async def _bounded(caller: Caller, since: datetime, until: datetime) -> datetime:
    """Say from when on there are no more than so many entries."""
    rows = readable(caller, AuditEntry).filter(at__gte=since, at__lt=until).order_by("-at", "-sequence")
    beyond = await rows.offset(MOST_COUNTED).limit(1).values_list("at", flat=True)
    return beyond[0] if beyond else since  # type: ignore[return-value] # a time


_Placed = dict[int, int]
"""Counts by the place of their bucket."""


async def _counted(
    caller: Caller, wanted: EntryFilter, width_s: int, begin_s: int, grouping: Grouping | None
) -> dict[tuple[str | None, str | None], _Placed]:
    inner, numbered = written((await entries(caller, wanted)).values(*_COLUMNS))
    column, named = _KEYS[grouping]
    took = ' JOIN "audit_access" AS "took" ON "took"."entry_id"="asked"."id"' if grouping is Grouping.ACTION else ""
    # What is put into the text are words and numbers of our own, and Tortoise's text.
    sql = (
        "SELECT bucket_, key_, MAX(label_) AS label_, MAX(actor_) AS actor_, COUNT(*) AS count_ FROM"  # noqa: S608 - see above
        f" (SELECT ({_SECONDS[dialect()]} - {begin_s}) / {width_s} AS bucket_, {column} AS key_, {named} AS label_,"
        f' "asked"."actor_kind" AS actor_ FROM ({inner}) AS "asked"{took}) AS placed GROUP BY bucket_, key_'
    )
    rows = await found(sql, numbered)
    counts: dict[str | None, _Placed] = defaultdict(dict)
    labels: dict[str | None, str] = {}
    for row in rows:
        key = _shown(grouping, row["key_"], row["actor_"])
        labels[key] = max(labels.get(key, ""), row["label_"] or "")
        counts[key][int(row["bucket_"])] = int(row["count_"])
    return {(key, labels[key] or None): placed for key, placed in counts.items()}


def _shown(grouping: Grouping | None, key: object, actor: str) -> str | None:
    if key is None:
        return None
    match grouping:
        case Grouping.MEMBER:
            return ids.global_id("Member", str(key))
        case Grouping.TOKEN:
            return ids.global_id("Session" if actor == ActorKind.SESSION else "Token", str(key))
        case _:
            return str(key)


def _groups(counted: Mapping[tuple[str | None, str | None], _Placed], number: int) -> Iterator[Group]:
    """Give the groups, the largest first, and after those the rest as one."""
    groups = [
        Group(key, label, [placed.get(index, 0) for index in range(number)])
        for (key, label), placed in sorted(counted.items(), key=lambda item: -sum(item[1].values()))
    ]
    yield from groups[:MOST_GROUPS]
    if rest := groups[MOST_GROUPS:]:
        yield Group(
            None, None, [sum(column) for column in zip(*(group.counts for group in rest), strict=True)], is_rest=True
        )
