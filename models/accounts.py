"""Accounts: the tenants. Every other row belongs to one."""

from collections.abc import Mapping
from typing import ClassVar
from uuid import UUID

from tortoise import fields

from core.specifiers import Resource
from models.row import Row


class Account(Row):
    """A tenant. `version` counts its changes: what memory built from an older one is worthless."""

    recorded: ClassVar[Mapping[str, str]] = {
        "key": "key",
        "name": "name",
        "verdict_lifetime_s": "verdictLifetimeS",
    }

    key = fields.CharField(max_length=64, unique=True)
    name = fields.CharField(max_length=256)
    verdict_lifetime_s = fields.IntField(default=0)
    """For how many seconds integrations may keep a verdict. The one exception to "no stale yes", 0 by default."""

    class Meta:
        """One row a tenant."""

        table = "account"

    @property
    def resource(self) -> Resource:
        """The singleton `acct`."""
        return Resource.of(("acct", None))

    @property
    def label(self) -> str:
        """The account's name."""
        return self.name


class Owned(Row):
    """A row of an account. Its id leads keys and indexes, so that rows can be distributed by account."""

    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name=False, on_delete=fields.OnDelete.RESTRICT
    )
    account_id: UUID

    class Meta:
        """Rows are made by their subclasses."""

        abstract = True
