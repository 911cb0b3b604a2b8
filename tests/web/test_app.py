"""What stands beside the GraphQL path: other origins, the schema's text, health, and the end of the process."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
import pytest
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from cli.serving import migrating
from models.migrator import DatabaseTooNewError
from tests.web.house import ORIGIN, World, build, schema
from web.health import EndingError

FRIEND = "https://app.latchkey.test"


@pytest.fixture
async def shared(world: World) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(app=build(world, cors_origins=[FRIEND]))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield client


def preflight(origin: str) -> dict[str, str]:
    return {
        "origin": origin,
        "access-control-request-method": "POST",
        "access-control-request-headers": "authorization, content-type",
    }


async def test_a_configured_origin_may_ask_with_a_bearer_of_its_own(shared: httpx2.AsyncClient) -> None:
    allowed = await shared.options("/graphql", headers=preflight(FRIEND))
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, FRIEND)
    assert "access-control-allow-credentials" not in allowed.headers
    headers = {"origin": FRIEND, "authorization": "lkp_alive"}
    answer = await shared.post("/graphql", json={"query": "{ hello }"}, headers=headers)
    assert (answer.json(), answer.headers["access-control-allow-origin"]) == ({"data": {"hello": "hello you"}}, FRIEND)


async def test_a_configured_origin_may_not_use_the_cookie(shared: httpx2.AsyncClient) -> None:
    headers = {"origin": FRIEND, "cookie": "latchkey_session=lkt_session"}
    assert (await shared.post("/graphql", json={"query": "{ hello }"}, headers=headers)).status_code == 403


async def test_no_other_origin_is_let_in(shared: httpx2.AsyncClient, client: httpx2.AsyncClient) -> None:
    for asking, origin in ((shared, "https://evil.test"), (client, FRIEND)):
        refused = await asking.options("/graphql", headers=preflight(origin))
        answer = await asking.post("/graphql", json={"query": "{ hello }"}, headers={"origin": origin})
        assert refused.status_code in {400, 405}
        assert "access-control-allow-origin" not in {**refused.headers, **answer.headers}


async def test_the_schema_is_there_as_text(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/schema.graphql")
    assert (answer.status_code, answer.text) == (200, schema.as_str())
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_health_is_the_process_and_readiness_the_database(client: httpx2.AsyncClient, world: World) -> None:
    assert [(await client.get(path)).status_code for path in ("/healthz", "/readyz")] == [200, 200]
    for trouble, told in (
        (ConnectionError("gone"), "the database does not answer\n"),
        (DatabaseTooNewError("0099_later"), "the database was migrated by a later version\n"),
        (EndingError(), "the server is about to end\n"),
    ):
        world.trouble = trouble
        answer = await client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, told)
        assert (await client.get("/healthz")).status_code == 200


async def test_a_server_says_that_it_is_up_while_it_migrates() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        url = "http://{}:{}".format(*listening.getsockname())
        async with httpx2.AsyncClient(base_url=url) as client, migrating(listening):
            answers = [await client.get(path) for path in ("/healthz", "/readyz", "/graphql")]
        assert [(answer.status_code, answer.text) for answer in answers] == [
            (200, "ok\n"),
            *[(503, "the database is being migrated\n")] * 2,
        ]
        assert [answer.headers.get("retry-after") for answer in answers] == [None, "1", "1"]
        asking = socket.create_connection(listening.getsockname())
        with asking, listening.accept()[0]:  # whoever comes now is answered by the server itself
            pass


async def test_the_path_has_no_twin_with_a_slash(client: httpx2.AsyncClient) -> None:
    answers = [await client.post(path, json={"query": "{ hello }"}) for path in ("/graphql", "/graphql/x")]
    assert [answer.status_code for answer in answers] == [200, 404]


async def test_the_consoles_routes_come_last(world: World) -> None:
    async def page(_: object) -> PlainTextResponse:
        return PlainTextResponse("console")

    app = build(world, routes=[Route("/", page), Route("/{path:path}", page)])
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app=app), base_url=ORIGIN) as client:
        assert (await client.get("/")).text == "console"
        assert (await client.get("/healthz")).text == "ok\n"


async def test_a_mutation_goes_on_when_its_caller_is_gone_and_the_process_waits_for_it(world: World) -> None:
    order: list[str] = []

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        order.extend([*world.finished, "database closed"])

    app = build(world, lifespan=lifespan)
    transport = httpx2.ASGITransport(app=app)
    async with app.router.lifespan_context(app), httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        body = {"query": 'mutation { slow(name: "kept") }'}
        asking = asyncio.create_task(client.post("/graphql", json=body))
        await world.entered.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
        assert world.finished == []
        asyncio.get_running_loop().call_soon(world.gate.set)
    assert order == ["kept", "database closed"]
