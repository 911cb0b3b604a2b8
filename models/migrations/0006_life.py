from tortoise import migrations
from tortoise.migrations import operations as ops
from models.row import new_id, now
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("models", "0005_notices")]

    initial = False

    operations = [
        ops.CreateModel(
            name="TokenDay",
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
                        related_name="days",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("day", fields.DateField()),
                ("action", fields.CharField(max_length=64)),
                ("allowed", fields.BigIntField(default=0)),
                ("refused", fields.BigIntField(default=0)),
                ("trial_refused", fields.BigIntField(default=0)),
            ],
            options={
                "table": "token_day",
                "app": "models",
                "unique_together": (("account", "token", "day", "action"),),
                "indexes": [Index(fields=["token_id"])],
                "pk_attr": "id",
                "table_description": "How often a token was used for an action on a day, in UTC. Counted beside the log, off the path of requests.",
            },
            bases=["Owned"],
        ),
        ops.CreateModel(
            name="TokenOrigin",
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
                        related_name="origins",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("address", fields.CharField(default="", max_length=64)),
                ("user_agent", fields.CharField(default="", max_length=256)),
                ("first_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("last_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("uses", fields.BigIntField(default=0)),
            ],
            options={
                "table": "token_origin",
                "app": "models",
                "unique_together": (("account", "token", "address", "user_agent"),),
                "indexes": [Index(fields=["token_id"])],
                "pk_attr": "id",
                "table_description": "From where and by which program a token was used: as many as `resolvers.uses` keeps.",
            },
            bases=["Owned"],
        ),
        ops.AddField(
            model_name="Account",
            name="legacy_ends_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Account",
            name="lifetimes",
            field=fields.JSONField(default=dict, db_default={}, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Account",
            name="max_member_tokens",
            field=fields.IntField(null=True),
        ),
        ops.AddField(
            model_name="Account",
            name="max_tokens",
            field=fields.IntField(null=True),
        ),
        ops.AddField(
            model_name="Account",
            name="rate_limits",
            field=fields.JSONField(default=list, db_default=[], encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Account",
            name="revokes_reused",
            field=fields.BooleanField(default=False, db_default=False),
        ),
        ops.AddField(
            model_name="Token",
            name="leaked_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(
            model_name="Token",
            name="networks",
            field=fields.JSONField(default=list, db_default=[], encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Token",
            name="rate_limits",
            field=fields.JSONField(default=list, db_default=[], encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddField(
            model_name="Token",
            name="responsible",
            field=fields.ForeignKeyField(
                "models.Member",
                source_field="responsible_id",
                null=True,
                db_constraint=True,
                to_field="id",
                related_name="cared_for_tokens",
                on_delete=OnDelete.RESTRICT,
            ),
        ),
        ops.AddField(
            model_name="Token",
            name="trial",
            field=fields.JSONField(null=True, encoder=JSON_DUMPS, decoder=loads),
        ),
        ops.AddIndex(
            model_name="Token",
            index=Index(fields=["account_id", "responsible_id", "id"]),
        ),
    ]
