"""Trusted documents are asked for by their ids, and may be all that is run."""

import hashlib
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from graphql import DocumentNode, parse

import server
from tests.web.conftest import serving
from tests.web.house import ALIVE, ORIGIN, World, build, schema
from tests.web.test_sockets import acknowledged, hear, say
from web.execution import Engine
from web.limits import Limits
from web.sessions import VIEWER
from web.trusted import ManifestError, Trusted

HELLO = 'query Hello($name: String! = "you") { hello(name: $name) }'
COUNT = "subscription { count(to: 2) }"
DIGEST = hashlib.sha256(HELLO.encode()).hexdigest()
RELAY = {"one": HELLO, "two": COUNT}
APOLLO = {
    "format": "apollo-persisted-query-manifest",
    "version": 1,
    "operations": [
        {"id": "one", "name": "Hello", "type": "query", "body": HELLO},
        {"id": "two", "name": "", "type": "subscription", "body": COUNT},
    ],
}
BY_ID: dict[str, dict[str, Any]] = {
    "the draft's": {"documentId": "one"},
    "the draft's, by its digest": {"documentId": f"sha256:{DIGEST}"},
    "Apollo's": {"extensions": {"persistedQuery": {"version": 1, "sha256Hash": "one"}}},
    "Relay's": {"doc_id": "one"},
    "Relay's other": {"id": "one", "query": None},
    "two alike": {"id": "one", "documentId": "one"},
}
Ask = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
def manifest(tmp_path: Path) -> Callable[[Any], Path]:
    """Write a manifest."""

    def written(content: Any) -> Path:
        path = tmp_path / "operations.json"
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return written


@pytest.fixture
def ask(world: World, manifest: Callable[[Any], Path]) -> Ask:
    """Post a body to a house that trusts the documents of a manifest."""

    async def asked(body: object, content: Any = RELAY, *, only: bool = False, **headers: str) -> httpx2.Response:
        trusted = Trusted.read(manifest(content), only=only) if content else None
        transport = httpx2.ASGITransport(app=build(world, trusted=trusted))
        async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
            return await client.post("/graphql", json=body, headers={"authorization": ALIVE, **headers})

    return asked


@pytest.mark.parametrize("content", [RELAY, APOLLO], ids=["relay", "apollo"])
@pytest.mark.parametrize("name", BY_ID)
async def test_a_listed_document_is_asked_for_by_its_id(ask: Ask, content: Any, name: str) -> None:
    body = {**BY_ID[name], "variables": {"name": "Ada"}, "operationName": "Hello"}
    answer = await ask(body, content)
    assert answer.json() == {"data": {"hello": "hello Ada"}}


@pytest.mark.parametrize(
    ("content", "message", "code"),
    [
        (RELAY, "PersistedQueryNotFound", "PERSISTED_QUERY_NOT_FOUND"),
        (None, "PersistedQueryNotSupported", "PERSISTED_QUERY_NOT_SUPPORTED"),
    ],
)
async def test_an_unknown_id_is_said_in_words_that_clients_know(
    ask: Ask, content: Any, message: str, code: str
) -> None:
    body = {"documentId": "three"}
    told = {"errors": [{"message": message, "extensions": {"code": code}}]}
    answer = await ask(body, content)
    assert (answer.status_code, answer.json()) == (200, told)
    answer = await ask(body, content, accept="application/graphql-response+json")
    assert (answer.status_code, answer.json()) == (400, told)


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ({"documentId": 1}, "`documentId` must be a string"),
        ({"documentId": "one", "doc_id": "two"}, "`documentId` and `doc_id` name different documents"),
        ({"extensions": {"persistedQuery": 1}}, "`extensions.persistedQuery` must be an object with `version` 1"),
        ({"extensions": {"persistedQuery": {"version": 2}}}, "`extensions.persistedQuery` must be an object with"),
        ({"extensions": {"persistedQuery": {"version": 1}}}, "`extensions.persistedQuery.sha256Hash` must be a"),
        ({"extensions": 1, "documentId": "one"}, "`extensions` must be an object or null"),
        ({"id": 1}, "`query` must be a string"),
        ({"query": 1, "documentId": "one"}, "`query` must be a string"),
    ],
)
async def test_what_names_no_document_is_malformed(ask: Ask, body: dict[str, Any], problem: str) -> None:
    answer = await ask(body)
    (error,) = answer.json()["errors"]
    assert (answer.status_code, error["extensions"]["code"]) == (400, "BAD_REQUEST")
    assert error["message"].startswith(problem)


async def test_a_text_wins_over_an_id_beside_it_as_when_a_client_tries_again(ask: Ask) -> None:
    body = {"query": "{ hello }", "extensions": {"persistedQuery": {"version": 1, "sha256Hash": "unknown"}}}
    assert (await ask(body)).json() == {"data": {"hello": "hello you"}}


