"""Questions about access in the schema, each answer with its reasons."""

from typing import Annotated

import strawberry

from core.law import SideKind, SideReason
from resolvers import access
from resolvers.access import Answer, Question
from schema import face
from schema.context import Info
from schema.permissions import SignedIn
from schema.policies import Statement


@face.output
class Reason:
    """A statement that decided. Where a gate is closed and nothing opens it, there is none."""

    side: SideKind = face.shown("The side it stands on.")
    role: str = face.shown("The key of its role, or `inline` for statements of a token's own.")
    index: int | None = face.shown("Its place in that policy, from 0.")
    statement: Statement | None = face.shown("The statement itself.")
    action: str = face.shown("The action it decided about: the one asked for, or that of a gate above.")
    resource: str = face.shown("The resource it decided about: the one asked for, or one above whose gate is closed.")

    @classmethod
    def of(cls, decided: SideReason) -> "Reason":
        """Show a reason."""
        reason = decided.reason
        return cls(
            side=decided.side,
            role=decided.role,
            index=reason.index,
            statement=Statement.of(reason.statement.json()) if reason.statement else None,
            action=reason.action,
            resource=str(reason.resource),
        )


@face.output
class Decision:
    """Whether you may, and which statements decided."""

    action: str = face.shown("The action that was asked for.")
    resource: str = face.shown("The resource that was asked for.")
    allowed: bool = face.shown("Whether you may.")
    because: list[Reason] = face.shown("The statements that decided. A no without any means that nothing allows it.")
    missing: list[SideKind] = face.shown("The sides that do not allow it; none on a yes.")
    owner_only: bool = face.shown("Whether it is the account owner's alone, whatever policies say.")
    problem: str | None = face.shown("Why it could not be asked at all; then it is a no. Null on a proper question.")

    @classmethod
    def of(cls, answer: Answer) -> "Decision":
        """Show an answer."""
        verdict = answer.verdict
        return cls(
            action=answer.question.action,
            resource=answer.question.resource,
            allowed=verdict.allowed,
            because=[Reason.of(decided) for decided in verdict.because],
            missing=list(verdict.missing),
            owner_only=verdict.guard,
            problem=answer.problem.message if answer.problem else None,
        )


@face.input_
class AccessCheckInput:
    """A question: may I do this to that?"""

    action: str = face.given("The action, such as `updateOn`.")
    resource: str = face.given(
        "The resource, such as `proj/web:env/dev:flag/f`. After a `;` it may state its tags and properties, as in "
        "`flag/f;qa,{critical:true}`; what is not stated is unknown, which no allow is satisfied with."
    )


@strawberry.type
class AccessQueries:
    """Asking about access."""

    @face.field(SignedIn)
    def check_access(
        self,
        info: Info,
        checks: Annotated[list[AccessCheckInput], strawberry.argument(description="The questions, up to 100.")],
    ) -> list[Decision] | None:
        """Ask what you may do, with reasons. The answers come in the order of the questions."""
        questions = [Question(check.action, check.resource) for check in checks]
        return [Decision.of(answer) for answer in access.answers(info.context.caller, questions)]
