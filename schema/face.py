"""How the types of the schema are written: a docstring is the description, a permission stands beside it, once."""

import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from operator import attrgetter
from typing import Any, TypeVar, dataclass_transform, get_origin

import strawberry
from strawberry.types.arguments import InputContext, convert_argument
from strawberry.types.base import StrawberryMaybe, StrawberryObjectDefinition, StrawberryOptional
from strawberry.types.enum import StrawberryEnumDefinition
from strawberry.types.field import StrawberryField

from core.errors import Invalid
from core.vocabulary import Action
from schema.permissions import ListSize, Needs, Permission, needs
from schema.refusals import NotesRefusals

T = TypeVar("T")
E = TypeVar("E", bound=type[Enum])
_MAYBE: object = strawberry.Maybe
Guard = Action | tuple[Action, ...] | type[Permission]
"""Who may ask: those with an action, with one of several, or as a permission class says."""


def shown(description: str, needs: Action | None = None, size: int | None = None) -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare a field of a type that is an attribute; `needs` guards it, `size` is how long a list usually is."""
    sized = [] if size is None else [ListSize(assumed_size=size)]
    if needs is None:
        return strawberry.field(description=description, directives=sized)
    guard = _permission(needs)
    return strawberry.field(
        description=_told(description, guard), permission_classes=[guard], directives=[guard.directive, *sized]
    )


def column(
    name: str, description: str, needs: Action | None = None, told: Callable[[Any], object] | None = None
) -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare a field of a type that is a column of its `row`, read only where it is asked for.

    `needs` guards it, `told` makes the column's value what is shown.
    """
    read = attrgetter(f"row.{name}")

    def as_it_is(self: object):  # type: ignore[no-untyped-def]  # noqa: ANN202 - the type stands where the field does
        return read(self)

    def as_told(self: object):  # type: ignore[no-untyped-def]  # noqa: ANN202 - as above
        return told(read(self))  # type: ignore[misc] # used only with it

    resolver = as_told if told else as_it_is

    if needs is None:
        return strawberry.field(resolver=resolver, description=description)
    guard = _permission(needs)
    return strawberry.field(
        resolver=resolver,
        description=_told(description, guard),
        permission_classes=[guard],
        directives=[guard.directive],
    )


def given(description: str, needs: Action | None = None, **settings: Any) -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare a field of an input; `needs` shows which action giving it takes, which the operation requires."""
    if needs is None:
        return strawberry.field(description=description, **settings)
    guard = _permission(needs)
    return strawberry.field(description=_told(description, guard), directives=[guard.directive], **settings)


def comment() -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare the comment that every change takes."""
    return given("Why: kept in the audit log. Up to 1,024 characters.", default=None)


def idempotency_key() -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare the key under which something is made once, however often it is asked."""
    return given(
        "A key of your choosing, so that a repeated request makes nothing twice: it is a `CONFLICT` that names the "
        "first result. Up to 128 printable ASCII characters.",
        default=None,
    )


def expected_version() -> Any:  # noqa: ANN401 - as `dataclasses.field`
    """Declare the version that the caller believes to change."""
    return given(
        "The `version` you have seen. If it is no longer the current one, nothing changes and the answer is a "
        "`CONFLICT` with the current version.",
        default=None,
    )


@dataclass_transform(kw_only_default=True, field_specifiers=(shown, strawberry.field))
def output(cls: type[T]) -> type[T]:
    """Make a class an object type, described by its docstring."""
    return strawberry.type(cls, description=inspect.getdoc(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(shown, strawberry.field))
def interface(cls: type[T]) -> type[T]:
    """Make a class an interface, described by its docstring."""
    return strawberry.interface(cls, description=inspect.getdoc(cls))


@dataclass_transform(kw_only_default=True, field_specifiers=(given, comment, idempotency_key, expected_version))
def input_(cls: type[T]) -> type[T]:
    """Make a class an input type, described by its docstring. A null where none is taken is refused by its name."""
    made = strawberry.input(cls, description=inspect.getdoc(cls))
    if any(get_origin(annotation) is _MAYBE for annotation in cls.__annotations__.values()):
        made.__strawberry_definition__.from_input = _read  # type: ignore[attr-defined]
    return made


def _read(cls: type[Any], value: Mapping[str, Any], context: InputContext) -> Any:  # noqa: ANN401 - an input
    """Refuse nulls before Strawberry does, which names Python's types in place of the field; then read as it would."""
    definition: StrawberryObjectDefinition = cls.__strawberry_definition__
    for field in definition.fields:
        type_ = field.resolve_type(type_definition=definition)
        name = context.config.name_converter.from_field(field)
        takes_null = not isinstance(type_, StrawberryMaybe) or isinstance(type_.of_type, StrawberryOptional)
        if not takes_null and value.get(name, name) is None:
            path = (*context.path, name)
            raise Invalid(".".join(map(str, path)).removeprefix("input."), "must not be null: leave it out instead")
    definition.from_input = None  # so that this reads on without coming here again; nothing else runs meanwhile
    try:
        return convert_argument(value, cls, context.scalar_registry, context.config, context.info, path=context.path)
    finally:
        definition.from_input = _read


