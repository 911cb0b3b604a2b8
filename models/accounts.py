"""Accounts: the tenants. Every other row belongs to one."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, ClassVar
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
        "lifetimes": "tokenLifetimes",
        "max_tokens": "maxTokens",
        "max_member_tokens": "maxMemberTokens",
        "rate_limits": "rateLimits",
        "revokes_reused": "revokesReused",
        "legacy_ends_at": "legacyEndsAt",
    }

    key = fields.CharField(max_length=64, unique=True)
    name = fields.CharField(max_length=256)
    verdict_lifetime_s = fields.IntField(default=0, db_default=0)
    """For how many seconds integrations may keep a verdict. The one exception to "no stale yes", 0 by default."""
    lifetimes: dict[str, dict[str, Any]] = fields.JSONField(default=dict, db_default={})
    """By kind of token: `{"PERSONAL": {"maximumS": 7776000, "defaultS": 2592000, "required": true}}`."""
    max_tokens = fields.IntField(null=True)
    max_member_tokens = fields.IntField(null=True)
    """How many living tokens there may be, and how many personal ones a member may have."""
    rate_limits: list[str] = fields.JSONField(default=list, db_default=[])
    """How often all its tokens together may be used, such as `1000/minute`: every one must leave room."""
    revokes_reused = fields.BooleanField(default=False, db_default=False)
    """Whether a token ends when a secret of it is presented after that secret's grace."""
    legacy_ends_at = fields.DatetimeField(null=True)
    """When the account-wide tokens end, all of them."""

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

    def has_retired_legacy(self, at: datetime) -> bool:
        """Say whether account-wide tokens are over at a moment, all of them."""
        return self.legacy_ends_at is not None and self.legacy_ends_at <= at


class Owned(Row):
    """A row of an account. Its id leads keys and indexes, so that rows can be distributed by account."""

    account: fields.ForeignKeyRelation[Account] = fields.ForeignKeyField(
        "models.Account", related_name=False, on_delete=fields.OnDelete.RESTRICT
    )
    account_id: UUID

    class Meta:
        """Rows are made by their subclasses."""

        abstract = True
