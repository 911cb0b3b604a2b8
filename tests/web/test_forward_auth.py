"""Forward-auth as a proxy sees it: which status, which challenge, and always the same headers."""

import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID

import httpx2
import pytest

from core.vocabulary import BuiltInRole
from models import GateSource, Token, now
from resolvers import gates, tokens
from resolvers.callers import Request, used
from resolvers.gates import NewGate
from resolvers.house import House
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.organisation import Organisation, founded
from tests.web.house import ORIGIN, unfurnished
from tests.web.house import schema as small_schema
from web.app import application
from web.forward_auth import PREFIX
from web.proxies import LOOPBACK, Proxies

ROUTES: list[dict[str, Any]] = [
    {"methods": ["GET", "OPTIONS"], "pattern": "/{project}/**", "action": "viewProject", "resource": "proj/{project}"},
    {"pattern": "/hosted/**", "host": "a.example", "action": "createProject", "resource": "proj/hosted"},
]
ONE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/web"]}
ASKED = ("account", "member", "token", "request-id")
Headers = dict[str, str] | list[tuple[str, str]]


@dataclass
class Doors:
    """The application with a gate for each source, and a token of a member who may see the project `web`."""

    organisation: Organisation
    client: httpx2.AsyncClient
    bearer: str
    subject: tuple[str, str, str]

    async def ask(self, gate: str, headers: Headers | None = None, **request: Any) -> httpx2.Response:
        """Ask with the token, unless the headers say otherwise."""
        method, path = request.pop("method", "GET"), request.pop("path", "")
        listed = list(headers.items()) if isinstance(headers, dict) else list(headers or [])
        if not any(name == "authorization" for name, _ in listed):
            listed.append(("authorization", f"Bearer {self.bearer}"))
        return await self.client.request(method, f"/authz/main:{gate}{path}", headers=listed, **request)


def app(house: House, proxies: Proxies) -> Any:
    async def never(*_: object) -> Any:
        raise AssertionError

    return application(
        schema=small_schema,
        asking=lambda request_id, address, agent: Request(house, request_id, address, agent),
        identify=used,
        sign_in=never,
        sign_out=never,
        note_device=lambda *_: "",
        database_answers=never,
        lifespan=unfurnished,
        public_url=ORIGIN,
        proxies=proxies,
    )


@pytest.fixture
async def doors(organisation: Organisation) -> AsyncIterator[Doors]:
    for source in GateSource:
        routes = () if source is GateSource.FIXED else ROUTES
        wanted = NewGate(source.value.lower(), source.value, source, routes=routes)
        await gates.define(organisation.owner, wanted, Said())
    made = await organisation.made(organisation.owner, Scope(statements=[ONE]))
    assert organisation.owner.member
    subject = (str(organisation.account.id), str(organisation.owner.member.id), str(made.row.id))
    transport = httpx2.ASGITransport(app=app(organisation.house, Proxies(LOOPBACK)), client=("127.0.0.1", 1))
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        yield Doors(organisation, client, made.secret or "", subject)


def forwarded(method: str = "GET", uri: str = "/web/x", **more: str) -> dict[str, str]:
    return {"x-forwarded-method": method, "x-forwarded-uri": uri, **more}


def original(method: str = "GET", uri: str = "/web/x", **more: str) -> dict[str, str]:
    return {"x-original-method": method, "x-original-uri": uri, **more}


HOST = {"x-forwarded-host": "b.example"}


def told(answer: httpx2.Response) -> tuple[str, ...]:
    """The subject headers, after what every answer has was found in it."""
    assert answer.headers["cache-control"] == "no-store"
    assert not answer.content or answer.headers["x-content-type-options"] == "nosniff"
    assert all(len(answer.headers.get_list(f"x-latchkey-{name}")) == 1 for name in ASKED)
    UUID(answer.headers["x-latchkey-request-id"])
    return tuple(answer.headers[f"x-latchkey-{name}"] for name in ASKED[:3])


NOBODY = ("-", "-", "-")


