"""How fields are answered: with no more around a resolver than it asks for.

Fields stay as they are declared, and what guards them is Strawberry's own extension for permission classes. A field
that takes no arguments and does not wait is spared the making of arguments, and so is one that takes them raw; a leaf
that anyone may read who sees the object, also the account of where in the query it stands.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce
from inspect import iscoroutine
from operator import attrgetter
from typing import Any, cast

import strawberry
from graphql import (
    GraphQLFieldResolver,
    GraphQLLeafType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    Undefined,
    get_nullable_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
)
from graphql.execution.collect_fields import FieldDetailsList
from graphql.pyutils import Path
from strawberry.extensions.field_extension import build_field_extension_resolvers
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.schema.schema_converter import GraphQLCoreConverter
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
                    field.resolve = _raw(declared)
                elif not (field.args or declared.is_async):
                    field.resolve = _short(declared, field.type)


@dataclass(frozen=True, slots=True)
class Leaf:
    """Resolves a field that anyone may read who sees the object: a leaf, or with `many` a list of leaves."""

    read: Callable[[Any], Any]
    type: GraphQLLeafType
    many: bool = False

    def __call__(self, source: object, _info: object) -> Any:  # noqa: ANN401 - any value of the schema
        """Read the value."""
        return self.read(source)

    def answer(self, source: object) -> Any:  # noqa: ANN401 - any value of the schema
        """Read the value and make it what is answered; None where that takes the long way."""
        value = self.read(source)
        if not self.many:
            answer = self.type.coerce_output_value(value)
            return None if answer is Undefined else answer
        if isinstance(value, list) and None not in value:
            return [self.type.coerce_output_value(each) for each in value]
        if iscoroutine(value):
            value.close()  # the long way reads again, and waits
        return None


def _short(declared: StrawberryField, type_: GraphQLOutputType) -> GraphQLFieldResolver:
    resolver = declared.base_resolver
    read = cast("Callable[..., Any]", resolver.wrapped_func if resolver else attrgetter(declared.python_name))
    asks_info = resolver is not None and "info" in resolver.signature.parameters
    nullable = get_nullable_type(type_)
    if not (asks_info or declared.extensions):
        if is_leaf_type(nullable):
            return Leaf(read, nullable)
        if is_list_type(nullable) and is_non_null_type(nullable.of_type) and is_leaf_type(nullable.of_type.of_type):
            return Leaf(read, nullable.of_type.of_type, many=True)
    within = read if asks_info else lambda source, _info: read(source)
    around = build_field_extension_resolvers(declared) if declared.extensions else []
    whole: Callable[..., Any] = reduce(lambda within, extension: partial(extension, within), around, within)

    def resolve(source: object, info: GraphQLResolveInfo[Any]) -> Any:  # noqa: ANN401 - any value of the schema
        return whole(source, Info(_raw_info=info, _field=declared))

    return resolve


def _raw(declared: StrawberryField) -> GraphQLFieldResolver:
    """Hand arguments over as graphql-core coerced them: input objects as dicts, which costs a fifth of making them."""
    assert declared.base_resolver is not None  # noqa: S101 - who asks for it is a resolver
    within = cast("Callable[..., Any]", declared.base_resolver.wrapped_func)
    around = build_field_extension_resolvers(declared)
    whole: Callable[..., Any] = reduce(lambda within, extension: partial(extension, within), around, within)

    def resolve(source: object, info: GraphQLResolveInfo[Any], **arguments: object) -> Any:  # noqa: ANN401 - any value
        return whole(source, Info(_raw_info=info, _field=declared), **arguments)

    return resolve


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
                answer = None
            if answer is not None:
                return answer
        return super().execute_field(parent_type, source, field_details_list, path, position_context)
