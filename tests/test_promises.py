"""The promises, kept by the assembled server as a client sees it: over HTTP, on a real database."""

import asyncio
import logging
import random
import re
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast
from uuid import uuid4

import httpx2
import pytest
import strawberry
from graphql import (
    GraphQLField,
    GraphQLID,
    GraphQLInputObjectType,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
)
from tortoise.transactions import in_transaction

from core import chain
from core.catalogue import Kind, KindAction, Mark
from core.errors import Forbidden
from core.secret import ForeignSecret, Secret, ServerKeys
from core.vocabulary import BuiltInRole
from models import Account, AuditEntry, GateSource, Member, Notice, NoticeKind, TokenKind, backups, now
from resolvers import gates, jobs, passwords, tokens, webhooks
from resolvers.gates import NewGate
from resolvers.lists import TokenFilter
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.webhooks import NewWebhook
from resolvers.writing import Said
from schema import schema
from schema.context import Context
from schema.nodes import global_id
from server import assembled
from settings import Settings
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation, forget, founded
from tests.web.watched import watching
from web import logs
from web.execution import Engine, Parameters, Response
from web.limits import Limits

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
    async with client_of(assembled(Settings(), organisation.house)) as client:
        yield client


@pytest.fixture
def post(client: httpx2.AsyncClient) -> Post:
    """Post an operation with a secret."""

    async def post(bearer: str | None, query: str, **variables: Any) -> httpx2.Response:
        return await posted(client, bearer, query, **variables)

    return post


def client_of(app: Any) -> httpx2.AsyncClient:
    """Make a client of an application."""
    return httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://127.0.0.1:8000")


async def posted(client: httpx2.AsyncClient, bearer: str | None, query: str, **variables: Any) -> httpx2.Response:
    """Post an operation with a secret."""
    headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
    return await client.post("/graphql", json={"query": query, "variables": variables}, headers=headers)


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


LOOK_UPS = {
    "Account": [],
    "AuditEntry": ["query auditEntry(id: $id)"],
    "Gate": [],
    "Job": ["query job(id: $id)", "mutation cancelJob(input: {id: $id})"],
    "Member": [
        "query member(id: $id)",
        'query explainAccess(subject: {member: $id}, action: "viewRole", resource: "role/ci")',
        'mutation updateMember(input: {id: $id, name: "X"})',
        "mutation assignRoles(input: {id: $id, baseRole: READER})",
        "mutation createMemberLink(input: {id: $id})",
        "mutation suspendMember(input: {id: $id, expectedVersion: 9})",
        "mutation reinstateMember(input: {id: $id})",
        "mutation removeMember(input: {id: $id})",
    ],
    "Notice": [],
    "ResourceKind": [],
    "Role": [
        "query role(id: $id)",
        'mutation updateRole(input: {id: $id, name: "X"})',
        "mutation deleteRole(input: {id: $id})",
    ],
    "Session": ["mutation revokeSession(input: {id: $id})"],
    "Token": [
        "query token(id: $id)",
        'query explainAccess(subject: {token: $id}, action: "viewRole", resource: "role/ci")',
        'mutation updateToken(input: {id: $id, name: "X", expectedVersion: 9})',
        "mutation tryTokenScope(input: {id: $id, scope: {builtInRole: NO_ACCESS}})",
        "mutation enforceTokenTrial(input: {id: $id})",
        "mutation resetToken(input: {id: $id})",
        "mutation revokeToken(input: {id: $id})",
    ],
    "Webhook": [
        "query webhook(id: $id)",
        "mutation updateWebhook(input: {id: $id, enabled: false})",
        "mutation rotateWebhookSecret(input: {id: $id})",
        "mutation testWebhook(input: {id: $id})",
        "mutation deleteWebhook(input: {id: $id})",
    ],
}
"""Every way to look up an object of each type by its id, beside `node` and `nodes`, which take them all."""

HAND_OVER = f'mutation transferOwnership(input: {{id: $id, password: "{PASSWORD}"}})'
"""The owner's alone, from whom nothing in their account is hidden."""

ANSWER = "mutation updateToken(input: {responsibleId: $id, id: $service})"
"""Names a member for a token that is seen."""