async def test_a_yes_says_who_it_is(doors: Doors) -> None:
    answers = [
        await doors.ask("forwarded", {**forwarded(uri="/web/x?y=/../z"), **HOST}),
        await doors.ask("original", original(**{"x-original-host": "b.example"})),
        await doors.ask(
            "original", {"x-original-method": "GET", "x-original-url": "http://b.example:80/web", "host": "x"}
        ),
        await doors.ask("path", {"host": "b.example"}, path="/web/x?y=z"),
        await doors.ask("path", {"host": "b.example"}, path="/web/x", method="OPTIONS"),
        await doors.ask("fixed", path="?action=viewProject&resource=proj%2Fweb", method="PUT", content=b"x"),
        await doors.ask("fixed", path="/?resource=proj/web&action=viewProject"),
        await doors.ask("forwarded", {**forwarded(), **HOST, "authorization": doors.bearer}),
    ]
    assert [(answer.status_code, answer.content, told(answer)) for answer in answers] == [
        (200, b"", doors.subject)
    ] * len(answers)
    assert len({answer.headers["x-latchkey-request-id"] for answer in answers}) == len(answers)


async def test_what_the_rights_refuse_names_the_action(doors: Doors) -> None:
    answers = [
        await doors.ask("forwarded", {**forwarded(uri="/app"), **HOST}),
        await doors.ask("original", original(uri="/app", **{"x-original-host": "b.example"})),
        await doors.ask("path", {"host": "b.example"}, path="/app"),
        await doors.ask("fixed", path="?action=viewProject&resource=proj/app"),
    ]
    for answer in answers:
        assert (answer.status_code, told(answer)) == (403, doors.subject)
        challenge = 'Bearer realm="latchkey", error="insufficient_scope", scope="viewProject"'
        assert answer.headers["www-authenticate"] == challenge
        assert answer.json() == {
            "errors": [
                {
                    "message": "needs `viewProject` on `proj/app`",
                    "extensions": {"code": "FORBIDDEN", "action": "viewProject", "resource": "proj/app"},
                }
            ]
        }


@pytest.mark.parametrize("headers", [forwarded("POST"), forwarded(uri="/"), forwarded("HEAD")])
async def test_what_no_route_matches_is_refused(doors: Doors, headers: dict[str, str]) -> None:
    answer = await doors.ask("forwarded", {**headers, **HOST})
    assert (answer.status_code, told(answer)) == (403, doors.subject)
    assert "www-authenticate" not in answer.headers
    assert answer.json()["errors"][0]["message"] == "no route of the gate matches the request"


async def test_a_route_of_a_host_binds_on_that_host_alone(doors: Doors) -> None:
    reader = await doors.organisation.made(doors.organisation.owner, Scope(BuiltInRole.READER))
    for host, status in (("a.example", 403), ("A.example:80", 403), ("b.example", 200)):
        sent = {**forwarded(uri="/hosted"), "x-forwarded-host": host, "authorization": reader.secret or ""}
        answer = await doors.ask("forwarded", sent)
        assert answer.status_code == status


BAD: dict[str, tuple[str, Headers, str]] = {
    "no method": ("forwarded", {"x-forwarded-uri": "/web", **HOST}, ""),
    "no URI": ("forwarded", {"x-forwarded-method": "GET", **HOST}, ""),
    "nothing": ("original", {}, ""),
    "the other source's headers": ("original", {**forwarded(), **HOST}, ""),
    "no host where a route names one": ("forwarded", forwarded(), ""),
    "a URL where a path belongs": ("forwarded", {**forwarded(uri="http://b.example/web"), **HOST}, ""),
    "two methods": ("forwarded", [*forwarded().items(), ("x-forwarded-method", "GET"), *HOST.items()], ""),
    "two URIs": ("forwarded", [*forwarded().items(), ("x-forwarded-uri", "/web/x"), *HOST.items()], ""),
    "two hosts": ("forwarded", [*forwarded().items(), *HOST.items(), *HOST.items()], ""),
    "two original URIs": ("original", [*original().items(), ("x-original-uri", "/web/x")], ""),
    "URI and URL": ("original", original(**{"x-original-url": "/web/x", "x-original-host": "b.example"}), ""),
    "two opinions of the host": (
        "original",
        {"x-original-method": "GET", "x-original-url": "http://b.example/web", "x-original-host": "a.example"},
        "",
    ),
    "dot segments": ("forwarded", {**forwarded(uri="/web/../app"), **HOST}, ""),
    "encoded dot segments": ("path", {"host": "b.example"}, "/web/%2e%2e/app"),
    "an encoded slash": ("path", {"host": "b.example"}, "/web%2fx"),
    "a path parameter": ("path", {"host": "b.example"}, "/web;x/y"),
    "an empty segment": ("path", {"host": "b.example"}, "//web"),
    "what no part holds": ("path", {"host": "b.example"}, "/we~b"),
    "no question": ("fixed", {}, ""),
    "half a question": ("fixed", {}, "?action=viewProject"),
    "two actions": ("fixed", {}, "?action=viewProject&action=viewProject&resource=proj/web"),
    "two resources": ("fixed", {}, "?action=viewProject&resource=proj/web&resource=proj/web"),
    "something else": ("fixed", {}, "?action=viewProject&resource=proj/web&x=y"),
    "a path of the client's": ("fixed", {}, "/x?action=viewProject&resource=proj/web"),
    "an unknown action": ("fixed", {}, "?action=see&resource=proj/web"),
    "an unknown resource": ("fixed", {}, "?action=viewProject&resource=thing/web"),
    "no UTF-8": ("fixed", {}, "?action=viewProject&resource=proj/%ff"),
    "a glob": ("fixed", {}, "?action=viewProject&resource=proj/*"),
}


