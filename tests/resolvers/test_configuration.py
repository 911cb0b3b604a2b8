"""Configuration as code: a document is applied whole or not at all, by the laws of the operations it stands for."""

import asyncio
import json
import random
from collections.abc import Mapping
from contextlib import suppress
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from core import chain
from core.catalogue import KindAction, Mark
from core.errors import Conflict, Forbidden, Invalid, Refusal, Unfit
from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models import Account, ActorKind, AuditEntry, AuditHead, Gate, GateSource, ResourceKind, Role, TokenKind
from resolvers import callers, configuration, gates, kinds, roles, sections, tokens
from resolvers.callers import Caller, identify, with_credential
from resolvers.configuration import Applied, Step
from resolvers.gainers import Gainers
from resolvers.gates import NewGate
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import FLAG, PROJ, Organisation, founded
from tests.resolvers.conftest import Refused

Document = dict[str, Any]
ROUTE = {"methods": ["GET"], "host": None, "pattern": "/p/{p}", "action": "viewProject", "resource": "proj/{p}"}
ALLOW = {"effect": "allow", "resources": ["proj/*"], "actions": ["viewProject"]}


def kind(key: str, *actions: str, **more: Any) -> Document:
    given = [{"key": action, "mark": "WRITE"} for action in actions or (f"run{key.title()}",)]
    return {"key": key, "name": key.title(), "actions": given, **more}


def role(key: str, *policy: Mapping[str, Any], **more: Any) -> Document:
    return {"key": key, "name": key.title(), "policy": list(policy or (ALLOW,)), **more}


def gate(key: str, *routes: Mapping[str, Any], **more: Any) -> Document:
    return {"key": key, "name": key.title(), "source": "PATH", "routes": list(routes or (ROUTE,)), **more}


def document(
    *resource_kinds: Document, roles: list[Document] | None = None, gates: list[Document] | None = None
) -> Document:
    return {"latchkey": 1, "resourceKinds": list(resource_kinds), "roles": roles or [], "gates": gates or []}


FULL = document(
    kind("step", parents=["plan"]),  # before what it stands beneath
    kind("plan", properties=["urgent"], taggable=True, description="Something\nto do."),
    roles=[
        role(
            "runner",
            {"effect": "allow", "resources": ["plan/*;{urgent:true}"], "actions": ["runPlan"]},
            {"effect": "deny", "notResources": ["plan/*:step/*"], "notActions": ["run*"]},
            basePermissions="reader",
        ),
    ],
    gates=[gate("plans", {**ROUTE, "action": "runPlan", "resource": "plan/{p}"})],
)


async def command_line(organisation: Organisation) -> Caller:
    account = await Account.get(id=organisation.account.id)
    return await with_credential(account, organisation.request, ActorKind.COMMAND_LINE)


async def applied(caller: Caller, wanted: Document, *, dry_run: bool = False) -> Applied:
    return await configuration.apply(caller, wanted, Said("as code"), dry_run=dry_run)


def steps(done: Applied) -> dict[str, str]:
    return {f"{each.section}/{each.key}": each.step.value for each in done.differences}


async def length(organisation: Organisation) -> int:
    """Check the chain from its beginning to its head; returns its length."""
    rows = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    sealed = [(row.sealed(), row.previous, row.seal) for row in rows]
    assert chain.verify(str(organisation.account.id), sealed) is None
    head = await AuditHead.get(account_id=organisation.account.id)
    assert (head.sequence, head.seal) == (rows[-1].sequence, rows[-1].seal)
    return len(rows)


async def test_a_document_is_applied_with_one_entry_for_each_row(organisation: Organisation) -> None:
    before = await length(organisation)
    done = await applied(organisation.owner, FULL)
    assert steps(done) == {
        "resourceKinds/plan": "CREATE",
        "resourceKinds/step": "CREATE",
        "roles/runner": "CREATE",
        "gates/plans": "CREATE",
    }
    assert await length(organisation) == before + 4
    assert [entry.accesses[0]["action"] for entry in done.entries] == [
        "createKind",
        "createKind",
        "createRole",
        "createGate",
    ]
    assert [entry.target_resource for entry in done.entries][:2] == ["kind/plan", "kind/step"]
    assert {entry.comment for entry in done.entries} == {"as code"}
    assert (await Role.get(key="runner")).policy == FULL["roles"][0]["policy"]
    assert (await Gate.get(key="plans")).source is GateSource.PATH


