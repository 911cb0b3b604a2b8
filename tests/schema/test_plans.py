"""A plan answers as graphql-core does: the same data, and the same errors at the same places in the same order."""

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from typing import Annotated, Any

import pytest
import strawberry
from graphql import (
    DocumentNode,
    ExecutionResult,
    GraphQLSchema,
    OperationDefinitionNode,
    execute,
    parse,
    specified_rules,
    validate,
)
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from strawberry.schema.schema import StrawberryGraphQLCoreExecutionContext
from strawberry.types import Info

from core.errors import Forbidden
from core.vocabulary import BuiltInRole
from models import now
from schema import answering
from schema import schema as whole_schema
from schema.context import Context
from schema.permissions import Permission, Public
from schema.plans import MAX_SHAPES, STRAIGHT, Plan, Run, Shared
from schema.variables import Variables
from tests.conftest import SetClock
from tests.effort import tries
from tests.organisation import Organisation
from tests.schema.conftest import Served
from tests.schema.test_fuzz import LISTED, Asker


class Odd(Permission):
    """Lets in who asks about an odd number."""

    sentence = "Needs an odd number."
    directive = Public.directive

    def has_permission(self, source: Any, info: Info[Any, Any], **_: object) -> bool:  # noqa: ARG002 - Strawberry's
        if source.number % 3 == 0:
            raise Forbidden("beOdd", f"number/{source.number}")
        return bool(source.number % 2)


@strawberry.interface
class Numbered:
    """What has a number."""

    number: int

    @strawberry.field
    def twice(self) -> int:
        """Tell its double."""
        return self.number * 2


@strawberry.type
class Leaf(Numbered):
    """Ends a branch."""

    word: str = "leaf"

    @strawberry.field
    def both(self) -> str:
        """Tell what the other type tells in its own way."""
        return f"leaf {self.number}"


@strawberry.type
class Tree(Numbered):
    """Branches, in every way that a value may be made in."""

    closed: str | None = strawberry.field(permission_classes=[Odd], default="open")
    none: str = None  # type: ignore[assignment]
    letters: list[str] = strawberry.field(default_factory=lambda: ["a", "b"])
    holes: list[str | None] = strawberry.field(default_factory=lambda: ["a", None])
    torn: list[str] | None = strawberry.field(default_factory=lambda: ["a", None])
    wrong: int | None = "seven"  # type: ignore[assignment]

    @strawberry.field
    def both(self) -> str:
        """Tell what the other type tells in its own way."""
        return f"tree {self.number}"

    @strawberry.field
    async def waits(self, turns: int = 1) -> int:
        """Wait for some turns of the loop."""
        for _ in range(turns):
            await asyncio.sleep(0)
        return turns

    @strawberry.field
    async def late(self, turns: int = 2) -> str:
        """Fail late, and take along what it is in."""
        for _ in range(turns):
            await asyncio.sleep(0)
        raise ValueError(f"late by {turns}")

    @strawberry.field
    async def late_none(self) -> str | None:
        """Fail late, alone."""
        await asyncio.sleep(0)
        raise Forbidden("beLate", None)

    @strawberry.field
    def raised(self) -> str | None:
        """Fail at once."""
        raise ValueError(f"raised {self.number}")

    @strawberry.field
    def fatal(self) -> str:
        """Fail at once, and take along what it is in."""
        raise ValueError(f"fatal {self.number}")

    @strawberry.field
    def returned(self) -> str | None:
        """Return what should be raised."""
        return ValueError("returned")  # type: ignore[return-value]

    @strawberry.field
    def self(self) -> "Tree":
        """Go on."""
        return Tree(number=self.number + 1)

    @strawberry.field
    def maybe(self) -> "Tree | None":
        """Go on where there is a way."""
        return Tree(number=self.number + 1) if self.number % 2 else None

    @strawberry.field
    async def soon(self) -> "Tree | None":
        """Go on after a while."""
        await asyncio.sleep(0)
        return Tree(number=self.number + 1)

    @strawberry.field
    def many(self, count: int = 2) -> "list[Tree]":
        """Branch."""
        return [Tree(number=number) for number in range(count)]

    @strawberry.field
    def some(self) -> "list[Tree | None] | None":
        """Branch with gaps, some of them failures."""
        return [Tree(number=1), None, ValueError("gap"), Tree(number=2)]  # type: ignore[list-item]

    @strawberry.field
    def coming(self) -> "list[Tree | None]":
        """Branch later."""

        async def one(number: int) -> Tree | None:
            await asyncio.sleep(0)
            if number == 2:
                raise ValueError("never came")
            return Tree(number=number)

        return [one(1), Tree(number=7), one(2), one(3)]  # type: ignore[list-item]

    @strawberry.field
    def tuple(self) -> "list[Tree]":
        """Branch in another form."""
        return (Tree(number=5), Tree(number=6))  # type: ignore[return-value]

    @strawberry.field
    def no_list(self) -> "list[Tree] | None":
        """Be no list."""
        return 5  # type: ignore[return-value]

    @strawberry.field
    async def streamed(self) -> "list[Tree | None]":
        """Branch one by one."""

        async def all_() -> AsyncIterator[Tree]:
            yield Tree(number=8)
            await asyncio.sleep(0)
            yield Tree(number=9)

        return all_()  # type: ignore[return-value]

    @strawberry.field
    def other(self) -> Numbered | None:
        """Be of either type."""
        return Leaf(number=self.number) if self.number % 2 else Tree(number=self.number)

    @strawberry.field
    def others(self) -> list[Numbered | None]:
        """Be of both types, and of none."""
        return [Leaf(number=3), Tree(number=4), "none"]  # type: ignore[list-item]

    @strawberry.field
    def union(self) -> Annotated["Tree | Leaf", strawberry.union("Either")] | None:
        """Be of either type, without anything in common."""
        return Leaf(number=self.number) if self.number % 2 else Tree(number=self.number)

    @strawberry.field
    def mistaken(self) -> "Tree | None":
        """Be of another type."""
        return Leaf(number=1)  # type: ignore[return-value]

    @strawberry.field
    def told(self, info: Info[Any, Any], words: list[str] | None = None, n: int | None = None) -> str:
        """Tell what is known of the question."""
        return f"{info.context} {info.field_name} {info.path.as_list()} {words} {n} {sorted(info.variable_values)}"


