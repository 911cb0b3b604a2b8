"""The variables of an operation: how to read them is worked out once, where what is sent is as it should be.

What is not, graphql-core reads again and says what is wrong with it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from graphql import (
    GraphQLError,
    GraphQLID,
    GraphQLInputField,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLSchema,
    GraphQLString,
    Undefined,
    VariableDefinitionNode,
    get_variable_values,
    is_input_object_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_required_input_field,
)
from graphql.execution.get_variable_signature import GraphQLVariableSignature, get_variable_signature
from graphql.execution.values import VariableValues, VariableValueSource
from graphql.utilities.coerce_input_value import coerce_default_value

MAX_ERRORS = 10

NONE_GIVEN = VariableValues({}, {})
"""Of an operation without variables. Nobody writes into it."""

_Read = Callable[[Any], Any]
"""Reads a value. Whatever it raises asks for the long way."""


class _OddError(Exception):
    """A value that is not plainly as it should be."""


class Variables:
    """The variables that an operation declares."""

    __slots__ = ("_declared", "_plain", "_schema")

    def __init__(self, schema: GraphQLSchema, declared: Sequence[VariableDefinitionNode]) -> None:
        self._schema = schema
        self._declared = declared
        self._plain = _plain(schema, declared)

    def read(self, given: Mapping[str, Any], *, hints: bool) -> VariableValues | list[GraphQLError]:
        """Coerce what was given, or say what is wrong with it."""
        if not self._declared:
            return NONE_GIVEN
        if self._plain is not None:
            try:
                return _read(self._plain, given)
            except Exception:  # noqa: BLE001, S110 - the long way reads again, and says what is wrong
                pass
        return get_variable_values(
            self._schema, self._declared, dict(given), max_errors=MAX_ERRORS, hide_suggestions=not hints
        )


def _read(plain: Sequence[tuple[GraphQLVariableSignature, _Read]], given: Mapping[str, Any]) -> VariableValues:
    sources: dict[str, VariableValueSource] = {}
    coerced: dict[str, Any] = {}
    for signature, read in plain:
        name = signature.name
        if name in given:
            value = given[name]
            sources[name] = VariableValueSource(signature, value)
            coerced[name] = read(value)
        elif signature.default is not None or is_non_null_type(signature.type):
            raise _OddError
        else:
            sources[name] = VariableValueSource(signature)
    return VariableValues(sources, coerced)


def _plain(
    schema: GraphQLSchema, declared: Sequence[VariableDefinitionNode]
) -> list[tuple[GraphQLVariableSignature, _Read]] | None:
    """Make a reader of each variable, None if one cannot be had."""
    signatures = [get_variable_signature(schema, node) for node in declared]
    plain = [(each, _reading(each.type, ())) for each in signatures if isinstance(each, GraphQLVariableSignature)]
    return plain if len(plain) == len(signatures) else None


def _reading(type_: GraphQLInputType, within: tuple[GraphQLInputObjectType, ...]) -> _Read:
    """Make what reads values of a type, which stands within some input objects."""
    if is_non_null_type(type_):
        return _reading_non_null(type_.of_type, within)
    read = _reading_non_null(type_, within)
    return lambda value: None if value is None else read(value)


def _reading_non_null(type_: GraphQLInputType, within: tuple[GraphQLInputObjectType, ...]) -> _Read:
    if is_list_type(type_):
        return _reading_list(_reading(type_.of_type, within))
    if is_input_object_type(type_):
        return _reading_object(type_, within)
    if type_ is GraphQLString or type_ is GraphQLID:
        return _text
    assert is_leaf_type(type_)  # noqa: S101 - there are no others
    coerce: Callable[[Any], Any] = type_.coerce_input_value

    def read(value: object) -> Any:  # noqa: ANN401 - any value of the schema
        if value is None or (coerced := coerce(value)) is Undefined:
            raise _OddError
        return coerced

    return read


_TEXT = frozenset({str})


def _text(value: object) -> str:
    if type(value) is not str:
        raise _OddError
    return value


def _reading_list(item: _Read) -> _Read:
    if item is _text:
        return _texts

    def read(value: object) -> list[Any]:
        if type(value) is not list:
            raise _OddError
        return [item(each) for each in value]

    return read


def _texts(value: object) -> list[Any]:
    if type(value) is not list or not _TEXT.issuperset(map(type, value)):
        raise _OddError
    return list(value)


def _reading_object(type_: GraphQLInputObjectType, within: tuple[GraphQLInputObjectType, ...]) -> _Read:
    if type_ in within or type_.is_one_of:
        return _odd
    fields = [
        (name, field.out_name or name, _reading(field.type, (*within, type_)), _absent(field))
        for name, field in type_.fields.items()
    ]
    out_type = type_.out_type
    if all(absent is _OddError for *_, absent in fields):
        return _reading_whole(fields, out_type)

    def read(value: object) -> Any:  # noqa: ANN401 - what the type makes of it
        if type(value) is not dict:
            raise _OddError
        made = {}
        known = 0
        for name, out_name, read, absent in fields:
            if name in value:
                made[out_name] = read(value[name])
                known += 1
            elif absent is _OddError:
                raise _OddError
            elif absent is not Undefined:
                made[out_name] = absent
        if known != len(value):
            raise _OddError
        return out_type(made)

    return read


def _reading_whole(
    fields: Sequence[tuple[str, str, _Read, object]], out_type: Callable[[dict[str, Any]], Any]
) -> _Read:
    """Make what reads an object all of whose fields are required."""
    plain = [(name, out_name, read) for name, out_name, read, _ in fields]

    def read(value: object) -> Any:  # noqa: ANN401 - as above
        if type(value) is not dict or len(value) != len(plain):
            raise _OddError
        return out_type({out_name: read(value[name]) for name, out_name, read in plain})

    texts = [(name, out_name) for name, out_name, read in plain if read is _text]

    def read_texts(value: object) -> Any:  # noqa: ANN401 - as above
        if type(value) is not dict or len(value) != len(texts):
            raise _OddError
        made = {}
        for name, out_name in texts:
            if type(text := value[name]) is not str:
                raise _OddError
            made[out_name] = text
        return out_type(made)

    return read_texts if len(texts) == len(plain) else read


def _absent(field: GraphQLInputField) -> object:
    """Give what stands for a field that is left out: its default, `Undefined`, or `_OddError` if it may not be."""
    return _OddError if is_required_input_field(field) else coerce_default_value(field)


def _odd(_value: object) -> NoReturn:
    raise _OddError