async def test_what_was_exported_is_the_same_everywhere(organisation: Organisation, elsewhere: Elsewhere) -> None:
    await applied(organisation.owner, FULL)
    owner = await callers.again(organisation.owner)
    exported = await configuration.export(owner)
    assert json.loads(json.dumps(exported)) == exported
    assert {each["key"] for each in exported["resourceKinds"]} == {"proj", "env", "flag", "plan", "step"}
    before = elsewhere.everything()

    for again in (exported, {name: items[::-1] if name != "latchkey" else 1 for name, items in exported.items()}):
        done = await applied(owner, again)
        assert {difference.step for difference in done.differences} == {Step.SAME}
        assert (done.entries, done.gainers) == ((), Gainers())
    assert elsewhere.everything() == before


async def test_one_accounts_export_makes_another_the_same(organisation: Organisation) -> None:
    await applied(organisation.owner, FULL)
    exported = await configuration.export(await callers.again(organisation.owner))
    other = await founded(organisation.house.database, "other")
    await applied(other.owner, exported)
    assert await configuration.export(await callers.again(other.owner)) == exported
    await length(other)


async def test_what_the_document_does_not_hold_stays(organisation: Organisation) -> None:
    await organisation.role("kept", ALLOW)
    await gates.define(organisation.owner, NewGate("kept", "Kept", GateSource.PATH), Said())
    await applied(organisation.owner, {"latchkey": 1})
    await applied(organisation.owner, document(kind("plan")))
    assert await ResourceKind.filter(key__in=["proj", "env", "flag", "plan"]).count() == 4
    assert await Role.filter(key="kept").exists()
    assert await Gate.filter(key="kept").exists()


async def test_a_difference_is_told_field_by_field(organisation: Organisation) -> None:
    await organisation.role("ops", ALLOW)
    wider = {**ALLOW, "actions": ["*"]}
    done = await applied(organisation.owner, document(roles=[role("ops", wider, description="All.")]))
    [difference] = done.differences
    assert difference.step is Step.UPDATE
    assert {change.name: (change.before, change.after) for change in difference.fields} == {
        "description": ("", "All."),
        "policy": ([ALLOW], [wider]),
    }
    [entry] = done.entries
    assert [access["action"] for access in entry.accesses] == ["updateDescription", "updatePolicy"]


BAD: list[tuple[Any, list[str]]] = [
    (None, ["document", "latchkey"]),
    ([], ["document", "latchkey"]),
    ({}, ["latchkey"]),
    ({"latchkey": 2}, ["latchkey"]),
    ({"latchkey": True}, ["latchkey"]),
    ({"latchkey": 1, "role": []}, ["role"]),
    ({"latchkey": 1, "roles": {}}, ["roles"]),
    ({"latchkey": 1, "roles": None}, ["roles"]),
    (document(roles=[role("a"), role("a")]), ["roles[1].key"]),
    (document(kind("a"), kind("a")), ["resourceKinds[1].key"]),
    (document(gates=[gate("a"), gate("a")]), ["gates[1].key"]),
    ({"latchkey": 1, "roles": [1, {}]}, ["roles[0]", "roles[1].key", "roles[1].name", "roles[1].policy"]),
    (document(kind("plan", marks=1)), ["resourceKinds[0].marks"]),
    (document(kind("plan", name="")), ["resourceKinds[0].name"]),
    (document(kind("plan", parents=[1])), ["resourceKinds[0].parents[0]"]),
    (document(kind("plan", taggable="yes")), ["resourceKinds[0].taggable"]),
    (document(kind("plan", parents=["nowhere"])), ["resourceKinds[0].parents[0]"]),
    (document(kind("member")), ["resourceKinds[0].key"]),
    (document(kind("plan", "Run")), ["resourceKinds[0].actions[0].key"]),
    (
        document({"key": "plan", "name": "Plan", "actions": [{"key": "run", "mark": "SEE"}]}),
        ["resourceKinds[0].actions[0].mark"],
    ),
    (document(roles=[role("owner")]), ["roles[0].key"]),
    (document(roles=[role("a", basePermissions="writer")]), ["roles[0].basePermissions"]),
    (document(roles=[role("a", 1)]), ["roles[0].policy[0]"]),  # type: ignore[arg-type]
    (document(gates=[gate("a", source="FIXED")]), ["gates[0].routes"]),
    (document(gates=[gate("a", {**ROUTE, "pattern": "p"})]), ["gates[0].routes[0].pattern"]),
    (document(gates=[gate("a", ROUTE, {**ROUTE, "resource": "none/{p}"})]), ["gates[0].routes[1].resource"]),
]


