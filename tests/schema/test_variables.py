"""Variables are read as graphql-core reads them, and what is wrong with them is said in its words."""

from typing import Any

import strawberry
from graphql import (
    GraphQLEnumType,
    GraphQLInputObjectType,
    GraphQLInputType,
    GraphQLList,
    GraphQLNonNull,
    OperationDefinitionNode,
    get_variable_values,
    is_input_type,
    parse,
)
from hypothesis import event, given, settings
from hypothesis import strategies as st

from schema import schema
from schema.variables import MAX_ERRORS, Variables
from tests.effort import tries


@strawberry.input
class Inner:
    """Has a default, and itself within."""

    name: str = "unnamed"
    inner: "Inner | None" = None


@strawberry.input
class Given:
    """Has what the schema has not."""

    names: list[str]
    inner: Inner | None = strawberry.UNSET
    number: float = 1.5


@strawberry.type
class Query:
    """Takes it."""

    @strawberry.field
    def take(self, given: Given) -> str:
        """Take it."""
        return str(given)


SCHEMAS = [each._schema for each in (schema, strawberry.Schema(Query))]  # noqa: SLF001 - no public way to it
TYPES = [(core, type_) for core in SCHEMAS for type_ in core.type_map.values() if is_input_type(type_)]
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(-3, 2**33), st.floats(), st.text(max_size=3), st.just("SERVICE")
)
TEXTS = st.one_of(st.text(max_size=3), st.text(max_size=3), LEAVES)
NUMBERS = st.one_of(st.integers(-3, 3), st.integers(-3, 3), LEAVES)
ANYTHING = st.recursive(
    LEAVES, lambda within: st.lists(within, max_size=2) | st.dictionaries(st.text(max_size=3), within, max_size=2)
)


@st.composite
def values(draw: st.DrawFn, type_: GraphQLInputType, depth: int = 4) -> Any:  # noqa: PLR0911 - one for each kind of type
    """Make a value of a type, which is now and then of another."""
    if depth == 0 or draw(st.integers(0, 30)) == 0:
        return draw(ANYTHING)
    match type_:
        case GraphQLNonNull():
            return draw(values(type_.of_type, depth))
        case _ if draw(st.integers(0, 10)) == 0:
            return None
        case GraphQLList():
            return [draw(values(type_.of_type, depth - 1)) for _ in range(draw(st.integers(0, 2)))]
        case GraphQLInputObjectType():
            names = [name for name in type_.fields if draw(st.integers(0, 3))]
            unknown = {"unknown": 1} if draw(st.integers(0, 4)) == 0 else {}
            return {**{name: draw(values(type_.fields[name].type, depth - 1)) for name in names}, **unknown}
        case GraphQLEnumType():
            return draw(st.sampled_from(list(type_.values)))
        case _ if type_.name == "Boolean":
            return draw(st.booleans())
        case _ if type_.name in {"Int", "Float"}:
            return draw(st.integers(-5, 5))
        case _:
            return draw(st.sampled_from(["", "x", "2026-01-02T03:04:05Z"]))


@settings(max_examples=tries(300), deadline=None)
@given(st.data())
def test_variables_are_read_as_graphql_core_reads_them(data: st.DataObject) -> None:
    core, type_ = data.draw(st.sampled_from(TYPES))
    shape = data.draw(st.sampled_from(("{}", "{}!", "[{}!]!", "[{}]", "{} = null")))
    text = f'query ($given: {shape.format(type_)}, $other: String = "d", $third: Int) {{ __typename }}'
    operation = parse(text).definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    declared = operation.variable_definitions or ()
    plain: GraphQLInputType = GraphQLList(type_) if "[" in shape else type_
    sent = data.draw(st.fixed_dictionaries({}, optional={"given": values(plain), "other": TEXTS, "third": NUMBERS}))

    read = Variables(core, declared).read(sent, hints=False)

    wanted = get_variable_values(core, declared, sent, max_errors=MAX_ERRORS, hide_suggestions=True)
    event("read" if not isinstance(wanted, list) else "refused")
    if isinstance(wanted, list) or isinstance(read, list):
        assert [str(error) for error in read] == [str(error) for error in wanted]
    else:
        assert repr(read.coerced) == repr(wanted.coerced)
        assert {name: source.value for name, source in read.sources.items()} == {
            name: source.value for name, source in wanted.sources.items()
        }


def test_an_unknown_field_beside_all_that_are_required_is_refused() -> None:
    operation = parse("query ($given: [AccessCheckInput!]!) { __typename }").definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    variables = Variables(SCHEMAS[0], operation.variable_definitions or ())
    check = {"action": "updateOn", "resource": "flag/f"}
    assert not isinstance(variables.read({"given": [check]}, hints=True), list)
    refused = variables.read({"given": [{**check, "unknown": 1}]}, hints=True)
    assert isinstance(refused, list)
    assert "unknown field 'unknown'" in str(refused[0])
