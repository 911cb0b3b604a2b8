"""Operations made ready to run often: what graphql-core works out at every execution, worked out once for a document.

A run answers as graphql-core does, errors and their order included, and a property test holds it to that. What is rare
it hands back to graphql-core: lists that are no lists, types told by other means than the Python type of an object.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from functools import cached_property
from types import GeneratorType
from typing import Any, TypeGuard

from graphql import (
    DirectiveNode,
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    GraphQLAbstractType,
    GraphQLError,
    GraphQLField,
    GraphQLLeafType,
    GraphQLList,
    GraphQLObjectType,
    GraphQLOutputType,
    GraphQLResolveInfo,
    GraphQLSchema,
    Node,
    OperationDefinitionNode,
    OperationType,
    Undefined,
    VariableNode,
    Visitor,
    get_argument_values,
    is_abstract_type,
    is_leaf_type,
    is_list_type,
    is_non_null_type,
    is_object_type,
    located_error,
    visit,
)
from graphql.execution import default_field_resolver, default_type_resolver
from graphql.execution.collect_fields import (
    FieldDetailsList,
    FragmentDetails,
    GroupedFieldSet,
    collect_fields,
    collect_subfields,
)
from graphql.execution.executor import SELECTIONS_NESTED_TOO_DEEPLY, CollectedErrors
from graphql.execution.values import VariableValues
from graphql.pyutils import Path, gather_with_cancel
from graphql.type.definition import GraphQLResolveInfoHelpers
from strawberry.schema.schema_converter import GraphQLCoreConverter
from strawberry.types import Info
from strawberry.types.base import StrawberryObjectDefinition
from strawberry.types.field import StrawberryField

from schema.answering import Executor, Leaf, Short

MAX_SHAPES = 4
"""How many shapes of one operation are kept: what `@skip` and `@include` make of it with different variables."""
STRAIGHT = 8
"""How many runs in a row have to wait for nothing until the next one is tried at once again, after one that waited."""

_awaitables: dict[type, bool] = {GeneratorType: False}
"""Which types can be awaited, of those met; there are as many as the code has."""


def is_awaitable(value: object) -> TypeGuard[Awaitable[Any]]:
    """Say whether something can be awaited. Generators made into coroutines are not taken for that."""
    kind = type(value)
    known = _awaitables.get(kind)
    if known is None:
        known = _awaitables[kind] = hasattr(kind, "__await__")
    return known


_Read = Callable[["Run", Any, Path], Any]
"""Reads the value of a field of an object, or gives what is to be waited for."""

_Complete = Callable[["Run", Any, Path], Any]
"""Makes an answer of a value, or something to wait for."""


class Shared:
    """What the plans of all operations of a document share."""

    def __init__(self, document: DocumentNode) -> None:
        self.fragments = {
            node.name.value: node for node in document.definitions if isinstance(node, FragmentDefinitionNode)
        }
        self.details = {name: FragmentDetails(node) for name, node in self.fragments.items()}
        self.switches = _switches(document)


class Plan:
    """An operation of a document that is valid for a schema."""

    def __init__(self, schema: GraphQLSchema, shared: Shared, operation: OperationDefinitionNode) -> None:
        self.schema = schema
        self.operation = operation
        self.fragments = shared.fragments
        self.details = shared.details
        self._switches = shared.switches
        self._straight = STRAIGHT - 1
        """How many runs in a row had to wait for nothing."""
        self._shapes: dict[tuple[object, ...], Selection] = {}

    @property
    def waits(self) -> bool:
        """Whether a run may have to wait for something, as far as those before it tell."""
        return self._straight < STRAIGHT

    def ran(self, *, waits: bool) -> None:
        """Note a run: whether it had to wait."""
        self._straight = 0 if waits else self._straight + 1

    def root(self, run: "Run") -> "Selection":
        """Give the root fields that these variables ask for."""
        given = run.variables.coerced
        key = tuple([given.get(name, Undefined) for name in self._switches])
        found = self._shapes.get(key)
        if found is None:
            found = self._collected(run)
            if len(self._shapes) >= MAX_SHAPES:
                self._shapes.clear()
            self._shapes[key] = found
        return found

    def _collected(self, run: "Run") -> "Selection":
        root = self.schema.get_root_type(self.operation.operation)
        if root is None:
            raise GraphQLError(
                f"Schema is not configured to execute {self.operation.operation.value} operation.", self.operation
            )
        try:
            fields = collect_fields(
                self.schema, self.details, run.variables, root, self.operation, run.hide_suggestions
            ).grouped_field_set
        except RecursionError:
            fields = None
        if fields is None:
            raise GraphQLError(SELECTIONS_NESTED_TOO_DEEPLY, self.operation)
        return Selection(self, root, fields)

    @property
    def shapes(self) -> int:
        """How often its fields may be in memory."""
        return MAX_SHAPES if self._switches else 1


class Selection:
    """The fields that are asked of one type at one place."""

    __slots__ = ("steps",)

    def __init__(self, plan: Plan, on: GraphQLObjectType, fields: GroupedFieldSet) -> None:
        pairs = [
            (key, details, plan.schema.get_field(on, details[0].node.name.value)) for key, details in fields.items()
        ]
        self.steps = [Step(plan, on, key, details, field) for key, details, field in pairs if field]


class Step:
    """One field at one place: how it is read, and how an answer is made of what was read."""

    __slots__ = (
        "_selections",
        "_spot",
        "details",
        "field",
        "key",
        "leaf",
        "name",
        "on",
        "plan",
        "read",
    )

    def __init__(
        self, plan: Plan, on: GraphQLObjectType, key: str, details: FieldDetailsList, field: GraphQLField
    ) -> None:
        self.plan = plan
        self.on = on
        self.key = key
        self.details = details
        self.field = field
        self.name = details[0].node.name.value
        self.leaf = _leaf(self)
        self.read = _reading(self)
        self._spot: Spot | None = None
        self._selections: dict[GraphQLObjectType, Selection] = {}

    @property
    def nodes(self) -> list[FieldNode]:
        """Where it stands in the document."""
        return [detail.node for detail in self.details]

    @property
    def spot(self) -> "Spot":
        """Where its value goes. Made when it is needed first, which for most leaves is never."""
        if self._spot is None:
            self._spot = Spot(self, self.field.type)
        return self._spot

    def selection(self, run: "Run", type_: GraphQLObjectType) -> Selection:
        """Give the fields that are asked of an object which the field leads to."""
        found = self._selections.get(type_)
        if found is None:
            plan = self.plan
            fields = collect_subfields(
                plan.schema, plan.details, run.variables, plan.operation, type_, self.details, run.hide_suggestions
            ).grouped_field_set
            found = self._selections[type_] = Selection(plan, type_, fields)
        return found


class Spot:
    """Where a value goes: a field, or an item of its list."""

    __slots__ = ("complete", "step", "strict")

    def __init__(self, step: Step, type_: GraphQLOutputType) -> None:
        self.step = step
        self.strict = is_non_null_type(type_)
        """Whether null is no answer, so that what fails here fails what it is in."""
        self.complete = _completing(step, type_)


def _never() -> None:
    """Refuse nothing."""


class Run:
    """One run of an operation, for one context."""

    __slots__ = ("context", "errors", "hide_suggestions", "plan", "variables")

    def __init__(self, plan: Plan, context: object, variables: VariableValues, *, hide_suggestions: bool) -> None:
        self.plan = plan
        self.context = context
        self.variables = variables
        self.hide_suggestions = hide_suggestions
        self.errors = CollectedErrors()

    async def answer(self, refusal: Callable[[], Exception | None] = _never) -> ExecutionResult:
        """Run to the end. What `refusal` gives, the next field of a mutation is refused with, before it is begun."""
        data: Any
        try:
            if self.plan.operation.operation is OperationType.MUTATION:
                data = await self._in_turn(self.plan.root(self), refusal)
            else:
                data = self._begun()
                if is_awaitable(data):
                    data = await data
        except GraphQLError as error:
            self.errors.add(error, None)
            data = None
        return ExecutionResult(data, self.errors.errors or None)

    def answer_at_once(self) -> ExecutionResult | None:
        """Run a query that lately never had to wait; None if it has to now, or is any other: then nothing was told."""
        if self.plan.waits or self.plan.operation.operation is not OperationType.QUERY:
            return None
        try:
            data = self._begun()
        except GraphQLError:
            return None
        if is_awaitable(data):
            _settle([data])
            return None
        return ExecutionResult(data, self.errors.errors or None)

    def _begun(self) -> Any:  # noqa: ANN401 - the fields of the root, or what is to be waited for
        data = self.fields(self.plan.root(self), None, None)
        self.plan.ran(waits=is_awaitable(data))
        return data

    async def _in_turn(self, root: Selection, refusal: Callable[[], Exception | None]) -> dict[str, Any]:
        answers: dict[str, Any] = {}
        for step in root.steps:
            refused = refusal()
            if refused is not None:
                self.failed(step.spot, Path(None, step.key, step.on.name), refused)
                answers[step.key] = None
                continue
            answer = self._field(step, None, None)
            answers[step.key] = await answer if is_awaitable(answer) else answer
        return answers

    def fields(self, selection: Selection, source: object, path: Path | None) -> Any:  # noqa: ANN401 - or to wait for
        """Answer fields of an object, which stands at a path."""
        answers: dict[str, Any] = {}
        waiting: list[str] = []
        try:
            for step in selection.steps:
                answer = Undefined
                if step.leaf is not None:
                    try:
                        answer = step.leaf(source)
                    except Exception:  # noqa: BLE001 - the long way reads again, and says what is wrong
                        answer = Undefined
                if answer is Undefined:
                    answer = self._field(step, source, path)
                    if is_awaitable(answer):
                        waiting.append(step.key)
                answers[step.key] = answer
        except Exception:
            _settle([answers[key] for key in waiting])
            raise
        return _waited(answers, waiting) if waiting else answers

    def _field(self, step: Step, source: object, above: Path | None) -> Any:  # noqa: ANN401 - any value of the schema
        path = Path(above, step.key, step.on.name)
        spot = step.spot
        try:
            value = step.read(self, source, path)
            if is_awaitable(value):
                return self.awaited(spot, path, value)
            answer = spot.complete(self, value, path)
        except Exception as error:  # noqa: BLE001 - whatever a resolver raises is told of its field
            return self.failed(spot, path, error)
        return self.kept(spot, path, answer) if is_awaitable(answer) else answer

    async def awaited(self, spot: Spot, path: Path, value: Awaitable[Any]) -> Any:  # noqa: ANN401 - any value of the schema
        """Wait for a value, and make an answer of it."""
        try:
            answer = spot.complete(self, await value, path)
            return await answer if is_awaitable(answer) else answer
        except Exception as error:  # noqa: BLE001 - as above
            return self.failed(spot, path, error)

    async def kept(self, spot: Spot, path: Path, answer: Awaitable[Any]) -> Any:  # noqa: ANN401 - any value of the schema
        """Wait for an answer; what fails within it fails here, or above."""
        try:
            return await answer
        except Exception as error:  # noqa: BLE001 - as above
            return self.failed(spot, path, error)

    def failed(self, spot: Spot, path: Path, error: Exception) -> None:
        """Tell of what went wrong at a spot: null is its answer, if it may be. Raises `GraphQLError` otherwise."""
        located = located_error(error, spot.step.nodes, path.as_list())
        if spot.strict:
            raise located
        self.errors.add(located, path)

    def items(self, spot: Spot, values: list[Any], path: Path) -> Any:  # noqa: ANN401 - a list, or to wait for one
        """Answer the items of a list."""
        answers: list[Any] = []
        waiting: list[int] = []
        try:
            for index, value in enumerate(values):
                answer = self._item(spot, value, Path(path, index, None))
                answers.append(answer)
                if is_awaitable(answer):
                    waiting.append(index)
        except Exception:
            _settle([*(answers[index] for index in waiting), *filter(is_awaitable, values[len(answers) + 1 :])])
            raise
        return _waited(answers, waiting) if waiting else answers

    def _item(self, spot: Spot, value: object, path: Path) -> Any:  # noqa: ANN401 - any value of the schema
        if is_awaitable(value):
            return self.awaited(spot, path, value)
        try:
            answer = spot.complete(self, value, path)
        except Exception as error:  # noqa: BLE001 - as above
            return self.failed(spot, path, error)
        return self.kept(spot, path, answer) if is_awaitable(answer) else answer

    def left_to_core(self, step: Step, type_: GraphQLOutputType, value: object, path: Path) -> Any:  # noqa: ANN401 - as above
        """Let graphql-core make an answer of a value."""
        return self.executor().complete_value(type_, step.details, self.info(step, path), path, value, None)

    def executor(self) -> Executor:
        """Make graphql-core's executor of the same operation."""
        plan = self.plan
        executor = Executor(
            plan.schema,
            plan.fragments,
            plan.details,
            None,
            self.context,
            plan.operation,
            self.variables,
            default_field_resolver,
            default_type_resolver,
            default_field_resolver,
            is_awaitable=is_awaitable,
            hide_suggestions=self.hide_suggestions,
        )
        executor.collected_errors = self.errors
        return executor

    def info(self, step: Step, path: Path) -> GraphQLResolveInfo[Any]:
        """Tell what graphql-core tells a resolver."""
        plan = self.plan
        return GraphQLResolveInfo(
            step.name,
            step.nodes,
            step.field.type,
            step.on,
            path,
            plan.schema,
            plan.fragments,
            None,
            plan.operation,
            self.variables.coerced,  # type: ignore[arg-type]  # as Strawberry has it
            self.context,
            is_awaitable,
            None,
            _HELPERS,
        )