@pytest.mark.parametrize(("wanted", "fields"), BAD)
async def test_a_problem_is_named_by_its_path(
    organisation: Organisation, refused: Refused, wanted: Any, fields: list[str]
) -> None:
    with refused(Unfit) as refusal:
        await applied(organisation.owner, wanted)
    found = [problem.field for problem in refusal.value.problems]
    assert found == fields
    assert refusal.value.extensions["field"] == fields[0]
    assert refusal.value.extensions["code"] == "BAD_USER_INPUT"


async def test_several_problems_are_told_at_once(organisation: Organisation, refused: Refused) -> None:
    bad = {"effect": "allow", "resources": ["proj/*", "prog/*"], "actions": ["viewProject"]}
    wanted = document(
        kind("plan", parents=["gone"]),
        roles=[
            role("a", ALLOW, {**ALLOW, "actions": ["viewProject", "viewProjekt"]}, bad),
            role("b", {**ALLOW, "effect": "maybe"}),
        ],
        gates=[gate("a", {**ROUTE, "action": "none"})],
    )
    with refused(Unfit) as refusal:
        await applied(organisation.owner, wanted)
    assert [problem.field for problem in refusal.value.problems] == ["roles[1].policy[0].effect"]
    wanted["roles"][1] = role("b")
    with refused(Unfit) as refusal:
        await applied(organisation.owner, wanted)
    assert [problem.field for problem in refusal.value.problems] == [
        "resourceKinds[0].parents[0]",
        "roles[0].policy[1].actions[1]",
        "roles[0].policy[2].resources[1]",
        "gates[0].routes[0].action",
    ]
    told: Any = refusal.value.extensions["problems"]
    assert told[1]["message"] == (
        "`roles[0].policy[1].actions[1]` is no action of `proj`: `viewProjekt`, did you mean `viewProject`?"
    )


async def test_no_more_than_twenty_problems_are_told(organisation: Organisation, refused: Refused) -> None:
    with refused(Unfit) as refusal:
        await applied(organisation.owner, document(roles=[role(f"r{n}", 0) for n in range(30)]))  # type: ignore[arg-type]
    assert len(refusal.value.problems) == 20


@pytest.mark.parametrize(
    "wanted",
    [
        document(*(kind(f"k{n}") for n in range(501))),
        document(kind("k", description="x" * (1 << 20))),
        {"latchkey": "ü" * (1 << 19)},
    ],
)
async def test_a_document_is_bounded(organisation: Organisation, refused: Refused, wanted: Document) -> None:
    with refused(Invalid) as refusal:
        await applied(organisation.owner, wanted)
    assert refusal.value.field == "document"


async def test_no_more_than_a_hundred_kinds_change_at_once(organisation: Organisation, refused: Refused) -> None:
    many = [kind(f"k{n}") for n in range(configuration.MOST_KINDS + 1)]
    with refused(Invalid) as refusal:
        await applied(organisation.owner, document(*many))
    assert refusal.value.field == "resourceKinds"
    await applied(organisation.owner, document(*many[:-1]))
    done = await applied(organisation.owner, document(*many))
    assert list(steps(done).values()).count("CREATE") == 1


async def test_what_nests_without_end_is_refused(organisation: Organisation, refused: Refused) -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    with refused(Invalid):
        await applied(organisation.owner, {"latchkey": deep})


async def test_kinds_that_stand_in_a_circle_are_refused(organisation: Organisation, refused: Refused) -> None:
    circle = document(kind("a", parents=["c"]), kind("b", parents=["a"]), kind("c", parents=["b"]))
    with refused(Unfit):
        await applied(organisation.owner, circle)


