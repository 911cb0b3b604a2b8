"""What is kept of the uses of tokens, and how it is written: for many tokens at once."""

from collections import OrderedDict, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from math import inf
from typing import Any
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.transactions import in_transaction

from core.folding import fitting, fold, fold_each, standing
from core.slices import sliced
from models import Token, TokenAccess, TokenDay, new_id, now
from resolvers import clock

DAY_S = 24 * 60 * 60
DAYS_KEPT = 400
"""For how many days the counts of a token that is used are kept."""
ORIGINS_KEPT = 100
"""From how many places a token is known to be used; the one not used for longest makes room."""
SPECIFIERS_KEPT = 50
"""On how many resources a token is known to be used for an action; where there are more, specifiers stand for them."""
ACCESSES_KEPT = 500
"""How many pairs of an action and a resource are kept of a token; more only where it is used for more actions."""
LONGEST = 1024
"""Bytes of a specifier that is kept, which an index must hold."""
ROWS = 1_000
"""How many rows stand in one statement, which no database takes in any number."""
_EPOCH = date(1970, 1, 1)

Whence = tuple[str, str]
"""An address and a user agent, each empty if it is not known."""


@dataclass(slots=True)
class Decided:
    """How often something was allowed, refused, and of those allowed, refused by the scope on trial."""

    allowed: int = 0
    refused: int = 0
    trial_refused: int = 0

    @property
    def columns(self) -> tuple[int, int, int]:
        """The counts, in the order of their columns."""
        return self.allowed, self.refused, self.trial_refused

    def add(self, more: "Decided") -> None:
        """Add to the counts."""
        self.allowed += more.allowed
        self.refused += more.refused
        self.trial_refused += more.trial_refused


@dataclass(slots=True)
class Access(Decided):
    """How an action on a resource was decided, and when first and last. Times are in seconds since 1970."""

    first_s: float = inf
    last_s: float = 0.0

    def include(self, more: Decided, first_s: float, last_s: float) -> None:
        """Add what was decided at other times."""
        self.add(more)
        self.first_s, self.last_s = min(self.first_s, first_s), max(self.last_s, last_s)


@dataclass(slots=True)
class Tally:
    """The uses of one token that are not written yet. Times are in seconds since 1970."""

    account_id: UUID
    last_at_s: float = 0.0
    address: str | None = None
    user_agent: str | None = None
    trial: str = ""
    """When the trial began of which it knows what it would have refused."""
    days: dict[tuple[int, str], Decided] = field(default_factory=dict)
    """By the day since 1970 and the action."""
    accesses: dict[str, dict[str, Access]] = field(default_factory=dict)
    """By the action and the specifier that stands for the resource."""
    origins: OrderedDict[Whence, tuple[float, float, int]] = field(default_factory=OrderedDict)
    """When it was first and last used from there, and how often; the latest at the end."""

    @property
    def size(self) -> int:
        """How much it keeps."""
        return 1 + len(self.days) + len(self.origins) + sum(map(len, self.accesses.values()))

    def used(self, at_s: float, address: str | None, user_agent: str | None) -> None:
        """Note when it was last used."""
        if at_s >= self.last_at_s:
            self.last_at_s, self.address, self.user_agent = at_s, address, user_agent

    def tries(self, trial: str) -> bool:
        """Say whether what a trial would have refused counts: what an earlier one would have does not, nor any more."""
        if trial > self.trial:
            self.try_(trial)
        return trial == self.trial

    def try_(self, trial: str) -> None:
        """Forget what another trial than this would have refused."""
        if trial != self.trial:
            self.trial = trial
            for decided in self._decided():
                decided.trial_refused = 0

    def _decided(self) -> Iterator[Decided]:
        yield from self.days.values()
        for known in self.accesses.values():
            yield from known.values()

    def count(self, key: tuple[int, str], decided: Decided) -> None:
        """Add to the counts of a day and an action."""
        self.days.setdefault(key, Decided()).add(decided)

    def knows(self, action: str, specifier: str) -> bool:
        """Say whether the action is counted on a resource already, or on what stands for it."""
        return standing(specifier, self.accesses.get(action, ())) is not None

    def accessed(self, action: str, specifier: str, more: Decided, first_s: float, last_s: float) -> int:
        """Add to what is known of an action on a resource; returns how much more that makes, or less."""
        known = self.accesses.get(action)
        if known is None:
            known = self.accesses[action] = {}
        elif specifier in known:  # as for most
            known[specifier].include(more, first_s, last_s)
            return 0
        stands = standing(specifier, known)
        if stands is not None:
            known[stands].include(more, first_s, last_s)
            return 0
        before = len(known)
        access = known[fitting(specifier, LONGEST)] = Access()
        access.include(more, first_s, last_s)
        if len(known) > SPECIFIERS_KEPT:
            self.accesses[action] = known = _fewer(known)
        return len(known) - before

    def came(self, whence: Whence, first_s: float, last_s: float, times: int) -> int:
        """Add to what is known of an origin; returns how many others had to make room."""
        before = self.origins.pop(whence, (first_s, last_s, 0))
        self.origins[whence] = min(before[0], first_s), max(before[1], last_s), before[2] + times
        if len(self.origins) <= ORIGINS_KEPT:
            return 0
        self.origins.popitem(last=False)
        return 1

    def include(self, later: "Tally") -> None:
        """Add what was gathered later."""
        if later.last_at_s:
            self.used(later.last_at_s, later.address, later.user_agent)
        if not self.tries(later.trial):
            later.try_(self.trial)
        for key, decided in later.days.items():
            self.count(key, decided)
        for action, known in later.accesses.items():
            for specifier, access in known.items():
                self.accessed(action, specifier, access, access.first_s, access.last_s)
        for whence, told in later.origins.items():
            self.came(whence, *told)


