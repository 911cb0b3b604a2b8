"""Every face says that the database is away, with 503 and when to try again, and never a yes meanwhile."""

import json
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import connect
from websockets.typing import Subprotocol

from models import GateSource, TokenKind
from resolvers import gates
from resolvers.gates import NewGate
from resolvers.scopes import Scope
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.databases import Elsewhere
from tests.faults import away
from tests.faults.load import CREATE
from tests.organisation import Organisation
from tests.web.conftest import serving

GATE = {"action": "viewProject", "resource": "proj/web"}
ONE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/web"]}
VERIFY = [{"effect": "allow", "actions": ["verifyAccessToken"], "resources": ["acct"]}]


@dataclass
class Faces:
    """The assembled application, and what is needed to ask at each of its faces."""

    client: httpx2.AsyncClient
    place: str
    owner: str
    bearer: str
    verifier: str

    async def graphql(self, query: str, secret: str, accept: str = "application/json") -> httpx2.Response:
        headers = {"Authorization": secret, "Accept": accept}
        return await self.client.post("/graphql", json={"query": query}, headers=headers)

    async def answers(self) -> dict[str, httpx2.Response]:
        """Ask at every face that answers over HTTP."""
        basic = {"Authorization": f"Bearer {self.verifier}"}
        owner, reported = {"Authorization": self.owner}, {"token": self.bearer}
        signing = {"email": "owner@example.com", "password": "correct horse battery staple"}
        return {
            "query": await self.graphql("{ auditEntries(first: 1) { nodes { id } } }", self.owner),
            "mutation": await self.graphql(CREATE, self.owner),
            "newer": await self.graphql(
                "{ viewer { account { key } } }", self.owner, "application/graphql-response+json"
            ),
            "introspection": await self.client.post("/oauth2/introspect", data={"token": self.bearer}, headers=basic),
            "forward-auth": await self.client.get(
                "/authz/main:fixed", params=GATE, headers={"Authorization": self.bearer}
            ),
            "tokens": await self.client.get("/tokens/export.csv", headers=owner),
            "entries": await self.client.get("/audit/export.jsonl", headers=owner),
            "session": await self.client.post("/session", json=signing, headers={"Sec-Fetch-Site": "same-origin"}),
            "leaks": await self.client.post("/tokens/revoke-leaked", json=reported),
            "readiness": await self.client.get("/readyz"),
        }

    async def on_socket(self, query: str) -> Any:
        """Ask on a WebSocket that begins now; gives what ends the operation."""
        async with connect(f"ws://{self.place}/graphql", subprotocols=[Subprotocol("graphql-transport-ws")]) as socket:
            await socket.send(json.dumps({"type": "connection_init", "payload": {"authorization": self.owner}}))
            assert json.loads(await socket.recv())["type"] == "connection_ack"
            await socket.send(json.dumps({"id": "1", "type": "subscribe", "payload": {"query": query}}))
            return json.loads(await socket.recv())


@pytest.fixture
async def faces(organisation: Organisation) -> AsyncIterator[Faces]:
    await organisation.define()
    await gates.define(organisation.owner, NewGate("fixed", "A gate", GateSource.FIXED), Said())
    made = await organisation.made(organisation.owner, Scope(statements=[ONE]))
    verifier = await organisation.made(organisation.owner, Scope(statements=VERIFY), TokenKind.SERVICE)
    assert organisation.owner.token
    owner = organisation.secrets[str(organisation.owner.token.id)]
    app = assembled(Settings(trusted_proxies=("127.0.0.1",)), organisation.house)
    async with serving(app, lifespan="off") as place, httpx2.AsyncClient(base_url=f"http://{place}") as client:
        yield Faces(client, place, owner, made.secret or "", verifier.secret or "")


async def test_every_face_says_when_to_try_again(
    faces: Faces, elsewhere: Elsewhere, request: pytest.FixtureRequest
) -> None:
    before = await faces.answers()
    assert {face: answer.status_code for face, answer in before.items() if answer.status_code >= 500} == {}
    assert before["forward-auth"].status_code == 200
    with ExitStack() as stack:
        if elsewhere.is_file:
            away.damaged(elsewhere, "audit_entry")
            assert (await faces.graphql("{ auditEntries(first: 1) { nodes { id } } }", faces.owner)).status_code == 503
        else:
            name = str(elsewhere.place.arguments["database"])  # type: ignore[union-attr] # it is no file
            stack.enter_context(away.refusing(request.getfixturevalue("postgres"), name))
        told = await faces.answers()
        assert {face: answer.status_code for face, answer in told.items()} == dict.fromkeys(told, 503)
        for face, answer in told.items():
            if face != "readiness":
                assert answer.headers["Retry-After"] == "5", face
            assert "trace" not in answer.text.lower(), face
        for face in ("query", "mutation", "newer", "tokens", "entries", "session", "leaks", "forward-auth"):
            [error] = told[face].json()["errors"]
            assert error["extensions"] == {"code": "UNAVAILABLE", "retryAfter": 5}, face
        assert told["introspection"].json()["error"] == "temporarily_unavailable"
        ended = await faces.on_socket("{ auditEntries(first: 1) { nodes { id } } }")
        assert (ended["type"], ended["payload"][0]["extensions"]["code"]) == ("error", "UNAVAILABLE")
    if not elsewhere.is_file:
        again = await faces.answers()
        assert again["query"].status_code == again["readiness"].status_code == 200
