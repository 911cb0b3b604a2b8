"""Who is asking, out of what the caller holds; and what they may, with reasons."""

from typing import Any

from core.vocabulary import BuiltInRole
from models import TokenKind
from resolvers import sessions
from resolvers.scopes import Scope
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask

TEN_FIELDS = """{ viewer {
  member { id name email state baseRole }
  token { name }
  session { id current }
  account { key name }
} }"""


async def test_a_session_sees_itself_without_a_single_statement(
    organisation: Organisation, ask: Ask, statements: list[str]
) -> None:
    caller = organisation.owner
    assert caller.member
    assert caller.token
    statements.clear()
    assert await ask(caller, TEN_FIELDS) == {
        "data": {
            "viewer": {
                "member": {
                    "id": global_id("Member", caller.member.id),
                    "name": "Owner",
                    "email": "owner@main.example",
                    "state": "ACTIVE",
                    "baseRole": "OWNER",
                },
                "token": None,
                "session": {"id": global_id("Session", caller.token.id), "current": True},
                "account": {"key": "main", "name": "Main"},
            }
        }
    }
    assert statements == []


async def test_a_service_token_is_nobodys(organisation: Organisation, ask: Ask) -> None:
    service = await organisation.token(organisation.owner, Scope(BuiltInRole.READER), TokenKind.SERVICE, name="robot")
    query = "{ viewer { member { id } session { id } token { name kind state } effectiveRoles { side name } } }"
    assert await ask(service, query) == {
        "data": {
            "viewer": {
                "member": None,
                "session": None,
                "token": {"name": "robot", "kind": "SERVICE", "state": "ACTIVE"},
                "effectiveRoles": [{"side": "SCOPE", "name": "reader"}, {"side": "CEILING", "name": "owner"}],
            }
        }
    }


async def test_nobody_is_told_to_sign_in(ask: Ask) -> None:
    answer = await ask(None, "{ viewer { account { key } } account { key } }")
    assert answer["data"] == {"viewer": None, "account": None}
    assert [error["code"] for error in answer["errors"]] == ["UNAUTHENTICATED"] * 2


STATEMENT = {"effect": "allow", "actions": ["updateOn"], "resources": ["proj/web:env/*:flag/*"]}
CHECK = """query($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed decisions {
  action resource allowed missing ownerOnly problem unknown decisionId lacking { action resource }
  because { side role index action resource statement { effect actions notActions resources notResources } }
} } }"""


async def test_every_answer_explains_itself_and_one_bad_question_spoils_no_other(
    organisation: Organisation, ask: Ask
) -> None:
    session = await organisation.as_role(BuiltInRole.ADMIN)
    gate = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/web"]}
    token = await organisation.token(session, Scope(statements=[gate, STATEMENT]))
    flag, elsewhere = "proj/web:env/dev:flag/f", "proj/shop:env/dev:flag/f"
    checks = [("updateOn", flag), ("updateOnn", flag), ("updateOn", "flag//"), ("updateOn", elsewhere)]
    answer = await ask(token, CHECK, checks=[{"action": a, "resource": r} for a, r in checks])
    assert answer["data"]["checkAccess"]["allowed"] == [True, False, False, False]
    yes, unknown, malformed, silent = answer["data"]["checkAccess"]["decisions"]
    shown = {**STATEMENT, "effect": "ALLOW", "notActions": None, "notResources": None}
    assert yes["because"][0] == {
        "side": "SCOPE",
        "role": "inline",
        "index": 1,
        "action": "updateOn",
        "resource": flag,
        "statement": shown,
    }
    assert {reason["side"] for reason in yes["because"]} == {"SCOPE", "OWNER"}
    assert (yes["allowed"], yes["missing"], yes["problem"]) == (True, [], None)
    assert silent["allowed"] is False
    assert (silent["missing"], silent["because"], silent["problem"]) == (["SCOPE"], [], None)
    assert "`updateOn`" in unknown["problem"]
    assert unknown["problem"].startswith("`checks[1].action`")
    assert malformed["problem"].startswith("`checks[2].resource`")
    assert [decision["allowed"] for decision in (unknown, malformed)] == [False, False]


