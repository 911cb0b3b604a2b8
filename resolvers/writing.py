"""The only door for writing: a change and its entry commit in one transaction, or neither does."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Generic, TypeVar
from uuid import UUID

from tortoise.expressions import F
from tortoise.models import Model
from tortoise.queryset import QuerySet
from tortoise.transactions import in_transaction

from core import chain, ids
from core.errors import Conflict, Invalid, NotFound
from core.law import Verdict
from core.vocabulary import Action
from models import (
    CLOCKS_DIFFER,
    Account,
    ActorKind,
    AuditAccess,
    AuditEntry,
    AuditHead,
    Json,
    Member,
    Row,
    Token,
    new_id,
    now,
)
from models.database import is_inside_transaction
from models.writes import Write, insert, update, write
from resolvers.callers import Caller, Request, again
from resolvers.reading import note_seen, readable
from resolvers.statements import Statement, dialect, found

R = TypeVar("R", bound=Row)

sealed: Counter[tuple[ActorKind, str]] = Counter()
"""How many entries were sealed and committed since the process began, by the kind of actor and the action.

The action is "" for one not ours.
"""
_sealing: ContextVar[Counter[tuple[ActorKind, str]]] = ContextVar("sealing")
"""Those of the transaction that is open, or of the savepoint: it may still be undone."""
_ACTIONS = frozenset(Action)


@dataclass(frozen=True, slots=True)
class At(Generic[R]):
    """A row that is there already: found among those the caller sees, locked and compared inside the transaction."""

    model: type[R]
    id: UUID
    among: Callable[[Caller, type[R]], QuerySet[R]] = readable


def any_row(caller: Caller, model: type[R]) -> QuerySet[R]:
    """Find any row of the account, seen or not: for Latchkey itself, and whoever holds a secret and sees nothing."""
    return model.filter(account_id=caller.account.id)


@dataclass(frozen=True, slots=True)
class Said:
    """What a caller says beside the deed itself."""

    comment: str | None = None
    idempotency_key: str | None = None
    expected_version: int | None = None


@dataclass(frozen=True, slots=True)
class Done(Generic[R]):
    """What a change came to: the whole row, its entry (None where nothing changed), and a secret where one was made."""

    row: R
    entry: AuditEntry | None
    secret: str | None = field(default=None, repr=False)


@dataclass(slots=True)
class Deed(Generic[R]):
    """A change under way: the row it is about, the caller as the transaction sees them, and at the end its entry."""

    caller: Caller
    row: R
    said: Said
    before: dict[str, Any] | None
    head: AuditHead
    allowed: list[tuple[Action, Verdict]] = field(default_factory=list)
    noted: tuple[dict[str, Json], dict[str, Json]] = field(default_factory=lambda: ({}, {}))
    entry: AuditEntry | None = None
    deleted: bool = False
    made: tuple[Model, ...] = ()
    following: list[Callable[[AuditEntry], Awaitable[None]]] = field(default_factory=list)
    """What else is written in the transaction once the entry is, if there is one."""

    def require(self, *actions: Action) -> None:
        """Require further actions on the row; the entry names them too."""
        self.allowed += [(action, self.caller.require(action, self.row)) for action in actions]

    def note(self, before: dict[str, Json], after: dict[str, Json]) -> None:
        """Add to the entry what the row itself does not show."""
        self.noted[0].update(before)
        self.noted[1].update(after)

    async def add(self, lines: Iterable["Line"]) -> list[AuditEntry]:
        """Seal entries about what changes along with the row, before its own."""
        return await append_all(self.caller, self.head, lines)

    def make(self, *rows: Model) -> None:
        """Have new rows written together with the entry, in their order: the deed's own, and all that comes with it."""
        assert self.row in rows  # noqa: S101 - a change that may come to nothing writes its rows itself
        self.made = rows
        for path in self.row.related:
            held = getattr(self.row, path.partition("__")[0])
            held._set_result_for_query([row for row in rows if isinstance(row, held.remote_model)])  # noqa: SLF001 - as below

    async def delete(self) -> None:
        """Delete the row; its entry keeps what it was."""
        self.deleted = True
        await self.row.delete()


def asked_for(*changes: tuple[Action, bool]) -> list[Action]:
    """List the actions of the changes that are asked for. Raises `Invalid` if there are none."""
    actions = [action for action, is_asked in changes if is_asked]
    if not actions:
        raise Invalid("input", "must change something")
    return actions


