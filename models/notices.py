"""Notices: what people are told without asking; where to; and what is still to be delivered."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from core.specifiers import Resource
from models.accounts import Owned
from models.members import Member
from models.tokens import Token


class NoticeKind(StrEnum):
    """What a notice is about."""

    EXPIRING = "EXPIRING"
    SHORTENED = "SHORTENED"
    LEAKED = "LEAKED"
    REUSED = "REUSED"
    LEGACY_USED = "LEGACY_USED"
    ADVICE_DUE = "ADVICE_DUE"


_FIRST_KINDS = "\n".join(f"{kind}: {kind}" for kind in NoticeKind if kind is not NoticeKind.SHORTENED)
"""What the column's comment in the database lists: for a kind more, no database is asked to alter the table."""


class WebhookEvent(StrEnum):
    """What a webhook may be told of: the notices, by their kinds, and the entries of the audit log."""

    EXPIRING = "EXPIRING"
    SHORTENED = "SHORTENED"
    LEAKED = "LEAKED"
    REUSED = "REUSED"
    LEGACY_USED = "LEGACY_USED"
    ADVICE_DUE = "ADVICE_DUE"
    AUDIT_ENTRY = "AUDIT_ENTRY"


class Notice(Owned):
    """One thing that was noticed, once: `key` says what, and there are no two of it in an account.

    Its id is that of its entry in the audit log, so that whoever follows the one follows the other.
    """

    kind = fields.CharEnumField(NoticeKind, _FIRST_KINDS, max_length=16)
    key = fields.CharField(max_length=192)
    at = fields.DatetimeField()
    entry_id = fields.UUIDField()
    """Its entry in the audit log."""
    token: fields.ForeignKeyNullableRelation[Token] = fields.ForeignKeyField(
        "models.Token", related_name="notices", null=True, on_delete=fields.OnDelete.CASCADE
    )
    token_id: UUID | None
    member: fields.ForeignKeyNullableRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name="notices", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    member_id: UUID | None
    """Who is told: a token's owner, or who answers for it; else the account's owner."""
    details: dict[str, Any] = fields.JSONField(default=dict)

    class Meta:
        """Each is noticed once; listed by account and by member, newest first."""

        table = "notice"
        unique_together = (("account", "key"),)
        indexes = (
            Index(fields=("account_id", "id")),
            Index(fields=("account_id", "member_id", "id")),
            Index(fields=("token_id",)),
        )

    @property
    def subjects(self) -> tuple[Resource, ...]:
        """As what the notice is judged: the account, and who is told."""
        account = Resource.of(("acct", None))
        return (account,) if self.member_id is None else (account, Resource.of(("member", str(self.member_id))))


class Webhook(Owned):
    """A URL that notices are delivered to, signed. Its secret is derived from a server key, and stored nowhere."""

    recorded: ClassVar[Mapping[str, str]] = {
        "url": "url",
        "description": "description",
        "events": "events",
        "generation": "generation",
        "disabled_at": "disabledAt",
    }

    url = fields.CharField(max_length=2048)
    description = fields.CharField(max_length=1024, default="")
    events: list[str] = fields.JSONField(default=list)
    """What it gets; all kinds of notices, and no entries, if there are none."""
    key_id = fields.CharField(max_length=64)
    generation = fields.IntField(default=1)
    """Counts its secrets: each is derived from the server key `key_id`, the id and this."""
    disabled_at = fields.DatetimeField(null=True)
    """Since when nothing is delivered to it: because somebody said so, or because it failed for days."""
    failing_since = fields.DatetimeField(null=True)

    class Meta:
        """Listed by account."""

        table = "webhook"
        indexes = (Index(fields=("account_id", "id")),)

    def wants(self, kind: NoticeKind) -> bool:
        """Say whether notices of a kind are delivered to it."""
        return not self.events or kind.value in self.events

    @property
    def wants_entries(self) -> bool:
        """Whether the entries of the audit log are delivered to it."""
        return WebhookEvent.AUDIT_ENTRY.value in self.events

    @property
    def resource(self) -> Resource:
        """`webhook/<id>`."""
        return Resource.of(("webhook", str(self.id)))

    @property
    def label(self) -> str:
        """Where it delivers to."""
        return self.description or self.url


class Channel(StrEnum):
    """By which way something is delivered."""

    WEBHOOK = "WEBHOOK"
    MAIL = "MAIL"


class Delivery(Owned):
    """What is to be delivered, or was: written in the transaction of what it tells of, and tried until it succeeds."""

    channel = fields.CharEnumField(Channel, max_length=16)
    notice: fields.ForeignKeyNullableRelation[Notice] = fields.ForeignKeyField(
        "models.Notice", related_name="deliveries", null=True, on_delete=fields.OnDelete.CASCADE
    )
    notice_id: UUID | None
    webhook: fields.ForeignKeyNullableRelation[Webhook] = fields.ForeignKeyField(
        "models.Webhook", related_name="deliveries", null=True, on_delete=fields.OnDelete.CASCADE
    )
    webhook_id: UUID | None
    member: fields.ForeignKeyNullableRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name="deliveries", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    member_id: UUID | None
    """Whom a mail goes to."""
    attempts = fields.IntField(default=0)
    next_at = fields.DatetimeField(null=True)
    """When it is tried next; None if it is over, one way or the other."""
    delivered_at = fields.DatetimeField(null=True)
    error = fields.CharField(max_length=256, null=True)
    """Why the last attempt failed."""

    class Meta:
        """Found by when they are due, and listed by webhook."""

        table = "delivery"
        indexes = (
            Index(fields=("next_at", "id")),
            Index(fields=("account_id", "webhook_id", "id")),
            Index(fields=("notice_id",)),
            Index(fields=("webhook_id",)),
        )
