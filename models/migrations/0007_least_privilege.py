from tortoise import migrations
from tortoise.migrations import operations as ops
from models.jobs import JobKind, JobState
from models.notices import Channel, NoticeKind
from models.row import new_id, now
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("models", "0006_life")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Job",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                (
                    "kind",
                    fields.CharEnumField(description="REVOKE_TOKENS: REVOKE_TOKENS", enum_type=JobKind, max_length=32),
                ),
                ("wanted", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
                ("comment", fields.CharField(null=True, max_length=1024)),
                (
                    "state",
                    fields.CharEnumField(
                        default=JobState.RUNNING,
                        description="RUNNING: RUNNING\nDONE: DONE\nCANCELLED: CANCELLED\nFAILED: FAILED",
                        enum_type=JobState,
                        max_length=16,
                    ),
                ),
                ("total", fields.IntField(default=0)),
                ("done", fields.IntField(default=0)),
                ("skipped", fields.IntField(default=0)),
                ("error", fields.CharField(null=True, max_length=1024)),
                ("after_id", fields.UUIDField(null=True)),
                ("ended_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("held_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                (
                    "member",
                    fields.ForeignKeyField(
                        "models.Member",
                        source_field="member_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="jobs",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("proof_id", fields.UUIDField(null=True)),
                ("request_id", fields.CharField(max_length=64)),
                ("address", fields.CharField(null=True, max_length=64)),
                ("user_agent", fields.CharField(null=True, max_length=256)),
            ],
            options={
                "table": "job",
                "app": "models",
                "indexes": [
                    Index(fields=["account_id", "id"]),
                    Index(fields=["account_id", "member_id", "id"]),
                    Index(fields=["state", "held_until"]),
                ],
                "pk_attr": "id",
                "table_description": "A job under way, or over. Each of its chunks is one transaction, in the name of whoever started it.",
            },
            bases=["Owned"],
        ),
        ops.CreateModel(
            name="Notice",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                (
                    "kind",
                    fields.CharEnumField(
                        description="EXPIRING: EXPIRING\nLEAKED: LEAKED\nREUSED: REUSED\nLEGACY_USED: LEGACY_USED\nADVICE_DUE: ADVICE_DUE",
                        enum_type=NoticeKind,
                        max_length=16,
                    ),
                ),
                ("key", fields.CharField(max_length=192)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("entry_id", fields.UUIDField()),
                (
                    "token",
                    fields.ForeignKeyField(
                        "models.Token",
                        source_field="token_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="notices",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "member",
                    fields.ForeignKeyField(
                        "models.Member",
                        source_field="member_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="notices",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("details", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "notice",
                "app": "models",
                "unique_together": (("account", "key"),),
                "indexes": [
                    Index(fields=["account_id", "id"]),
                    Index(fields=["account_id", "member_id", "id"]),
                    Index(fields=["token_id"]),
                ],
                "pk_attr": "id",
                "table_description": "One thing that was noticed, once: `key` says what, and there are no two of it in an account.",
            },
            bases=["Owned"],
        ),
        ops.CreateModel(
            name="Score",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("day", fields.DateField()),
                ("score", fields.IntField()),
                ("counts", fields.JSONField(default=dict, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "score",
                "app": "models",
                "unique_together": (("account", "day"),),
                "pk_attr": "id",
                "table_description": "An account's score on a day, in UTC, from 0 to 100, and from what it was reckoned.",
            },
            bases=["Owned"],
        ),
        ops.CreateModel(
            name="TokenAccess",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                (
                    "token",
                    fields.ForeignKeyField(
                        "models.Token",
                        source_field="token_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="accesses",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("action", fields.CharField(max_length=64)),
                ("specifier", fields.CharField(max_length=1024)),
                ("allowed", fields.BigIntField(default=0)),
                ("refused", fields.BigIntField(default=0)),
                ("trial_refused", fields.BigIntField(default=0)),
                ("first_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("last_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "token_access",
                "app": "models",
                "unique_together": (("account", "token", "action", "specifier"),),
                "indexes": [Index(fields=["token_id"])],
                "pk_attr": "id",
                "table_description": "What a token was used for: an action on a resource, and how that was decided. As many as `resolvers.uses` keeps.",
            },
            bases=["Owned"],
        ),
        ops.CreateModel(
            name="Webhook",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("url", fields.CharField(max_length=2048)),
                ("description", fields.CharField(default="", max_length=1024)),
                ("events", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
                ("key_id", fields.CharField(max_length=64)),
                ("generation", fields.IntField(default=1)),
                ("disabled_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("failing_since", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "webhook",
                "app": "models",
                "indexes": [Index(fields=["account_id", "id"])],
                "pk_attr": "id",
                "table_description": "A URL that notices are delivered to, signed. Its secret is derived from a server key, and stored nowhere.",
            },
            bases=["Owned"],
        ),
        ops.CreateModel(
            name="Delivery",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                ("version", fields.IntField(default=1)),
                ("created_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(default=now, auto_now=False, auto_now_add=False)),
                (
                    "account",
                    fields.ForeignKeyField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                (
                    "channel",
                    fields.CharEnumField(description="WEBHOOK: WEBHOOK\nMAIL: MAIL", enum_type=Channel, max_length=16),
                ),
                (
                    "notice",
                    fields.ForeignKeyField(
                        "models.Notice",
                        source_field="notice_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="deliveries",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "webhook",
                    fields.ForeignKeyField(
                        "models.Webhook",
                        source_field="webhook_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="deliveries",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                (
                    "member",
                    fields.ForeignKeyField(
                        "models.Member",
                        source_field="member_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name="deliveries",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("attempts", fields.IntField(default=0)),
                ("next_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("delivered_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("error", fields.CharField(null=True, max_length=256)),
            ],
            options={
                "table": "delivery",
                "app": "models",
                "indexes": [
                    Index(fields=["next_at", "id"]),
                    Index(fields=["account_id", "webhook_id", "id"]),
                    Index(fields=["notice_id"]),
                    Index(fields=["webhook_id"]),
                ],
                "pk_attr": "id",
                "table_description": "What is to be delivered, or was: written in the transaction of what it tells of, and tried until it succeeds.",
            },
            bases=["Owned"],
        ),
    ]
