"""Tokens in the order of their making, of all kinds together: so they are listed unless something else is asked."""

from tortoise import migrations
from tortoise.indexes import Index
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    """An index that ends the sorting of all an account's tokens for the first page."""

    dependencies = [("models", "0003_verification")]

    operations = [ops.AddIndex(model_name="Token", index=Index(fields=["account_id", "id"]))]
