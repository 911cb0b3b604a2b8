"""What answers carry against whoever listens in, frames a page, guesses at types, plants a cookie or breaks lines."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import httpx2
import pytest
from starlette.routing import Route

from core.errors import Unauthenticated
from core.secret import Secret, SecretKind, ServerKeys
from core.vocabulary import BuiltInRole
from models import AuditEntry, GateSource, Member, TokenKind
from resolvers import gates, passwords
from resolvers.gates import NewGate
from resolvers.writing import Said
from server import assembled, watched
from settings import Settings
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation, forget
from web import logs
from web.answers import Answer, Heard
from web.app import Application
from web.credentials import COOKIE
from web.proxies import LOOPBACK

pytestmark = pytest.mark.usefixtures("sqlite")

HERE = "http://127.0.0.1:8000"
FRIEND = "https://app.example"
OURS = {"origin": HERE}
OWNER = {"email": "owner@main.example", "password": PASSWORD}
SIGN_IN = f'mutation {{ signIn(input: {{email: "owner@main.example", password: "{PASSWORD}"}}) {{ secret }} }}'
CREATE = 'mutation { createToken(input: {name: "t", scope: {builtInRole: READER}}) { secret } }'


@dataclass
class Site:
    """The assembled application, asked by somebody who has the owner's secret and password."""

    organisation: Organisation
    app: Application
    client: httpx2.AsyncClient

    @property
    def secret(self) -> str:
        assert self.organisation.owner.token
        return self.organisation.secrets[str(self.organisation.owner.token.id)]

    async def ask(self, query: str, **headers: Any) -> httpx2.Response:
        given = {"authorization": self.secret, **{name.replace("_", "-"): value for name, value in headers.items()}}
        return await self.client.post("/graphql", json={"query": query}, headers=given)

    async def signed_in(self, password: str = PASSWORD, cookie: str | None = None) -> httpx2.Response:
        headers = {**OURS, **({"cookie": f"{COOKIE}={cookie}"} if cookie else {})}
        self.client.cookies.clear()
        return await self.client.post("/session", json={**OWNER, "password": password}, headers=headers)


@pytest.fixture
async def site(organisation: Organisation) -> AsyncIterator[Site]:
    assert organisation.owner.member
    kept = await passwords.hashed(PASSWORD)
    await Member.filter(id=organisation.owner.member.id).update(password_hash=kept)
    settings = Settings(cors_origins=(FRIEND,), trusted_proxies=LOOPBACK, access_log=True)
    app = assembled(settings, organisation.house)
    async with watched(settings, organisation.house, app) as logged:
        transport = httpx2.ASGITransport(logged, client=("127.0.0.1", 1), raise_app_exceptions=True)
        async with httpx2.AsyncClient(transport=transport, base_url=HERE) as client:
            yield Site(organisation, app, client)


def kept_in(answer: httpx2.Response) -> str:
    """Take the session out of the cookie that an answer sets."""
    return answer.headers["set-cookie"].partition(f"{COOKIE}=")[2].partition(";")[0]


async def test_nobody_keeps_an_answer_with_a_secret_nor_takes_it_for_something_else(site: Site) -> None:
    organisation, client = site.organisation, site.client
    made = await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    bearer, secret = {"authorization": f"Bearer {made.secret}"}, {"authorization": site.secret}
    unknown = {"authorization": Secret.mint(SecretKind.PERSONAL).text}
    report = {"tokens": [Secret.mint(SecretKind.PERSONAL).text]}
    answers = [
        await site.ask(CREATE),
        await site.ask(SIGN_IN),
        *[await site.ask("{ viewer { account { key } } }") for _ in range(3)],
        await site.ask("{ nothing }"),
        await client.post("/graphql", json={"query": CREATE}, headers=unknown),
        await client.post("/graphql", content=b"no json", headers=secret),
        await client.delete("/graphql", headers=secret),
        await site.signed_in(),
        await site.signed_in("a wrong password"),
        await client.put("/session"),
        await client.delete("/session", headers=OURS),
        await client.post("/oauth2/introspect", data={"token": made.secret or ""}, headers=bearer),
        await client.post("/oauth2/introspect", data={"token": "none"}, headers=bearer),
        await client.post("/oauth2/introspect", data={"token": "none"}),
        await client.post("/oauth2/introspect", data={}, headers=bearer),
        await client.get("/oauth2/introspect", headers=bearer),
        await client.post("/tokens/revoke-leaked", json=report),
        await client.post("/tokens/revoke-leaked", json={}),
        *[
            await client.get(f"/{table}/export.{ending}", headers=headers)
            for table in ("tokens", "audit")
            for ending in ("csv", "jsonl")
            for headers in (secret, unknown, {})
        ],
    ]
    body = b'{"query": "{ viewer { account { key } } }"}'
    headers = [(b"authorization", site.secret.encode()), (b"content-type", b"application/json")]
    settled = site.app.at_once(Heard("127.0.0.1", "POST", b"/graphql", b"", headers, body))
    assert settled, "the short way"
    shown = [*(dict(answer.headers) for answer in answers), _text(settled.answer.headers)]
    for headers_shown in shown:
        assert headers_shown["cache-control"] == "no-store", headers_shown
        assert headers_shown["x-content-type-options"] == "nosniff", headers_shown
    assert {answer.status_code for answer in answers} >= {200, 204, 400, 401, 405}
    assert sum(b"lk" in answer.content for answer in answers) >= 2


