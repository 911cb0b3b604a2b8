"""The sections of a configuration document: how rows are shown in one, how its items are read, and how they are saved.

An item is held as the JSON that exporting the row would give, so that a document and a row are compared field by field.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias
from uuid import UUID

from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.document import Given, Problems
from core.errors import Invalid
from core.policy import Policy, Statement, check, check_statement, parse_policy
from core.routes import Route
from core.vocabulary import Action
from models import AuditEntry, BasePermissions, Gate, GateSource, ResourceKind, Role
from resolvers import gates, kinds, roles
from resolvers import input as typed
from resolvers.callers import Caller
from resolvers.gates import NewGate
from resolvers.reading import readable
from resolvers.roles import NewRole, RoleChange
from resolvers.writing import Said

Shown: TypeAlias = dict[str, Any]
"""A row as a document shows it. What the caller may not see of it is left out."""


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a document: its path, its key, and all of its fields."""

    field: str
    key: str
    json: Shown


@dataclass(frozen=True, slots=True)
class Present:
    """A row that the caller sees, as the document would show it to them."""

    id: UUID
    json: Shown


class Section(Protocol):
    """A section of the document."""

    name: str
    fields: Sequence[str]

    def read(self, given: Given) -> Shown:
        """Read an item by itself, noting its problems."""
        ...

    def check(self, item: Item, catalogue: Catalogue, problems: Problems) -> None:
        """Check an item by the catalogue that there will be, noting its problems."""
        ...

    async def present(self, caller: Caller) -> dict[str, Present]:
        """List what there is, as far as the caller sees it, by key."""
        ...

    async def save(
        self, caller: Caller, item: Item, row_id: UUID | None, changed: Collection[str], said: Said
    ) -> AuditEntry | None:
        """Make the item, or change these fields of the row; returns the entry."""
        ...


class Kinds:
    """Resource kinds, in the form of `defineResourceKind`."""

    name = "resourceKinds"
    fields: Sequence[str] = ("key", "name", "description", "parents", "properties", "taggable", "singleton", "actions")

    def read(self, given: Given) -> Shown:
        """Read a kind."""
        actions = given.objects("actions", ("key", "mark", "description", "gate"))
        kind = Kind(
            given.text("key"),
            tuple(
                KindAction(
                    action.text("key"),
                    Mark(action.word("mark", [mark.value for mark in Mark])),
                    action.text("description", ""),
                    gate=action.flag("gate"),
                )
                for action in actions
            ),
            given.texts("parents"),
            given.text("name"),
            given.text("description", ""),
            given.texts("properties"),
            taggable=given.flag("taggable"),
            singleton=given.flag("singleton"),
        )
        return _kind_shown(kinds.checked(kind))

    def check(self, item: Item, catalogue: Catalogue, problems: Problems) -> None:
        """Check that the kind fits in."""
        with problems.noted(item.field):
            kinds.refuse_misfit(catalogue, kind_of(item.json))

    async def present(self, caller: Caller) -> dict[str, Present]:
        """List the integrations' kinds."""
        rows = await readable(caller, ResourceKind).order_by("key")
        return {row.key: Present(row.id, _kind_shown(row.kind)) for row in rows}

    async def save(
        self,
        caller: Caller,
        item: Item,
        row_id: UUID | None,  # noqa: ARG002 - a kind is found by its key
        changed: Collection[str],  # noqa: ARG002 - and replaced as a whole
        said: Said,
    ) -> AuditEntry | None:
        """Define the kind."""
        return (await kinds.define(caller, kind_of(item.json), said)).entry


def kind_of(shown: Mapping[str, Any]) -> Kind:
    """Read a kind that is shown."""
    return ResourceKind(**shown).kind


def _kind_shown(kind: Kind) -> Shown:
    return {
        "key": kind.key,
        "name": kind.name,
        "description": kind.description,
        "parents": list(kind.parents),
        "properties": list(kind.properties),
        "taggable": kind.taggable,
        "singleton": kind.singleton,
        "actions": [
            {"key": action.key, "mark": action.mark.value, "description": action.description, "gate": action.gate}
            for action in kind.actions
        ],
    }


