"""Restrictions of a token hold on every way in: GraphQL, WebSocket, introspection, forward-auth, and below ASGI."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from ipaddress import ip_address, ip_network
from typing import Any

import httpx2
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from websockets.asyncio.client import ClientConnection, connect

from core.vocabulary import BuiltInRole
from models import GateSource, Token, TokenDay, listening
from resolvers import gates, tokens
from resolvers.gates import NewGate
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.organisation import Organisation
from tests.web.conftest import serving
from tests.web.test_forward_auth import ONE
from tests.web.test_sockets import INIT, PROTOCOL, hear, say, subscribe
from tests.web.test_wire import Exchange, heard, raw
from web.answers import Answers
from web.proxies import LOOPBACK
from web.wire import Wire

INSIDE, OUTSIDE = "192.0.2.7", "198.51.100.7"
NETWORKS = ["192.0.2.0/24"]
VIEWER = '{"query":"{ viewer { token { networks rateLimits } } }"}'
CASES = 60


@pytest.fixture
async def exchange(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> Exchange:
    for memory in ("sent", "heard"):
        monkeypatch.setattr(Wire, memory, Answers())
    monkeypatch.setattr(listening, "TRUSTED_S", 60.0)  # however long a busy machine keeps the listener waiting
    return await Exchange(organisation).furnish()


def asked(exchange: Exchange, secret: str, address: str | None) -> dict[str, bytes]:
    """Every way of using a token from an address, each as it comes over the wire. None: it cannot be told."""
    told = f"X-Forwarded-For: {address or 'unknown'}"
    lines = ["Host: l", f"Authorization: Bearer {secret}", "Content-Type: application/json", told]
    verify = json.dumps(
        {
            "query": "query ($s: String!, $a: String) { verifyToken(secret: $s, address: $a) { active } }",
            "variables": {"s": secret, "a": address},
        }
    )
    by_asker = ["Host: l", f"Authorization: {exchange.client_secret}", "Content-Type: application/json"]
    form = "" if address is None else f"&address={address}"
    return {
        "graphql": raw("POST /graphql HTTP/1.1", lines, VIEWER),
        "forward-auth": exchange.authz(told, secret=secret),
        "introspection": exchange.introspect(secret=secret, form=form),
        "verifyToken": raw("POST /graphql HTTP/1.1", by_asker, verify),
    }


YES = {
    "graphql": b'"networks":',
    "forward-auth": b"HTTP/1.1 200 OK",
    "introspection": b'"active":true',
    "verifyToken": b'{"data":{"verifyToken":{"active":true}}}',
}
NO = {
    "graphql": b"HTTP/1.1 401 Unauthorized",
    "forward-auth": b"HTTP/1.1 401 Unauthorized",
    "introspection": b'{"active":false}',
    "verifyToken": b'{"data":{"verifyToken":{"active":false}}}',
}


async def answered(exchange: Exchange, request: bytes, protocol: type[HttpToolsProtocol] = Wire) -> bytes:
    """Send a request and wait for its answer, however busy the machine is."""
    line = exchange.line(protocol)
    told = await line.hear(request)
    while not told:
        told = await line.hear()
    line.hang_up()
    return told


async def works(exchange: Exchange, secret: str, address: str | None) -> bool:
    """Use a token in every way, by both protocols, again and again; all must agree."""
    found = set()
    for way, request in asked(exchange, secret, address).items():
        for protocol in (Wire, HttpToolsProtocol, Wire, Wire):
            told = await answered(exchange, request, protocol)
            assert (YES[way] in told) is not (NO[way] in told), told
            found.add(YES[way] in told)
    assert len(found) == 1
    return found.pop()


async def test_it_works_from_its_networks_alone(exchange: Exchange) -> None:
    organisation = exchange.organisation
    scope = Scope(BuiltInRole.READER)
    secret = (await organisation.made(organisation.owner, scope, networks=NETWORKS)).secret or ""
    for _ in range(2):
        assert await works(exchange, secret, INSIDE)
        for address in (OUTSIDE, "2001:db8::1", None):
            assert not await works(exchange, secret, address)
        assert await works(exchange, secret, f"::ffff:{INSIDE}")


async def test_from_elsewhere_it_is_refused_as_if_it_were_unknown(exchange: Exchange) -> None:
    made = await exchange.organisation.made(exchange.organisation.owner, networks=NETWORKS)
    unknown = exchange.dead
    for way, request in asked(exchange, made.secret or "", OUTSIDE).items():
        told = await answered(exchange, request)
        dead = await answered(exchange, asked(exchange, unknown, OUTSIDE)[way])
        assert told == dead, way


async def test_what_is_refused_is_counted_as_that_and_is_no_last_use(exchange: Exchange) -> None:
    house = exchange.organisation.house
    made = await exchange.organisation.made(exchange.organisation.owner, networks=NETWORKS)
    for request in asked(exchange, made.secret or "", OUTSIDE).values():
        await answered(exchange, request)
    await house.uses.flush()
    days = await TokenDay.filter(token_id=made.row.id).values_list("action", "allowed", "refused")
    assert days == [("", 0, 4)]
    assert (await Token.get(id=made.row.id)).last_used_at is None


async def test_a_remembered_answer_is_for_its_address_alone(exchange: Exchange) -> None:
    organisation = exchange.organisation
    made = await organisation.made(organisation.owner, Scope(statements=[ONE]), networks=NETWORKS)
    await heard(exchange)
    inside, outside = (asked(exchange, made.secret or "", address) for address in (INSIDE, OUTSIDE))
    for way in ("forward-auth", "introspection"):
        await answered(exchange, inside[way])
        for _ in range(3):
            line = exchange.line()
            assert YES[way] in line.at_once(inside[way])
            assert line.at_once(outside[way]) == b""
            await line.hear()
        told = await asyncio.gather(*(answered(exchange, each[way]) for each in (inside, outside) * 4))
        assert [YES[way] in each for each in told] == [True, False] * 4


async def test_a_change_holds_for_the_next_use(exchange: Exchange) -> None:
    organisation = exchange.organisation
    made = await organisation.made(organisation.owner, Scope(BuiltInRole.READER))
    secret = made.secret or ""
    assert await works(exchange, secret, OUTSIDE)
    await tokens.update(organisation.owner, made.row.id, TokenChange(networks=NETWORKS), Said())
    assert not await works(exchange, secret, OUTSIDE)
    assert await works(exchange, secret, INSIDE)
    await tokens.update(organisation.owner, made.row.id, TokenChange(networks=[]), Said())
    assert await works(exchange, secret, OUTSIDE)


def cases() -> Iterator[tuple[list[str], str]]:
    """Some networks, and an address that may be near them."""
    four, six = st.ip_addresses(v=4, network="10.0.0.0/29"), st.ip_addresses(v=6, network="2001:db8::/125")
    address = st.one_of(four, six)
    block = st.builds(
        lambda base, bits: str(ip_network((base, bits if base.version == 4 else 96 + bits), strict=False)),
        address,
        st.integers(26, 32),
    )
    gathered: list[tuple[list[str], str]] = []

    @settings(max_examples=CASES, database=None, derandomize=True, phases=[Phase.generate], deadline=None)
    @given(st.lists(block, max_size=3), address.map(str))
    def gather(networks: list[str], whence: str) -> None:
        gathered.append((networks, whence))

    gather()
    yield from gathered


async def test_every_way_agrees_with_the_standard_library(exchange: Exchange, sqlite: None) -> None:  # noqa: ARG001
    organisation = exchange.organisation
    made = await organisation.made(organisation.owner, Scope(BuiltInRole.READER))
    seen = set()
    for networks, address in cases():
        await tokens.update(organisation.owner, made.row.id, TokenChange(networks=networks), Said())
        expected = not networks or any(ip_address(address) in ip_network(network) for network in networks)
        assert await works(exchange, made.secret or "", address) is expected, (networks, address)
        seen.add((bool(networks), expected))
    assert seen == {(True, True), (True, False), (False, True)}


def served(organisation: Organisation) -> AbstractAsyncContextManager[str]:
    return serving(assembled(Settings(trusted_proxies=LOOPBACK), organisation.house), lifespan="off")


@asynccontextmanager
async def opened(server: str, address: str) -> AsyncIterator[ClientConnection]:
    headers = {"x-forwarded-for": address}
    async with connect(f"ws://{server}/graphql", subprotocols=[PROTOCOL], additional_headers=headers) as socket:
        yield socket


def init(secret: str) -> dict[str, Any]:
    return {**INIT, "payload": {"authorization": secret}}


async def test_a_socket_is_asked_at_its_start_at_each_operation_and_at_each_event(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, networks=NETWORKS)
    secret = made.secret or ""
    async with served(organisation) as server:
        async with opened(server, OUTSIDE) as socket:
            await say(socket, init(secret))
            await socket.wait_closed()
            assert (socket.close_code, socket.close_reason) == (4401, "Unauthorized")
        async with opened(server, INSIDE) as socket:
            await say(socket, init(secret), subscribe("1", "subscription { auditEntryRecorded { id } }"))
            assert await hear(socket) == [{"type": "connection_ack"}]
            await say(socket, subscribe("2", "{ viewer { token { networks } } }"))
            assert (await hear(socket, 2))[0]["payload"]["data"]["viewer"]["token"] == {"networks": NETWORKS}
            await tokens.update(organisation.owner, made.row.id, TokenChange(networks=["203.0.113.0/24"]), Said())
            last = (await hear(socket))[0]
            assert (last["id"], last["type"]) == ("1", "error")
            assert last["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"
            await say(socket, subscribe("3", "{ viewer { token { networks } } }"))
            last = (await hear(socket))[0]
            assert last["payload"][0]["extensions"]["code"] == "UNAUTHENTICATED"


async def test_a_limited_token_is_told_how_it_stands_and_when_to_come_back(exchange: Exchange) -> None:
    organisation = exchange.organisation
    scope = Scope(BuiltInRole.READER)
    for way, status in (("graphql", b"429 "), ("forward-auth", b"429 "), ("introspection", b"200 OK")):
        made = await organisation.made(organisation.owner, scope, rate_limits=["3/day", "1000/day"])
        request = asked(exchange, made.secret or "", INSIDE)[way]
        for left in (2, 1, 0):
            told = await answered(exchange, request)
            assert YES[way] in told, told
            if way != "introspection":
                assert headers(told) == {
                    "ratelimit-policy": '"token:3/day";q=3;w=86400, "token:1000/day";q=1000;w=86400',
                    "ratelimit": f'"token:3/day";r={left};t=86400, "token:1000/day";r={997 + left};t=86400',
                }
        for _ in range(2):
            told = await answered(exchange, request)
            assert b"HTTP/1.1 " + status in told
            if way == "introspection":
                assert told.endswith((b'{"active":false,"retry_after":86400}', b'{"active":false,"retry_after":86399}'))
                continue
            assert headers(told)["retry-after"] in {"86400", "86399"}
            assert headers(told)["ratelimit"].startswith('"token:3/day";r=0;t=')
            [error] = json.loads(told.partition(b"\r\n\r\n")[2])["errors"]
            assert error["extensions"]["code"] == "RATE_LIMITED"
            assert str(error["extensions"]["retryAfter"]) == headers(told)["retry-after"]


def headers(told: bytes) -> dict[str, str]:
    """The headers about limits."""
    lines = told.partition(b"\r\n\r\n")[0].decode().split("\r\n")[1:]
    found = dict(line.split(": ", 1) for line in lines)
    return {name: value for name, value in found.items() if name.startswith("ratelimit") or name == "retry-after"}


async def test_whoever_asks_about_a_token_is_counted_too_and_hears_of_the_other(exchange: Exchange) -> None:
    organisation = exchange.organisation
    spent = await organisation.made(organisation.owner, rate_limits=["1/day"])
    ways = asked(exchange, spent.secret or "", INSIDE)
    assert YES["verifyToken"] in await answered(exchange, ways["verifyToken"])
    told = await answered(exchange, ways["verifyToken"])
    assert b"HTTP/1.1 200 OK" in told
    [error] = json.loads(told.partition(b"\r\n\r\n")[2])["errors"]
    assert (error["path"], error["extensions"]["code"]) == (["verifyToken"], "RATE_LIMITED")
    assert headers(told) == {}
    change = TokenChange(rate_limits=["2/day"])
    await tokens.update(organisation.owner, (await Token.get(id=exchange.client_id)).id, change, Said())
    free = asked(exchange, exchange.secret, INSIDE)
    for left in (1, 0):
        told = await answered(exchange, free["introspection"])
        assert YES["introspection"] in told
        assert headers(told)["ratelimit"].startswith(f'"token:2/day";r={left};')
    told = await answered(exchange, free["introspection"])
    assert told.startswith(b"HTTP/1.1 429 ")
    assert b'"error":"temporarily_unavailable"' in told
    assert headers(told)["retry-after"]
    assert (await answered(exchange, free["verifyToken"])).startswith(b"HTTP/1.1 429 ")


async def test_tokens_without_limits_are_told_nothing_and_those_with_are_not_remembered(exchange: Exchange) -> None:
    organisation = exchange.organisation
    limited = await organisation.made(organisation.owner, Scope(statements=[ONE]), rate_limits=["10/day"])
    await heard(exchange)
    for way in ("forward-auth", "introspection"):
        free, counted = (asked(exchange, secret, INSIDE)[way] for secret in (exchange.secret, limited.secret or ""))
        for _ in range(3):
            assert headers(await answered(exchange, free)) == {}
            await answered(exchange, counted)
        assert YES[way] in exchange.line().at_once(free)
        assert exchange.line().at_once(counted) == b""


@pytest.mark.parametrize(
    ("source", "status"),
    [(GateSource.FORWARDED, 429), (GateSource.PATH, 429), (GateSource.ORIGINAL, 403), (GateSource.FIXED, 403)],
)
async def test_a_gate_answers_what_its_proxy_passes_on(
    organisation: Organisation, source: GateSource, status: int
) -> None:
    await gates.define(organisation.owner, NewGate("g", "G", source), Said())
    made = await organisation.made(organisation.owner, rate_limits=["1/day"])
    transport = httpx2.ASGITransport(assembled(Settings(trusted_proxies=LOOPBACK), organisation.house))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        bearer = {"authorization": f"Bearer {made.secret}"}
        first, second = [await client.get("/authz/main:g", headers=bearer) for _ in range(2)]
    assert first.status_code == 403
    assert first.json()["errors"][0]["extensions"]["code"] == "FORBIDDEN"
    assert "retry-after" not in first.headers
    assert second.status_code == status
    assert second.json()["errors"][0]["extensions"]["code"] == "RATE_LIMITED"
    assert second.headers["retry-after"]
    assert [second.headers[f"x-latchkey-{name}"] for name in ("account", "member", "token")] == ["-"] * 3


async def test_each_operation_of_a_socket_counts(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner, rate_limits=["3/day"])
    query = "{ viewer { token { rateLimits } } }"
    async with served(organisation) as server:
        async with opened(server, INSIDE) as socket:
            await say(socket, init(made.secret or ""), *(subscribe(str(number), query) for number in range(4)))
            said = await hear(socket, 7)
            assert sorted((each["id"], each["type"]) for each in said[1:]) == [
                ("0", "complete"),
                ("0", "next"),
                ("1", "complete"),
                ("1", "next"),
                ("2", "error"),
                ("3", "error"),
            ]
            for [error] in (each["payload"] for each in said if each["type"] == "error"):
                assert (error["extensions"]["code"], error["message"][:17]) == ("RATE_LIMITED", "too many requests")
                assert error["extensions"]["retryAfter"] in {86400, 86399}
        async with opened(server, INSIDE) as socket:
            await say(socket, init(made.secret or ""), subscribe("1", query))
            assert [each["type"] for each in await hear(socket, 2)] == ["connection_ack", "error"]
