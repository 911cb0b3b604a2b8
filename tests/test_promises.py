"""The promises, kept by the assembled server as a client sees it: over HTTP, on a real database."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import uuid4

import httpx2
import pytest

from core import chain
from core.vocabulary import BuiltInRole
from models import AuditEntry
from resolvers.scopes import Scope
from resolvers.uses import Uses
from schema.nodes import global_id
from server import Settings, assembled
from tests.organisation import Organisation

Post = Callable[..., Awaitable[httpx2.Response]]

CREATE = """mutation ($name: String!, $scope: ScopeInput!) {
  createToken(input: {name: $name, scope: $scope}) { secret token { id } }
}"""
TAGGED = [
    {"effect": "ALLOW", "actions": ["*"], "resources": ["proj/*", "proj/*:env/*:flag/*"]},
    {"effect": "DENY", "actions": ["*"], "resources": ["proj/*:env/*:flag/*;critical"]},
]


@pytest.fixture
async def client(organisation: Organisation) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the assembled application."""
    app = assembled(Settings(), organisation.house, Uses())
    transport = httpx2.ASGITransport(app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
def post(client: httpx2.AsyncClient) -> Post:
    """Post an operation with a secret."""

    async def post(bearer: str | None, query: str, **variables: Any) -> httpx2.Response:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return await client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)

    return post


def secret_of(organisation: Organisation) -> str:
    """Tell the owner's session secret."""
    assert organisation.owner.token
    return organisation.secrets[str(organisation.owner.token.id)]


async def test_a_refused_sibling_does_not_cost_a_secret(organisation: Organisation, post: Post) -> None:
    query = """mutation ($id: ID!) {
      made: createToken(input: {name: "first", scope: {builtInRole: READER}}) { secret }
      gone: revokeToken(input: {id: $id}) { token { id } }
    }"""
    answer = (await post(secret_of(organisation), query, id=global_id("Token", uuid4()))).json()
    assert (await organisation.identify(answer["data"]["made"]["secret"])).token
    assert answer["data"]["gone"] is None
    [error] = answer["errors"]
    assert (error["path"], error["extensions"]) == (["gone"], {"code": "NOT_FOUND"})


LOOKUPS = {
    "Member": [
        "query ($id: ID!) { member(id: $id) { name } }",
        "query ($id: ID!) { node(id: $id) { id } }",
        "query ($id: ID!) { nodes(ids: [$id]) { id } }",
        'mutation ($id: ID!) { updateMember(input: {id: $id, name: "X"}) { member { id } } }',
        "mutation ($id: ID!) { removeMember(input: {id: $id}) { member { id } } }",
        "mutation ($id: ID!) { assignRoles(input: {id: $id, baseRole: ADMIN}) { member { id } } }",
    ],
    "Token": [
        "query ($id: ID!) { token(id: $id) { name } }",
        "query ($id: ID!) { node(id: $id) { id } }",
        "mutation ($id: ID!) { revokeToken(input: {id: $id}) { token { id } } }",
        "mutation ($id: ID!) { resetToken(input: {id: $id}) { secret } }",
        'mutation ($id: ID!) { updateToken(input: {id: $id, name: "X", expectedVersion: 9}) { token { id } } }',
    ],
    "Role": [
        "query ($id: ID!) { role(id: $id) { name } }",
        "mutation ($id: ID!) { deleteRole(input: {id: $id}) { deletedRoleId } }",
        'mutation ($id: ID!) { updateRole(input: {id: $id, name: "X"}) { role { id } } }',
    ],
    "Session": ["mutation ($id: ID!) { revokeSession(input: {id: $id}) { session { id } } }"],
    "AuditEntry": ["query ($id: ID!) { auditEntry(id: $id) { id } }", "query ($id: ID!) { node(id: $id) { id } }"],
}


async def test_hidden_and_absent_look_alike_to_the_byte(organisation: Organisation, post: Post) -> None:
    """The caller may do everything to what they see, and sees nothing."""
    others = {"effect": "allow", "notActions": ["view*"], "resources": ["*"]}
    role = await organisation.role("blind", others)
    caller = await organisation.session(await organisation.member(custom=[role]))
    assert caller.token
    secret = organisation.secrets[str(caller.token.id)]
    hidden = await organisation.made(organisation.owner)
    assert organisation.owner.member
    assert organisation.owner.token
    assert hidden.entry
    ids = {
        "Member": organisation.owner.member.id,
        "Token": hidden.row.id,
        "Role": role.id,
        "Session": organisation.owner.token.id,
        "AuditEntry": hidden.entry.id,
    }
    for kind, queries in LOOKUPS.items():
        for query in queries:
            there = await post(secret, query, id=global_id(kind, ids[kind]))
            absent = await post(secret, query, id=global_id(kind, uuid4()))
            assert there.content == absent.content, query
            assert there.status_code == absent.status_code
            assert b"errors" in there.content or b"[null]" in there.content, query
            shown = {name: value for name, value in there.headers.items() if name != "x-request-id"}
            assert shown == {name: value for name, value in absent.headers.items() if name != "x-request-id"}


async def test_dead_and_unknown_credentials_are_one_answer(organisation: Organisation, post: Post) -> None:
    made = await organisation.made(organisation.owner)
    revoked = await post(
        secret_of(organisation),
        "mutation ($id: ID!) { revokeToken(input: {id: $id}) { token { state } } }",
        id=global_id("Token", made.row.id),
    )
    assert revoked.json() == {"data": {"revokeToken": {"token": {"state": "REVOKED"}}}}
    answers = [
        await post(secret, "{ viewer { token { id } } }") for secret in (made.secret, "lkp_x", "x", f"{made.secret}x")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}