def _leaf(step: Step) -> Callable[[object], Any] | None:
    """Give what reads and answers a leaf in one; what it answers with `Undefined` takes the long way."""
    if step.name == "__typename":
        name = step.on.name
        return lambda _source: name
    return step.field.resolve.answer if isinstance(step.field.resolve, Leaf) else None


def _reading(step: Step) -> _Read:
    """Make what reads the value of a field. It raises what the resolver raises."""
    node, field = step.details[0].node, step.field
    resolve: Callable[..., Any] = field.resolve or default_field_resolver
    given = _constant(field, node)
    if given is None:

        def read(run: Run, source: object, path: Path) -> Any:  # noqa: ANN401 - any value of the schema
            given = get_argument_values(field, node, run.variables, None, run.hide_suggestions)
            return resolve(source, run.info(step, path), **given)

        return read
    if not isinstance(resolve, Short):
        return lambda run, source, path: resolve(source, run.info(step, path), **given)
    if not (resolve.asks or given):
        return lambda _run, source, _path: resolve.read(source, None)
    return lambda run, source, path: resolve.told(source, Told(run, step, path), **given)


class Told(Info[Any, Any]):
    """What a resolver is told of its field. All but the context is made when somebody looks at it."""

    def __init__(self, run: "Run", step: Step, path: Path) -> None:
        self._run = run
        self._step = step
        self._path = path

    @property
    def context(self) -> Any:  # noqa: ANN401 - whatever the operation is run with
        """The context of the run."""
        return self._run.context

    @property
    def _field(self) -> StrawberryField:  # type: ignore[override]
        field: StrawberryField = self._step.field.extensions[GraphQLCoreConverter.DEFINITION_BACKREF]
        return field

    @cached_property
    def _raw_info(self) -> GraphQLResolveInfo[Any]:  # type: ignore[override]
        return self._run.info(self._step, self._path)


