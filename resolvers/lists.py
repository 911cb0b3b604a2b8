"""Lists of members, roles and tokens: which rows a caller asks for, among those they may see."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from tortoise.expressions import Q, Subquery
from tortoise.queryset import QuerySet

from core.errors import Forbidden
from core.vocabulary import Action, BuiltInRole
from models import (
    Gate,
    Member,
    MemberRole,
    MemberState,
    Role,
    Token,
    TokenKind,
    TokenRole,
    TokenState,
    expired,
    living,
    now,
)
from models.row import Json, plain
from resolvers import input as typed
from resolvers.callers import Caller
from resolvers.pages import Order, moment, row_id, text
from resolvers.reading import readable, readable_sessions

M = TypeVar("M", Member, Token)
K = TypeVar("K", Role, Gate)

MAX_KEY, MAX_NAME = 64, 256
"""What the columns hold: the models refuse to be asked for anything longer."""


def by_id(*, descending: bool = False) -> Order:
    """Order rows as they were made: ids hold the time."""
    return Order("CREATED_AT", "id", row_id, descending=descending)


def by_name(*, descending: bool = False) -> Order:
    """Order rows by name."""
    return Order("NAME", "name", text(MAX_NAME), descending=descending)


def by_key(*, descending: bool = False) -> Order:
    """Order rows by key."""
    return Order("KEY", "key", text(MAX_KEY), descending=descending)


def by_expiry(*, descending: bool = False) -> Order:
    """Order tokens by when they end; those that never do come last."""
    return Order("EXPIRES_AT", "expires_at", moment, descending=descending, nullable=True)


def by_use(*, descending: bool = False) -> Order:
    """Order tokens by when they were last used; those that never were come last."""
    return Order("LAST_USED_AT", "last_used_at", moment, descending=descending, nullable=True)


def by_creator(*, descending: bool = False) -> Order:
    """Order tokens by who made them, members as they joined; those that were made by nobody come last."""
    return Order("CREATOR", "creator_id", row_id, descending=descending, nullable=True)


def by_owner(*, descending: bool = False) -> Order:
    """Order tokens by whose they are, members as they joined; those that no member owns come last."""
    return Order("OWNER", "owner_id", row_id, descending=descending, nullable=True)


def by_kind(*, descending: bool = False) -> Order:
    """Order tokens by their kinds, as these are spelled."""
    return Order("KIND", "kind", _kind, descending=descending)


def _kind(told: object) -> TokenKind:
    """Read a kind out of a cursor."""
    return TokenKind(str(told))


@dataclass(frozen=True, slots=True)
class MemberFilter:
    """Which members; what is None does not matter."""

    state: MemberState | None = None
    base_role: BuiltInRole | None = None
    role: str | None = None
    email: str | None = None
    text: str | None = None


async def members(caller: Caller, wanted: MemberFilter) -> QuerySet[Member]:
    """List members. An e-mail address finds only members whose address the caller sees."""
    rows = _named(readable(caller, Member), wanted.text)
    if wanted.state is not None:
        rows = rows.filter(state=wanted.state)
    if wanted.base_role is not None:
        rows = rows.filter(base_role=wanted.base_role)
    if wanted.role is not None:
        seen = await role(caller, "filter.role", wanted.role)
        held = MemberRole.filter(account_id=caller.account.id, role_id=seen.id if seen else None)
        rows = rows.filter(id__in=Subquery(held.values("member_id")))
    if wanted.email is not None:
        if not caller.could(Action.VIEW_MEMBER_EMAIL):
            raise Forbidden(Action.VIEW_MEMBER_EMAIL.value)
        _, email_key = typed.email("filter.email", wanted.email)
        found = await readable(caller, Member).filter(email_key=email_key)
        rows = rows.filter(id__in=[row.id for row in found if caller.sees(Action.VIEW_MEMBER_EMAIL, row)])
    return rows


@dataclass(frozen=True, slots=True)
class RoleFilter:
    """Which roles; what is None does not matter."""

    text: str | None = None


async def roles(caller: Caller, wanted: RoleFilter) -> QuerySet[Role]:
    """List custom roles; a text is looked for in their names and keys."""
    return _named_or_keyed(readable(caller, Role), wanted.text)


@dataclass(frozen=True, slots=True)
class GateFilter:
    """Which gates; what is None does not matter."""

    text: str | None = None


async def gates(caller: Caller, wanted: GateFilter) -> QuerySet[Gate]:
    """List gates; a text is looked for in their names and keys."""
    return _named_or_keyed(readable(caller, Gate), wanted.text)


@dataclass(frozen=True, slots=True)
class TokenFilter:
    """Which tokens; what is None does not matter. Members, roles and tokens that a caller does not see match none."""

    kind: TokenKind | None = None
    state: TokenState | None = None
    owner_id: UUID | None = None
    creator_id: UUID | None = None
    responsible_id: UUID | None = None
    unattended: bool | None = None
    """Whether no member owns them and none who is active answers for them."""
    parent_id: UUID | None = None
    role: str | None = None
    built_in_role: BuiltInRole | None = None
    """What stands in their scope: a custom role, by its key, or a built-in one."""
    created_from: datetime | None = None
    created_before: datetime | None = None
    expires_from: datetime | None = None
    expires_before: datetime | None = None
    """The first moment at which they end, and the one before which they do: those that never end are not among them."""
    endless: bool | None = None
    last_used_from: datetime | None = None
    last_used_before: datetime | None = None
    """Likewise when they were last used: those that never were are not among them."""
    never_used: bool | None = None
    text: str | None = None

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> "TokenFilter":
        """Read what `json` wrote."""
        return cls(**{name: read(stored[word]) for name, (word, read) in _CRITERIA.items() if word in stored})

    def json(self) -> dict[str, Json]:
        """Show what is given, by the names that it is asked for under, ids as they are kept."""
        given = {word: getattr(self, name) for name, (word, _) in _CRITERIA.items()}
        return {word: plain(value) for word, value in given.items() if value is not None}


_CRITERIA: Mapping[str, tuple[str, Callable[[Any], Any]]] = {
    "kind": ("kind", TokenKind),
    "state": ("state", TokenState),
    "owner_id": ("owner", UUID),
    "creator_id": ("creator", UUID),
    "responsible_id": ("responsible", UUID),
    "unattended": ("unattended", bool),
    "parent_id": ("parent", UUID),
    "role": ("role", str),
    "built_in_role": ("builtInRole", BuiltInRole),
    "created_from": ("createdFrom", datetime.fromisoformat),
    "created_before": ("createdBefore", datetime.fromisoformat),
    "expires_from": ("expiresFrom", datetime.fromisoformat),
    "expires_before": ("expiresBefore", datetime.fromisoformat),
    "endless": ("hasNoExpiry", bool),
    "last_used_from": ("lastUsedFrom", datetime.fromisoformat),
    "last_used_before": ("lastUsedBefore", datetime.fromisoformat),
    "never_used": ("neverUsed", bool),
    "text": ("text", str),
}
"""By its name, what a criterion is asked for under, and how it is read."""

_COLUMNS = {
    "kind": "kind",
    "scope_role": "built_in_role",
    "created_at__gte": "created_from",
    "created_at__lt": "created_before",
    "expires_at__gte": "expires_from",
    "expires_at__lt": "expires_before",
    "expires_at__isnull": "endless",
    "last_used_at__gte": "last_used_from",
    "last_used_at__lt": "last_used_before",
    "last_used_at__isnull": "never_used",
}
"""What a token's columns are compared with, in Tortoise's words."""
_REFERENCES: Mapping[str, type[Member] | type[Token]] = {
    "owner_id": Member,
    "creator_id": Member,
    "responsible_id": Member,
    "parent_id": Token,
}
"""By what a token refers to rows that not everybody sees."""


async def tokens(caller: Caller, wanted: TokenFilter) -> QuerySet[Token]:
    """List tokens, each with its owner fetched; a text is looked for in their names."""
    rows = _named(readable(caller, Token), wanted.text).select_related("owner")
    given = {column: getattr(wanted, name) for column, name in _COLUMNS.items()}
    rows = rows.filter(**{column: value for column, value in given.items() if value is not None})
    for column, model in _REFERENCES.items():
        if (row_id := getattr(wanted, column)) is not None:
            seen = readable(caller, model).filter(id=row_id)  # as far as the token's own field shows it
            rows = rows.filter(**{f"{column}__in": Subquery(seen.values("id"))})
    if wanted.role is not None:
        seen_role = await role(caller, "filter.role", wanted.role)
        held = TokenRole.filter(account_id=caller.account.id, role_id=seen_role.id if seen_role else None)
        rows = rows.filter(id__in=Subquery(held.values("token_id")))
    if wanted.unattended is not None:
        nobody = unattended(caller.account.id)
        rows = rows.filter(nobody if wanted.unattended else ~nobody)
    return rows if wanted.state is None else rows.filter(_in_state(caller, wanted.state, now()))


def unattended(account_id: UUID) -> Q:
    """Find the tokens that no member owns and none who is active answers for."""
    inactive = Member.filter(account_id=account_id, state__not=MemberState.ACTIVE)
    nobody = Q(responsible_id__isnull=True) | Q(responsible_id__in=Subquery(inactive.values("id")))
    return Q(owner_id__isnull=True) & nobody


async def sessions(caller: Caller, state: TokenState | None = None) -> QuerySet[Token]:
    """List sessions that have not ended, or, with a state, those in it."""
    rows = readable_sessions(caller).select_related("owner")
    return rows.filter(living(now(), caller.account) if state is None else _in_state(caller, state, now()))


def _in_state(caller: Caller, state: TokenState, at: datetime) -> Q:
    awake = Q(owner_id__isnull=True) | Q(owner__state=MemberState.ACTIVE)
    match state:
        case TokenState.REVOKED:
            return Q(revoked_at__isnull=False)
        case TokenState.EXPIRED:
            return expired(at, caller.account)
        case TokenState.ACTIVE:
            return living(at, caller.account) & awake
        case TokenState.OWNER_INACTIVE:
            return living(at, caller.account) & ~awake


def _named(rows: QuerySet[M], looked_for: str | None) -> QuerySet[M]:
    return rows if looked_for is None else rows.filter(name__icontains=typed.name("filter.text", looked_for))


def _named_or_keyed(rows: QuerySet[K], text: str | None) -> QuerySet[K]:
    if text is None:
        return rows
    looked_for = typed.name("filter.text", text)
    return rows.filter(Q(name__icontains=looked_for) | Q(key__icontains=looked_for))


async def role(caller: Caller, field: str, key: str) -> Role | None:
    """Find a role by its key, if there is one and the caller may see it."""
    return await readable(caller, Role).filter(key=typed.name(field, key, most=MAX_KEY)).first()


async def gate(caller: Caller, field: str, key: str) -> Gate | None:
    """Find a gate by its key, if there is one and the caller may see it."""
    return await readable(caller, Gate).filter(key=typed.name(field, key, most=MAX_KEY)).first()