@strawberry.type
class Query:
    """Where all starts."""

    @strawberry.field
    def tree(self) -> Tree | None:
        """Start."""
        return Tree(number=0)

    @strawberry.field
    async def wood(self) -> list[Tree]:
        """Start often."""
        return [Tree(number=1), Tree(number=2)]

    @strawberry.field
    def sure(self) -> Tree:
        """Start, or answer nothing at all."""
        return Tree(number=3)


@strawberry.type
class Mutation:
    """Where all starts, in turn."""

    @strawberry.field
    async def first(self) -> Tree:
        """Wait longest."""
        await asyncio.sleep(0)
        return Tree(number=0)

    @strawberry.field
    def second(self) -> Tree | None:
        """Be at once."""
        return Tree(number=1)


PLAIN = strawberry.Schema(Query, Mutation, types=[Leaf])
SHORT = strawberry.Schema(Query, Mutation, types=[Leaf], execution_context_class=answering.Executor)
answering.shorten(SHORT)

LEAVES = {
    "Numbered": ("number", "twice", "__typename"),
    "Leaf": ("number", "twice", "word", "both", "__typename"),
    "Tree": (
        *("number", "twice", "both", "closed", "letters", "holes", "torn", "wrong", "raised", "returned", "lateNone"),
        *("none", "fatal", "late", "waits", "waits(turns: 3)", "waits(turns: $n)", "late(turns: 0)", "late(turns: $n)"),
        *("told", 'told(words: "x")', "told(words: $words, n: $n)", "told(words: [$word], n: null)", "__typename"),
    ),
}
BRANCHES = {
    "Query": (("tree", "Tree"), ("wood", "Tree"), ("sure", "Tree")),
    "Mutation": (("first", "Tree"), ("second", "Tree")),
    "Tree": (
        *(("self", "Tree"), ("maybe", "Tree"), ("soon", "Tree"), ("many", "Tree"), ("many(count: $n)", "Tree")),
        *(("some", "Tree"), ("coming", "Tree"), ("tuple", "Tree"), ("noList", "Tree"), ("streamed", "Tree")),
        *(("other", "Numbered"), ("others", "Numbered"), ("mistaken", "Tree"), ("union", "Either")),
    ),
}
WITHIN = {"Numbered": ("Tree", "Leaf", "Numbered"), "Tree": ("Tree", "Numbered"), "Either": ("Tree", "Leaf")}
DIRECTIVES = ("", "", "", "@skip(if: $no)", "@include(if: $yes)", "@skip(if: true)", "@include(if: true)")
DECLARED = '($n: Int! = 1, $words: [String!], $word: String! = "w", $yes: Boolean!, $no: Boolean = false)'
ENOUGH = 40
"""How many operations of the real schema are compared."""


