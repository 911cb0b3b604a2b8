"""How fields are answered: with no more around a resolver than it asks for.

Fields stay as they are declared, and what guards them is Strawberry's own extension for permission classes. A field
that takes no arguments and does not wait is spared the making of arguments, and so is one that takes them raw; a leaf
that anyone may read who sees the object, also the account of where in the query it stands.
"""

from collections.abc import Callable, Mapping
from enum import Enum
from functools import partial, reduce
from inspect import iscoroutine
from operator import attrgetter
from typing import Any, cast

import strawberry
from graphql import (
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_specified_scalar_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.extensions.field_extension import build_field_extension_resolvers
from strawberry.permission import PermissionExtension
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import CustomGraphQLEnumType, GraphQLCoreConverter
from strawberry.types import Info
from strawberry.types.field import StrawberryField

from schema import face


def shorten(schema: strawberry.Schema) -> None:
    """Shorten the resolvers of a schema, once."""
    for type_ in schema._schema.type_map.values():  # noqa: SLF001 - no public way to the graphql-core schema
        if isinstance(type_, GraphQLObjectType):
            for field in type_.fields.values():
                declared = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
                if declared is None or declared.is_subscription:
                    continue
                if face.is_raw(declared):
                    field.resolve = Short(declared)
                elif not (field.args or (declared.is_async and declared.extensions)):
                    field.resolve = _leaf(declared, field.type) or Short(declared)


class Leaf:
    """Resolves a field that anyone may read who sees the object: a leaf, or a list of leaves."""

    __slots__ = ("_made", "_null", "read")

    def __init__(self, read: Callable[[Any], Any], made: Callable[[Any], Any], *, nullable: bool) -> None:
        self.read = read
        self._made = made
        self._null = None if nullable else Undefined

    def __call__(self, source: object, _info: object) -> Any:  # noqa: ANN401 - any value of the schema
        """Read the value."""
        return self.read(source)

    def answer(self, source: object) -> Any:  # noqa: ANN401 - any value of the schema
        """Read the value and make it what is answered. `Undefined`, or whatever it raises, asks for the long way."""
        value = self.read(source)
        return self._null if value is None else self._made(value)


class Short:
    """Resolves any other field that is given no arguments, or takes them raw: as graphql-core coerced them.

    Input objects are dicts then, which costs a fifth of making them.
    """

    __slots__ = ("_guards", "_whole", "asks", "declared", "read")

    def __init__(self, declared: StrawberryField) -> None:
        resolver = declared.base_resolver
        read = _reading(declared)
        asks_info = resolver is not None and "info" in resolver.signature.parameters
        self.declared = declared
        self.read: Callable[..., Any] = read if asks_info else lambda source, _info, **given: read(source, **given)
        around = build_field_extension_resolvers(declared) if declared.extensions else []
        self._whole: Callable[..., Any] = reduce(lambda within, each: partial(each, within), around, self.read)
        self._guards = _guards(declared)
        self.asks = asks_info or bool(declared.extensions)
        """Whether it is asked with more than the object."""

    def __call__(self, source: object, info: GraphQLResolveInfo[Any], **given: object) -> Any:  # noqa: ANN401 - as above
        """Ask the guards, and read the value."""
        return self.told(source, Info(_raw_info=info, _field=self.declared), **given)

    def told(self, source: object, info: Info[Any, Any], **given: object) -> Any:  # noqa: ANN401 - as above
        """Ask the guards, and read the value."""
        for guard in self._guards:
            if guard(source, info, **given) is not True:
                return self._whole(source, info, **given)  # where Strawberry asks again, and makes of it what it does
        return self.read(source, info, **given)


def _reading(declared: StrawberryField) -> Callable[..., Any]:
    resolver = declared.base_resolver
    return cast("Callable[..., Any]", resolver.wrapped_func if resolver else attrgetter(declared.python_name))


def _guards(declared: StrawberryField) -> list[Callable[..., object]]:
    """List what must say `True` before a field is read; what else may stand around it says nothing by itself."""
    known = [each for each in declared.extensions if type(each) is PermissionExtension]
    if len(known) < len(declared.extensions):
        return [lambda *_, **__: False]
    return [permission.has_permission for each in known for permission in each.permissions]


def _leaf(declared: StrawberryField, type_: GraphQLOutputType) -> Leaf | None:
    resolver = declared.base_resolver
    if declared.extensions or declared.is_async or (resolver and "info" in resolver.signature.parameters):
        return None
    read, nullable = _reading(declared), get_nullable_type(type_)
    if is_leaf_type(nullable):
        return Leaf(read, _making(nullable), nullable=nullable is type_)
    if is_list_type(nullable) and is_non_null_type(nullable.of_type) and is_leaf_type(nullable.of_type.of_type):
        return Leaf(read, _making_many(nullable.of_type.of_type), nullable=nullable is type_)
    return None


_EXACT: Mapping[str, type] = {"String": str, "ID": str, "Boolean": bool}
"""What is answered as it is."""


def _making(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    """Make what makes answers of values."""
    coerce = type_.coerce_output_value
    exact = _EXACT.get(type_.name) if is_specified_scalar_type(type_) else None

    def coerced(value: object) -> Any:  # noqa: ANN401 - any value of the schema
        answer = coerce(value)
        return Undefined if answer is None else answer

    if isinstance(type_, CustomGraphQLEnumType):
        enum = cast("type[Enum]", type_.wrapped_cls)
        words = {member: type_.coerce_output_value(member) for member in enum}
        return lambda value: words[value] if type(value) is enum else coerced(value)
    return coerced if exact is None else lambda value: value if type(value) is exact else coerced(value)


def _making_many(type_: GraphQLLeafType) -> Callable[[Any], Any]:
    coerce = type_.coerce_output_value
    exact = {_EXACT.get(type_.name)} if is_specified_scalar_type(type_) else set()

    def made(values: object) -> Any:  # noqa: ANN401 - as above
        if isinstance(values, list) and None not in values:
            return values if set(map(type, values)) == exact else [coerce(each) for each in values]
        if iscoroutine(values):
            values.close()  # the long way reads again, and waits
        return Undefined

    return made


class Executor(StrawberryGraphQLCoreExecutionContext):
    """graphql-core's executor, with a short way for a leaf that is as it should be."""

    def execute_field(
        self,
        parent_type: GraphQLObjectType,
        source: Any,  # noqa: ANN401 - any object of the schema
        field_details_list: FieldDetailsList,
        path: Path,
        position_context: Any,  # noqa: ANN401 - graphql-core's
    ) -> Any:  # noqa: ANN401 - any value of the schema
        """Answer one field."""
        field = parent_type.fields.get(field_details_list[0].node.name.value)
        if field is not None and isinstance(field.resolve, Leaf):
            try:
                answer = field.resolve.answer(source)
            except Exception:  # noqa: BLE001 - the long way reads again, and says what is wrong
                answer = Undefined
            if answer is not Undefined:
                return answer
        return super().execute_field(parent_type, source, field_details_list, path, position_context)
