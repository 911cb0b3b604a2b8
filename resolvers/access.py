"""What callers ask about access: may I, why, and what a token comes to once owner and ceilings are counted in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple, cast
from uuid import UUID

from core.catalogue import Catalogue
from core.covers import Allowance, covers
from core.errors import Invalid
from core.law import Authority, NamedPolicy, Side, SideKind, Verdict
from core.policy import CompiledPolicy, Effect, Policy, Statement, check_action, check_resource
from core.specifiers import Malformed, Resource
from core.vocabulary import Action, BuiltInRole
from models import Member, Role, Token
from resolvers import holdings, rights
from resolvers.callers import Caller, Rights, note_deeds
from resolvers.holdings import Holdings
from resolvers.reading import readable
from resolvers.rights import INLINE
from resolvers.uses import Deed, Outcome

MAX_CHECKS = 1000
MAX_WORD_LENGTH = 64
SHORT = 128
MOST_DECIDED = 50_000
"""How many answers a process remembers, each of some 300 bytes, to questions in so many characters at most."""
NAMELESS = frozenset({*BuiltInRole, INLINE})
"""What policies are called that are no custom role's."""


class Question(NamedTuple):
    """What a caller asks: an action and a concrete resource, as text. What the resource does not state is unknown."""

    action: str
    resource: str


