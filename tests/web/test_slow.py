"""Clients that send a byte at a time, nothing or no end: each is let go, and whoever is on time notices nothing."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import pytest

from tests.web.conftest import serving, until
from tests.web.house import ORIGIN, World, build
from tests.web.test_sockets import acknowledged, hear, say, subscribe
from web.limits import Limits
from web.wire import Wire

SHORT_S, LONG_S = 0.4, 60.0
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: l\r\n\r\n"
CHUNKED = b"POST /nowhere HTTP/1.1\r\nHost: l\r\nTransfer-Encoding: chunked\r\n\r\n"
SLOW = {"query": 'mutation { slow(name: "kept") }'}


class Hasty(Wire):
    """A connection that waits for hardly anything."""

    limits = Limits(head_s=SHORT_S, body_s=SHORT_S)
    made: ClassVar[list["Hasty"]] = []

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.waits = 0
        self.made.append(self)

    def _wait(self) -> None:
        self.waits += 1
        super()._wait()


class HastyForHeads(Hasty):
    limits = Limits(head_s=SHORT_S, body_s=LONG_S)


class HastyForBodies(Hasty):
    limits = Limits(head_s=LONG_S, body_s=SHORT_S)


@asynccontextmanager
async def hasty(world: World, http: type[Hasty] = Hasty) -> AsyncIterator[tuple[str, list[Hasty]]]:
    """Serve; gives `host:port` and the connections that are made."""
    Hasty.made.clear()
    async with serving(build(world), http=http, timeout_keep_alive=60) as server:
        try:
            yield server, Hasty.made
        finally:
            world.gate.set()  # the server ends with its last mutation


@asynccontextmanager
async def connected(server: str) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(*server.split(":"))
    try:
        async with asyncio.timeout(30):
            yield reader, writer
    finally:
        writer.close()


def posted(path: str, content: object, *lines: str) -> tuple[bytes, bytes]:
    """Write a request, its head and its body."""
    body = json.dumps(content).encode()
    told = [f"POST {path} HTTP/1.1", "Host: l", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*told, *lines, "", ""]).encode(), body


async def told(server: str, sent: bytes, drop: bytes = b"") -> bytes:
    """Send something, and then `drop` again and again; gives all that was answered until the server closed."""
    async with connected(server) as (reader, writer):
        writer.write(sent)
        dropping = asyncio.create_task(_dropped(writer, drop)) if drop else None
        answered = b""
        try:
            while piece := await reader.read(65536):
                answered += piece
        except ConnectionError:  # what was sent meanwhile found it closed
            pass
        finally:
            if dropping:
                dropping.cancel()
    return answered


async def _dropped(writer: asyncio.StreamWriter, drop: bytes) -> None:
    while True:
        writer.write(drop)
        await asyncio.sleep(SHORT_S / 20)


async def test_a_connection_that_says_nothing_is_closed(world: World) -> None:
    async with hasty(world, HastyForHeads) as (server, _):
        assert await told(server, b"") == b""


@pytest.mark.parametrize(
    "sent",
    [b"G", HEALTH[:-2], b"GET /healthz HTTP/1.1\r\nX: "],
)
async def test_a_head_that_does_not_come_is_a_408(world: World, sent: bytes) -> None:
    async with hasty(world, HastyForHeads) as (server, _):
        answer = await told(server, sent)
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"\r\nconnection: close\r\n" in answer


@pytest.mark.parametrize(
    ("sent", "drop"),
    [
        (b"GET /healthz HTTP/1.1\r\nX: ", b"y"),
        (b"", b"\r\n"),
        (HEALTH, b"\r\n"),
        (b"POST /healthz HTTP/1.1\r\nHost: l\r\nContent-Length: 9999\r\n\r\n", b"x"),
        (CHUNKED + b"0\r\n", b"X: y\r\n"),
    ],
)
async def test_nobody_has_longer_for_going_on_bit_by_bit(world: World, sent: bytes, drop: bytes) -> None:
    async with hasty(world) as (server, _):
        await told(server, sent, drop)  # ends


@pytest.mark.parametrize("drop", [b"", b" "])
@pytest.mark.parametrize(
    "head",
    [
        posted("/graphql", {"query": "{ hello }"}, "Authorization: Bearer lkp_alive")[0],
        posted("/session", {"email": "ada@latchkey.test"}, f"Origin: {ORIGIN}")[0],
        posted("/tokens/revoke-leaked", {"token": "x"})[0],
    ],
)
async def test_a_body_that_does_not_come_is_a_408_in_the_words_of_its_face(
    world: World, head: bytes, drop: bytes
) -> None:
    head = head.replace(b"Content-Length: ", b"Content-Length: 9")
    async with hasty(world, HastyForBodies) as (server, _):
        status_and_headers, _, body = (await told(server, head + b"{", drop)).partition(b"\r\n\r\n")
        assert status_and_headers.startswith(b"HTTP/1.1 408 ")
        assert b"\r\nconnection: close" in status_and_headers
        assert json.loads(body)["errors"] == [
            {"message": "the body did not come in time", "extensions": {"code": "BAD_REQUEST"}}
        ]


@pytest.mark.parametrize(
    ("sent", "answer"),
    [
        (b"GET /healthz?", b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (b"GET /healthz HTTP/1.1\r\nX: ", b"HTTP/1.1 431 Request Header Fields Too Large\r\n"),
        (CHUNKED + b"0\r\nX: ", b"HTTP/1.1 404 Not Found\r\n"),
    ],
)
async def test_a_head_or_a_trailer_without_end_is_not_read_to_its_end(world: World, sent: bytes, answer: bytes) -> None:
    async with serving(build(world), http=Wire) as server:
        assert (await told(server, sent, b"x" * 4096)).startswith(answer)


async def test_a_body_is_as_long_as_it_may_be(world: World) -> None:
    limits = Limits()
    chunk = b" " * (limits.head_bytes // 2)
    head = posted("/graphql", {})[0].replace(b"Content-Length: 2", b"Transfer-Encoding: chunked")
    async with serving(build(world), http=Wire) as server, connected(server) as (reader, writer):
        writer.write(head)
        for _ in range(limits.body_bytes // len(chunk) - 1):
            writer.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            await writer.drain()
        writer.write(b'15\r\n{"query":"{ hello }"}\r\n0\r\n\r\n')
        assert (await reader.readuntil(b"}}")).endswith(b'{"data":{"hello":"hello you"}}')


async def test_what_is_being_answered_is_answered_whatever_else_is_late(world: World) -> None:
    async with hasty(world) as (server, made), connected(server) as (reader, writer):
        writer.write(b"".join(posted("/graphql", SLOW)))
        await world.entered.wait()
        writer.write(b"GET /half")
        await until(lambda: not made[0].cycle.keep_alive)
        world.gate.set()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b'{"data":{"slow":"kept"}}')


async def test_nobody_is_late_whom_the_server_does_not_listen_to(world: World) -> None:
    """The second request is not read until the first is answered."""
    head, body = posted("/graphql", {"query": "{ hello }"})
    async with hasty(world) as (server, made), connected(server) as (reader, writer):
        writer.write(b"".join(posted("/graphql", SLOW)))
        await world.entered.wait()
        writer.write(head + body[:-1])
        await until(lambda: made[0].waits > 3)
        made[0].limits = Limits()
        waits = made[0].waits
        await until(lambda: made[0].waits > waits)
        world.gate.set()
        writer.write(body[-1:])
        for said in (b'{"data":{"slow":"kept"}}', b'{"data":{"hello":"hello you"}}'):
            assert (await reader.readuntil(b"}}")).endswith(said)


async def test_whoever_is_on_time_notices_nothing(world: World) -> None:
    async with hasty(world) as (server, made), connected(server) as (reader, writer):
        for _ in range(2):
            for piece in (HEALTH[:7], HEALTH[7:]):
                writer.write(piece)
            await reader.readuntil(b"ok\n")
            await asyncio.sleep(SHORT_S * 1.5)
        for request in posted("/graphql", {"query": "{ hello }"}):
            writer.write(request)
            await writer.drain()
        await reader.readuntil(b"}}")
        assert made[0]._waiting is None  # noqa: SLF001 - it is about the timer
        async with acknowledged(server) as socket:
            await asyncio.sleep(SHORT_S * 1.5)
            await say(socket, subscribe("1", "{ hello }"))
            assert (await hear(socket))[0]["payload"] == {"data": {"hello": "hello you"}}
        assert [each._waiting for each in made] == [None, None]  # noqa: SLF001 - as above
