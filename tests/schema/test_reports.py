"""Reports as an integration sends them, and as the log shows them."""

from typing import Any

import pytest

from core.vocabulary import BuiltInRole
from models import AuditEntry, TokenKind
from resolvers.callers import Caller
from resolvers.scopes import Scope
from schema.nodes import global_id
from tests.organisation import Organisation
from tests.schema.conftest import Ask, Served

RECORD = """mutation ($entries: [RecordedDeedInput!]!, $comment: String, $key: String) {
  recordAuditEntries(input: {entries: $entries, comment: $comment, idempotencyKey: $key}) {
    count
    auditEntries {
      at reportedAt comment after
      accesses { action resource }
      actor { kind tokenName }
      target { kind nodeId resource name }
      onBehalfOf { memberName tokenName tokenEnding verified member { name } token { name } }
    }
  }
}"""
VERIFY = """query ($secret: String!, $checks: [AccessCheckInput!]) {
  verifyToken(secret: $secret, checks: $checks) { decisions { decisionId } }
}"""
CHECK = {"action": "updateOn", "resource": "proj/web:env/dev:flag/f"}


async def integration(organisation: Organisation, *more: dict[str, Any]) -> Caller:
    may = {"effect": "allow", "actions": ["recordAuditEntry", "verifyAccessToken"], "resources": ["acct"]}
    return await organisation.token(organisation.owner, Scope(statements=[may, *more]), TokenKind.SERVICE, name="CI")


async def test_a_deed_is_verified_by_the_decision_that_was_given(organisation: Organisation, ask: Ask) -> None:
    log = {"effect": "allow", "actions": ["viewAuditLog", "viewAuditChanges"], "resources": ["acct"]}
    caller = await integration(organisation, log)
    wanda = await organisation.session(await organisation.member(BuiltInRole.WRITER, name="Wanda"))
    made = await organisation.made(wanda, name="laptop")
    verified = await ask(caller, VERIFY, secret=made.secret, checks=[CHECK])
    proof = verified["data"]["verifyToken"]["decisions"][0]["decisionId"]
    deed = {**CHECK, "at": "2026-03-01T12:00:00+02:00", "details": {"on": True}, "onBehalfOf": {"decisionId": proof}}

    answer = await ask(caller, RECORD, entries=[deed], comment="from CI")

    payload = answer["data"]["recordAuditEntries"]
    assert payload["count"] == 1
    [entry] = payload["auditEntries"]
    assert entry.pop("at") > "2026-03-01"
    assert entry == {
        "reportedAt": "2026-03-01T10:00:00+00:00",
        "comment": "from CI",
        "after": {"on": True},
        "accesses": [CHECK],
        "actor": {"kind": "SERVICE", "tokenName": "CI"},
        "target": {"kind": "flag", "nodeId": None, "resource": CHECK["resource"], "name": "f"},
        "onBehalfOf": {
            "memberName": "Wanda",
            "tokenName": "laptop",
            "tokenEnding": (made.secret or "")[-4:],
            "verified": "VERIFIED",
            "member": None,
            "token": None,
        },
    }


async def test_a_claim_is_shown_as_one(organisation: Organisation, ask: Ask) -> None:
    caller = await organisation.token(organisation.owner)
    made = await organisation.made(organisation.owner, name="laptop")
    claim = {**CHECK, "onBehalfOf": {"token": global_id("Token", made.row.id)}}
    answer = await ask(caller, RECORD, entries=[claim, CHECK])
    [claimed, bare] = answer["data"]["recordAuditEntries"]["auditEntries"]
    assert (claimed["onBehalfOf"]["verified"], claimed["onBehalfOf"]["token"]) == ("CLAIMED", {"name": "laptop"})
    assert bare["onBehalfOf"] is None
    own = await ask(organisation.owner, "{ auditEntries { nodes { reportedAt onBehalfOf { verified } } } }")
    nodes = own["data"]["auditEntries"]["nodes"]
    assert [bool(node["reportedAt"]) for node in nodes[:3]] == [True, True, False]
    assert nodes[2]["onBehalfOf"] is None

    found = """query ($token: ID) { auditEntries(filter: {token: $token, action: "updateOn"}) { nodes { id } } }"""
    answer = await ask(organisation.owner, found, token=global_id("Token", made.row.id))
    assert len(answer["data"]["auditEntries"]["nodes"]) == 1


async def test_who_sees_no_log_is_told_how_many(organisation: Organisation, ask: Ask) -> None:
    answer = await ask(await integration(organisation), RECORD, entries=[CHECK, CHECK])
    assert answer == {"data": {"recordAuditEntries": {"count": 2, "auditEntries": []}}}


@pytest.mark.parametrize(
    ("deed", "field"),
    [
        ({**CHECK, "action": "createRole", "resource": "role/x"}, "entries[1].action"),
        ({**CHECK, "onBehalfOf": {"decisionId": "x"}}, "entries[1].onBehalfOf.decisionId"),
        ({**CHECK, "onBehalfOf": {"token": "x"}}, "entries[1].onBehalfOf.token"),
        ({**CHECK, "onBehalfOf": {"token": global_id("Token", "x")}}, "entries[1].onBehalfOf.token"),
        ({**CHECK, "at": "2026-03-01T12:00:00"}, "entries[1].at"),
        ({**CHECK, "details": {"a": 0.5}}, "entries[1].details.a"),
    ],
)
async def test_bad_input_is_named_by_its_place(
    organisation: Organisation, ask: Ask, deed: dict[str, Any], field: str
) -> None:
    before = await AuditEntry.all().count()
    caller = await integration(organisation)
    answer = await ask(caller, RECORD, entries=[CHECK, deed])
    assert answer["data"] == {"recordAuditEntries": None}
    assert [(error["code"], error["field"]) for error in answer["errors"]] == [("BAD_USER_INPUT", field)]
    assert await AuditEntry.all().count() == before + 1  # the integration's own making


@pytest.mark.parametrize("behalf", [{}, {"token": None}, {"token": "x", "decisionId": "y"}])
async def test_on_behalf_of_is_one_of_two(organisation: Organisation, served: Served, behalf: dict[str, Any]) -> None:
    caller = await integration(organisation)
    answer = await served(caller, RECORD, entries=[{**CHECK, "onBehalfOf": behalf}])
    assert [error["extensions"]["code"] for error in answer["errors"]] == ["BAD_USER_INPUT"]


async def test_a_replay_names_the_first_result(organisation: Organisation, ask: Ask) -> None:
    caller = await integration(organisation)
    assert "errors" not in await ask(caller, RECORD, entries=[CHECK], key="once")
    answer = await ask(caller, RECORD, entries=[CHECK], key="once")
    [error] = answer["errors"]
    assert (error["code"], error["field"], error["first"]["resource"]) == (
        "CONFLICT",
        "idempotencyKey",
        CHECK["resource"],
    )


async def test_no_session_reports(organisation: Organisation, ask: Ask) -> None:
    answer = await ask(organisation.owner, RECORD, entries=[CHECK])
    assert [(error["code"], error["action"]) for error in answer["errors"]] == [("FORBIDDEN", "recordAuditEntry")]
