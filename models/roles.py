"""Custom roles: named policies that members and tokens hold."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar

from tortoise import fields
from tortoise.indexes import Index

from core.specifiers import Resource
from models.accounts import Owned


class BasePermissions(StrEnum):
    """What a custom role builds on. Its own denies bind what it builds on."""

    NO_ACCESS = "no_access"
    READER = "reader"


class Role(Owned):
    """A custom role. `policy` holds its statements in LaunchDarkly's public JSON form."""

    recorded: ClassVar[Mapping[str, str]] = {
        "key": "key",
        "name": "name",
        "description": "description",
        "base_permissions": "basePermissions",
        "policy": "policy",
    }

    key = fields.CharField(max_length=64)
    name = fields.CharField(max_length=256)
    description = fields.CharField(max_length=1024, default="")
    base_permissions = fields.CharEnumField(BasePermissions, max_length=16, default=BasePermissions.NO_ACCESS)
    policy: list[dict[str, Any]] = fields.JSONField(default=list)

    class Meta:
        """Keys are unique in their account and lower case by construction."""

        table = "role"
        unique_together = (("account", "key"),)
        indexes = (Index(fields=("account_id", "name", "id")),)

    @property
    def resource(self) -> Resource:
        """`role/<key>`."""
        return Resource.of(("role", self.key))

    @property
    def label(self) -> str:
        """The role's name."""
        return self.name
