"""Entries by each thing that they are asked for, in the order of the log: a page costs the same in a long one."""

from tortoise import migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops

ENTRIES_BY = (
    "request_id",
    "token_ending",
    "behalf_token_ending",
    "address",
    "target_kind",
    "actor_kind",
    "outcome",
)


class Migration(migrations.Migration):
    """One index for each."""

    dependencies = [("models", "0008_signed_heads")]

    operations = [
        *(
            ops.AddIndex(model_name="AuditEntry", index=Index(fields=["account_id", column, "sequence"]))
            for column in ENTRIES_BY
        ),
        ops.AddIndex(model_name="AuditAccess", index=Index(fields=["account_id", "sequence"])),
    ]
