"""What the audit log tells of an earlier moment: rows as they were, by what entries recorded before and after.

A row at a moment is what the last entry about it until then left behind; else what the first one after it found; else
the row as it is, if nobody has touched it since. Each holds only where no entry between it and the moment is missing.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Generic, TypeVar

from tortoise.functions import Max, Min
from tortoise.queryset import QuerySet

from core.catalogue import Catalogue
from core.vocabulary import OWN_KINDS, Action, BuiltInRole
from models import (
    Account,
    AuditAccess,
    AuditEntry,
    AuditHead,
    BasePermissions,
    Member,
    MemberState,
    Outcome,
    ResourceKind,
    Role,
    Row,
    ScopeKind,
    Token,
)
from resolvers.realms import owner_of
from resolvers.writing import fetch_held

R = TypeVar("R", bound=Row)
Snapshot = Mapping[str, Any]

_KIND_ACTIONS = (Action.CREATE_KIND, Action.UPDATE_KIND, Action.DELETE_KIND)
_OWNER_ACTIONS = (Action.CREATE_ACCOUNT, Action.UPDATE_ACCOUNT_OWNER)


class Forgotten(Exception):
    """The log does not tell, or no longer. The message says why."""


@dataclass(frozen=True, slots=True)
class Around:
    """The last entry about something until the moment, and the first one after it."""

    last: AuditEntry | None = None
    following: AuditEntry | None = None


@dataclass(frozen=True, slots=True)
class Told:
    """A row as it was, None where it was not there; and the stretch of the log that this was learnt from."""

    snapshot: Snapshot | None
    since: int
    """The entry that left it so; the moment itself where it was learnt from what came after."""
    until: int
    """The entry that found it so; the moment itself where it was learnt from what came before."""

    def __getitem__(self, name: str) -> Any:  # noqa: ANN401 - whatever the snapshot holds
        if self.snapshot is None or name not in self.snapshot:
            raise Forgotten(f"`{name}` was not recorded then")
        return self.snapshot[name]


@dataclass(frozen=True, slots=True)
class Held(Generic[R]):
    """A member or a token as it was, and the custom roles that it had."""

    row: R
    roles: list[Role]


@dataclass(frozen=True, slots=True)
class Moment:
    """An account's log, cut at a moment. Entries are numbered; `sequence` is the last one until then, 0 if none."""

    account: Account
    at: datetime
    sequence: int
    whole_from: int
    whole_to: int
    head: int
    """Nothing is missing from `whole_from` to the moment, nor from there to `whole_to`; the log ends at `head`."""
    transfers: Sequence[AuditEntry]
    """All entries that say who owns the account, in their order."""

    @classmethod
    async def of(cls, account: Account, at: datetime) -> "Moment":
        """Cut the log at a moment that is over. Raises `Forgotten` where it does not reach back so far."""
        log = AuditEntry.filter(account_id=account.id)
        head = (await AuditHead.get(account_id=account.id)).sequence
        last = await log.filter(at__lte=at).order_by("-at", "-sequence").only("sequence").first()
        cut = last.sequence if last else 0
        next_one = await log.filter(sequence=cut + 1).only("at").first()
        if next_one is not None and next_one.at <= at:
            raise Forgotten("the server's clock went back around that time")
        whole_from, whole_to = await _whole_from(log, cut), await _whole_to(log, cut, head)
        if next_one is None and cut < head:  # what is missing there may have happened before the moment, or after it
            whole_from = cut + 1
        return cls(account, at, cut, whole_from, whole_to, head, await _transfers(account))

    async def catalogue(self) -> Catalogue:
        """Read the catalogue as it was."""
        rows = {str(row.resource): row for row in await ResourceKind.filter(account_id=self.account.id)}
        told = await self._by_resource(rows, {"action__in": [action.value for action in _KIND_ACTIONS]})
        kinds = [_kind(each) for _, each in sorted(told.items()) if each.snapshot is not None]
        return Catalogue.of((*OWN_KINDS, *(kind.kind for kind in kinds)))

    async def owner_id(self) -> str | None:
        """Read which member owned the account."""
        last = next((entry for entry in reversed(self.transfers) if entry.sequence <= self.sequence), None)
        following = next((entry for entry in self.transfers if entry.sequence > self.sequence), None)
        if last is not None and last.sequence >= self.whole_from:
            return str((last.after or {})["owner"])
        if following is not None and following.sequence <= self.whole_to and following.before:
            return str(following.before["owner"])
        if following is None and self.whole_to == self.head:
            return await owner_of(self.account.id)
        raise _missing()

    async def member(self, row: Member) -> Held[Member] | None:
        """Read a member as they were; None before they were invited."""
        told = self._told(await self._by_id(row), await _complete(row), self._last_handed_over(row))
        if told.snapshot is None:
            return None
        was = copy(row)
        was.state = MemberState(told["state"])
        was.role_attributes = told["roleAttributes"]
        was.base_role = await self._base_role(row, told)
        roles = await self._roles(told["customRoles"])
        if len(roles) < len(told["customRoles"]):
            raise Forgotten("a role that the member had then is not in the log")
        return Held(was, roles)

    async def token(self, row: Token) -> Held[Token] | None:
        """Read a token as it was; None before it was made. What was frozen when it was made, and its end, is the row's.

        An ending that came along with another's has no entry of its own.
        """
        told = self._told(await self._by_id(row), await _complete(row))
        if told.snapshot is None:
            return None
        was = copy(row)
        was.scope_kind = ScopeKind(told["scopeKind"])
        was.scope_role = BuiltInRole(told["scopeRole"]) if told["scopeRole"] else None  # type: ignore[assignment]
        was.scope_policy = told["scopePolicy"]
        was.expires_at = datetime.fromisoformat(told["expiresAt"]) if told["expiresAt"] else None
        was.revoked_at = row.revoked_at if row.revoked_at and row.revoked_at <= self.at else None
        roles = await self._scope_roles(was, told) if was.scope_kind is ScopeKind.CUSTOM_ROLES else []
        return Held(was, roles)

    async def _base_role(self, row: Member, told: Told) -> BuiltInRole:
        """Read the base role: handing over the account changes those of two members without an entry about them."""
        base, whom = BuiltInRole(told["baseRole"]), str(row.id)
        if await self.owner_id() == whom:
            return BuiltInRole.OWNER
        between = [entry for entry in self.transfers if told.since < entry.sequence <= told.until]
        for entry in between:
            if (entry.before or {}).get("owner") == whom:
                base = BuiltInRole.ADMIN
            elif (entry.after or {}).get("owner") == whom and entry.sequence > self.sequence:
                raise Forgotten("which role the member had before becoming the owner was not recorded")
        if base is BuiltInRole.OWNER:
            raise Forgotten("the log contradicts itself about who owned the account")
        return base

    def _last_handed_over(self, row: Member) -> datetime | None:
        """Tell when the member last became or ceased to be the owner, which touches their row."""
        whom = str(row.id)
        concerned = [
            entry.at
            for entry in self.transfers
            if whom in ((entry.before or {}).get("owner"), (entry.after or {}).get("owner"))
        ]
        return max(concerned, default=None)

    async def _scope_roles(self, was: Token, told: Told) -> list[Role]:
        """Read the roles in a token's scope. Deleting a role takes it from ended tokens without an entry about them."""
        keys: list[str] = told["scopeRoles"]
        deleted = _accesses(
            self.account, action=Action.DELETE_ROLE.value, sequence__gt=self.sequence, sequence__lte=told.until
        )
        if await deleted.exists():
            raise Forgotten("a role has been deleted since, maybe from the token's scope")
        made = _accesses(
            self.account,
            action=Action.CREATE_ROLE.value,
            resource__in=[f"role/{key}" for key in keys],
            sequence__gt=told.since,
            sequence__lte=self.sequence,
        )
        again = {access.resource.removeprefix("role/") for access in await made}
        roles = await self._roles([key for key in keys if key not in again])
        if len(roles) < len(keys) and was.dead(self.at, self.account) is None:
            raise Forgotten("a role in the token's scope then is not in the log")
        return roles

    async def _roles(self, keys: Collection[str]) -> list[Role]:
        """Read the custom roles of these keys that there were, in the order of their keys."""
        if not keys:
            return []
        rows = {str(row.resource): row for row in await Role.filter(account_id=self.account.id, key__in=list(keys))}
        told = await self._by_resource(rows, {"resource__in": [f"role/{key}" for key in keys]})
        return [_role(each) for _, each in sorted(told.items()) if each.snapshot is not None]

    async def _by_id(self, row: Row) -> Around:
        about = AuditEntry.filter(account_id=self.account.id, target_id=row.id, outcome=Outcome.DONE)
        last = await about.filter(sequence__lte=self.sequence).order_by("-sequence").first()
        return Around(last, await about.filter(sequence__gt=self.sequence).order_by("sequence").first())

    async def _by_resource(self, rows: Mapping[str, Row], about: Mapping[str, Any]) -> dict[str, Told]:
        """Read rows that are known by key: those there are, and all that entries are about. Keys may be used again."""
        accesses = _accesses(self.account, **about)
        last = await _by_name(accesses.filter(sequence__lte=self.sequence).annotate(found=Max("sequence")))
        following = await _by_name(accesses.filter(sequence__gt=self.sequence).annotate(found=Min("sequence")))
        entries = await _entries(self.account, (*last.values(), *following.values()))
        told: dict[str, Told] = {}
        for name in {**rows, **last, **following}:
            around = Around(
                entries[last[name]] if name in last else None, entries[following[name]] if name in following else None
            )
            self._compare(around, rows.get(name))
            told[name] = self._told(around, rows.get(name))
        return told

    def _compare(self, around: Around, row: Row | None) -> None:
        """Hold what an entry left behind against what the next one found, where none is missing from the log itself.

        If they differ, what leads from resources to entries is incomplete.
        """
        last, following = around.last, around.following
        until = following.sequence if following else self.head
        if last is None or last.sequence < self.whole_from or until > self.whole_to:
            return
        now_found = row.snapshot() if row else None
        left, found = last.after, following.before if following else now_found
        if left is None or found is None:
            agree = left is found
        else:
            agree = all(left[name] == found[name] for name in left.keys() & found.keys())
        if not agree:
            raise Forgotten("the log contradicts itself")

    def _told(self, around: Around, row: Row | None, touched_at: datetime | None = None) -> Told:
        """Read a row as it was. At `touched_at` it was last changed in a way that is told elsewhere."""
        if around.last is not None and around.last.sequence >= self.whole_from:
            return Told(around.last.after, around.last.sequence, self.sequence)
        if around.following is not None and around.following.sequence <= self.whole_to:
            return Told(around.following.before, self.sequence, around.following.sequence)
        if around.following is None and self.whole_to == self.head:
            if row is None or row.created_at > self.at:
                return Told(None, self.sequence, self.head)
            if row.updated_at <= max(self.at, touched_at or self.at):
                return Told(row.snapshot(), self.sequence, self.head)
        raise _missing()


