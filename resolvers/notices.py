"""Notices: what people are told without asking, each made in the transaction of its entry with all its deliveries.

A notice tells whoever owns its token or answers for it; where nobody active does, and of the account as a whole, the
account's owner. Whoever sees the whole log sees all notices.
"""

from collections.abc import AsyncGenerator, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

from core.errors import Invalid
from core.slices import sliced
from core.vocabulary import Action
from models import (
    Account,
    ActorKind,
    AuditEntry,
    Channel,
    Delivery,
    Json,
    Member,
    MemberState,
    Notice,
    NoticeKind,
    Token,
    Webhook,
    new_id,
    now,
)
from resolvers.callers import Caller, Request, with_credential
from resolvers.entries import BATCH, Recorded, followed
from resolvers.house import House
from resolvers.lists import by_id
from resolvers.reading import readable
from resolvers.realms import owner_of
from resolvers.writing import At, Line, because, change

CHUNK = 500
"""How many keys stand in one statement."""


@dataclass(frozen=True, slots=True)
class News:
    """What is to be noticed. `key` says what it is, so that it is noticed once in an account."""

    kind: NoticeKind
    key: str
    token: Token | None = None
    details: Mapping[str, Json] = field(default_factory=dict)


async def known(account_id: UUID, keys: Sequence[str]) -> set[str]:
    """Say which of these were noticed already."""
    found: set[str] = set()
    for some in sliced(keys, CHUNK):
        noticed = Notice.filter(account_id=account_id, key__in=list(some))
        found |= {notice.key for notice in await noticed.only("key")}
    return found


async def tell(caller: Caller, news: Iterable[tuple[AuditEntry, News]]) -> None:
    """Make notices of what their entries record, but for what was noticed before.

    Called in the transaction of the entries, which has locked the account's head: so none is made twice.
    """
    account, pairs = caller.account, list(news)
    if not pairs:
        return
    before = await known(account.id, [each.key for _, each in pairs])
    whom = await _told(account, [each.token for _, each in pairs if each.token])
    rows = [_notice(entry, each, whom) for entry, each in pairs if each.key not in before]
    if rows:
        await Notice.bulk_create(rows)
        await Delivery.bulk_create(await _deliveries(caller, rows))


def _notice(entry: AuditEntry, news: News, whom: Mapping[UUID | None, UUID | None]) -> Notice:
    token = news.token
    shown = {"name": token.name, "ending": token.ending, "kind": token.kind.value} if token else None
    return Notice(
        id=entry.id,
        account_id=entry.account_id,
        kind=news.kind,
        key=news.key,
        at=entry.at,
        entry_id=entry.id,
        token_id=token.id if token else None,
        member_id=whom.get(_attending(token), whom[None]),
        details={**({"token": shown} if shown else {}), **news.details},
    )


def _attending(token: Token | None) -> UUID | None:
    return (token.owner_id or token.responsible_id) if token else None


async def _told(account: Account, tokens: Iterable[Token]) -> dict[UUID | None, UUID | None]:
    """Say by whom the active among those who attend to tokens are told: themselves; and the owner, for all others."""
    attending = {member_id for token in tokens if (member_id := _attending(token))}
    active = Member.filter(account_id=account.id, id__in=list(attending), state=MemberState.ACTIVE)
    owner_id = await owner_of(account.id)
    whom: dict[UUID | None, UUID | None] = {None: UUID(owner_id) if owner_id else None}
    return whom | {member.id: member.id for member in (await active.only("id") if attending else ())}


async def _deliveries(caller: Caller, notices: Collection[Notice]) -> list[Delivery]:
    """Say to where notices are to be delivered: to each webhook that wants them, and by mail to who is told."""
    account_id, at = caller.account.id, now()
    webhooks = await Webhook.filter(account_id=account_id, disabled_at=None)
    wanted: list[Delivery] = []
    for each in notices:
        due = {"account_id": account_id, "notice_id": each.id, "next_at": at}
        listed = [webhook.id for webhook in webhooks if webhook.wants(each.kind)]
        wanted += [Delivery(channel=Channel.WEBHOOK, webhook_id=webhook_id, **due) for webhook_id in listed]
        if each.member_id and caller.request.house.mail:
            wanted.append(Delivery(channel=Channel.MAIL, member_id=each.member_id, **due))
    return wanted


