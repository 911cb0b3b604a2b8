"""How tokens were used, read for many of them at once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from uuid import UUID

from tortoise.connection import get_connections

from core.errors import Invalid
from models import TokenAccess, TokenOrigin, now
from resolvers.statements import uuid
from resolvers.tallies import places

DAYS_SHOWN = 366
LINES_SHOWN = 1_000
"""How many counts of one token are shown at once, the latest; all are in the totals."""


@dataclass(frozen=True, slots=True)
class Counted:
    """How often a token was used for an action on a day."""

    day: date
    action: str
    allowed: int
    refused: int
    trial_refused: int


@dataclass(slots=True)
class Counts:
    """How often a token was used in some days: in all, and by day and action, the latest first."""

    allowed: int = 0
    refused: int = 0
    trial_refused: int = 0
    daily: list[Counted] = field(default_factory=list)


def shown_since(days: int) -> date:
    """Give the first of so many days that end today. Raises `Invalid`."""
    if not 1 <= days <= DAYS_SHOWN:
        raise Invalid("days", f"must be from 1 to {DAYS_SHOWN}")
    return now().date() - timedelta(days=days - 1)


async def counts(account_id: UUID, token_ids: Sequence[UUID], since: date) -> Mapping[UUID, Counts]:
    """Read how often tokens were used since a day, in one statement however many there are."""
    connection = get_connections().get("default")
    account, day, *tokens = places(connection, 2 + len(token_ids))
    each = "OVER (PARTITION BY token_id"
    sql = (
        "SELECT * FROM (SELECT token_id, day, action, allowed, refused, trial_refused,"  # noqa: S608 - places and a number of our own
        f" SUM(allowed) {each}) AS all_allowed, SUM(refused) {each}) AS all_refused,"
        f" SUM(trial_refused) {each}) AS all_trial_refused,"
        f" ROW_NUMBER() {each} ORDER BY day DESC, action) AS place_ FROM token_day"
        f" WHERE account_id = {account} AND day >= {day} AND token_id IN ({', '.join(tokens)})) AS placed"
        f" WHERE place_ <= {LINES_SHOWN} ORDER BY token_id, place_"
    )
    _, rows = await connection.execute_query(sql, [str(account_id), since, *map(str, token_ids)])
    found = {token_id: Counts() for token_id in token_ids}
    for row in rows:
        counts = found[uuid(row["token_id"])]
        counts.allowed, counts.refused = int(row["all_allowed"]), int(row["all_refused"])
        counts.trial_refused = int(row["all_trial_refused"])
        told = row["action"], row["allowed"], row["refused"], row["trial_refused"]
        counts.daily.append(Counted(_day(row["day"]), *told))
    return found


def _day(value: str | date) -> date:
    return value if isinstance(value, date) else date.fromisoformat(value)


async def origins(account_id: UUID, token_ids: Sequence[UUID]) -> Mapping[UUID, list[TokenOrigin]]:
    """Read from where tokens were used, the latest first, in one statement however many there are."""
    found: dict[UUID, list[TokenOrigin]] = {token_id: [] for token_id in token_ids}
    rows = TokenOrigin.filter(account_id=account_id, token_id__in=list(token_ids))
    for row in await rows.order_by("token_id", "-last_at", "-id"):
        found[row.token_id].append(row)
    return found


async def accesses(
    account_id: UUID, token_ids: Sequence[UUID], since: datetime | None = None
) -> Mapping[UUID, list[TokenAccess]]:
    """Read what tokens were used for, or since a moment, the latest first, in one statement however many there are."""
    found: dict[UUID, list[TokenAccess]] = {token_id: [] for token_id in token_ids}
    rows = TokenAccess.filter(account_id=account_id, token_id__in=list(token_ids))
    if since is not None:
        rows = rows.filter(last_at__gte=since)
    for row in await rows.order_by("token_id", "-last_at", "-id"):
        found[row.token_id].append(row)
    return found
