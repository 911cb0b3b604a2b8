"""Token introspection over HTTP: the truth of now for services that may ask, and nothing to learn for anybody else."""

import logging
import re
from base64 import b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx2
import pytest

from core.everywhere import allowed_everywhere
from core.ids import global_id
from core.vocabulary import BuiltInRole
from models import SecretDigest, Token, TokenKind, now
from models.database import Database
from resolvers import accounts, members, roles
from resolvers.accounts import AccountChange
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.writing import Done, Said
from server import assembled
from settings import Settings
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.resolvers.test_verification import dead_secrets, verifier
from tests.walk import ROOT

PAGE = (ROOT / "docs" / "introspection.md").read_text(encoding="utf-8")
PATH = "/oauth2/introspect"
FLAG = "proj/web:env/dev:flag/f"
FORM = "application/x-www-form-urlencoded"
BASIC, BEARER = 'Basic realm="latchkey"', 'Bearer realm="latchkey"'
INVALID_TOKEN = f'{BEARER}, error="invalid_token"'
INSUFFICIENT = f'{BEARER}, error="insufficient_scope", scope="verifyAccessToken"'

Introspect = Callable[..., Awaitable[httpx2.Response]]


def basic(user: object, password: str) -> str:
    return f"Basic {b64encode(f'{user}:{password}'.encode()).decode()}"


def secret_of(organisation: Organisation, caller: Caller) -> str:
    assert caller.token
    return organisation.secrets[str(caller.token.id)]


@pytest.fixture
async def client(organisation: Organisation) -> AsyncIterator[httpx2.AsyncClient]:
    transport = httpx2.ASGITransport(assembled(Settings(), organisation.house))
    async with httpx2.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000") as client:
        yield client


@pytest.fixture
async def asker(organisation: Organisation) -> Caller:
    return await verifier(organisation)


@pytest.fixture
def authorization(organisation: Organisation, asker: Caller) -> str:
    """How a service says who it is."""
    assert asker.token
    return basic(asker.token.id, secret_of(organisation, asker))


@pytest.fixture
def introspect(client: httpx2.AsyncClient, authorization: str) -> Introspect:
    """Introspect a token, as a service that may."""

    async def introspect(token: str, **parameters: str) -> httpx2.Response:
        headers = {"Authorization": authorization}
        return await client.post(PATH, data={"token": token, **parameters}, headers=headers)

    return introspect


def epoch(token: Token) -> int:
    return int(token.created_at.timestamp())


async def test_a_living_token_is_told_in_the_words_of_rfc_7662(
    organisation: Organisation, introspect: Introspect
) -> None:
    writer = await organisation.session(await organisation.member(BuiltInRole.WRITER, name="Wanda Writer"))
    made = await organisation.made(writer, expires_at=now() + timedelta(hours=1))
    answer = await introspect(made.secret or "")
    token = await Token.get(id=made.row.id)
    assert token.expires_at
    assert answer.json() == {
        "active": True,
        "scope": "env:updateName flag:updateOn flag:viewFlag proj:createProject proj:updateTags proj:viewProject",
        "client_id": str(token.id),
        "username": "Wanda Writer",
        "token_type": "Bearer",
        "exp": int(token.expires_at.timestamp()),
        "iat": epoch(token),
        "sub": str(token.owner_id),
        "iss": "http://127.0.0.1:8000",
        "jti": str(token.id),
        "account": "main",
        "token_kind": "PERSONAL",
    }
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json; charset=utf-8")
    assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")
    assert UUID(answer.headers["x-request-id"]).version == 7


