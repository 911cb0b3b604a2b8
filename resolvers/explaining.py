"""Why a member or a token may or may not do something, now or at an earlier moment, and what would change that."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TypeVar
from uuid import UUID

from core.catalogue import Catalogue
from core.errors import Conflict, Invalid, NotFound
from core.law import Authority, Side, SideKind, SideReason, Verdict
from core.remedies import Remedies, Remedy, RemedyKind
from core.vocabulary import Action, BuiltInRole
from models import Account, Member, MemberState, Role, Token, TokenKind, TokenState, now
from resolvers import input as typed
from resolvers import rights
from resolvers.access import Answer, Asked, Question
from resolvers.callers import Caller, roles_of_token
from resolvers.history import Forgotten, Moment
from resolvers.reading import readable
from resolvers.realms import catalogue_of, owner_of, roles_of_member
from resolvers.rights import INLINE
from resolvers.tokens import state

T = TypeVar("T")

ATTEMPTS = 10
"""How often the rows are read anew where somebody changes them meanwhile."""


class AccessAnswer(StrEnum):
    """What an explanation comes to."""

    ALLOWED = "ALLOWED"
    REFUSED = "REFUSED"
    UNKNOWN = "UNKNOWN"


@dataclass(frozen=True, slots=True)
class Subject:
    """Whom an explanation is about: a token, or a member."""

    token_id: UUID | None = None
    member_id: UUID | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What a token, or a member, was at a moment: all that decides about it. Without a state it was not there yet."""

    account: Account
    authority: Authority
    catalogue: Catalogue
    at: datetime
    token: Token | None = None
    member: Member | None = None
    """The member, or the token's owner."""

    @property
    def exists(self) -> bool:
        """Whether it was there."""
        return bool(self.authority.sides)

    @property
    def token_state(self) -> TokenState | None:
        """Whether the token worked, and if not, why."""
        return state(self.token, self.account, self.member, self.at) if self.token and self.exists else None

    @property
    def works(self) -> bool:
        """Whether it could do anything at all."""
        if self.token is not None:
            return self.token_state is TokenState.ACTIVE
        return self.exists and self.member is not None and self.member.state is MemberState.ACTIVE

    @property
    def remedies(self) -> Remedies:
        """What finds remedies: built-in roles are fixed; a scope that no member owns is, or only gets narrower."""
        is_fixed = self.token is not None and self.token.kind in {TokenKind.SERVICE, TokenKind.ACCOUNT}
        return Remedies(self.catalogue, frozenset({*BuiltInRole, *((INLINE,) if is_fixed else ())}), is_fixed)


@dataclass(frozen=True, slots=True)
class ExplainedPolicy:
    """A policy on a side: whether it allows by itself, and the statements that decided so."""

    name: str
    allowed: bool
    because: tuple[SideReason, ...]


@dataclass(frozen=True, slots=True)
class ExplainedSide:
    """A side spelled out. It allows if any of its policies does."""

    kind: SideKind
    allowed: bool
    policies: tuple[ExplainedPolicy, ...]

    @classmethod
    def of(cls, side: Side, asked: Asked) -> "ExplainedSide":
        """Spell a side out."""
        policies: list[ExplainedPolicy] = []
        for named in side.policies:
            decision = named.policy.decide(asked.action, asked.resource)
            because = tuple(SideReason(side.kind, named.name, reason) for reason in decision.because)
            policies.append(ExplainedPolicy(named.name, decision.allowed, because))
        return cls(side.kind, any(policy.allowed for policy in policies), tuple(policies))


@dataclass(frozen=True, slots=True)
class Explained:
    """An explanation. What the log does not tell has no standing, and says why in `forgotten`."""

    outcome: AccessAnswer
    at: datetime
    answer: Answer | None = None
    standing: Standing | None = None
    sides: Sequence[ExplainedSide] = ()
    remedies: Sequence[Remedy] = ()
    forgotten: str | None = None


def explained(standing: Standing, question: Question, asked: Asked) -> Explained:
    """Explain a proper question about a standing. Whatever is dead or asleep is refused, however its sides decide."""
    sides = [ExplainedSide.of(side, asked) for side in standing.authority.sides]
    remedies = standing.remedies.find(standing.authority, asked.action, asked.resource) if standing.exists else []
    if not standing.works:
        answer = Answer(question, Verdict(allowed=False))
        return Explained(
            AccessAnswer.REFUSED, standing.at, answer, standing, sides, [*_reviving(standing, asked), *remedies]
        )
    verdict = standing.authority.decide(asked.action, asked.resource)
    outcome = AccessAnswer.ALLOWED if verdict else AccessAnswer.REFUSED
    return Explained(
        outcome, standing.at, Answer(question, verdict, asked, standing.authority), standing, sides, remedies
    )


