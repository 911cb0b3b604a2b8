"""What an operation may cost, in objects possibly resolved: compiled once per document, evaluated with its variables.

A field that returns an object costs one and what is asked of that object. A connection's lists count as long as its
`first` or `last`, the lists of an object that is asked for with a list as long as that one, any other list as its
longest list argument, as its `@listSize` or as `LIST_SIZE`. A list of leaves, and JSON, costs one; single leaves are
free, and bounded by the aliases. Fields that merge, types that exclude each other, `@skip` and `@include` are not told
apart. What is asked of the schema itself costs as much of `INTROSPECTION_COST` as it is of all that there is to ask.
"""

from collections.abc import Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, cast

from graphql import (
    DocumentNode,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLField,
    GraphQLInterfaceType,
    GraphQLNamedType,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLSchema,
    InlineFragmentNode,
    IntValueNode,
    ListValueNode,
    OperationDefinitionNode,
    SchemaMetaFieldDef,
    SelectionSetNode,
    TypeMetaFieldDef,
    ValueNode,
    VariableNode,
    get_introspection_query,
    get_named_type,
    get_nullable_type,
    is_abstract_type,
    is_composite_type,
    is_enum_type,
    is_input_object_type,
    is_introspection_type,
    is_list_type,
    parse,
)
from strawberry.schema.schema_converter import GraphQLCoreConverter

from schema.permissions import ListSize
from web.shapes import INTROSPECTION_FIELDS

PAGE_SIZE = 25
"""The length of a connection's page when neither `first` nor `last` is given."""
MAX_PAGE_SIZE = 100
"""No page is longer: the resolvers refuse a larger `first` or `last`."""
LIST_SIZE = 10
"""The length that a list without pages is taken for."""
INTROSPECTION_COST = 2500
"""Of the whole schema, as tools ask for it. It is read from memory, so that an object of it costs less than a row."""

_PAGE_ARGUMENTS = ("first", "last")


@dataclass(frozen=True, slots=True)
class _Variable:
    name: str


_Count = int | _Variable
"""A number known from the text, or the variable that will hold it."""


@dataclass(frozen=True, slots=True)
class _Field:
    many: bool
    paged: bool
    pages: tuple[_Count, ...]
    lengths: tuple[_Count, ...]
    within: "_Selection"
    usual: int = LIST_SIZE
    """How long the list is taken to be where nothing else says."""
    whole: int | None = None
    """Of a field that asks of the schema: how many objects of it there are to ask for in all."""


@dataclass(frozen=True, slots=True)
class _Selection:
    fields: tuple[_Field, ...]
    spreads: tuple[str, ...]


_LARGE_LEAF = _Field(many=False, paged=False, pages=(), lengths=(), within=_Selection((), ()))
"""A list of leaves, or JSON: one object's worth, however often it is asked for under other names."""


def _is_large(type_: GraphQLOutputType) -> bool:
    return is_list_type(get_nullable_type(type_)) or get_named_type(type_).name == "JSON"


@dataclass(frozen=True, slots=True)
class Costs:
    """The compiled costs of a valid document's operations, by name."""

    _operations: Mapping[str | None, _Selection]
    _fragments: Mapping[str, _Selection]

    @classmethod
    def of(cls, schema: GraphQLSchema, document: DocumentNode) -> "Costs":
        """Compile a document that passed validation."""
        operations: dict[str | None, _Selection] = {}
        fragments: dict[str, _Selection] = {}
        for node in document.definitions:
            if isinstance(node, OperationDefinitionNode):
                root = schema.get_root_type(node.operation)
                operations[node.name.value if node.name else None] = _selection(schema, root, node.selection_set)
            elif isinstance(node, FragmentDefinitionNode):
                on = schema.get_type(node.type_condition.name.value)
                fragments[node.name.value] = _selection(schema, on, node.selection_set)
        return cls(operations, fragments)

    def evaluate(self, operation: str | None, variables: Mapping[str, Any]) -> int:
        """Count the objects that an operation may resolve, given its coerced variables."""
        return _Evaluation(self._fragments, variables).selection(self._operations[operation], None)


