"""Objects with a global id: `node` and `nodes` show what the caller may read, whichever way it was found."""

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

import strawberry

from core import ids
from core.errors import Invalid, NotFound
from core.vocabulary import Action
from models import AuditEntry, Row
from resolvers.callers import Caller
from resolvers.reading import note_seen
from schema import face
from schema.context import Info
from schema.permissions import SignedIn

MAX_NODES = 100


@face.interface
class Node:
    """An object with a global id."""

    id: strawberry.ID = face.shown("The global id: opaque, and the same for as long as the object exists.")


Find = Callable[[Caller, Sequence[str]], Awaitable[Mapping[str, Node]]]


@dataclass(frozen=True, slots=True)
class Kind:
    """A type of node: how those the caller may read are found by their inner ids, and how a row is shown."""

    name: str
    find: Find
    show: Callable[[Any], Node]


_kinds: dict[str, Kind] = {}


def register(name: str, find: Find, show: Callable[[Any], Node]) -> None:
    """Make objects of a type reachable by their ids."""
    _kinds[name] = Kind(name, find, show)


def show(name: str, row: object) -> Any:  # noqa: ANN401 - an object of the named type
    """Show a row as an object of a type that may be defined in a module that imports the one which asks."""
    return _kinds[name].show(row)


async def beside(info: Info, name: str, row_id: UUID | None) -> Any:  # noqa: ANN401 - an object of the named type
    """Find the object that another one points to, together with those its siblings point to; None if hidden."""
    if row_id is None:
        return None
    return await info.context.batched(("node", name), str(row_id), _kinds[name].find)


def fetched(info: Info, name: str, action: Action, row: Row | None) -> Any:  # noqa: ANN401 - an object of the named type
    """Show a row that was fetched beside others, several times perhaps; None if there is none or it is hidden.

    `action` is the one by which such rows are listed: `resolvers.reading` would decide alike.
    """
    if row is None:
        return None
    return info.context.once(row, lambda: show(name, row) if info.context.caller.sees(action, row) else None)


async def by_uuid(
    keys: Sequence[str], rows: Callable[[list[UUID]], Awaitable[Sequence[Any]]], show: Callable[[Any], Node]
) -> dict[str, Node]:
    """Find nodes whose inner ids are UUIDs. One that is none, or of which there is none, is not among them."""
    ids = [uuid for key in keys if (uuid := _uuid(key))]
    return {str(row.id): show(row) for row in await rows(ids)} if ids else {}


def global_id(name: str, inner: object) -> strawberry.ID:
    """Make the global id of an object from its type's name and its inner id."""
    return strawberry.ID(ids.global_id(name, inner))


def id_of(name: str, row: Row | AuditEntry) -> strawberry.ID:
    """Make the global id of a row."""
    return global_id(name, row.id)


def inner_id(field: str, given: str, name: str) -> str:
    """Take the inner id out of a global id of one type. Raises `Invalid` naming the field for any other text."""
    kind, inner = _split(field, given)
    if kind.name != name:
        raise Invalid(field, f"must be the id of a `{name}`, not of a `{kind.name}`")
    return inner


def uuid_of(field: str, given: str, name: str) -> UUID:
    """Take the UUID out of a global id of one type. Raises `Invalid` naming the field for any other text."""
    uuid = _uuid(inner_id(field, given, name))
    if uuid is None:
        raise Invalid(field, f"must be the id of a `{name}`")
    return uuid


def any_uuid(field: str, given: str) -> UUID:
    """Take the UUID out of a global id of any type that has one. Raises `Invalid` naming the field."""
    kind, inner = _split(field, given)
    uuid = _uuid(inner)
    if uuid is None:
        raise Invalid(field, f"must not be the id of a `{kind.name}`")
    return uuid


def _split(field: str, given: str) -> tuple[Kind, str]:
    try:
        name, colon, inner = base64.b64decode(given.encode("ascii"), validate=True).decode().partition(":")
    except (UnicodeError, binascii.Error):
        name, colon, inner = "", "", ""
    if not colon or name not in _kinds:
        raise Invalid(field, "must be an id that this server gave")
    return _kinds[name], inner


def _uuid(text: str) -> UUID | None:
    try:
        uuid = UUID(text)
    except ValueError:
        return None
    return uuid if str(uuid) == text else None


async def find(caller: Caller, field: str, ids: Sequence[str]) -> list[Node | None]:
    """Find objects by their global ids, one query for each type among them."""
    split = [_split(field if len(ids) == 1 else f"{field}[{index}]", given) for index, given in enumerate(ids)]
    found = {
        kind: await _found(caller, kind, list(dict.fromkeys(inner for other, inner in split if other is kind)))
        for kind in dict.fromkeys(kind for kind, _ in split)
    }
    return [found[kind].get(inner) for kind, inner in split]


async def one(caller: Caller, field: str, given: str, name: str) -> Any:  # noqa: ANN401 - an object of the named type
    """Find the object of one type with this id. Raises `NotFound` for what is absent or hidden."""
    inner = inner_id(field, given, name)
    found = (await _found(caller, _kinds[name], [inner])).get(inner)
    if found is None:
        raise NotFound
    return found


async def _found(caller: Caller, kind: Kind, inners: Sequence[str]) -> Mapping[str, Node]:
    found = await kind.find(caller, inners)
    rows = (getattr(node, "row", None) for node in found.values())
    note_seen(caller, [row for row in rows if row is not None])
    return found


@strawberry.type
class NodeQueries:
    """Looking up by global id."""

    @face.field(SignedIn)
    async def node(
        self, info: Info, id: Annotated[strawberry.ID, strawberry.argument(description="A global id.")]
    ) -> Node | None:
        """Look up an object by its global id. Absent and hidden ones are `NOT_FOUND` alike."""
        found = (await find(info.context.caller, "id", [id]))[0]
        if found is None:
            raise NotFound
        return found

    @face.field(SignedIn)
    async def nodes(
        self,
        info: Info,
        ids: Annotated[list[strawberry.ID], strawberry.argument(description="Global ids, up to 100.")],
    ) -> list[Node | None] | None:
        """Look up objects by their global ids, in the same order; null for each that is absent or hidden."""
        if len(ids) > MAX_NODES:
            raise Invalid("ids", f"must be at most {MAX_NODES}")
        return await find(info.context.caller, "ids", ids)
