"""Global ids lead to what the caller may read, and to nothing else."""

import base64
from typing import Any

import pytest
from tortoise.models import Model

from core.vocabulary import BuiltInRole
from models import AuditEntry, Gate, GateSource, Job, Notice, Role, Webhook, new_id
from resolvers import gates, jobs, leaks, webhooks
from resolvers.gates import NewGate
from resolvers.lists import TokenFilter
from resolvers.scopes import Scope
from resolvers.webhooks import NewWebhook
from resolvers.writing import Said
from schema import nodes
from schema.nodes import global_id
from tests.organisation import Organisation, founded
from tests.schema.conftest import Ask

NODE = "query($id: ID!) { node(id: $id) { __typename id } }"
LOOK_UPS = {
    "Member": "query($id: ID!) { found: member(id: $id) { name } }",
    "Role": "query($id: ID!) { found: role(id: $id) { name } }",
    "Token": "query($id: ID!) { found: token(id: $id) { name } }",
    "AuditEntry": "query($id: ID!) { found: auditEntry(id: $id) { sequence } }",
}


async def test_every_type_of_node_is_found_by_its_id(organisation: Organisation, ask: Ask) -> None:
    await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    await organisation.token(organisation.owner)
    await gates.define(organisation.owner, NewGate("api", "API", GateSource.PATH), Said())
    answer = await ask(
        organisation.owner,
        "{ account { id } members { nodes { id } } roles { nodes { id } } tokens { nodes { id } } "
        "gates { nodes { id } } viewer { session { id } } auditEntries(first: 1) { nodes { id } } catalogue { id } }",
    )
    found = answer["data"]
    ids = {
        "Account": found["account"]["id"],
        **{name: found[name.lower() + "s"]["nodes"][0]["id"] for name in ("Member", "Role", "Token", "Gate")},
        "Session": found["viewer"]["session"]["id"],
        "AuditEntry": found["auditEntries"]["nodes"][0]["id"],
        "ResourceKind": found["catalogue"][0]["id"],
    }
    for name, id_ in ids.items():
        shown = {"node": {"__typename": name, "id": id_}}
        assert await ask(organisation.owner, NODE, id=id_) == {"data": shown}
        assert base64.b64decode(id_).decode().startswith(f"{name}:")
    many = await ask(organisation.owner, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[*ids.values()] * 2)
    assert [node["id"] for node in many["data"]["nodes"]] == [*ids.values()] * 2


