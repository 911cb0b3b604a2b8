"""Explanations and lists of who may, as a client asks for them."""

from datetime import timedelta
from typing import Any

import pytest

from core.vocabulary import Action, BuiltInRole
from models import Member, MemberState, Token, now
from resolvers import holders, members, roles
from resolvers.access import Question
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.writing import Said
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.population import GATE, QUESTIONS, Population, allowed
from tests.schema.conftest import Ask, Served

EXPLAIN = """
query($subject: AccessSubjectInput!, $action: String!, $resource: String!, $at: DateTime) {
  explainAccess(subject: $subject, action: $action, resource: $resource, at: $at) {
    answer forgotten
    state { exists works tokenState memberState }
    decision { allowed missing ownerOnly because { side role index action resource } }
    sides { side allowed policies { role allowed because { role index } } }
    remedies { kind side role index action resource sentence }
  }
}"""
WORDS = """
query($subject: AccessSubjectInput!, $action: String!, $resource: String!) {
  explainAccess(subject: $subject, action: $action, resource: $resource) {
    decision { because { statement { effect actions } } }
    sides { policies { because { statement { effect } } } }
  }
}"""
PAGE = """edges { cursor node { id } } nodes { id } totalCount
pageInfo { hasNextPage hasPreviousPage endCursor startCursor }"""
WHO_MAY = """
query($action: String!, $resource: String!, $first: Int, $after: String, $last: Int, $before: String) {
  whoMay(action: $action, resource: $resource) {
    action resource found: %s(first: $first, after: $after, last: $last, before: $before) { %s }
  }
}"""
MEMBERS, TOKENS = (WHO_MAY % (name, PAGE) for name in ("members", "tokens"))
FLAG = {"action": "updateOn", "resource": "proj/web:env/dev:flag/f;"}


def id_of(row: Member | Token) -> str:
    return global_id(type(row).__name__, row.id)


def of(row: Member | Token) -> dict[str, str]:
    return {type(row).__name__.lower(): id_of(row)}


async def test_an_explanation_spells_out_both_sides(organisation: Organisation, ask: Ask) -> None:
    """The scope allows, the owner does not: the remedy is the owner's role, and applying it is a yes."""
    deny = {"effect": "deny", "actions": ["updateOn"], "resources": ["proj/web:env/*:flag/*"]}
    every = {"effect": "allow", "actions": ["*"], "resources": ["*"]}
    role = await organisation.role("careful", every, deny)
    session = await organisation.session(await organisation.member(custom=[role]))
    token = (await organisation.made(session, Scope(BuiltInRole.WRITER))).row
    answer = await ask(organisation.owner, EXPLAIN, subject=of(token), **FLAG)
    flag = {"action": "updateOn", "resource": "proj/web:env/dev:flag/f"}
    writer = await ask(organisation.owner, EXPLAIN, subject=of(token), action="viewFlag", resource=FLAG["resource"])
    scope = writer["data"]["explainAccess"]["sides"][0]
    assert scope["allowed"]
    by = {"role": "careful", "index": 1}
    assert answer == {
        "data": {
            "explainAccess": {
                "answer": "REFUSED",
                "forgotten": None,
                "state": {"exists": True, "works": True, "tokenState": "ACTIVE", "memberState": "ACTIVE"},
                "decision": {
                    "allowed": False,
                    "missing": ["OWNER"],
                    "ownerOnly": False,
                    "because": [{"side": "OWNER", **by, **flag}],
                },
                "sides": [
                    {
                        "side": "SCOPE",
                        "allowed": True,
                        "policies": [{"role": "writer", "allowed": True, "because": scope["policies"][0]["because"]}],
                    },
                    {
                        "side": "OWNER",
                        "allowed": False,
                        "policies": [{"role": "careful", "allowed": False, "because": [by]}],
                    },
                ],
                "remedies": [
                    {
                        "kind": "REMOVE_DENY",
                        "side": "OWNER",
                        **by,
                        **flag,
                        "sentence": "Remove or narrow statement 1 of `careful`, which denies `updateOn` on "
                        "`proj/web:env/dev:flag/f`.",
                    }
                ],
            }
        }
    }
    await roles.update(organisation.owner, role.id, RoleChange(policy=[every]), Said())
    answer = await ask(organisation.owner, EXPLAIN, subject=of(token), **FLAG)
    found = answer["data"]["explainAccess"]
    assert (found["answer"], found["decision"]["allowed"], found["remedies"]) == ("ALLOWED", True, [])


