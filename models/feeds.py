"""Feeds: how far the logs of accounts were delivered outside."""

from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from models.accounts import Owned
from models.notices import Webhook


class Feed(Owned):
    """How far an account's log was delivered to a place outside, entry after entry."""

    place = fields.CharField(max_length=36)
    """The webhook's id; `file` or `syslog`."""
    webhook: fields.ForeignKeyNullableRelation[Webhook] = fields.ForeignKeyField(
        "models.Webhook", related_name=False, null=True, on_delete=fields.OnDelete.CASCADE
    )
    webhook_id: UUID | None
    sequence = fields.BigIntField()
    """The last entry that was delivered."""
    next_at = fields.DatetimeField()
    """When what is left may be tried: until then a process has it, or it is spared after a failure."""
    turn = fields.BigIntField(default=0)
    """Counts how often a process took it, so that one that was too slow can tell."""
    failures = fields.IntField(default=0)
    """How often in a row it failed."""
    error = fields.CharField(max_length=256, null=True)
    """Why the last attempt failed."""

    class Meta:
        """One for each account and place."""

        table = "feed"
        unique_together = (("account", "place"),)
        indexes = (Index(fields=("webhook_id",)),)
