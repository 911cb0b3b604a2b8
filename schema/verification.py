"""Verification in the schema: what a secret that somebody presented to an integration opens."""

from datetime import datetime
from typing import Annotated

import strawberry

from core.vocabulary import Action
from resolvers import verification
from resolvers.verification import Verified
from schema import face, nodes
from schema.access import AccessCheckInput, Decision, in_turns, questions
from schema.context import Info
from schema.tokens import TokenKind, TokenScope


@face.output
class VerifiedMember:
    """The member who owns a token that was presented."""

    member_id: strawberry.ID = face.shown("The global id of the `Member`.")
    name: str = face.shown("The member's name.")


@face.output
class VerifiedToken:
    """A token that was presented, as far as whoever has to serve it should know it."""

    token_id: strawberry.ID = face.shown("The global id of the `Token`.")
    kind: TokenKind = face.shown("Whose it is.")
    name: str = face.shown("What people call it.")
    ending: str = face.shown("The last characters of its secret, to recognise it by.")
    member: VerifiedMember | None = face.shown("Its owner; null for a token that no member owns.")
    scope: TokenScope = face.shown("What it was made for. What it may do also depends on its owner and its ceilings.")
    expires_at: datetime | None = face.shown("When the secret stops working; null if never.")

    @classmethod
    def of(cls, verified: Verified) -> "VerifiedToken":
        """Show a token that was verified."""
        row, owner = verified.token, verified.subject.member
        return cls(
            token_id=nodes.id_of("Token", row),
            kind=TokenKind(row.kind.value),
            name=row.name,
            ending=row.ending,
            member=VerifiedMember(member_id=nodes.id_of("Member", owner), name=owner.label) if owner else None,
            scope=TokenScope.of(row),
            expires_at=verified.expires_at,
        )


@face.output
class Verification:
    """What a presented secret opens.

    One that is dead, unknown, a session's or another account's is not active, and nothing more is said of it.
    """

    verified: strawberry.Private[Verified | None]
    asked: strawberry.Private[int]
    active: bool = face.shown("Whether it opens a token of your account now.")
    token: VerifiedToken | None = face.shown("The token that it opens.")
    cache_until: datetime | None = face.shown(
        "Until when you may go by this answer without asking again: as long as the account allows, never past the "
        "token's end. Null: ask every time."
    )
    cache_for_s: float | None = face.shown(
        "The same in seconds from when you asked, so that your clock and the server's need not agree."
    )

    @face.field()
    def allowed(self) -> list[bool]:
        """The answers to `checks`, yes or no. All no if it is not active."""
        if self.verified is None:
            return [False] * self.asked
        return in_turns(self.asked, self.verified.answers.allows)

    @face.field()
    def decisions(self) -> list[Decision] | None:
        """The answers to `checks`, each with its reasons; null if it is not active."""
        if (verified := self.verified) is None:
            return None
        return in_turns(self.asked, lambda index: Decision.of(verified.answers.answer(index), verified.receipt))

    @classmethod
    def of(cls, verified: Verified | None, asked: int) -> "Verification":
        """Show what a secret opens, if it does."""
        until = verified.cache_until if verified else None
        return cls(
            verified=verified,
            asked=asked,
            active=verified is not None,
            token=VerifiedToken.of(verified) if verified else None,
            cache_until=until,
            cache_for_s=(until - verified.at).total_seconds() if verified and until else None,
        )


Secret = Annotated[str, strawberry.argument(description="The secret that was presented to you. Give it as a variable.")]
MaybeChecks = Annotated[
    list[AccessCheckInput] | None, strawberry.argument(description="Questions about its token, up to 1,000.")
]
Address = Annotated[
    str | None,
    strawberry.argument(description="The network address it was presented from: a token may be bound to some."),
]


@strawberry.type
class VerificationQueries:
    """Asking about secrets that others presented."""

    @face.field(Action.VERIFY_ACCESS_TOKEN, raw=True)
    async def verify_token(
        self, info: Info, secret: Secret, checks: MaybeChecks = None, address: Address = None
    ) -> Verification | None:
        """Ask what a secret that somebody presented to you opens, and what that token may do. It counts as its use.

        For tokens alone: no session verifies, and none is verified.
        """
        asked = questions(checks or ())
        verified = await verification.verify(info.context.caller, secret, address, asked)
        return Verification.of(verified, len(asked))
