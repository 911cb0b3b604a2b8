"""Two accounts on one server, with the same names everywhere: nothing in one tells that there is the other.

`tests/models/test_sharding.py` holds every statement to its account, `tests/test_promises.py` every argument that takes
an id. Here it is what a caller sees, read off the schema and off every other face.
"""

import asyncio
import base64
import json
import re
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any
from uuid import UUID

import httpx2
import pytest
from graphql import (
    GraphQLField,
    GraphQLInputObjectType,
    get_named_type,
    is_interface_type,
    is_required_argument,
)
from strawberry.types import ExecutionResult

from core.secret import Secret, SecretKind
from core.vocabulary import BuiltInRole
from models import AuditEntry, GateSource, Member, Notice, Token, TokenKind, now
from resolvers import gates, members, passwords, sessions
from resolvers.callers import Caller
from resolvers.gates import NewGate
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Said
from schema import schema
from schema.context import Context
from schema.nodes import global_id
from server import assembled
from settings import Settings
from tests.conftest import SetClock
from tests.organisation import PASSWORD, Organisation, founded
from tests.resolvers.test_sessions import Counting
from tests.schema import test_statements as lists
from tests.schema.conftest import Ask
from tests.schema.test_needs import BY_TOKEN, EXAMPLES, World, someone_acts
from tests.test_promises import things
from web.proxies import LOOPBACK

CORE = schema._schema  # noqa: SLF001 - Strawberry offers no public way to it
FEW = 3
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
THEIRS = "zqzq7"
"""A key that is in one account alone."""
SHARED = "ada@example.com"
"""An e-mail address that is a member's in both accounts."""
ALLOW_ALL = {"effect": "allow", "actions": ["*"], "resources": ["*"]}


async def neighbour_of(organisation: Organisation, key: str = "twin") -> Organisation:
    """Found another account on the same server, and in the same process."""
    other = await founded(organisation.house.database, key, organisation.house)
    await other.define()
    return other


async def questions(world: World) -> list[tuple[str, Caller, str]]:
    """All there is to read: every root field and every guarded one, and all that rows show, in every list."""
    organisation = world.organisation
    asker = await organisation.token(organisation.owner, Scope(BuiltInRole.OWNER), TokenKind.SERVICE)
    nobody = await organisation.as_role(BuiltInRole.NO_ACCESS)
    shown = [
        (name, caller, world.filled(example))
        for name, example in EXAMPLES.items()
        if not name.startswith(("Mutation", "Subscription"))
        for caller in (
            asker if name in BY_TOKEN else organisation.owner,
            *([nobody] if name.startswith("Query") else ()),
        )
    ]
    many = lists.World(organisation, FEW, arguments={"Query.nodes": ""})
    for way in lists.PLACES:
        rows = lists.rows_of(way[-1][2])
        assert rows is not None
        if len(way) == 1 and not is_interface_type(rows):
            shown.append((way[0][1], organisation.owner, many.asked(way, " ".join(many.parts(rows)))))
    return shown


@pytest.mark.usefixtures("sqlite")
async def test_what_another_account_is_and_does_changes_no_answer_and_no_work(
    organisation: Organisation, ask: Ask, statements: list[str], set_clock: SetClock
) -> None:
    world = await World.of(organisation)
    set_clock(now())
    asked = await questions(world)

    async def all_told() -> dict[str, Any]:
        told = {}
        for name, caller, query in asked:
            statements.clear()
            answer = await ask(caller, query)
            told[f"{name} {caller.actor_id} {query}"] = answer, len(statements)
        return told

    await organisation.identify(world.variables["presented"])  # so that it is remembered before as it is after
    before = await all_told()
    assert len(before) == len(asked)
    neighbour = await World.of(await neighbour_of(organisation))
    await acts(neighbour)
    await neighbour.organisation.house.uses.flush()
    after = await all_told()
    assert {name: answer for name, answer in after.items() if answer != before[name]} == {}
    third = World(await neighbour_of(organisation, "third"))
    for name in ("Subscription.auditEntryRecorded", "Subscription.noticeAdded"):
        await hears_its_own_alone(world, third, name)


async def acts(world: World) -> None:
    """Change all that the schema lets one change."""
    owners = Member.filter(account_id=world.organisation.account.id, base_role=BuiltInRole.OWNER)
    for name, text in EXAMPLES.items():
        if name.startswith("Mutation") and name != "Mutation.signIn":
            caller = await world.organisation.session(await owners.get())
            await schema.execute(world.filled(text), context_value=Context(world.organisation.request, caller))


async def hears_its_own_alone(world: World, neighbour: World, name: str) -> None:
    """Have both accounts act, the neighbour first: what is heard first is one's own."""
    stream = await schema.subscribe(
        EXAMPLES[name], context_value=Context(world.organisation.request, world.organisation.owner)
    )
    assert not isinstance(stream, ExecutionResult)
    heard = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0)
    await someone_acts(neighbour)
    await someone_acts(world)
    result = await heard
    await stream.aclose()
    assert result.errors is None
    assert result.data
    (shown,) = result.data.values()
    model = AuditEntry if name.endswith("Recorded") else Notice
    row = await model.get(id=inner_id(shown["id"]))
    assert row.account_id == world.organisation.account.id