def _text(headers: Any) -> dict[str, str]:
    return {name.decode(): value.decode() for name, value in headers}


async def test_no_page_is_framed_and_none_tells_where_it_links_from(site: Site) -> None:
    """Every route, asked as a browser asks, and what is none."""
    paths = [route.path.replace("{name}", "no.html") for route in site.app.routes if isinstance(route, Route)]
    pages = []
    for path in (*paths, "/nowhere", "/authz/main:nothing", "/%3Cscript%3E"):
        for method in ("GET", "POST", "PUT"):
            answer = await site.client.request(method, path, headers={"accept": "text/html"})
            media = answer.headers.get("content-type", "")
            assert media.startswith(("text/html", "text/plain", "application/json")) or not answer.content, path
            if media.startswith("text/html"):
                pages.append(path)
                policy = answer.headers["content-security-policy"].split("; ")
                assert {"default-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"} <= set(policy), path
                assert answer.headers["referrer-policy"] == "no-referrer", path
                assert answer.headers["x-content-type-options"] == "nosniff", path
    assert set(pages) == {"/"}


async def test_no_origin_but_a_configured_one_reads_an_answer_and_that_one_graphql_alone(site: Site) -> None:
    strangers = ["null", "https://app.example.evil.test", "http://app.example", "https://APP.example:444", "*", HERE]
    shared = set()
    for path in (route.path for route in site.app.routes if isinstance(route, Route)):
        for origin in (FRIEND, *strangers):
            preflight = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
            for answer in (
                await site.client.options(path, headers={"origin": origin, **preflight}),
                await site.client.post(path, json={"query": "{ __typename }"}, headers={"origin": origin}),
                await site.client.get(path, headers={"origin": origin}),
            ):
                allowed = answer.headers.get("access-control-allow-origin")
                assert "access-control-allow-credentials" not in answer.headers
                assert allowed in {None, FRIEND}
                if allowed:
                    shared.add((path, origin))
    assert shared == {("/graphql", FRIEND)}


async def test_signing_in_makes_a_new_session_and_ends_the_one_the_browser_had(
    site: Site, elsewhere: Elsewhere
) -> None:
    """Whoever plants a session of their own, or has copied the one before, is not in the new one."""
    organisation = site.organisation
    attacker = await organisation.as_role(BuiltInRole.READER)
    assert attacker.token
    planted = organisation.secrets[str(attacker.token.id)]
    first = kept_in(await site.signed_in(cookie=planted))
    assert first not in {planted, ""}
    with pytest.raises(Unauthenticated):
        await organisation.identify(planted)
    before = elsewhere.everything()
    assert (await site.signed_in("a wrong password", cookie=first)).status_code == 401
    assert elsewhere.everything() == before
    second = kept_in(await site.signed_in(cookie=first))
    with pytest.raises(Unauthenticated):
        await organisation.identify(first)
    assert (await organisation.identify(second)).member == (await organisation.identify(site.secret)).member
    token = (await organisation.made(organisation.owner)).secret or ""
    for cookie in ("", "garbage", token, Secret.mint(SecretKind.SESSION).text):
        answer = await site.signed_in(cookie=cookie)
        assert (answer.status_code, kept_in(answer)[:4]) == (200, "lkt_"), cookie
    assert (await organisation.identify(token)).token


FORGED = "\u2028INFO latchkey: ready\r\nset-cookie: a=b\x85\x0b\x1b[2K"
"""What would begin a line of its own, in a log or in an answer's head, or wipe one out on a terminal."""


