"""When a clock was set back, so that a time leads to a place in the log: all other entries' times grow with it."""

from tortoise import fields, migrations
from tortoise.migrations import operations as ops

SET_BACK = (
    "CREATE INDEX idx_audit_entry_set_back ON audit_entry (account_id, set_back, sequence) WHERE set_back IS NOT NULL"
)
CLOCKED = """
    UPDATE audit_head SET
        latest_at = (SELECT MAX(at) FROM audit_entry WHERE account_id = audit_head.account_id),
        clocked_from = COALESCE((
            SELECT MAX(sequence) FROM (
                SELECT sequence, at, MAX(at) OVER (ORDER BY sequence) AS latest_at
                FROM audit_entry WHERE account_id = audit_head.account_id
            ) AS entry WHERE at < latest_at
        ), 0)
"""
"""Of the entries there are, none says that its clock was set back: the last one that could have is held on the head."""


class Migration(migrations.Migration):
    """Tortoise never emits partial indexes, so it stands here. Few entries are in it, mostly none."""

    dependencies = [("models", "0010_feeds")]

    operations = [
        ops.AddField(
            model_name="AuditHead",
            name="latest_at",
            field=fields.DatetimeField(null=True, auto_now=False, auto_now_add=False),
        ),
        ops.AddField(model_name="AuditHead", name="clocked_from", field=fields.BigIntField(default=0, db_default=0)),
        ops.AddField(model_name="AuditEntry", name="set_back", field=fields.BooleanField(null=True)),
        ops.RunSQL([SET_BACK, CLOCKED]),
    ]
