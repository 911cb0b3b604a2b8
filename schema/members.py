"""Members in the schema: listed, invited, given roles, suspended, removed."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import strawberry

from core.errors import Invalid
from core.vocabulary import Action, BuiltInRole
from models import Member as Row
from models import MemberState
from resolvers import access, lists, members
from resolvers.callers import Caller
from resolvers.lists import MemberFilter, TokenFilter
from resolvers.members import Grant
from resolvers.pages import Order, Window
from resolvers.reading import readable
from resolvers.writing import Done
from schema import face, nodes
from schema.accounts import Account
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Nested, OrderDirection, Rows, beneath, listed
from schema.context import Context, Info
from schema.nodes import Node
from schema.permissions import Public
from schema.roles import Role
from schema.said import said

if TYPE_CHECKING:
    from schema.sessions import Session, SessionFilterInput, SessionOrder
    from schema.tokens import Token, TokenFilterInput, TokenOrder


@face.output
class RoleAttribute:
    """Values that fill the `${roleAttribute/<key>}` of a member's roles."""

    key: str = face.shown("The attribute's key.")
    values: list[str] = face.shown("Its values: literal names, any of which matches.")


GRANTS = (Action.UPDATE_ROLE, Action.UPDATE_CUSTOM_ROLE, Action.UPDATE_MEMBER_ROLE_ATTRIBUTES)


