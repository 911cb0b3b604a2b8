"""Gates: what may be defined, what needs all rights of an admin, and whom one lets through, as things are now."""

from dataclasses import replace
from typing import Any

import pytest

from core import routes
from core.errors import Conflict, Forbidden, Invalid, Unauthenticated
from core.vocabulary import BuiltInRole
from models import Gate, GateSource, TokenKind
from resolvers import gates, kinds, tokens
from resolvers.access import Question
from resolvers.callers import Caller, bearer
from resolvers.gates import CompiledGate, NewGate, Passage
from resolvers.scopes import Scope
from resolvers.uses import NO_ACTION, Outcome
from resolvers.writing import Said
from tests.organisation import PROJ, Organisation, founded
from tests.resolvers.conftest import Refused

VIEW = {"pattern": "/{project}/**", "action": "viewProject", "resource": "proj/{project}"}
STORED = {"methods": ["*"], "host": None, **VIEW}
GATES = {"effect": "allow", "actions": ["*"], "resources": ["gate/*"]}
ONE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/web"]}


def gate(key: str = "api", **wanted: Any) -> NewGate:
    return replace(NewGate(key, "API", GateSource.FORWARDED, routes=[VIEW]), **wanted)


async def found(organisation: Organisation, key: str = "api") -> CompiledGate:
    there = await gates.find(organisation.house, organisation.account.key, key)
    assert there
    return there


async def keeper(organisation: Organisation) -> Caller:
    """Sign in somebody who may do everything with gates, and nothing else."""
    role = await organisation.role("keeper", GATES)
    return await organisation.session(await organisation.member(custom=[role]))


async def test_a_gate_is_defined_replaced_and_removed_as_asked(organisation: Organisation) -> None:
    owner = organisation.owner
    done = await gates.define(owner, gate(name=" API ", description="of ours", preflights=True), Said("new"))
    shown = {
        "key": "api",
        "name": "API",
        "description": "of ours",
        "source": "FORWARDED",
        "preflights": True,
        "routes": [STORED],
    }
    assert done.entry
    assert done.entry.accesses == [{"action": "createGate", "resource": "gate/api"}]
    assert (done.entry.before, done.entry.after, done.entry.comment) == (None, shown, "new")
    assert (await Gate.get(id=done.row.id)).snapshot() == shown
    assert (await gates.define(owner, gate(description="of ours", preflights=True), Said())).entry is None
    done = await gates.define(owner, gate(source=GateSource.FIXED, routes=()), Said())
    assert done.entry
    assert done.entry.accesses == [{"action": "updateGate", "resource": "gate/api"}]
    after = {**shown, "description": "", "source": "FIXED", "preflights": False, "routes": []}
    assert (done.entry.before, done.entry.after) == (shown, after)
    done = await gates.remove(owner, "api", Said())
    assert done.entry
    assert done.entry.accesses == [{"action": "deleteGate", "resource": "gate/api"}]
    assert (done.entry.before, done.entry.after) == (after, None)
    assert not await Gate.exists()


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("key", gate("")),
        ("key", gate("Api")),
        ("key", gate("a/b")),
        ("key", gate("k" * 65)),
        ("name", gate(name="")),
        ("description", gate(description="x" * 1025)),
        ("routes", gate(source=GateSource.FIXED)),
        ("preflights", gate(source=GateSource.FIXED, routes=(), preflights=True)),
        ("routes", gate(routes=[VIEW] * 101)),
        ("routes[0].pattern", gate(routes=[{**VIEW, "pattern": "api"}])),
        ("routes[0].resource", gate(routes=[{**VIEW, "pattern": "/"}])),
        ("routes[1].resource", gate(routes=[VIEW, {**VIEW, "resource": "thing/{project}"}])),
        ("routes[1].action", gate(routes=[VIEW, {**VIEW, "action": "updateOn"}])),
    ],
)
async def test_a_bad_gate_names_the_field(
    organisation: Organisation, refused: Refused, field: str, wanted: NewGate
) -> None:
    with refused(Invalid) as refusal:
        await gates.define(organisation.owner, wanted, Said())
    assert dict(refusal.value.extensions) == {"code": "BAD_USER_INPUT", "field": field}


OPENING = {
    "routes": gate(routes=[{**VIEW, "methods": ["GET"]}]),
    "no routes": gate(routes=()),
    "source": gate(source=GateSource.PATH),
    "preflights": gate(preflights=True),
}