async def test_what_is_sent_breaks_no_line_of_an_answer_and_none_of_what_is_kept_or_logged(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    organisation, forged = site.organisation, FORGED.encode()
    caplog.set_level("INFO")
    await gates.define(organisation.owner, NewGate("api", "API", GateSource.FORWARDED), Said())
    odd: dict[str, Any] = {
        "user-agent": forged,
        "x-forwarded-for": forged + b", 192.0.2.7" + forged,
        "x-request-id": forged,
        "x-forwarded-method": b"GET",
        "x-forwarded-uri": b"/" + forged,
        "x-forwarded-host": forged,
    }
    secret = {"authorization": site.secret}
    query = {"query": "query ($id: ID!) { node(id: $id) { id } }", "variables": {"id": FORGED}}
    sign_in = {**OWNER, "email": f"a{FORGED}@b.example"}
    asked: list[Callable[[], Awaitable[httpx2.Response]]] = [
        lambda: site.client.post("/graphql", json={"query": CREATE}, headers={**odd, **secret}),
        lambda: site.client.post("/graphql", json=query, headers={**odd, **secret}),
        lambda: site.client.post("/graphql", json={"query": FORGED}, headers={**odd, **secret}),
        lambda: site.client.post("/graphql", content=forged, headers={**odd, "authorization": forged}),
        lambda: site.client.post("/session", json=sign_in, headers={**odd, **OURS}),
        lambda: site.client.post("/session", json={**sign_in, "email": "a@b.example"}, headers={**odd, **OURS}),
        lambda: site.client.post("/oauth2/introspect", data={FORGED: FORGED}, headers={**odd, **secret}),
        lambda: site.client.get(
            "/tokens/export.csv", params={FORGED: FORGED, "text": FORGED}, headers={**odd, **secret}
        ),
        lambda: site.client.get("/authz/main:api", headers={**odd, **secret}),
        lambda: site.client.get("/%0d%0aset-cookie:%20a=b", headers=odd),
    ]
    answers = [await ask() for ask in asked]
    with monkeypatch.context() as broken:
        broken.setattr(ServerKeys, "candidates", failing)
        forget()
        answers += [await ask() for ask in asked]
    for answer in answers:
        for name, value in answer.headers.raw:
            assert not {0x0A, 0x0D} & {*name, *value}, (name, value)
            assert b"ready" not in value, (name, value)
        assert "a=b" not in answer.headers.get("set-cookie", "")
    assert {answer.status_code for answer in answers} >= {200, 400, 401, 500}
    records = [record for record in caplog.records if not record.name.startswith("httpx")]
    assert len([record for record in records if record.name == logs.ACCESS]) == len(answers)
    assert any(
        "RuntimeError" in record.getMessage() and "INFO latchkey: ready" in record.getMessage() for record in records
    )
    for record in records:
        begins_no_other_event(record)
    made = await AuditEntry.filter(target_name="t").get()
    assert made.user_agent
    assert made.user_agent.startswith("\ufffdINFO latchkey: ready")
    assert made.user_agent.isprintable()
    assert made.address is None, "what cannot be told is not guessed"


def failing(_: ServerKeys, secret: Secret) -> None:
    raise RuntimeError(f"{FORGED} {secret.text}")


def begins_no_other_event(record: logging.LogRecord) -> None:
    """No line of an event could be another one's, as text or as JSON."""
    first, *others = logs.Text().format(record).splitlines()
    assert first.startswith(f"{record.levelname} {record.name}: ")
    assert all(other.startswith("    ") for other in others)
    assert "".join((first, *others)).isprintable()
    [line] = logs.JSON().format(record).splitlines()
    assert json.loads(line)["logger"] == record.name
    assert line.isprintable()


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: a=b", b"a\nb", b"a\rb", b"a\x00b"])
def test_no_header_with_a_line_break_is_written_the_short_way(value: bytes) -> None:
    with pytest.raises(ValueError, match="control character"):
        Answer(200, ((b"x-told", value),), b"", b"x-request-id").lines  # noqa: B018 - it is what raises


async def test_of_too_many_sign_ins_at_once_some_are_told_to_come_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passwords, "WAITING", 2)
    guess = {**OWNER, "password": "a guess"}
    answers = await asyncio.gather(
        *(
            site.client.post("/session", json=guess, headers={**OURS, "x-forwarded-for": f"203.0.113.{number}"})
            for number in range(30)
        )
    )
    told = {(answer.status_code, answer.headers.get("retry-after")) for answer in answers}
    assert told == {(401, None), (429, "1")}
    assert (await site.signed_in()).status_code == 200
