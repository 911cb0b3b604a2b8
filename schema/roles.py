"""Custom roles in the schema: listed, made, changed, deleted."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import strawberry

from core.errors import Invalid, NotFound
from core.vocabulary import Action
from models import BasePermissions
from models import Role as Row
from resolvers import lists, roles
from resolvers.callers import Caller
from resolvers.lists import MemberFilter, RoleFilter
from resolvers.pages import Order, Window
from resolvers.reading import readable
from resolvers.roles import NewRole, RoleChange
from resolvers.writing import Done
from schema import face, nodes
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Nested, OrderDirection, Rows, beneath, listed
from schema.context import Context, Info
from schema.nodes import Node
from schema.policies import Statement, StatementInput
from schema.said import said

if TYPE_CHECKING:
    from schema.members import Member, MemberFilterInput, MemberOrder


UPDATES = (Action.UPDATE_NAME, Action.UPDATE_DESCRIPTION, Action.UPDATE_POLICY, Action.UPDATE_BASE_PERMISSIONS)


@face.output
class Role(Node):
    """A custom role: a named policy that members and tokens hold. A change reaches all who hold it at once."""

    row: strawberry.Private[Row]
    key: str = face.column("key", "The key by which policies and inputs name it. It never changes.")
    name: str = face.column("name", "What people call it.")
    description: str = face.column("description", "What it is for.")
    base_permissions: BasePermissions = face.column("base_permissions", "What it builds on.")
    resource: str = face.column("resource", "The role in the words of policies: `role/<key>`.", told=str)
    created_at: datetime = face.column("created_at", "When it was made.")
    updated_at: datetime = face.column("updated_at", "When it was last changed.")
    version: int = face.column("version", "Counts its changes; give it as `expectedVersion`.")

    @property
    def judged(self) -> Row:
        """The row that guarded fields are judged on."""
        return self.row

    @face.field(Action.VIEW_ROLE_POLICY, size=20)
    def statements(self) -> list[Statement] | None:
        """What it allows and denies."""
        return [Statement.of(raw) for raw in self.row.policy]

    @face.field(Action.VIEW_ROLE_POLICY)
    async def members(
        self,
        info: Info,
        filter: Annotated[
            Annotated["MemberFilterInput", strawberry.lazy("schema.members")] | None,
            strawberry.argument(description="Which members."),
        ] = None,
        order_by: Annotated[
            Annotated["MemberOrder", strawberry.lazy("schema.members")] | None,
            strawberry.argument(description="In which order; by name unless said."),
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Annotated["Member", strawberry.lazy("schema.members")]] | None:
        """The members who hold it, as far as you see them."""
        window = Window.of(order_by.wanted() if order_by else lists.by_name(), first, after, last, before)
        wanted = filter.wanted() if filter else MemberFilter()
        nested = Nested("Role.members", "roles__role_id", lambda caller: lists.members(caller, wanted), wanted)
        return await beneath(info, self.row.id, nested, window, lambda row: nodes.show("Member", row))

    @face.field()
    def viewer_can_update(self, info: Info) -> bool:
        """Whether you may change something about it, as far as what its holders gain is yours to give."""
        return any(info.context.caller.sees(action, self.row) for action in UPDATES)

    @face.field()
    def viewer_can_delete(self, info: Info) -> bool:
        """Whether you may delete it, once nobody holds it."""
        return info.context.caller.sees(Action.DELETE_ROLE, self.row)

    @classmethod
    def of(cls, row: Row) -> "Role":
        """Show a role."""
        return cls(id=nodes.id_of("Role", row), row=row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    return await nodes.by_uuid(keys, lambda ids: readable(caller, Row).filter(id__in=ids).all(), Role.of)


nodes.register("Role", _find, Role.of)


@face.input_
class RoleFilterInput:
    """Which roles; what is left out does not matter."""

    text: str | None = face.given("A part of the name or the key, in any case.", default=None)

    def wanted(self) -> RoleFilter:
        """Read the filter."""
        return RoleFilter(self.text)


@face.choice(
    KEY="By key.",
    NAME="By name.",
    CREATED_AT="By when they were made.",
)
class RoleOrderField(StrEnum):
    """By what roles are ordered."""

    KEY = "KEY"
    NAME = "NAME"
    CREATED_AT = "CREATED_AT"


_ORDERS = {
    RoleOrderField.KEY: lists.by_key,
    RoleOrderField.NAME: lists.by_name,
    RoleOrderField.CREATED_AT: lists.by_id,
}


@face.input_
class RoleOrder:
    """How roles are ordered."""

    field: RoleOrderField = face.given("By what.")
    direction: OrderDirection = face.given("Which way.")

    def wanted(self) -> Order:
        """Read the order."""
        return _ORDERS[self.field](descending=self.direction is OrderDirection.DESC)


@strawberry.type
class RoleQueries:
    """Reading roles."""

    @face.field(Action.VIEW_ROLE)
    async def roles(
        self,
        info: Info,
        filter: Annotated[RoleFilterInput | None, strawberry.argument(description="Which roles.")] = None,
        order_by: Annotated[
            RoleOrder | None, strawberry.argument(description="In which order; by key unless said.")
        ] = None,
        first: First = None,
        after: After = None,
        last: Last = None,
        before: Before = None,
    ) -> Connection[Role] | None:
        """List the custom roles that you may see."""
        window = Window.of(order_by.wanted() if order_by else lists.by_key(), first, after, last, before)
        wanted = filter.wanted() if filter else RoleFilter()
        rows = Rows("roles", lambda caller: lists.roles(caller, wanted), lasting=filter is None)
        return await listed(info.context.caller, rows, window, Role.of)

    @face.field(Action.VIEW_ROLE)
    async def role(
        self,
        info: Info,
        id: Annotated[strawberry.ID | None, strawberry.argument(description="The role's id.")] = None,
        key: Annotated[str | None, strawberry.argument(description="The role's key.")] = None,
    ) -> Role | None:
        """Look up a custom role by its id or its key. Absent and hidden ones are `NOT_FOUND` alike."""
        if (id is None) == (key is None):
            raise Invalid("key", "or `id` must be given, one of the two")
        if id is not None:
            found: Role = await nodes.one(info.context.caller, "id", id, "Role")
            return found
        row = await lists.role(info.context.caller, "key", key or "")
        if row is None:
            raise NotFound
        return Role.of(row)


@face.input_
class CreateRoleInput:
    """A custom role to make."""

    key: str = face.given("Its key for good: 1 to 64 of `a-z 0-9 . _ -`, beginning with a letter or digit.")
    name: str = face.given("What people call it. Up to 256 characters.")
    description: str = face.given("What it is for. Up to 1,024 characters.", default="")
    base_permissions: BasePermissions = face.given("What it builds on.", default=BasePermissions.NO_ACCESS)
    statements: list[StatementInput] = face.given("What it allows and denies.")
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()


@face.input_
class UpdateRoleInput:
    """What to change of a custom role. What is left out stays as it is."""

    id: strawberry.ID = face.given("The role's id.")
    name: strawberry.Maybe[str] = face.given("What people call it.", needs=Action.UPDATE_NAME)
    description: strawberry.Maybe[str | None] = face.given(
        "What it is for; null clears it.", needs=Action.UPDATE_DESCRIPTION
    )
    base_permissions: strawberry.Maybe[BasePermissions] = face.given(
        "What it builds on.", needs=Action.UPDATE_BASE_PERMISSIONS
    )
    statements: strawberry.Maybe[list[StatementInput]] = face.given(
        "What it allows and denies, all of it.", needs=Action.UPDATE_POLICY
    )
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> RoleChange:
        """Read the change."""
        return RoleChange(
            name=self.name.value if self.name else None,
            description=(self.description.value or "") if self.description else None,
            policy=[line.json for line in self.statements.value] if self.statements else None,
            base_permissions=self.base_permissions.value if self.base_permissions else None,
        )


@face.input_
class DeleteRoleInput:
    """A custom role to delete."""

    id: strawberry.ID = face.given("The role's id.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.output
class CreateRolePayload:
    """The custom role that was made."""

    role: Role = face.shown("The role.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")

    @classmethod
    def of(cls, context: Context, done: Done[Row]) -> "CreateRolePayload":
        """Show what was done."""
        return cls(role=Role.of(done.row), audit_entry=AuditEntry.seen(context, done.entry))


@face.output
class UpdateRolePayload:
    """The custom role as it is now."""

    role: Role = face.shown("The role.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")

    @classmethod
    def of(cls, context: Context, done: Done[Row]) -> "UpdateRolePayload":
        """Show what was done."""
        return cls(role=Role.of(done.row), audit_entry=AuditEntry.seen(context, done.entry))


@face.output
class DeleteRolePayload:
    """The custom role that is gone."""

    deleted_role_id: strawberry.ID = face.shown("The id that it had.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")


@strawberry.type
class RoleMutations:
    """Changing roles."""

    @face.mutation(Action.CREATE_ROLE)
    async def create_role(self, info: Info, input: CreateRoleInput) -> CreateRolePayload | None:
        """Make a custom role. Nobody holds it yet."""
        wanted = NewRole(
            input.key, input.name, [line.json for line in input.statements], input.description, input.base_permissions
        )
        return CreateRolePayload.of(info.context, await roles.create(info.context.caller, wanted, said(input)))

    @face.mutation(UPDATES)
    async def update_role(self, info: Info, input: UpdateRoleInput) -> UpdateRolePayload | None:
        """Change a custom role. Its holders must not gain what you do not have, nor may you be one of them."""
        role_id = nodes.uuid_of("id", input.id, "Role")
        done = await roles.update(info.context.caller, role_id, input.wanted(), said(input))
        return UpdateRolePayload.of(info.context, done)

    @face.mutation(Action.DELETE_ROLE)
    async def delete_role(self, info: Info, input: DeleteRoleInput) -> DeleteRolePayload | None:
        """Delete a custom role that nobody holds. One in use is a `CONFLICT` that names its holders."""
        role_id = nodes.uuid_of("id", input.id, "Role")
        done = await roles.delete(info.context.caller, role_id, said(input))
        return DeleteRolePayload(deleted_role_id=input.id, audit_entry=AuditEntry.seen(info.context, done.entry))