def inner_id(told: str) -> UUID:
    return UUID(base64.b64decode(told).decode().partition(":")[2])


def connections() -> Iterator[tuple[str, GraphQLField]]:
    """Every list of the root that takes cursors."""
    assert CORE.query_type
    for name, field in CORE.query_type.fields.items():
        if "after" in field.args and not any(map(is_required_argument, field.args.values())):
            yield name, field


@pytest.mark.usefixtures("sqlite")
async def test_cursors_and_words_of_another_account_are_like_any_that_were_made_up(
    organisation: Organisation, ask: Ask
) -> None:
    await things(organisation, "kept")
    other = await neighbour_of(organisation)
    theirs = await things(other, THEIRS)
    unmet = []
    for name, _ in connections():
        page = "{ edges { cursor } pageInfo { hasNextPage hasPreviousPage startCursor endCursor } }"
        there = (await ask(other.owner, f"{{ {name}(first: 100) {page} }}"))["data"][name]["edges"]
        if not there:
            unmet.append(name)
        for cursor in {edge["cursor"] for edge in (*there[:1], *there[-1:])}:
            for argument in ("after", "before"):
                real, made_up = [
                    await ask(organisation.owner, f'{{ {name}(first: 100, {argument}: "{each}") {page} }}')
                    for each in (cursor, nearly(cursor))
                ]
                assert "errors" not in real, name
                assert real == made_up, (name, argument)
    assert set(unmet) <= {"advice"}
    for word in await words_of(other, theirs):
        real, made_up = [
            await ask(organisation.owner, NARROWED, id=each, text=each) for each in (word, none_like(word))
        ]
        assert as_sent(real, word) == as_sent(made_up, none_like(word)), word
        assert any(real["data"].values()), "some lists take such a word"


def nearly(cursor: str) -> str:
    """Make up a cursor for the same place with another row's id, right beside it."""
    place = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    changed = none_like(place)
    assert _ID.search(place)
    return base64.urlsafe_b64encode(changed.encode()).decode().rstrip("=")


def narrowed() -> Iterator[str]:
    """Ask every list that can be narrowed by a word, once for each way there is."""
    for name, field in connections():
        taken = get_named_type(field.args["filter"].type) if "filter" in field.args else None
        for key, given in taken.fields.items() if isinstance(taken, GraphQLInputObjectType) else ():
            kind = str(get_named_type(given.type))
            if kind in {"String", "ID"}:
                variable = "$id" if kind == "ID" else "$text"
                yield f"{name}_{key}: {name}(filter: {{{key}: {variable}}}) {{ totalCount nodes {{ id }} }}"


NARROWED = f"query ($id: ID!, $text: String!) {{ {' '.join(narrowed())} }}"


async def words_of(other: Organisation, theirs: Mapping[str, object]) -> list[str]:
    """Name what is an account's alone, in each way that there is to name things by."""
    member = await Member.get(id=theirs["Member"])
    token = await Token.get(id=theirs["Token"])
    entry = await AuditEntry.get(id=theirs["AuditEntry"])
    return [
        *(THEIRS, member.email, member.name, token.ending, entry.request_id, str(member.id), str(token.resource)),
        *(global_id(kind, theirs[kind]) for kind in ("Member", "Token", "Role")),
        str(other.account.id),
    ]


def none_like(word: str) -> str:
    """Make up a word of the same kind that is nobody's: another id in the place of each, or another last letter."""
    if (changed := _ID.sub(lambda found: str(UUID(int=UUID(found[0]).int ^ 1)), word)) != word:
        return changed
    with suppress(ValueError):
        kind, _, row_id = base64.b64decode(word, validate=True).decode().partition(":")
        return global_id(kind, UUID(int=UUID(row_id).int ^ 1))
    return word[:-1] + ("8" if word[-1] != "8" else "9")


def as_sent(answer: Any, sent: str) -> str:
    """Write an answer without what was sent itself."""
    return json.dumps(answer).replace(f"`{sent}`", "`…`")


def answered(answer: httpx2.Response) -> object:
    """Give all that is seen of an answer, but for the request's id."""
    headers = [(name, value) for name, value in answer.headers.items() if not name.endswith("request-id")]
    return answer.status_code, headers, answer.content