def line(caller: Caller, action: Action, token: Token, noted: Mapping[str, Json]) -> Line:
    """Write what an entry says that changes nothing of a token, whose roles are fetched."""
    shown, resource = token.snapshot(), str(token.resource)
    return Line(
        target_kind=token.resource.path[-1],
        target_id=token.id,
        target_resource=resource,
        target_name=token.label,
        target_member_id=token.owner_id,
        accesses=[{"action": action.value, "resource": resource}],
        because=[because(action, caller.require(action, token))],
        before=shown,
        after={**shown, **noted},
    )


def reused(token: Token, secret_id: UUID, at: datetime) -> News:
    """Say that an ended secret of a token was presented: once a day."""
    return News(NoticeKind.REUSED, f"reused:{secret_id}:{at:%Y-%m-%d}", token)


def shortened(token: Token, ends_at: datetime) -> News:
    """Say that a token got an end, or an earlier one, since its account changed for how long tokens may live."""
    end = ends_at.astimezone(UTC).isoformat()
    return News(NoticeKind.SHORTENED, f"shortened:{token.id}:{end}", token, {"expiresAt": end})


def leaked(token: Token, secret_id: UUID) -> News:
    """Say that a secret of a token was reported as leaked. Whether that ended the token tells its entry."""
    return News(NoticeKind.LEAKED, f"leaked:{secret_id}", token)


async def by_itself(house: House, account: Account) -> Caller:
    """Make the caller of what Latchkey does by itself."""
    return await with_credential(account, Request(house, str(new_id()), None, "latchkey"), ActorKind.SYSTEM)


async def advice_due(house: House, account: Account, count: int) -> None:
    """Notice that there is advice, so many items of it, for the account's owner: once a week at most."""
    year, week, _ = now().isocalendar()
    news = News(NoticeKind.ADVICE_DUE, f"advice:{year}-{week:02}", details={"count": count})
    if count < 1 or await known(account.id, [news.key]):
        return
    async with change(await by_itself(house, account), Action.NOTICE_ADVICE, At(Account, account.id)) as deed:
        if not await known(account.id, [news.key]):  # another process may have been faster
            deed.note({}, {"advice": count})
            deed.following.append(lambda entry: tell(deed.caller, [(entry, news)]))


def place_of(field: str, cursor: str) -> UUID:
    """Read the id out of a cursor of the list, whichever way it was ordered."""
    with suppress(Invalid):
        return UUID(str(by_id(descending=True).place(field, cursor).value))
    return UUID(str(by_id().place(field, cursor).value))


async def added(caller: Caller, after: UUID | None) -> AsyncGenerator[Recorded[Notice], None]:
    """Follow the notices from now on, or from after one of them: each that the caller may see, once.

    As `entries.recorded`, whose order they have.
    """
    place = None
    if after is not None:
        entry = await AuditEntry.get_or_none(account_id=caller.account.id, id=after).only("sequence")
        if entry is None:
            raise Invalid("after", "must be a cursor of this list")
        place = entry.sequence
    async for each in followed(caller, place, _between):
        yield each


async def _between(caller: Caller, seen: int, end: int) -> tuple[list[Notice], int]:
    log = AuditEntry.filter(account_id=caller.account.id, sequence__gt=seen, sequence__lte=end)
    entries = await log.order_by("sequence").limit(BATCH).only("id", "sequence")
    order = {entry.id: entry.sequence for entry in entries}
    found = await readable(caller, Notice).filter(id__in=list(order)) if order else []
    reached = entries[-1].sequence if len(entries) == BATCH else end
    return sorted(found, key=lambda notice: order[notice.id]), reached
