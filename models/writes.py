"""Statements that write, made of rows and run together: on the way to a database each turn costs more than it does."""

from collections.abc import Sequence
from typing import Any, cast

from tortoise.connection import get_connections
from tortoise.models import Model

from models.engines.transactions import Statements

Write = tuple[str, Sequence[Any]]
"""A statement and its values."""


async def write(*writes: Write) -> None:
    """Run statements in their order: all of them or none."""
    await _client().execute_several(writes)


def insert(row: Model) -> Write:
    """Insert a new row, as Tortoise's `save` does."""
    executor = _client().executor_class(model=type(row), db=_client())
    row._saved_in_db = True  # noqa: SLF001 - as `save` does; if it is not, nothing of the transaction is
    return executor.insert_query_all, _values(row, executor.regular_columns_all)


def update(row: Model, *columns: str) -> Write:
    """Update some columns of a row."""
    executor = _client().executor_class(model=type(row), db=_client())
    return executor.get_update_sql(columns, None), _values(row, [*columns, "id"])


def _values(row: Model, columns: Sequence[str]) -> list[Any]:
    fields = row._meta.fields_map  # noqa: SLF001 - where Tortoise keeps it
    return [fields[column].to_db_value(getattr(row, column), row) for column in columns]


def _client() -> Statements:
    return cast("Statements", get_connections().get("default"))