async def test_a_refusal_names_what_is_lacking_and_what_was_not_stated(organisation: Organisation, ask: Ask) -> None:
    flag = "proj/web:env/dev:flag/f"
    scope: list[dict[str, Any]] = [
        {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/web"]},
        {"effect": "allow", "actions": ["updateOn"], "resources": ["proj/*:env/*;{critical:false}:flag/*"]},
        {"effect": "deny", "actions": ["updateOn"], "resources": ["proj/*:env/*:flag/*;frozen"]},
        {"effect": "allow", "actions": ["viewFlag"], "resources": ["proj/*:env/*:flag/*"]},
    ]
    token = await organisation.token(organisation.owner, Scope(statements=scope))
    checks = [
        ("updateOn", flag),
        ("updateOn", f"{flag};"),
        ("updateOn", "proj/web:env/dev;{critical:false}:flag/f;"),
        ("viewFlag", "proj/shop:env/dev:flag/f"),
        ("deleteFlag", flag),
    ]
    answer = await ask(token, CHECK, checks=[{"action": a, "resource": r} for a, r in checks])
    decisions = answer["data"]["checkAccess"]["decisions"]
    tags, critical = f"the tags of `{flag}`", "`critical` of `proj/web:env/dev`"
    assert [decision["allowed"] for decision in decisions] == [False, False, True, False, False]
    assert [decision["unknown"] for decision in decisions] == [[critical, tags], [critical], [], [], []]
    lacking = [[(lack["action"], lack["resource"]) for lack in decision["lacking"]] for decision in decisions]
    closed = [("viewProject", "proj/shop")]
    assert lacking == [[("updateOn", flag)], [("updateOn", flag)], [], closed, [("deleteFlag", flag)]]
    answer = await ask(token, CHECK, checks=[{"action": "deleteFlag", "resource": "proj/shop:env/dev:flag/f"}])
    (both,) = answer["data"]["checkAccess"]["decisions"]
    needed = [("deleteFlag", "proj/shop:env/dev:flag/f"), *closed]
    assert [(lack["action"], lack["resource"]) for lack in both["lacking"]] == needed


async def test_more_than_a_thousand_questions_are_refused(organisation: Organisation, ask: Ask) -> None:
    check = {"action": "viewMember", "resource": "member/x"}
    most = await ask(organisation.owner, CHECK, checks=[check] * 1000)
    assert most["data"]["checkAccess"]["allowed"] == [True] * 1000
    answer = await ask(organisation.owner, CHECK, checks=[check] * 1001)
    assert answer["data"] == {"checkAccess": None}
    assert (answer["errors"][0]["code"], answer["errors"][0]["field"]) == ("BAD_USER_INPUT", "checks")


async def test_may_refuses_a_question_that_makes_no_sense(organisation: Organisation, ask: Ask) -> None:
    query = 'query { viewer { may(action: "fly", resource: "member/x") { allowed } account { key } } }'
    answer = await ask(organisation.owner, query)
    assert answer["data"] == {"viewer": {"may": None, "account": {"key": "main"}}}
    assert (answer["errors"][0]["code"], answer["errors"][0]["field"]) == ("BAD_USER_INPUT", "action")


async def test_only_the_owner_hands_the_account_over(organisation: Organisation, ask: Ask) -> None:
    query = '{ viewer { may(action: "updateAccountOwner", resource: "acct") { allowed ownerOnly } } }'
    assert (await ask(organisation.owner, query))["data"]["viewer"]["may"] == {"allowed": True, "ownerOnly": False}
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert (await ask(admin, query))["data"]["viewer"]["may"] == {"allowed": False, "ownerOnly": True}


async def test_viewer_lists_the_members_own_sessions_only(organisation: Organisation, ask: Ask) -> None:
    await organisation.as_role(BuiltInRole.READER)
    answer = await ask(organisation.owner, "{ viewer { sessions { totalCount nodes { current } } } }")
    assert answer["data"]["viewer"]["sessions"] == {"totalCount": 1, "nodes": [{"current": True}]}


async def test_sessions_are_filtered_and_ordered_wherever_they_are_listed(organisation: Organisation, ask: Ask) -> None:
    member = await organisation.member(BuiltInRole.ADMIN)
    first, second, ended = [await organisation.session(member) for _ in range(3)]
    await sessions.sign_out(ended)
    made = {name: caller.token for name, caller in (("1", first), ("2", second), ("3", ended))}
    ids = {name: global_id("Session", row.id) for name, row in made.items() if row}
    lists = "sessions(filter: {state: %s}, orderBy: {field: EXPIRES_AT, direction: %s}) { nodes { id } }"
    for state, direction, expected in (("ACTIVE", "ASC", "12"), ("ACTIVE", "DESC", "21"), ("REVOKED", "ASC", "3")):
        listed = lists % (state, direction)
        answer = await ask(first, f"{{ viewer {{ {listed} member {{ {listed} }} }} }}")
        viewer = answer["data"]["viewer"]
        nodes = [{"id": ids[name]} for name in expected]
        assert viewer["sessions"]["nodes"] == viewer["member"]["sessions"]["nodes"] == nodes
