"""What the database itself refuses: a second owner, a second living member of one e-mail address, a changed entry."""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

UNIQUE = [
    "CREATE UNIQUE INDEX uid_member_owner ON member (account_id) WHERE base_role = 'owner'",
    "CREATE UNIQUE INDEX uid_member_email ON member (account_id, email_key) WHERE state <> 'REMOVED'",
]

# The words of a trigger are each database's own; another database adds its own here.
KEPT = {
    "sqlite": [
        f"CREATE TRIGGER {table}_no_{deed} BEFORE {deed.upper()} ON {table}"
        " BEGIN SELECT RAISE(ABORT, 'audit entries are kept as they are'); END"
        for table in ("audit_entry", "audit_access")
        for deed in ("update", "delete")
    ],
    "postgres": [
        """
            CREATE FUNCTION audit_kept() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                RAISE 'audit entries are kept as they are' USING ERRCODE = 'integrity_constraint_violation';
            END $$
        """,
        *(
            f"CREATE TRIGGER {table}_no_{deed} BEFORE {deed.upper()} ON {table}"
            f" FOR EACH {'STATEMENT' if deed == 'truncate' else 'ROW'} EXECUTE FUNCTION audit_kept()"
            for table in ("audit_entry", "audit_access")
            for deed in ("update", "delete", "truncate")
        ),
    ],
}


async def keep_entries(_apps: object, editor: BaseSchemaEditor) -> None:
    """Make the database refuse UPDATE and DELETE on audit entries."""
    for statement in KEPT[editor.client.capabilities.dialect]:
        await editor.client.execute_script(statement)


class Migration(migrations.Migration):
    """Tortoise never emits partial indexes or triggers, so they stand here."""

    dependencies = [("models", "0001_initial")]
    operations = [ops.RunSQL(UNIQUE), ops.RunPython(keep_entries)]