@dataclass(frozen=True, slots=True)
class Asked:
    """A proper question: the resource is read, and the catalogue knows it and the action."""

    action: str
    resource: Resource

    @classmethod
    def of(cls, question: Question, catalogue: Catalogue, field: str = "") -> "Asked":
        """Read a question. Raises `Invalid` naming the part of the question beneath `field`."""
        resource = _resource(question.resource, f"{field}resource")
        _check(question.action, resource, catalogue, field)
        return cls(question.action, resource.known_to(catalogue))


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question came to. `problem` is None, or says why it could not be asked at all; then it is a no."""

    question: Question
    verdict: Verdict
    asked: Asked | None = None
    rights: Rights | None = field(default=None, repr=False)
    problem: Invalid | None = None

    @property
    def lacking(self) -> list[tuple[str, str]]:
        """List what a refused caller lacks, as (action, resource): what was asked for, and gates that are closed."""
        if self.verdict or self.asked is None or not isinstance(self.rights, Authority):
            return []
        lacking = self.rights.lacking(self.asked.action, self.asked.resource)
        return [(action, str(resource)) for action, resource in lacking]

    @property
    def unknown(self) -> tuple[str, ...]:
        """List what a refusal did not know of the resource, and might have been decided otherwise by."""
        if self.verdict or self.asked is None or not isinstance(self.rights, Authority):
            return ()
        return self.rights.unknown(self.asked.action, self.asked.resource)


def answer(caller: Caller, question: Question, field: str = "") -> Answer:
    """Answer one question about the caller. Raises `Invalid` naming the part of the question beneath `field`."""
    asked = Asked.of(question, caller.catalogue, field)
    return Answer(question, caller.rights.decide(asked.action, asked.resource), asked, caller.rights)


_decided: dict[tuple[object, str, str], Deed | None] = {}
"""What authorities decided, by their marks and what was asked. They are values: each decides the same for ever."""


@dataclass(frozen=True, slots=True)
class Authorized:
    """The answers to a batch of questions about one caller, in their order. One bad question spoils no other.

    Each is decided when it is first asked for, and once.
    """

    caller: Caller
    questions: Sequence[Question]
    _allowed: dict[int, bool] = field(default_factory=dict, repr=False)
    _answers: dict[int, Answer] = field(default_factory=dict, repr=False)
    _deeds: dict[Deed, None] = field(default_factory=dict, repr=False)

    @property
    def deeds(self) -> tuple[Deed, ...]:
        """What was decided so far, each once."""
        return tuple(self._deeds)

    @property
    def decisions(self) -> list[Answer]:
        """Every answer, with reasons."""
        return [self.answer(index) for index in range(len(self.questions))]

    @property
    def allowed(self) -> list[bool]:
        """Every answer, yes or no."""
        if self._allowed:
            return [self.allows(index) for index in range(len(self.questions))]
        done = [self._done(question) for question in self.questions]
        self._note(*[each for each in done if each is not None])
        allowed = [each is not None and each.outcome is not Outcome.REFUSED for each in done]
        self._allowed.update(enumerate(allowed))
        return allowed

    def answer(self, index: int) -> Answer:
        """Answer one question, with reasons."""
        if index not in self._answers:
            self._answers[index] = self._decided(self.questions[index], f"checks[{index}].")
        return self._answers[index]

    def allows(self, index: int) -> bool:
        """Answer one question yes or no; what cannot be asked is a no."""
        if index not in self._allowed:
            done = self._done(self.questions[index])
            self._note(*(() if done is None else (done,)))
            self._allowed[index] = bool(done)
        return self._allowed[index]

    def _decided(self, question: Question, field: str) -> Answer:
        try:
            answered = answer(self.caller, question, field)
        except Invalid as problem:
            return Answer(question, Verdict(allowed=False), problem=problem)
        if answered.asked:
            asked = answered.asked
            self._note(self.caller.deed(asked.action, asked.resource, allowed=bool(answered.verdict)))
        return answered

    def _done(self, question: Question) -> Deed | None:
        """Say what becomes of a question; None if it cannot be asked. What was decided is remembered."""
        caller = self.caller
        size = len(question.action) + len(question.resource)
        if caller.trial is not None or not isinstance(caller.rights, Authority) or size > SHORT:
            return self._found(question)
        key = (caller.rights.mark, *question)
        done = _decided.get(key, _decided)
        if done is _decided:
            if len(_decided) >= MOST_DECIDED:
                _decided.clear()
            done = _decided[key] = self._found(question)
        return cast("Deed | None", done)

    def _found(self, question: Question) -> Deed | None:
        try:
            resource = _resource(question.resource, "resource")
            _check(question.action, resource, self.caller.catalogue, "")
        except Invalid:
            return None
        allowed = self.caller.rights.allows(question.action, resource)
        if ";" in question.resource:  # most state nothing
            resource = resource.known_to(self.caller.catalogue)
        return self.caller.deed(question.action, resource, allowed=allowed)

    def _note(self, *deeds: Deed) -> None:
        self._deeds.update(dict.fromkeys(deeds))
        note_deeds(self.caller, *deeds)


def authorize(caller: Caller, questions: Sequence[Question]) -> Authorized:
    """Decide about up to 1,000 questions. Every face of Latchkey asks this. Raises `Invalid` for more."""
    if len(questions) > MAX_CHECKS:
        raise Invalid("checks", f"must be at most {MAX_CHECKS}")
    return Authorized(caller, questions)


def _resource(text: str, field: str) -> Resource:
    try:
        return Resource.parse(text)
    except Malformed as problem:
        raise Invalid(field, str(problem)) from None


def _check(action: str, resource: Resource, catalogue: Catalogue, field: str) -> None:
    """Refuse what the catalogue does not know. Raises `Invalid` naming the part of the question beneath `field`."""
    named = None not in resource.names
    if named and (resource.path, action) in catalogue.askable:
        return
    check_resource(resource, catalogue, f"{field}resource")
    if len(action) > MAX_WORD_LENGTH:
        raise Invalid(f"{field}action", f"must have at most {MAX_WORD_LENGTH} characters")
    check_action(action, resource, catalogue, f"{field}action")
    if named:
        catalogue.askable.add((resource.path, action))  # as few as the catalogue has


@dataclass(frozen=True, slots=True)
class Shown:
    """A policy on a side as it may be shown. `judged` is the custom role whose words they are, if they are one's."""

    side: SideKind
    name: str
    policy: Policy
    judged: "RoleWords | None" = None


@dataclass(frozen=True, slots=True)
class RoleWords:
    """The words of a custom role, wherever they are met: judged as the role itself."""

    key: str

    @classmethod
    def of(cls, name: str) -> "RoleWords | None":
        """Take the name of a policy; None for built-in roles and for statements of a token's own, which are no secret.

        What a ceiling has frozen was a role's words once, whether or not the role is still there.
        """
        return None if name in NAMELESS else cls(name)

    @property
    def subjects(self) -> tuple[Resource, ...]:
        """`role/<key>`."""
        return (Resource.of(("role", self.key)),)


@dataclass(frozen=True, slots=True)
class Exceeding:
    """A statement of a token's scope that reaches further than a side that limits the token."""

    role: str
    index: int
    statement: Statement
    side: SideKind
    judged: RoleWords | None = None


