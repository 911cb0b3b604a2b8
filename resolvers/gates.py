"""Gates: defined and removed, and what a proxy asks of them: whether a request may pass."""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any
from uuid import UUID

from core import routes
from core.catalogue import Catalogue
from core.errors import Invalid
from core.vocabulary import Action
from models import Account, Gate, GateSource
from models.database import Database
from resolvers import input as typed
from resolvers.access import Answer, Asked, Question
from resolvers.admins import require_full_admin
from resolvers.callers import Caller
from resolvers.house import House
from resolvers.keyed import defining
from resolvers.reading import readable
from resolvers.uses import NO_ACTION, Deed, deed
from resolvers.writing import At, Done, Said, change

MEMORY_SIZE = 1_000
"""How many gates a process keeps. Each is compared with the account's version at every use."""
REQUESTS_KEPT = 1_000
"""Of how many requests a gate in memory remembers what they need."""


@dataclass(frozen=True, slots=True)
class NewGate:
    """A gate as a caller asks for it, whole. `routes` are in their JSON form, see `core.routes`."""

    key: str
    name: str
    source: GateSource
    description: str = ""
    preflights: bool = False
    routes: Sequence[Mapping[str, Any]] = ()


async def define(caller: Caller, wanted: NewGate, said: Said) -> Done[Gate]:
    """Define a gate, or replace the one with this key. To change whom one lets through needs full admin."""
    filled = checked(wanted)
    actions = (Action.CREATE_GATE, Action.UPDATE_GATE)
    async with defining(caller, Gate, wanted.key, actions, said) as deed:
        _refuse_unknown(filled, deed.caller.catalogue)
        if deed.before is not None and any(getattr(deed.row, column) != filled[column] for column in _DECIDING):
            require_full_admin(deed.caller, deed.row, Action.UPDATE_GATE)
        await deed.row.update_from_dict(filled).save()
    return Done(deed.row, deed.entry)


_DECIDING = ("source", "preflights", "routes")


def checked(wanted: NewGate) -> dict[str, Any]:
    """Check a gate by itself, and give its columns beside its key. Raises `Invalid` naming the field."""
    typed.key("key", wanted.key)
    parsed = routes.parse_routes(wanted.routes, "routes")
    if wanted.source is GateSource.FIXED and parsed:
        raise Invalid("routes", "must be empty: with `FIXED` the proxy says what is needed, and no route is asked")
    if wanted.source is GateSource.FIXED and wanted.preflights:
        raise Invalid("preflights", "must be false: with `FIXED` nothing tells a preflight from another request")
    return {
        "name": typed.name("name", wanted.name),
        "description": typed.description("description", wanted.description),
        "source": wanted.source,
        "preflights": wanted.preflights,
        "routes": [route.json() for route in parsed],
    }


def _refuse_unknown(filled: Mapping[str, Any], catalogue: Catalogue) -> None:
    for index, route in enumerate(routes.parse_routes(filled["routes"], "routes")):
        route.check_words(catalogue, f"routes[{index}]")


async def remove(caller: Caller, key: str, said: Said) -> Done[Gate]:
    """Remove a gate. What it guards is refused. It could come back with wider routes, so this needs full admin."""
    row = await readable(caller, Gate).filter(key=typed.key("key", key)).first()
    if row is None:
        raise Invalid("key", f"is no gate you can see: `{key}`")
    async with change(caller, Action.DELETE_GATE, At(Gate, row.id), said) as deed:
        require_full_admin(deed.caller, deed.row, Action.DELETE_GATE)
        await deed.delete()
    return Done(deed.row, deed.entry)