def _reviving(standing: Standing, asked: Asked) -> Iterable[Remedy]:
    words = (asked.action, str(asked.resource))
    if standing.token_state in (TokenState.REVOKED, TokenState.EXPIRED):
        yield Remedy(RemedyKind.MAKE_ANOTHER_TOKEN, *words)
    if standing.exists and standing.member is not None and standing.member.state is not MemberState.ACTIVE:
        yield Remedy(RemedyKind.REVIVE, *words)


async def explain(caller: Caller, subject: Subject, question: Question, at: datetime | None = None) -> Explained:
    """Explain whether a token or a member that the caller sees may do something, now or at an earlier time.

    Raises `Invalid` naming `at`, `action` or `resource`, `NotFound` for whom the caller does not see, and `Forbidden`
    for whom the caller may not ask about.
    """
    then = None if at is None else _over(caller, at)

    async def read() -> Explained:
        row = await _found(caller, subject)
        caller.require(Action.VIEW_ACCESS, row)
        if then is None:
            standing = await _standing_now(caller, row)
            return explained(standing, question, Asked.of(question, standing.catalogue))
        try:
            standing = await _standing_then(caller, row, then)
        except Forgotten as why:
            return Explained(AccessAnswer.UNKNOWN, then, forgotten=str(why))
        return _explained_then(caller, standing, question)

    return await _undisturbed(caller, read)


def _over(caller: Caller, at: datetime) -> datetime:
    moment = typed.past("at", at, slack_s=0)
    if moment < caller.account.created_at:
        raise Invalid("at", "must not be before the account was made")
    return moment


async def _undisturbed(caller: Caller, read: Callable[[], Awaitable[T]]) -> T:
    """Read what no change tears: what raced with one is thrown away, as memory is."""
    versions, account_id = caller.request.house.database.versions, caller.account.id
    for _ in range(ATTEMPTS):
        version = await versions.read(account_id)
        found = await read()
        if await versions.read(account_id) == version:
            return found
    raise Conflict("the account changes faster than it can be read; ask again")


async def _found(caller: Caller, subject: Subject) -> Token | Member:
    row: Token | Member | None
    if subject.token_id is not None:
        row = await readable(caller, Token).filter(id=subject.token_id).select_related("owner").first()
    else:
        row = await readable(caller, Member).filter(id=subject.member_id).first()
    if row is None:
        raise NotFound
    return row


async def _standing_now(caller: Caller, row: Token | Member) -> Standing:
    catalogue, owner_id = await catalogue_of(caller.account), await owner_of(caller.account.id)
    if isinstance(row, Member):
        return _of_member(caller.account, row, await roles_of_member(row), catalogue, owner_id, now())
    member = row.owner
    held = await roles_of_member(member) if member else []
    return _of_token(caller.account, row, await roles_of_token(row), member, held, catalogue, owner_id, now())


async def _standing_then(caller: Caller, row: Token | Member, at: datetime) -> Standing:
    past = await Moment.of(caller.account, at)
    catalogue, owner_id = await past.catalogue(), await past.owner_id()
    token = row if isinstance(row, Token) else None
    absent = Standing(caller.account, Authority((), owner_id, None), catalogue, at, token)
    if isinstance(row, Member):
        was = await past.member(row)
        return absent if was is None else _of_member(caller.account, was.row, was.roles, catalogue, owner_id, at)
    held = await past.token(row)
    if held is None:
        return absent
    if row.owner is None:
        return _of_token(caller.account, held.row, held.roles, None, [], catalogue, owner_id, at)
    owner = await past.member(row.owner)
    if owner is None:
        raise Forgotten("the log contradicts itself about the token's owner")
    return _of_token(caller.account, held.row, held.roles, owner.row, owner.roles, catalogue, owner_id, at)


def _of_member(  # noqa: PLR0913, PLR0917 - all that decides about a member
    account: Account, member: Member, roles: Sequence[Role], catalogue: Catalogue, owner_id: str | None, at: datetime
) -> Standing:
    sides = (rights.of_member(member, roles, catalogue),)
    return Standing(account, Authority(sides, owner_id, str(member.id)), catalogue, at, None, member)


def _of_token(  # noqa: PLR0913, PLR0917 - all that decides about a token
    account: Account,
    token: Token,
    roles: Sequence[Role],
    owner: Member | None,
    held: Sequence[Role],
    catalogue: Catalogue,
    owner_id: str | None,
    at: datetime,
) -> Standing:
    sides = rights.of_token(token, roles, owner, held, catalogue)
    authority = Authority(sides, owner_id, str(owner.id) if owner else None)
    return Standing(account, authority, catalogue, at, token, owner)


def _explained_then(caller: Caller, standing: Standing, question: Question) -> Explained:
    """Explain by the catalogue as it was. What it did not know then, and does now, could not be asked: a no."""
    try:
        return explained(standing, question, Asked.of(question, standing.catalogue))
    except Invalid as problem:
        Asked.of(question, caller.catalogue)
        answer = Answer(question, Verdict(allowed=False), problem=problem)
        return Explained(AccessAnswer.REFUSED, standing.at, answer, standing)