@dataclass_transform(kw_only_default=True, field_specifiers=(given,))
def one_of(cls: type[T]) -> type[T]:
    """Make a class an input type of which exactly one field is given, described by its docstring."""
    return strawberry.input(cls, one_of=True, description=inspect.getdoc(cls))


def choice(**values: str) -> Callable[[E], E]:
    """Make an enum of the schema's own, described by its docstring, with a description for each of its values."""

    def made(cls: E) -> E:
        words(cls, inspect.getdoc(cls) or "", **values)
        return cls

    return made


def words(cls: type[Enum], description: str, **values: str) -> None:
    """Show an enum of an inner layer, with a description for each of its values."""
    strawberry.enum(cls, description=description)
    definition: StrawberryEnumDefinition = cls.__strawberry_definition__  # type: ignore[attr-defined]
    for value in definition.values:
        value.description = values.pop(value.name)


RAW = "raw"


def is_raw(declared: StrawberryField) -> bool:
    """Say whether a field takes its arguments raw."""
    return bool(declared.metadata.get(RAW))


def field(
    guard: Guard | None = None, size: int | None = None, *, raw: bool = False
) -> Callable[[Callable[..., Any]], Any]:
    """Make a resolver a field, described by its docstring and, if it is guarded, by what it needs.

    `size` is how long a list without pages usually is. A `raw` one is given input objects as dicts, for lists of very
    many; its arguments are single words, written alike in Python and GraphQL.
    """
    sized = [] if size is None else [ListSize(assumed_size=size)]

    def made(resolver: Callable[..., Any]) -> Any:  # noqa: ANN401 - Strawberry's field
        description = inspect.getdoc(resolver) or ""
        if guard is None:
            return strawberry.field(resolver=resolver, description=description, directives=sized)
        permission = _permission(guard)
        return strawberry.field(
            resolver=resolver,
            description=_told(description, permission),
            permission_classes=[permission],
            directives=[permission.directive, *sized],
            metadata={RAW: raw},
        )

    return made


def mutation(guard: Guard) -> Callable[[Callable[..., Any]], Any]:
    """Make a resolver a mutation; its one argument is described here, and whom it refuses an action is noted."""

    def made(resolver: Callable[..., Any]) -> Any:  # noqa: ANN401 - Strawberry's field
        mutation = field(guard)(resolver)
        permission = _permission(guard)
        if issubclass(permission, Needs):
            mutation.extensions.append(NotesRefusals(permission.actions))  # the last stands around all others
        for argument in mutation.arguments:
            argument.description = "What is wanted."
        return mutation

    return made


def subscription(guard: Guard) -> Callable[[Callable[..., Any]], Any]:
    """Make an asynchronous generator a subscription."""

    def made(resolver: Callable[..., Any]) -> Any:  # noqa: ANN401 - Strawberry's field
        permission = _permission(guard)
        return strawberry.subscription(
            resolver=resolver,
            description=_told(inspect.getdoc(resolver) or "", permission),
            permission_classes=[permission],
            directives=[permission.directive],
        )

    return made


def _permission(guard: Guard) -> type[Permission]:
    if isinstance(guard, tuple):
        return needs(*guard)
    return needs(guard) if isinstance(guard, Action) else guard


def _told(description: str, permission: type[Permission]) -> str:
    return f"{description}\n\n{permission.sentence}"