@asynccontextmanager
async def change(
    caller: Caller,
    actions: Action | Sequence[Action],
    target: R | At[R],
    said: Said | None = None,
    *,
    head: AuditHead | None = None,
) -> AsyncIterator[Deed[R]]:
    """Open the one way to write.

    Locks the account's head first, makes the caller anew, locks the target, requires each action on *that row*, yields,
    and seals what changed into the chain. What changed nothing writes nothing. Raises `Unauthenticated`, `NotFound`,
    `Forbidden` or `Conflict`, and then nothing has happened. `head` begins the chain of an account that is being made.
    """
    said = said or Said()
    async with opened(caller, said, head) as (fresh, end):
        row, before = await _found(fresh, target, said)
        deed: Deed[R] = Deed(fresh, row, said, before, end)
        deed.require(*((actions,) if isinstance(actions, Action) else actions))
        yield deed
        await _recorded(deed)
        if deed.entry is not None:
            for follow in deed.following:
                await follow(deed.entry)
        # Whatever was recorded: what is remembered must never depend on what an entry shows. Only a new token, or
        # session, changes nothing for anybody else, and signing in is common.
        if not (isinstance(row, Token) and before is None):
            await Account.filter(id=caller.account.id).update(version=F("version") + 1)
        if isinstance(row, Account):
            await row.refresh_from_db(["version"])


@asynccontextmanager
async def opened(caller: Caller, said: Said, head: AuditHead | None = None) -> AsyncIterator[tuple[Caller, AuditHead]]:
    """Open the transaction of whatever is recorded: the account's head locked first, the caller made anew inside.

    A replay is refused. Those who follow the log are told after the commit, of the outermost where several are nested.
    """
    house, account_id = caller.request.house, caller.account.id
    untouched = not is_inside_transaction()
    try:
        async with _counting(sealed if untouched else _sealing.get(sealed)), in_transaction():
            head = head or await _locked(account_id)
            fresh = await again(caller, untouched=untouched)
            await _refuse_replay(fresh, said)
            yield fresh, head
    finally:
        house.database.versions.changed(account_id)
    if not is_inside_transaction():
        house.bell.ring(account_id)


@asynccontextmanager
async def _counting(around: Counter[tuple[ActorKind, str]]) -> AsyncIterator[None]:
    """Count what is sealed while this is open along with what is counted `around` it, but only if nothing is raised."""
    within: Counter[tuple[ActorKind, str]] = Counter()
    before = _sealing.set(within)
    try:
        yield
    finally:
        _sealing.reset(before)
    around.update(within)


async def _locked(account_id: UUID) -> AuditHead:
    statement = _heads(dialect())
    [head] = statement.rows(await found(statement.sql, [str(account_id)]))
    return head


@cache
def _heads(_dialect: str) -> Statement[AuditHead]:
    return Statement.of(AuditHead.filter(account_id=new_id()).select_for_update())


async def _refuse_replay(caller: Caller, said: Said) -> None:
    if said.idempotency_key is None:
        return
    first = await AuditEntry.get_or_none(
        account_id=caller.account.id, idempotency_actor=caller.actor_id, idempotency_key=said.idempotency_key
    )
    if first is not None:
        raise Conflict(
            "`idempotencyKey` was used before",
            field="idempotencyKey",
            first={
                "id": ids.target_id(first.target_resource, first.target_kind, first.target_id),
                "resource": first.target_resource,
                "auditEntry": ids.global_id("AuditEntry", first.id),
            },
        )


async def _found(caller: Caller, target: R | At[R], said: Said) -> tuple[R, dict[str, Json] | None]:
    if not isinstance(target, At):
        return target, None
    row = await target.among(caller, target.model).filter(id=target.id).select_for_update().first()
    if row is None:
        raise NotFound
    if target.among is readable:
        note_seen(caller, [row])
    await fetch_held(row)
    if said.expected_version is not None and said.expected_version != row.version:
        raise Conflict(
            f"`expectedVersion` is {said.expected_version}, the current version is {row.version}",
            field="expectedVersion",
            currentVersion=row.version,
        )
    return row, row.snapshot()


async def fetch_held(row: Row) -> None:
    """Fetch what a row's snapshot shows beside its columns, from its account alone."""
    for path in row.related:
        relation, _, beside = path.partition("__")
        held = getattr(row, relation)
        within = held.filter(account_id=row.account_id)  # type: ignore[attr-defined] # what holds anything is owned
        held._set_result_for_query(await within.select_related(beside))  # noqa: SLF001 - as Tortoise's prefetching does


async def _recorded(deed: Deed[R]) -> None:
    after = None
    if not deed.deleted:
        if not deed.made:
            await fetch_held(deed.row)
        after = deed.row.snapshot()
    if after == deed.before and not any(deed.noted):
        return
    if deed.before is not None and not deed.deleted:
        deed.row.version += 1
        deed.row.updated_at = now()
        await deed.row.save(update_fields=["version", "updated_at"])
    before = None if deed.before is None else {**deed.before, **deed.noted[0]}
    deed.entry = await _sealed(deed, before, None if after is None else {**after, **deed.noted[1]})


