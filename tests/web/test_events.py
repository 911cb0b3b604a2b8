"""GraphQL over server-sent events: what is streamed, to whom, and how it ends."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import httpx2
import pytest

from resolvers import members, tokens
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from tests.web.conftest import serving, until
from tests.web.house import ALIVE, ORIGIN, World, build
from tests.web.test_endpoint import BEARER, EVENTS, JSON, RESPONSE
from tests.web.test_sockets import acknowledged, ending
from web import events
from web.wire import Wire

HELLO = 'event: next\ndata: {"data":{"hello":"hello you"}}\n\nevent: complete\ndata:\n\n'
COMPLETE = ("complete", None)
FOREVER = "subscription { forever }"

Event = tuple[str, Any]


class Stream:
    """An answer that may be a stream, and what comes of it."""

    def __init__(self, answer: httpx2.Response) -> None:
        self.answer = answer
        self.lines = answer.aiter_lines()

    async def event(self) -> Event:
        """Wait for an event, or for a comment."""
        name, data = "", ""
        async with asyncio.timeout(30):
            while line := await anext(self.lines):
                field, _, value = line.partition(":")
                name, data = (value.strip(), data) if field == "event" else (name, value.strip())
        return name or "comment", json.loads(data) if data else None

    async def rest(self) -> list[Event]:
        """Wait for the end."""
        told = []
        while True:
            try:
                told.append(await self.event())
            except StopAsyncIteration:
                return told


@asynccontextmanager
async def streaming(server: str, query: str, credential: str = ALIVE, **parts: Any) -> AsyncIterator[Stream]:
    headers = {"accept": EVENTS, "authorization": f"Bearer {credential}"}
    asked = {"method": "POST", "json": {"query": query}, **parts}
    async with (
        httpx2.AsyncClient(base_url=f"http://{server}", headers=headers, timeout=60) as client,
        client.stream(url="/graphql", **asked) as answer,
    ):
        yield Stream(answer)


@pytest.mark.parametrize(
    "accept", [EVENTS, f"{EVENTS}, {JSON}", f"{EVENTS}, multipart/mixed", f"{JSON};q=0.9, {EVENTS}"]
)
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_stream_is_what_asks_for_one_first(client: httpx2.AsyncClient, accept: str, method: str) -> None:
    asked: dict[str, Any] = {"params": {"query": "{ hello }"}} if method == "GET" else {"json": {"query": "{ hello }"}}
    answer = await client.request(method, "/graphql", headers={"accept": accept}, **asked)
    assert (answer.status_code, answer.text) == (200, HELLO)
    assert answer.headers["content-type"] == f"{EVENTS}; charset=utf-8"
    assert (answer.headers["cache-control"], answer.headers["x-accel-buffering"]) == ("no-store", "no")
    assert answer.headers["x-request-id"]


@pytest.mark.parametrize("accept", [RESPONSE, JSON])
async def test_what_does_not_is_told_how_to_ask_for_one(client: httpx2.AsyncClient, world: World, accept: str) -> None:
    answer = await client.post("/graphql", json={"query": FOREVER}, headers={"accept": f"{accept}, {EVENTS};q=0.9"})
    assert "`Accept: text/event-stream`" in answer.text
    assert not world.calls


async def test_each_response_is_an_event_and_errors_are_responses(
    server: str, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    asked = {"query": "subscription ($n: Int!) { count(to: $n) }", "variables": {"n": 2}}
    counted = [("next", {"data": {"count": 0}}), ("next", {"data": {"count": 1}}), COMPLETE]
    async with streaming(server, "", json=asked) as stream:
        assert await stream.rest() == counted
    asked["variables"] = '{"n": 2}'
    async with streaming(server, "", method="GET", json=None, params=asked) as stream:
        assert await stream.rest() == counted
    assert world.finished == ["count", "count"]

    for query, data, code in (
        ("{", [], "GRAPHQL_PARSE_FAILED"),
        ("subscription { nothing }", [], "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: String!) { hello(name: $n) }", [], "BAD_USER_INPUT"),
        ("subscription { dying }", [{"dying": 0}], "UNAUTHENTICATED"),
        ("subscription { failing }", [{"failing": 0}], "INTERNAL"),
        ("{ unreadable }", [], "INTERNAL"),
    ):
        async with streaming(server, query) as stream:
            *told, (kind, response), end = await stream.rest()
        assert (stream.answer.status_code, kind, end) == (200, "next", COMPLETE), query
        assert [each["data"] for _, each in told] == data
        assert [error["extensions"]["code"] for error in response["errors"]] == [code]
        assert "data" not in response
    assert "no more lkp_…" in caplog.text


async def test_leaving_ends_the_source_and_lasting_is_said(
    server: str, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(events, "KEEP_ALIVE_S", 0.05)
    async with streaming(server, FOREVER) as stream:
        told = [await stream.event() for _ in range(4)]
        assert sorted(kind for kind, _ in told) == ["comment"] * 3 + ["next"]
        assert world.finished == []
    await until(lambda: world.finished)
    assert world.finished == ["forever"]


async def test_a_mutation_is_not_torn_by_who_asked_for_it(server: str, world: World) -> None:
    async with streaming(server, 'mutation { slow(name: "kept") }'):
        await world.entered.wait()
    world.gate.set()
    await until(lambda: world.finished)
    assert world.finished == ["kept"]


async def test_a_server_that_ends_ends_streams_and_sockets(world: World, caplog: pytest.LogCaptureFixture) -> None:
    async with AsyncExitStack() as left, httpx2.AsyncClient(headers={"accept": EVENTS, **BEARER}, timeout=60) as client:
        async with serving(build(world), http=Wire, timeout_graceful_shutdown=60) as server:
            socket = await left.enter_async_context(acknowledged(server))
            asking = client.stream("POST", f"http://{server}/graphql", json={"query": FOREVER})
            stream = Stream(await asking.__aenter__())
            assert await stream.event() == ("next", {"data": {"forever": 0}})
        assert await stream.rest() == []
        assert (await ending(socket))[0] == 1012
        await asking.__aexit__(None, None, None)
    assert world.finished == ["forever"]
    assert "Cancel" not in caplog.text


async def test_a_stream_that_begins_while_the_server_ends_ends_too(world: World) -> None:
    class Late(Wire):
        """A connection of a server whose end comes between the head of a request and the stream."""

        def on_message_complete(self) -> None:
            self.shutdown()
            super().on_message_complete()

    async with serving(build(world), http=Late) as server, streaming(server, FOREVER) as stream, asyncio.timeout(20):
        assert await stream.rest() in ([], [("next", {"data": {"forever": 0}})])


async def test_a_stream_outlives_no_credential(organisation: Organisation, sqlite: None) -> None:  # noqa: ARG001
    made, owner = await organisation.made(organisation.owner), organisation.owner
    assert owner.member
    listening = organisation.house.bell._listening  # noqa: SLF001 - what is recorded before would not be told
    query = "subscription { auditEntryRecorded { accesses { action } } }"
    async with (
        serving(assembled(Settings(public_url=ORIGIN), organisation.house)) as server,
        streaming(server, query, made.secret or "") as stream,
        asyncio.timeout(60),
    ):
        await until(lambda: listening.get(organisation.account.id))
        await members.update(owner, owner.member.id, "Somebody", Said())
        recorded = {"auditEntryRecorded": {"accesses": [{"action": "updateMemberName"}]}}
        while await stream.event() != ("next", {"data": recorded}):
            pass  # what is recorded beside
        await tokens.revoke(owner, made.row.id, Said())
        *_, (_, last), end = await stream.rest()
    assert ([error["extensions"]["code"] for error in last["errors"]], end) == (["UNAUTHENTICATED"], COMPLETE)
