"""Jobs: what is done to many tokens, bit by bit, by whichever process has the time."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Any, ClassVar
from uuid import UUID

from tortoise import fields
from tortoise.indexes import Index

from core.specifiers import Resource
from models.accounts import Owned
from models.members import Member


class JobKind(StrEnum):
    """What a job does."""

    REVOKE_TOKENS = "REVOKE_TOKENS"


class JobState(StrEnum):
    """How far a job is. `FAILED` says that whoever started it may no longer do what is left."""

    RUNNING = "RUNNING"
    DONE = "DONE"
    CANCELLED = "CANCELLED"
    FAILED = "FAILED"


class Job(Owned):
    """A job under way, or over. Each of its chunks is one transaction, in the name of whoever started it."""

    recorded: ClassVar[Mapping[str, str]] = {
        "kind": "kind",
        "wanted": "filter",
        "state": "state",
        "total": "total",
        "done": "done",
        "skipped": "skipped",
        "error": "error",
    }

    kind = fields.CharEnumField(JobKind, max_length=32)
    wanted: dict[str, Any] = fields.JSONField(default=dict)
    """Which tokens, as it was asked for: of those that were there when it was started, judged when their turn comes."""
    comment = fields.CharField(max_length=1024, null=True)
    state = fields.CharEnumField(JobState, max_length=16, default=JobState.RUNNING)
    total = fields.IntField(default=0)
    done = fields.IntField(default=0)
    skipped = fields.IntField(default=0)
    """How many were over by the time it came to them, or are not for whoever started it."""
    error = fields.CharField(max_length=1024, null=True)
    after_id = fields.UUIDField(null=True)
    """All that is left to do has ids before this: those of all tokens at the start, then of the last dealt with.

    Those made last come first, so each before the one it was made with, as far as the clocks of their makers agree.
    """
    ended_at = fields.DatetimeField(null=True)
    held_until = fields.DatetimeField(null=True)
    """Until when a process works on it; after that, another may."""
    member: fields.ForeignKeyNullableRelation[Member] = fields.ForeignKeyField(
        "models.Member", related_name="jobs", null=True, on_delete=fields.OnDelete.RESTRICT
    )
    member_id: UUID | None
    proof_id = fields.UUIDField(null=True)
    """The digest of the secret with which it was started: each chunk asks again what that may do."""
    request_id = fields.CharField(max_length=64)
    address = fields.CharField(max_length=64, null=True)
    user_agent = fields.CharField(max_length=256, null=True)

    class Meta:
        """Listed by account; those under way are found by whoever has the time."""

        table = "job"
        indexes = (
            Index(fields=("account_id", "id")),
            Index(fields=("account_id", "member_id", "id")),
            Index(fields=("state", "held_until")),
        )

    @property
    def resource(self) -> Resource:
        """`token-job/<id>`."""
        return Resource.of(("token-job", str(self.id)))

    @property
    def label(self) -> str:
        """What it does, in words."""
        return self.kind.value.lower().replace("_", " ")
