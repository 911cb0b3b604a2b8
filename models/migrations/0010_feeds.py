"""How far the logs of accounts were delivered outside; and to add an entry costs the same in any log.

What `0008_signed_heads` asked for in one question before each entry, SQLite answered by reading the whole log once
there were statistics (`ANALYZE`): they say that an idempotency key is met in all entries, for hardly any has one. Nor
did it ask for the `rowid` that SQLite gives each row beside its columns, and by which a row is replaced as well.
"""

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.indexes import Index
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

from models.row import new_id, now

KEPT = "audit entries are kept as they are"
ONWARD = "a stub of the audit log only moves on"
SAME = {
    "audit_entry": (
        "rowid = NEW.rowid",
        "id = NEW.id",
        "previous = NEW.previous",
        "seal = NEW.seal",
        "account_id = NEW.account_id AND sequence = NEW.sequence",
        (
            "account_id = NEW.account_id"
            " AND idempotency_actor = NEW.idempotency_actor AND idempotency_key = NEW.idempotency_key"
        ),
    ),
    "audit_access": ("rowid = NEW.rowid", "id = NEW.id"),
    "audit_stub": ("rowid = NEW.rowid", "id = NEW.id", "account_id = NEW.account_id"),
}
"""What a row would replace, each a search by an index of its own. Where no `rowid` is given, SQLite asks for -1."""
STUB_ONWARD = (
    "CREATE TRIGGER audit_stub_onward BEFORE UPDATE ON audit_stub WHEN NEW.rowid <> OLD.rowid"
    " OR NEW.id <> OLD.id OR NEW.account_id <> OLD.account_id OR NEW.sequence <= OLD.sequence"
    f" BEGIN SELECT RAISE(ABORT, '{ONWARD}'); END"
)


async def guard(_apps: object, editor: BaseSchemaEditor) -> None:
    """Ask one question for each. PostgreSQL replaces no row, and asks nothing."""
    if editor.client.capabilities.dialect == "sqlite":
        for table, known in SAME.items():
            met = " OR ".join(f"EXISTS (SELECT 1 FROM {table} WHERE {same})" for same in known)  # noqa: S608 - its own
            await editor.client.execute_script(f"DROP TRIGGER {table}_no_replace")
            await editor.client.execute_script(
                f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} WHEN {met}"
                f" BEGIN SELECT RAISE(ABORT, '{ONWARD if table == 'audit_stub' else KEPT}'); END"
            )
        await editor.client.execute_script("DROP TRIGGER audit_stub_onward")
        await editor.client.execute_script(STUB_ONWARD)


class Migration(migrations.Migration):
    """One table, and triggers anew."""

    dependencies = [("models", "0009_questions")]

    operations = [
        ops.CreateModel(
            name="Feed",
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
                ("place", fields.CharField(max_length=36)),
                (
                    "webhook",
                    fields.ForeignKeyField(
                        "models.Webhook",
                        source_field="webhook_id",
                        null=True,
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("sequence", fields.BigIntField()),
                ("next_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("turn", fields.BigIntField(default=0)),
                ("failures", fields.IntField(default=0)),
                ("error", fields.CharField(null=True, max_length=256)),
            ],
            options={
                "table": "feed",
                "app": "models",
                "unique_together": (("account", "place"),),
                "indexes": [Index(fields=["webhook_id"])],
                "pk_attr": "id",
                "table_description": "How far an account's log was delivered to a place outside, entry after entry.",
            },
            bases=["Owned"],
        ),
        ops.RunPython(guard),
    ]