@dataclass(frozen=True)
class Effective:
    """All sides of a token, the scope first, and the catalogue they are read by."""

    sides: tuple[Side, ...]
    catalogue: Catalogue
    allowance: Allowance
    """What the proofs of the whole request may still cost."""

    @property
    def shown(self) -> list[Shown]:
        """Every policy, side by side."""
        return [
            Shown(side.kind, named.name, named.policy.policy, RoleWords.of(named.name))
            for side in self.sides
            for named in side.policies
        ]

    @cached_property
    def exceeding(self) -> list[Exceeding]:
        """The statements of the scope that are not provably within the owner's rights, or within a ceiling.

        Gates are left aside: a statement that opens one answers for itself. What the request's allowance leaves
        unproven is listed.
        """
        scope, *limits = self.sides
        ungated = _ungated(self.catalogue)
        return [
            Exceeding(named.name, index, statement, limit.kind, RoleWords.of(named.name))
            for named in scope.policies
            for index, statement in enumerate(named.policy.policy)
            if statement.effect is Effect.ALLOW
            for limit in limits
            if not self._within(limit, named, statement, ungated)
        ]

    def _within(self, limit: Side, named: NamedPolicy, statement: Statement, catalogue: Catalogue) -> bool:
        denies = (line for line in named.policy.policy if line.effect is Effect.DENY)
        alone = CompiledPolicy((statement, *denies), catalogue, named.policy.attributes)
        return covers([limiting.policy for limiting in limit.policies], [alone], catalogue, self.allowance)


def _ungated(catalogue: Catalogue) -> Catalogue:
    return Catalogue.of(
        replace(kind, actions=tuple(replace(action, gate=False) for action in kind.actions)) for kind in catalogue
    )


async def effective(caller: Caller, tokens: Sequence[Token]) -> Mapping[UUID, Effective]:
    """Read what tokens of the caller's account may do now, in as many queries for many as for one."""
    account_id, catalogue = caller.account.id, caller.catalogue
    owner_ids = list({token.owner_id for token in tokens if token.owner_id})
    owners = {owner.id: owner for owner in await Member.filter(account_id=account_id, id__in=owner_ids)}
    theirs = await holdings.of_members(account_id, owner_ids)
    own = await holdings.of_tokens(account_id, [token.id for token in tokens])
    return {
        token.id: Effective(_sides(token, owners, theirs, own, catalogue), catalogue, caller.request.allowance)
        for token in tokens
    }


def _sides(
    token: Token, owners: Mapping[UUID, Member], theirs: Holdings, own: Holdings, catalogue: Catalogue
) -> tuple[Side, ...]:
    owner = owners.get(token.owner_id) if token.owner_id else None
    held = theirs.get(owner.id, []) if owner else []
    return rights.of_token(token, own.get(token.id, []), owner, held, catalogue)


def effective_of(caller: Caller) -> list[Shown]:
    """Show the policies that decide about the caller itself."""
    return [Shown(side.kind, named.name, named.policy.policy) for side in caller.sides for named in side.policies]


async def roles_of_tokens(caller: Caller, tokens: Sequence[UUID]) -> Holdings:
    """Read the custom roles in the scopes of tokens, as far as the caller sees them."""
    return _seen(caller, await holdings.of_tokens(caller.account.id, tokens))


async def roles_on_trial(caller: Caller, tokens: Sequence[Token]) -> Mapping[Token, list[Role]]:
    """Read the custom roles in the scopes that are tried on tokens, as far as the caller sees them."""
    keys = {token: (token.trial or {}).get("roles", []) for token in tokens}
    wanted = list({key for each in keys.values() for key in each})
    seen = {role.key: role for role in await readable(caller, Role).filter(key__in=wanted)}
    return {token: [seen[key] for key in each if key in seen] for token, each in keys.items()}


async def roles_of_members(caller: Caller, members: Sequence[UUID]) -> Holdings:
    """Read the custom roles of members, as far as the caller sees them."""
    return _seen(caller, await holdings.of_members(caller.account.id, members))


def _seen(caller: Caller, held: Holdings) -> Holdings:
    return {holder: [role for role in roles if caller.sees(Action.VIEW_ROLE, role)] for holder, roles in held.items()}