class _Evaluation:
    """One evaluation; a fragment is counted once for each length of page it is spread in."""

    def __init__(self, fragments: Mapping[str, _Selection], variables: Mapping[str, Any]) -> None:
        self._fragments = fragments
        self._variables = variables
        self._counted: dict[tuple[str, int | None], int] = {}

    def selection(self, selection: _Selection, page: int | None) -> int:
        cost = sum(self.field(field, page) for field in selection.fields)
        return cost + sum(self._fragment(name, page) for name in selection.spreads)

    def _fragment(self, name: str, page: int | None) -> int:
        known = self._counted.get((name, page))
        if known is None:
            known = self._counted[name, page] = self.selection(self._fragments[name], page)
        return known

    def field(self, field: _Field, page: int | None) -> int:
        own_page = self._page(field)
        cost = self._times(field, page if own_page is None else own_page) * (1 + self.selection(field.within, own_page))
        return cost if field.whole is None else -(-cost * INTROSPECTION_COST // field.whole)  # rounded up

    def _times(self, field: _Field, page: int | None) -> int:
        if not field.many:
            return 1
        return max(field.usual, *map(self._length, field.lengths), 0) if page is None else page

    def _page(self, field: _Field) -> int | None:
        """Say how long the lists of the field's object are: its page, or, of what is asked with a list, as long."""
        if not field.paged:
            return None if field.many else max(map(self._length, field.lengths), default=None)
        given = [count for count in map(self._number, field.pages) if count is not None]
        return min(max(0, *given), MAX_PAGE_SIZE) if given else PAGE_SIZE

    def _number(self, count: _Count) -> int | None:
        value = self._variables.get(count.name) if isinstance(count, _Variable) else count
        return value if isinstance(value, int) else None

    def _length(self, count: _Count) -> int:
        value = self._variables.get(count.name) if isinstance(count, _Variable) else count
        return len(value) if isinstance(value, list) else value if isinstance(value, int) else 1


def _selection(schema: GraphQLSchema, on: GraphQLNamedType | None, selection_set: SelectionSetNode) -> _Selection:
    fields: list[_Field] = []
    spreads: list[str] = []
    for parent, node in _merged(schema, on, selection_set):
        if isinstance(node, FragmentSpreadNode):
            spreads.append(node.name.value)
        elif node.name.value in INTROSPECTION_FIELDS:
            asked = _field(schema, _INTROSPECTING[node.name.value], node, 1)
            fields.extend(replace(each, whole=_whole(schema)) for each in asked)
        elif isinstance(parent, GraphQLObjectType | GraphQLInterfaceType) and node.name.value in parent.fields:
            field = parent.fields[node.name.value]
            usual = _sizes(schema).get(node.name.value, 1) if is_introspection_type(parent) else _usual(field)
            fields.extend(_field(schema, field, node, usual))
    return _Selection(tuple(fields), tuple(spreads))


def _field(schema: GraphQLSchema, field: GraphQLField, node: FieldNode, usual: int) -> Iterator[_Field]:
    named = get_named_type(field.type)
    if not is_composite_type(named) or node.selection_set is None:
        if _is_large(field.type):
            yield _LARGE_LEAF
        return
    given = {argument.name.value: argument.value for argument in node.arguments or ()}
    yield _Field(
        many=is_list_type(get_nullable_type(field.type)),
        paged=any(name in field.args for name in _PAGE_ARGUMENTS),
        pages=tuple(count for name in _PAGE_ARGUMENTS if name in given for count in _count(given[name])),
        lengths=tuple(
            _length(given[name])
            for name, argument in field.args.items()
            if name in given and is_list_type(get_nullable_type(argument.type))
        ),
        within=_selection(schema, named, node.selection_set),
        usual=usual,
    )


def _usual(field: GraphQLField) -> int:
    declared = field.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    sizes = [given.assumed_size for given in getattr(declared, "directives", ()) if isinstance(given, ListSize)]
    return sizes[0] if sizes else LIST_SIZE


_INTROSPECTING = {"__schema": SchemaMetaFieldDef, "__type": TypeMetaFieldDef}


@lru_cache(maxsize=16)
def _whole(schema: GraphQLSchema) -> int:
    """Count what tools ask for that want to know the whole schema."""
    asked = get_introspection_query(
        specified_by_url=True,
        directive_is_repeatable=True,
        schema_description=True,
        input_value_deprecation=True,
        one_of=True,
    )
    operation, *fragments = cast("tuple[Any, ...]", parse(asked).definitions)
    known = {
        node.name.value: _selection(schema, schema.get_type(node.type_condition.name.value), node.selection_set)
        for node in fragments
    }
    [root] = _field(schema, SchemaMetaFieldDef, operation.selection_set.selections[0], 1)
    return _Evaluation(known, {}).field(root, None)


@lru_cache(maxsize=16)
def _sizes(schema: GraphQLSchema) -> Mapping[str, int]:
    """Say how long the lists are that tell of the schema, on average, by the names of their fields."""
    types = list(schema.type_map.values())
    objects = [each for each in types if isinstance(each, GraphQLObjectType | GraphQLInterfaceType)]
    fields = [field for each in objects for field in each.fields.values()]
    found: dict[str, tuple[Iterable[Sized], Sized]] = {
        "fields": ((each.fields for each in objects), types),
        "interfaces": ((each.interfaces for each in objects), types),
        "possibleTypes": ((schema.get_possible_types(each) for each in types if is_abstract_type(each)), types),
        "inputFields": ((each.fields for each in types if is_input_object_type(each)), types),
        "enumValues": ((each.values for each in types if is_enum_type(each)), types),
        "args": ((field.args for field in fields), fields),
    }
    sizes = {name: max(1, -(-sum(map(len, lists)) // len(among))) for name, (lists, among) in found.items()}
    return {**sizes, "types": len(types), "directives": len(schema.directives)}


def _count(value: ValueNode) -> Iterator[_Count]:
    match value:
        case VariableNode():
            yield _Variable(value.name.value)
        case IntValueNode():
            yield int(value.value)


def _length(value: ValueNode) -> _Count:
    match value:
        case VariableNode():
            return _Variable(value.name.value)
        case ListValueNode():
            return len(value.values)
    return 1  # what is no list is taken for one of itself alone, whatever it is


def _merged(
    schema: GraphQLSchema, on: GraphQLNamedType | None, selection_set: SelectionSetNode
) -> Iterator[tuple[GraphQLNamedType | None, FieldNode | FragmentSpreadNode]]:
    """Walk a selection set with its inline fragments opened, each selection with the type it stands on."""
    pending = [(on, selection_set)]
    while pending:
        parent, current = pending.pop()
        for node in current.selections:
            if isinstance(node, InlineFragmentNode):
                condition = node.type_condition
                inner = schema.get_type(condition.name.value) if condition else parent
                pending.append((inner, node.selection_set))
            elif isinstance(node, FieldNode | FragmentSpreadNode):
                yield parent, node