class CompiledGate:
    """A gate ready to judge, as true as its account's `version`."""

    def __init__(self, row: Gate, account: Account, catalogue: Catalogue) -> None:
        self.account_id: UUID = account.id
        self.version = account.version
        self.source = row.source
        self.preflights = row.preflights
        self._routes = routes.parse_routes(row.routes, "routes")
        self._catalogue = catalogue
        self.needs = lru_cache(maxsize=REQUESTS_KEPT)(self._needs)
        self._asked = lru_cache(maxsize=REQUESTS_KEPT)(self._read)

    def _needs(self, wanted: routes.Request | Question) -> tuple[Asked, ...]:
        """Say what a request needs, by every route that matches; a question needs itself.

        Nothing means that no route matches. Raises `routes.Unreadable` for what cannot be asked.
        """
        asked = [wanted] if isinstance(wanted, Question) else routes.checks(self._routes, wanted)
        return tuple([self._asked(each.action, each.resource) for each in asked])

    def _read(self, action: str, resource: str) -> Asked:
        try:
            return Asked.of(Question(action, resource), self._catalogue)
        except Invalid as problem:
            raise routes.Unreadable(problem.message) from None

    async def is_current(self, database: Database) -> bool:
        """Say whether nothing has changed in the account since."""
        return await database.is_at(self.account_id, self.version)


_remembered: OrderedDict[tuple[str, str], CompiledGate] = OrderedDict()


async def find(house: House, account_key: str, key: str) -> CompiledGate | None:
    """Find a gate by its account's key and its own. What there is not never enters the memory."""
    known = _remembered.get((account_key, key))
    if known is not None and await known.is_current(house.database):
        _remembered[account_key, key] = _remembered.pop((account_key, key), known)
        return known
    if not (typed.KEY.fullmatch(account_key) and typed.KEY.fullmatch(key)):
        return None
    return await _recalled(house, account_key, key)


def remembered(house: House, account_key: str, key: str) -> CompiledGate | None:
    """Find a gate without waiting; None where `find` would have to ask the database."""
    known = _remembered.get((account_key, key))
    if known is None or house.database.versions.known(known.account_id) != known.version:
        return None
    _remembered.move_to_end((account_key, key))
    return known


async def _recalled(house: House, account_key: str, key: str) -> CompiledGate | None:
    _remembered.pop((account_key, key), None)
    while True:
        account = await Account.get_or_none(key=account_key)
        row = await Gate.get_or_none(account_id=account.id, key=key) if account else None
        if account is None or row is None:
            return None
        realm = house.realms.find(account) or await house.realms.read(account)
        gate = CompiledGate(row, account, realm.catalogue)
        if await gate.is_current(house.database):  # what raced with a change may be torn between two states
            break
    house.realms.keep(realm)
    _remembered[account_key, key] = gate
    if len(_remembered) > MEMORY_SIZE:
        _remembered.popitem(last=False)
    return gate


@dataclass(frozen=True, slots=True)
class Passage:
    """Whether a request may pass, and if not, one action and resource that is lacking; None where no route matched."""

    allowed: bool
    lacking: tuple[str, str] | None = None
    deeds: tuple[Deed, ...] = field(default=(), compare=False)
    """What was asked of the caller's token: all that the request needs, or the first that is refused."""

    def __bool__(self) -> bool:
        return self.allowed


def decide(gate: CompiledGate, caller: Caller, wanted: routes.Request | Question) -> Passage:
    """Decide whether a caller's request may pass: all that it needs must be allowed, and it must need something.

    At a `FIXED` gate the proxy asks a question instead. Raises `routes.Unreadable` for what cannot be judged.
    """
    needed = gate.needs(wanted)
    for asked in needed:
        if not caller.rights.allows(asked.action, asked.resource):
            refused = caller.deed(asked.action, asked.resource, allowed=False)
            return Passage(allowed=False, lacking=_lacking(caller, asked), deeds=(refused,))
    deeds = tuple(dict.fromkeys(caller.deed(asked.action, asked.resource, allowed=True) for asked in needed))
    return Passage(allowed=bool(needed), deeds=deeds or (deed(NO_ACTION, allowed=False),))


def _lacking(caller: Caller, asked: Asked) -> tuple[str, str]:
    verdict = caller.rights.decide(asked.action, asked.resource)
    question = Question(asked.action, str(asked.resource))
    return Answer(question, verdict, asked, caller.rights).lacking[0]
