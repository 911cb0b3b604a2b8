"""Permission classes: what a field needs stands on the field, and from there in the SDL.

They refuse early and show; safety is `change` and `readable`. Synchronous, and one instance serves all requests.
"""

from functools import cache
from typing import Any

import strawberry
from graphql import OperationType
from strawberry.permission import BasePermission
from strawberry.schema_directive import Location
from strawberry.types import Info as AnyInfo

from core.errors import Forbidden
from core.vocabulary import Action
from resolvers.callers import Judged, note_deeds
from schema.context import Info

ON_FIELDS = [Location.FIELD_DEFINITION, Location.INPUT_FIELD_DEFINITION]


def argument(name: str, description: str) -> Any:  # noqa: ANN401 - as `strawberry.directive_field`
    """Declare an argument of a directive; `described` puts its description into the schema, as Strawberry does not."""
    return strawberry.field(name=name, description=description)


def described(schema: strawberry.Schema) -> None:
    """Give the arguments of our directives their descriptions."""
    for directive in schema._schema.directives:  # noqa: SLF001 - Strawberry offers no public way to it
        if definition := directive.extensions.get("strawberry-definition"):
            for field in definition.fields:
                directive.args[field.graphql_name].description = field.description


@strawberry.schema_directive(
    locations=ON_FIELDS,
    name="needs",
    description="The caller needs this action: on the object that the field is of, at the root on what is asked for.",
)
class NeedsDirective:
    """`@needs(action:)` in the SDL."""

    action: str = argument("action", "The action, a word of policies.")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="needsOneOf",
    description="The caller needs one of these actions; which, depends on what the input changes.",
)
class NeedsOneOfDirective:
    """`@needsOneOf(actions:)` in the SDL."""

    actions: list[str] = argument("actions", "The actions, words of policies: one of them is enough.")


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="signedIn",
    description="The caller needs a valid credential, whatever it may do.",
)
class SignedInDirective:
    """`@signedIn` in the SDL."""


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION], name="public", description="Anyone may ask, without a credential."
)
class PublicDirective:
    """`@public` in the SDL."""


@strawberry.schema_directive(
    locations=[Location.FIELD_DEFINITION],
    name="listSize",
    description="How long a list without pages is taken to be, where the cost of an operation is counted.",
)
class ListSize:
    """`@listSize(assumedSize:)` in the SDL."""

    assumed_size: int = argument("assumedSize", "How many items are counted.")


class Permission(BasePermission):
    """A permission that says on every field it stands on what it needs: in the description, and as a directive."""

    sentence: str
    directive: object


class SignedIn(Permission):
    """Lets everyone in who has a valid credential."""

    sentence = "Needs a valid credential, whatever it may do."
    directive = SignedInDirective()

    def has_permission(self, source: object, info: AnyInfo[Any, Any], **_: object) -> bool:  # noqa: ARG002 - Strawberry's
        """Raise `Unauthenticated` where there is no caller."""
        return info.context.caller is not None


class Public(Permission):
    """Lets everyone in."""

    sentence = "Needs no credential."
    directive = PublicDirective()

    def has_permission(self, source: object, info: AnyInfo[Any, Any], **_: object) -> bool:  # noqa: ARG002 - Strawberry's
        """Say yes."""
        return True


class Needs(Permission):
    """Lets in who has one of `actions`: on the object shown; at the root, and with `anywhere`, on anything at all."""

    actions: tuple[Action, ...]
    anywhere = False

    def has_permission(self, source: Any, info: Info, **_: object) -> bool:  # noqa: ANN401 - any object of the schema
        """Raise `Unauthenticated`, or `Forbidden` naming the action and the object, which the caller sees already."""
        caller = info.context.caller
        if source is None or self.anywhere:
            done = caller.somewhere(self.actions)
            # A mutation notes itself what became of it.
            if not done or source is not None or info.operation.operation is not OperationType.MUTATION:
                note_deeds(caller, done)
            if done:
                return True
            raise self._refused(None)
        judged: Judged | None = source.judged
        if judged is None:
            return True
        done = caller.seeing(self.actions, judged)
        note_deeds(caller, done)
        if done:
            return True
        raise self._refused(str(judged.subjects[0]))

    def _refused(self, resource: str | None) -> Forbidden:
        if len(self.actions) == 1:
            return Forbidden(self.actions[0].value, resource)
        return Forbidden(self.actions[0].value, resource, why=f"needs one of {_listed(self.actions)}")


@cache
def needs(*actions: Action, anywhere: bool = False) -> type[Needs]:
    """Make the permission class that stands on a field for an action, or for one of several.

    `anywhere` is for lists of what is judged row by row, wherever they stand.
    """
    words = [action.value for action in actions]
    one = len(words) == 1
    directive: object = NeedsDirective(action=words[0]) if one else NeedsOneOfDirective(actions=words)
    sentence = f"Needs `{words[0]}`." if one else f"Needs one of {_listed(actions)}."
    says = {"actions": actions, "anywhere": anywhere, "sentence": sentence, "directive": directive}
    return type("Needs", (Needs,), says)


def _listed(actions: tuple[Action, ...]) -> str:
    return ", ".join(f"`{action.value}`" for action in actions)