FILTERED = {
    "Member": [
        "tokens(filter: {owner: $id})",
        "tokens(filter: {creator: $id})",
        "tokens(filter: {responsible: $id})",
        "advice(tokens: {owner: $id})",
        "advice(tokens: {creator: $id})",
        "advice(tokens: {responsible: $id})",
        "auditEntries(filter: {actor: $id})",
        "auditEntries(filter: {tokenCreator: $id})",
        'auditCounts(filter: {actor: $id}, since: "2020-01-01T00:00:00Z")',
        'auditCounts(filter: {tokenCreator: $id}, since: "2020-01-01T00:00:00Z")',
    ],
    "Token": [
        "tokens(filter: {parent: $id})",
        "advice(tokens: {parent: $id})",
        "auditEntries(filter: {token: $id})",
        "auditEntries(filter: {target: $id})",
        'auditCounts(filter: {token: $id}, since: "2020-01-01T00:00:00Z")',
        'auditCounts(filter: {target: $id}, since: "2020-01-01T00:00:00Z")',
    ],
}
"""Lists, and counts, that take the id of an object of each type to choose by."""

NAMED = [
    "query role(key: $id)",
    "query gate(key: $id)",
    'mutation createToken(input: {name: "t", scope: {customRoles: [$id]}})',
    'mutation inviteMember(input: {email: "n@example.com", customRoles: [$id]})',
    "mutation removeResourceKind(input: {key: $id})",
    "mutation removeGate(input: {key: $id})",
]


NODES = ["query node(id: $id)", "query nodes(ids: [$id])"]


def look_ups(kind: str) -> list[str]:
    """Write every operation that looks up an object of this type by its id."""
    return [operation(field, "ID") for field in (*NODES, *LOOK_UPS[kind])]


def operation(field: str, given: str, selected: str = "__typename") -> str:
    kind, _, call = field.partition(" ")
    return f"{kind} ($id: {given}!) {{ {call} {{ {selected} }} }}"


def test_every_field_that_takes_an_id_is_asked_with_one_that_is_hidden() -> None:
    types = schema._schema.type_map  # noqa: SLF001 - Strawberry offers no public way to it
    asked = [
        *NODES,
        HAND_OVER,
        ANSWER,
        *(field for fields in (*LOOK_UPS.values(), *FILTERED.values()) for field in fields),
    ]
    for root in ("Query", "Mutation"):
        for name, field in cast("GraphQLObjectType", types[root]).fields.items():
            for taken in ids_taken(field):
                assert any(f"{name}({taken}" in each for each in asked), f"{name}({taken})"
    nodes = {name for name, type_ in types.items() if types["Node"] in getattr(type_, "interfaces", ())}
    assert nodes == set(LOOK_UPS)


def ids_taken(field: GraphQLField) -> Iterator[str]:
    """Say where a field takes an id: as an argument, or inside of an input."""
    for name, argument in field.args.items():
        type_ = get_named_type(argument.type)
        if type_ is GraphQLID:
            yield f"{name}: $id" if type_ is get_nullable_type(argument.type) else f"{name}: [$id]"
        for inner, given in type_.fields.items() if isinstance(type_, GraphQLInputObjectType) else ():
            if get_named_type(given.type) is GraphQLID:
                yield f"{name}: {{{inner}: $id"