async def test_scope_words_are_proven_anew_only_when_what_decides_changed(
    organisation: Organisation, introspect: Introspect, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = f"proj/{uuid4()}"  # what was proven of the same rights before is remembered
    owner, allow = organisation.owner, {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*", own]}
    role = await organisation.role("seer", allow)
    made = await organisation.made(owner, Scope(custom_roles=["seer"]), TokenKind.SERVICE)
    proofs: list[object] = []

    def proving(*arguments: Any) -> Any:
        proofs.append(arguments)
        return allowed_everywhere(*arguments)

    monkeypatch.setattr("resolvers.scope_words.allowed_everywhere", proving)
    assert (await introspect(made.secret or "")).json()["scope"] == "proj:viewProject"
    await roles.update(owner, role.id, RoleChange(name="Seer"), Said())
    assert (await introspect(made.secret or "")).json()["scope"] == "proj:viewProject"
    assert len(proofs) == 1
    await roles.update(owner, role.id, RoleChange(policy=[{**allow, "resources": [own]}]), Said())
    assert (await introspect(made.secret or "")).json()["scope"] == ""
    assert len(proofs) == 2


async def test_a_token_that_nobody_owns_is_its_own_subject(organisation: Organisation, introspect: Introspect) -> None:
    scope = Scope(statements=[{"effect": "allow", "actions": ["viewProject"], "resources": ["proj/web"]}])
    made = await organisation.made(organisation.owner, scope, TokenKind.SERVICE)
    assert (await introspect(made.secret or "")).json() == {
        "active": True,
        "scope": "",
        "client_id": str(made.row.id),
        "token_type": "Bearer",
        "iat": epoch(made.row),
        "sub": str(made.row.id),
        "iss": "http://127.0.0.1:8000",
        "jti": str(made.row.id),
        "account": "main",
        "token_kind": "SERVICE",
    }


async def test_a_secret_in_its_grace_ends_with_the_grace(organisation: Organisation, introspect: Introspect) -> None:
    grace_ends = now() + timedelta(minutes=10)
    endless, graced = [await organisation.made(organisation.owner) for _ in range(2)]
    await SecretDigest.filter(token_id=graced.row.id).update(expires_at=grace_ends)
    assert "exp" not in (await introspect(endless.secret or "")).json()
    assert (await introspect(graced.secret or "")).json()["exp"] == int(grace_ends.timestamp())


async def test_a_verdict_may_be_kept_only_as_long_as_the_account_allows(
    organisation: Organisation, introspect: Introspect
) -> None:
    made = await organisation.made(organisation.owner, expires_at=now() + timedelta(seconds=30))
    assert "cache_until" not in (await introspect(made.secret or "")).json()
    for lifetime_s, most in ((10, 10), (300, 30)):
        await accounts.update(organisation.owner, AccountChange(verdict_lifetime_s=lifetime_s), Said())
        told = (await introspect(made.secret or "")).json()
        assert most - 3 < told["cache_until"] - now().timestamp() <= most
        assert told["cache_until"] <= told["exp"]


async def test_the_page_names_all_that_is_told(organisation: Organisation, introspect: Introspect) -> None:
    await accounts.update(organisation.owner, AccountChange(verdict_lifetime_s=10), Said())
    made = await organisation.made(organisation.owner, expires_at=now() + timedelta(hours=1))
    told = (await introspect(made.secret or "", action="updateAccountOwner", resource="acct")).json()
    table = PAGE.split("\n## The answer\n")[1].split("\n## ")[0]
    named = [name for cells in re.findall(r"^\| (`.*?) \|", table, re.MULTILINE) for name in cells.split(", ")]
    not_of_every_token = {"`missing`", "`deprecation`", "`sunset`"}
    assert {f"`{name}`" for name in told} | not_of_every_token == {*named}


async def test_whatever_opens_no_token_of_the_account_is_not_active_and_nothing_more(
    organisation: Organisation, database: Database, introspect: Introspect
) -> None:
    dead = await dead_secrets(organisation, database)
    del dead["empty"], dead["garbage"]  # no such form can be sent; see the malformed ones
    for name, secret in {**dead, "nonsense": "€ 100 %", "long": "lkp_" + "x" * 5000}.items():
        answer = await introspect(secret, address="192.0.2.9", action="updateOn", resource=FLAG)
        assert (answer.status_code, answer.content) == (200, b'{"active":false}'), name
        assert (answer.headers["cache-control"], answer.headers["pragma"]) == ("no-store", "no-cache")


async def test_the_scope_is_what_the_token_may_now(organisation: Organisation, introspect: Introspect) -> None:
    member = await organisation.member(BuiltInRole.WRITER)
    made = await organisation.made(await organisation.session(member))

    async def words() -> set[str]:
        return set((await introspect(made.secret or "")).json()["scope"].split())

    writes = {"env:updateName", "flag:updateOn", "proj:createProject", "proj:updateTags"}
    reads = {"flag:viewFlag", "proj:viewProject"}
    assert await words() == writes | reads
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.READER), Said())
    assert await words() == reads
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.NO_ACCESS), Said())
    assert await words() == set()
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.WRITER), Said())
    assert await words() == writes | reads


