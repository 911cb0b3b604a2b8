"""The configuration as one document over GraphQL."""

from typing import Any

from core.vocabulary import BuiltInRole
from models import AuditEntry, Role
from resolvers.scopes import Scope
from tests.organisation import Organisation
from tests.schema.conftest import Ask, Served

APPLY = """mutation ($document: JSON!, $dryRun: Boolean) {
  applyConfiguration(input: {document: $document, dryRun: $dryRun, comment: "as code"}) {
    dryRun
    differences { section key step fields { name before after } }
    mayGain { member { name } token { name } gains { action resource } }
    mayGainOthers
    auditEntries { comment target { resource } }
  }
}"""
ALLOW = {"effect": "allow", "resources": ["proj/*"], "actions": ["viewProject"]}
WIDER = {**ALLOW, "actions": ["*"]}


def roles(*policy: dict[str, Any], key: str = "ops") -> dict[str, Any]:
    return {"latchkey": 1, "roles": [{"key": key, "name": key.title(), "policy": list(policy)}]}


async def test_a_document_is_tried_and_applied(organisation: Organisation, ask: Ask) -> None:
    held = await organisation.role("ops", ALLOW)
    await organisation.member(BuiltInRole.READER, custom=[held], name="Olga")
    answer = await ask(organisation.owner, APPLY, document=roles(WIDER), dryRun=True)
    payload = answer["data"]["applyConfiguration"]
    assert payload == {
        "dryRun": True,
        "differences": [
            {
                "section": "roles",
                "key": "ops",
                "step": "UPDATE",
                "fields": [{"name": "policy", "before": [ALLOW], "after": [WIDER]}],
            }
        ],
        "mayGain": [
            {
                "member": {"name": "Olga"},
                "token": None,
                "gains": [
                    {"action": "createProject", "resource": "proj/*"},
                    {"action": "updateTags", "resource": "proj/*"},
                ],
            }
        ],
        "mayGainOthers": 0,
        "auditEntries": [],
    }
    assert (await Role.get(id=held.id)).policy == [ALLOW]

    answer = await ask(organisation.owner, APPLY, document=roles(WIDER))
    payload = answer["data"]["applyConfiguration"]
    assert payload["dryRun"] is False
    assert payload["auditEntries"] == [{"comment": "as code", "target": {"resource": "role/ops"}}]
    assert (await Role.get(id=held.id)).policy == [WIDER]


async def test_the_document_shows_what_the_caller_may_see(organisation: Organisation, ask: Ask) -> None:
    await organisation.role("ops", ALLOW)
    full = (await ask(organisation.owner, "{ configuration }"))["data"]["configuration"]
    assert [each["key"] for each in full["resourceKinds"]] == ["env", "flag", "proj"]
    assert [each["key"] for each in full["roles"]] == ["ops"]
    reader = await organisation.as_role(BuiltInRole.READER)
    seen = (await ask(reader, "{ configuration }"))["data"]["configuration"]
    assert seen == {**full, "roles": []}
    same = await ask(organisation.owner, APPLY, document=full)
    assert {each["step"] for each in same["data"]["applyConfiguration"]["differences"]} == {"SAME"}


async def test_every_problem_is_told_in_one_answer(organisation: Organisation, served: Served) -> None:
    before = await AuditEntry.all().count()
    document = {"latchkey": 1, "roles": [{"key": "A"}, {"key": "b", "name": "B", "policy": [1]}]}
    answer = await served(organisation.owner, APPLY, document=document)
    [error] = answer["errors"]
    assert error["extensions"]["code"] == "BAD_USER_INPUT"
    assert [problem["field"] for problem in error["extensions"]["problems"]] == [
        "roles[0].name",
        "roles[0].policy",
        "roles[0].key",
        "roles[1].policy[0]",
    ]
    assert await AuditEntry.all().count() == before


async def test_whoever_may_not_change_a_line_changes_none(organisation: Organisation, ask: Ask) -> None:
    may = {"effect": "allow", "actions": ["createRole"], "resources": ["role/a"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[may]))
    both = {"latchkey": 1, "roles": [*roles(ALLOW, key="a")["roles"], *roles(ALLOW, key="b")["roles"]]}
    answer = await ask(caller, APPLY, document=both)
    assert answer["data"] == {"applyConfiguration": None}
    assert [(error["action"], error["resource"]) for error in answer["errors"]] == [("createRole", "role/b")]
    assert not await Role.exists()
