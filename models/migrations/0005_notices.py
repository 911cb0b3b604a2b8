"""What PostgreSQL tells all processes: that an account has a new version, whoever commits it, or is gone.

The listeners of `models.listening` take `<account> <version>` on the channel `latchkey_version`.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.schema_editor import BaseSchemaEditor

TOLD = """
    CREATE FUNCTION account_told() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        PERFORM pg_notify('latchkey_version', OLD.id || ' ' || CASE TG_OP WHEN 'DELETE' THEN 0 ELSE NEW.version END);
        RETURN NULL;
    END $$;
    CREATE TRIGGER account_changed AFTER UPDATE ON account
        FOR EACH ROW WHEN (OLD.version <> NEW.version) EXECUTE FUNCTION account_told();
    CREATE TRIGGER account_deleted AFTER DELETE ON account
        FOR EACH ROW EXECUTE FUNCTION account_told();
"""


async def tell(_apps: object, editor: BaseSchemaEditor) -> None:
    """Make the database tell. A file of SQLite's is looked at instead."""
    if editor.client.capabilities.dialect == "postgres":
        await editor.client.execute_script(TOLD)


class Migration(migrations.Migration):
    """Triggers stand here, as in `0002_guards`."""

    dependencies = [("models", "0004_tokens_by_account")]
    operations = [ops.RunPython(tell)]
