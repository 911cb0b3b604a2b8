"""GraphQL over WebSocket, on a real server with somebody else's clients."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import pytest
from gql import Client, gql
from gql.transport.exceptions import TransportQueryError
from gql.transport.websockets import WebsocketsTransport
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.typing import Subprotocol

from tests.web.conftest import serving, until
from tests.web.house import ORIGIN, World, build
from web.limits import Limits
from web.proxies import Proxies
from web.wire import SocketWire

PROTOCOL = Subprotocol("graphql-transport-ws")
INIT = {"type": "connection_init"}
COOKIE = {"cookie": "latchkey_session=lkt_session"}


@asynccontextmanager
async def opened(server: str, **headers: str) -> AsyncIterator[ClientConnection]:
    async with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL], additional_headers=headers) as socket:
        yield socket


async def say(socket: ClientConnection, *messages: object) -> None:
    for message in messages:
        await socket.send(json.dumps(message))


async def hear(socket: ClientConnection, count: int = 1) -> list[dict[str, Any]]:
    return [json.loads(await socket.recv()) for _ in range(count)]


async def ending(socket: ClientConnection) -> tuple[int, str]:
    """Wait until the server closes; tells its code and reason."""
    async with asyncio.timeout(5):
        await socket.wait_closed()
    assert socket.close_code is not None
    return socket.close_code, socket.close_reason or ""


def subscribe(operation_id: str, query: str, **members: object) -> dict[str, object]:
    return {"id": operation_id, "type": "subscribe", "payload": {"query": query, **members}}


@asynccontextmanager
async def acknowledged(server: str, authorization: str | None = "Bearer lkp_alive") -> AsyncIterator[ClientConnection]:
    async with opened(server) as socket:
        payload = {"authorization": authorization} if authorization else None
        await say(socket, {**INIT, "payload": payload})
        assert await hear(socket) == [{"type": "connection_ack"}]
        yield socket


async def test_a_subscription_streams_and_completes_when_its_source_ends(server: str, world: World) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", "subscription ($n: Int!) { count(to: $n) }", variables={"n": 2}))
        assert await hear(socket, 3) == [
            {"id": "1", "type": "next", "payload": {"data": {"count": 0}}},
            {"id": "1", "type": "next", "payload": {"data": {"count": 1}}},
            {"id": "1", "type": "complete"},
        ]
        await say(socket, subscribe("1", "{ viewer { member { name } } }"))
        assert await hear(socket, 2) == [
            {"id": "1", "type": "next", "payload": {"data": {"viewer": {"member": {"name": "Ada"}}}}},
            {"id": "1", "type": "complete"},
        ]
    assert world.finished == ["count"]


async def test_when_the_server_ends_what_is_under_way_is_answered_first(world: World) -> None:
    async with AsyncExitStack() as running:
        serves = serving(build(world), ws=SocketWire, timeout_graceful_shutdown=60)
        server = await running.enter_async_context(serves)
        async with acknowledged(server) as socket:
            await say(socket, subscribe("1", "subscription { forever }"))
            assert (await hear(socket))[0]["type"] == "next"
            await world.entered.wait()
            world.entered.clear()
            await say(socket, subscribe("2", 'mutation { slow(name: "kept") }'))
            await world.entered.wait()
            ended = asyncio.create_task(running.aclose())
            await until_refused(server)
            await say(socket, subscribe("3", "{ hello }"))  # too late, as the client sees by the closing
            world.gate.set()
            heard: list[dict[str, Any]] = []
            with suppress(ConnectionClosed):
                while True:
                    heard += await hear(socket)
            assert heard == [
                {"id": "2", "type": "next", "payload": {"data": {"slow": "kept"}}},
                {"id": "2", "type": "complete"},
            ]
            assert await ending(socket) == (1012, "Service restart")
            await ended


async def until_refused(server: str) -> None:
    """Wait until a server takes no more connections."""
    async with asyncio.timeout(30):
        with suppress(OSError):
            while True:
                _, writer = await asyncio.open_connection(*server.split(":"))
                writer.close()
                await asyncio.sleep(0.01)


async def test_each_operation_is_a_request_of_its_own_with_its_caller_made_anew(server: str, world: World) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", "{ viewer { account { key } } }"))
        assert (await hear(socket, 2))[0]["payload"] == {"data": {"viewer": {"account": {"key": "acme"}}}}
        del world.callers["lkp_alive"]
        await say(socket, subscribe("2", "{ hello }"))
        refusal = {"message": "a valid credential is needed", "extensions": {"code": "UNAUTHENTICATED"}}
        assert await hear(socket) == [{"id": "2", "type": "error", "payload": [refusal]}]
    assert world.calls["hello"] == 0
    assert len({request.id for request in world.requests}) == 3


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("{", "GRAPHQL_PARSE_FAILED"),
        ("{ nothing }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: Int!) { hello }", "GRAPHQL_VALIDATION_FAILED"),
        ("query ($n: String!) { hello(name: $n) }", "BAD_USER_INPUT"),
        ("query a { hello } query b { hello }", "OPERATION_RESOLUTION_FAILURE"),
        ("{ members(first: 100) { nodes { friends(first: 100) { nodes { id } } } } }", "QUERY_TOO_COMPLEX"),
        ("subscription { count(to: 1) forever }", "GRAPHQL_VALIDATION_FAILED"),
        ("{" + "hello " * 2000 + "}", "QUERY_TOO_COMPLEX"),
    ],
)
async def test_what_is_not_executed_is_one_error_message(server: str, world: World, query: str, code: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", query), {"type": "ping"})
        error, pong = await hear(socket, 2)
        if error["type"] == "pong":
            error, pong = pong, error
    assert (error["type"], error["id"], pong) == ("error", "1", {"type": "pong"})
    assert {one["extensions"]["code"] for one in error["payload"]} == {code}
    assert set(world.calls) == {"identify"}


async def test_errors_in_fields_are_masked_and_labelled_as_over_http(server: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", "{ broken invalid }"))
        (message,) = await hear(socket)
    told = [(error["path"], error["message"], error["extensions"]["code"]) for error in message["payload"]["errors"]]
    assert told == [
        (["broken"], "internal error", "INTERNAL"),
        (["invalid"], "`name` must not be empty", "BAD_USER_INPUT"),
    ]


@pytest.mark.parametrize(("field", "code"), [("dying", "UNAUTHENTICATED"), ("failing", "INTERNAL")])
async def test_a_source_that_fails_ends_in_an_error(server: str, field: str, code: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", f"subscription {{ {field} }}"))
        event, error = await hear(socket, 2)
        assert event["payload"] == {"data": {field: 0}}
        assert (error["type"], [one["extensions"]["code"] for one in error["payload"]]) == ("error", [code])
        await say(socket, {"type": "ping"})
        assert await hear(socket) == [{"type": "pong"}]


async def test_a_client_that_completes_ends_the_source_and_hears_no_more(server: str, world: World) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", "subscription { forever }"))
        await hear(socket)
        await world.entered.wait()
        await say(socket, {"id": "1", "type": "complete"}, {"id": "unknown", "type": "complete"}, {"type": "ping"})
        assert await hear(socket) == [{"type": "pong"}]
        await say(socket, subscribe("1", "{ hello }"))
        assert [message["type"] for message in await hear(socket, 2)] == ["next", "complete"]
    assert world.finished == ["forever"]


async def test_leaving_ends_every_source(server: str, world: World) -> None:
    async with acknowledged(server) as socket:
        for number in range(3):
            await say(socket, subscribe(str(number), "subscription { forever }"))
        await hear(socket, 3)
    async with acknowledged(server) as other:
        while len(world.finished) < 3:
            await say(other, {"type": "ping"})
            await hear(other)
    assert world.finished == ["forever"] * 3


@pytest.mark.parametrize("by", ["complete", "leaving"])
async def test_a_mutation_is_not_torn_by_who_asked_for_it(server: str, world: World, by: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", 'mutation { slow(name: "kept") }'))
        await world.entered.wait()
        if by == "complete":
            await say(socket, {"id": "1", "type": "complete"}, {"type": "ping"})
            assert await hear(socket) == [{"type": "pong"}]
    world.gate.set()
    async with acknowledged(server) as other:
        while not world.finished:
            await say(other, {"type": "ping"})
            await hear(other)
    assert world.finished == ["kept"]


@pytest.mark.parametrize(
    "frame",
    [
        "", "{", "[]", '[{"type": "connection_init"}]', '"x"', "1", "null", "{}",
        '{"type": "unknown"}', '{"type": 1}', '{"type": ["ping"]}',
        '{"type": "connection_init", "payload": []}', '{"type": "connection_init", "payload": "x"}',
        '{"type": "connection_init", "payload": {"authorization": 1}}',
        '{"type": "connection_init", "payload": {"authorization": "a", "Authorization": "b"}}',
        '{"type": "ping", "payload": []}', '{"type": "complete"}', '{"type": "complete", "id": 1}',
        "[" * 10_000, '{"type": "ping", "payload": "\ud800"}'.encode("utf-16", "surrogatepass"), b"{}",
    ],
)  # fmt: skip
async def test_a_malformed_frame_closes_with_4400(server: str, frame: str | bytes) -> None:
    async with opened(server) as socket:
        await socket.send(frame)
        code, reason = await ending(socket)
    assert (code, reason.startswith("Invalid message: ")) == (4400, True)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "subscribe", "payload": {"query": "{ hello }"}},
        {"type": "subscribe", "id": "", "payload": {"query": "{ hello }"}},
        {"type": "subscribe", "id": 1, "payload": {"query": "{ hello }"}},
        {"type": "subscribe", "id": "1"},
        {"type": "subscribe", "id": "1", "payload": [{"query": "{ hello }"}]},
        {"type": "subscribe", "id": "1", "payload": {}},
        {"type": "subscribe", "id": "1", "payload": {"query": 1}},
        {"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "variables": []}},
        {"type": "subscribe", "id": "1", "payload": {"query": "{ hello }", "operationName": 1}},
        {"type": "next", "id": "1", "payload": {}},
    ],
)
async def test_a_malformed_operation_closes_with_4400(server: str, world: World, message: dict[str, Any]) -> None:
    async with acknowledged(server) as socket:
        await say(socket, message)
        code, reason = await ending(socket)
    assert (code, reason.startswith("Invalid message: "), world.calls["hello"]) == (4400, True, 0)


async def test_an_operation_before_the_acknowledgement_closes_with_4401(server: str) -> None:
    async with opened(server) as socket:
        await say(socket, subscribe("1", "{ hello }"))
        assert await ending(socket) == (4401, "Unauthorized")


@pytest.mark.parametrize("authorization", ["Bearer lkp_dead", "", "nonsense"])
async def test_a_credential_that_does_not_work_closes_with_4401(server: str, authorization: str) -> None:
    async with opened(server) as socket:
        await say(socket, {**INIT, "payload": {"authorization": authorization}})
        assert await ending(socket) == (4401, "Unauthorized")


async def test_a_failure_before_the_acknowledgement_closes_with_4500_and_is_logged_without_secrets(
    server: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with opened(server) as socket:
        await say(socket, {**INIT, "payload": {"authorization": "lkp_broken"}})
        assert await ending(socket) == (4500, "Internal server error")
    assert "lkp_… on fire" in caplog.text


async def test_silence_closes_with_4408(server: str) -> None:
    async with opened(server) as socket:
        assert await ending(socket) == (4408, "Connection initialisation timeout")
    async with acknowledged(server) as socket:
        await asyncio.sleep(0.4)
        await say(socket, {"type": "ping"})
        assert await hear(socket) == [{"type": "pong"}]


async def test_an_id_in_use_closes_with_4409(server: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, subscribe("1", "subscription { forever }"), subscribe("1", "{ hello }"))
        assert await ending(socket) == (4409, "Subscriber for 1 already exists")
    async with acknowledged(server) as socket:
        await say(socket, *[subscribe("é" * 200, "subscription { forever }")] * 2)
        code, _ = await ending(socket)
        assert code == 4409


async def test_a_second_initialisation_closes_with_4429(server: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, INIT)
        assert await ending(socket) == (4429, "Too many initialisation requests")


async def test_a_frame_past_the_limit_closes_with_1009(server: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, {"type": "ping", "payload": {"x": "x" * (1 << 20)}})
        code, _ = await ending(socket)
        assert code == 1009
    async with acknowledged(server) as socket:
        await socket.send(["x" * (1 << 19)] * 3)  # three frames of one message
        code, _ = await ending(socket)
        assert code == 1009


async def test_a_connection_runs_a_hundred_operations_at_once_and_no_more(server: str) -> None:
    async with acknowledged(server) as socket:
        await say(socket, *[subscribe(str(n), "subscription { forever }") for n in range(100)])
        await hear(socket, 100)
        await say(socket, subscribe("one more", "{ hello }"))
        assert await ending(socket) == (4400, "Invalid message: 100 operations are running")


@pytest.mark.parametrize("protocols", [["graphql-ws"], ["soap"], None])
async def test_no_other_protocol_is_spoken(server: str, protocols: list[Subprotocol] | None) -> None:
    async with connect(f"ws://{server}/graphql", subprotocols=protocols) as socket:
        assert await ending(socket) == (4406, "Subprotocol not acceptable")


async def test_our_own_page_connects_with_the_cookie(server: str) -> None:
    async with opened(server, origin=ORIGIN, **COOKIE) as socket:
        await say(socket, INIT, subscribe("1", "{ viewer { account { key } } }"))
        assert (await hear(socket, 2))[1]["payload"] == {"data": {"viewer": {"account": {"key": "acme"}}}}


@pytest.mark.parametrize("origin", ["http://evil.test", "null", None])
async def test_no_other_page_connects_with_the_cookie(server: str, world: World, origin: str | None) -> None:
    headers = {**COOKIE, **({"origin": origin} if origin else {})}
    with pytest.raises(InvalidStatus) as refused:
        async with opened(server, **headers):
            pass
    assert (refused.value.response.status_code, dict(world.calls)) == (403, {})


async def test_a_message_wins_over_a_header_and_a_header_over_the_cookie(server: str) -> None:
    async with opened(server, origin="http://evil.test", authorization="lkp_dead", **COOKIE) as socket:
        await say(socket, {**INIT, "payload": {"Authorization": "lkp_alive"}})
        assert await hear(socket) == [{"type": "connection_ack"}]
    async with opened(server, authorization="lkp_dead", origin=ORIGIN, **COOKIE) as socket:
        await say(socket, INIT)
        assert await ending(socket) == (4401, "Unauthorized")


async def test_without_a_credential_what_is_public_is_answered(server: str) -> None:
    async with acknowledged(server, None) as socket:
        await say(socket, subscribe("1", "{ hello }"))
        assert (await hear(socket, 2))[0]["payload"] == {"data": {"hello": "hello you"}}


async def test_a_client_of_somebody_elses_agrees(server: str) -> None:
    transport = WebsocketsTransport(
        url=f"ws://{server}/graphql", init_payload={"authorization": "lkp_alive"}, subprotocols=[PROTOCOL]
    )
    async with Client(transport=transport) as session:
        document = gql("subscription { count(to: 3) }")
        assert [event["count"] async for event in session.subscribe(document)] == [0, 1, 2]
        assert await session.execute(gql("{ hello }")) == {"hello": "hello you"}
        with pytest.raises(TransportQueryError):
            await session.execute(gql("{ nothing }"))


async def test_a_credential_has_so_many_connections(world: World) -> None:
    async with (
        serving(build(world, limits=Limits(sockets=2))) as server,
        acknowledged(server),
        acknowledged(server) as second,
        acknowledged(server, None),
    ):
        async with opened(server, authorization="lkp_alive") as third:
            await say(third, INIT)
            assert await ending(third) == (4403, "Too many connections")
        await second.close()
        async with acknowledged(server):
            pass


async def test_a_network_without_a_credential_has_so_many_connections(world: World) -> None:
    app = build(world, limits=Limits(sockets=1), proxies=Proxies.parse(["127.0.0.0/8"]))
    async with serving(app) as server, opened(server, **{"x-forwarded-for": "2001:db8::1"}) as first:
        await say(first, INIT)
        assert await hear(first) == [{"type": "connection_ack"}]
        async with opened(server, **{"x-forwarded-for": "2001:db8::2"}) as second:
            await say(second, INIT)
            assert await ending(second) == (4403, "Too many connections")
        async with opened(server, **{"x-forwarded-for": "2001:db8:0:1::1"}) as other:
            await say(other, INIT)
            assert await hear(other) == [{"type": "connection_ack"}]


async def test_a_connection_on_which_nothing_runs_is_closed(world: World) -> None:
    limits = Limits(idle_timeout_s=0.2, socket_operations=1)
    async with serving(build(world, limits=limits)) as server, opened(server) as busy:
        await say(busy, INIT, subscribe("1", "subscription { forever }"))
        await hear(busy, 2)
        async with opened(server) as idle:
            await say(idle, INIT, subscribe("1", "{ hello }"))
            assert [message["type"] for message in await hear(idle, 3)] == ["connection_ack", "next", "complete"]
            assert await ending(idle) == (1000, "Nothing runs here")
        await say(busy, {"type": "ping"}, {"id": "other", "type": "complete"})
        assert await hear(busy) == [{"type": "pong"}]
        await say(busy, {"id": "1", "type": "complete"})
        assert await ending(busy) == (1000, "Nothing runs here")
        async with opened(server) as full:
            await say(full, INIT, *[subscribe(str(number), "subscription { forever }") for number in range(2)])
            assert await ending(full) == (4400, "Invalid message: 1 operations are running")


async def test_who_answers_no_ping_is_gone(world: World) -> None:
    async with serving(build(world), ws_ping_interval=0.1, ws_ping_timeout=1.5) as server, acknowledged(server) as deaf:
        await say(deaf, subscribe("1", "subscription { forever }"))
        await hear(deaf)
        deaf.transport.pause_reading()
        await until(lambda: world.finished)
        deaf.transport.resume_reading()
        assert (await ending(deaf))[0] == 1011