async def test_one_question_is_answered_beside_with_the_sides_that_refuse(
    organisation: Organisation, introspect: Introspect
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    made = await organisation.made(writer)
    scope = Scope(statements=[{"effect": "allow", "actions": ["viewProject"], "resources": ["*"]}])
    limited = await organisation.made(writer, scope)

    async def asked(done: Done[Any], action: str, resource: str) -> tuple[bool, list[str] | None]:
        told = (await introspect(done.secret or "", action=action, resource=resource)).json()
        assert told["active"]
        return told["allowed"], told.get("missing")

    assert await asked(made, "updateOn", FLAG) == (True, None)
    assert await asked(made, "updateOn", f"{FLAG};qa,beta") == (True, None)
    assert await asked(made, "deleteFlag", FLAG) == (False, ["OWNER"])
    assert await asked(limited, "deleteFlag", FLAG) == (False, ["SCOPE", "OWNER"])
    assert await asked(limited, "updateAccountOwner", "acct") == (False, [])
    assert not {"allowed", "missing"} & (await introspect(made.secret or "")).json().keys()


async def test_it_counts_as_a_use_from_where_the_token_was_presented(
    organisation: Organisation, introspect: Introspect, asker: Caller
) -> None:
    made = await organisation.made(organisation.owner)
    await introspect(made.secret or "", address="2001:DB8::1", token_type_hint="refresh_token")
    await organisation.house.uses.flush()
    assert (await Token.get(id=made.row.id)).last_used_address == "2001:db8::1"
    assert asker.token
    assert (await Token.get(id=asker.token.id)).last_used_address == "127.0.0.1"


async def test_a_service_says_who_it_is_by_its_id_and_secret_or_by_its_secret(
    organisation: Organisation, client: httpx2.AsyncClient, asker: Caller
) -> None:
    assert asker.token
    secret, known_as = secret_of(organisation, asker), global_id("Token", asker.token.id)
    told = [
        await client.post(PATH, data={"token": secret}, headers={"Authorization": authorization})
        for authorization in (
            basic(asker.token.id, secret),
            basic(known_as, secret),
            basic(quote(known_as, safe=""), secret.replace("_", "%5F")),
            f"bAsIc   {basic(asker.token.id, secret)[6:]}",
            f"Bearer {secret}",
            f"bearer {secret}",
        )
    ]
    assert [answer.json().get("sub") for answer in told] == [str(asker.token.id)] * 6


async def test_a_credential_that_does_not_do_is_refused_with_its_challenge(
    organisation: Organisation, database: Database, client: httpx2.AsyncClient, asker: Caller
) -> None:
    assert asker.token
    secret = secret_of(organisation, asker)
    personal = await organisation.made(organisation.owner)
    other = await verifier(organisation)
    dead = await dead_secrets(organisation, database)
    session = secret_of(organisation, organisation.owner)
    refused: dict[str, list[str]] = {
        "wrong secret": [basic(asker.token.id, dead["unknown"])],
        "somebody else's id": [basic(other.token and other.token.id, secret)],
        "no id": [basic("", secret)],
        "no secret": [basic(asker.token.id, "")],
        "a personal token": [basic(personal.row.id, personal.secret or "")],
        "a session": [basic(organisation.owner.token and organisation.owner.token.id, session)],
        "dead": [basic(personal.row.id, dead["revoked"])],
        "no base64": ["Basic €", "Basic a", "Basic", "Basic !!!!"],
        "no colon": [f"Basic {b64encode(secret.encode()).decode()}"],
        "no text": [f"Basic {b64encode(bytes((255, 58, 255))).decode()}", basic("%ff", "%ff")],
    }
    for name, texts in refused.items():
        for text in texts:
            headers = [(b"Authorization", text.encode())]
            answer = await client.post(PATH, data={"token": secret}, headers=headers)
            told = (answer.status_code, answer.json(), answer.headers.get_list("www-authenticate"))
            assert told == (401, {"error": "invalid_client"}, [BASIC]), name
    for text in (dead["unknown"], dead["revoked"], dead["sleeping"], "", "x" * 5000):
        answer = await client.post(PATH, data={"token": secret}, headers={"Authorization": f"Bearer {text}"})
        told = (answer.status_code, answer.json(), answer.headers.get_list("www-authenticate"))
        assert told == (401, {"error": "invalid_token"}, [INVALID_TOKEN])


async def test_without_a_credential_both_ways_are_offered_and_no_error_is_told(
    organisation: Organisation, client: httpx2.AsyncClient, asker: Caller
) -> None:
    secret = secret_of(organisation, asker)
    session = secret_of(organisation, organisation.owner)
    given: tuple[Mapping[str, str], ...] = (
        {},
        {"Cookie": f"latchkey_session={session}"},
        {"Authorization": ""},
        {"Authorization": secret},
        {"Authorization": f"Digest {secret}"},
    )
    for headers in given:
        answer = await client.post(PATH, data={"token": secret, "client_secret": secret}, headers=headers)
        told = (answer.status_code, answer.json(), answer.headers.get_list("www-authenticate"))
        assert told == (401, {}, [BASIC, BEARER])


async def test_two_credentials_are_none(client: httpx2.AsyncClient, authorization: str) -> None:
    headers = [("Authorization", authorization), ("Authorization", authorization)]
    answer = await client.post(PATH, data={"token": "x"}, headers=headers)
    assert (answer.status_code, answer.json()) == (400, invalid("more than one `Authorization` header"))


def invalid(problem: str) -> dict[str, str]:
    return {"error": "invalid_request", "error_description": problem}


async def test_who_may_not_verify_learns_nothing_by_status_body_or_work(
    organisation: Organisation, client: httpx2.AsyncClient, statements: list[str]
) -> None:
    living = await organisation.made(organisation.owner)
    service = await organisation.token(organisation.owner, Scope(BuiltInRole.WRITER), TokenKind.SERVICE)
    personal = await organisation.token(await organisation.as_role(BuiltInRole.WRITER))
    assert service.token
    credentials = (
        basic(service.token.id, secret_of(organisation, service)),
        f"Bearer {secret_of(organisation, personal)}",
        f"Bearer {secret_of(organisation, organisation.owner)}",  # who may, but is no token
    )
    for authorization in credentials:
        seen = []
        for token in (living.secret or "", living.secret or "", "lkp_nothing", ""):
            statements.clear()
            question = {"token": token, "action": "updateOn", "resource": FLAG, "address": "192.0.2.1"}
            answer = await client.post(PATH, data=question, headers={"Authorization": authorization})
            kept = {name: value for name, value in answer.headers.items() if name != "x-request-id"}
            seen.append((answer.status_code, answer.content, kept, list(statements)))
        assert seen[0][:2] == (403, b'{"error":"insufficient_scope"}')
        assert seen[0][2]["www-authenticate"] == INSUFFICIENT
        assert seen[1:] == [seen[1]] * 3
        assert seen[0][:3] == seen[1][:3]
        assert not seen[1][3]
    await organisation.house.uses.flush()
    assert (await Token.get(id=living.row.id)).last_used_at is None


LONG = "x" * 70_000
MALFORMED: dict[str, tuple[str | bytes, str]] = {
    "no token": ("token_type_hint=access_token", "`token` is needed"),
    "an empty token": ("token=", "`token` is needed"),
    "nothing": ("", "`token` is needed"),
    "two tokens": ("token=a&token=b", "`token` is given twice"),
    "the same token twice": ("token=a&token=a", "`token` is given twice"),
    "a token and an empty one": ("token=a&token=", "`token` is given twice"),
    "two hints": ("token=a&token_type_hint=a&token_type_hint=a", "`token_type_hint` is given twice"),
    "something unknown twice": ("token=a&%22x%22=1&%22x%22=2", "`?x?` is given twice"),
    "two addresses": ("token=a&address=192.0.2.1&address=192.0.2.1", "`address` is given twice"),
    "no address": ("token=a&address=localhost", "`address` must be an IPv4 or IPv6 address"),
    "an action alone": ("token=a&action=updateOn", "`resource` is needed beside the other"),
    "a resource alone": (f"token=a&resource={FLAG}", "`action` is needed beside the other"),
    "an unknown action": (f"token=a&action=updateOnn&resource={FLAG}", "`action` is no action of `flag`: `updateOnn`"),
    "an unknown kind": ("token=a&action=updateOn&resource=flagg/f", "`resource` has an unknown kind: `flagg`"),
    "a glob": ("token=a&action=updateOn&resource=proj/*", "`resource` has `*`, but words are"),
    "no UTF-8": ("token=%ff", "the body must be a form in UTF-8"),
    "raw bytes": (b"token=\xff", "the body must be a form in UTF-8"),
    "too many": ("token=a" + "&a=b" * 40, "the body must be a form in UTF-8 of at most 32 parameters"),
}


@pytest.mark.parametrize("name", MALFORMED)
async def test_a_malformed_request_is_told_what_is_wrong_with_it(
    name: str, client: httpx2.AsyncClient, authorization: str
) -> None:
    body, problem = MALFORMED[name]
    headers = {"Authorization": authorization, "Content-Type": FORM}
    answer = await client.post(PATH, content=body, headers=headers)
    told = answer.json()
    assert (answer.status_code, told.keys(), told["error"]) == (
        400,
        {"error", "error_description"},
        "invalid_request",
    )
    assert told["error_description"].startswith(problem)
    assert told["error_description"].isascii()
    assert '"' not in told["error_description"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "application/json"},
        {"Content-Type": ""},
        {"Content-Type": "multipart/form-data; boundary=x"},
        {"Content-Type": f"{FORM}; charset=iso-8859-1"},
        {"Content-Type": FORM, "Content-Encoding": "gzip"},
    ],
)
async def test_only_a_plain_form_in_utf_8_is_read(
    headers: dict[str, str], client: httpx2.AsyncClient, authorization: str
) -> None:
    answer = await client.post(PATH, content=b"token=a", headers={"Authorization": authorization, **headers})
    told = (answer.status_code, answer.json())
    assert told == (400, invalid(f"the body must be `{FORM}` in UTF-8, not compressed"))
    headers = {"Authorization": authorization, "Content-Type": f'{FORM} ;charset="UTF-8"'}
    assert (await client.post(PATH, content=b"token=a", headers=headers)).json() == {"active": False}


