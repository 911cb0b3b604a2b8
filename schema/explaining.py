"""Explanations in the schema: why a member or a token may do something, what would change that, and who else may."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, TypeVar

import strawberry

from core.law import SideKind
from core.remedies import Remedy as Found
from core.remedies import RemedyKind
from core.vocabulary import Action
from models import MemberState, TokenState
from resolvers import explaining, holders, lists
from resolvers.access import Asked, Question, RoleWords
from resolvers.explaining import AccessAnswer, Explained, Standing, Subject
from resolvers.explaining import ExplainedPolicy as Policy
from resolvers.explaining import ExplainedSide as Side
from resolvers.holders import Found as Page
from resolvers.pages import Window
from schema import face, nodes
from schema.access import Decision, Reason
from schema.connections import After, Before, Connection, First, Last
from schema.context import Info
from schema.members import Member
from schema.policies import named
from schema.tokens import Token

T = TypeVar("T")

face.words(
    AccessAnswer,
    "What an explanation comes to.",
    ALLOWED="It may.",
    REFUSED="It may not.",
    UNKNOWN="The audit log does not tell, or no longer.",
)
face.words(
    RemedyKind,
    "What is to be done for a yes.",
    ADD_ALLOW="Add a statement that allows it to this policy.",
    REMOVE_DENY="Remove or narrow a statement of this policy.",
    OPEN_GATE="Add a statement that allows the gate above the resource to this policy.",
    STATE_UNKNOWN="State what was left open: it may be a yes then.",
    CHANGE_ROLE="Give the member a role that allows it.",
    CHANGE_SCOPE="Give the token a scope that allows it.",
    MAKE_ANOTHER_TOKEN="Make another token: this one has ended, or is bounded for good.",  # noqa: S106 - a description
    REVIVE="Let the member in again.",
    OWNER_ONLY="Leave it to the account's owner.",
)


@face.output
class ExplainedPolicy:
    """A policy on a side, by itself."""

    policy: strawberry.Private[Policy]
    allowed: bool = face.shown("Whether it allows by itself. On a side, one that does is enough.")

    @face.field()
    def role(self, info: Info) -> str | None:
        """The key of its role, or `inline` for statements of a token's own; null for a role you may not see."""
        return named(info, self.policy.name, RoleWords.of(self.policy.name))

    @face.field(size=5)
    def because(self) -> list[Reason]:
        """The statements that decided in it. A no without any means that none allows it."""
        return [Reason.of(decided, own=False) for decided in self.policy.because]


@face.output
class ExplainedSide:
    """A side, spelled out."""

    side: SideKind = face.shown("Which side it is. Of ceilings there may be several, each a side of its own.")
    allowed: bool = face.shown("Whether it allows. Every side must.")
    policies: list[ExplainedPolicy] = face.shown("Every policy on it.", size=5)

    @classmethod
    def of(cls, side: Side) -> "ExplainedSide":
        """Show a side."""
        policies = [ExplainedPolicy(policy=policy, allowed=policy.allowed) for policy in side.policies]
        return cls(side=side.kind, allowed=side.allowed, policies=policies)


@face.output
class ExplainedState:
    """What the token or the member was at that moment."""

    standing: strawberry.Private[Standing]
    exists: bool = face.shown("Whether it was there.")
    works: bool = face.shown("Whether it could do anything at all. If not, the answer is a no, whatever its sides say.")
    token_state: TokenState | None = face.shown("Whether the token worked, and if not, why; null for a member.")

    @face.field()
    def member_state(self, info: Info) -> MemberState | None:
        """Where the member, or the token's owner, stood; null without one, and for one you may not see."""
        member = self.standing.member
        return member.state if member and info.context.caller.sees(Action.VIEW_MEMBER, member) else None

    @classmethod
    def of(cls, standing: Standing) -> "ExplainedState":
        """Show a standing."""
        return cls(standing=standing, exists=standing.exists, works=standing.works, token_state=standing.token_state)


@face.output
class Remedy:
    """One thing to change for a yes."""

    found: strawberry.Private[Found]
    kind: RemedyKind = face.shown("What is to be done.")
    side: SideKind | None = face.shown("On which side; null where it is about no side.")
    index: int | None = face.shown("The place of the statement in its policy, from 0; null where it is about none.")
    action: str = face.shown("The action: the one asked for, or that of a gate above.")
    resource: str = face.shown("The resource: the one asked for, or one above it, as a statement would name it.")

    @face.field()
    def role(self, info: Info) -> str | None:
        """The key of the role, or `inline`; null where it is about none, or about a role you may not see."""
        return named(info, self.found.role, RoleWords.of(self.found.role)) if self.found.role else None

    @face.field()
    def sentence(self, info: Info) -> str:
        """All of it in words."""
        return self.found.sentence(names_role=self.role(info) is not None)

    @classmethod
    def of(cls, found: Found) -> "Remedy":
        """Show a remedy."""
        return cls(
            found=found,
            kind=found.kind,
            side=found.side,
            index=found.index,
            action=found.action,
            resource=found.resource,
        )