class Roles:
    """Custom roles, in LaunchDarkly's public form."""

    name = "roles"
    fields: Sequence[str] = ("key", "name", "description", "basePermissions", "policy")

    def read(self, given: Given) -> Shown:
        """Read a role."""
        key, name = given.text("key"), given.text("name")
        statements: list[Shown] = []
        for index, raw in enumerate(given.listed("policy")):
            with given.problems.noted():
                statements.append(dict(Statement.parse(raw, f"{given.at('policy')}[{index}]").json()))
        if "policy" not in given.raw:
            given.problems.note(given.at("policy"), "is needed")
        base = given.word("basePermissions", [each.value for each in BasePermissions], BasePermissions.NO_ACCESS)
        return {
            "key": roles.free_key("key", key),
            "name": typed.name("name", name),
            "description": typed.description("description", given.text("description", "")),
            "basePermissions": base,
            "policy": statements,
        }

    def check(self, item: Item, catalogue: Catalogue, problems: Problems) -> None:
        """Check the words of the policy."""
        field = f"{item.field}.policy"
        policy: Policy = parse_policy(item.json["policy"], field)
        before = len(problems.found)
        for index, statement in enumerate(policy):
            with problems.noted():
                check_statement(statement, catalogue, f"{field}[{index}]")
        if len(problems.found) == before:
            with problems.noted():
                check(policy, catalogue, field)

    async def present(self, caller: Caller) -> dict[str, Present]:
        """List the roles; without its policy where the caller may not see that."""
        rows = await readable(caller, Role).order_by("key")
        return {row.key: Present(row.id, _role_shown(caller, row)) for row in rows}

    async def save(
        self, caller: Caller, item: Item, row_id: UUID | None, changed: Collection[str], said: Said
    ) -> AuditEntry | None:
        """Make the role, or change what differs of it."""
        json = item.json
        base = BasePermissions(json["basePermissions"])
        if row_id is None:
            new = NewRole(json["key"], json["name"], json["policy"], json["description"], base)
            return (await roles.create(caller, new, said)).entry
        change = RoleChange(
            name=json["name"] if "name" in changed else None,
            description=json["description"] if "description" in changed else None,
            policy=json["policy"] if "policy" in changed else None,
            base_permissions=base if "basePermissions" in changed else None,
        )
        return (await roles.update(caller, row_id, change, said)).entry


def _role_shown(caller: Caller, row: Role) -> Shown:
    shown: Shown = {
        "key": row.key,
        "name": row.name,
        "description": row.description,
        "basePermissions": row.base_permissions.value,
    }
    return {**shown, "policy": row.policy} if caller.sees(Action.VIEW_ROLE_POLICY, row) else shown


class Gates:
    """Gates, in the form of `defineGate`."""

    name = "gates"
    fields: Sequence[str] = ("key", "name", "description", "source", "preflights", "routes")

    def read(self, given: Given) -> Shown:
        """Read a gate."""
        parsed: list[Shown] = []
        for index, raw in enumerate(given.listed("routes")):
            with given.problems.noted():
                parsed.append(Route.parse(raw, f"{given.at('routes')}[{index}]").json())
        gate = NewGate(
            given.text("key"),
            given.text("name"),
            GateSource(given.word("source", [source.value for source in GateSource])),
            given.text("description", ""),
            preflights=given.flag("preflights"),
            routes=parsed,
        )
        filled = gates.checked(gate)
        return {"key": gate.key, **filled, "source": gate.source.value}

    def check(self, item: Item, catalogue: Catalogue, problems: Problems) -> None:
        """Check the words of the routes."""
        for index, raw in enumerate(item.json["routes"]):
            field = f"{item.field}.routes[{index}]"
            with problems.noted():
                Route.parse(raw, field).check_words(catalogue, field)

    async def present(self, caller: Caller) -> dict[str, Present]:
        """List the gates."""
        rows = await readable(caller, Gate).order_by("key")
        return {row.key: Present(row.id, _gate_shown(row)) for row in rows}

    async def save(
        self,
        caller: Caller,
        item: Item,
        row_id: UUID | None,  # noqa: ARG002 - a gate is found by its key
        changed: Collection[str],  # noqa: ARG002 - and replaced as a whole
        said: Said,
    ) -> AuditEntry | None:
        """Define the gate."""
        wanted = NewGate(**{**item.json, "source": GateSource(item.json["source"])})
        return (await gates.define(caller, wanted, said)).entry


def _gate_shown(row: Gate) -> Shown:
    return {
        "key": row.key,
        "name": row.name,
        "description": row.description,
        "source": row.source.value,
        "preflights": row.preflights,
        "routes": row.routes,
    }


KINDS, ROLES, GATES = Kinds(), Roles(), Gates()
SECTIONS: tuple[Section, ...] = (KINDS, ROLES, GATES)
"""In the order in which they are applied: what policies and routes speak of comes first."""


def read(document: object) -> dict[str, list[Item]]:
    """Read a document by itself: its items, by section. Raises `Unfit` naming every problem, up to 20."""
    problems = Problems()
    names = [section.name for section in SECTIONS]
    top = Given.read(document, "", ("latchkey", *names), problems)
    version = top.raw.get("latchkey")
    if type(version) is not int or version != VERSION:
        problems.note("latchkey", f"must be {VERSION}")
    if sum(len(top.listed(name)) for name in names) > MOST_ITEMS:
        raise Invalid("document", f"must hold at most {MOST_ITEMS} items")
    items = {section.name: _items(section, top, problems) for section in SECTIONS}
    problems.settle()
    return items


VERSION = 1
"""Of the document's form."""
MOST_ITEMS = 500


def _items(section: Section, top: Given, problems: Problems) -> list[Item]:
    items: list[Item] = []
    keys: set[str] = set()
    for given in top.objects(section.name, section.fields):
        key = given.raw.get("key")
        if isinstance(key, str) and key in keys:
            problems.note(given.at("key"), f"stands there twice: `{key[:64]}`")
        keys.add(str(key))
        found = len(problems.found)
        with problems.noted(given.field):
            shown = section.read(given)
            if len(problems.found) == found:
                items.append(Item(given.field, shown["key"], shown))
    return items
