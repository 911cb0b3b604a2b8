"""Fields are answered shortly, and just as Strawberry answers them."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import pytest
import strawberry
from graphql import GraphQLObjectType
from strawberry.types import Info

from core.errors import Forbidden
from schema import answering, face, schema
from schema.permissions import Permission, Public
from tests.schema.test_surface import fields, permissions_of


class Closed(Permission):
    """Lets nobody in."""

    sentence = "Needs what nobody has."
    directive = Public.directive

    def has_permission(self, source: Any, info: Info[Any, Any], **_: object) -> bool:  # noqa: ARG002 - Strawberry's
        raise Forbidden(info.field_name)


class Silent(Closed):
    """Lets nobody in, and does not say why."""

    def has_permission(self, source: Any, info: Info[Any, Any], **_: object) -> bool:  # noqa: ARG002 - Strawberry's
        return False


@face.choice(WARM="Warm.")
class Weather(StrEnum):
    """How it is."""

    WARM = "WARM"


@face.output
class Thing:
    """Has fields of every kind."""

    name: str = face.shown("As it should be.")
    at: datetime = face.shown("Coerced.")
    weather: Weather = face.shown("An enum.")
    many: list[int] = face.shown("No leaf.")
    nothing: str | None = face.shown("Null.")
    missing: str = face.shown("Null where it may not be.")
    odd: int | None = face.shown("Of another type.")
    cold: Weather | None = face.shown("No value of its enum.")
    closed: str | None = strawberry.field(description="Guarded.", permission_classes=[Closed])
    silent: str | None = strawberry.field(description="Guarded.", permission_classes=[Silent])
    public: str | None = strawberry.field(description="Guarded.", permission_classes=[Public])

    @face.field()
    def computed(self) -> str:
        """Of the object."""
        return self.name * 2

    @face.field()
    def raised(self) -> str | None:
        """Fail."""
        raise Forbidden("raised")

    @face.field(Public)
    def asking(self, info: Info[Any, Any]) -> str | None:
        """Tell the field's name."""
        return f"{self.name} {info.field_name} {info.context}"

    @face.field(Closed)
    def refused(self, info: Info[Any, Any]) -> str | None:
        """Never be reached."""
        raise AssertionError(info.field_name)

    @face.field()
    async def waiting(self) -> str:
        """Wait."""
        return self.name

    @face.field()
    def given(self, times: int = 2) -> str:
        """Take an argument."""
        return self.name * times


@strawberry.type
class Query:
    """Shows a thing."""

    @strawberry.field
    def thing(self) -> Thing | None:
        """Show it."""
        odd: Any = {"nothing": None, "missing": None, "odd": "seven", "cold": "COLD"}
        at, kept = datetime.fromisoformat("2026-01-02T03:04:05+00:00"), "kept"
        return Thing(name="a", at=at, weather=Weather.WARM, many=[1, 2], closed=kept, silent=kept, public=kept, **odd)


NAMES = [field.python_name for field in Thing.__strawberry_definition__.fields]  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", NAMES)
async def test_a_shortened_field_answers_as_strawberry_does(name: str) -> None:
    plain, short = strawberry.Schema(Query), strawberry.Schema(Query, execution_context_class=answering.Executor)
    answering.shorten(short)
    told = [await each.execute(f"{{ thing {{ {name} }} }}", context_value="here") for each in (plain, short)]
    data, errors = zip(*[(each.data, [error.formatted for error in each.errors or ()]) for each in told], strict=True)
    assert data[0] == data[1]
    assert errors[0] == errors[1]


def test_only_what_nothing_guards_is_read_without_asking() -> None:
    leaves = {f"{type_}.{field}" for type_, field, read in fields() if isinstance(read.resolve, answering.Leaf)}
    assert {"Member.name", "Account.id", "Token.resource"} <= leaves
    assert [leaf for leaf in leaves if permissions_of(*leaf.split("."))] == []


def test_the_schema_is_shortened_whole() -> None:
    long = [
        f"{name}.{key}"
        for name, type_ in schema._schema.type_map.items()  # noqa: SLF001 - Strawberry offers no public way to it
        if isinstance(type_, GraphQLObjectType) and not name.startswith("__")
        for key, field in type_.fields.items()
        if getattr(field.resolve, "_is_default", False)
    ]
    assert long == []