@face.output
class Explanation:
    """Whether a token or a member may do something, and why: every side spelled out."""

    answer: AccessAnswer = face.shown("What it comes to.")
    at: datetime = face.shown("The moment that it is about.")
    decision: Decision | None = face.shown("The answer with the statements that decided; null if it is not known.")
    sides: list[ExplainedSide] = face.shown("Every side, whether it allows or not; none if that is not known.", size=3)
    state: ExplainedState | None = face.shown("What it was at that moment; null if that is not known.")
    remedies: list[Remedy] = face.shown(
        "What would have to change for a yes; none on a yes. What is about no side has to be done, and each side that "
        "refuses to be mended: by all that is about one role on it, or maybe by `STATE_UNKNOWN` alone."
    )
    forgotten: str | None = face.shown("Why it is not known; null where it is.")

    @classmethod
    def of(cls, explained: Explained) -> "Explanation":
        """Show an explanation."""
        answer, standing = explained.answer, explained.standing
        return cls(
            answer=explained.outcome,
            at=explained.at,
            decision=Decision.of(answer, _no_receipt) if answer else None,
            sides=[ExplainedSide.of(side) for side in explained.sides],
            state=ExplainedState.of(standing) if standing else None,
            remedies=[Remedy.of(found) for found in explained.remedies],
            forgotten=explained.forgotten,
        )


def _no_receipt(_: object) -> None:
    """Give none: nobody acts on an explanation, and it is about another, whose roles are shown to few."""


@face.output
class WhoMay:
    """Who may do something now: those of whom you may see what they may."""

    asked: strawberry.Private[Asked]
    action: str = face.shown("The action that was asked for.")
    resource: str = face.shown("The resource that was asked for.")

    @face.field()
    async def members(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Member]:
        """The active members who may, as they were invited. Not counted.

        Some thousand are looked at for a page: one may be short, or empty, although more follows.
        """
        window = Window.of(lists.by_id(), first, after, last, before)
        return _shown(await holders.members(info.context.caller, self.asked, window), Member.of)

    @face.field()
    async def tokens(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Token]:
        """The working tokens that may, as they were made. Not counted.

        Some thousand are looked at for a page: one may be short, or empty, although more follows.
        """
        window = Window.of(lists.by_id(), first, after, last, before)
        return _shown(await holders.tokens(info.context.caller, self.asked, window), Token.of)


def _shown(page: Page[holders.M], show: Callable[[holders.M], T]) -> Connection[T]:
    """Show a page. One that ends before it is full goes on from the last row that was looked at."""
    return Connection(page=page, show=show, counted=_uncounted, reached=page.reached)


async def _uncounted() -> None:
    """Count nothing: that would take deciding about everyone."""


@face.one_of
class AccessSubjectInput:
    """Whom to explain: a token, or a member."""

    token: strawberry.Maybe[strawberry.ID] = face.given("The token's id.")
    member: strawberry.Maybe[strawberry.ID] = face.given("The member's id.")

    @property
    def wanted(self) -> Subject:
        """Read whom. Raises `Invalid` naming the field."""
        if self.token is not None:
            return Subject(token_id=nodes.uuid_of("subject.token", self.token.value, "Token"))
        assert self.member is not None  # noqa: S101 - of `@oneOf` exactly one is given
        return Subject(member_id=nodes.uuid_of("subject.member", self.member.value, "Member"))


ActionArgument = Annotated[str, strawberry.argument(description="The action, such as `updateOn`.")]
ResourceArgument = Annotated[
    str,
    strawberry.argument(
        description="The resource, such as `proj/web:env/dev:flag/f`. It may state tags and properties, as in a check."
    ),
]


@strawberry.type
class ExplainingQueries:
    """Asking about the access of others."""

    @face.field(Action.VIEW_ACCESS)
    async def explain_access(
        self,
        info: Info,
        subject: Annotated[AccessSubjectInput, strawberry.argument(description="Whose access.")],
        action: ActionArgument,
        resource: ResourceArgument,
        at: Annotated[
            datetime | None,
            strawberry.argument(
                description="An earlier time: what the answer was then, by what the audit log tells. Now, unless said."
            ),
        ] = None,
    ) -> Explanation | None:
        """Explain whether a token or a member may do something. The action is needed on the token or the member.

        Absent and hidden ones are `NOT_FOUND` alike.
        """
        question = Question(action, resource)
        return Explanation.of(await explaining.explain(info.context.caller, subject.wanted, question, at))

    @face.field(Action.VIEW_ACCESS)
    def who_may(self, info: Info, action: ActionArgument, resource: ResourceArgument) -> WhoMay | None:
        """List who may do something now. The action is needed on each token and member; others are left out."""
        asked = Asked.of(Question(action, resource), info.context.caller.catalogue)
        return WhoMay(asked=asked, action=action, resource=resource)