async def test_kinds_may_change_places(organisation: Organisation) -> None:
    """What stands above what in the end is what counts, also by way of kinds that the document does not name."""
    await applied(organisation.owner, document(kind("a"), kind("b", parents=["a"]), kind("c", parents=["b"])))
    await applied(organisation.owner, document(kind("a", parents=["b"]), kind("b")))
    await applied(organisation.owner, document(kind("a", parents=["c"])))
    await applied(organisation.owner, document(kind("b", parents=["a"]), kind("a"), kind("c", parents=["b"])))
    catalogue = (await callers.again(organisation.owner)).catalogue
    assert {("a",), ("a", "b"), ("a", "b", "c")} <= set(catalogue.paths)


async def test_a_failure_in_the_last_line_leaves_nothing(
    organisation: Organisation, elsewhere: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = elsewhere.everything()
    define = gates.define

    async def breaking(*arguments: Any) -> Any:
        await define(*arguments)
        assert await Role.filter(key="runner").exists()
        raise RuntimeError("the power is out")

    monkeypatch.setattr(gates, "define", breaking)
    with organisation.house.bell.listening(organisation.account.id, "tests") as rung:
        with pytest.raises(RuntimeError):
            await applied(organisation.owner, FULL)
        assert elsewhere.everything() == before
        assert not rung.is_set()


async def test_followers_are_rung_once_all_is_committed(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    define = gates.define
    with organisation.house.bell.listening(organisation.account.id, "tests") as rung:

        async def late(*arguments: Any) -> Any:
            assert not rung.is_set()
            return await define(*arguments)

        monkeypatch.setattr(gates, "define", late)
        await applied(organisation.owner, FULL, dry_run=True)
        assert not rung.is_set()
        await applied(organisation.owner, FULL)
        assert rung.is_set()


async def test_many_at_once_are_applied_one_after_the_other(organisation: Organisation) -> None:
    made = [await organisation.made(organisation.owner) for _ in range(10)]
    before = await length(organisation)
    wanted = [document(kind(f"k{n}"), roles=[role(f"r{n}")], gates=[gate("same", name=f"N{n}")]) for n in range(10)]
    await asyncio.gather(
        *(applied(organisation.owner, each) for each in wanted),
        *(applied(organisation.owner, each, dry_run=True) for each in wanted),
        *(tokens.revoke(organisation.owner, one.row.id, Said()) for one in made),
    )
    assert await length(organisation) == before + 10 * 3 + 10
    assert (await Role.all().count(), await Gate.all().count()) == (10, 1)


async def test_an_apply_that_is_cancelled_is_whole_or_absent(organisation: Organisation) -> None:
    chance = random.Random(7)  # noqa: S311 - a seed, so that a failure comes again
    for number in range(25):
        task = asyncio.create_task(
            applied(organisation.owner, document(roles=[role(f"r{number}a"), role(f"r{number}b")]))
        )
        await asyncio.sleep(chance.random() * 0.05)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert await Role.filter(key__in=[f"r{number}a", f"r{number}b"]).count() in (0, 2)
    await applied(organisation.owner, document(roles=[role("last")]))
    await length(organisation)


async def test_a_dry_run_tells_the_same_and_changes_nothing(organisation: Organisation, elsewhere: Elsewhere) -> None:
    before = elsewhere.everything()
    dry = await applied(organisation.owner, FULL, dry_run=True)
    assert elsewhere.everything() == before
    done = await applied(organisation.owner, FULL)
    assert dry.differences == done.differences
    assert names(dry.gainers) == names(done.gainers) == {"Owner": {"runPlan", "runStep"}}
    assert (dry.entries, dry.dry_run, done.dry_run) == ((), True, False)


async def test_memory_never_keeps_what_a_dry_run_undid(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks meanwhile is remembered with what is committed, so that a version used twice means one state."""
    held = await organisation.role("ops", ALLOW)
    member = await organisation.session(await organisation.member(custom=[held]))
    secret = organisation.secrets[str(member.token.id)]  # type: ignore[union-attr]
    seen: list[Caller] = []
    version = await organisation.house.database.versions.read(organisation.account.id)
    update = roles.update

    async def asked_meanwhile(*arguments: Any) -> Any:
        done = await update(*arguments)
        callers._remembered.clear()  # noqa: SLF001 - so that it is filled right now
        seen.append(await asyncio.create_task(identify(secret, organisation.request)))
        return done

    monkeypatch.setattr(roles, "update", asked_meanwhile)
    wider = document(roles=[role("ops", {**ALLOW, "actions": ["*"]})])
    await applied(organisation.owner, wider, dry_run=True)
    assert [caller.account.version for caller in seen] == [version]
    assert not seen[0].rights.decide("updateTags", Resource.parse("proj/web")).allowed
    assert await organisation.house.database.versions.read(organisation.account.id) == version
    monkeypatch.undo()
    await roles.update(organisation.owner, held.id, RoleChange(name="Operations"), Said())
    fresh = await identify(secret, organisation.request)
    assert not fresh.rights.decide("updateTags", Resource.parse("proj/web")).allowed


async def refusal_of(doing: Any) -> tuple[type[Refusal], str, object]:
    with pytest.raises(Refusal) as refused:
        await doing
    return refused.type, refused.value.message, refused.value.extensions.get("action")


async def test_an_admin_without_full_rights_is_refused_where_the_single_change_is(
    organisation: Organisation, refused: Refused
) -> None:
    words = ["createKind", "updateKind", "createRole", "update*", "createGate", "updateGate", "view*"]
    some = [{"effect": "allow", "actions": words, "resources": ["kind/*", "role/*", "gate/*"]}]
    caller = await organisation.token(organisation.owner, Scope(statements=some))
    held = await organisation.role("held", ALLOW)
    await organisation.member(custom=[held])
    await gates.define(organisation.owner, NewGate("api", "API", GateSource.PATH), Said())
    lowered = {**(await configuration.export(caller))["resourceKinds"][1]}
    assert lowered["key"] == "flag"
    lowered["actions"] = [{**action, "mark": "READ"} for action in lowered["actions"]]
    wider = {"effect": "allow", "resources": ["proj/*"], "actions": ["*"]}

    routes = [ROUTE]
    singles = [
        (document(lowered), kinds.define(caller, sections.kind_of(lowered), Said())),
        (document(roles=[role("held", wider)]), roles.update(caller, held.id, RoleChange(policy=[wider]), Said())),
        (
            document(gates=[gate("api", name="API")]),
            gates.define(caller, NewGate("api", "API", GateSource.PATH, routes=routes), Said()),
        ),
    ]
    for wanted, single in singles:
        expected = await refusal_of(single)
        assert expected[0] is Forbidden
        for dry_run in (True, False):
            with refused(Forbidden) as refusal:
                await applied(
                    caller, {**document(kind("plan")), **{k: v for k, v in wanted.items() if v}}, dry_run=dry_run
                )
            assert (refusal.type, refusal.value.message, refusal.value.extensions["action"]) == expected
    assert (await applied(caller, document(kind("plan"), roles=[role("new")], gates=[gate("new")]))).entries


@pytest.mark.parametrize(
    ("lacking", "wanted"),
    [
        ("createKind", document(kind("plan"))),
        ("updateKind", document({**kind("proj", "viewProject"), "taggable": True})),
        ("createRole", document(roles=[role("new")])),
        ("updateName", document(roles=[role("ops", name="Other")])),
        ("updateDescription", document(roles=[role("ops", description="Other")])),
        ("updatePolicy", document(roles=[role("ops", {**ALLOW, "actions": ["*"]})])),
        ("updateBasePermissions", document(roles=[role("ops", basePermissions="reader")])),
        ("createGate", document(gates=[gate("new")])),
        ("updateGate", document(gates=[gate("api", description="Other")])),
    ],
)
async def test_each_line_needs_its_own_action(
    organisation: Organisation, refused: Refused, lacking: str, wanted: Document
) -> None:
    await organisation.role("ops", ALLOW)
    await gates.define(organisation.owner, NewGate("api", "Api", GateSource.PATH, routes=[ROUTE]), Said())
    but = [{"effect": "allow", "notActions": [lacking], "resources": ["*"]}]
    caller = await organisation.token(organisation.owner, Scope(statements=but))
    with refused(Forbidden) as refusal:
        await applied(caller, wanted)
    assert refusal.value.extensions["action"] == lacking


async def test_nobody_changes_their_own_role(organisation: Organisation, refused: Refused) -> None:
    everything = {"effect": "allow", "actions": ["*"], "resources": ["*"]}
    mine = await organisation.role("mine", everything)
    caller = await organisation.session(await organisation.member(custom=[mine]))
    with refused(Forbidden):
        await applied(caller, document(roles=[role("mine", ALLOW)]))


async def test_a_hidden_policy_is_neither_exported_nor_guessed(organisation: Organisation, refused: Refused) -> None:
    await organisation.role("secret", ALLOW)
    sees = {"effect": "allow", "actions": ["viewRole", "updateName"], "resources": ["role/*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[sees]))
    assert await configuration.export(caller) == document()
    for guess in (ALLOW, {**ALLOW, "actions": ["*"]}):
        with refused(Forbidden) as refusal:
            await applied(caller, document(roles=[role("secret", guess)]), dry_run=True)
        assert refusal.value.extensions["action"] == "updatePolicy"
    may = {**sees, "actions": ["viewRole", "updatePolicy"]}
    blind = await organisation.token(organisation.owner, Scope(statements=[may]))
    done = await applied(blind, document(roles=[role("secret", ALLOW)]), dry_run=True)
    assert [(change.name, change.before) for change in done.differences[0].fields] == [("policy", None)]
    assert done.gainers is None  # or it would tell who holds the role, and what of the guess it says already


async def test_what_is_hidden_is_taken_and_not_replaced(organisation: Organisation, refused: Refused) -> None:
    await organisation.role("secret", ALLOW)
    creates = {"effect": "allow", "actions": ["createRole", "createKind"], "resources": ["role/*", "kind/*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[creates]))
    with refused(Conflict) as refusal:
        await applied(caller, document(roles=[role("new"), role("secret")]))
    assert refusal.value.extensions["field"] == "roles[1].key"


async def test_the_command_line_may_do_it_all(organisation: Organisation) -> None:
    held = await organisation.role("held", ALLOW)
    await organisation.member(custom=[held])
    wider = {"effect": "allow", "resources": ["proj/*"], "actions": ["*"]}
    caller = await command_line(organisation)
    await kinds.define(organisation.owner, sections.kind_of({**kind("later"), "parents": [], "properties": []}), Said())
    lowered = deepcopy((await configuration.export(caller))["resourceKinds"])
    for each in lowered:
        each["actions"] = [{**action, "mark": "READ", "gate": False} for action in each["actions"]]
    done = await applied(caller, document(*lowered, kind("beneath", parents=["later"]), roles=[role("held", wider)]))
    assert {entry.actor_kind for entry in done.entries} == {ActorKind.COMMAND_LINE}
    assert steps(done)["roles/held"] == "UPDATE"
    assert await length(organisation)


def names(gainers: Gainers | None, others: int = 0) -> dict[str, set[str]]:
    """What each may gain, by name; and see that so many others may."""
    assert gainers
    assert gainers.others == others
    return {gainer.row.label: {action for action, _ in gainer.gains or ()} for gainer in gainers.shown}


async def test_who_may_gain_is_told(organisation: Organisation) -> None:
    held, other = await organisation.role("held", ALLOW), await organisation.role("other", ALLOW)
    await organisation.member(custom=[held], name="Hilda")
    await organisation.member(custom=[held, other], name="Harald")
    await organisation.member(custom=[other], name="Otto")
    await organisation.member(BuiltInRole.READER, name="Rita")
    await organisation.made(organisation.owner, Scope(custom_roles=["held"]), TokenKind.SERVICE, name="robot")
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    await organisation.made(admin, Scope(custom_roles=["held"]), name="personal")
    may = {"effect": "allow", "resources": ["service-token/*", "role/*"], "actions": ["createAccessToken", "viewRole"]}
    bounded = await organisation.token(organisation.owner, Scope(statements=[ALLOW, may]))
    await organisation.made(bounded, Scope(custom_roles=["held"]), TokenKind.SERVICE, name="within its ceiling")

    wider = {**ALLOW, "actions": ["viewProject", "updateTags"]}
    done = await applied(organisation.owner, document(roles=[role("held", wider)]), dry_run=True)

    assert names(done.gainers) == {"Hilda": {"updateTags"}, "Harald": {"updateTags"}, "robot": {"updateTags"}}
    assert done.gainers
    assert {gains for gainer in done.gainers.shown for gains in gainer.gains or ()} == {("updateTags", "proj/*")}
    narrower = document(roles=[role("held", {**ALLOW, "resources": ["proj/web"]})])
    assert (await applied(organisation.owner, narrower, dry_run=True)).gainers == Gainers()


async def test_who_may_gain_by_the_catalogue_is_told(organisation: Organisation) -> None:
    star = await organisation.role("star", {"effect": "allow", "actions": ["*"], "resources": ["proj/*:env/*:flag/*"]})
    both = {"effect": "allow", "actions": ["*"], "resources": ["proj/*", "proj/*:env/*:flag/*"]}
    gated = await organisation.role("gated", both)
    await organisation.member(custom=[star], name="Stella")
    await organisation.member(custom=[gated], name="Gustav")
    await organisation.member(BuiltInRole.READER, name="Rita")
    await organisation.member(BuiltInRole.WRITER, name="Wanda")
    await organisation.member(BuiltInRole.NO_ACCESS, name="Noor")
    caller = await command_line(organisation)

    async def gain(*changed: Any) -> dict[str, set[str]]:
        shown = [sections._kind_shown(each) for each in changed]  # noqa: SLF001 - what `export` gives
        found = names((await applied(caller, document(*shown), dry_run=True)).gainers)
        return {name: gains for name, gains in found.items() if name != "Owner"}

    lowered = replace(FLAG, actions=(*FLAG.actions[:2], KindAction("deleteFlag", Mark.WRITE)))
    assert await gain(lowered) == {"Wanda": {"deleteFlag"}}
    added = replace(FLAG, actions=(*FLAG.actions, KindAction("copyFlag", Mark.READ)))
    assert await gain(added) == {"Gustav": {"copyFlag"}, "Rita": {"copyFlag"}, "Wanda": {"copyFlag"}}
    opened = replace(PROJ, actions=tuple(replace(action, gate=False) for action in PROJ.actions))
    assert await gain(opened) == {"Stella": {"viewFlag", "updateOn", "deleteFlag"}}
    raised = replace(FLAG, actions=(*FLAG.actions[:1], KindAction("updateOn", Mark.MANAGE), FLAG.actions[2]))
    assert await gain(raised) == {}
    assert await gain(replace(FLAG, name="Switch")) == {}


async def test_gainers_that_the_caller_does_not_see_are_counted(organisation: Organisation) -> None:
    held = await organisation.role("held", {**ALLOW, "resources": ["proj/a"]})
    seen = await organisation.member(custom=[held], name="Seen")
    await organisation.member(custom=[held], name="Hidden")
    may = [
        {"effect": "allow", "actions": ["view*", "updatePolicy"], "resources": ["role/*"]},
        {"effect": "allow", "actions": ["viewMember"], "resources": [f"member/{seen.id}"]},
        ALLOW,
    ]
    caller = await organisation.token(organisation.owner, Scope(statements=may))
    done = await applied(caller, document(roles=[role("held", ALLOW)]), dry_run=True)
    assert names(done.gainers, others=1) == {"Seen": set()}  # what they may do is not for the caller to see
    access = {"effect": "allow", "actions": ["viewAccess"], "resources": [f"member/{seen.id}"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[*may, access]))
    done = await applied(caller, document(roles=[role("held", ALLOW)]), dry_run=True)
    assert names(done.gainers, others=1) == {"Seen": {"viewProject"}}


async def test_the_example_is_applied_to_an_empty_account(organisation: Organisation) -> None:
    example = json.loads((Path(__file__).parents[2] / "examples" / "launchdarkly.json").read_text(encoding="utf-8"))
    empty = await founded(organisation.house.database, "empty")
    done = await applied(empty.owner, example)
    assert {difference.step for difference in done.differences} == {Step.CREATE}
    again = await applied(await callers.again(empty.owner), example)
    assert {difference.step for difference in again.differences} == {Step.SAME}
