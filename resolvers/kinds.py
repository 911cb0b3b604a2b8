"""Resource kinds of the integrations: what policies can speak of beside Latchkey's own."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from core.built_in_roles import built_in_policy
from core.catalogue import Catalogue, Kind, KindAction, Mark
from core.errors import Conflict, Forbidden, Invalid
from core.law import NamedPolicy, Side, SideKind
from core.policy import CompiledPolicy
from core.specifiers import Resource
from core.vocabulary import OWN_KINDS, Action, BuiltInRole
from models import ResourceKind
from resolvers import input as typed
from resolvers.callers import Caller
from resolvers.reading import readable
from resolvers.scopes import within
from resolvers.writing import At, Deed, Done, Said, change

_WORD = re.compile(r"[a-z][A-Za-z0-9]{0,63}")
_MOST = 200
_OWN = frozenset(kind.key for kind in OWN_KINDS)
_MARKS = (Mark.READ, Mark.WRITE, Mark.MANAGE)


async def define(caller: Caller, wanted: Kind, said: Said) -> Done[ResourceKind]:
    """Define a kind, or change the one with this key. Lowering an action's mark or opening a gate needs full admin."""
    kind = _checked(wanted)
    row = await readable(caller, ResourceKind).filter(key=kind.key).first()
    target: ResourceKind | At[ResourceKind] = ResourceKind(account_id=caller.account.id, key=kind.key)
    action = Action.CREATE_KIND
    if row is not None:
        target, action = At(ResourceKind, row.id), Action.UPDATE_KIND
    async with change(caller, action, target, said) as deed:
        if row is None and await ResourceKind.filter(account_id=caller.account.id, key=kind.key).exists():
            raise Conflict(f"`key` is taken: `{kind.key}`", field="key")
        _refuse_misplaced(deed.caller.catalogue, kind)
        if row is not None and widened(deed.row.kind, kind):
            _require_full_admin(deed)
        _fill(deed.row, kind)
        await deed.row.save()
    return Done(deed.row, deed.entry)


def widened(before: Kind, after: Kind) -> list[str]:
    """Name the actions by which built-in roles or gated policies would gain: a lower mark, or a gate taken away."""
    old = {action.key: action for action in before.actions}
    gained = [
        action.key
        for action in after.actions
        if (was := old.get(action.key))
        and (_MARKS.index(action.mark) < _MARKS.index(was.mark) or (was.gate and not action.gate))
    ]
    kept = {action.key for action in after.actions}
    return gained + [action.key for action in before.actions if action.gate and action.key not in kept]


def _require_full_admin(deed: Deed[ResourceKind]) -> None:
    caller = deed.caller
    own_id = str(caller.member.id) if caller.member else None
    policy = built_in_policy(BuiltInRole.ADMIN, caller.catalogue, own_id)
    admin = Side(SideKind.OWNER, (NamedPolicy("admin", CompiledPolicy(policy, caller.catalogue, {})),))
    if not within(caller.sides, [admin], caller.catalogue):
        raise Forbidden(
            Action.UPDATE_KIND.value,
            str(deed.row.resource),
            why="lowering an action's mark or taking a gate away needs all rights of an admin",
        )


def _checked(kind: Kind) -> Kind:
    typed.key("key", kind.key)
    if kind.key in _OWN:
        raise Invalid("key", f"is one of Latchkey's own kinds: `{kind.key}`")
    typed.name("name", kind.name)
    typed.description("description", kind.description)
    if not kind.actions:
        raise Invalid("actions", "must name at least one action")
    _refuse_words("actions", [action.key for action in kind.actions], "key")
    _refuse_words("properties", kind.properties)
    for index, action in enumerate(kind.actions):
        typed.description(f"actions[{index}].description", action.description)
    return kind


def _refuse_words(field: str, words: Sequence[str], part: str = "") -> None:
    if len(words) > _MOST:
        raise Invalid(field, f"must hold at most {_MOST}")
    for index, word in enumerate(words):
        where = f"{field}[{index}]" + (f".{part}" if part else "")
        if not _WORD.fullmatch(word):
            raise Invalid(where, f"must be camelCase, at most 64 letters and digits: `{word[:64]}`")
        if word in words[:index]:
            raise Invalid(where, f"stands there twice: `{word}`")


def _refuse_misplaced(catalogue: Catalogue, kind: Kind) -> None:
    for index, parent in enumerate(kind.parents):
        if parent not in catalogue.kinds or parent in _OWN:
            raise Invalid(f"parents[{index}]", f"is no kind of yours: `{parent}`")
        if parent in kind.parents[:index]:
            raise Invalid(f"parents[{index}]", f"stands there twice: `{parent}`")
        if _beneath(catalogue, parent, kind.key):
            raise Invalid(f"parents[{index}]", f"would stand beneath itself: `{parent}`")


def _beneath(catalogue: Catalogue, key: str, above: str) -> bool:
    """Say whether `key` is `above`, or stands somewhere beneath it."""
    return key == above or any(_beneath(catalogue, parent, above) for parent in catalogue.kinds[key].parents)


def _fill(row: ResourceKind, kind: Kind) -> None:
    row.name, row.description = typed.name("name", kind.name), kind.description
    row.parents, row.properties = list(kind.parents), list(kind.properties)
    row.taggable, row.singleton = kind.taggable, kind.singleton
    row.actions = [_stored(action) for action in kind.actions]


def _stored(action: KindAction) -> dict[str, str | bool]:
    return {"key": action.key, "mark": action.mark.value, "description": action.description, "gate": action.gate}


async def remove(caller: Caller, key: str, said: Said) -> Done[ResourceKind]:
    """Remove a kind. Statements about it no longer allow anything; one that others stand beneath is refused."""
    row = await readable(caller, ResourceKind).filter(key=key).first()
    if row is None:
        raise Invalid("key", f"is no kind you can see: `{key[:64]}`")
    async with change(caller, Action.DELETE_KIND, At(ResourceKind, row.id), said) as deed:
        beneath = [kind.key for kind in deed.caller.catalogue if key in kind.parents]
        if beneath:
            raise Conflict(f"other kinds stand beneath it: `{'`, `'.join(beneath)}`", field="key")
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
    own = (kind for kind in OWN_KINDS if caller.may(Action.VIEW_KIND, Resource.of(("kind", kind.key))))
    rows = await readable(caller, ResourceKind).order_by("key")
    return [*map(Known, own), *map(Known.of, rows)]