def _fewer(known: Mapping[str, Access]) -> dict[str, Access]:
    folded: dict[str, Access] = {}
    for specifier, stands in fold(known, SPECIFIERS_KEPT).items():
        access = known[specifier]
        folded.setdefault(stands, Access()).include(access, access.first_s, access.last_s)
    return folded


async def write(tallies: Mapping[UUID, Tally]) -> set[UUID]:
    """Write the uses of some tokens in one transaction, and say of which they are done with.

    A token that somebody else has locked is left out: who holds some and waits for others may wait for good. For the
    others this holds the locks, so that two processes never write the same counts at once.
    """
    async with in_transaction() as connection:
        unlocked = Token.filter(id__in=list(tallies)).select_for_update(skip_locked=True, no_key=True)
        free = {}
        for token in await unlocked.order_by("id").only("id", "trial"):
            free[token.id] = tally = tallies[token.id]
            tally.try_(token.trial["at"] if token.trial else "")  # another may have begun since
        busy = [token_id for token_id in tallies if token_id not in free]
        waiting = {token.id for token in await Token.filter(id__in=busy).only("id")} if busy else set[UUID]()
        await _write_last(connection, free)
        await _write_days(connection, free)
        await _write_origins(connection, free)
        await _write_accesses(connection, free)
    return {token_id for token_id in tallies if token_id not in waiting}


async def _write_last(connection: BaseDBAsyncClient, tallies: Mapping[UUID, Tally]) -> None:
    one, two, three, four, five = places(connection, 5)
    sql = (
        f"UPDATE token SET last_used_at = {one}, last_used_address = {two}, last_used_agent = {three}"  # noqa: S608 - places
        f" WHERE id = {four} AND (last_used_at IS NULL OR last_used_at < {five})"
    )
    rows = [
        [at := _time(tally.last_at_s), tally.address, tally.user_agent, str(token_id), at]
        for token_id, tally in tallies.items()
        if tally.last_at_s
    ]
    if rows:
        await connection.execute_many(sql, rows)


_DECIDED = ("allowed", "refused", "trial_refused")


def _added(table: str) -> str:
    """Write that counts are added to those there are."""
    return ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in _DECIDED)


def _widened(connection: BaseDBAsyncClient, table: str) -> str:
    """Write that the first and the last time are those of both."""
    greatest, least = ("MAX", "MIN") if _is_sqlite(connection) else ("GREATEST", "LEAST")
    return (
        f"first_at = {least}({table}.first_at, excluded.first_at),"
        f" last_at = {greatest}({table}.last_at, excluded.last_at), updated_at = excluded.updated_at"
    )