async def things(organisation: Organisation, key: str) -> dict[str, object]:
    """Make an object of each type, with the key where it has one; returns their inner ids."""
    member = await organisation.member()
    session = await organisation.session(member)
    made = await organisation.made(session)
    service = await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    await tokens.update(organisation.owner, service.row.id, TokenChange(responsible_id=member.id), Said())
    await tokens.update(await organisation.identify(made), made.row.id, TokenChange(name="named by itself"), Said())
    await organisation.made(await organisation.identify(made))
    job = (await jobs.revoke_tokens(organisation.owner, TokenFilter(text=key), Said())).row
    role = await organisation.role(key, {"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]})
    gate = (await gates.define(organisation.owner, NewGate(key, key, GateSource.FIXED), Said())).row
    await organisation.define(Kind(key, (KindAction("look", Mark.READ),), name=key))
    webhook = (await webhooks.create(organisation.owner, NewWebhook("https://hooks.example"), Said())).row
    assert session.token
    assert made.entry
    notice = await Notice.create(
        account=organisation.account,
        kind=NoticeKind.LEAKED,
        key=key,
        at=now(),
        entry_id=made.entry.id,
        member_id=member.id,
    )
    return {
        "Account": organisation.account.id,
        "AuditEntry": made.entry.id,
        "Gate": gate.id,
        "Job": job.id,
        "Member": member.id,
        "Notice": notice.id,
        "ResourceKind": key,
        "Role": role.id,
        "Session": session.token.id,
        "Token": made.row.id,
        "Webhook": webhook.id,
        "service": service.row.id,
    }


def none_of(ids: Mapping[str, object]) -> dict[str, object]:
    """Make up ids that nothing has."""
    return {kind: "none" if kind == "ResourceKind" else uuid4() for kind in ids}


def answered(response: httpx2.Response, sent: object = None) -> tuple[int, bytes, list[tuple[str, str]]]:
    """Give all that a client sees of a response, but for what it sent itself and the request's id."""
    headers = [(name, value) for name, value in response.headers.items() if name != "x-request-id"]
    return response.status_code, response.content.replace(f"`{sent}`".encode(), b"`<sent>`"), headers


def codes(response: httpx2.Response) -> set[str]:
    return {error["extensions"]["code"] for error in response.json().get("errors", ())}


def nothing_found(response: httpx2.Response) -> bool:
    return codes(response) == {"NOT_FOUND"} or response.json() == {"data": {"nodes": [None]}}


@dataclass(frozen=True)
class Partial:
    """One who may do everything to one object of each type but the account, and sees no others."""

    secret: str
    seen: Mapping[str, object]
    hidden: Mapping[str, object]
    elsewhere: Mapping[str, object]


@pytest.fixture
async def partial(organisation: Organisation) -> Partial:
    """A member whose custom role is about single objects, beside others of their account and of another."""
    seen, hidden = await things(organisation, "seen"), await things(organisation, "kept")
    elsewhere = await things(await founded(organisation.house.database, "other"), "else")
    mine = [f"member/{seen['Member']}", f"member/{seen['Member']}:token/*", "role/seen", "kind/seen", "gate/seen"]
    mine += [f"token-job/{seen['Job']}", f"webhook/{seen['Webhook']}"]
    mine += [f"service-token/{among['service']}" for among in (seen, hidden)]
    some = await organisation.role(
        "some",
        {"effect": "allow", "actions": ["*"], "resources": mine},
        {"effect": "allow", "actions": ["create*"], "resources": ["member/*", "member/*:token/*"]},
        {"effect": "allow", "actions": ["viewAdvice"], "resources": ["acct"]},
    )
    caller = await organisation.session(await organisation.member(custom=[some]))
    assert caller.token
    return Partial(organisation.secrets[str(caller.token.id)], seen, hidden, elsewhere)


@pytest.mark.parametrize("kind", LOOK_UPS)
async def test_hidden_and_absent_look_alike_to_the_byte(partial: Partial, post: Post, kind: str) -> None:
    for query in look_ups(kind):
        seen, hidden, elsewhere, absent = [
            await post(partial.secret, query, id=global_id(kind, among[kind]))
            for among in (partial.seen, partial.hidden, partial.elsewhere, none_of(partial.seen))
        ]
        assert nothing_found(absent), query
        assert answered(hidden) == answered(elsewhere) == answered(absent), query
        assert kind == "Account" or not nothing_found(seen), query


async def test_a_hidden_and_an_absent_member_look_alike_to_the_byte_to_who_names_one(
    partial: Partial, post: Post
) -> None:
    query = operation(ANSWER, "ID").replace("$service", f'"{global_id("Token", partial.seen["service"])}"')
    seen, hidden, elsewhere, absent = [
        answered(await post(partial.secret, query, id=global_id("Member", among["Member"])))
        for among in (partial.seen, partial.hidden, partial.elsewhere, none_of(partial.seen))
    ]
    assert hidden == elsewhere == absent
    assert b"BAD_USER_INPUT" in absent[1]
    assert b"errors" not in seen[1]


async def test_many_hidden_and_absent_at_once_look_alike_to_the_byte(partial: Partial, post: Post) -> None:
    query = "query ($ids: [ID!]!) { nodes(ids: $ids) { __typename id } }"
    for among in (partial.hidden, partial.elsewhere, none_of(partial.seen)):
        answer = await post(partial.secret, query, ids=[global_id(kind, among[kind]) for kind in LOOK_UPS])
        assert answer.content == b'{"data":{"nodes":[%s]}}' % b",".join([b"null"] * len(LOOK_UPS))


@pytest.mark.parametrize("kind", FILTERED)
async def test_lists_chosen_by_what_is_hidden_and_absent_look_alike_to_the_byte(
    partial: Partial, post: Post, kind: str
) -> None:
    for field in FILTERED[kind]:
        counted = field.startswith("auditCounts")
        query = operation(f"query {field}", "ID", "groups { total }" if counted else "totalCount nodes { __typename }")
        seen, hidden, elsewhere, absent = [
            await post(partial.secret, query, id=global_id(kind, among[kind]))
            for among in (partial.seen, partial.hidden, partial.elsewhere, none_of(partial.seen))
        ]
        assert [each["groups" if counted else "nodes"] for each in absent.json()["data"].values()] == [[]], query
        assert answered(hidden) == answered(elsewhere) == answered(absent), query
        assert answered(seen) != answered(absent), query


@pytest.mark.parametrize("field", NAMED)
async def test_hidden_and_absent_keys_look_alike_to_the_byte(partial: Partial, post: Post, field: str) -> None:
    query = operation(field, "String")
    seen, hidden, elsewhere, absent = [
        answered(await post(partial.secret, query, id=key), key) for key in ("seen", "kept", "else", "none")
    ]
    assert hidden == elsewhere == absent
    assert seen != absent


async def test_another_account_and_none_look_alike_to_the_byte(organisation: Organisation, post: Post) -> None:
    """To its owner nothing in an account is hidden, and nothing in any other is there."""
    elsewhere = await things(await founded(organisation.house.database, "other"), "else")
    absent = none_of(elsewhere)
    assert organisation.owner.member
    await Member.filter(id=organisation.owner.member.id).update(password_hash=await passwords.hashed(PASSWORD))
    for kind in LOOK_UPS:
        for query in (*look_ups(kind), *([operation(HAND_OVER, "ID")] if kind == "Member" else ())):
            there, nothing = [
                await post(secret_of(organisation), query, id=global_id(kind, among[kind]))
                for among in (elsewhere, absent)
            ]
            assert nothing_found(nothing) or ("transferOwnership" in query and codes(nothing) == {"BAD_USER_INPUT"})
            assert answered(there) == answered(nothing), query


async def test_dead_and_unknown_credentials_are_one_answer(organisation: Organisation, post: Post) -> None:
    made = await organisation.made(organisation.owner)
    revoked = await post(
        secret_of(organisation),
        "mutation ($id: ID!) { revokeToken(input: {id: $id}) { token { state } } }",
        id=global_id("Token", made.row.id),
    )
    assert revoked.json() == {"data": {"revokeToken": {"token": {"state": "REVOKED"}}}}
    old = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, old.row.id, Said())
    answers = [
        await post(secret, "{ viewer { token { id } } }")
        for secret in (made.secret, old.secret, "lkp_x", "x", f"{made.secret}x")
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}


async def test_an_unstated_tag_satisfies_a_deny(organisation: Organisation, post: Post) -> None:
    made = (await post(secret_of(organisation), CREATE, name="tagged", scope={"statements": TAGGED})).json()
    flags = ["flag/f", "flag/f;", "flag/f;web", "flag/f;critical"]
    checks = [{"action": "updateOn", "resource": f"proj/p:env/e:{flag}"} for flag in flags]
    query = "query ($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { decisions { allowed } } }"
    answer = (await post(made["data"]["createToken"]["secret"], query, checks=checks)).json()
    assert [decision["allowed"] for decision in answer["data"]["checkAccess"]["decisions"]] == [
        False,
        True,
        True,
        False,
    ]


async def test_a_secret_is_in_exactly_one_response_and_nowhere_else(
    organisation: Organisation,
    elsewhere: Elsewhere,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    bodies: list[str] = []
    secrets: list[str] = []
    owner = secret_of(organisation)
    app = assembled(Settings(), organisation.house)
    async with watching(organisation, app, monkeypatch, caplog) as watched:
        caplog.set_level(logging.DEBUG)
        async with client_of(watched.app) as client:
            await told_secrets(client, owner, bodies, secrets)
            with monkeypatch.context() as broken:
                await crashes(client, secrets[1], bodies, broken)
            told = caplog.text
            await client.get(f"/{secrets[0]}", params={"token": secrets[0]}, headers={"user-agent": secrets[0]})
        metrics = (await watched.exposition()).text
    logged = "".join(form.format(record) for form in (logs.JSON(), logs.Text()) for record in caplog.records)
    assert "latchkey.access" in logged
    assert "lkp_" in logged, "what was in a path"
    assert {"cannot digest lkp_…", "cannot digest …", "cannot hash b'…'"} <= {*re.findall(r"cannot \w+ \S+", told)}
    assert watched.spans
    for secret in secrets:
        assert sum(secret in body for body in bodies) == 1
    if isinstance(elsewhere.place, Path):
        backups.copy(elsewhere.place, elsewhere.place.with_name("a-backup"))
        assert secrets[0][-4:].encode() in elsewhere.kept()[str(elsewhere.place.with_name("a-backup"))]
    kept = b"".join(elsewhere.kept().values())
    for secret in (*secrets, PASSWORD_OF_N, FOREIGN, owner, "n@example.com"):
        assert secret not in metrics
        assert secret.encode() not in watched.sent
    for secret in (*secrets, PASSWORD_OF_N, FOREIGN, owner):
        assert secret.encode() not in kept
        assert secret not in told + logged
    assert not [body for body in bodies if PASSWORD_OF_N in body or FOREIGN in body]
    assert secrets[0][-4:].encode() in kept  # what is looked at is the database indeed


PASSWORD_OF_N = "a password of some length"
FOREIGN = "made elsewhere, 42"


async def told_secrets(client: httpx2.AsyncClient, owner: str, bodies: list[str], secrets: list[str]) -> None:
    """Have secrets made, used and sent where they do not belong; keeps them, and every answer."""

    async def asked(bearer: str | None, query: str, **variables: Any) -> Any:
        response = await posted(client, bearer, query, **variables)
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
    password = PASSWORD_OF_N
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
    console = {"email": "n@example.com", "password": password}
    answer = await client.post("/session", json=console, headers={"sec-fetch-site": "same-origin"})
    client.cookies.clear()
    bodies.append(answer.text + repr(dict(answer.headers)))
    secrets.append(answer.headers["set-cookie"].partition("=")[2].partition(";")[0])
    hook = await asked(owner, 'mutation { createWebhook(input: {url: "https://hooks.example"}) { secret } }')
    secrets.append(hook["createWebhook"]["secret"])
    log = "{ auditEntries(first: 100) { edges { node { before after because { action } target { name } comment } } } }"
    await asked(owner, log)


async def crashes(client: httpx2.AsyncClient, secret: str, bodies: list[str], broken: pytest.MonkeyPatch) -> None:
    """Have what handles secrets fail on them, in words that repeat them; keeps every answer."""

    class Hasher:
        def verify(self, _: str, password: bytes) -> bool:
            raise RuntimeError(f"cannot hash {password!r}")

    def digest(_: ServerKeys, secret: Secret | ForeignSecret) -> None:
        raise RuntimeError(f"cannot digest {secret.text}")

    broken.setattr(passwords, "_hasher", Hasher())
    broken.setattr(ServerKeys, "candidates", digest)
    forget()
    sign_in = {"email": "n@example.com", "password": PASSWORD_OF_N}
    variables = "($email: String!, $password: String!)"
    by_graphql = f"mutation {variables} {{ signIn(input: {{email: $email, password: $password}}) {{ secret }} }}"
    for answer in (
        await client.post("/session", json=sign_in, headers={"sec-fetch-site": "same-origin"}),
        await posted(client, None, by_graphql, **sign_in),
        await posted(client, secret, "{ viewer { token { id } } }"),
        await client.get("/tokens/export.csv", headers={"authorization": secret}),
        await client.post("/oauth2/introspect", data={"token": FOREIGN}, headers={"authorization": f"Bearer {secret}"}),
        await client.post("/tokens/revoke-leaked", json={"tokens": [FOREIGN, secret]}),
    ):
        assert "internal error" in answer.text or answer.status_code == 500, answer.text
        bodies.append(answer.text + repr(dict(answer.headers)))


async def unbroken(organisation: Organisation) -> AuditEntry:
    """Check the chain; returns its last entry."""
    entries = await AuditEntry.filter(account_id=organisation.account.id).order_by("sequence")
    sealed = [(entry.sealed(), entry.previous, entry.seal) for entry in entries]
    assert chain.verify(str(organisation.account.id), sealed) is None
    return entries[-1]


async def test_a_refused_field_wedges_nothing_that_its_sibling_has_begun(organisation: Organisation) -> None:
    """Neither field may be null, so a refused one cancels the other: a stock engine hangs at the first such query."""
    chance = random.Random(5)  # noqa: S311 - a seed, so that a failure comes again
    ended: Counter[str] = Counter()
    account = Account.filter(id=organisation.account.id)

    @strawberry.type
    class Query:
        @strawberry.field
        async def denied(self) -> str:
            for _ in range(chance.randrange(40)):
                await asyncio.sleep(0)
            await asyncio.sleep(chance.choice([0, 0, chance.random() * 0.004]))
            raise Forbidden("viewStats")

        @strawberry.field
        async def stats(self) -> int:
            try:
                async with in_transaction():
                    await account.update(name="half counted")
                    entries = await AuditEntry.all().count()
                    await account.update(name="counted")
            except asyncio.CancelledError:
                ended["cancelled"] += 1
                raise
            ended["counted"] += 1
            return entries

    engine = Engine(strawberry.Schema(Query), Limits())

    async def ask() -> Response:
        parameters = Parameters("{ denied stats }", None, None)
        return await engine.run(await engine.prepare(parameters, Context(organisation.request, organisation.owner)))

    async with asyncio.timeout(60):
        while ended["cancelled"] < 400:
            for answer in await asyncio.gather(*(ask() for _ in range(chance.choice([1, 1, 3])))):
                [error] = answer["errors"]
                assert (answer["data"], error["path"], error["extensions"]["code"]) == (None, ["denied"], "FORBIDDEN")
                assert (await account.get()).name in {"Main", "counted"}
        assert ended["counted"]
        await organisation.role("last", {"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]})
    assert (await unbroken(organisation)).target_resource == "role/last"


async def test_five_hundred_cancelled_requests_wedge_nothing(organisation: Organisation, post: Post) -> None:
    chance = random.Random(11)  # noqa: S311 - a seed, so that a failure comes again
    owner = secret_of(organisation)
    queries = [
        '{ denied: member(id: "nonsense") { id } members { edges { node { tokens { totalCount } } } } }',
        "{ viewer { sessions(first: 1000) { totalCount } member { tokens { totalCount } } } }",
        "{ auditEntries { totalCount edges { node { id } } } tokens { edges { node { owner { name } } } } }",
        'mutation { createToken(input: {name: "t", scope: {builtInRole: READER}}) { secret } }',
        'mutation { createRole(input: {key: "Not A Key", name: "", statements: []}) { role { id } } }',
        "{ viewer { member { name } } account { key } }",
    ]
    refused = (await post(owner, queries[1])).json()
    assert (refused["data"], refused["errors"][0]["path"]) == ({"viewer": None}, ["viewer", "sessions"])
    cancelled = 0
    async with asyncio.timeout(120):
        while cancelled < 500:
            task = asyncio.ensure_future(post(owner, chance.choice(queries)))
            await asyncio.sleep(chance.random() * 0.01)
            task.cancel()
            await asyncio.wait([task])
            cancelled += task.cancelled()
            assert task.cancelled() or task.result().status_code == 200
    async with asyncio.timeout(10):
        answer = (await post(owner, "{ viewer { member { name } } auditEntries { totalCount } }")).json()
        await post(owner, CREATE, name="last", scope={"builtInRole": "READER"})
    assert answer["data"]["viewer"] == {"member": {"name": "Owner"}}
    assert ((await unbroken(organisation)).after or {})["name"] == "last"


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