@pytest.fixture
async def client(organisation: Organisation) -> AsyncIterator[httpx2.AsyncClient]:
    app = assembled(Settings(trusted_proxies=LOOPBACK), organisation.house)
    transport = httpx2.ASGITransport(app, client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


async def test_no_other_face_tells_of_another_account(organisation: Organisation, client: httpx2.AsyncClient) -> None:
    """Introspection, forward-auth, reports of leaks and files: what is the neighbour's is as good as made up."""
    mine = await organisation.made(organisation.owner, kind=TokenKind.SERVICE, rate_limits=["3/minute"])
    await gates.define(organisation.owner, NewGate("api", "API", GateSource.FIXED), Said())
    files = ["/tokens/export.csv", "/tokens/export.jsonl", "/audit/export.csv", "/audit/export.jsonl"]
    assert organisation.owner.token
    owner = {"authorization": organisation.secrets[str(organisation.owner.token.id)]}
    before = [answered(await client.get(path, headers=owner)) for path in files]
    other = await neighbour_of(organisation)
    theirs = await other.made(other.owner, kind=TokenKind.SERVICE, rate_limits=["3/minute"])
    await gates.define(other.owner, NewGate("api", "API", GateSource.FIXED), Said())
    await gates.define(other.owner, NewGate("open", "Open", GateSource.FIXED), Said())
    assert [answered(await client.get(path, headers=owner)) for path in files] == before
    unknown = Secret.mint(SecretKind.SERVICE).text
    verifier = await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    asking = {"authorization": f"Bearer {verifier.secret}"}
    deed = {"action": "viewProject", "resource": "proj/web"}
    verify = "query ($secret: String!) { verifyToken(secret: $secret) { active token { id } } }"

    def passing(place: str, secret: str | None) -> Any:
        headers = {"authorization": f"Bearer {secret}"} if secret else {}
        return client.get(f"/authz/{place}", params=deed, headers=headers)

    def graphql(bearer: str, query: str, **variables: Any) -> Any:
        return client.post("/graphql", json={"query": query, "variables": variables}, headers={"authorization": bearer})

    their_secret = theirs.secret or ""
    alike: list[Callable[[], Any]] = [
        *(
            lambda secret=secret: client.post("/oauth2/introspect", data={"token": secret, **deed}, headers=asking)
            for secret in (their_secret, unknown)
        ),
        *(
            lambda secret=secret: graphql(verifier.secret or "", verify, secret=secret)
            for secret in (their_secret, unknown)
        ),
        *(lambda secret=secret: passing("main:api", secret) for secret in (their_secret, unknown)),
        *(lambda place=place: passing(place, mine.secret) for place in ("twin:api", "none:api")),
        *(lambda place=place: passing(place, None) for place in ("twin:api", "none:api")),
        *(lambda place=place: passing(place, verifier.secret) for place in ("main:open", "main:none")),
        *(
            lambda secret=secret: client.post("/tokens/revoke-leaked", json={"token": secret})
            for secret in ((await other.made(other.owner)).secret or "", unknown)
        ),
    ]
    for real, made_up in zip(alike[::2], alike[1::2], strict=True):
        assert answered(await real()) == answered(await made_up())
    for _ in range(3):
        assert (await graphql(their_secret, "{ viewer { account { key } } }")).status_code == 200
    assert (await graphql(their_secret, "{ viewer { account { key } } }")).status_code == 429
    ours = await graphql(mine.secret or "", "{ viewer { account { key } } }")
    assert ours.json() == {"data": {"viewer": {"account": {"key": "main"}}}}


async def test_who_signs_in_hears_of_no_account_but_those_they_may_enter(
    organisation: Organisation, client: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same e-mail address in both: answers and hashes are as if it were in one, or in none."""
    other = await neighbour_of(organisation)
    for each, password in ((organisation, PASSWORD), (other, f"{PASSWORD} there")):
        done = await members.invite(each.owner, SHARED, "Ada", Grant(), Said())
        await members.accept_invite(each.request, (done.secret or "").rpartition("/")[2], None, password)
    alone = await members.invite(organisation.owner, "eve@example.com", "Eve", Grant(), Said())
    await members.accept_invite(organisation.request, (alone.secret or "").rpartition("/")[2], None, PASSWORD)
    counting = Counting(passwords._hasher)  # noqa: SLF001 - wrapped to count, and it works as ever
    monkeypatch.setattr(passwords, "_hasher", counting)

    async def told(email: str, password: str, account: str | None) -> tuple[object, int]:
        counting.calls.clear()
        sent = {"email": email, "password": password, "account": account}
        answer = await client.post("/session", json=sent, headers={"sec-fetch-site": "same-origin"})
        return answered(answer), counting.calls["verify"]

    wrong = "a wrong password"
    for account, tried in (
        (None, [(SHARED, wrong), ("eve@example.com", wrong), ("nobody@example.com", wrong)]),
        ("main", [(SHARED, wrong), (SHARED, f"{PASSWORD} there"), ("eve@example.com", wrong)]),
        ("twin", [(SHARED, PASSWORD), ("eve@example.com", PASSWORD), ("nobody@example.com", wrong)]),
        ("none", [(SHARED, PASSWORD), ("eve@example.com", PASSWORD), ("nobody@example.com", wrong)]),
    ):
        answers = [await told(email, password, account) for email, password in tried]
        assert answers == answers[:1] * len(answers), account
        assert answers[0][1] == (sessions.UNNAMED if account is None else 1)
    for password, key in ((PASSWORD, "main"), (f"{PASSWORD} there", "twin")):
        sent = {"email": SHARED, "password": password}
        answer = await client.post("/session", json=sent, headers={"sec-fetch-site": "same-origin"})
        assert answer.json()["viewer"]["account"]["key"] == key
