"""Questions about access in the schema, each answer with its reasons."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar, cast

import strawberry

from core.law import SideKind, SideReason
from core.vocabulary import Action
from resolvers.access import Answer, Authorized, Question, RoleWords, authorize
from schema import face
from schema.context import Info
from schema.permissions import SignedIn
from schema.policies import Statement, named

T = TypeVar("T")


@face.output
class Reason:
    """A statement that decided. Where a gate is closed and nothing opens it, there is none."""

    decided: strawberry.Private[SideReason]
    judged: strawberry.Private[RoleWords | None] = None
    """The custom role whose words it shows to others; None for what is no secret, and for one's own."""
    side: SideKind = face.shown("The side it stands on.")
    index: int | None = face.shown("Its place in that policy, from 0.")
    action: str = face.shown("The action it decided about: the one asked for, or that of a gate above.")
    resource: str = face.shown("The resource it decided about: the one asked for, or one above whose gate is closed.")

    @face.field()
    def role(self, info: Info) -> str | None:
        """The key of its role, or `inline` for statements of a token's own; null for another's role you may not see."""
        return named(info, self.decided.role, self.judged)

    @face.field(Action.VIEW_ROLE_POLICY)
    def statement(self) -> Statement | None:
        """The statement itself. Another's custom role's words are only for those who may see its policy."""
        statement = self.decided.reason.statement
        return Statement.of(statement.json()) if statement else None

    @classmethod
    def of(cls, decided: SideReason, *, own: bool = True) -> "Reason":
        """Show a reason; `own` if it is about the caller itself."""
        reason = decided.reason
        return cls(
            decided=decided,
            judged=None if own else RoleWords.of(decided.role),
            side=decided.side,
            index=reason.index,
            action=reason.action,
            resource=str(reason.resource),
        )


@face.output
class Lack:
    """What a refused caller would have to be allowed."""

    action: str = face.shown("The action: the one asked for, or that of a gate above the resource.")
    resource: str = face.shown("The resource: the one asked for, or one above it.")


@face.output
class Decision:
    """Whether it is allowed, and which statements decided."""

    answer: strawberry.Private[Answer]
    receipt: strawberry.Private[Callable[[Answer], str | None] | None] = None
    action: str = face.shown("The action that was asked for.")
    resource: str = face.shown("The resource that was asked for.")
    allowed: bool = face.shown("Whether it is allowed.")
    missing: list[SideKind] = face.shown("The sides that do not allow it; none on a yes.")
    owner_only: bool = face.shown("Whether it is the account owner's alone, whatever policies say.")
    problem: str | None = face.shown("Why it could not be asked at all; then it is a no. Null on a proper question.")

    @face.field()
    def because(self) -> list[Reason]:
        """The statements that decided. A no without any means that nothing allows it."""
        return [Reason.of(decided, own=self.receipt is None) for decided in self.answer.verdict.because]

    @face.field()
    def lacking(self) -> list[Lack]:
        """What would have to be allowed for a yes, on every side in `missing`; none on a yes."""
        return [Lack(action=action, resource=resource) for action, resource in self.answer.lacking]

    @face.field()
    def unknown(self) -> list[str]:
        """What was not stated about the resource, or has no value, and might have led to a yes; none on a yes."""
        return list(self.answer.unknown)

    @face.field()
    def decision_id(self) -> str | None:
        """Proves in `recordAuditEntries`, for a day, that you were given this yes.

        Only for a yes of `verifyToken`; null for all else.
        """
        return self.receipt(self.answer) if self.receipt else None

    @classmethod
    def of(cls, answer: Answer, receipt: Callable[[Answer], str | None] | None = None) -> "Decision":
        """Show an answer."""
        verdict = answer.verdict
        return cls(
            answer=answer,
            receipt=receipt,
            action=answer.question.action,
            resource=answer.question.resource,
            allowed=verdict.allowed,
            missing=list(verdict.missing),
            owner_only=verdict.guard,
            problem=answer.problem.message if answer.problem else None,
        )


@face.output
class Decisions:
    """The answers to a batch of questions, in their order. A question that cannot be asked spoils no other."""

    answers: strawberry.Private[Authorized]

    @face.field()
    def allowed(self) -> list[bool]:
        """Yes or no, and no more: the fastest way to ask."""
        count = len(self.answers.questions)
        return self.answers.allowed if count <= AT_ONCE else in_turns(count, self.answers.allows)

    @face.field()
    def decisions(self) -> list[Decision]:
        """Each with its reasons."""
        return in_turns(len(self.answers.questions), lambda index: Decision.of(self.answers.answer(index)))


AT_ONCE = 100
"""How many questions are answered before other requests go on."""


def in_turns(count: int, one: Callable[[int], T]) -> list[T]:
    """Make a list one by one; a long one lets other requests go on meanwhile, and is awaited by graphql-core."""
    if count <= AT_ONCE:
        return [one(index) for index in range(count)]

    async def made() -> list[T]:
        listed: list[T] = []
        for index in range(count):
            listed.append(one(index))
            if index % AT_ONCE == 0:
                await asyncio.sleep(0)
        return listed

    return cast("list[T]", made())


@face.input_
class AccessCheckInput:
    """A question: may this be done to that?"""

    action: str = face.given("The action, such as `updateOn`.")
    resource: str = face.given(
        "The resource, such as `proj/web:env/dev:flag/f`. After a `;` it may state its tags and properties, as in "
        "`flag/f;qa,{critical:true}`; what is not stated is unknown, which no allow is satisfied with."
    )


Checks = Annotated[list[AccessCheckInput], strawberry.argument(description="The questions, up to 1,000.")]


def questions(checks: Sequence[Any]) -> list[Question]:
    """Read questions, as a raw field is given them: `{action, resource}`."""
    return [Question(check["action"], check["resource"]) for check in checks]


@strawberry.type
class AccessQueries:
    """Asking about access."""

    @face.field(SignedIn, raw=True)
    def check_access(self, info: Info, checks: Checks) -> Decisions | None:
        """Ask what you may do. The answers come in the order of the questions."""
        return Decisions(answers=authorize(info.context.caller, questions(checks)))
