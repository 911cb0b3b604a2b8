"""Each use of an account-wide token is answered with how long it lasts, from memory too; and then, with what to do."""

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from models import GateSource, Token, TokenKind, now
from resolvers import gates, imports, retirement
from resolvers.gates import NewGate
from resolvers.imports import Import
from resolvers.scopes import Scope
from resolvers.writing import Said
from server import assembled
from settings import Settings
from tests.conftest import SetClock
from tests.organisation import Organisation
from tests.web.conftest import serving
from tests.web.test_forward_auth import ONE, ROUTES
from tests.web.test_restrictions import answered
from tests.web.test_sockets import INIT, ending, hear, opened, say, subscribe
from tests.web.test_wire import Exchange, raw
from web.answers import Answers
from web.proxies import LOOPBACK
from web.wire import Wire

LEGACY = "api-4f1d8e0a-legacy"
VERIFYING = {"effect": "allow", "actions": ["verifyAccessToken"], "resources": ["acct"]}
HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)

SF_DATE = re.compile(rb"@-?[0-9]{1,15}")
"""RFC 9651, section 4.1.10, of which RFC 9745 says that `Deprecation` is one, without parameters here."""
IMF_FIXDATE = re.compile(
    rb"(Mon|Tue|Wed|Thu|Fri|Sat|Sun), [0-9]{2} (Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [0-9]{4} "
    rb"[0-9]{2}:[0-9]{2}:[0-9]{2} GMT"
)
"""RFC 9110, section 5.6.7: the form in which an HTTP-date is written, which RFC 8594 says that `Sunset` is."""


