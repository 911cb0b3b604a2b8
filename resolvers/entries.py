"""The audit log as it is read: listed, and followed entry by entry while it grows."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from core.differences import Difference, differences
from core.errors import Invalid
from core.policy import Policy
from core.sentences import Actor, Behalf, Told
from core.specifiers import Resource
from core.vocabulary import Action
from models import ActorKind, AuditAccess, AuditEntry, AuditHead, Json, Member, Notice, Outcome, Token
from resolvers import accesses, addresses
from resolvers import input as typed
from resolvers.callers import Caller, current
from resolvers.conditions import Condition, every, some, sql
from resolvers.pages import Order, number
from resolvers.reading import readable

M = TypeVar("M", AuditEntry, Notice)

POLL_S = 1.0
"""How long at most until a follower sees what another process committed."""
BATCH = 100


def by_sequence(*, descending: bool = False) -> Order:
    """Order entries as they were sealed."""
    return Order("SEQUENCE", "sequence", number, descending=descending, unique=True)


def place_of(field: str, cursor: str) -> int:
    """Read the sequence number out of a cursor of the list, whichever way it was ordered."""
    with suppress(Invalid):
        return int(by_sequence(descending=True).place(field, cursor).value)
    return int(by_sequence().place(field, cursor).value)


def cursor(entry: AuditEntry) -> str:
    """Tell an entry's place in the list, the latest first."""
    return by_sequence(descending=True).cursor(entry)


def behind(sequence: int) -> str:
    """Make the cursor, in the list with the earliest first, of the entry with a number, whether there is one or not."""
    return by_sequence().cursor(AuditEntry(sequence=sequence, id=UUID(int=0)))


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; what is None does not matter. `since` is included, `until` is not.

    A member and a token are those who did it, or on whose behalf it was done. What is said of accesses must hold for
    one and the same.
    """

    action: str | None = None
    resource: str | None = None
    statements: Policy | None = None
    member_id: UUID | None = None
    token_id: UUID | None = None
    token_ending: str | None = None
    creator_id: UUID | None = None
    """Who made the token that it was done with."""
    actor_kind: ActorKind | None = None
    target_id: UUID | None = None
    target_kind: str | None = None
    outcome: Outcome | None = None
    is_reported: bool | None = None
    request_id: str | None = None
    network: str | None = None
    """An address or a block of them, from which the caller may see that it came."""
    since: datetime | None = None
    until: datetime | None = None
    text: str | None = None

    def accessed(self) -> Condition:
        """Say what an access must be for its entry to be found. Raises `Invalid` naming the field."""
        # As long as the column: PostgreSQL refuses to compare with more.
        action = None if self.action is None else typed.name("filter.action", self.action, most=64)
        resource = None if self.resource is None else typed.name("filter.resource", self.resource, most=512)
        return every(
            [
                True if action is None else accesses.of_action(action),
                True if resource is None else accesses.of_resource("filter.resource", resource),
                True if self.statements is None else accesses.allowed_by(self.statements),
            ]
        )


_COLUMNS = {
    "actor_kind": "actor_kind",
    "target_id": "target_id",
    "target_kind": "target_kind",
    "outcome": "outcome",
    "request_id": "request_id",
    "at__gte": "since",
    "at__lt": "until",
}
"""What an entry's columns are compared with, in Tortoise's words."""
_ACTORS = {
    "member_id": ("member_id", "behalf_member_id"),
    "token_id": ("token_id", "behalf_token_id"),
    "token_ending": ("token_ending", "behalf_token_ending"),
}
"""In which columns it is looked for who did it, or on whose behalf it was done."""
_TEXTS = ("target_name", "member_name", "token_name", "behalf_member_name", "behalf_token_name", "comment")


def columns(caller: Caller, wanted: EntryFilter) -> Iterator[Condition]:
    """Say what must hold for an entry itself. Raises `Invalid` naming the field."""
    given = {column: getattr(wanted, name) for column, name in _COLUMNS.items()}
    yield from (Q(**{column: value}) for column, value in given.items() if value is not None)
    for name, either in _ACTORS.items():
        if (value := getattr(wanted, name)) is not None:
            yield some(Q(**{column: value}) for column in either)
    if wanted.creator_id is not None:
        made = Subquery(made_by(caller, wanted.creator_id).values("id"))
        yield Q(token_id__in=made) | Q(behalf_token_id__in=made)
    if wanted.is_reported is not None:
        yield Q(reported_at__isnull=not wanted.is_reported)
    if wanted.network is not None:
        yield every([_origin_shown(caller), addresses.within("filter.address", "address", wanted.network)])
    if wanted.text is not None:
        looked_for = typed.name("filter.text", wanted.text)
        yield some(Q(**{f"{column}__icontains": looked_for}) for column in _TEXTS)


def made_by(caller: Caller, member_id: UUID) -> QuerySet[Token]:
    """List the tokens that a member made, as far as the caller sees the tokens and the member."""
    seen = readable(caller, Member).filter(id=member_id)
    return readable(caller, Token).filter(creator_id__in=Subquery(seen.values("id")))


async def entries(caller: Caller, wanted: EntryFilter) -> QuerySet[AuditEntry]:
    """List entries of the audit log."""
    rows = readable(caller, AuditEntry).filter(sql(every(columns(caller, wanted))))
    accessed = wanted.accessed()
    if accessed is not True:
        access = AuditAccess.filter(account_id=caller.account.id).filter(sql(accessed))
        rows = rows.filter(id__in=Subquery(access.values("entry_id")))
    return rows


def sees_all(caller: Caller) -> bool:
    """Say whether the caller may see the whole log."""
    return caller.rights.allows(Action.VIEW_AUDIT_LOG.value, Resource.of(("acct", None)))


def is_own(caller: Caller, entry: AuditEntry) -> bool:
    """Say whether it was the caller's own deed: the member's, with whatever, or the token's."""
    whom = caller.member.id if caller.member else None
    with_what = caller.token.id if caller.token else None
    return (whom is not None and entry.member_id == whom) or (with_what is not None and entry.token_id == with_what)