@pytest.mark.parametrize("query", ["{ hello }", HELLO + " ", "{ __schema { queryType { name } } }", "{"])
async def test_nothing_else_is_run_where_only_the_listed_is(ask: Ask, world: World, query: str) -> None:
    answer = await ask({"query": query}, only=True)
    (error,) = answer.json()["errors"]
    assert error == {"message": "only listed operations are run", "extensions": {"code": "QUERY_NOT_IN_SAFELIST"}}
    assert dict(world.calls) == {"identify": 1}
    assert (await ask({"query": HELLO}, only=True)).json() == {"data": {"hello": "hello you"}}
    assert (await ask({"documentId": "one"}, only=True)).json() == {"data": {"hello": "hello you"}}


async def test_signing_in_at_the_console_needs_no_listing(world: World, manifest: Callable[[Any], Path]) -> None:
    app = build(world, trusted=Trusted.read(manifest(RELAY), only=True))
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as client:
        body = {"email": "ada@latchkey.test", "password": "analytical"}
        answer = await client.post("/session", json=body, headers={"sec-fetch-site": "same-origin"})
    assert answer.status_code == 200
    assert answer.json()["viewer"]


async def test_a_socket_knows_the_same_documents(world: World, manifest: Callable[[Any], Path]) -> None:
    async with (
        serving(build(world, trusted=Trusted.read(manifest(RELAY), only=True))) as host,
        acknowledged(host) as ws,
    ):

        async def said(payload: object) -> list[Any]:
            await say(ws, {"id": "a", "type": "subscribe", "payload": payload})
            told = await hear(ws)
            while told[-1]["type"] == "next":
                told += await hear(ws)
            return [message.get("payload") for message in told]

        assert await said({"documentId": "two"}) == [{"data": {"count": 0}}, {"data": {"count": 1}}, None]
        not_found = {"message": "PersistedQueryNotFound", "extensions": {"code": "PERSISTED_QUERY_NOT_FOUND"}}
        assert await said({"documentId": "three"}) == [[not_found]]
        ((unlisted,),) = await said({"query": "{ hello }"})
        assert unlisted["extensions"]["code"] == "QUERY_NOT_IN_SAFELIST"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("{", "is not JSON"),
        ("[]", "is no JSON object"),
        ({"one": 1}, "`one` is no id with the text of a document"),
        ({**APOLLO, "version": 2}, "is not of the format `apollo-persisted-query-manifest`, version 1"),
        ({**APOLLO, "operations": [{"id": "one"}]}, "`operations[0]` is no id with"),
        ({**APOLLO, "operations": [*APOLLO["operations"], {"id": "one", "body": COUNT}]}, "have the id `one`"),  # type: ignore[misc]
    ],
)
def test_a_manifest_that_is_none_is_refused(manifest: Callable[[Any], Path], content: Any, problem: str) -> None:
    with pytest.raises(ManifestError) as refused:
        Trusted.read(manifest(content))
    assert problem in str(refused.value)


@pytest.mark.parametrize("text", ["{", "{ nothing }", "{ a: hello " + "b: hello " * 3000 + "}"])
def test_a_document_that_is_not_answered_is_named_at_the_start(
    manifest: Callable[[Any], Path], text: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = manifest({"good": "{ __typename }", "bad-one": text})
    with pytest.raises(ManifestError, match="bad-one"):
        Engine(schema, Limits(), trusted=Trusted.read(path))
    monkeypatch.setenv("LATCHKEY_OPERATIONS_FILE", str(path))
    monkeypatch.setenv("LATCHKEY_DATA_DIR", str(path.parent / "data"))
    assert server.main(["serve"]) == 2
    assert "the trusted document `bad-one` is not answered: " in capsys.readouterr().err
    assert not (path.parent / "data").exists()


def test_only_what_is_listed_needs_a_list(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LATCHKEY_ONLY_TRUSTED_OPERATIONS", "true")
    assert server.main(["serve"]) == 2
    expected = "latchkey: `LATCHKEY_ONLY_TRUSTED_OPERATIONS`: needs `LATCHKEY_OPERATIONS_FILE`\n"
    assert capsys.readouterr().err == expected


async def test_the_listed_is_parsed_once_whatever_else_is_asked(ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    times: Counter[str] = Counter()

    def counted(text: str, **settings: Any) -> DocumentNode:
        times[text] += 1
        return parse(text, **settings)

    monkeypatch.setattr("web.documents.parse", counted)
    for _ in range(3):
        await ask({"documentId": "one"})
        assert times == {HELLO: 1, COUNT: 1, VIEWER: 1}
        times.clear()
