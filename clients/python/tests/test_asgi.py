"""The middleware guards real applications with a real Latchkey behind it."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import unquote

import httpx2
import pytest
from conftest import PUBLIC, RULES, Demo, Made, guarded, started, with_fastapi, with_starlette
from starlette.applications import Starlette
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from latchkey_client import AsyncLatchkey
from latchkey_client.asgi import LatchkeyMiddleware, Message

LIMITED = "demo: limited to web"
REALM = 'Bearer realm="latchkey"'


def bearer(secret: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {secret}"}


async def status(app: httpx2.AsyncClient, secret: str, path: str = "/projects/web") -> int:
    return (await app.get(path, headers=bearer(secret))).status_code


async def test_a_good_token_comes_through_and_is_known_behind(app: httpx2.AsyncClient, demo: Demo) -> None:
    answer = await app.put("/projects/web/flags/checkout", headers=bearer(demo.secrets["limited"]))
    assert answer.status_code == 200
    assert answer.json() == {"name": LIMITED, "project": "web", "flag": "checkout"}
    assert (await app.head("/projects/web", headers=bearer(demo.secrets["limited"]))).status_code != 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": "Basic bGF0Y2g6a2V5"}, {"Authorization": "Bearer "}, {"Authorization": "Bearer a b"}],
)
async def test_without_a_token_there_is_a_challenge(app: httpx2.AsyncClient, headers: dict[str, str]) -> None:
    answer = await app.get("/projects/web", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, REALM)
    assert answer.headers["cache-control"] == "no-store"


async def test_a_dead_token_is_told_so(app: httpx2.AsyncClient, demo: Demo) -> None:
    made = demo.make("PERSONAL", ("viewProject", "proj/web"))
    demo.revoke(made)
    for secret in (made.secret, "lkp_unknown"):
        answer = await app.get("/projects/web", headers=bearer(secret))
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, f'{REALM}, error="invalid_token"')


async def test_a_limited_token_passes_by_path(app: httpx2.AsyncClient, demo: Demo) -> None:
    limited = bearer(demo.secrets["limited"])
    assert (await app.get("/projects/web", headers=limited)).status_code == 200
    for method, path, action in (
        ("GET", "/projects/mobile", "viewProject"),
        ("PUT", "/projects/mobile/flags/checkout", "updateOn"),
        ("DELETE", "/projects/web/flags/checkout", "deleteFlag"),
    ):
        answer = await app.request(method, path, headers=limited)
        challenge = f'{REALM}, error="insufficient_scope", scope="{action}"'
        assert (answer.status_code, answer.headers["www-authenticate"]) == (403, challenge)


async def test_all_rules_that_match_must_allow(app: httpx2.AsyncClient, demo: Demo) -> None:
    writer = bearer(demo.secrets["writer"])
    assert (await app.delete("/projects/web/flags/checkout", headers=writer)).status_code == 200


async def test_two_credentials_are_none(app: httpx2.AsyncClient, demo: Demo) -> None:
    twice = [("Authorization", f"Bearer {demo.secrets['limited']}")] * 2
    answer = await app.get("/projects/web", headers=twice)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (400, f'{REALM}, error="invalid_request"')


async def test_what_no_rule_speaks_of_is_refused_and_what_is_public_is_not(app: httpx2.AsyncClient, demo: Demo) -> None:
    owner = bearer(demo.secrets["owner"])
    assert (await app.get("/unspoken", headers=owner)).status_code == 403
    assert (await app.post("/projects/web", headers=owner)).status_code == 403
    assert (await app.post("/health", headers=owner)).status_code == 403
    assert (await app.get("/health")).json() == {"name": None}


@pytest.mark.parametrize(
    "path",
    [
        "/projects/..",
        "/projects/.",
        "/projects/%2e%2e",
        "/projects/mobile/../web",
        "/projects/web;x",
        "/projects/web%3Bx",
        "/projects/web%2Fmore",
        "/projects%5Cweb",
        "/projects/web%00",
        "/projects/%252e%252e",
        "/projects//web",
        "/projects/web/",
        "/projects/w%C3%A9b",
        "//projects/web",
        "/health/../projects/web",
    ],
)
async def test_a_path_that_could_be_read_twice_is_refused(path: str) -> None:
    for raw_path in (path.encode(), None):
        assert await refused_by_path(unquote(path), raw_path) == 403


@pytest.mark.parametrize(
    "raw_path", [b"/projects%2Fweb", b"/projects%2fweb", b"/%5C../projects/web", b"/projects/web;"]
)
async def test_a_path_that_was_read_already_is_refused_by_how_it_was_written(raw_path: bytes) -> None:
    assert await refused_by_path("/projects/web", raw_path) == 403


async def test_a_path_that_can_be_read_once_is_decoded_once() -> None:
    assert await refused_by_path("/projects/web", b"/%70rojects/w%65b") == 401


async def refused_by_path(path: str, raw_path: bytes | None, **more: object) -> int:
    """Ask without a credential, as a server hands a request over; returns the status."""
    statuses: list[int] = []

    async def receive() -> Message:
        raise AssertionError

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async with AsyncLatchkey("http://latchkey.invalid", "unused") as client:
        app = LatchkeyMiddleware(with_starlette(), client, RULES, public=PUBLIC)
        scope = {"type": "http", "method": "GET", "path": path, "raw_path": raw_path, "headers": [], **more}
        await app(scope, receive, send)
    return statuses[0]


@pytest.mark.parametrize(
    ("path", "root", "expected"),
    [
        ("/projects/web", "", 401),
        ("/api/projects/web", "/api", 401),
        ("/projects/web", "/api", 401),
        ("/apiprojects/web", "/api", 403),
        ("/api/projects/web", "", 403),
    ],
)
async def test_paths_are_those_below_the_root_path(path: str, root: str, expected: int) -> None:
    assert await refused_by_path(path, path.encode(), root_path=root) == expected


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (("GET", "projects", "viewProject", "proj/web"), "a path begins with"),
        (("GET", "/projects/{Project}", "viewProject", "proj/web"), "its parts are"),
        (("GET", "/projects/{project", "viewProject", "proj/web"), "its parts are"),
        (("GET", "/projects/{project}", "viewProject", "proj/{other}"), "does not have"),
    ],
)
async def test_a_rule_that_means_nothing_is_refused_at_once(rule: tuple[str, str, str, str], problem: str) -> None:
    async with AsyncLatchkey("http://latchkey.invalid", "unused") as client:
        with pytest.raises(ValueError, match=problem):
            LatchkeyMiddleware(with_starlette(), client, [rule])


async def test_a_literal_in_a_path_is_literal() -> None:
    async with AsyncLatchkey("http://latchkey.invalid", "unused") as client:
        app = LatchkeyMiddleware(with_starlette(), client, [], public=[("GET", "/v1.0/x")])
        assert [rule.check("GET", "/v1.0/x") for rule in app._public] == [("", "")]  # noqa: SLF001
        assert [rule.check("GET", "/v1x0/x") for rule in app._public] == [None]  # noqa: SLF001


async def test_a_revocation_is_felt_by_the_very_next_request(app: httpx2.AsyncClient, demo: Demo) -> None:
    made = demo.make("PERSONAL", ("viewProject", "proj/web"))
    assert await status(app, made.secret) == 200
    demo.revoke(made)
    assert await status(app, made.secret) == 401


async def test_a_verdict_is_kept_as_long_as_the_account_lets_it(app: httpx2.AsyncClient, demo: Demo) -> None:
    demo.live_for(2)
    made = demo.make("PERSONAL", ("viewProject", "proj/web"))
    assert await status(app, made.secret) == 200
    answered_at_s = time.monotonic()
    demo.revoke(made)
    assert await status(app, made.secret) == 200, "the verdict was not kept at all"
    assert await status(app, made.secret, "/projects/mobile") == 401, "it was kept for another question"
    asked_at_s = time.monotonic()
    while await status(app, made.secret) == 200:
        assert asked_at_s < answered_at_s + 2
        await asyncio.sleep(0.02)
        asked_at_s = time.monotonic()


async def test_a_verdict_is_never_kept_past_the_tokens_end(app: httpx2.AsyncClient, demo: Demo) -> None:
    demo.live_for(300)
    ends_at_s = time.monotonic() + 3
    made = demo.make("PERSONAL", ("viewProject", "proj/web"), expires_in_s=3)
    while time.monotonic() < ends_at_s - 0.3:
        assert await status(app, made.secret) == 200
        await asyncio.sleep(0.05)
    await asyncio.sleep(max(0.0, ends_at_s + 0.1 - time.monotonic()))
    assert await status(app, made.secret) == 401


async def test_no_more_verdicts_are_kept_than_said(demo: Demo, async_latchkey: AsyncLatchkey) -> None:
    app = LatchkeyMiddleware(with_starlette(), async_latchkey, RULES, kept_verdicts=2)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(app), base_url="http://app.example") as client:
        assert await status(client, demo.secrets["writer"]) == 200
        assert app._verdicts._kept == {}  # noqa: SLF001
        demo.live_for(300)
        for project in ("web", "mobile", "data", "web"):
            assert await status(client, demo.secrets["writer"], f"/projects/{project}") == 200
    kept = app._verdicts._kept  # noqa: SLF001
    assert len(kept) == 2
    assert demo.secrets["writer"] not in repr(kept)


async def test_with_latchkey_down_all_is_refused(tmp_path: Path) -> None:
    with started(tmp_path) as own:
        verifier = own.make("SERVICE", ("verifyAccessToken", "acct"))
        async with (
            AsyncLatchkey(own.url, verifier.secret) as client,
            guarded(with_starlette, client) as starlette,
            guarded(with_fastapi, client) as fastapi,
        ):
            for app in (starlette, fastapi):
                assert await status(app, own.secrets["limited"]) == 200
            own.process.kill()
            own.process.wait()
            for app in (starlette, fastapi):
                answer = await app.get("/projects/web", headers=bearer(own.secrets["limited"]))
                assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
                assert (await app.get("/health")).status_code == 200


async def test_latchkey_is_told_from_where_a_token_was_presented(demo: Demo, async_latchkey: AsyncLatchkey) -> None:
    made = demo.make("PERSONAL", ("viewProject", "proj/web"))
    app = LatchkeyMiddleware(with_starlette(), async_latchkey, RULES)
    transport = httpx2.ASGITransport(app, client=("192.0.2.9", 4711))
    async with httpx2.AsyncClient(transport=transport, base_url="http://app.example") as client:
        assert await status(client, made.secret) == 200
    query = "query ($id: ID!) { token(id: $id) { lastUsedAddress } }"
    until_s = time.monotonic() + 20
    while demo.ask(query, id=made.id)["token"]["lastUsedAddress"] != "192.0.2.9":
        assert time.monotonic() < until_s
        time.sleep(0.2)  # noqa: ASYNC251 - nothing else runs here


async def test_an_integration_that_may_not_verify_lets_nobody_in(demo: Demo) -> None:
    for token in ("lkp_unknown", demo.secrets["reader"]):
        async with AsyncLatchkey(demo.url, token) as client, guarded(with_starlette, client) as app:
            assert await status(app, demo.secrets["owner"]) == 503


def test_a_websocket_is_guarded_too(demo: Demo, verifier: Made) -> None:
    client = AsyncLatchkey(demo.url, verifier.secret)

    @asynccontextmanager
    async def closed_at_the_end(_: Starlette) -> AsyncIterator[None]:
        async with client:
            yield

    app = with_starlette(closed_at_the_end)
    app.add_middleware(LatchkeyMiddleware, client=client, rules=RULES)
    with TestClient(app) as browser:
        with browser.websocket_connect("/projects/web/feed", headers=bearer(demo.secrets["limited"])) as socket:
            assert socket.receive_text() == LIMITED
        for path, secret in (("mobile/feed", demo.secrets["limited"]), ("web/feed", "lkp_unknown"), ("web", "x")):
            with (
                pytest.raises(WebSocketDisconnect),
                browser.websocket_connect(f"/projects/{path}", headers=bearer(secret)),
            ):
                pass