def _accesses(account: Account, **narrowed: Any) -> QuerySet[AuditAccess]:  # noqa: ANN401 - whatever the columns hold
    return AuditAccess.filter(account_id=account.id, entry__outcome=Outcome.DONE, **narrowed)


async def _entries(account: Account, sequences: Iterable[int]) -> dict[int, AuditEntry]:
    wanted = set(sequences)
    found = await AuditEntry.filter(account_id=account.id, sequence__in=list(wanted)) if wanted else []
    if len(found) < len(wanted):
        raise _missing()
    return {entry.sequence: entry for entry in found}


async def _transfers(account: Account) -> list[AuditEntry]:
    accesses = await _accesses(account, action__in=[action.value for action in _OWNER_ACTIONS])
    found = await _entries(account, (access.sequence for access in accesses))
    return [found[sequence] for sequence in sorted(found)]


async def _whole_from(log: QuerySet[AuditEntry], sequence: int) -> int:
    """Find the earliest entry from which on none is missing until this one."""
    low, high = 1, sequence
    while low < high:
        middle = (low + high) // 2 if low > 1 or high < sequence else low
        if await log.filter(sequence__gte=middle, sequence__lte=sequence).count() == sequence - middle + 1:
            high = middle
        else:
            low = middle + 1
    return low


async def _whole_to(log: QuerySet[AuditEntry], sequence: int, head: int) -> int:
    """Find the latest entry until which none after this one is missing."""
    low, high = sequence, head
    while low < high:
        middle = (low + high + 1) // 2 if low > sequence or high < head else high
        if await log.filter(sequence__gt=sequence, sequence__lte=middle).count() == middle - sequence:
            low = middle
        else:
            high = middle - 1
    return low


async def _by_name(found: QuerySet[AuditAccess]) -> dict[str, int]:
    listed = await found.group_by("resource").values_list("resource", "found")
    return {str(resource): int(str(sequence)) for resource, sequence in listed}


async def _complete(row: R) -> R:
    await fetch_held(row)
    return row


def _role(told: Told) -> Role:
    return Role(key=told["key"], policy=told["policy"], base_permissions=BasePermissions(told["basePermissions"]))


def _kind(told: Told) -> ResourceKind:
    return ResourceKind(**{name: told[name] for name in ResourceKind.recorded.values()})


def _missing() -> Forgotten:
    return Forgotten("entries that would tell are no longer in the log")