async def test_a_secret_in_the_url_is_refused(client: httpx2.AsyncClient, authorization: str) -> None:
    headers = {"Authorization": authorization}
    answer = await client.post(f"{PATH}?token=lkp_x", data={"token": "lkp_x"}, headers=headers)
    problem = "parameters stand in the body, never in the URL, which many write down"
    assert (answer.status_code, answer.json()) == (400, invalid(problem))


async def test_other_methods_and_bodies_too_large_are_refused(client: httpx2.AsyncClient, authorization: str) -> None:
    for method in ("GET", "PUT", "DELETE", "OPTIONS"):
        answer = await client.request(method, PATH, headers={"Authorization": authorization})
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        assert answer.json() == invalid("tokens are introspected by POST")

    async def chunks() -> AsyncIterator[bytes]:
        yield b"token="
        for _ in range(70):
            yield b"x" * 1000

    headers = {"Authorization": authorization, "Content-Type": FORM}
    for content in (f"token={LONG}", chunks()):
        answer = await client.post(PATH, content=content, headers=headers)
        assert (answer.status_code, answer.json()) == (413, invalid("the body is larger than 65536 bytes"))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.ERROR):
        yield caplog


async def test_what_is_unexpected_is_masked_and_found_in_the_log_by_the_request_id(
    organisation: Organisation,
    elsewhere: Elsewhere,
    client: httpx2.AsyncClient,
    authorization: str,
    log: pytest.LogCaptureFixture,
) -> None:
    made = await organisation.made(organisation.owner)
    elsewhere("ALTER TABLE secret RENAME TO mislaid")
    answer = await client.post(PATH, data={"token": made.secret or ""}, headers={"Authorization": authorization})
    request_id = answer.headers["x-request-id"]
    problem = {"error": "server_error", "error_description": f"internal error, request {request_id}"}
    assert (answer.status_code, answer.json()) == (500, problem)
    assert f"request {request_id} failed" in log.text
    assert "no such table" in log.text or "does not exist" in log.text
    assert (made.secret or "") not in log.text