async def _sealed(deed: Deed[R], before: dict[str, Json] | None, after: dict[str, Json] | None) -> AuditEntry:
    row, said = deed.row, deed.said
    resource = str(row.resource)
    line = Line(
        target_kind=row.resource.path[-1],
        target_id=row.id,
        target_resource=resource,
        target_name=row.label,
        target_member_id=_member_of(row),
        accesses=[{"action": action.value, "resource": resource} for action, _ in deed.allowed],
        before=before,
        after=after,
        comment=said.comment,
        because=[because(action, verdict) for action, verdict in deed.allowed],
        idempotency_key=said.idempotency_key,
    )
    return await append(deed.caller, deed.head, line, deed.made)


@dataclass(frozen=True, slots=True)
class Line:
    """What an entry says beside who did it, with what, from where and when.

    `reported` are the columns of reports, and what else an entry is to say than that the caller did it now.
    """

    target_kind: str
    target_id: UUID
    target_resource: str
    target_name: str
    accesses: list[dict[str, str]]
    because: list[dict[str, Json]]
    target_member_id: UUID | None = None
    before: dict[str, Json] | None = None
    after: dict[str, Json] | None = None
    comment: str | None = None
    idempotency_key: str | None = None
    reported: Mapping[str, Any] = field(default_factory=dict)


async def append(caller: Caller, head: AuditHead, line: Line, made: Sequence[Model] = ()) -> AuditEntry:
    """Seal an entry onto the end of the account's chain, whose head the transaction has locked.

    The rows that were `made` are written with it.
    """
    entry = _next(caller, head, line)
    await write(*map(insert, (*made, entry, *_accesses(entry))), _moved(head))
    return entry


async def append_all(caller: Caller, head: AuditHead, lines: Iterable[Line]) -> list[AuditEntry]:
    """Seal many entries as `append` does one, and write them in one go.

    Lines that are made as they are asked for are made in between what else this process does, and so are their rows.
    """
    entries: list[AuditEntry] = []
    written: list[Write] = []
    found_by: list[Write] = []
    for line in lines:
        entry = _next(caller, head, line)
        entries.append(entry)
        written.append(insert(entry))
        found_by += map(insert, _accesses(entry))
        await asyncio.sleep(0)
    if entries:
        await write(*written, *found_by, _moved(head))  # those that are alike stand together
    return entries


def _moved(head: AuditHead) -> Write:
    return update(head, "sequence", "seal", "latest_at") if head._saved_in_db else insert(head)  # noqa: SLF001 - as `save` does


def _accesses(entry: AuditEntry) -> Iterator[AuditAccess]:
    for access in entry.accesses:
        yield AuditAccess(account_id=entry.account_id, entry_id=entry.id, sequence=entry.sequence, **access)


def _next(caller: Caller, head: AuditHead, line: Line) -> AuditEntry:
    at = now()
    latest_at = max(at, head.latest_at or at)
    entry = AuditEntry(
        account_id=caller.account.id,
        sequence=head.sequence + 1,
        at=at,
        set_back=True if at < latest_at - CLOCKS_DIFFER else None,
        target_kind=line.target_kind,
        target_id=line.target_id,
        target_resource=line.target_resource,
        target_name=line.target_name,
        target_member_id=line.target_member_id,
        accesses=line.accesses,
        before=line.before,
        after=line.after,
        comment=line.comment,
        because=line.because,
        idempotency_key=line.idempotency_key,
        idempotency_actor=caller.actor_id if line.idempotency_key else None,
        previous=head.seal,
        **{**doing(caller), **line.reported},
    )
    entry.seal = chain.seal(head.seal, entry.sealed())
    _sealing.get()[entry.actor_kind, _action(entry)] += 1
    head.sequence, head.seal, head.latest_at = entry.sequence, entry.seal, latest_at
    return entry


def _action(entry: AuditEntry) -> str:
    """Give the first action that an entry tells of, if it is a word of our own."""
    action = entry.accesses[0]["action"] if entry.accesses else ""
    return action if action in _ACTIONS else ""


def doing(caller: Caller) -> dict[str, Any]:
    """Say who does something, with what and from where, in columns of entries."""
    return done_with(caller.actor, caller.request, caller.member, caller.token)


def done_with(
    kind: ActorKind, request: Request, member: Member | None = None, token: Token | None = None
) -> dict[str, Any]:
    """Say with what something is done, and from where, and who does it as far as that is known."""
    return {
        "request_id": request.id,
        "actor_kind": kind,
        "member_id": member.id if member else None,
        "member_name": member.label if member else None,
        "token_id": token.id if token else None,
        "token_name": token.label if token else None,
        "token_ending": token.ending if token else None,
        "address": request.address,
        "user_agent": request.user_agent,
    }


def _member_of(row: Row) -> UUID | None:
    match row:
        case Member():
            return row.id
        case Token():
            return row.owner_id
        case _:
            return None


def because(action: Action, verdict: Verdict) -> dict[str, Json]:
    """Say which statements allowed an action, as entries keep it."""
    return {
        "action": action.value,
        "statements": [
            {
                "side": decided.side.value,
                "role": decided.role,
                "statement": decided.reason.statement.json() if decided.reason.statement else None,
            }
            for decided in verdict.because
        ],
    }