async def test_what_cannot_be_judged_is_refused(doors: Doors) -> None:
    owner = await doors.organisation.made(doors.organisation.owner)
    for bad, (gate, headers, path) in BAD.items():
        listed = list(headers.items()) if isinstance(headers, dict) else headers
        answer = await doors.ask(gate, [*listed, ("authorization", owner.secret or "")], path=path)
        assert answer.status_code == 403, bad
        assert answer.json()["errors"][0]["extensions"] == {"code": "FORBIDDEN"}, bad
        assert told(answer)[0] == doors.subject[0]


async def test_two_credentials_are_refused(doors: Doors) -> None:
    twice = [("authorization", doors.bearer)] * 2
    answer = await doors.ask("forwarded", [*forwarded().items(), *HOST.items(), *twice])
    assert (answer.status_code, told(answer)) == (403, NOBODY)


async def test_without_a_credential_there_is_a_challenge(doors: Doors) -> None:
    for gate in ("forwarded", "original", "path", "fixed", "none"):
        session = doors.organisation.secrets[str(doors.organisation.owner.token.id)]  # type: ignore[union-attr]
        answer = await doors.client.get(
            f"/authz/main:{gate}", headers={**forwarded(), **HOST, "cookie": f"latchkey_session={session}"}
        )
        assert (answer.status_code, told(answer)) == (401, NOBODY)
        assert answer.headers["www-authenticate"] == 'Bearer realm="latchkey"'


async def test_every_credential_that_does_not_work_is_one_and_the_same_401(doors: Doors) -> None:
    organisation = doors.organisation
    other = await founded(organisation.house.database, "other")
    await other.define()
    await gates.define(other.owner, NewGate("forwarded", "Theirs", GateSource.FORWARDED, routes=ROUTES), Said())
    dead = await organisation.made(organisation.owner)
    await tokens.revoke(organisation.owner, dead.row.id, Said())
    foreign = (await other.made(other.owner)).secret or ""
    session = organisation.secrets[str(organisation.owner.token.id)]  # type: ignore[union-attr]
    sent = [dead.secret or "", foreign, session, "x", "", "Bearer", "Basic YTpi", "lkp_" + "0" * 36, "x" * 5000]
    good = {**forwarded(), **HOST}
    answers = [
        *[await doors.ask("forwarded", {**good, "authorization": secret}) for secret in sent],
        await doors.ask("none", good),
        await doors.client.get("/authz/other:forwarded", headers={**good, "authorization": f"Bearer {doors.bearer}"}),
        *[
            await doors.client.get(f"/authz/{place}", headers={**good, "authorization": doors.bearer})
            for place in ("", "main", ":", "main:", "main%3Aforwarded", "main:forwarded:x", "MAIN:forwarded")
        ],
    ]
    assert {answer.status_code for answer in answers} == {401}
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        'Bearer realm="latchkey", error="invalid_token"'
    }
    assert {answer.content for answer in answers} == {
        b'{"errors":[{"message":"a valid credential is needed","extensions":{"code":"UNAUTHENTICATED"}}]}'
    }
    assert {told(answer) for answer in answers} == {NOBODY}


