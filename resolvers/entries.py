"""The audit log as it is read: listed, and followed entry by entry while it grows."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from core.errors import Invalid
from core.specifiers import Resource
from core.vocabulary import Action
from models import ActorKind, AuditAccess, AuditEntry, AuditHead, Json, Notice
from resolvers import input as typed
from resolvers.callers import Caller, current
from resolvers.pages import Order, number
from resolvers.reading import readable

M = TypeVar("M", AuditEntry, Notice)

POLL_S = 1.0
"""How long at most until a follower sees what another process committed."""
BATCH = 100


def by_sequence(*, descending: bool = False) -> Order:
    """Order entries as they were sealed."""
    return Order("SEQUENCE", "sequence", number, descending=descending)


def place_of(field: str, cursor: str) -> int:
    """Read the sequence number out of a cursor of the list, whichever way it was ordered."""
    with suppress(Invalid):
        return int(by_sequence(descending=True).place(field, cursor).value)
    return int(by_sequence().place(field, cursor).value)


@dataclass(frozen=True, slots=True)
class EntryFilter:
    """Which entries; what is None does not matter. `since` is included, `until` is not.

    A member and a token are those who did it, or on whose behalf it was done.
    """

    action: str | None = None
    resource: str | None = None
    member_id: UUID | None = None
    token_id: UUID | None = None
    target_id: UUID | None = None
    since: datetime | None = None
    until: datetime | None = None


async def entries(caller: Caller, wanted: EntryFilter) -> QuerySet[AuditEntry]:
    """List entries of the audit log."""
    rows = readable(caller, AuditEntry)
    columns = (("target_id", wanted.target_id), ("at__gte", wanted.since), ("at__lt", wanted.until))
    rows = rows.filter(**{name: value for name, value in columns if value is not None})
    if wanted.member_id is not None:
        rows = rows.filter(Q(member_id=wanted.member_id) | Q(behalf_member_id=wanted.member_id))
    if wanted.token_id is not None:
        rows = rows.filter(Q(token_id=wanted.token_id) | Q(behalf_token_id=wanted.token_id))
    said = (("action", wanted.action, 64), ("resource", wanted.resource, 512))  # as long as their columns
    accessed = {name: typed.name(f"filter.{name}", word, most=most) for name, word, most in said if word is not None}
    if accessed:
        access = AuditAccess.filter(account_id=caller.account.id, **accessed)
        rows = rows.filter(id__in=Subquery(access.values("entry_id")))
    return rows


def is_own(caller: Caller, entry: AuditEntry) -> bool:
    """Say whether it was the caller's own deed: the member's, with whatever, or the token's."""
    whom = caller.member.id if caller.member else None
    with_what = caller.token.id if caller.token else None
    return (whom is not None and entry.member_id == whom) or (with_what is not None and entry.token_id == with_what)


def shows_origin(caller: Caller, entry: AuditEntry) -> bool:
    """Say whether the caller may see from where and with which program it was done.

    What Latchkey noticed about a member's own token, such as the return of an old secret, is told them whole.
    """
    own = caller.member is not None and entry.target_member_id == caller.member.id
    noticed = own and entry.actor_kind is ActorKind.SYSTEM
    return (
        noticed
        or is_own(caller, entry)
        or caller.rights.allows(Action.VIEW_AUDIT_LOG.value, Resource.of(("acct", None)))
    )


_GUARDED = {"email": Action.VIEW_MEMBER_EMAIL, "policy": Action.VIEW_ROLE_POLICY}
"""What of a snapshot takes an action of its own on the thing itself, wherever it is met."""
_HELD = ("customRoles", "scopeRoles")


def shown(caller: Caller, entry: AuditEntry, snapshot: Mapping[str, Json] | None) -> dict[str, Json] | None:
    """Leave out of a snapshot what the caller may not see of the thing itself."""
    if snapshot is None or entry.reported_at is not None:  # what an integration told is not of a row
        return None if snapshot is None else dict(snapshot)
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