_NOTICED = (ActorKind.SYSTEM, ActorKind.PASSWORD, ActorKind.OIDC)


def shows_origin(caller: Caller, entry: AuditEntry) -> bool:
    """Say whether the caller may see from where and with which program it was done.

    What Latchkey noticed about a member's own token, such as the return of an old secret, is told them whole; likewise
    who failed to sign in as them.
    """
    own = caller.member is not None and entry.target_member_id == caller.member.id
    noticed = own and entry.actor_kind in _NOTICED
    return noticed or is_own(caller, entry) or sees_all(caller)


def _origin_shown(caller: Caller) -> Condition:
    """Find the entries of which `shows_origin` says yes."""
    if sees_all(caller):
        return True
    member, token = caller.member, caller.token
    return some(
        [
            Q(member_id=member.id) if member else False,
            Q(target_member_id=member.id, actor_kind__in=_NOTICED) if member else False,
            Q(token_id=token.id) if token else False,
        ]
    )


_GUARDED = {"email": Action.VIEW_MEMBER_EMAIL, "policy": Action.VIEW_ROLE_POLICY}
"""What of a snapshot takes an action of its own on the thing itself, wherever it is met."""
_HELD = ("customRoles", "scopeRoles")


def shown(caller: Caller, entry: AuditEntry, snapshot: Mapping[str, Json] | None) -> dict[str, Json] | None:
    """Leave out of a snapshot what the caller may not see of the thing itself."""
    if snapshot is None:
        return None
    if entry.reported_at is not None or entry.outcome is Outcome.REFUSED:  # what is not of a row
        return dict(snapshot)
    target = Resource.parse(entry.target_resource)

    def may(action: Action, resource: Resource) -> bool:
        return caller.rights.allows(action.value, resource)

    visible = {key: value for key, value in snapshot.items() if key not in _GUARDED or may(_GUARDED[key], target)}

    def seen(held: Sequence[Json]) -> list[Json]:
        return [role for role in held if may(Action.VIEW_ROLE, Resource.of(("role", str(role))))]

    for key in _HELD:
        held = visible.get(key)
        if isinstance(held, list):
            visible[key] = seen(held)
    trial = visible.get("trial")
    if isinstance(trial, dict) and isinstance(tried := trial.get("roles"), list):
        visible["trial"] = {**trial, "roles": seen(tried)}
    return visible


def changes(caller: Caller, entry: AuditEntry) -> Iterator[Difference]:
    """Give what was different afterwards, of what the caller may see: nothing, where it was refused."""
    if entry.outcome is Outcome.REFUSED:
        return iter(())
    return differences(shown(caller, entry, entry.before), shown(caller, entry, entry.after))


def told(entry: AuditEntry) -> Told:
    """Give what the sentence about an entry tells."""
    behalf = None
    if entry.behalf_token_id is not None:
        behalf = Behalf(entry.behalf_member_name, entry.behalf_token_name, bool(entry.behalf_verified))
    refused = entry.outcome is Outcome.REFUSED
    return Told(
        Actor(entry.actor_kind.value, entry.member_name, entry.token_name, entry.token_ending),
        [access["action"] for access in entry.accesses],
        entry.target_kind,
        entry.target_name,
        entry.accesses[0]["resource"] if refused else entry.target_resource,
        refused=refused,
        reported=entry.reported_at is not None,
        behalf=behalf,
    )


@dataclass(frozen=True, slots=True)
class Recorded(Generic[M]):
    """An entry, or what was made along with one, as it is followed; and the caller as that moment finds them."""

    caller: Caller
    row: M


Between = Callable[[Caller, int, int], Awaitable[tuple[Sequence[M], int]]]
"""Reads what came after a sequence number, up to another, in its order: the rows, and how far it looked."""


def recorded(caller: Caller, after: int | None) -> AsyncGenerator[Recorded[AuditEntry], None]:
    """Follow the audit log from now on, or from after a sequence number: each entry that the caller may see, once."""
    return followed(caller, after, _between)


async def followed(caller: Caller, after: int | None, between: Between[M]) -> AsyncGenerator[Recorded[M], None]:
    """Follow what is made along with entries, in the order of the log.

    Access is decided anew for every row. Raises `Unauthenticated` when the credential dies, within about a second.
    No transaction is open while it waits.
    """
    seen = await _end(caller) if after is None else after
    with caller.request.house.bell.listening(caller.account.id, caller.actor_id) as rung:
        while True:
            rung.clear()
            caller = await current(caller)
            end = await _end(caller)
            while seen < end:
                found, seen = await between(caller, seen, end)
                for row in found:
                    caller = await current(caller)
                    if caller.sees(Action.VIEW_AUDIT_LOG, row):
                        yield Recorded(caller, row)
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await rung.wait()


async def _end(caller: Caller) -> int:
    return int((await AuditHead.get(account_id=caller.account.id)).sequence)


async def _between(caller: Caller, seen: int, end: int) -> tuple[list[AuditEntry], int]:
    rows = readable(caller, AuditEntry).filter(sequence__gt=seen, sequence__lte=end)
    found = await rows.order_by("sequence").limit(BATCH)
    return found, found[-1].sequence if len(found) == BATCH else end
