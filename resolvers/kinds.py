"""Resource kinds of the integrations: what policies can speak of beside Latchkey's own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.errors import Conflict, Invalid
from core.specifiers import Resource
from core.vocabulary import OWN_KINDS, Action
from models import ResourceKind
from resolvers import input as typed
from resolvers.admins import require_full_admin
from resolvers.callers import Caller
from resolvers.keyed import defining
from resolvers.reading import readable
from resolvers.writing import At, Done, Said, change

_WORD = re.compile(r"[a-z][A-Za-z0-9]{0,63}")
_MOST = 200
_OWN = frozenset(kind.key for kind in OWN_KINDS)
_RESERVED = _OWN | {"webhook"}
MAX_DEPTH = 16
MAX_ROUTES = 1_000
"""How deep kinds nest, and how many ways lead down them: policies are read once for each."""
_MARKS = (Mark.READ, Mark.WRITE, Mark.MANAGE)


async def define(caller: Caller, wanted: Kind, said: Said) -> Done[ResourceKind]:
    """Define a kind, or change the one with this key. What lets others gain needs full admin: see `widens`."""
    kind = checked(wanted)
    async with defining(caller, ResourceKind, kind.key, (Action.CREATE_KIND, Action.UPDATE_KIND), said) as deed:
        refuse_misfit(deed.caller.catalogue, kind)
        if deed.before is not None and widens(deed.row.kind, kind):
            require_full_admin(deed.caller, deed.row, Action.UPDATE_KIND)
        _fill(deed.row, kind)
        await deed.row.save()
    return Done(deed.row, deed.entry)


def widens(before: Kind, after: Kind) -> bool:
    """Say whether somebody could gain: by a place to stand, something to state, a lower mark, or a gate taken away.

    An action that is left out could come back with a lower mark, so leaving out all but a plain READ counts too.
    """
    if set(before.parents) != set(after.parents) or before.singleton != after.singleton:
        return True
    if (after.taggable and not before.taggable) or set(after.properties) - set(before.properties):
        return True  # what nobody could state satisfied every deny
    kept = {action.key: action for action in after.actions}
    return any(_loosens(action, kept.get(action.key)) for action in before.actions)


def _loosens(before: KindAction, after: KindAction | None) -> bool:
    if after is None:
        return before.gate or before.mark is not Mark.READ
    return _MARKS.index(after.mark) < _MARKS.index(before.mark) or (before.gate and not after.gate)


def checked(kind: Kind) -> Kind:
    """Check a kind by itself. Raises `Invalid` naming the field."""
    typed.key("key", kind.key)
    if kind.key in _RESERVED:
        raise Invalid("key", f"is one of Latchkey's own kinds: `{kind.key}`")
    if not kind.actions:
        raise Invalid("actions", "must name at least one action")
    _refuse_words("actions", [action.key for action in kind.actions], "key")
    _refuse_words("properties", kind.properties)
    return replace(
        kind,
        name=typed.name("name", kind.name),
        description=typed.description("description", kind.description),
        actions=tuple(
            replace(action, description=typed.description(f"actions[{index}].description", action.description))
            for index, action in enumerate(kind.actions)
        ),
    )


def _refuse_words(field: str, words: Sequence[str], part: str = "") -> None:
    if len(words) > _MOST:
        raise Invalid(field, f"must hold at most {_MOST}")
    for index, word in enumerate(words):
        where = f"{field}[{index}]" + (f".{part}" if part else "")
        if not _WORD.fullmatch(word):
            raise Invalid(where, f"must be camelCase, at most 64 letters and digits: `{word[:64]}`")
        if word in words[:index]:
            raise Invalid(where, f"stands there twice: `{word}`")


def refuse_misfit(catalogue: Catalogue, kind: Kind) -> None:
    """Refuse a kind that does not fit in where it wants to stand. Raises `Invalid`."""
    _refuse_misplaced(catalogue, kind)
    _refuse_overgrown(catalogue, kind)


def _refuse_misplaced(catalogue: Catalogue, kind: Kind) -> None:
    for index, parent in enumerate(kind.parents):
        if parent not in catalogue.kinds or parent in _OWN:
            raise Invalid(f"parents[{index}]", f"is no kind of yours: `{parent}`")
        if parent in kind.parents[:index]:
            raise Invalid(f"parents[{index}]", f"stands there twice: `{parent}`")
        if _beneath(catalogue, parent, kind.key):
            raise Invalid(f"parents[{index}]", f"would stand beneath itself: `{parent}`")


def _refuse_overgrown(catalogue: Catalogue, kind: Kind) -> None:
    """Refuse kinds that nest too deep, or too many ways: those double with every level that has two parents."""
    kinds = {**catalogue.kinds, kind.key: kind}

    @cache
    def measured(key: str) -> tuple[int, int]:
        above = [measured(parent) for parent in kinds[key].parents]
        return sum(routes for routes, _ in above) or 1, 1 + max((depth for _, depth in above), default=0)

    if max(measured(key)[1] for key in kinds) > MAX_DEPTH:
        raise Invalid("parents", f"would nest kinds more than {MAX_DEPTH} deep")
    if sum(measured(key)[0] for key in kinds) > MAX_ROUTES:
        raise Invalid("parents", f"would make more than {MAX_ROUTES} ways down the kinds")


def _beneath(catalogue: Catalogue, key: str, above: str) -> bool:
    """Say whether `key` is `above`, or stands somewhere beneath it."""
    return key == above or any(_beneath(catalogue, parent, above) for parent in catalogue.kinds[key].parents)


def _fill(row: ResourceKind, kind: Kind) -> None:
    row.name, row.description = kind.name, kind.description
    row.parents, row.properties = list(kind.parents), list(kind.properties)
    row.taggable, row.singleton = kind.taggable, kind.singleton
    row.actions = [_stored(action) for action in kind.actions]


def _stored(action: KindAction) -> dict[str, str | bool]:
    return {"key": action.key, "mark": action.mark.value, "description": action.description, "gate": action.gate}


async def remove(caller: Caller, key: str, said: Said) -> Done[ResourceKind]:
    """Remove a kind. Statements about it no longer allow anything; one that others stand beneath is refused.

    It could come back with lower marks, so this needs full admin.
    """
    row = await readable(caller, ResourceKind).filter(key=typed.key("key", key)).first()
    if row is None:
        raise Invalid("key", f"is no kind you can see: `{key}`")
    async with change(caller, Action.DELETE_KIND, At(ResourceKind, row.id), said) as deed:
        beneath = [kind.key for kind in deed.caller.catalogue if key in kind.parents]
        if beneath:
            raise Conflict(f"other kinds stand beneath it: `{'`, `'.join(beneath)}`", field="key")
        require_full_admin(deed.caller, deed.row, Action.DELETE_KIND)
        await deed.delete()
    return Done(deed.row, deed.entry)


@dataclass(frozen=True, slots=True)
class Known:
    """A kind of the catalogue, with the version of its row; Latchkey's own have none."""

    kind: Kind
    version: int | None = None

    @classmethod
    def of(cls, row: ResourceKind) -> "Known":
        """Make one of a row."""
        return cls(row.kind, row.version)


async def known(caller: Caller) -> list[Known]:
    """List the kinds that the caller may see: Latchkey's own, then the integrations' by key."""
    own = (kind for kind in OWN_KINDS if caller.rights.allows(Action.VIEW_KIND.value, Resource.of(("kind", kind.key))))
    rows = await readable(caller, ResourceKind).order_by("key")
    return [*map(Known, own), *map(Known.of, rows)]