async def one_of_each(organisation: Organisation) -> dict[str, str]:
    """Make an object of every type as the owner, or about the owner, and give their global ids."""
    owner = organisation.owner
    assert owner.member
    assert owner.token
    await organisation.role("ci", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    await gates.define(owner, NewGate("api", "API", GateSource.PATH), Said())
    await webhooks.create(owner, NewWebhook("https://hooks.example/latchkey"), Said())
    leaked, kept = [await organisation.made(owner) for _ in range(2)]
    await leaks.revoke(organisation.request, [leaked.secret or ""])
    await jobs.revoke_tokens(owner, TokenFilter(text="none"), Said("tidy"))
    inner: dict[str, object] = {
        "Account": organisation.account.id,
        "Member": owner.member.id,
        "ResourceKind": "proj",
        "Session": owner.token.id,
        "Token": kept.row.id,
    }
    models: tuple[type[Model], ...] = (AuditEntry, Gate, Job, Notice, Role, Webhook)
    for model in models:
        row = await model.first()
        assert row
        inner[model.__name__] = row.pk
    assert set(inner) == set(nodes._kinds)  # noqa: SLF001 - so that no type is forgotten
    return {name: global_id(name, each) for name, each in inner.items()}


async def test_a_token_of_an_empty_scope_finds_nothing_by_an_id_not_even_what_its_member_began(
    organisation: Organisation, ask: Ask
) -> None:
    ids = await one_of_each(organisation)
    empty = await organisation.token(organisation.owner, Scope(statements=[]))
    absent = await ask(empty, NODE, id=global_id("Job", new_id()))
    for name, id_ in ids.items():
        assert (await ask(organisation.owner, NODE, id=id_))["data"]["node"] == {"__typename": name, "id": id_}
        assert await ask(empty, NODE, id=id_) == absent, name
    many = await ask(empty, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=[*ids.values()])
    assert many == {"data": {"nodes": [None] * len(ids)}}


@pytest.mark.parametrize("name", LOOK_UPS)
async def test_hidden_and_absent_and_anothers_look_alike(organisation: Organisation, ask: Ask, name: str) -> None:
    role = await organisation.role("hidden", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    token = await organisation.made(organisation.owner)
    elsewhere = await founded(organisation.house.database, "other")
    assert organisation.owner.member
    assert elsewhere.owner.member
    assert token.entry
    hidden: dict[str, Any] = {
        "Member": organisation.owner.member.id,
        "Role": role.id,
        "Token": token.row.id,
        "AuditEntry": token.entry.id,
    }
    policy = {"effect": "allow", "actions": ["view*"], "resources": [f"{kind}/x" for kind in ("member", "role")]}
    views = {"effect": "allow", "actions": ["view*"], "resources": ["member/x:token/*"]}
    caller = await organisation.token(organisation.owner, Scope(statements=[policy, views]))
    asked = [hidden[name], new_id(), elsewhere.owner.member.id, "x", ""]
    for query in (LOOK_UPS[name], NODE):
        answers = [await ask(caller, query, id=global_id(name, inner)) for inner in asked[:3]]
        assert {error["code"] for answer in answers for error in answer["errors"]} == {"NOT_FOUND"}
        assert answers == [answers[0]] * len(answers)
    ids = [global_id(name, inner) for inner in asked]
    many = await ask(caller, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert many == {"data": {"nodes": [None] * len(ids)}}


@pytest.mark.parametrize("text", ["", "x", "é", "TWVtYmVy", "Tm90aGluZzox", global_id("Account", 1) + "\n"])
async def test_what_is_no_id_is_refused_by_the_name_of_the_argument(
    organisation: Organisation, ask: Ask, text: str
) -> None:
    expected = ("BAD_USER_INPUT", "id")
    for query in (NODE, *LOOK_UPS.values()):
        answer = await ask(organisation.owner, query, id=text)
        assert [(error["code"], error["field"]) for error in answer["errors"]] == [expected]
    many = "query($ids: [ID!]!) { nodes(ids: $ids) { id } }"
    answer = await ask(organisation.owner, many, ids=[global_id("Member", new_id()), text])
    assert [(error["code"], error["field"]) for error in answer["errors"]] == [("BAD_USER_INPUT", "ids[1]")]


async def test_an_id_of_another_type_is_refused(organisation: Organisation, ask: Ask) -> None:
    for name, query in LOOK_UPS.items():
        other = "Role" if name == "Member" else "Member"
        answer = await ask(organisation.owner, query, id=global_id(other, new_id()))
        assert answer["data"] == {"found": None}
        (error,) = answer["errors"]
        assert (error["code"], error["field"]) == ("BAD_USER_INPUT", "id")
        assert error["message"] == f"`id` must be the id of a `{name}`, not of a `{other}`"


async def test_more_than_a_hundred_ids_are_refused(organisation: Organisation, ask: Ask) -> None:
    ids = [global_id("Member", new_id())] * 101
    answer = await ask(organisation.owner, "query($ids: [ID!]!) { nodes(ids: $ids) { id } }", ids=ids)
    assert (answer["errors"][0]["code"], answer["errors"][0]["field"]) == ("BAD_USER_INPUT", "ids")


async def test_what_one_object_points_to_is_hidden_with_it(organisation: Organisation, ask: Ask) -> None:
    token = await organisation.token(
        organisation.owner,
        Scope(statements=[{"effect": "allow", "actions": ["viewAccessToken"], "resources": ["member/*:token/*"]}]),
    )
    answer = await ask(token, "{ viewer { token { name owner { name } creator { name } } } }")
    assert answer == {"data": {"viewer": {"token": {"name": "a token", "owner": None, "creator": None}}}}


async def test_a_reader_sees_no_other_members_address(organisation: Organisation, ask: Ask) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    assert reader.member
    answer = await ask(reader, "{ members(orderBy: {field: CREATED_AT, direction: ASC}) { nodes { name email } } }")
    assert answer["data"]["members"]["nodes"] == [
        {"name": "Owner", "email": None},
        {"name": reader.member.name, "email": reader.member.email},
    ]
    assert [(error["code"], error["action"]) for error in answer["errors"]] == [("FORBIDDEN", "viewMemberEmail")]
    by_email = "query($email: String) { members(filter: {email: $email}) { totalCount nodes { name } } }"
    found = await ask(reader, by_email, email="OWNER@main.example")
    assert found == {"data": {"members": {"totalCount": 0, "nodes": []}}}
    own = await ask(reader, by_email, email=reader.member.email)
    assert own["data"]["members"]["totalCount"] == 1
