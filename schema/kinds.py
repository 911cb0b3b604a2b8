"""Resource kinds in the schema: the catalogue, and what integrations add to it."""

from collections.abc import Sequence
from typing import Annotated

import strawberry

from core.catalogue import Kind, KindAction, Mark
from core.vocabulary import Action
from resolvers import kinds
from resolvers.callers import Caller
from resolvers.kinds import Known
from schema import face, nodes
from schema.audit import AuditEntry
from schema.context import Info
from schema.nodes import Node
from schema.said import said


@face.output
class ResourceKindAction:
    """Something that can be done to resources of a kind."""

    key: str = face.shown("The word by which policies name it.")
    mark: Mark = face.shown("What it does to the world.")
    description: str = face.shown("What it is for.")
    gate: bool = face.shown("Whether it must be allowed on a resource before anything beneath that resource is.")


@face.output
class ResourceKind(Node):
    """A kind of resource that policies can speak of."""

    key: str = face.shown("The word by which policies name it, as in `flag/*`.")
    name: str = face.shown("What people call it.")
    description: str = face.shown("What it is.")
    parents: list[str] = face.shown("The kinds that it may stand beneath; none for the top level.")
    properties: list[str] = face.shown("The properties that filters may name, as in `{critical:true}`.")
    taggable: bool = face.shown("Whether its resources have tags.")
    singleton: bool = face.shown("Whether there is only one, so that it has no name in policies.")
    own: bool = face.shown("Whether it is one of Latchkey's own, which nobody can change.")
    actions: list[ResourceKindAction] = face.shown("What can be done to its resources.", size=20)
    version: int | None = face.shown("Counts its changes; give it as `expectedVersion`. Null for Latchkey's own.")

    @classmethod
    def of(cls, known: Known) -> "ResourceKind":
        """Show a kind."""
        kind = known.kind
        return cls(
            id=nodes.global_id("ResourceKind", kind.key),
            key=kind.key,
            name=kind.name,
            description=kind.description,
            parents=list(kind.parents),
            properties=list(kind.properties),
            taggable=kind.taggable,
            singleton=kind.singleton,
            own=kind.own,
            actions=[
                ResourceKindAction(key=action.key, mark=action.mark, description=action.description, gate=action.gate)
                for action in kind.actions
            ],
            version=known.version,
        )


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    return {known.kind.key: ResourceKind.of(known) for known in await kinds.known(caller) if known.kind.key in keys}


nodes.register("ResourceKind", _find, ResourceKind.of)


@strawberry.type
class KindQueries:
    """Reading the catalogue."""

    @face.field(Action.VIEW_KIND, size=100)
    async def catalogue(
        self,
        info: Info,
        own: Annotated[
            bool | None,
            strawberry.argument(description="Only Latchkey's own kinds, or only the integrations'; all without it."),
        ] = None,
    ) -> list[ResourceKind] | None:
        """List the kinds of resources that policies can speak of, by key: Latchkey's own, then the integrations'."""
        found = await kinds.known(info.context.caller)
        return [ResourceKind.of(known) for known in found if own is None or known.kind.own is own]


@face.input_
class ResourceKindActionInput:
    """Something that can be done to resources of a kind."""

    key: str = face.given("The word by which policies name it, in camelCase.")
    mark: Mark = face.given("What it does to the world: readers may `READ`, writers also `WRITE`, admins all.")
    description: str = face.given("What it is for.", default="")
    gate: bool = face.given(
        "Whether it must be allowed on a resource before anything beneath that resource is.", default=False
    )


@face.input_
class DefineResourceKindInput:
    """A kind of resource, whole: what is there already under the key is replaced by it."""

    key: str = face.given("The word by which policies name it: 1 to 64 of `a-z 0-9 . _ -`.")
    name: str = face.given("What people call it.")
    description: str = face.given("What it is.", default="")
    parents: list[str] = face.given(
        "The kinds that it may stand beneath; none for the top level.", default_factory=list
    )
    properties: list[str] = face.given(
        "The properties that filters may name, as in `{critical:true}`.", default_factory=list
    )
    taggable: bool = face.given("Whether its resources have tags.", default=False)
    singleton: bool = face.given("Whether there is only one, so that it has no name in policies.", default=False)
    actions: list[ResourceKindActionInput] = face.given("What can be done to its resources.")
    comment: str | None = face.comment()
    idempotency_key: str | None = face.idempotency_key()
    expected_version: int | None = face.expected_version()

    def wanted(self) -> Kind:
        """Read the kind."""
        actions = (KindAction(action.key, action.mark, action.description, action.gate) for action in self.actions)
        return Kind(
            self.key,
            tuple(actions),
            tuple(self.parents),
            self.name,
            self.description,
            tuple(self.properties),
            taggable=self.taggable,
            singleton=self.singleton,
        )


@face.input_
class RemoveResourceKindInput:
    """A kind of resource to remove."""

    key: str = face.given("The kind's key.")
    comment: str | None = face.comment()
    expected_version: int | None = face.expected_version()


@face.output
class DefineResourceKindPayload:
    """The kind as it is now."""

    resource_kind: ResourceKind = face.shown("The kind.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it; null if nothing changed.")


@face.output
class RemoveResourceKindPayload:
    """The kind that is gone."""

    deleted_resource_kind_id: strawberry.ID = face.shown("The id that it had.")
    audit_entry: AuditEntry | None = face.shown("What the log says of it, if you may see it.")


@strawberry.type
class KindMutations:
    """Changing the catalogue."""

    @face.mutation((Action.CREATE_KIND, Action.UPDATE_KIND))
    async def define_resource_kind(
        self, info: Info, input: DefineResourceKindInput
    ) -> DefineResourceKindPayload | None:
        """Define a kind of resource and its actions, or replace the one under this key.

        Lowering an action's mark or taking a gate away gives people rights, and so needs all rights of an admin.
        """
        done = await kinds.define(info.context.caller, input.wanted(), said(input))
        return DefineResourceKindPayload(
            resource_kind=ResourceKind.of(Known.of(done.row)), audit_entry=AuditEntry.seen(info.context, done.entry)
        )

    @face.mutation(Action.DELETE_KIND)
    async def remove_resource_kind(
        self, info: Info, input: RemoveResourceKindInput
    ) -> RemoveResourceKindPayload | None:
        """Remove a kind of resource. Statements about it stay, and allow nothing any more."""
        done = await kinds.remove(info.context.caller, input.key, said(input))
        return RemoveResourceKindPayload(
            deleted_resource_kind_id=nodes.global_id("ResourceKind", input.key),
            audit_entry=AuditEntry.seen(info.context, done.entry),
        )
