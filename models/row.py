"""What every row shares: a UUIDv7, an account, its dates, and the list of what an audit entry shows of it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

import uuid_utils.compat
from tortoise import fields
from tortoise.models import Model

from core.specifiers import Resource
from models import columns

Json = dict[str, Any] | list[Any] | str | int | bool | None


def new_id() -> UUID:
    """Make a UUIDv7: unique, and in the order of its making."""
    return uuid_utils.compat.uuid7()


def now() -> datetime:
    """Tell the time, aware and in UTC."""
    return datetime.now(UTC)  # nosemgrep: one-clock - it is this one


class Row(Model):
    """A row of an account. `recorded` names the columns an audit entry shows; a new one is invisible until listed."""

    recorded: ClassVar[Mapping[str, str]] = {}
    """Column name to the camelCase name in the entry."""
    related: ClassVar[tuple[str, ...]] = ()
    """Relations fetched before and after a change, for the snapshot."""

    id = fields.UUIDField(primary_key=True, default=new_id)
    version = fields.IntField(default=1)
    created_at = fields.DatetimeField(default=now)
    updated_at = fields.DatetimeField(default=now)

    class Meta:
        """Rows are made by their subclasses."""

        abstract = True

    if not TYPE_CHECKING:
        _init_from_db = classmethod(columns.kept)
        __getattr__ = columns.read

    def has_fetched(self, relation: str) -> bool:
        """Say whether the row that this one refers to stands beside it already."""
        return f"_{relation}" in self.__dict__

    @property
    def resource(self) -> Resource:
        """The row in policy words, such as `member/<id>:token/<id>`."""
        raise NotImplementedError

    @property
    def subjects(self) -> tuple[Resource, ...]:
        """As what the row is judged; an action allowed on one of them is allowed."""
        return (self.resource,)

    @property
    def label(self) -> str:
        """What people call it; entries keep it after the row is gone."""
        raise NotImplementedError

    def snapshot(self) -> dict[str, Json]:
        """Show what entries show of this row, ready for JSON."""
        return {name: plain(getattr(self, column)) for column, name in self.recorded.items()}


def plain(value: Any) -> Json:  # noqa: ANN401 - a column may hold anything that its field type allows
    """Turn a column's value into JSON: ids and words as text, times in ISO 8601 and UTC."""
    match value:
        case UUID():
            return str(value)
        case datetime():
            return value.astimezone(UTC).isoformat()
        case Enum():
            return str(value.value)
        case _:
            plain: Json = value
            return plain
