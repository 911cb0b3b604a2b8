"""Members: the people of an account, their state and their roles; and the one-time links that let them in."""

from collections.abc import Mapping
from enum import StrEnum
from typing import ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models.accounts import Owned
from models.roles import Role
from models.row import Json


class MemberState(StrEnum):
    """Where a member stands. Only an `ACTIVE` member's credentials work."""

    INVITED = "INVITED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    REMOVED = "REMOVED"


class Member(Owned):
    """A person. `email_key` is the e-mail address as it is compared: case-folded and normalised."""

    recorded: ClassVar[Mapping[str, str]] = {
        "email": "email",
        "name": "name",
        "state": "state",
        "base_role": "baseRole",
        "role_attributes": "roleAttributes",
        "password_changed_at": "passwordChangedAt",
    }

    related: ClassVar[tuple[str, ...]] = ("roles__role",)

    email = fields.CharField(max_length=320)
    email_key = fields.CharField(max_length=320)
    name = fields.CharField(max_length=256, default="")
    state = fields.CharEnumField(MemberState, max_length=16, default=MemberState.INVITED)
    base_role = fields.CharEnumField(BuiltInRole, max_length=16, default=BuiltInRole.READER)
    role_attributes: dict[str, list[str]] = fields.JSONField(default=dict)
    password_hash = fields.CharField(max_length=256, null=True)
    password_changed_at = fields.DatetimeField(null=True)
    roles: fields.ReverseRelation["MemberRole"]

    class Meta:
        """Partial unique indexes stand in the migration: one owner, one living member per e-mail address."""

        table = "member"
        indexes = (Index(fields=("account_id", "email_key")), Index(fields=("account_id", "name", "id")))

    @property
    def resource(self) -> Resource:
        """`member/<id>`."""
        return Resource.of(("member", str(self.id)))

    @property
    def label(self) -> str:
        """The member's name. The e-mail address never stands in for it: it takes an action to see that."""
        return self.name or f"unnamed …{str(self.id)[-4:]}"

    def snapshot(self) -> dict[str, Json]:
        """Show the columns and, where they were fetched, the keys of the custom roles."""
        shown = super().snapshot()
        if self.roles._fetched:  # noqa: SLF001 - Tortoise offers no public way to ask
            shown["customRoles"] = sorted(held.role.key for held in self.roles)
        return shown


class MemberRole(Owned):
    """A custom role that a member holds."""

    member: fields.ForeignKeyRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name="roles", on_delete=fields.OnDelete.CASCADE
    )
    member_id: UUID
    role: fields.ForeignKeyRelation[Role] = fields.ForeignKeyField(
        "models.Role", related_name="members", on_delete=fields.OnDelete.RESTRICT
    )
    role_id: UUID

    class Meta:
        """A role is held once."""

        table = "member_role"
        unique_together = (("account", "member", "role"),)
        indexes = (Index(fields=("account_id", "role_id")), Index(fields=("member_id",)), Index(fields=("role_id",)))


class Link(Owned):
    """A one-time link with which a member sets a password. Only its digest is kept; used, it is deleted.

    Made with a token it names that; made on the command line it names nobody.
    """

    member: fields.ForeignKeyRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name=False, on_delete=fields.OnDelete.CASCADE
    )
    member_id: UUID
    inviter: fields.ForeignKeyNullableRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name=False, null=True, on_delete=fields.OnDelete.RESTRICT
    )
    inviter_id: UUID | None
    inviter_token_id = fields.UUIDField(null=True)
    digest = fields.CharField(max_length=64, unique=True)
    key_id = fields.CharField(max_length=64)
    expires_at = fields.DatetimeField()

    class Meta:
        """Found by its digest, ended by its member."""

        table = "link"
        indexes = (
            Index(fields=("account_id", "member_id")),
            Index(fields=("member_id",)),
            Index(fields=("inviter_id",)),
        )
