from tortoise import migrations
from tortoise.migrations import operations as ops
from models.gates import GateSource
from models.row import new_id, now
from orjson import loads
from tortoise.fields.base import OnDelete
from tortoise.fields.data import JSON_DUMPS
from tortoise import fields
from tortoise.indexes import Index


class Migration(migrations.Migration):
    dependencies = [("models", "0002_guards")]

    initial = False

    operations = [
        ops.CreateModel(
            name="Gate",
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
                ("key", fields.CharField(max_length=64)),
                ("name", fields.CharField(max_length=256)),
                ("description", fields.CharField(default="", max_length=1024)),
                (
                    "source",
                    fields.CharEnumField(
                        description="FORWARDED: FORWARDED\nORIGINAL: ORIGINAL\nPATH: PATH\nFIXED: FIXED",
                        enum_type=GateSource,
                        max_length=16,
                    ),
                ),
                ("preflights", fields.BooleanField(default=False)),
                ("routes", fields.JSONField(default=list, encoder=JSON_DUMPS, decoder=loads)),
            ],
            options={
                "table": "gate",
                "app": "models",
                "unique_together": (("account", "key"),),
                "pk_attr": "id",
                "table_description": "A gate with its routes, `[{methods, host, pattern, action, resource}]`. Every route that matches must allow.",
            },
            bases=["Owned"],
        ),
        ops.AddField(
            model_name="Account",
            name="verdict_lifetime_s",
            field=fields.IntField(default=0, db_default=0),
        ),
        ops.AddField(
            model_name="AuditEntry",
            name="behalf_member_id",
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name="AuditEntry",
            name="behalf_member_name",
            field=fields.CharField(null=True, max_length=320),
        ),
        ops.AddField(
            model_name="AuditEntry",
            name="behalf_token_ending",
            field=fields.CharField(null=True, max_length=4),
        ),
        ops.AddField(
            model_name="AuditEntry",
            name="behalf_token_id",
            field=fields.UUIDField(null=True),
        ),
        ops.AddField(
            model_name="AuditEntry",
            name="behalf_token_name",
            field=fields.CharField(null=True, max_length=256),
        ),
        ops.AddField(
            model_name="AuditEntry",
            name="behalf_verified",
            field=fields.BooleanField(null=True),
        ),
        ops.AddField(
            model_name="AuditEntry",
            name="reported_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddIndex(
            model_name="AuditEntry",
            index=Index(fields=["account_id", "behalf_member_id", "sequence"]),
        ),
        ops.AddIndex(
            model_name="AuditEntry",
            index=Index(fields=["account_id", "behalf_token_id", "sequence"]),
        ),
    ]
