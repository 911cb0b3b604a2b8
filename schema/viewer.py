"""The viewer: who is asking."""

from typing import Annotated

import strawberry
from tortoise.queryset import QuerySet

from models import Token as Row
from models import TokenKind
from resolvers import access, lists
from resolvers.access import Question
from resolvers.callers import Caller
from resolvers.pages import Window
from schema import face
from schema.access import Decision
from schema.accounts import Account
from schema.connections import After, Before, Connection, First, Last, Rows, listed
from schema.context import Info
from schema.members import Member
from schema.permissions import SignedIn
from schema.policies import EffectiveRole
from schema.sessions import Session, SessionFilterInput, SessionOrder
from schema.tokens import Token


@face.output
class Viewer:
    """You: the credential you are asking with, and the member behind it."""

    caller: strawberry.Private[Caller]
    member: Member | None = face.shown("The member you are; null for a token that no member owns.")
    token: Token | None = face.shown("The token you are asking with; null in a session.")
    session: Session | None = face.shown("The session you are asking with; null with a token.")
    account: Account = face.shown("The account you belong to.")

    @face.field()
    def effective_roles(self) -> list[EffectiveRole]:
        """The policies that decide about you now. Every side must allow; on a side, one policy is enough."""
        return [EffectiveRole.of(shown) for shown in access.effective_of(self.caller)]

    @face.field()
    def may(
        self,
        action: Annotated[str, strawberry.argument(description="The action, such as `updateOn`.")],
        resource: Annotated[str, strawberry.argument(description="The resource, such as `proj/web:env/dev:flag/f`.")],
    ) -> Decision | None:
        """Ask whether you may do something, and why."""
        return Decision.of(access.answer(self.caller, Question(action, resource)))

    @face.field()
    async def sessions(
        self,
        filter: Annotated[SessionFilterInput | None, strawberry.argument(description="Which sessions.")] = None,
        order_by: Annotated[
            SessionOrder | None, strawberry.argument(description="In which order; the latest first unless said.")
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Session]:
        """Where you are signed in. Empty for what no member owns."""
        order = order_by.wanted() if order_by else lists.by_id(descending=True)
        window = Window.of(order, first, after, last, before)
        own, state = self.caller.member, filter.state if filter else None

        async def rows(caller: Caller) -> QuerySet[Row]:
            return (await lists.sessions(caller, state)).filter(owner_id=own.id if own else None)

        return await listed(self.caller, Rows("Viewer.sessions", rows), window, Session.of)

    @classmethod
    def of(cls, caller: Caller) -> "Viewer":
        """Show a caller, out of what it holds."""
        row = caller.token
        in_session = row is not None and row.kind is TokenKind.SESSION
        return cls(
            caller=caller,
            member=Member.of(caller.member) if caller.member else None,
            token=Token.of(row) if row and not in_session else None,
            session=Session.of(row) if row and in_session else None,
            account=Account.of(caller.account),
        )


@strawberry.type
class ViewerQueries:
    """Asking who one is."""

    @face.field(SignedIn)
    def viewer(self, info: Info) -> Viewer | None:
        """Say who you are."""
        return Viewer.of(info.context.caller)