@face.output
class Member(Node):
    """A person in the account."""

    row: strawberry.Private[Row]
    name: str = face.column("name", "The member's name; empty until they give one.")
    state: MemberState = face.column("state", "Where the member stands.")
    base_role: BuiltInRole = face.column("base_role", "The built-in role. It sleeps while there are custom roles.")
    created_at: datetime = face.column("created_at", "When the member was invited.")
    updated_at: datetime = face.column("updated_at", "When the member was last changed.")
    version: int = face.column("version", "Counts the member's changes; give it as `expectedVersion`.")
    email: str | None = face.column("email", "The e-mail address.", needs=Action.VIEW_MEMBER_EMAIL)

    @property
    def judged(self) -> Row:
        """The row that guarded fields are judged on."""
        return self.row

    @face.field()
    def resource(self) -> str:
        """The member in the words of policies: `member/<id>`."""
        return str(self.row.resource)

    @face.field()
    async def custom_roles(self, info: Info) -> list[Role]:
        """The custom roles, as far as you see them. Where there are any, they replace the base role."""
        rows = await info.context.batched("Member.customRoles", self.row.id, access.roles_of_members)
        return [Role.of(row) for row in rows or []]

    @face.field()
    def role_attributes(self) -> list[RoleAttribute]:
        """The values that fill the member's roles, by key."""
        return [RoleAttribute(key=key, values=values) for key, values in sorted(self.row.role_attributes.items())]

    @face.field()
    async def tokens(
        self,
        info: Info,
        filter: Annotated[
            Annotated["TokenFilterInput", strawberry.lazy("schema.tokens")] | None,
            strawberry.argument(description="Which tokens."),
        ] = None,
        order_by: Annotated[
            Annotated["TokenOrder", strawberry.lazy("schema.tokens")] | None,
            strawberry.argument(description="In which order; the latest first unless said."),
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Annotated["Token", strawberry.lazy("schema.tokens")]]:
        """The member's personal tokens, as far as you see them."""
        order = order_by.wanted(info.context.caller) if order_by else lists.by_id(descending=True)
        wanted = filter.wanted() if filter else TokenFilter()
        nested = Nested("Member.tokens", "owner_id", lambda caller: lists.tokens(caller, wanted), wanted)
        window = Window.of(order, first, after, last, before)
        return await beneath(info, self.row.id, nested, window, lambda row: nodes.show("Token", row))

    @face.field(Action.VIEW_SESSION)
    async def sessions(
        self,
        info: Info,
        filter: Annotated[
            Annotated["SessionFilterInput", strawberry.lazy("schema.sessions")] | None,
            strawberry.argument(description="Which sessions."),
        ] = None,
        order_by: Annotated[
            Annotated["SessionOrder", strawberry.lazy("schema.sessions")] | None,
            strawberry.argument(description="In which order; the latest first unless said."),
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Annotated["Session", strawberry.lazy("schema.sessions")]] | None:
        """Where the member is signed in."""
        state = filter.state if filter else None
        nested = Nested("Member.sessions", "owner_id", lambda caller: lists.sessions(caller, state), state)
        order = order_by.wanted() if order_by else lists.by_id(descending=True)
        window = Window.of(order, first, after, last, before)
        return await beneath(info, self.row.id, nested, window, lambda row: nodes.show("Session", row))

    @face.field()
    def viewer_can_assign_roles(self, info: Info) -> bool:
        """Whether you may change what the member may do, as far as what you give is yours to give. Never your own."""
        return members.manageable(info.context.caller, self.row, *GRANTS)

    @face.field()
    def viewer_can_suspend(self, info: Info) -> bool:
        """Whether you may suspend the member, or let them back in. Never yourself."""
        return members.manageable(info.context.caller, self.row, Action.UPDATE_MEMBER_STATE)

    @face.field()
    def viewer_can_remove(self, info: Info) -> bool:
        """Whether you may remove the member for good. Never yourself."""
        return members.manageable(info.context.caller, self.row, Action.DELETE_MEMBER)

    @classmethod
    def of(cls, row: Row) -> "Member":
        """Show a member."""
        return cls(id=nodes.id_of("Member", row), row=row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    return await nodes.by_uuid(keys, lambda ids: readable(caller, Row).filter(id__in=ids).all(), Member.of)


nodes.register("Member", _find, Member.of)


@face.input_
class MemberFilterInput:
    """Which members; what is left out does not matter."""

    state: MemberState | None = face.given("Where they stand.", default=None)
    base_role: BuiltInRole | None = face.given("Their built-in role.", default=None)
    role: str | None = face.given("The key of a custom role they hold.", default=None)
    email: str | None = face.given(
        "Their whole e-mail address; finds only members whose address you may see.",
        needs=Action.VIEW_MEMBER_EMAIL,
        default=None,
    )
    text: str | None = face.given("A part of their name, in any case.", default=None)

    def wanted(self) -> MemberFilter:
        """Read the filter."""
        return MemberFilter(self.state, self.base_role, self.role, self.email, self.text)


@face.choice(
    NAME="By name.",
    CREATED_AT="By when they were invited.",
)
class MemberOrderField(StrEnum):
    """By what members are ordered."""

    NAME = "NAME"
    CREATED_AT = "CREATED_AT"


_ORDERS = {MemberOrderField.NAME: lists.by_name, MemberOrderField.CREATED_AT: lists.by_id}


@face.input_
class MemberOrder:
    """How members are ordered."""

    field: MemberOrderField = face.given("By what.")
    direction: OrderDirection = face.given("Which way.")

    def wanted(self) -> Order:
        """Read the order."""
        return _ORDERS[self.field](descending=self.direction is OrderDirection.DESC)


@strawberry.type
class MemberQueries:
    """Reading members."""

    @face.field(Action.VIEW_MEMBER)
    async def members(
        self,
        info: Info,
        filter: Annotated[MemberFilterInput | None, strawberry.argument(description="Which members.")] = None,
        order_by: Annotated[
            MemberOrder | None, strawberry.argument(description="In which order; by name unless said.")
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Member] | None:
        """List the members that you may see."""
        window = Window.of(order_by.wanted() if order_by else lists.by_name(), first, after, last, before)
        wanted = filter.wanted() if filter else MemberFilter()
        rows = Rows("members", lambda caller: lists.members(caller, wanted), lasting=filter is None)
        return await listed(info.context.caller, rows, window, Member.of)

    @face.field(Action.VIEW_MEMBER)
    async def member(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="The member's id.")]
    ) -> Member | None:
        """Look up a member. Absent and hidden ones are `NOT_FOUND` alike."""
        found: Member = await nodes.one(info.context.caller, "id", id, "Member")
        return found


@face.input_
class RoleAttributeInput:
    """Values that fill the `${roleAttribute/<key>}` of a member's roles."""

    key: str = face.given("The attribute's key.")
    values: list[str] = face.given("Its values: literal names, any of which matches.")


def _attributes(given: list[RoleAttributeInput]) -> dict[str, list[str]]:
    attributes = {attribute.key: attribute.values for attribute in given}
    if len(attributes) < len(given):
        raise Invalid("roleAttributes", "has a key twice")
    return attributes


@face.input_
class InviteMemberInput:
    """A person to invite, and what they may do. What they get must be within what you have."""

    email: str = face.given("Their e-mail address.")
    name: str | None = face.given("Their name; they may give it themselves.", default=None)
    base_role: BuiltInRole = face.given("Their built-in role.", default=BuiltInRole.READER)
    custom_roles: list[str] | None = face.given("Keys of custom roles. They replace the base role.", default=None)
    role_attributes: list[RoleAttributeInput] | None = face.given("Values that fill their roles.", default=None)
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()

    def wanted(self) -> Grant:
        """Read what they shall have."""
        attributes = None if self.role_attributes is None else _attributes(self.role_attributes)
        return Grant(self.base_role, self.custom_roles, attributes)


@face.input_
class CreateMemberLinkInput:
    """A member who needs a new link."""

    id: strawberry.ID = face.given("The member's id.")
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()


@face.input_
class AcceptInviteInput:
    """What a member sets with a one-time link."""

    secret: str = face.given("The secret at the end of the link.")
    name: str | None = face.given("Your name; without it the one given before stays.", default=None)
    password: str = face.given("Your new password: 12 to 256 characters.")


@face.input_
class UpdateMemberInput:
    """What to change of a member."""

    id: strawberry.ID = face.given("The member's id.")
    name: strawberry.Maybe[str] = face.given("Their name.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class AssignRolesInput:
    """What a member shall be able to do. What is left out stays as it is."""

    id: strawberry.ID = face.given("The member's id.")
    base_role: strawberry.Maybe[BuiltInRole] = face.given("Their built-in role.", needs=Action.UPDATE_ROLE)
    custom_roles: strawberry.Maybe[list[str] | None] = face.given(
        "Keys of all the custom roles they shall have; null or none, and the base role wakes.",
        needs=Action.UPDATE_CUSTOM_ROLE,
    )
    role_attributes: strawberry.Maybe[list[RoleAttributeInput] | None] = face.given(
        "All the values that fill their roles; null for none.", needs=Action.UPDATE_MEMBER_ROLE_ATTRIBUTES
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> Grant:
        """Read what they shall have."""
        return Grant(
            self.base_role.value if self.base_role else None,
            (self.custom_roles.value or []) if self.custom_roles else None,
            _attributes(self.role_attributes.value or []) if self.role_attributes else None,
        )


@face.input_
class SuspendMemberInput:
    """A member to keep out for now."""

    id: strawberry.ID = face.given("The member's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class ReinstateMemberInput:
    """A suspended member to let back in."""

    id: strawberry.ID = face.given("The member's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class RemoveMemberInput:
    """A member to remove for good."""

    id: strawberry.ID = face.given("The member's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.input_
class TransferOwnershipInput:
    """The member who shall own the account."""

    id: strawberry.ID = face.given("The new owner's id: an active member without custom roles.")
    password: str = face.given("Your own password.")
    comment: str | None = face.comment()


_ENTRY = "What the log says of it, if you may see it; null if nothing changed."


@face.output
class InviteMemberPayload:
    """The member who was invited, and their link."""

    member: Member = face.shown("The member.")
    invite_url: str = face.shown("The one-time link with which they set a password. Shown now and never again.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class CreateMemberLinkPayload:
    """The member, and their new link. Earlier links no longer work."""

    member: Member = face.shown("The member.")
    invite_url: str = face.shown("The one-time link with which they set a password. Shown now and never again.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class AcceptInvitePayload:
    """The member who may now sign in."""

    member: Member = face.shown("The member.")
    email: str = face.shown("The e-mail address to sign in with: yours, since the link was sent there.")


@face.output
class UpdateMemberPayload:
    """The member as they are now."""

    member: Member = face.shown("The member.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class AssignRolesPayload:
    """The member as they are now."""

    member: Member = face.shown("The member.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class SuspendMemberPayload:
    """The member as they are now."""

    member: Member = face.shown("The member.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class ReinstateMemberPayload:
    """The member as they are now."""

    member: Member = face.shown("The member.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class RemoveMemberPayload:
    """The member as they are now: gone, but for their name in the log."""

    member: Member = face.shown("The member.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


@face.output
class TransferOwnershipPayload:
    """The account as it is now."""

    account: Account = face.shown("The account.")
    audit_entry: AuditEntry | None = face.shown(_ENTRY)


def _entry(context: Context, done: Done[Row]) -> AuditEntry | None:
    return AuditEntry.seen(context, done.entry)


@strawberry.type
class MemberMutations:
    """Changing members."""

    @face.mutation(Action.CREATE_MEMBER)
    async def invite_member(self, info: Info, input: InviteMemberInput) -> InviteMemberPayload | None:
        """Invite a person. The link in the answer lets them in; give it to nobody else."""
        caller, context = info.context.caller, info.context
        done = await members.invite(caller, input.email, input.name, input.wanted(), said(input))
        return InviteMemberPayload(
            member=Member.of(done.row), invite_url=done.secret or "", audit_entry=_entry(context, done)
        )

    @face.mutation(Action.CREATE_MEMBER)
    async def create_member_link(self, info: Info, input: CreateMemberLinkInput) -> CreateMemberLinkPayload | None:
        """Make a new one-time link for a member who lost theirs, or forgot the password. Earlier links end."""
        member_id = nodes.uuid_of("id", input.id, "Member")
        done = await members.create_link(info.context.caller, member_id, said(input))
        return CreateMemberLinkPayload(
            member=Member.of(done.row), invite_url=done.secret or "", audit_entry=_entry(info.context, done)
        )

    @face.mutation(Public)
    async def accept_invite(self, info: Info, input: AcceptInviteInput) -> AcceptInvitePayload | None:
        """Set your password with a one-time link, and then sign in. Sessions you had end."""
        done = await members.accept_invite(info.context.request, input.secret, input.name, input.password)
        return AcceptInvitePayload(member=Member.of(done.row), email=done.row.email)

    @face.mutation(Action.UPDATE_MEMBER_NAME)
    async def update_member(self, info: Info, input: UpdateMemberInput) -> UpdateMemberPayload | None:
        """Change a member's name."""
        if not input.name:
            raise Invalid("input", "must change something")
        member_id = nodes.uuid_of("id", input.id, "Member")
        done = await members.update(info.context.caller, member_id, input.name.value, said(input))
        return UpdateMemberPayload(member=Member.of(done.row), audit_entry=_entry(info.context, done))

    @face.mutation(GRANTS)
    async def assign_roles(self, info: Info, input: AssignRolesInput) -> AssignRolesPayload | None:
        """Change what another member may do. It holds from the next request on, for all their tokens too."""
        member_id = nodes.uuid_of("id", input.id, "Member")
        done = await members.assign_roles(info.context.caller, member_id, input.wanted(), said(input))
        return AssignRolesPayload(member=Member.of(done.row), audit_entry=_entry(info.context, done))

    @face.mutation(Action.UPDATE_MEMBER_STATE)
    async def suspend_member(self, info: Info, input: SuspendMemberInput) -> SuspendMemberPayload | None:
        """Keep a member out: their sessions and personal tokens stop with the next request."""
        member_id = nodes.uuid_of("id", input.id, "Member")
        done = await members.suspend(info.context.caller, member_id, said(input))
        return SuspendMemberPayload(member=Member.of(done.row), audit_entry=_entry(info.context, done))

    @face.mutation(Action.UPDATE_MEMBER_STATE)
    async def reinstate_member(self, info: Info, input: ReinstateMemberInput) -> ReinstateMemberPayload | None:
        """Let a suspended member back in, with tokens and sessions as they were."""
        member_id = nodes.uuid_of("id", input.id, "Member")
        done = await members.reinstate(info.context.caller, member_id, said(input))
        return ReinstateMemberPayload(member=Member.of(done.row), audit_entry=_entry(info.context, done))

    @face.mutation(Action.DELETE_MEMBER)
    async def remove_member(self, info: Info, input: RemoveMemberInput) -> RemoveMemberPayload | None:
        """Remove a member for good. Their personal tokens end; service tokens they made live on."""
        member_id = nodes.uuid_of("id", input.id, "Member")
        done = await members.remove(info.context.caller, member_id, said(input))
        return RemoveMemberPayload(member=Member.of(done.row), audit_entry=_entry(info.context, done))

    @face.mutation(Action.UPDATE_ACCOUNT_OWNER)
    async def transfer_ownership(self, info: Info, input: TransferOwnershipInput) -> TransferOwnershipPayload | None:
        """Hand the account over. Only its owner may, signed in and with their password; they become an admin."""
        member_id = nodes.uuid_of("id", input.id, "Member")
        done = await members.transfer_ownership(info.context.caller, member_id, input.password, said(input))
        return TransferOwnershipPayload(
            account=Account.of(done.row), audit_entry=AuditEntry.seen(info.context, done.entry)
        )