async def _write_days(connection: BaseDBAsyncClient, tallies: Mapping[UUID, Tally]) -> None:
    rows = [
        (*_columns(token_id, tally.account_id), _EPOCH + timedelta(days=day), action, *tally.days[day, action].columns)
        for token_id, tally in tallies.items()
        for day, action in sorted(tally.days)
    ]
    made: set[str] = set()
    for some in sliced(rows, ROWS):
        sql, values = _insert(connection, "token_day", (*_OWN, "day", "action", *_DECIDED), some)
        sql += " ON CONFLICT (account_id, token_id, day, action) DO UPDATE SET"
        sql += f" {_added('token_day')}, updated_at = excluded.updated_at RETURNING id"
        made |= await _made(connection, sql, values, some)
    for account_id in {tally.account_id for token_id, tally in tallies.items() if str(token_id) in made}:
        if await clock.is_believed(account_id):
            kept_from = now().date() - timedelta(days=DAYS_KEPT)
            old = TokenDay.filter(account_id=account_id, token_id__in=sorted(made), day__lt=kept_from)
            await old.using_db(connection).delete()


async def _made(
    connection: BaseDBAsyncClient, sql: str, values: list[Any], rows: Sequence[tuple[Any, ...]]
) -> set[str]:
    """Run an insert that returns ids, and give the tokens that have a new row: those where an id of ours stayed."""
    _, stored = await connection.execute_query(sql, values)
    known = {str(row["id"]) for row in stored}
    return {row[_TOKEN_AT] for row in rows if row[_ID_AT] in known}


async def _write_origins(connection: BaseDBAsyncClient, tallies: Mapping[UUID, Tally]) -> None:
    rows = [
        (*_columns(token_id, tally.account_id), *whence, _time(first_s), _time(last_s), times)
        for token_id, tally in tallies.items()
        for whence, (first_s, last_s, times) in sorted(tally.origins.items())
    ]
    made: set[str] = set()
    for some in sliced(rows, ROWS):
        names = (*_OWN, "address", "user_agent", "first_at", "last_at", "uses")
        sql, values = _insert(connection, "token_origin", names, some)
        sql += (
            " ON CONFLICT (account_id, token_id, address, user_agent) DO UPDATE SET"  # nosec B608 - names of our own
            f" uses = token_origin.uses + excluded.uses, {_widened(connection, 'token_origin')} RETURNING id"
        )
        made |= await _made(connection, sql, values, some)
    if made:
        await _forget_oldest(connection, sorted(made))


async def _forget_oldest(connection: BaseDBAsyncClient, token_ids: Sequence[str]) -> None:
    tokens = ", ".join(places(connection, len(token_ids)))
    sql = (
        "DELETE FROM token_origin WHERE id IN (SELECT id FROM ("  # noqa: S608 - places and a number of our own
        "SELECT id, ROW_NUMBER() OVER (PARTITION BY token_id ORDER BY last_at DESC, id DESC) AS place_"
        f" FROM token_origin WHERE token_id IN ({tokens})) AS placed WHERE place_ > {ORIGINS_KEPT})"
    )
    await connection.execute_query(sql, list(token_ids))


async def _write_accesses(connection: BaseDBAsyncClient, tallies: Mapping[UUID, Tally]) -> None:
    rows = [
        (*_columns(token_id, tally.account_id), action, specifier, *told)
        for token_id, tally in tallies.items()
        for action, known in sorted(tally.accesses.items())
        for specifier, access in sorted(known.items())
        for told in [(*access.columns, _time(access.first_s), _time(access.last_s))]
    ]
    made = await _add_accesses(connection, rows)
    if made and (many := await _too_many(connection, sorted(made))):
        await _fold_accesses(connection, many)