@pytest.mark.parametrize("opening", OPENING)
async def test_what_could_let_others_through_needs_all_rights_of_an_admin(
    organisation: Organisation, refused: Refused, opening: str
) -> None:
    caller, admin = await keeper(organisation), await organisation.as_role(BuiltInRole.ADMIN)
    await gates.define(caller, gate(), Said())
    with refused(Forbidden) as refusal:
        await gates.define(caller, OPENING[opening], Said())
    assert dict(refusal.value.extensions) == {"code": "FORBIDDEN", "action": "updateGate", "resource": "gate/api"}
    assert (await gates.define(caller, gate(name="Other", description="other"), Said())).entry
    assert (await gates.define(admin, OPENING[opening], Said())).entry


async def test_a_gate_is_not_removed_to_come_back_wider(organisation: Organisation, refused: Refused) -> None:
    caller = await keeper(organisation)
    await gates.define(caller, gate(), Said())
    with refused(Forbidden) as refusal:
        await gates.remove(caller, "api", Said())
    assert refusal.value.extensions["action"] == "deleteGate"
    assert (await gates.remove(await organisation.as_role(BuiltInRole.ADMIN), "api", Said())).entry


async def test_a_hidden_gate_and_none_look_alike(organisation: Organisation, refused: Refused) -> None:
    caller = await organisation.as_role(BuiltInRole.READER)
    await gates.define(organisation.owner, gate(), Said())
    told = []
    for key in ("api", "none", "\ud800"):
        with refused(Invalid) as refusal:
            await gates.remove(caller, key, Said())
        told.append((refusal.value.field, str(refusal.value).replace(key, "…")))
    assert told[0] == told[1]
    for key in ("api", "other"):
        with refused(Forbidden) as forbidden:
            await gates.define(caller, gate(key), Said())
        assert forbidden.value.extensions["action"] == "createGate"


async def test_one_who_may_make_gates_but_sees_none_is_told_that_a_key_is_taken(
    organisation: Organisation, refused: Refused
) -> None:
    await gates.define(organisation.owner, gate(), Said())
    role = await organisation.role("maker", {**GATES, "actions": ["createGate"]})
    caller = await organisation.session(await organisation.member(custom=[role]))
    with refused(Conflict):
        await gates.define(caller, gate(), Said())


@pytest.mark.parametrize(
    ("path", "scope", "passage"),
    [
        (("web", "x"), Scope(BuiltInRole.READER), Passage(allowed=True)),
        (("web",), Scope(statements=[ONE]), Passage(allowed=True)),
        (("app",), Scope(statements=[ONE]), Passage(allowed=False, lacking=("viewProject", "proj/app"))),
        ((), Scope(BuiltInRole.OWNER), Passage(allowed=False)),
    ],
)
async def test_it_lets_through_what_the_matching_routes_allow(
    organisation: Organisation, path: tuple[str, ...], scope: Scope, passage: Passage
) -> None:
    await gates.define(organisation.owner, gate(), Said())
    caller = await organisation.token(organisation.owner, scope)
    there = await found(organisation)
    assert gates.decide(there, caller, routes.Request("GET", path)) == passage
    assert gates.decide(there, caller, routes.Request("GET", path)) == passage


async def test_all_routes_that_match_must_allow(organisation: Organisation) -> None:
    further = {"pattern": "/web/secret", "action": "createProject", "resource": "proj/web"}
    await gates.define(organisation.owner, gate(routes=[VIEW, further]), Said())
    caller, there = await organisation.token(organisation.owner, Scope(statements=[ONE])), await found(organisation)
    assert gates.decide(there, caller, routes.Request("GET", ("web", "open")))
    refused = gates.decide(there, caller, routes.Request("GET", ("web", "secret")))
    assert refused == Passage(allowed=False, lacking=("createProject", "proj/web"))


async def test_it_says_what_was_asked_of_the_token(organisation: Organisation) -> None:
    twice = {"pattern": "/web/x", "action": "viewProject", "resource": "proj/app"}
    further = {"pattern": "/web/secret", "action": "createProject", "resource": "proj/web"}
    await gates.define(organisation.owner, gate(routes=[VIEW, twice, further]), Said())
    anyone, there = await organisation.token(organisation.owner, Scope(BuiltInRole.READER)), await found(organisation)
    for path, deeds in (
        (("web", "x"), [("viewProject", Outcome.ALLOWED, f"proj/{name}") for name in ("web", "app")]),
        (("web", "secret"), [("createProject", Outcome.REFUSED, "proj/web")]),
        ((), [(NO_ACTION, Outcome.REFUSED, "*")]),
    ):
        assert gates.decide(there, anyone, routes.Request("GET", path)).deeds == tuple(deeds)


async def test_a_refusal_names_the_closed_gate_above(organisation: Organisation) -> None:
    route = {"pattern": "/", "action": "updateOn", "resource": "proj/web:env/dev:flag/f"}
    await gates.define(organisation.owner, gate(routes=[route]), Said())
    flags = {"effect": "allow", "actions": ["updateOn"], "resources": ["proj/*:env/*:flag/*"]}
    elsewhere = {**ONE, "resources": ["proj/app"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[flags, elsewhere]))
    passage = gates.decide(await found(organisation), caller, routes.Request("GET", ()))
    assert passage.lacking == ("viewProject", "proj/web")


