"""The only door for listing: a caller's policies turned into SQL, so that what is hidden is never even fetched.

`core.policy.decide` is the oracle: a property test compares the rows with its verdicts, one by one.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar
from uuid import UUID

from tortoise.expressions import Q
from tortoise.models import Model
from tortoise.queryset import QuerySet

from core.errors import Forbidden
from core.law import Authority, Side
from core.policy import CompiledPolicy, Effect, Statement
from core.specifiers import Segment, Specifier
from core.vocabulary import Action
from models import (
    Account,
    AuditEntry,
    Delivery,
    Gate,
    Job,
    Member,
    Notice,
    ResourceKind,
    Role,
    Row,
    Token,
    TokenKind,
    Webhook,
)
from resolvers.callers import Caller, note_deeds
from resolvers.conditions import Condition, Like, Match, every, negated, some, sql

M = TypeVar("M", bound=Model)
_ANY_UUID = ("00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff")


@dataclass(frozen=True, slots=True)
class Shape:
    """How the rows of a model look in policy words: the kinds' path, and the columns that hold the names."""

    path: tuple[str, ...]
    columns: tuple[str | None, ...]
    rows: Condition = True
    """Which rows have this shape."""


_TOKENS = (
    Shape(("member", "token"), ("owner_id", "id"), Q(kind=TokenKind.PERSONAL)),
    Shape(("service-token",), ("id",), Q(kind=TokenKind.SERVICE)),
    Shape(("account-token",), ("id",), Q(kind=TokenKind.ACCOUNT)),
)
_SESSIONS = (Shape(("member",), ("owner_id",), Q(kind=TokenKind.SESSION)),)
_ENTRIES = (
    Shape(("acct",), (None,)),
    Shape(("member",), ("member_id",), Q(member_id__isnull=False)),
    Shape(("member",), ("target_member_id",), Q(target_member_id__isnull=False)),
    Shape(("member",), ("behalf_member_id",), Q(behalf_member_id__isnull=False)),
)
_NOTICES = (
    Shape(("acct",), (None,)),
    Shape(("member",), ("member_id",), Q(member_id__isnull=False)),
)
_JOBS = (Shape(("token-job",), ("id",)),)
_READ_BY: dict[type[Model], tuple[Action, tuple[Shape, ...]]] = {
    Account: (Action.VIEW_ACCOUNT, (Shape(("acct",), (None,)),)),
    Member: (Action.VIEW_MEMBER, (Shape(("member",), ("id",)),)),
    Role: (Action.VIEW_ROLE, (Shape(("role",), ("key",)),)),
    ResourceKind: (Action.VIEW_KIND, (Shape(("kind",), ("key",)),)),
    Gate: (Action.VIEW_GATE, (Shape(("gate",), ("key",)),)),
    Token: (Action.VIEW_ACCESS_TOKEN, _TOKENS),
    AuditEntry: (Action.VIEW_AUDIT_LOG, _ENTRIES),
    Notice: (Action.VIEW_AUDIT_LOG, _NOTICES),
    Webhook: (Action.VIEW_WEBHOOK, (Shape(("webhook",), ("id",)),)),
    Delivery: (Action.VIEW_WEBHOOK, (Shape(("webhook",), ("webhook_id",), Q(webhook_id__isnull=False)),)),
}


def readable(caller: Caller, model: type[M]) -> QuerySet[M]:
    """List the rows of the caller's account that the caller may see now. Sessions are not among the tokens."""
    action, shapes = _READ_BY[model]
    return _readable(caller, model, action, shapes)


def require_all(caller: Caller, model: type[Model]) -> None:
    """Raise `Forbidden` unless the caller may see every row of the account, also those that come later."""
    action, shapes = _READ_BY[model]
    if _allowed(caller, shapes, action) is not True:
        raise Forbidden(action.value)


def readable_sessions(caller: Caller) -> QuerySet[Token]:
    """List the sessions of the caller's account that the caller may see now."""
    return _readable(caller, Token, Action.VIEW_SESSION, _SESSIONS)


def uses_readable(caller: Caller) -> Q:
    """Find the tokens of which the caller may see how they are used."""
    return _permitted(caller, Action.VIEW_ACCESS_TOKEN_USE, _TOKENS)


def readable_jobs(caller: Caller) -> QuerySet[Job]:
    """List the jobs of the caller's account that the caller may see now, and those that their member started.

    The latter only for who could see or start any: a token whose scope has nothing of jobs is not told of its member's.
    """
    is_told = caller.could(Action.VIEW_JOB) or caller.could(Action.CREATE_JOB)
    own = Q(member_id=caller.member.id) if caller.member and is_told else False
    seen = some([_allowed(caller, _JOBS, Action.VIEW_JOB), own])
    return Job.filter(account_id=caller.account.id).filter(sql(seen))