@pytest.fixture
async def exchange(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> Exchange:
    """An application with an account-wide token that sees one project and verifies."""
    for memory in ("sent", "heard"):
        monkeypatch.setattr(Wire, memory, Answers())
    exchange = await Exchange(organisation).furnish()
    await bring(exchange, LEGACY)
    return exchange


async def bring(exchange: Exchange, secret: str, **wanted: Any) -> Token:
    scope = Scope(statements=[ONE, VERIFYING])
    done = await imports.bring(exchange.organisation.owner, [Import("old", secret, scope=scope, **wanted)], Said())
    return done.drafts[0].row


async def retire(exchange: Exchange, at: datetime | None) -> None:
    await retirement.retire(exchange.organisation.owner, at, Said())


def ways(exchange: Exchange, secret: str) -> dict[str, bytes]:
    """List ways of using a token directly, allowed, refused and malformed ones."""
    bearer = [f"Authorization: Bearer {secret}", "Host: l"]
    as_json = [*bearer, "Content-Type: application/json"]
    form = [*bearer, "Content-Type: application/x-www-form-urlencoded"]
    return {
        "query": exchange.graphql(secret=secret),
        "refused": exchange.graphql(secret=secret, query="{ members { nodes { name } } }"),
        "invalid": exchange.graphql(secret=secret, query="{ nothing }"),
        "no JSON": raw("POST /graphql HTTP/1.1", as_json, "{"),
        "no media type": raw("POST /graphql HTTP/1.1", bearer, "{}"),
        "exports": raw("GET /tokens/export.csv HTTP/1.1", bearer),
        "passes": exchange.authz(secret=secret),
        "may not": exchange.authz(secret=secret, uri="/app"),
        "no route": exchange.authz("X-Forwarded-Host: c.example", secret=secret, uri="/"),
        "introspects": raw("POST /oauth2/introspect HTTP/1.1", form, f"token={exchange.secret}"),
        "introspects nothing": raw("POST /oauth2/introspect HTTP/1.1", form, "token=x"),
        "introspects badly": raw("POST /oauth2/introspect HTTP/1.1", form, "token=x&action=y"),
    }


def headers_of(answer: bytes) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {b"deprecation": [], b"sunset": []}
    for line in answer.partition(b"\r\n\r\n")[0].split(b"\r\n"):
        name, _, value = line.partition(b": ")
        if name.lower() in found:
            found[name.lower()].append(value)
    return found


def sunset_of(at: datetime) -> bytes:
    return at.astimezone(UTC).strftime("%a, %d %b %Y %H:%M:%S GMT").encode()


async def told(exchange: Exchange, request: bytes) -> dict[bytes, list[bytes]]:
    """Send a request by both protocols, and from whatever memory there is: all answers are the same to the byte."""
    answers = [await answered(exchange, request, each) for each in (HttpToolsProtocol, Wire, Wire, Wire)]
    assert len(set(answers[1:])) == 1
    assert len({tuple(map(tuple, headers_of(answer).values())) for answer in answers}) == 1
    assert answers[0].rpartition(b"\r\n\r\n")[2] == answers[1].rpartition(b"\r\n\r\n")[2]
    return headers_of(answers[0])


async def test_every_use_says_since_when_and_until_when(exchange: Exchange) -> None:
    token = await Token.get(kind=TokenKind.ACCOUNT)
    since = b"@%d" % int(token.created_at.timestamp())
    assert SF_DATE.fullmatch(since)
    first, second = now() + HOUR, now() + 2 * HOUR
    for at in (None, second, first, None):
        await retire(exchange, at)
        sunset = [] if at is None else [sunset_of(at)]
        for way, request in ways(exchange, LEGACY).items():
            assert await told(exchange, request) == {b"deprecation": [since], b"sunset": sunset}, way
    assert IMF_FIXDATE.fullmatch(sunset_of(first))
    assert parsedate_to_datetime(sunset_of(first).decode()) == first.replace(microsecond=0)


async def test_the_earlier_of_its_own_end_and_of_all_is_the_sunset(exchange: Exchange) -> None:
    own = now() + HOUR
    await bring(exchange, "api-with-an-end", expires_at=own)
    request = exchange.authz(secret="api-with-an-end")
    for of_all, earlier in ((None, own), (own + HOUR, own), (own - SECOND, own - SECOND)):
        await retire(exchange, of_all)
        assert (await told(exchange, request))[b"sunset"] == [sunset_of(earlier)]


async def test_other_tokens_are_not_deprecated_nor_is_whoever_asks_about_one(exchange: Exchange) -> None:
    await retire(exchange, now() + HOUR)
    verify = {"query": "query ($s: String!) { verifyToken(secret: $s) { active } }", "variables": {"s": LEGACY}}
    asker = ["Host: l", f"Authorization: {exchange.client_secret}", "Content-Type: application/json"]
    others = {
        **ways(exchange, exchange.secret),
        "dead": exchange.graphql(secret=exchange.dead),
        "introspected": exchange.introspect(secret=LEGACY),
        "verified": raw("POST /graphql HTTP/1.1", asker, json.dumps(verify)),
    }
    for way, request in others.items():
        assert await told(exchange, request) == {b"deprecation": [], b"sunset": []}, way


async def test_introspection_tells_it_of_the_token(exchange: Exchange) -> None:
    token = await Token.get(kind=TokenKind.ACCOUNT)
    at = now() + HOUR
    for end in (None, at):
        await retire(exchange, end)
        for _ in range(3):
            answer = json.loads((await answered(exchange, exchange.introspect(secret=LEGACY))).rpartition(b"\r\n")[2])
            assert answer["active"]
            assert answer["deprecation"] == int(token.created_at.timestamp())
            ends = None if end is None else int(end.timestamp())
            assert (answer.get("sunset"), answer.get("exp")) == (ends, ends)
    other = json.loads((await answered(exchange, exchange.introspect())).rpartition(b"\r\n")[2])
    assert not {"deprecation", "sunset"} & other.keys()


async def test_a_limited_one_is_told_beside_its_limits(exchange: Exchange) -> None:
    await bring(exchange, "api-limited", rate_limits=["1/hour"])
    for request, status in (
        (exchange.authz(secret="api-limited"), b"200"),
        (exchange.authz(secret="api-limited"), b"429"),
        (exchange.graphql(secret="api-limited"), b"429"),
    ):
        answer = await answered(exchange, request)
        assert answer.startswith(b"HTTP/1.1 " + status)
        assert len(headers_of(answer)[b"deprecation"]) == 1
        assert answer.count(b"ratelimit") == 2


async def test_the_end_is_exact_also_where_memory_answers(exchange: Exchange, set_clock: SetClock) -> None:
    at = (now() + HOUR).replace(microsecond=0)
    await retire(exchange, at)
    requests = {
        "graphql": exchange.graphql(secret=LEGACY),
        "forward-auth": exchange.authz(secret=LEGACY),
        "introspection": exchange.introspect(secret=LEGACY),
    }
    message = f"account-wide tokens ended on {at:%Y-%m-%d}: make a personal token and use that"
    error = {"message": message, "extensions": {"code": "UNAUTHENTICATED", "retiredAt": at.isoformat()}}
    for instant in (at - SECOND, at, at + SECOND, at - SECOND):
        set_clock(instant)
        for way, request in requests.items():
            for protocol in (Wire, Wire, HttpToolsProtocol):
                answer = await answered(exchange, request, protocol)
                body = json.loads(answer.rpartition(b"\r\n")[2] or b"{}")
                if instant < at:
                    assert answer.startswith(b"HTTP/1.1 200"), way
                    assert "errors" not in body
                    assert body.get("active", True)
                elif way == "introspection":
                    assert body == {"active": False}
                else:
                    assert answer.startswith(b"HTTP/1.1 401"), way
                    assert body == {"errors": [error]}
                    assert b"www-authenticate: Bearer" in answer


async def test_whoever_asks_with_one_that_ended_is_told_there_too(exchange: Exchange, set_clock: SetClock) -> None:
    at = now() + HOUR
    await retire(exchange, at)
    set_clock(at)
    request = ways(exchange, LEGACY)["introspects"]
    answer = await answered(exchange, request)
    assert answer.startswith(b"HTTP/1.1 401")
    body = json.loads(answer.rpartition(b"\r\n")[2])
    assert (body["error"], body["error_description"].startswith("account-wide tokens ended on")) == (
        "invalid_token",
        True,
    )


async def test_a_websocket_works_with_one_until_it_ends(exchange: Exchange, set_clock: SetClock) -> None:
    at = now() + HOUR
    await retire(exchange, at)
    credentials = {**INIT, "payload": {"authorization": LEGACY}}
    async with serving(exchange.app) as server:
        async with opened(server) as socket:
            await say(socket, credentials, subscribe("1", "{ viewer { account { key } } }"))
            assert [each["type"] for each in await hear(socket, 3)] == ["connection_ack", "next", "complete"]
            set_clock(at)
            await say(socket, subscribe("2", "{ viewer { account { key } } }"))
            [error] = await hear(socket)
            assert error["payload"][0]["extensions"]["retiredAt"] == at.isoformat()
        async with opened(server) as socket:
            await say(socket, credentials)
            code, reason = await ending(socket)
            assert (code, reason.startswith("account-wide tokens ended on")) == (4401, True)


@pytest.mark.parametrize(
    "secret", ["x", "with blanks inside", "token 4f1d", "ünïcode ✓", "Basic dTpw", "à", "4" * 4000]
)
async def test_any_shape_is_taken_bare_and_as_a_bearer_by_every_way(exchange: Exchange, secret: str) -> None:
    await bring(exchange, secret)
    on_the_wire = secret.encode().decode("latin-1")
    for presented in (f"Bearer {on_the_wire}", f"bearer   {on_the_wire} ", on_the_wire):
        lines = ["Host: l", f"Authorization: {presented}"]
        forwarded = ["X-Forwarded-Method: GET", "X-Forwarded-Uri: /web/x", "X-Forwarded-Host: b.example"]
        for request in (
            raw(
                "POST /graphql HTTP/1.1",
                [*lines, "Content-Type: application/json"],
                '{"query":"{viewer{token{name}}}"}',
            ),
            raw("GET /authz/main:forwarded HTTP/1.1", [*lines, *forwarded]),
        ):
            for _ in range(3):
                answer = await answered(exchange, request)
                assert answer.startswith(b"HTTP/1.1 200"), answer
                assert b'"viewer":null' not in answer
    form = httpx2.QueryParams({"token": secret})
    answer = await answered(exchange, exchange.introspect(secret=str(form).removeprefix("token=")))
    assert b'"active":true' in answer


async def test_a_secret_in_latin_1_is_the_same_secret(exchange: Exchange) -> None:
    await bring(exchange, "schlüssel")
    for secret in ("schlüssel", "schlüssel".encode().decode("latin-1")):
        assert (await answered(exchange, exchange.graphql(secret=secret))).startswith(b"HTTP/1.1 200")


async def test_pages_of_other_origins_may_read_it(exchange: Exchange) -> None:
    settings = Settings(cors_origins=("https://app.example",), trusted_proxies=LOOPBACK)
    app = assembled(settings, exchange.organisation.house)
    transport = httpx2.ASGITransport(app=app, client=("127.0.0.1", 1))
    headers = {"authorization": LEGACY, "origin": "https://app.example"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://l", headers=headers) as client:
        answer = await client.post("/graphql", json={"query": "{ viewer { token { name } } }"})
    assert answer.headers["deprecation"]
    assert {"Deprecation", "Sunset"} <= set(answer.headers["access-control-expose-headers"].split(", "))


async def test_what_is_refused_of_an_import_is_not_repeated(exchange: Exchange) -> None:
    owner = exchange.organisation.secrets[str(exchange.organisation.owner.token.id)]  # type: ignore[union-attr]
    mutation = "mutation ($i: ImportTokensInput!) { importTokens(input: $i) { tokens { name } } }"
    for tokens in (
        ["hush-hush"],
        [{"name": "a", "secret": ["hush-hush"]}],
        [{"name": "a", "sekret": "hush-hush"}],
        [{"secret": "hush-hush"}],
        [{"name": "a", "secret": " hush-hush"}],
        [{"name": "hush-hush", "secret": "hush-hush"}],
        [{"name": "a", "sha256": "hush-hush"}],
        [{"name": "a", "secret": "hush-hush", "ending": "hush"}],
    ):
        body = json.dumps({"query": mutation, "variables": {"i": {"tokens": tokens}}})
        lines = ["Host: l", f"Authorization: {owner}", "Content-Type: application/json"]
        answer = await answered(exchange, raw("POST /graphql HTTP/1.1", lines, body))
        assert b'"errors"' in answer
        assert b"BAD_USER_INPUT" in answer
        assert b"hush" not in answer, answer


async def test_a_gate_that_is_told_what_to_ask_says_it_too(exchange: Exchange) -> None:
    for source in (GateSource.ORIGINAL, GateSource.FIXED):
        routes = () if source is GateSource.FIXED else ROUTES
        wanted = NewGate(source.value.lower(), source.value, source, routes=routes)
        await gates.define(exchange.organisation.owner, wanted, Said())
    lines = ["Host: l", f"Authorization: Bearer {LEGACY}", "X-Original-Method: GET", "X-Original-Uri: /web/x"]
    for path in ("original", "fixed?action=viewProject&resource=proj/web"):
        found = await told(exchange, raw(f"GET /authz/main:{path} HTTP/1.1", lines))
        assert len(found[b"deprecation"]) == 1