async def test_what_the_proxy_fixes_is_a_question(organisation: Organisation) -> None:
    await gates.define(organisation.owner, gate(source=GateSource.FIXED, routes=()), Said())
    caller, there = await organisation.token(organisation.owner, Scope(statements=[ONE])), await found(organisation)
    assert gates.decide(there, caller, Question("viewProject", "proj/web"))
    assert not gates.decide(there, caller, Question("viewProject", "proj/app"))
    for odd in (Question("viewProject", "proj/*"), Question("none", "proj/web"), Question("viewProject", "thing/x")):
        with pytest.raises(routes.Unreadable):
            gates.decide(there, caller, odd)


async def test_a_route_whose_kind_is_gone_lets_nobody_through(organisation: Organisation) -> None:
    await kinds.define(organisation.owner, replace(PROJ, key="thing", parents=()), Said())
    await gates.define(organisation.owner, gate(routes=[{**VIEW, "resource": "thing/{project}"}]), Said())
    caller, wanted = await organisation.token(organisation.owner), routes.Request("GET", ("x",))
    assert gates.decide(await found(organisation), caller, wanted)
    await kinds.remove(organisation.owner, "thing", Said())
    with pytest.raises(routes.Unreadable):
        gates.decide(await found(organisation), caller, wanted)


async def test_what_fills_a_name_too_long_is_refused(organisation: Organisation) -> None:
    await gates.define(organisation.owner, gate(), Said())
    caller, there = await organisation.token(organisation.owner), await found(organisation)
    with pytest.raises(routes.Unreadable):
        gates.decide(there, caller, routes.Request("GET", ("x" * 257,)))


async def test_a_gate_in_memory_is_as_true_as_the_database(organisation: Organisation, statements: list[str]) -> None:
    await gates.define(organisation.owner, gate(), Said())
    caller, wanted = await organisation.token(organisation.owner), routes.Request("GET", ("x",))
    assert gates.decide(await found(organisation), caller, wanted)
    statements.clear()
    assert gates.decide(await found(organisation), caller, wanted)
    assert statements == []
    await gates.define(organisation.owner, gate(routes=()), Said())
    assert not gates.decide(await found(organisation), caller, wanted)
    await gates.remove(organisation.owner, "api", Said())
    assert await gates.find(organisation.house, "main", "api") is None


@pytest.mark.parametrize(
    ("account", "key"), [("main", "none"), ("none", "api"), ("main", "API"), ("", ""), ("main", "x" * 999)]
)
async def test_there_is_no_gate_but_what_was_defined(organisation: Organisation, account: str, key: str) -> None:
    await gates.define(organisation.owner, gate(), Said())
    assert await gates.find(organisation.house, account, key) is None


async def test_gates_of_two_accounts_share_a_key(organisation: Organisation) -> None:
    other = await founded(organisation.house.database, "other")
    await other.define()
    await gates.define(organisation.owner, gate(), Said())
    await gates.define(other.owner, gate(routes=()), Said())
    for house, routed in ((organisation, True), (other, False)):
        caller = await house.token(house.owner)
        there = await gates.find(organisation.house, house.account.key, "api")
        assert there
        assert bool(gates.decide(there, caller, routes.Request("GET", ("x",)))) is routed


async def test_only_living_tokens_of_the_gates_own_account_are_known(organisation: Organisation) -> None:
    other = await founded(organisation.house.database, "other")
    await gates.define(organisation.owner, gate(), Said())
    there, owner, request = await found(organisation), organisation.owner, organisation.request
    mine = await organisation.made(owner)
    service = await organisation.made(owner, kind=TokenKind.SERVICE)
    assert owner.token
    for done in (mine, service):
        assert (await bearer(done.secret or "", there.account_id, request)).token == done.row
    await organisation.house.uses.flush()
    await mine.row.refresh_from_db()
    assert mine.row.last_used_address == request.address
    foreign = await other.made(other.owner)
    dead = await organisation.made(owner)
    await tokens.revoke(owner, dead.row.id, Said())
    for secret in (dead.secret, organisation.secrets[str(owner.token.id)], "", "x"):
        with pytest.raises(Unauthenticated):
            await bearer(secret or "", there.account_id, request)
    assert (await other.identify(foreign)).token == foreign.row
    with pytest.raises(Unauthenticated):
        await bearer(foreign.secret or "", there.account_id, other.request)
    await other.house.uses.flush()
    await foreign.row.refresh_from_db()
    assert foreign.row.last_used_at is None
