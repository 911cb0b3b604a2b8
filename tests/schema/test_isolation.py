"""Two accounts on one server, with the same names everywhere: nothing in one tells that there is the other.

`tests/models/test_sharding.py` holds every statement to its account, `tests/test_promises.py` every argument that takes
an id. Here it is what a caller sees, read off the schema and off every other face.
"""

import asyncio
import base64
import json
import re
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx2
import pytest
from graphql import (
    FieldNode,
    GraphQLField,
    GraphQLInputObjectType,
    GraphQLObjectType,
    OperationDefinitionNode,
    get_named_type,
    is_interface_type,
    is_required_argument,
    parse,
)
from strawberry.types import ExecutionResult
from tortoise.models import Model

from core.secret import Secret, SecretKind, redacted
from core.vocabulary import BuiltInRole
from models import AuditEntry, GateSource, Member, Token, TokenKind, now
from models.database import opened
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
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Founded, Organisation, founded
from tests.resolvers.test_sessions import Counting
from tests.schema import test_statements as lists
from tests.schema.conftest import Ask
from tests.schema.conftest import told as error_told
from tests.schema.test_needs import BY_TOKEN, EXAMPLES, World, someone_acts
from tests.schema.test_recorded import MUTATIONS, signed_in
from tests.schema.test_surface import PUBLIC
from tests.test_promises import things
from web.proxies import LOOPBACK

CORE = schema._schema  # noqa: SLF001 - Strawberry offers no public way to it
FEW = 3
_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
THEIRS = "zqzq7"
"""A key that is in one account alone."""
SHARED = "ada@example.com"
"""An e-mail address that is a member's in both accounts."""
IMPORTED = "hunter2hunter2"
"""The secret that the example imports. Each account imports another."""
BY_CHANCE = {"ending", "seal", "previous"}
"""What differs each time and has no shape to be known by."""
_NEW = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+(?:Z|\+00:00)|…[0-9A-Za-z]{4}\b")
"""A time, or the ending of a secret or an id."""
_URLSAFE = str.maketrans("+/", "-_")


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
    assert CORE.subscription_type
    for name, stream in CORE.subscription_type.fields.items():
        await hears_its_own_alone(world, third, name, lists.NODES[get_named_type(stream.type).name][0])


async def acts(world: World) -> None:
    """Change all that the schema lets one change, each time with success."""
    async for name, asked, asker in changes(world):
        result = await schema.execute(asked, context_value=Context(world.organisation.request, asker))
        assert result.errors is None, (name, result.errors)


async def changes(world: World) -> AsyncIterator[tuple[str, str, Caller | None]]:
    """Say how to change all that there is, by the examples' names, in an order in which each change can be made."""
    password, key = await passwords.hashed(PASSWORD), world.organisation.account.key
    for name in MUTATIONS:
        asked = world.filled(EXAMPLES[name]).replace("owner@main.example", f"owner@{key}.example")
        caller = await signed_in(world, name, password)
        yield name, asked.replace(IMPORTED, f"{IMPORTED}-{key}"), None if name in PUBLIC else caller


async def test_what_another_account_is_and_does_changes_no_change(
    organised: tuple[Path, Founded], tmp_path: Path, statements: list[str], set_clock: SetClock
) -> None:
    """Each mutation is made in an account that is alone, and in a copy of it beside another one."""
    alone, beside, founded = tmp_path / "alone.sqlite3", tmp_path / "beside.sqlite3", organised[1]
    shutil.copy(organised[0], alone)
    async with opened(f"sqlite://{alone}") as database:
        variables = (await World.of(await founded.again(database))).variables
    shutil.copy(alone, beside)
    set_clock(now())
    async with opened(f"sqlite://{alone}") as database:
        told_alone = [each async for each in changed(World(await founded.again(database), variables), statements)]
    async with opened(f"sqlite://{beside}") as database:
        world = World(await founded.again(database), variables)
        neighbour = await World.of(await neighbour_of(world.organisation))
        await acts(neighbour)
        told_beside = [each async for each in changed(world, statements)]
        assert [name for name, *_ in told_alone] == MUTATIONS
        assert [each for each in zip(told_alone, told_beside, strict=True) if each[0] != each[1]] == []
        await hears_that_a_secret_is_in_use(world)