async def test_a_revocation_holds_for_the_next_request(doors: Doors) -> None:
    ask = {**forwarded(), **HOST}
    assert (await doors.ask("forwarded", ask)).status_code == 200
    await tokens.revoke(doors.organisation.owner, UUID(doors.subject[2]), Said())
    assert (await doors.ask("forwarded", ask)).status_code == 401


async def test_a_yes_given_before_costs_no_look_at_the_rows(doors: Doors, statements: list[str]) -> None:
    ask = {**forwarded(), **HOST}
    first = await doors.ask("forwarded", ask)
    statements.clear()
    again = await doors.ask("forwarded", ask)
    assert all(statement.startswith("SELECT version FROM account") for statement in statements)
    assert (again.status_code, told(again)) == (200, told(first))
    assert again.headers["x-latchkey-request-id"] != first.headers["x-latchkey-request-id"]


async def test_a_yes_given_before_answers_no_other_question(doors: Doors) -> None:
    other = await doors.organisation.made(
        doors.organisation.owner, Scope(statements=[{**ONE, "resources": ["proj/app"]}])
    )
    fixed = "?action=viewProject&resource=proj/"
    twice: Headers = [*forwarded().items(), *HOST.items(), ("x-forwarded-uri", "/web/x")]
    questions: list[tuple[int, str, Headers, str, str]] = [
        (200, "forwarded", {**forwarded(), **HOST}, "", "GET"),
        (403, "forwarded", {**forwarded("POST"), **HOST}, "", "GET"),
        (403, "forwarded", {**forwarded(uri="/app/x"), **HOST}, "", "GET"),
        (403, "forwarded", {**forwarded(uri=""), **HOST}, "", "GET"),
        (403, "forwarded", forwarded(), "", "GET"),
        (403, "forwarded", twice, "", "GET"),
        (403, "forwarded", {**forwarded(), **HOST, "authorization": other.secret or ""}, "", "GET"),
        (401, "forwarded", {**forwarded(), **HOST, "authorization": ""}, "", "GET"),
        (401, "none", {**forwarded(), **HOST}, "", "GET"),
        (403, "original", {**forwarded(), **HOST}, "", "GET"),
        (200, "path", {"host": "b.example"}, "/web", "GET"),
        (403, "path", {"host": "b.example"}, "/web", "POST"),
        (403, "path", {"host": "b.example"}, "/app", "GET"),
        (200, "fixed", {}, f"{fixed}web", "GET"),
        (403, "fixed", {}, f"{fixed}app", "GET"),
        (403, "fixed", {}, f"/x{fixed}web", "GET"),
    ]  # fmt: skip
    for _ in range(2):
        for status, gate, headers, path, method in questions:
            answer = await doors.ask(gate, headers, path=path, method=method)
            assert answer.status_code == status, (gate, headers, path)