def _constant(field: GraphQLField, node: FieldNode) -> Mapping[str, Any] | None:
    """Give the arguments if they are the same in every run, and nobody could change them for the next."""
    if not (field.args or node.arguments):
        return {}
    if _variables(node.arguments or ()):
        return None
    try:
        given = get_argument_values(field, node)
    except GraphQLError:
        return None
    return None if any(isinstance(value, list | dict) for value in given.values()) else given


def _completing(step: Step, type_: GraphQLOutputType) -> _Complete:
    """Make what makes answers of values of a type."""
    if is_non_null_type(type_):
        return _completing_non_null(step, _completing(step, type_.of_type))
    if is_list_type(type_):
        return _completing_list(step, type_)
    if is_leaf_type(type_):
        return _completing_leaf(type_)
    if is_object_type(type_):
        origin = _origin(type_)
        return _completing_object(step, type_, {origin: type_} if origin else {})
    assert is_abstract_type(type_)  # noqa: S101 - there are no others
    return _completing_object(step, type_, _kinds(step.plan.schema, type_))


def _completing_non_null(step: Step, within: _Complete) -> _Complete:
    def complete(run: Run, value: object, path: Path) -> Any:  # noqa: ANN401 - as above
        answer = within(run, value, path)
        if answer is None:
            raise TypeError(f"Cannot return null for non-nullable field {step.on}.{step.name}.")
        return answer

    return complete