async def test_an_explanation_of_an_earlier_time_is_what_was_true_then(organisation: Organisation, ask: Ask) -> None:
    writer = await organisation.member(BuiltInRole.WRITER)
    at = now()
    await members.assign_roles(organisation.owner, writer.id, Grant(BuiltInRole.READER), Said())

    async def answered(at: Any) -> Any:
        answer = await ask(organisation.owner, EXPLAIN, subject=of(writer), at=at, **FLAG)
        return answer["data"]["explainAccess"]["answer"]

    assert [await answered(None), await answered(at.isoformat()), await answered(now().isoformat())] == [
        "REFUSED",
        "ALLOWED",
        "REFUSED",
    ]
    await Member.filter(id=writer.id).update(created_at=at - timedelta(days=1))
    early = await ask(organisation.owner, EXPLAIN, subject=of(writer), at=(at - timedelta(days=1)).isoformat(), **FLAG)
    assert early["errors"][0]["field"] == "at"
    beyond = await ask(organisation.owner, EXPLAIN, subject=of(writer), at="2999-01-01T00:00:00Z", **FLAG)
    assert beyond["errors"][0]["field"] == "at"


async def test_roles_that_one_may_not_see_are_neither_named_nor_quoted(organisation: Organisation, ask: Ask) -> None:
    secret = {"effect": "allow", "actions": ["viewFlag", "updateOn"], "resources": ["proj/web:env/*:flag/hush"]}
    role = await organisation.role("hush", GATE, secret)
    member = await organisation.member(custom=[role])
    question = {"subject": of(member), "action": "updateOn", "resource": "proj/web:env/dev:flag/hush"}
    refused = {**question, "action": "deleteFlag"}
    sees = {"effect": "allow", "actions": ["viewAccess", "viewMember"], "resources": ["member/*"]}
    named = {"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]}
    reads = {"effect": "allow", "actions": ["viewRole", "viewRolePolicy"], "resources": ["role/*"]}

    async def caller(*statements: dict[str, Any]) -> Caller:
        return await organisation.token(organisation.owner, Scope(statements=list(statements)))

    blind, seeing, reading = await caller(sees), await caller(sees, named), await caller(sees, reads)
    for hidden in (await ask(blind, EXPLAIN, **question), await ask(blind, EXPLAIN, **refused)):
        assert "hush`" not in str(hidden).replace("proj/web:env/dev:flag/hush", "")
        assert "'hush'" not in str(hidden)
        found = hidden["data"]["explainAccess"]
        assert [policy["role"] for side in found["sides"] for policy in side["policies"]] == [None]
        assert {because["role"] for because in found["decision"]["because"]} <= {None}
        assert all("a role that you may not see" in remedy["sentence"] for remedy in found["remedies"])
    shown = (await ask(seeing, EXPLAIN, **question))["data"]["explainAccess"]
    assert shown["sides"][0]["policies"][0]["role"] == "hush"
    words = await ask(seeing, WORDS, **question)
    assert {error["action"] for error in words["errors"]} == {"viewRolePolicy"}
    assert words["data"]["explainAccess"]["decision"]["because"] == [{"statement": None}]
    words = await ask(reading, WORDS, **question)
    assert words["data"]["explainAccess"]["decision"]["because"] == [
        {"statement": {"effect": "ALLOW", "actions": ["viewFlag", "updateOn"]}}
    ]


async def test_where_an_owner_stands_is_told_to_those_who_see_them(organisation: Organisation, ask: Ask) -> None:
    session = await organisation.as_role(BuiltInRole.WRITER)
    token = (await organisation.made(session)).row
    assert session.member
    await members.suspend(organisation.owner, session.member.id, Said())
    sees = {"effect": "allow", "actions": ["view*"], "resources": ["member/*:token/*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[sees]))
    state = {"exists": True, "works": False, "tokenState": "OWNER_INACTIVE"}
    for who, shown in ((organisation.owner, "SUSPENDED"), (caller, None)):
        answer = await ask(who, EXPLAIN, subject=of(token), **FLAG)
        assert answer["data"]["explainAccess"]["state"] == {**state, "memberState": shown}


async def test_an_explanation_fits_into_the_budget_of_an_operation(organisation: Organisation, served: Served) -> None:
    writer = await organisation.member(BuiltInRole.WRITER)
    for query in (EXPLAIN, WORDS):
        answer = await served(organisation.owner, query, subject=of(writer), **FLAG)
        assert "errors" not in answer


@pytest.mark.parametrize(
    ("subject", "code"), [({}, "BAD_USER_INPUT"), ({"token": "x", "member": "y"}, "BAD_USER_INPUT")]
)
async def test_exactly_one_is_explained(
    organisation: Organisation, served: Served, subject: dict[str, str], code: str
) -> None:
    answer = await served(organisation.owner, EXPLAIN, subject=subject, **FLAG)
    assert "data" not in answer or answer["data"] is None or answer["data"]["explainAccess"] is None
    assert answer["errors"][0]["extensions"]["code"] == code


async def test_bad_input_names_its_argument(organisation: Organisation, ask: Ask) -> None:
    owner = organisation.owner
    assert owner.member
    bad = ({**FLAG, "action": "updateOnn"}, "action"), ({**FLAG, "resource": "proj/web:flag/f"}, "resource")
    for asked, field in bad:
        for query, given in ((EXPLAIN, {"subject": of(owner.member)}), (MEMBERS, {})):
            answer = await ask(owner, query, **given, **asked)
            assert [(error["code"], error["field"]) for error in answer["errors"]] == [("BAD_USER_INPUT", field)]
    answer = await ask(owner, EXPLAIN, subject={"token": id_of(owner.member)}, **FLAG)
    assert answer["errors"][0]["field"] == "subject.token"


async def forwards(ask: Ask, caller: Caller, query: str, question: dict[str, str], size: int) -> list[str]:
    """Page through a list from its beginning."""
    listed: list[str] = []
    after, more = None, True
    while more:
        answer = await ask(caller, query, first=size, after=after, **question)
        page = answer["data"]["whoMay"]["found"]
        assert page["totalCount"] is None
        assert len(page["nodes"]) <= size
        assert [edge["node"] for edge in page["edges"]] == page["nodes"]
        assert not page["pageInfo"]["hasPreviousPage"]
        listed += [node["id"] for node in page["nodes"]]
        after, more = page["pageInfo"]["endCursor"], page["pageInfo"]["hasNextPage"]
    return listed


async def backwards(ask: Ask, caller: Caller, query: str, question: dict[str, str], size: int) -> list[str]:
    """Page through a list from its end."""
    listed: list[str] = []
    before, more = None, True
    while more:
        answer = await ask(caller, query, last=size, before=before, **question)
        page = answer["data"]["whoMay"]["found"]
        listed = [node["id"] for node in page["nodes"]] + listed
        before, more = page["pageInfo"]["startCursor"], page["pageInfo"]["hasPreviousPage"]
    return listed


async def test_who_may_is_what_asking_for_each_one_gives(
    organisation: Organisation, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    people = await Population.of(organisation, 8, roles=8, members=40, tokens=80)
    owner = organisation.owner.member
    assert owner
    assert organisation.owner.token
    organisation.secrets[str(owner.id)] = organisation.secrets[str(organisation.owner.token.id)]
    callers = {row.id: await people.caller(row) for row in (owner, *people.everyone)}
    seeing = {"effect": "allow", "actions": ["view*"], "resources": ["member/*", "member/*:token/*"]}
    unseen = {
        "effect": "deny",
        "actions": ["viewAccess"],
        "resources": [str(row.resource) for row in people.members[:20]],
    }
    other = await organisation.token(organisation.owner, Scope(statements=[seeing, unseen]), name="asks")
    asks = await Token.get(id=other.token.id) if other.token else None
    assert asks
    callers[asks.id] = other
    own = f"member/{people.members[1].id}"
    asked = [
        *people.random.sample(QUESTIONS, 2),
        Question("viewMemberEmail", own),
        Question("viewAccessToken", f"{own}:token/x"),
    ]
    monkeypatch.setattr(holders, "CHUNK", 10)
    rows = sorted((owner, asks, *people.everyone), key=lambda row: row.id)
    hidden = 0
    for question in asked:
        given = {"action": question.action, "resource": question.resource}
        expected = [row for row in rows if allowed(callers[row.id], question)]
        for query, model in ((MEMBERS, Member), (TOKENS, Token)):
            ids = [id_of(row) for row in expected if isinstance(row, model)]
            assert ids
            assert await forwards(ask, organisation.owner, query, given, 7) == ids
            assert await backwards(ask, organisation.owner, query, given, 50) == ids
            seen = await forwards(ask, other, query, given, 50)
            shown = [row for row in expected if isinstance(row, model) and other.sees(Action.VIEW_ACCESS, row)]
            assert seen == [id_of(row) for row in shown]
            hidden += len(ids) - len(seen)
    assert hidden > 20


async def test_a_page_ends_where_enough_were_looked_at_and_goes_on_from_there(
    organisation: Organisation, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holders, "CHUNK", 2)
    monkeypatch.setattr(holders, "MOST_EXAMINED", 4)
    assert organisation.owner.member
    rows = [organisation.owner.member]
    roles = [BuiltInRole.READER] * 6 + [BuiltInRole.WRITER] + [BuiltInRole.READER] * 2
    rows += [await organisation.member(role) for role in roles]
    seen: list[tuple[int, bool]] = []
    reached: list[str | None] = [None]
    for _ in range(3):
        answer = await ask(organisation.owner, MEMBERS, first=5, after=reached[-1], **FLAG)
        page = answer["data"]["whoMay"]["found"]
        reached.append(page["pageInfo"]["endCursor"])
        seen.append((len(page["nodes"]), page["pageInfo"]["hasNextPage"]))
    assert seen == [(1, True), (1, True), (0, False)]
    rows += [await organisation.member(BuiltInRole.WRITER) for _ in range(2)]
    may = [id_of(row) for row in (rows[0], rows[7], *rows[-2:])]
    for paged in (forwards, backwards):
        assert await paged(ask, organisation.owner, MEMBERS, FLAG, 5) == may
    answer = await ask(organisation.owner, MEMBERS, first=5, last=1, after=reached[2], **FLAG)
    page = answer["data"]["whoMay"]["found"]
    assert ([node["id"] for node in page["nodes"]], page["pageInfo"]["hasPreviousPage"]) == (may[-1:], True)


async def test_a_chunk_costs_the_same_statements_whoever_is_in_it(
    organisation: Organisation, ask: Ask, statements: list[str]
) -> None:
    role = await organisation.role("ci", GATE)
    counts = []
    for _ in range(2):
        for _ in range(3):
            session = await organisation.session(await organisation.member(BuiltInRole.WRITER))
            await organisation.made(session, Scope(custom_roles=["ci"]))
            await organisation.member(custom=[role])
        statements.clear()
        for query in (MEMBERS, TOKENS):
            assert "errors" not in await ask(organisation.owner, query, first=100, **FLAG)
            counts.append(len(statements))
    assert counts == [2, 5] * 2


async def test_members_who_are_not_in_and_tokens_that_do_not_work_may_nothing(
    organisation: Organisation, ask: Ask
) -> None:
    sessions = [await organisation.as_role(BuiltInRole.WRITER) for _ in range(3)]
    made = [(await organisation.made(session)).row for session in sessions]
    assert len(await forwards(ask, organisation.owner, MEMBERS, FLAG, 50)) == 4
    assert await forwards(ask, organisation.owner, TOKENS, FLAG, 50) == [id_of(row) for row in made]
    assert sessions[0].member
    await Member.filter(id=sessions[0].member.id).update(state=MemberState.SUSPENDED)
    await Token.filter(id=made[1].id).update(revoked_at=now())
    await Token.filter(id=made[2].id).update(expires_at=now())
    assert len(await forwards(ask, organisation.owner, MEMBERS, FLAG, 50)) == 3
    assert await forwards(ask, organisation.owner, TOKENS, FLAG, 50) == []


async def test_what_one_may_on_oneself_and_by_attributes_is_ones_own(organisation: Organisation, ask: Ask) -> None:
    """Policies are read once for all who hold them, but for what tells their holders apart."""
    team = {"effect": "allow", "actions": ["*"], "resources": ["proj/${roleAttribute/team}"]}
    role = await organisation.role("team", team)
    web, app = [await organisation.member(custom=[role], attributes={"team": [name]}) for name in ("web", "app")]
    readers = [await organisation.member() for _ in range(3)]
    owner = organisation.owner.member
    assert owner

    async def who(action: str, resource: str) -> list[str]:
        return await forwards(ask, organisation.owner, MEMBERS, {"action": action, "resource": resource}, 50)

    assert await who("createProject", "proj/web") == [id_of(owner), id_of(web)]
    assert await who("createProject", "proj/app") == [id_of(owner), id_of(app)]
    assert await who("viewMemberEmail", str(readers[1].resource)) == [id_of(owner), id_of(readers[1])]
    assert await who("createAccessToken", f"{readers[2].resource}:token/x") == [id_of(owner), id_of(readers[2])]
