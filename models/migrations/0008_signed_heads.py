"""Signed heads and stubs. Entries up to the stub may be deleted, and no entry is replaced by inserting another."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor
from models.row import new_id
from tortoise.fields.base import OnDelete
from tortoise import fields
from tortoise.indexes import Index

KEPT = "audit entries are kept as they are"
ONWARD = "a stub of the audit log only moves on"
TABLES = ("audit_entry", "audit_access")
PRUNED = "SELECT 1 FROM audit_stub WHERE account_id = OLD.account_id AND sequence >= OLD.sequence"
"""Finds the stub that lets an old row go."""
SAME = {
    "audit_entry": (
        "id = NEW.id OR previous = NEW.previous OR seal = NEW.seal"
        " OR account_id = NEW.account_id AND sequence = NEW.sequence OR account_id = NEW.account_id"
        " AND idempotency_actor = NEW.idempotency_actor AND idempotency_key = NEW.idempotency_key"
    ),
    "audit_access": "id = NEW.id",
    "audit_stub": "id = NEW.id OR account_id = NEW.account_id",
}
"""What a row would replace: `INSERT OR REPLACE` deletes it, and fires no trigger that speaks of DELETE."""

# The words of a trigger are each database's own, as in `0002_guards`.
GUARDS = {
    "sqlite": [
        *(f"DROP TRIGGER {table}_no_delete" for table in TABLES),
        *(
            f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} WHEN NOT EXISTS ({PRUNED})"
            f" BEGIN SELECT RAISE(ABORT, '{KEPT}'); END"
            for table in TABLES
        ),
        *(
            f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table}"
            f" WHEN EXISTS (SELECT 1 FROM {table} WHERE {same})"
            f" BEGIN SELECT RAISE(ABORT, '{ONWARD if table == 'audit_stub' else KEPT}'); END"
            for table, same in SAME.items()
        ),
        f"CREATE TRIGGER audit_stub_no_delete BEFORE DELETE ON audit_stub BEGIN SELECT RAISE(ABORT, '{ONWARD}'); END",
        "CREATE TRIGGER audit_stub_onward BEFORE UPDATE ON audit_stub"
        " WHEN NEW.id <> OLD.id OR NEW.account_id <> OLD.account_id OR NEW.sequence <= OLD.sequence"
        f" BEGIN SELECT RAISE(ABORT, '{ONWARD}'); END",
    ],
    "postgres": [
        f"""
            CREATE OR REPLACE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF TG_OP = 'DELETE' THEN
                    IF EXISTS ({PRUNED}) THEN
                        RETURN OLD;
                    END IF;
                END IF;
                RAISE '{KEPT}' USING ERRCODE = 'integrity_constraint_violation';
            END $$
        """,
        f"""
            CREATE FUNCTION audit_stub_onward() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                IF TG_OP = 'UPDATE' THEN
                    IF NEW.id = OLD.id AND NEW.account_id = OLD.account_id AND NEW.sequence > OLD.sequence THEN
                        RETURN NEW;
                    END IF;
                END IF;
                RAISE '{ONWARD}' USING ERRCODE = 'integrity_constraint_violation';
            END $$
        """,
        *(
            f"CREATE TRIGGER audit_stub_no_{deed} BEFORE {deed.upper()} ON audit_stub"
            f" FOR EACH {'STATEMENT' if deed == 'truncate' else 'ROW'} EXECUTE FUNCTION audit_stub_onward()"
            for deed in ("update", "delete", "truncate")
        ),
    ],
}


async def guard(_apps: object, editor: BaseSchemaEditor) -> None:
    """Make the database keep stubs, and let go what lies before them."""
    for statement in GUARDS[editor.client.capabilities.dialect]:
        await editor.client.execute_script(statement)


class Migration(migrations.Migration):
    dependencies = [("models", "0007_least_privilege")]

    initial = False

    operations = [
        ops.CreateModel(
            name="AuditStub",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
                (
                    "account",
                    fields.OneToOneField(
                        "models.Account",
                        source_field="account_id",
                        db_constraint=True,
                        to_field="id",
                        related_name=False,
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("sequence", fields.BigIntField()),
                ("seal", fields.CharField(max_length=64)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("key_id", fields.CharField(max_length=64)),
                ("signature", fields.CharField(max_length=128)),
            ],
            options={
                "table": "audit_stub",
                "app": "models",
                "pk_attr": "id",
                "table_description": "Where an account's log begins once its oldest entries were pruned: the place of the last of them, signed.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="SignedHead",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=new_id, unique=True, db_index=True)),
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
                ("sequence", fields.BigIntField()),
                ("seal", fields.CharField(max_length=64)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("key_id", fields.CharField(max_length=64)),
                ("signature", fields.CharField(max_length=128)),
                ("delivered_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "signed_head",
                "app": "models",
                "indexes": [
                    Index(fields=["account_id", "sequence", "at"]),
                    Index(fields=["account_id", "delivered_at", "id"]),
                ],
                "pk_attr": "id",
                "table_description": "The end of a chain as it was at a moment, signed; see `core.signed`.",
            },
            bases=["Model"],
        ),
        ops.RunPython(guard),
    ]