def revocable(caller: Caller) -> Q:
    """Find the tokens that the caller may revoke, among those they see."""
    return _permitted(caller, Action.DELETE_ACCESS_TOKEN, _TOKENS)


def note_seen(caller: Caller, rows: Iterable[Row]) -> None:
    """Note that rows which were asked for by their ids were seen: for whoever may not see one, it is not there."""
    if not caller.is_session and caller.request.uses:
        seen = [caller.seeing((action,), row) for row in rows if (action := _seen_by(row))]
        note_deeds(caller, *filter(None, seen))


def _seen_by(row: Row) -> Action | None:
    """Say by which action such rows are seen; None if not by one alone, as jobs are by those who started them."""
    if isinstance(row, Token) and row.kind is TokenKind.SESSION:
        return Action.VIEW_SESSION
    known = _READ_BY.get(type(row))
    return known[0] if known else None


def _readable(caller: Caller, model: type[M], action: Action, shapes: Sequence[Shape]) -> QuerySet[M]:
    own = model.filter(**{"id" if model is Account else "account_id": caller.account.id})
    return own.filter(_permitted(caller, action, shapes))


def _permitted(caller: Caller, action: Action, shapes: Sequence[Shape]) -> Q:
    return sql(_allowed(caller, shapes, action))


def _allowed(caller: Caller, shapes: Sequence[Shape], action: Action) -> Condition:
    return some(every([shape.rows, _seen(caller, shape, action.value)]) for shape in shapes)


def _seen(caller: Caller, shape: Shape, action: str) -> Condition:
    if not isinstance(caller.rights, Authority):
        return True
    return bool(caller.sides) and every(_side(side, shape, action) for side in caller.sides)


def _side(side: Side, shape: Shape, action: str) -> Condition:
    return some(_policy(named.policy, shape, action) for named in side.policies)


def _policy(policy: CompiledPolicy, shape: Shape, action: str) -> Condition:
    named = [statement for statement in policy.policy if statement.speaks_of(action)]
    allows = (_statement(s, shape, policy).sure for s in named if s.effect is Effect.ALLOW)
    denies = (_statement(s, shape, policy).could for s in named if s.effect is Effect.DENY)
    return every([some(allows), negated(some(denies))])


def _statement(statement: Statement, shape: Shape, policy: CompiledPolicy) -> Match:
    listed = [_specifier(spec, shape, policy) for spec in statement.resources or statement.not_resources or ()]
    sure, could = some(match.sure for match in listed), some(match.could for match in listed)
    return Match(sure, could) if statement.resources else Match(negated(could), negated(sure))


def _specifier(spec: Specifier, shape: Shape, policy: CompiledPolicy) -> Match:
    if not spec.segments:
        return Match(sure=True, could=True)
    if spec.path != shape.path:
        return Match(sure=False, could=False)
    pairs = [_segment(segment, column, policy) for segment, column in zip(spec.segments, shape.columns, strict=True)]
    return Match(every(match.sure for match in pairs), every(match.could for match in pairs))


def _segment(segment: Segment, column: str | None, policy: CompiledPolicy) -> Match:
    if column is None or segment.name is None:
        name = Match(*(column is None and segment.name is None,) * 2)
    elif segment.attribute is not None:
        values = policy.attributes.get(segment.attribute, ())
        known = some(_exact(column, value) for value in values)
        name = Match(known, known) if values else Match(sure=False, could=True)
    else:
        matched = _glob(column, segment.name) if segment.is_glob else _exact(column, segment.name)
        name = Match(matched, matched)
    # Latchkey's own kinds have neither tags nor properties, so a filter is never known to hold.
    return Match(sure=False, could=name.could) if segment.filters else name


def _exact(column: str, name: str) -> Condition:
    if column == "key":
        return _is(**{column: name})
    parsed = _uuid(name)
    return False if parsed is None else _is(**{column: parsed})


def _glob(column: str, glob: str) -> Condition:
    prefix, _, rest = glob.partition("*")
    if rest.strip("*"):
        # Keys and ids are lower case by construction, so SQLite's LIKE, deaf to case, errs only on a glob that is not.
        return Q(Like(column, glob)) if glob == glob.lower() else False
    if not prefix:
        return True
    if column == "key":
        return _is(**{f"{column}__gte": prefix, f"{column}__lt": prefix[:-1] + chr(ord(prefix[-1]) + 1)})
    low, high = (_uuid(prefix + end[len(prefix) :]) for end in _ANY_UUID)
    return False if low is None or high is None else _is(**{f"{column}__gte": low, f"{column}__lte": high})


def _is(**columns: Any) -> Q:  # noqa: ANN401 - whatever the columns hold
    return Q(**columns)


def _uuid(text: str) -> UUID | None:
    """Read an id exactly as Latchkey writes it."""
    try:
        parsed = UUID(text)
    except ValueError:
        return None
    return parsed if str(parsed) == text else None