@st.composite
def selections(draw: st.DrawFn, on: str, depth: int) -> str:
    """Write what is asked of an object of some type."""
    written = []
    for _ in range(draw(st.integers(1, 4))):
        directive = draw(st.sampled_from(DIRECTIVES))
        kind = draw(st.sampled_from(("leaf", "branch", "inline", "spread")))
        if kind == "spread" and on in {"Tree", "Numbered"}:
            written.append(f"...{draw(st.sampled_from(('OfTree', 'OfNumbered')))} {directive}")
        elif kind == "inline" and on in WITHIN and depth:
            type_ = draw(st.sampled_from(WITHIN[on]))
            written.append(f"... on {type_} {directive} {draw(selections(type_, depth - 1))}")
        elif kind == "branch" and on in BRANCHES and depth:
            field, type_ = draw(st.sampled_from(BRANCHES[on]))
            written.append(f"{named(draw, field)} {directive} {draw(selections(type_, depth - 1))}")
        elif on in LEAVES:
            written.append(f"{named(draw, draw(st.sampled_from(LEAVES[on])))} {directive}")
        else:
            written.append(f"__typename {directive}")
    return f"{{ {' '.join(written)} }}"


def named(draw: st.DrawFn, field: str) -> str:
    """Ask for a field by its own name, if it takes no arguments, or by one of its field and arguments."""
    if "(" not in field and draw(st.booleans()):
        return field
    return f"a{''.join(filter(str.isalnum, field))}{'N' * field.count('$')}: {field}"


@st.composite
def documents(draw: st.DrawFn) -> str:
    """Write a document of one operation and two fragments."""
    keyword, root = draw(st.sampled_from((("query", "Query"), ("query", "Query"), ("mutation", "Mutation"))))
    return (
        f"{keyword} {DECLARED} {draw(selections(root, 4))}"
        f" fragment OfTree on Tree {draw(selections('Leaf', 1)).replace('word', 'raised')}"
        f" fragment OfNumbered on Numbered {{ number ... on Tree {draw(selections('Tree', 0))} twice }}"
    )


VARIABLES = st.fixed_dictionaries(
    {"yes": st.booleans()},
    optional={"n": st.integers(0, 3), "words": st.sampled_from((None, ["x"], ["x", "y"])), "no": st.booleans()},
)


def read(text: str, schema: GraphQLSchema) -> tuple[DocumentNode, OperationDefinitionNode] | None:
    """Read a document, None if it is not valid. That something is not used does not matter."""
    tree = parse(text)
    rules = [rule for rule in specified_rules if "Unused" not in rule.__name__]
    operation = tree.definitions[0]
    assert isinstance(operation, OperationDefinitionNode)
    return None if validate(schema, tree, rules) else (tree, operation)


def told(result: ExecutionResult) -> tuple[Any, list[Any]]:
    return result.data, [error.formatted for error in result.errors or ()]


async def by_core(schema: strawberry.Schema, tree: DocumentNode, context: Any, variables: Mapping[str, Any]) -> Any:
    """Execute as Strawberry does without anything of ours."""
    result = execute(
        schema._schema,  # noqa: SLF001 - Strawberry offers no public way to it
        tree,
        context_value=context,
        variable_values=dict(variables),
        executor_class=StrawberryGraphQLCoreExecutionContext,
    )
    return told(await result if asyncio.iscoroutine(result) else result)  # type: ignore[arg-type]