async def test_an_unstated_tag_satisfies_a_deny(organisation: Organisation, post: Post) -> None:
    made = (await post(secret_of(organisation), CREATE, name="tagged", scope={"statements": TAGGED})).json()
    flags = ["flag/f", "flag/f;", "flag/f;web", "flag/f;critical"]
    checks = [{"action": "updateOn", "resource": f"proj/p:env/e:{flag}"} for flag in flags]
    query = "query ($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed } }"
    answer = (await post(made["data"]["createToken"]["secret"], query, checks=checks)).json()
    assert [decision["allowed"] for decision in answer["data"]["checkAccess"]] == [False, True, True, False]


async def test_a_secret_is_in_exactly_one_response_and_nowhere_else(
    organisation: Organisation, post: Post, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    bodies: list[str] = []
    secrets: list[str] = []
    owner = secret_of(organisation)

    async def asked(bearer: str | None, query: str, **variables: Any) -> Any:
        response = await post(bearer, query, **variables)
        bodies.append(response.text + repr(dict(response.headers)))
        return response.json().get("data")

    made = await asked(owner, CREATE, name="one", scope={"builtInRole": "ADMIN"})
    secrets.append(made["createToken"]["secret"])
    reset = "mutation ($id: ID!) { resetToken(input: {id: $id}) { secret auditEntry { after } } }"
    again = await asked(owner, reset, id=made["createToken"]["token"]["id"])
    secrets.append(again["resetToken"]["secret"])
    await asked(secrets[0], "{ viewer { token { id } } }")
    await asked(secrets[1], "{ nonsense }")
    await asked(secrets[1], CREATE, name=secrets[1], scope={"statements": [{"effect": "ALLOW"}]})
    invited = await asked(owner, 'mutation { inviteMember(input: {email: "n@example.com"}) { inviteUrl } }')
    secrets.append(invited["inviteMember"]["inviteUrl"].rpartition("/")[2])
    password = "a password of some length"
    accept = """mutation ($secret: String!, $password: String!) {
      acceptInvite(input: {secret: $secret, password: $password}) { member { id } }
    }"""
    await asked(None, accept, secret=secrets[2], password=password)
    await asked(None, accept, secret=secrets[2], password=password)
    sign_in = """mutation ($password: String!) {
      signIn(input: {email: "n@example.com", password: $password}) { secret session { id } }
    }"""
    signed_in = await asked(None, sign_in, password=password)
    secrets.append(signed_in["signIn"]["secret"])
    await asked(None, sign_in, password=f"{password}!")
    log = "{ auditEntries(first: 100) { edges { node { before after because { action } target { name } comment } } } }"
    await asked(owner, log)
    for secret in secrets:
        assert sum(secret in body for body in bodies) == 1
    kept = b"".join(path.read_bytes() for path in organisation.house.database.path.parent.iterdir() if path.is_file())
    for secret in (*secrets, password, owner):
        assert secret.encode() not in kept
        assert secret not in caplog.text
    assert secrets[0][-4:].encode() in kept  # what is looked at is the database indeed


async def test_five_hundred_cancelled_requests_wedge_nothing(organisation: Organisation, post: Post) -> None:
    chance = random.Random(11)  # noqa: S311 - a seed, so that a failure comes again
    owner = secret_of(organisation)
    queries = [
        '{ denied: member(id: "nonsense") { id } members { edges { node { tokens { totalCount } } } } }',
        "{ auditEntries { totalCount edges { node { id } } } tokens { edges { node { owner { name } } } } }",
        'mutation { createToken(input: {name: "t", scope: {builtInRole: READER}}) { secret } }',
        'mutation { createRole(input: {key: "Not A Key", name: "", statements: []}) { role { id } } }',
        "{ viewer { member { name } } account { key } }",
    ]
    for _ in range(500):
        task = asyncio.ensure_future(post(owner, chance.choice(queries)))
        await asyncio.sleep(chance.random() * 0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    async with asyncio.timeout(10):
        answer = (await post(owner, "{ viewer { member { name } } auditEntries { totalCount } }")).json()
        await post(owner, CREATE, name="last", scope={"builtInRole": "READER"})
    assert answer["data"]["viewer"] == {"member": {"name": "Owner"}}
    entries = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    sealed = [(entry.sealed(), entry.previous, entry.seal) for entry in entries]
    assert chain.verify(str(organisation.account.id), sealed) is None
    assert (entries[-1].after or {})["name"] == "last"


async def test_a_demoted_owner_is_seen_by_the_very_next_request(organisation: Organisation, post: Post) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    made = await organisation.made(writer, Scope(BuiltInRole.WRITER))
    assert writer.member
    assign = """mutation ($id: ID!, $role: BuiltInRole!) {
      assignRoles(input: {id: $id, baseRole: $role}) { member { baseRole } }
    }"""
    ask = '{ viewer { may(action: "updateOn", resource: "proj/p:env/e:flag/f;") { allowed missing } } }'
    for role, allowed in (("READER", False), ("WRITER", True)):
        await post(secret_of(organisation), assign, id=global_id("Member", writer.member.id), role=role)
        answer = (await post(made.secret, ask)).json()
        missing = [] if allowed else ["OWNER"]
        assert answer == {"data": {"viewer": {"may": {"allowed": allowed, "missing": missing}}}}