async def _add_accesses(connection: BaseDBAsyncClient, rows: Sequence[tuple[Any, ...]]) -> set[str]:
    made: set[str] = set()
    for some in sliced(rows, ROWS):
        names = (*_OWN, "action", "specifier", *_DECIDED, "first_at", "last_at")
        sql, values = _insert(connection, "token_access", names, some)
        sql += " ON CONFLICT (account_id, token_id, action, specifier) DO UPDATE SET"
        sql += f" {_added('token_access')}, {_widened(connection, 'token_access')} RETURNING id"
        made |= await _made(connection, sql, values, some)
    return made


async def _too_many(connection: BaseDBAsyncClient, token_ids: Sequence[str]) -> list[str]:
    """Find the tokens that have too many rows, or some that stand for others already."""
    tokens = ", ".join(places(connection, len(token_ids)))
    sql = (
        "SELECT token_id FROM (SELECT token_id, COUNT(*) AS many_,"  # noqa: S608 - places and numbers of our own
        " COUNT(CASE WHEN specifier LIKE '%*%' AND specifier <> '*' THEN 1 END) AS folded_"
        f" FROM token_access WHERE token_id IN ({tokens}) GROUP BY token_id, action) AS counted GROUP BY token_id"
        f" HAVING MAX(many_) > {SPECIFIERS_KEPT} OR SUM(many_) > {ACCESSES_KEPT} OR SUM(folded_) > 0"
    )
    _, found = await connection.execute_query(sql, list(token_ids))
    return [str(row["token_id"]) for row in found]


async def _fold_accesses(connection: BaseDBAsyncClient, token_ids: Sequence[str]) -> None:
    """Put specifiers that stand for many in the place of what is too many, or has one that stands for it already."""
    by_token: dict[UUID, list[TokenAccess]] = defaultdict(list)
    for row in await TokenAccess.filter(token_id__in=token_ids).using_db(connection):
        by_token[row.token_id].append(row)
    moved: list[TokenAccess] = []
    for rows in by_token.values():
        specifiers: dict[str, set[str]] = defaultdict(set)
        for row in rows:
            specifiers[row.action].add(row.specifier)
        stands = fold_each(specifiers, SPECIFIERS_KEPT, ACCESSES_KEPT)
        for row in rows:
            if (specifier := stands[row.action][row.specifier]) != row.specifier:
                row.specifier = specifier
                moved.append(row)
    for some in sliced(moved, ROWS):
        await TokenAccess.filter(id__in=[row.id for row in some]).using_db(connection).delete()
    await _add_accesses(connection, _merged(moved))


def _merged(moved: Sequence[TokenAccess]) -> list[tuple[Any, ...]]:
    """Make one row of those that the same specifier stands for now."""
    merged: dict[tuple[UUID, str, str], TokenAccess] = {}
    for row in moved:
        known = merged.setdefault((row.token_id, row.action, row.specifier), row)
        if known is not row:
            for name in _DECIDED:
                setattr(known, name, getattr(known, name) + getattr(row, name))
            known.first_at, known.last_at = min(known.first_at, row.first_at), max(known.last_at, row.last_at)
    return [
        (*_columns(token_id, row.account_id), action, specifier, *counts, row.first_at, row.last_at)
        for (token_id, action, specifier), row in merged.items()
        for counts in [[getattr(row, name) for name in _DECIDED]]
    ]


_OWN = ("id", "version", "created_at", "updated_at", "account_id", "token_id")
_ID_AT, _TOKEN_AT = 0, 5


def _columns(token_id: UUID, account_id: UUID) -> tuple[Any, ...]:
    at = now()
    return str(new_id()), 1, at, at, str(account_id), str(token_id)


def _insert(
    connection: BaseDBAsyncClient, table: str, names: Sequence[str], rows: Collection[Sequence[Any]]
) -> tuple[str, list[Any]]:
    each = places(connection, len(names) * len(rows))
    listed = map(", ".join, sliced(each, len(names)))
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({'), ('.join(listed)})"  # noqa: S608 - names of our own
    return sql, list(chain.from_iterable(rows))


def places(connection: BaseDBAsyncClient, many: int) -> list[str]:
    """Write so many placeholders as the database has them."""
    return ["?"] * many if _is_sqlite(connection) else [f"${index + 1}" for index in range(many)]


def _is_sqlite(connection: BaseDBAsyncClient) -> bool:
    return connection.capabilities.dialect == "sqlite"


def _time(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
