"""Columns are read when asked for: most of a row never is, and times, ids and JSON cost more than the query."""

import json
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import cache
from operator import itemgetter
from typing import Any, TypeVar
from uuid import UUID

from tortoise import fields
from tortoise.models import Model

M = TypeVar("M", bound=Model)
Read = Callable[[Mapping[str, Any]], Any]

_PLAIN = (fields.CharField, fields.IntField, fields.BigIntField)
"""What every database gives as it is."""


def kept(cls: type[M], **columns: object) -> M:
    """Make a row out of what the database gave, as Tortoise's `Model._init_from_db` does, and read nothing of it."""
    row = cls.__new__(cls)
    row.__dict__.update(
        _columns=columns,
        _partial=not columns.keys() >= cls._meta.db_fields,
        _saved_in_db=True,
        _custom_generated_pk=True,  # ids are made here, never by the database
        _await_when_save={},
    )
    return row


def read(row: Model, name: str) -> Any:  # noqa: ANN401 - as `object.__getattr__`
    """Read a column that was not asked for before; called where the row has no such attribute yet."""
    columns = row.__dict__.get("_columns", ())
    if name not in columns:
        raise AttributeError(f"`{type(row).__name__}` has no `{name}`", name=name, obj=row)
    value = row.__dict__[name] = _readings(type(row))[name](columns)
    return value


def text(row: Model, name: str) -> str:
    """Give a JSON column as text. One that was never asked for is not read: it is as the database gave it."""
    given = row.__dict__.get("_columns", {}).get(name)
    return given if isinstance(given, str) and name not in row.__dict__ else json.dumps(getattr(row, name))


@cache
def _readings(model: type[Model]) -> dict[str, Read]:
    by_name = model._meta.fields_map  # noqa: SLF001 - where Tortoise keeps it
    return {column: _reading(column, by_name[column]) for column in model._meta.db_fields}  # noqa: SLF001 - see above


def _reading(column: str, field: fields.Field[Any]) -> Read:
    if isinstance(field, fields.DatetimeField):
        return lambda columns: _moment(columns[column], field)
    if type(field) in _PLAIN:
        return itemgetter(column)
    return lambda columns: field.to_python_value(columns[column])


def _moment(value: object, field: "fields.DatetimeField[datetime]") -> datetime | None:
    """Read a time. The standard library knows how SQLite keeps them, in a hundredth of the time."""
    if isinstance(value, str) and value.endswith("+00:00"):
        return datetime.fromisoformat(value)
    return field.to_python_value(value)


def as_written(row: Model) -> bool:
    """Say whether the database holds each column of a row as it is written, in the one way out of many that reads so.

    Raises what reading a column raises.
    """
    by_name, types = row._meta.fields_map, _types(type(row))  # noqa: SLF001 - where Tortoise keeps it
    kept: Mapping[str, Any] = row.__dict__["_columns"]
    return all(
        type(value) is types[name]
        if name in types
        else _is_same(by_name[name].to_db_value(getattr(row, name), row), value)
        for name, value in kept.items()
        if value is not None
    )


@cache
def _types(model: type[Model]) -> dict[str, type]:
    """Tell of which type what the database gives as it is must be: no other is written."""
    by_name = model._meta.fields_map  # noqa: SLF001 - where Tortoise keeps it
    return {
        column: str if type(by_name[column]) is fields.CharField else int
        for column in model._meta.db_fields  # noqa: SLF001 - see above
        if type(by_name[column]) in _PLAIN
    }


def _is_same(written: object, kept: object) -> bool:
    if isinstance(kept, str) and isinstance(written, datetime):
        return written.isoformat(" ") == kept
    if isinstance(kept, UUID):
        return written == str(kept)
    return written == kept and not isinstance(kept, float)
