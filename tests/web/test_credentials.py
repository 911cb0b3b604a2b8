"""Who is asking: bearer, bare secret or cookie, and which pages may use the cookie."""

from typing import Any

import httpx2
import pytest
from starlette.responses import Response

from core.errors import Unavailable
from tests.web.house import ORIGIN, World, build
from web.errors import RequestError
from web.limits import Limits
from web.sessions import answered

VIEWER = {"query": "{ viewer { member { name } } }"}
ADA = {"data": {"viewer": {"member": {"name": "Ada"}}}}
COOKIE = {"cookie": "latchkey_session=lkt_session"}
OURS = {"origin": ORIGIN}
CREDENTIALS = {"email": "ada@latchkey.test", "password": "analytical"}


@pytest.mark.parametrize("presented", ["Bearer lkp_alive", "bearer   lkp_alive ", "BEARER lkp_alive", "lkp_alive"])
async def test_a_secret_is_taken_bare_or_as_bearer(client: httpx2.AsyncClient, presented: str) -> None:
    answer = await client.post("/graphql", json=VIEWER, headers={"authorization": presented})
    assert (answer.status_code, answer.json()) == (200, ADA)


async def test_without_a_credential_what_is_public_is_answered(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/graphql", json={"query": "{ hello viewer { account { key } } }"})
    (error,) = answer.json()["errors"]
    assert (answer.status_code, answer.json()["data"]) == (200, {"hello": "hello you", "viewer": None})
    assert (error["path"], error["extensions"]) == (["viewer"], {"code": "UNAUTHENTICATED"})


async def test_every_credential_that_does_not_work_is_one_and_the_same_401(
    client: httpx2.AsyncClient, world: World
) -> None:
    presented: list[Any] = [
        "Bearer lkp_dead", "lkp_dead", "", " ", "Bearer", "Bearer ", "Basic YTpi", "Bearer " + "x" * 5000,
        b"\xff\xfe", "a b c",
    ]  # fmt: skip
    answers = [
        *[
            await client.post("/graphql", json={"query": "{ hello }"}, headers={"authorization": one})
            for one in presented
        ],
        await client.post("/graphql", json={"query": "{ hello }"}, headers={"cookie": "latchkey_session=dead", **OURS}),
        await client.post("/graphql", json={"query": "{ hello }"}, headers={"cookie": "latchkey_session=", **OURS}),
        await client.post("/graphql", content=b"not json", headers={"authorization": "lkp_dead"}),
    ]
    assert {answer.content for answer in answers} == {
        b'{"errors":[{"message":"a valid credential is needed","extensions":{"code":"UNAUTHENTICATED"}}]}'
    }
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {"Bearer"}
    assert world.calls["hello"] == 0


async def test_a_dead_session_is_taken_out_of_the_browser(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/graphql", json=VIEWER, headers={"cookie": "latchkey_session=dead", **OURS})
    assert "Max-Age=0" in answer.headers["set-cookie"]
    bearer = await client.post("/graphql", json=VIEWER, headers={"authorization": "dead", **COOKIE})
    assert "set-cookie" not in bearer.headers


async def test_two_authorization_headers_are_refused(client: httpx2.AsyncClient, world: World) -> None:
    headers = [("authorization", "Bearer lkp_alive"), ("authorization", "Bearer lkp_alive")]
    answer = await client.post("/graphql", json=VIEWER, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]["code"]) == (400, "BAD_REQUEST")
    assert not world.calls


@pytest.mark.parametrize(
    "page",
    [
        OURS,
        {"sec-fetch-site": "same-origin"},
        {"sec-fetch-site": "same-origin", "origin": "http://also.latchkey.test"},
    ],
)
async def test_our_own_pages_may_use_the_cookie(client: httpx2.AsyncClient, page: dict[str, str]) -> None:
    answer = await client.post("/graphql", json=VIEWER, headers={**COOKIE, **page})
    assert (answer.status_code, answer.json()) == (200, ADA)


FOREIGN = [
    {},
    {"origin": "null"},
    {"origin": "http://evil.test"},
    {"origin": "https://latchkey.test"},
    {"origin": "http://latchkey.test:8000"},
    {"origin": "http://latchkey.test.evil.test"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "none"},
    {"sec-fetch-site": "cross-site", "origin": ORIGIN},
]


@pytest.mark.parametrize("page", FOREIGN)
async def test_no_other_page_may_use_the_cookie(client: httpx2.AsyncClient, world: World, page: dict[str, str]) -> None:
    answers = [
        await client.post("/graphql", json=VIEWER, headers={**COOKIE, **page}),
        await client.get("/graphql", params=VIEWER, headers={**COOKIE, **page}),
        await client.get("/graphql", params=VIEWER, headers={**COOKIE, **page, "accept": "text/event-stream"}),
        await client.request("DELETE", "/session", headers={**COOKIE, **page}),
        await client.post("/session", json=CREDENTIALS, headers=page),
    ]
    assert {answer.status_code for answer in answers} == {403}
    assert {answer.json()["errors"][0]["extensions"]["code"] for answer in answers} == {"FORBIDDEN"}
    assert not world.calls


async def test_a_header_wins_over_the_cookie(client: httpx2.AsyncClient) -> None:
    foreign = {"origin": "http://evil.test", **COOKIE}
    alive = await client.post("/graphql", json=VIEWER, headers={"authorization": "lkp_alive", **foreign})
    dead = await client.post("/graphql", json=VIEWER, headers={"authorization": "lkp_dead", **OURS, **COOKIE})
    assert (alive.json(), dead.status_code) == (ADA, 401)


async def test_signing_in_sets_a_cookie_that_no_script_reads(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/session", json=CREDENTIALS, headers=OURS)
    assert answer.status_code == 200
    assert answer.json() == {
        "viewer": {
            "member": {"id": "1", "name": "Ada", "email": "ada@latchkey.test"},
            "account": {"key": "acme", "name": "Acme"},
        }
    }
    assert answer.headers.get_list("set-cookie") == [
        "latchkey_session=lkt_session; HttpOnly; Path=/; SameSite=Strict",
        "latchkey_device=note-of-ada; HttpOnly; Max-Age=7776000; Path=/; SameSite=Strict",
    ]
    assert "lkt_session" not in answer.text


async def test_under_https_the_cookie_is_secure_and_none_that_a_neighbour_can_plant(world: World) -> None:
    transport = httpx2.ASGITransport(app=build(world, public_url="https://keys.latchkey.test:443/"))
    async with httpx2.AsyncClient(transport=transport, base_url="https://keys.latchkey.test") as client:
        headers = {"origin": "https://keys.latchkey.test"}
        answer = await client.post("/session", json=CREDENTIALS, headers=headers)
        assert answer.headers.get_list("set-cookie") == [
            "__Host-latchkey_session=lkt_session; HttpOnly; Path=/; SameSite=Strict; Secure",
            "__Host-latchkey_device=note-of-ada; HttpOnly; Max-Age=7776000; Path=/; SameSite=Strict; Secure",
        ]
        planted = await client.post("/graphql", json=VIEWER, headers={**headers, **COOKIE})
        assert planted.json()["data"] == {"viewer": None}
        ours = await client.post("/graphql", json=VIEWER, headers={**headers, "cookie": f"__Host-{COOKIE['cookie']}"})
        assert ours.json() == ADA


async def test_signing_in_ends_the_session_that_the_browser_had(client: httpx2.AsyncClient, world: World) -> None:
    for cookie, ended in (("lkt_session", 1), ("dead", 0), ("", 0)):
        client.cookies.clear()
        world.calls.clear()
        headers = {**OURS, "cookie": f"latchkey_session={cookie}"}
        answer = await client.post("/session", json=CREDENTIALS, headers=headers)
        assert (answer.status_code, world.calls["sign_out ada"]) == (200, ended)
        client.cookies.clear()
        wrong = {**CREDENTIALS, "password": "wrong"}
        assert (await client.post("/session", json=wrong, headers=headers)).status_code == 401
        assert world.calls["sign_out ada"] == ended


@pytest.mark.parametrize(
    ("body", "status", "extensions"),
    [
        ({**CREDENTIALS, "password": "wrong"}, 401, {"code": "UNAUTHENTICATED"}),
        ({**CREDENTIALS, "email": "hasty@latchkey.test"}, 429, {"code": "RATE_LIMITED", "retryAfter": 30}),
        ({**CREDENTIALS, "account": 1}, 400, {"code": "BAD_USER_INPUT", "field": "account"}),
        ({**CREDENTIALS, "password": ""}, 400, {"code": "BAD_USER_INPUT", "field": "password"}),
        ({"password": "x"}, 400, {"code": "BAD_USER_INPUT", "field": "email"}),
        ([], 400, {"code": "BAD_REQUEST"}),
        ({**CREDENTIALS, "padding": "x" * 20_000}, 413, {"code": "BAD_REQUEST"}),
    ],
)
async def test_signing_in_says_what_is_wrong(
    client: httpx2.AsyncClient, body: object, status: int, extensions: dict[str, Any]
) -> None:
    answer = await client.post("/session", json=body, headers=OURS)
    assert (answer.status_code, answer.json()["errors"][0]["extensions"]) == (status, extensions)
    assert "set-cookie" not in answer.headers
    assert answer.headers.get("retry-after") == ("30" if status == 429 else None)


async def test_who_is_signed_in_has_the_cookie_though_nothing_can_be_told_of_them(world: World) -> None:
    transport = httpx2.ASGITransport(app=build(world, limits=Limits(cost=1)))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        answer = await client.post("/session", json=CREDENTIALS, headers=OURS)
    assert (answer.status_code, answer.json()) == (200, {"viewer": None})
    assert answer.headers.get_list("set-cookie")[0].startswith("latchkey_session=lkt_session;")


async def test_a_request_that_is_not_run_is_answered_with_its_own_status(world: World) -> None:
    async def answering() -> Response:
        raise RequestError.because(Unavailable(5), status=503)

    answer = await answered(answering(), world.asking("id", None, None))
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")


async def test_a_form_of_another_page_cannot_sign_in(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/session", content=b'{"email":"', headers={"content-type": "text/plain", **OURS})
    assert answer.status_code == 415


@pytest.mark.parametrize("cookie", ["lkt_session", "dead", None])
async def test_signing_out_takes_the_cookie_away_dead_or_alive(
    client: httpx2.AsyncClient, world: World, cookie: str | None
) -> None:
    headers = {**OURS, **({"cookie": f"a=b; latchkey_session={cookie}"} if cookie else {})}
    answer = await client.request("DELETE", "/session", headers=headers)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["set-cookie"] == 'latchkey_session=""; HttpOnly; Max-Age=0; Path=/; SameSite=Strict'
    assert world.calls["sign_out ada"] == (1 if cookie == "lkt_session" else 0)


@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "HEAD"])
async def test_a_session_begins_and_ends_only(client: httpx2.AsyncClient, method: str) -> None:
    answer = await client.request(method, "/session")
    assert (answer.status_code, answer.headers["allow"]) == (405, "POST, DELETE")