async def test_a_yes_given_before_ends_with_what_it_depends_on(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    ask, owner = {**forwarded(), **HOST}, doors.organisation.owner
    soon = now() + timedelta(hours=1)
    made = await doors.organisation.made(owner, Scope(statements=[ONE]), expires_at=soon)
    mortal = {**ask, "authorization": made.secret or ""}
    assert [(await doors.ask("forwarded", sent)).status_code for sent in (ask, mortal, ask, mortal)] == [200] * 4
    monkeypatch.setattr("resolvers.callers.now", lambda: soon)
    assert [(await doors.ask("forwarded", sent)).status_code for sent in (ask, mortal)] == [200, 401]
    monkeypatch.undo()
    await gates.define(owner, NewGate("forwarded", "Closed", GateSource.FORWARDED), Said())
    assert (await doors.ask("forwarded", ask)).status_code == 403
    await gates.define(owner, NewGate("forwarded", "Open", GateSource.FORWARDED, routes=ROUTES), Said())
    assert [(await doors.ask("forwarded", ask)).status_code for _ in range(2)] == [200, 200]
    await gates.remove(owner, "forwarded", Said())
    assert (await doors.ask("forwarded", ask)).status_code == 401


PREFLIGHT = {"origin": "https://app.example", "access-control-request-method": "PUT"}


async def test_preflights_pass_where_the_gate_says_so(doors: Doors) -> None:
    for source in (GateSource.FORWARDED, GateSource.ORIGINAL, GateSource.PATH):
        wanted = NewGate("open", "Open", source, preflights=True, routes=ROUTES)
        await gates.define(doors.organisation.owner, wanted, Said())
        sent = {**forwarded("OPTIONS"), **original("OPTIONS"), **HOST, "host": "b.example"}
        listed = {**sent, **PREFLIGHT}

        async def ask(gate: str, headers: dict[str, str], method: str = "OPTIONS") -> httpx2.Response:
            return await doors.client.request(method, f"/authz/main:{gate}/web", headers=headers)

        passed = await ask("open", listed)
        assert (passed.status_code, told(passed)) == (200, NOBODY)
        dead = await ask("open", {**listed, "authorization": "x"})
        assert (dead.status_code, told(dead)) == (200, NOBODY)
        others = [
            await ask(source.value.lower(), listed),
            await ask("open", {**listed, **forwarded(), **original()}, "GET"),
            await ask("open", {**sent, "origin": "https://app.example"}),
            await ask("open", {**sent, "access-control-request-method": "PUT"}),
        ]
        assert [answer.status_code for answer in others] == [401] * 4


@pytest.mark.parametrize("gate", ["forwarded", "none"])
async def test_who_is_no_trusted_proxy_is_refused_and_named_once(
    doors: Doors, caplog: pytest.LogCaptureFixture, gate: str
) -> None:
    transport = httpx2.ASGITransport(
        app=app(doors.organisation.house, Proxies(("10.0.0.0/8",))), client=("192.0.2.66", 1)
    )
    async with httpx2.AsyncClient(transport=transport, base_url=ORIGIN) as client:
        sent = {**forwarded(), **HOST, "authorization": doors.bearer, "x-forwarded-for": "10.0.0.1"}
        with caplog.at_level(logging.WARNING):
            answers = [await client.get(f"/authz/main:{gate}", headers=sent) for _ in range(3)]
    assert {(answer.status_code, told(answer)) for answer in answers} == {(403, NOBODY)}
    (record,) = [record for record in caplog.records if record.name == "web.forward_auth"]
    assert record.getMessage().startswith("192.0.2.66 asks at /authz/ and is no trusted proxy")
    assert doors.bearer not in caplog.text


async def test_every_use_is_noted_with_the_clients_address(doors: Doors) -> None:
    for agent in ("curl/8", "curl/9"):
        await doors.ask("forwarded", {**forwarded(), **HOST, "x-forwarded-for": "198.51.100.7", "user-agent": agent})
        await doors.organisation.house.uses.flush()
        row = await Token.get(id=doors.subject[2])
        assert (row.last_used_address, row.last_used_agent) == ("198.51.100.7", agent)


async def test_what_is_unexpected_is_masked_and_a_503(
    doors: Doors, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(f"the disk has {doors.bearer} on fire")

    monkeypatch.setattr(type(doors.organisation.house.database.versions), "known", broken)
    answer = await doors.ask("forwarded", {**forwarded(), **HOST})
    assert (answer.status_code, told(answer)) == (503, NOBODY)
    request_id = answer.headers["x-latchkey-request-id"]
    assert json.loads(answer.content) == {
        "errors": [{"message": "internal error", "extensions": {"code": "INTERNAL", "requestId": request_id}}]
    }
    assert request_id in caplog.text
    assert "the disk has" in caplog.text
    assert doors.bearer not in caplog.text


async def test_nothing_else_below_its_path_is_answered_by_others(doors: Doors) -> None:
    assert PREFIX == b"/authz/"
    for method in ("GET", "POST", "PUT", "DELETE", "PROPFIND", "HEAD"):
        assert (await doors.client.request(method, "/authz/x/y")).status_code == 401
    assert (await doors.client.get("/authz")).status_code == 404
    assert (await doors.client.get("/%61uthz/main:forwarded")).status_code == 404