async def by_plan(plan: Plan, context: Any, variables: Mapping[str, Any]) -> Any:
    """Run a plan with variables that fit."""
    read = Variables(plan.schema, plan.operation.variable_definitions or ()).read(variables, hints=True)
    assert not isinstance(read, list)
    return told(await Run(plan, context, read, hide_suggestions=False).answer())


# Whoever fails leaves the resolvers of its siblings unawaited, here as there.
@pytest.mark.filterwarnings("ignore:coroutine:RuntimeWarning", "ignore::pytest.PytestUnraisableExceptionWarning")
@settings(max_examples=tries(150), deadline=None, suppress_health_check=list(HealthCheck))
@given(documents(), st.lists(VARIABLES, min_size=1, max_size=3))
def test_a_plan_answers_as_graphql_core_does(text: str, given: list[dict[str, Any]]) -> None:
    core = SHORT._schema  # noqa: SLF001 - as above
    found = read(text, core)
    event("valid" if found else "not valid")
    if found is None:
        return
    tree, operation = found
    plan = Plan(core, Shared(tree), operation)

    async def compared() -> None:
        for variables in given:
            wanted = await by_core(PLAIN, tree, "here", variables)
            event(f"{min(len(wanted[1]), 3)} errors")
            assert await by_plan(plan, "here", variables) == wanted

    asyncio.run(compared())


@pytest.mark.parametrize("seed", range(2))
async def test_a_plan_of_this_schema_answers_as_graphql_core_does(
    seed: int, organisation: Organisation, served: Served, set_clock: SetClock
) -> None:
    set_clock(now())  # some answers say when something would end
    core = whole_schema._schema  # noqa: SLF001 - as above
    ids = [node["id"] for rows in (await served(organisation.owner, LISTED))["data"].values() for node in rows["nodes"]]
    asker = Asker(random.Random(seed), ids)  # noqa: S311 - a seed, so that a failure comes again
    reader = await organisation.as_role(BuiltInRole.READER)
    compared = 0
    while compared < ENOUGH:
        text = asker.operation()
        found = None if "auditHead" in text else read(text, core)  # it is signed anew each time
        if found is None or found[1].operation.value != "query":
            continue
        caller = asker.chance.choice([organisation.owner, reader, None])
        wanted, answered = [
            await each
            for each in (
                by_core(whole_schema, found[0], Context(organisation.request, caller), {}),
                by_plan(Plan(core, Shared(found[0]), found[1]), Context(organisation.request, caller), {}),
            )
        ]
        assert answered[0] == wanted[0]
        # Whose row the database brings first is not the plan's to say.
        assert sorted(map(str, answered[1])) == sorted(map(str, wanted[1]))
        compared += 1


async def test_the_shapes_of_a_plan_are_few() -> None:
    names = [f"v{number}" for number in range(6)]
    declared = ", ".join(f"${name}: Boolean!" for name in names)
    asked = " ".join(f"{name}: number @include(if: ${name})" for name in names)
    core = SHORT._schema  # noqa: SLF001 - as above
    found = read(f"query ({declared}) {{ tree {{ number {asked} }} }}", core)
    assert found
    plan = Plan(core, Shared(found[0]), found[1])
    for number in range(64):
        variables = {name: bool(number >> at & 1) for at, name in enumerate(names)}
        data, errors = await by_plan(plan, None, variables)
        assert (data["tree"].keys(), errors) == ({"number", *(name for name in names if variables[name])}, [])
    assert len(plan._shapes) <= MAX_SHAPES  # noqa: SLF001 - the memory is what this is about


async def test_a_plan_that_waited_is_tried_at_once_again_after_many_runs_that_did_not() -> None:
    core = SHORT._schema  # noqa: SLF001 - as above
    found = read("query ($waits: Boolean!) { tree { number waits(turns: 1) @include(if: $waits) } }", core)
    assert found
    plan = Plan(core, Shared(found[0]), found[1])
    tried = []
    for waits in (False, True, *[False] * STRAIGHT, True):
        await by_plan(plan, None, {"waits": waits})
        tried.append(not plan.waits)
    assert tried == [True, *[False] * STRAIGHT, True, False]