def _completing_list(step: Step, type_: GraphQLList[Any]) -> _Complete:
    spot = Spot(step, type_.of_type)

    def complete(run: Run, value: object, path: Path) -> Any:  # noqa: ANN401 - as above
        if type(value) is list:
            return run.items(spot, value, path)
        if value is None or value is Undefined:
            return None
        return run.left_to_core(step, type_, value, path)

    return complete


def _completing_leaf(type_: GraphQLLeafType) -> _Complete:
    def complete(_run: Run, value: object, _path: Path) -> Any:  # noqa: ANN401 - as above
        if value is None or value is Undefined:
            return None
        if isinstance(value, Exception):
            raise value
        return Executor.complete_leaf_value(type_, value)

    return complete


def _completing_object(step: Step, type_: GraphQLOutputType, kinds: Mapping[type, GraphQLObjectType]) -> _Complete:
    """Make what answers objects, by the Python types that are surely of a type."""
    # What has no interface may be anything: its type is not looked at.
    only = type_ if is_object_type(type_) and type_.is_type_of is None else None

    def complete(run: Run, value: object, path: Path) -> Any:  # noqa: ANN401 - as above
        kind = kinds.get(type(value))
        if kind is None:
            if value is None or value is Undefined:
                return None
            if only is None or isinstance(value, Exception):
                return run.left_to_core(step, type_, value, path)
            kind = only
        return run.fields(step.selection(run, kind), value, path)

    return complete


