"""Who members are at the OpenID provider, and how a session was got."""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

from models.row import new_id, now
from models.tokens import SignInMethod


class Migration(migrations.Migration):
    """One table, and a column that the sessions of before leave empty: all of them were got with a password."""

    dependencies = [("models", "0011_clock")]

    operations = [
        ops.CreateModel(
            name="Identity",
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
                    "member",
                    fields.ForeignKeyField(
                        "models.Member",
                        source_field="member_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("issuer", fields.CharField(max_length=512)),
                ("subject", fields.CharField(max_length=255)),
            ],
            options={
                "table": "identity",
                "app": "models",
                "unique_together": (("account", "issuer", "subject"), ("account", "member", "issuer")),
                "indexes": [Index(fields=["issuer", "subject"]), Index(fields=["member_id"])],
                "pk_attr": "id",
                "table_description": (
                    "Who a member is at an OpenID provider: the id that it knows them by, which it never gives to"
                    " anybody else."
                ),
            },
            bases=["Owned"],
        ),
        ops.AddField(
            model_name="Token",
            name="method",
            field=fields.CharEnumField(
                null=True, description="PASSWORD: PASSWORD\nOIDC: OIDC", enum_type=SignInMethod, max_length=16
            ),
        ),
    ]
