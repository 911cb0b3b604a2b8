"""Notices over a real WebSocket: each comes once, none is lost between connections, the credential is watched."""

from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
from websockets.asyncio.client import ClientConnection, connect

from core.vocabulary import BuiltInRole
from models import Notice, NoticeKind
from resolvers import sessions
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from tests.web.conftest import serving
from tests.web.test_sockets import INIT, PROTOCOL, hear, say, subscribe

FOLLOW = "subscription ($after: String) { noticeAdded(after: $after) { kind message token { name } } }"
LIST = "{ notices { nodes { id message } pageInfo { startCursor } } }"


@pytest.fixture
async def server(organisation: Organisation) -> AsyncIterator[str]:
    async with serving(assembled(Settings(), organisation.house)) as server:
        yield server


async def leak(organisation: Organisation, server: str, name: str, maker: Any = None) -> None:
    made = await organisation.made(maker or organisation.owner, name=name)
    async with httpx2.AsyncClient() as client:
        answer = await client.post(f"http://{server}/tokens/revoke-leaked", json={"token": made.secret})
    assert answer.status_code == 202


async def ask(server: str, secret: str, query: str) -> Any:
    headers = {"authorization": f"Bearer {secret}"}
    async with httpx2.AsyncClient() as client:
        return (await client.post(f"http://{server}/graphql", json={"query": query}, headers=headers)).json()


async def begin(socket: ClientConnection, secret: str, after: str | None) -> None:
    await say(socket, {**INIT, "payload": {"authorization": f"Bearer {secret}"}})
    assert await hear(socket) == [{"type": "connection_ack"}]
    await say(socket, subscribe("1", FOLLOW, variables={"after": after}))


async def names(socket: ClientConnection, count: int) -> list[str]:
    """Hear of so many leaks. That advice is due may come at any time, once."""
    told: list[dict[str, Any]] = []
    while len(told) < count:
        (message,) = await hear(socket)
        notice = message["payload"]["data"]["noticeAdded"]
        if notice["kind"] != "ADVICE_DUE":
            told.append(notice)
    assert {notice["kind"] for notice in told} == {"LEAKED"}
    return [notice["message"].split("`")[1] for notice in told]


async def test_each_comes_once_and_none_is_lost_between_two_connections(
    organisation: Organisation, server: str
) -> None:
    owner = organisation.owner.token
    assert owner
    secret = organisation.secrets[str(owner.id)]
    await leak(organisation, server, "first")
    cursor = (await ask(server, secret, LIST))["data"]["notices"]["pageInfo"]["startCursor"]
    async with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL]) as socket:
        await begin(socket, secret, cursor)
        await leak(organisation, server, "second")
        assert await names(socket, 1) == ["second"]
    await leak(organisation, server, "third")
    async with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL]) as socket:
        await begin(socket, secret, cursor)
        await leak(organisation, server, "fourth")
        assert await names(socket, 3) == ["second", "third", "fourth"]


async def test_a_member_gets_what_they_are_told_until_their_credential_ends(
    organisation: Organisation, server: str
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert writer.token
    secret = organisation.secrets[str(writer.token.id)]
    async with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL]) as socket:
        await begin(socket, secret, None)
        await leak(organisation, server, "before, maybe")  # the subscription is under way with the next answer
        await leak(organisation, server, "own", writer)
        assert await names(socket, 1) == ["own"]
        seen = (await ask(server, secret, LIST))["data"]["notices"]["nodes"]
        assert len(seen) == 1
        assert await Notice.filter(kind=NoticeKind.LEAKED).count() == 2
        await sessions.sign_out(writer)
        (ended,) = await hear(socket)
        assert (ended["type"], ended["payload"][0]["extensions"]["code"]) == ("error", "UNAUTHENTICATED")