async def changed(world: World, statements: list[str]) -> AsyncIterator[tuple[str, object, int]]:
    """Make each change and ask for all that it shows; gives what was told, and after how many statements that read."""
    organisation = world.organisation
    assert organisation.house.database.path
    story = Story({*_ID.findall(str(Elsewhere(f"sqlite://{organisation.house.database.path}").everything()))})
    async for name, asked, asker in changes(world):
        statements.clear()
        query = in_full(asked, lists.World(organisation, FEW)) if asker else asked
        result = await schema.execute(query, context_value=Context(organisation.request, asker))
        assert all((result.data or {"": None}).values()), (name, result.errors)
        errors = [error_told(error) for error in result.errors or ()]
        yield name, story.told([result.data, errors]), len(statements)


def in_full(asked: str, asking: lists.World) -> str:
    """Have a mutation show all that it can."""
    (operation,) = parse(asked).definitions
    assert isinstance(operation, OperationDefinitionNode)
    (called,) = operation.selection_set.selections
    assert isinstance(called, FieldNode)
    assert called.selection_set
    assert called.selection_set.loc
    assert CORE.mutation_type
    payload = get_named_type(CORE.mutation_type.fields[called.name.value].type)
    assert isinstance(payload, GraphQLObjectType)
    parts = asking.leaves(payload), *(asking.field(payload, name) for name in lists.composite(payload))
    return f"{asked[: called.selection_set.loc.start]}{{ {' '.join(parts)} }} }}"


class Story:
    """What is told of an account, where all that is new each time goes by its kind, and ids by their number as well.

    `known` are the ids that were there before, of all accounts.
    """

    def __init__(self, known: set[str]) -> None:
        self._known = known
        self._new: dict[str, str] = {}

    def told(self, answer: Any) -> Any:
        """Write an answer down."""
        if isinstance(answer, dict):
            return {name: "…" if name in BY_CHANCE else self.told(inner) for name, inner in answer.items()}
        if isinstance(answer, list):
            return [self.told(inner) for inner in answer]
        return self._text(answer) if isinstance(answer, str) else answer

    def _text(self, text: str) -> str:
        inner = unwrapped(text)
        if inner is not None:
            return self._text(inner)
        return redacted(_NEW.sub("…", _ID.sub(lambda found: self._id(found[0]), text)))

    def _id(self, told: str) -> str:
        return told if told in self._known else self._new.setdefault(told, f"new {len(self._new)}")


def unwrapped(text: str) -> str | None:
    """Read a global id or a cursor; None for any other text."""
    with suppress(ValueError):
        inner = base64.urlsafe_b64decode(text.translate(_URLSAFE) + "=" * (-len(text) % 4)).decode()
        return inner if _ID.search(inner) else None
    return None


async def hears_that_a_secret_is_in_use(world: World) -> None:
    """See docs/security.md: a secret opens one token, whatever account is named."""
    name = "Mutation.importTokens"
    asked = EXAMPLES[name].replace(IMPORTED, f"{IMPORTED}-twin")
    context = Context(world.organisation.request, await signed_in(world, name, ""))
    result = await schema.execute(asked, context_value=context)
    [refused] = [error_told(error) for error in result.errors or ()]
    assert (refused["code"], refused["field"]) == ("BAD_USER_INPUT", "tokens[0].secret")
    assert "is in use already" in refused["message"]


async def hears_its_own_alone(world: World, neighbour: World, name: str, model: type[Model]) -> None:
    """Have both accounts act, the neighbour first: what is heard first is one's own."""
    stream = await schema.subscribe(
        EXAMPLES[f"Subscription.{name}"], context_value=Context(world.organisation.request, world.organisation.owner)
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
    row: Any = await model.get(id=inner_id(result.data[name]["id"]))
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
