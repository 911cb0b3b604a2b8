"""What is kept of the uses of tokens, and how it is written: for many tokens at once."""

from collections import OrderedDict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import chain
from typing import Any
from uuid import UUID

from tortoise.backends.base.client import BaseDBAsyncClient
from tortoise.transactions import in_transaction

from models import Token, TokenDay, new_id, now

DAY_S = 24 * 60 * 60
DAYS_KEPT = 400
"""For how many days the counts of a token that is used are kept."""
ORIGINS_KEPT = 100
"""From how many places a token is known to be used; the one not used for longest makes room."""
ROWS = 1_000
"""How many rows stand in one statement, which no database takes in any number."""
_EPOCH = date(1970, 1, 1)

Whence = tuple[str, str]
"""An address and a user agent, each empty if it is not known."""


@dataclass(slots=True)
class Tally:
    """The uses of one token that are not written yet. Times are in seconds since 1970."""

    account_id: UUID
    last_at_s: float = 0.0
    address: str | None = None
    user_agent: str | None = None
    days: dict[tuple[int, str], list[int]] = field(default_factory=dict)
    """By the day since 1970 and the action: how often it was allowed, refused, and refused by the scope on trial."""
    origins: OrderedDict[Whence, tuple[float, float, int]] = field(default_factory=OrderedDict)
    """When it was first and last used from there, and how often; the latest at the end."""

    @property
    def size(self) -> int:
        """How much it keeps."""
        return 1 + len(self.days) + len(self.origins)

    def used(self, at_s: float, address: str | None, user_agent: str | None) -> None:
        """Note when it was last used."""
        if at_s >= self.last_at_s:
            self.last_at_s, self.address, self.user_agent = at_s, address, user_agent

    def count(self, key: tuple[int, str], *many: int) -> None:
        """Add to the counts of a day and an action."""
        counts = self.days.setdefault(key, [0, 0, 0])
        for index, each in enumerate(many):
            counts[index] += each

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
        for key, counts in later.days.items():
            self.count(key, *counts)
        for whence, told in later.origins.items():
            self.came(whence, *told)


async def write(tallies: Mapping[UUID, Tally]) -> set[UUID]:
    """Write the uses of some tokens in one transaction, and say of which they are done with.

    A token that somebody else has locked is left out: who holds some and waits for others may wait for good. For the
    others this holds the locks, so that two processes never write the same counts at once.
    """
    async with in_transaction() as connection:
        unlocked = Token.filter(id__in=list(tallies)).select_for_update(skip_locked=True, no_key=True)
        free = {token.id: tallies[token.id] for token in await unlocked.order_by("id").only("id")}
        busy = [token_id for token_id in tallies if token_id not in free]
        waiting = {token.id for token in await Token.filter(id__in=busy).only("id")} if busy else set[UUID]()
        await _write_last(connection, free)
        await _write_days(connection, free)
        await _write_origins(connection, free)
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


_DAY = ("allowed", "refused", "trial_refused")


async def _write_days(connection: BaseDBAsyncClient, tallies: Mapping[UUID, Tally]) -> None:
    added = ", ".join(f"{name} = token_day.{name} + excluded.{name}" for name in _DAY)
    rows = [
        (*_columns(token_id, tally), _EPOCH + timedelta(days=day), action, *counts)
        for token_id, tally in tallies.items()
        for (day, action), counts in sorted(tally.days.items())
    ]
    made: set[str] = set()
    for some in _chunks(rows):
        sql, values = _insert(connection, "token_day", (*_OWN, "day", "action", *_DAY), some)
        sql += " ON CONFLICT (account_id, token_id, day, action) DO UPDATE SET"
        sql += f" {added}, updated_at = excluded.updated_at RETURNING id"
        made |= await _made(connection, sql, values, some)
    if made:
        kept_from = max(row[_DAY_AT] for row in rows) - timedelta(days=DAYS_KEPT)
        await TokenDay.filter(token_id__in=sorted(made), day__lt=kept_from).using_db(connection).delete()


async def _made(
    connection: BaseDBAsyncClient, sql: str, values: list[Any], rows: Sequence[tuple[Any, ...]]
) -> set[str]:
    """Run an insert that returns ids, and give the tokens that have a new row: those where an id of ours stayed."""
    _, stored = await connection.execute_query(sql, values)
    known = {str(row["id"]) for row in stored}
    return {row[_TOKEN_AT] for row in rows if row[_ID_AT] in known}


async def _write_origins(connection: BaseDBAsyncClient, tallies: Mapping[UUID, Tally]) -> None:
    rows = [
        (*_columns(token_id, tally), *whence, _time(first_s), _time(last_s), times)
        for token_id, tally in tallies.items()
        for whence, (first_s, last_s, times) in sorted(tally.origins.items())
    ]
    greatest, least = ("MAX", "MIN") if _is_sqlite(connection) else ("GREATEST", "LEAST")
    made: set[str] = set()
    for some in _chunks(rows):
        names = (*_OWN, "address", "user_agent", "first_at", "last_at", "uses")
        sql, values = _insert(connection, "token_origin", names, some)
        sql += (
            " ON CONFLICT (account_id, token_id, address, user_agent) DO UPDATE SET"
            " uses = token_origin.uses + excluded.uses, updated_at = excluded.updated_at,"
            f" first_at = {least}(token_origin.first_at, excluded.first_at),"
            f" last_at = {greatest}(token_origin.last_at, excluded.last_at) RETURNING id"
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


_OWN = ("id", "version", "created_at", "updated_at", "account_id", "token_id")
_ID_AT, _TOKEN_AT, _DAY_AT = 0, 5, 6


def _columns(token_id: UUID, tally: Tally) -> tuple[Any, ...]:
    at = now()
    return str(new_id()), 1, at, at, str(tally.account_id), str(token_id)


def _insert(
    connection: BaseDBAsyncClient, table: str, names: Sequence[str], rows: Collection[Sequence[Any]]
) -> tuple[str, list[Any]]:
    each = places(connection, len(names) * len(rows))
    listed = (", ".join(each[start : start + len(names)]) for start in range(0, len(each), len(names)))
    sql = f"INSERT INTO {table} ({', '.join(names)}) VALUES ({'), ('.join(listed)})"  # noqa: S608 - names of our own
    return sql, list(chain.from_iterable(rows))


def places(connection: BaseDBAsyncClient, many: int) -> list[str]:
    """Write so many placeholders as the database has them."""
    return ["?"] * many if _is_sqlite(connection) else [f"${index + 1}" for index in range(many)]


def _is_sqlite(connection: BaseDBAsyncClient) -> bool:
    return connection.capabilities.dialect == "sqlite"


def _chunks(rows: Sequence[tuple[Any, ...]]) -> Iterable[Sequence[tuple[Any, ...]]]:
    return (rows[start : start + ROWS] for start in range(0, len(rows), ROWS))


def _time(at_s: float) -> datetime:
    return datetime.fromtimestamp(at_s, UTC)
