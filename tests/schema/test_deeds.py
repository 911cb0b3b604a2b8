"""All tokens by who made them, with what was done with each last: in one query, and in few statements."""

from itertools import product
from typing import Any

from core.vocabulary import BuiltInRole
from models import Token, TokenKind
from resolvers import reports, roles
from resolvers.callers import Caller
from resolvers.reports import Deed, OnBehalfOf
from resolvers.roles import NewRole
from resolvers.scopes import Scope
from resolvers.writing import Said
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask

BY_CREATOR = """query($first: Int, $direction: OrderDirection = ASC) {
  tokens(first: $first, orderBy: {field: CREATOR, direction: $direction}) { nodes {
    id name lastUsedAt creator { id name } deeds(first: 3) { nodes { sequence at title } }
  } }
}"""
PAGE = """totalCount nodes { sequence } edges { cursor }
pageInfo { hasNextPage hasPreviousPage startCursor endCursor }"""
DEEDS = f"""query($first: Int, $last: Int, $after: String, $orderBy: AuditEntryOrder) {{ tokens {{ nodes {{
  id deeds(first: $first, last: $last, after: $after, orderBy: $orderBy) {{ {PAGE} }}
}} }} }}"""
ENTRIES = f"""query($token: ID!, $first: Int, $last: Int, $after: String, $orderBy: AuditEntryOrder) {{
  auditEntries(filter: {{token: $token}}, first: $first, last: $last, after: $after, orderBy: $orderBy) {{ {PAGE} }}
}}"""


async def busy(organisation: Organisation) -> list[Caller]:
    """Make members with tokens that do something, and a service that also reports what was done for others."""
    callers = []
    for name in ("Ada", "Bob"):
        session = await organisation.session(await organisation.member(BuiltInRole.ADMIN, name=name))
        callers += [await organisation.token(session, name=f"{name}'s {number}") for number in range(2)]
    service = await organisation.token(organisation.owner, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE, name="CI")
    callers.append(service)
    for number, caller in enumerate(callers * 3):
        await roles.create(caller, NewRole(f"role-{number}", "A role", []), Said())
        assert caller.token
        await reports.record(service, [Deed("updateOn", "proj/a:env/b:flag/c", OnBehalfOf(caller.token.id))], Said())
    return callers


async def test_tokens_are_listed_by_who_made_them_with_their_last_deeds_in_few_statements(
    organisation: Organisation, ask: Ask, statements: list[str]
) -> None:
    callers = await busy(organisation)
    for number in range(45):
        whom = callers[number % 3].member
        await Token.create(
            account_id=organisation.account.id,
            kind=TokenKind.SERVICE,
            creator_id=whom.id if whom else None,
            scope_kind="INLINE",
            ending="abcd",
            name=f"idle {number}",
        )
    answers = {}
    for first in (5, 50):
        statements.clear()
        answers[first] = await ask(organisation.owner, BY_CREATOR, first=first)
        assert "errors" not in answers[first]
        assert len(statements) <= 3, first
    shown = answers[50]["data"]["tokens"]["nodes"]
    assert shown[:5] == answers[5]["data"]["tokens"]["nodes"]
    assert len(shown) == 50
    creators = [node["creator"] and node["creator"]["name"] for node in shown]
    assert list(dict.fromkeys(creators)) == ["Owner", "Ada", "Bob"]
    backwards = (await ask(organisation.owner, BY_CREATOR, first=50, direction="DESC"))["data"]["tokens"]["nodes"]
    assert [node["id"] for node in backwards] == [node["id"] for node in shown][::-1]
    did = {node["name"]: [deed["title"] for deed in node["deeds"]["nodes"]] for node in shown}
    assert [len(titles) for name, titles in did.items() if "idle" in name] == [0] * 45
    assert did["Bob's 1"][1].startswith("Bob created the role “A role” with the token “Bob's 1”")
    assert [len(titles) for name, titles in did.items() if "idle" not in name] == [3] * 5


async def test_the_deeds_of_many_tokens_are_those_of_each_alone(organisation: Organisation, ask: Ask) -> None:
    callers = await busy(organisation)
    oldest, latest = ({"field": "SEQUENCE", "direction": direction} for direction in ("ASC", "DESC"))
    edges = (await ask(callers[0], DEEDS))["data"]["tokens"]["nodes"][-1]["deeds"]["edges"]
    parts: list[dict[str, Any]] = [
        {},
        {"first": 0},
        {"first": 2, "orderBy": oldest},
        {"last": 2, "orderBy": oldest},
        {"last": 2, "orderBy": latest, "after": edges[1]["cursor"]},
    ]
    for caller, part in product((organisation.owner, callers[0]), parts):
        nodes = (await ask(caller, DEEDS, **part))["data"]["tokens"]["nodes"]
        assert len(nodes) == 5
        for node in nodes[::2]:
            alone = (await ask(caller, ENTRIES, token=node["id"], **part))["data"]["auditEntries"]
            assert node["deeds"] == alone, part


async def test_who_sees_a_part_of_the_log_or_of_the_members_is_shown_no_more(
    organisation: Organisation, ask: Ask
) -> None:
    ada = (await busy(organisation))[0]
    assert ada.member
    sees = {"effect": "allow", "actions": ["view*"], "resources": ["member/*:token/*", f"member/{ada.member.id}"]}
    role = await organisation.role("some", sees)
    caller = await organisation.session(await organisation.member(custom=[role]))
    nodes = (await ask(caller, DEEDS))["data"]["tokens"]["nodes"]
    own = global_id("Member", ada.member.id)
    for node in nodes:
        whose = await ask(organisation.owner, "query($id: ID!) { token(id: $id) { owner { id } } }", id=node["id"])
        is_hers = whose["data"]["token"]["owner"]["id"] == own
        assert bool(node["deeds"]["nodes"]) is is_hers
    for query in (BY_CREATOR, BY_CREATOR.replace("CREATOR", "OWNER")):
        [error] = (await ask(caller, query, first=5))["errors"]
        assert (error["code"], error["action"]) == ("FORBIDDEN", "viewMember")
