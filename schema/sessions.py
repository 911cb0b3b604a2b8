"""Sessions in the schema: signing in and out, and the password."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

import strawberry

from core.vocabulary import Action
from models import SignInMethod, TokenState
from models import Token as Row
from resolvers import lists, sessions
from resolvers.callers import Caller
from resolvers.pages import Order
from resolvers.reading import readable_sessions
from schema import face, nodes
from schema.audit import AuditEntry
from schema.connections import OrderDirection
from schema.context import Info
from schema.members import Member
from schema.nodes import Node
from schema.permissions import Public, SignedIn
from schema.said import said


@face.output
class Session(Node):
    """Where a member is signed in. It may do all that its member may."""

    row: strawberry.Private[Row]
    created_at: datetime = face.shown("When they signed in.")
    expires_at: datetime | None = face.shown("When it ends.")
    revoked_at: datetime | None = face.shown("When it was ended before its time.")
    method: SignInMethod = face.shown("How they signed in.")
    ending: str = face.shown("The last characters of its secret, to recognise it by.")
    address: str | None = face.shown("The network address it was last used from.")
    user_agent: str | None = face.shown("The program that last used it, in its own words.")

    @face.field()
    def current(self, info: Info) -> bool:
        """Whether it is the one you are asking with."""
        caller = info.context.anyone
        return caller is not None and caller.token is not None and caller.token.id == self.row.id

    @classmethod
    def of(cls, row: Row) -> "Session":
        """Show a session."""
        return cls(
            id=nodes.id_of("Session", row),
            row=row,
            created_at=row.created_at,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            method=row.method or SignInMethod.PASSWORD,
            ending=row.ending,
            address=row.last_used_address,
            user_agent=row.last_used_agent,
        )


@face.input_
class SessionFilterInput:
    """Which sessions; what is left out does not matter."""

    state: TokenState | None = face.given("Whether they work. Those that have not ended, unless said.", default=None)


@face.choice(
    CREATED_AT="By when they were opened.",
    EXPIRES_AT="By when they end.",
)
class SessionOrderField(StrEnum):
    """By what sessions are ordered."""

    CREATED_AT = "CREATED_AT"
    EXPIRES_AT = "EXPIRES_AT"


_ORDERS = {SessionOrderField.CREATED_AT: lists.by_id, SessionOrderField.EXPIRES_AT: lists.by_expiry}


@face.input_
class SessionOrder:
    """How sessions are ordered."""

    field: SessionOrderField = face.given("By what.")
    direction: OrderDirection = face.given("Which way.")

    def wanted(self) -> Order:
        """Read the order."""
        return _ORDERS[self.field](descending=self.direction is OrderDirection.DESC)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    async def rows(ids: list[UUID]) -> list[Row]:
        return await readable_sessions(caller).filter(id__in=ids)

    return await nodes.by_uuid(keys, rows, Session.of)


nodes.register("Session", _find, Session.of)


@face.input_
class SignInInput:
    """Who you are."""

    email: str = face.given("Your e-mail address.")
    password: str = face.given("Your password.")
    account: str | None = face.given("The account's key; needed only where you are in several.", default=None)


@face.input_
class RevokeSessionInput:
    """A session to end."""

    id: strawberry.ID = face.given("The session's id.")
    comment: str | None = face.comment()


@face.input_
class ChangePasswordInput:
    """Your present password, and a new one."""

    current_password: str = face.given("Your present password.")
    new_password: str = face.given("The new one: 12 to 256 characters.")
    comment: str | None = face.comment()


@face.output
class SignInPayload:
    """A session that has begun."""

    session: Session = face.shown("The session.")
    secret: str = face.shown("Its bearer: send it as `Authorization: Bearer …`. Shown now and never again.")


@face.output
class SignOutPayload:
    """The session that has ended."""

    session: Session = face.shown("The session.")


@face.output
class RevokeSessionPayload:
    """The session that has ended."""

    session: Session = face.shown("The session.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")


@face.output
class ChangePasswordPayload:
    """The member whose password changed: you."""

    member: Member = face.shown("You.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")


@strawberry.type
class SessionMutations:
    """Signing in and out."""

    @face.mutation(Public)
    async def sign_in(self, info: Info, input: SignInInput) -> SignInPayload | None:
        """Sign in with a password. The secret is a bearer; only the console's page gets a cookie: `POST /session`."""
        done = await sessions.sign_in(info.context.request, input.email, input.password, input.account)
        return SignInPayload(session=Session.of(done.row), secret=done.secret or "")

    @face.field(SignedIn)
    async def sign_out(self, info: Info) -> SignOutPayload | None:
        """End the session you are asking with."""
        return SignOutPayload(session=Session.of((await sessions.sign_out(info.context.caller)).row))

    @face.mutation(Action.REVOKE_SESSION)
    async def revoke_session(self, info: Info, input: RevokeSessionInput) -> RevokeSessionPayload | None:
        """End a session at once. Ending it twice changes nothing."""
        session_id = nodes.uuid_of("id", input.id, "Session")
        done = await sessions.revoke(info.context.caller, session_id, said(input))
        return RevokeSessionPayload(session=Session.of(done.row), audit_entry=AuditEntry.seen(info.context, done.entry))

    @face.mutation(SignedIn)
    async def change_password(self, info: Info, input: ChangePasswordInput) -> ChangePasswordPayload | None:
        """Change your own password, from a session. All your other sessions end."""
        done = await sessions.change_password(
            info.context.caller, input.current_password, input.new_password, said(input)
        )
        return ChangePasswordPayload(member=Member.of(done.row), audit_entry=AuditEntry.seen(info.context, done.entry))
