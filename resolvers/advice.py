"""Advice on tokens: what brings an account nearer to least privilege, why, and the mutations that do it.

Of what kinds it is, when there is some about a token, and how much it matters.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from tortoise.expressions import Q, Subquery
from tortoise.functions import Count

from core.policy import Policy
from core.vocabulary import BuiltInRole
from models import (
    Account,
    MemberRole,
    MemberState,
    Role,
    ScopeKind,
    Token,
    TokenAccess,
    TokenKind,
    TokenOrigin,
    TokenRole,
    living,
)
from resolvers import lists
from resolvers.access import Exceeding
from resolvers.amends import HANDOVER, Step
from resolvers.lifetimes import KINDS, Lifetime

NEW = timedelta(days=30)
"""How long a token may go unused after it was made."""
LONG_UNUSED = timedelta(days=90)
SOON = timedelta(days=14)
"""How near an end is soon: half of the longest lifetime at most, where the account sets one."""
DATED = timedelta(days=180)
"""Within how long an account-wide token in use ought to end."""
LEGACY_END = timedelta(days=90)
"""When one does that is given an end."""
ALIKE = timedelta(days=30)
"""In how long uses count as of the same time."""
PROGRAMS, NETWORKS = 3, 5
"""From how many programs, or networks, on a token is shared."""
RANKS = tuple(BuiltInRole)
"""The built-in roles: each may all that those before it may."""
BROAD_ROLES = (BuiltInRole.ADMIN, BuiltInRole.OWNER)
"""The scopes with which a token may do all that whoever is behind it may."""


class AdviceKind(StrEnum):
    """What advice is about, the most urgent first."""

    ACCOUNT_TOKEN_USED = "ACCOUNT_TOKEN_USED"  # noqa: S105 - a word, not a password
    ACCOUNT_TOKEN_UNUSED = "ACCOUNT_TOKEN_UNUSED"  # noqa: S105 - as above
    SHARED = "SHARED"
    UNUSED = "UNUSED"
    NEVER_USED = "NEVER_USED"
    UNATTENDED = "UNATTENDED"
    NO_EXPIRY = "NO_EXPIRY"
    OVER_GRANTED = "OVER_GRANTED"
    EXCEEDS_OWNER = "EXCEEDS_OWNER"
    EXPIRING_SOON = "EXPIRING_SOON"
    EMPTY_ROLE = "EMPTY_ROLE"


class Severity(StrEnum):
    """How much it matters."""

    HIGH = "HIGH"
    MEDIUM = "MEDIUM"
    LOW = "LOW"


K = AdviceKind
ORDER = tuple(AdviceKind)
SEVERITIES: Mapping[AdviceKind, Severity] = {
    **dict.fromkeys(ORDER, Severity.MEDIUM),
    **dict.fromkeys((K.ACCOUNT_TOKEN_USED, K.ACCOUNT_TOKEN_UNUSED, K.SHARED), Severity.HIGH),
    **dict.fromkeys((K.EXPIRING_SOON, K.EMPTY_ROLE), Severity.LOW),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """What advice goes by; what it does not is left empty."""

    since: datetime | None = None
    """From when on uses counted."""
    accesses: Sequence[TokenAccess] = ()
    origins: Sequence[TokenOrigin] = ()
    programs: Sequence[str] = ()
    networks: Sequence[str] = ()
    unused: Sequence[str] = ()
    exceeding: Sequence[Exceeding] = ()
    policy: Policy | None = None
    """The scope that is suggested."""


NOTHING = Evidence()


@dataclass(frozen=True, slots=True)
class Advice:
    """One piece of advice, about a token whose owner is fetched, or about a role."""

    kind: AdviceKind
    about: Token | Role
    reason: str
    steps: tuple[Step, ...] = ()
    """What to do; nothing where no change could be proven to help."""
    evidence: Evidence = NOTHING

    @property
    def pk(self) -> UUID:
        """By which it has a place among those of its kind."""
        return self.about.id

    @property
    def severity(self) -> Severity:
        """How much it matters."""
        return SEVERITIES[self.kind]


def conditions(account: Account, at: datetime) -> dict[AdviceKind, Q]:
    """Say which living tokens of an account there is advice about, for the kinds that the columns decide."""
    legacy = Q(kind=TokenKind.ACCOUNT)
    stale = Q(last_used_at__lt=at - LONG_UNUSED)
    never = Q(last_used_at__isnull=True, created_at__lt=at - NEW)
    undated = Q(expires_at__isnull=True) | Q(expires_at__gt=at + DATED)
    soon = [Q(kind=kind, expires_at__lte=at + _soon(account, kind)) for kind in KINDS]
    found = {
        K.ACCOUNT_TOKEN_USED: legacy & Q(last_used_at__gte=at - LONG_UNUSED) & undated,
        K.ACCOUNT_TOKEN_UNUSED: legacy & (stale | never),
        K.UNUSED: ~legacy & stale,
        K.NEVER_USED: ~legacy & never,
        K.UNATTENDED: lists.unattended(account.id),
        K.NO_EXPIRY: ~legacy & Q(expires_at__isnull=True),
        K.EXPIRING_SOON: Q(*soon, join_type=Q.OR),
    }
    if account.has_retired_legacy(at + DATED):
        del found[K.ACCOUNT_TOKEN_USED]
    return {kind: living(at, account) & condition for kind, condition in found.items()}


def _soon(account: Account, kind: TokenKind) -> timedelta:
    longest_s = Lifetime.of(account, kind).maximum_s
    return SOON if longest_s is None else min(SOON, timedelta(seconds=longest_s) / 2)


def candidates(account: Account, at: datetime, days: int) -> dict[AdviceKind, Q]:
    """Say which tokens there may be advice about, for the kinds that are decided row by row."""
    since = at - timedelta(days=days)
    many = TokenOrigin.filter(account_id=account.id, last_at__gte=at - ALIKE).annotate(places=Count("id"))
    spread = many.group_by("token_id").filter(places__gte=min(PROGRAMS, NETWORKS))
    staying = Q(expires_at__isnull=True) | Q(expires_at__gt=at + HANDOVER)
    if account.has_retired_legacy(at + HANDOVER):
        staying &= ~Q(kind=TokenKind.ACCOUNT)
    found = {
        K.SHARED: staying & Q(id__in=Subquery(spread.values("token_id"))),
        K.OVER_GRANTED: (staying | ~Q(kind=TokenKind.SERVICE)) & Q(created_at__lte=since, last_used_at__gte=since),
        K.EXCEEDS_OWNER: Q(kind=TokenKind.PERSONAL, owner__state=MemberState.ACTIVE) & ~_plainly_within(account),
    }
    return {kind: living(at, account) & condition for kind, condition in found.items()}


def idle_roles(account: Account, at: datetime) -> Q:
    """Find the custom roles of an account that nobody holds, and no living token has."""
    alive = Token.filter(living(at, account), account_id=account.id)
    held = MemberRole.filter(account_id=account.id).values("role_id")
    named = TokenRole.filter(account_id=account.id, token_id__in=Subquery(alive.values("id"))).values("role_id")
    return ~Q(id__in=Subquery(held)) & ~Q(id__in=Subquery(named))


def _plainly_within(account: Account) -> Q:
    """Find tokens whose scope is a built-in role, and that no more than their owner's, who has no custom ones."""
    ranks = [Q(scope_role=role, owner__base_role__in=RANKS[at:]) for at, role in enumerate(RANKS)]
    holders = MemberRole.filter(account_id=account.id).values("member_id")
    return Q(scope_kind=ScopeKind.BUILT_IN) & ~Q(owner_id__in=Subquery(holders)) & Q(*ranks, join_type=Q.OR)


def is_shared(programs: Collection[str], networks: Collection[str]) -> bool:
    """Say whether a token is shared that was used by some programs, from some networks."""
    return len(programs) >= PROGRAMS or len(networks) >= NETWORKS


def is_broad(token: Token) -> bool:
    """Say whether a token has all of the account for a scope."""
    return token.scope_kind is ScopeKind.BUILT_IN and token.scope_role in BROAD_ROLES