def _origin(type_: GraphQLObjectType) -> type | None:
    """Give the Python type whose instances are of a type, if that is all there is to it.

    `strawberry.cast`, which would give an object another type, is not used.
    """
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryObjectDefinition):
        return None
    return definition.origin if definition.is_type_of is None and definition.concrete_of is None else None


def _kinds(schema: GraphQLSchema, type_: GraphQLAbstractType) -> dict[type, GraphQLObjectType]:
    definition = type_.extensions.get(GraphQLCoreConverter.DEFINITION_BACKREF)
    if not isinstance(definition, StrawberryObjectDefinition) or definition.resolve_type is not None:
        return {}
    return {origin: possible for possible in schema.get_possible_types(type_) if (origin := _origin(possible))}


async def _waited(answers: Any, keys: list[Any]) -> Any:  # noqa: ANN401 - of a list, or of a dict
    """Wait for some of the answers, and put them where they belong."""
    if len(keys) == 1:
        answers[keys[0]] = await answers[keys[0]]
    else:
        found = await gather_with_cancel(*[answers[key] for key in keys])
        for key, answer in zip(keys, found, strict=True):
            answers[key] = answer
    return answers


_settling: set[asyncio.Future[Any]] = set()


def _settle(unneeded: Sequence[Any]) -> None:
    """Let what nobody waits for any more come to its end in the background."""
    awaitables = [each for each in unneeded if is_awaitable(each)]
    if awaitables:
        future = asyncio.gather(*awaitables, return_exceptions=True)
        _settling.add(future)
        future.add_done_callback(_settling.discard)


_HELPERS = GraphQLResolveInfoHelpers(gather=lambda values: gather_with_cancel(*values), track=_settle)


def _switches(document: DocumentNode) -> tuple[str, ...]:
    """Name the variables that say which fields are asked for."""
    found: set[str] = set()

    class Directives(Visitor):
        def enter_directive(self, node: DirectiveNode, *_: object) -> None:
            found.update(_variables(node.arguments or ()))

    visit(document, Directives())
    return tuple(sorted(found))


def _variables(nodes: Iterable[Node]) -> set[str]:
    found: set[str] = set()

    class Variables(Visitor):
        def enter_variable(self, node: VariableNode, *_: object) -> None:
            found.add(node.name.value)

    for node in nodes:
        visit(node, Variables())
    return found
