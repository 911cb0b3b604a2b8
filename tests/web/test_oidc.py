"""What an OpenID provider answers, or somebody in its place: nobody comes in by anything but the whole truth."""

import asyncio
import base64
import hmac
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import httpx2
import pytest
from joserfc import jwt
from joserfc.jwk import ECKey, Key, KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Route

import web.provider
from core.errors import Unauthenticated
from core.vocabulary import BuiltInRole
from models import Member, Token
from resolvers.admission import Admission
from resolvers.attempts import NETWORK
from resolvers.identities import Vouched
from server import assembled
from settings import Settings
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.web.conftest import serving
from web.oidc import LIFETIME_S, Errand
from web.openid import Relying, Unreachable, Untrusted
from web.provider import KEPT_S, RENEWED_AFTER_S, SPARED_S, Provider

CLIENT = "latchkey"
SECRET = "a secret: that is/quite+long"
HERE = "http://127.0.0.1:8000"
OURS = {"sec-fetch-site": "same-origin"}
CODE = "a-code-that-nobody-may-read"
ADA = "ada@example.com"

SIGNING = ECKey.generate_key("P-256", {"kid": "first", "use": "sig"})
OTHER = ECKey.generate_key("P-256", {"kid": "first", "use": "sig"})

Claims = dict[str, Any]
Signed = Callable[[Claims], str]


def signed(claims: Claims, key: Key = SIGNING, alg: str = "ES256", **header: Any) -> str:
    return jwt.encode({"alg": alg, "kid": key.kid, **header}, claims, key, algorithms=[alg])


@dataclass
class Impostor:
    """A provider that answers as it is told. It checks the code's proof and our secret as a real one does."""

    issuer: str = ""
    keys: list[Key] = field(default_factory=lambda: [SIGNING])
    published: Claims | None = None
    """What it says its keys are instead."""
    told: Claims = field(default_factory=dict)
    """What it says of itself otherwise."""
    sign: Signed = signed
    claimed: Claims = field(default_factory=dict)
    """What its ID tokens claim otherwise; None leaves a claim out."""
    userinfo: Claims = field(default_factory=dict)
    answer: Response | None = None
    """What its token endpoint answers instead."""
    nonce: str = ""
    used: set[str] = field(default_factory=set)
    asked: Counter[str] = field(default_factory=Counter)
    posted: list[tuple[str | None, dict[str, str]]] = field(default_factory=list)

    @property
    def app(self) -> Starlette:
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.configuration),
                Route("/keys", self.key_set),
                Route("/token", self.token, methods=["POST"]),
                Route("/userinfo", self.about),
            ]
        )

    async def configuration(self, _: Request) -> Response:
        self.asked["configuration"] += 1
        places = {f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("authorization", "token", "userinfo")}
        return JSONResponse({"issuer": self.issuer, "jwks_uri": f"{self.issuer}/keys", **places, **self.told})

    async def key_set(self, _: Request) -> Response:
        self.asked["keys"] += 1
        told = KeySet(self.keys).as_dict(private=False) if self.published is None else self.published
        return JSONResponse(told)

    async def token(self, request: Request) -> Response:
        self.asked["token"] += 1
        form = dict(parse_qsl((await request.body()).decode()))
        self.posted.append((request.headers.get("authorization"), form))
        if self.answer is not None:
            return self.answer
        if form["code"] in self.used:
            return JSONResponse({"error": "invalid_grant"}, 400)
        self.used.add(form["code"])
        return JSONResponse({"access_token": "opaque", "token_type": "Bearer", "id_token": self.sign(self.claims())})

    async def about(self, request: Request) -> Response:
        self.asked["userinfo"] += 1
        assert request.headers["authorization"] == "Bearer opaque"
        return JSONResponse(self.userinfo)

    def claims(self) -> Claims:
        at = int(time.time())
        whole = {"iss": self.issuer, "aud": CLIENT, "sub": "ada", "nonce": self.nonce, "iat": at, "exp": at + 300}
        whole |= {"email": ADA, "email_verified": True, "name": "Ada Okafor", **self.claimed}
        return {name: value for name, value in whole.items() if value is not None}


@asynccontextmanager
async def pretending() -> AsyncIterator[Impostor]:
    impostor = Impostor()
    async with serving(impostor.app, "off") as place:
        impostor.issuer = f"http://{place}"
        yield impostor


@pytest.fixture
async def impostor() -> AsyncIterator[Impostor]:
    async with pretending() as impostor:
        yield impostor


@pytest.fixture
async def ada(organisation: Organisation, sqlite: None) -> Member:  # noqa: ARG001 - it is not about the database
    """Ada, a member who is known by her address."""
    member = await organisation.member(BuiltInRole.READER, name="Ada")
    await Member.filter(id=member.id).update(email=ADA, email_key=ADA)
    return member


@dataclass
class Browser:
    """A browser that goes to the provider and comes back, from an address of its own."""

    client: httpx2.AsyncClient
    impostor: Impostor
    asked: Mapping[str, str] = field(default_factory=dict)

    async def begin(self, **body: Any) -> httpx2.Response:
        begun = await self.client.post("/sign-in/oidc", json=body, headers=OURS)
        if begun.status_code == 200:
            self.asked = dict(parse_qsl(urlsplit(begun.json()["url"]).query))
            self.impostor.nonce = self.asked["nonce"]
        return begun

    async def come_back(self, **brought: Any) -> str:
        """Come back with the code; returns to where that leads."""
        whole = {"state": self.asked.get("state"), "code": CODE, **brought}
        params = [(name, each) for name, value in whole.items() if value for each in value.split("|")]
        response = await self.client.get("/sign-in/oidc", params=params)
        assert (response.status_code, response.content) == (303, b"")
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["referrer-policy"] == "no-referrer"
        return str(response.headers["location"])

    async def enter(self, **brought: Any) -> str:
        """Go there and come back, with a code of its own."""
        self.impostor.used.clear()
        await self.begin()
        return await self.come_back(**brought)

    def keep(self, cookie: str) -> None:
        """Have a cookie that was taken away, or never was one."""
        self.client.cookies.clear()
        self.client.cookies.set("latchkey_errand", cookie, domain="127.0.0.1", path="/")

    @property
    def is_in(self) -> bool:
        return "latchkey_session" in self.client.cookies


Browsing = Callable[[], Browser]


@pytest.fixture
async def browsing(organisation: Organisation, impostor: Impostor) -> AsyncIterator[Browsing]:
    """Open browsers, each at an address of its own."""
    settings = Settings(oidc_issuer=impostor.issuer, oidc_client_id=CLIENT, oidc_client_secret=SECRET, oidc_name="Id")
    organisation.house = replace(organisation.house, public_url=HERE, admission=Admission(domains=("joining.example",)))
    app = assembled(settings, organisation.house)
    opened: list[httpx2.AsyncClient] = []

    def browse() -> Browser:
        transport = httpx2.ASGITransport(app, client=(f"192.0.2.{len(opened)}", 1))
        opened.append(httpx2.AsyncClient(transport=transport, base_url=HERE))
        return Browser(opened[-1], impostor)

    yield browse
    for client in opened:
        await client.aclose()


async def test_the_whole_truth_lets_in(ada: Member, impostor: Impostor, browsing: Browsing) -> None:
    browser = browsing()
    begun = await browser.begin()
    url = urlsplit(begun.json()["url"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{impostor.issuer}/authorization"
    assert {name: browser.asked[name] for name in ("client_id", "response_type", "redirect_uri", "scope")} == {
        "client_id": CLIENT,
        "response_type": "code",
        "redirect_uri": f"{HERE}/sign-in/oidc",
        "scope": "openid email profile",
    }
    name, _, attributes = begun.headers["set-cookie"].partition("=")
    assert (name, attributes.partition("; ")[2]) == (
        "latchkey_errand",
        f"HttpOnly; Max-Age={LIFETIME_S}; Path=/; SameSite=Lax",
    )
    assert await browser.come_back() == "/"
    assert browser.is_in
    assert "latchkey_errand" not in browser.client.cookies
    [(authorization, form)] = impostor.posted
    assert authorization
    assert base64.b64decode(authorization.removeprefix("Basic ")) == b"latchkey:a+secret%3A+that+is%2Fquite%2Blong"
    assert form["redirect_uri"] == f"{HERE}/sign-in/oidc"
    from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]  # noqa: PLC0415

    assert (browser.asked["code_challenge"], browser.asked["code_challenge_method"]) == (
        create_s256_code_challenge(form["code_verifier"]),
        "S256",
    )
    assert len({browser.asked["state"], browser.asked["nonce"], form["code_verifier"]}) == 3
    [session] = await Token.filter(owner_id=ada.id)
    assert (session.last_used_address, session.revoked_at) == ("192.0.2.0", None)
    assert impostor.asked == {"configuration": 1, "keys": 1, "token": 1}
    # Whoever begins again goes on with no session that was there before.
    assert await browser.enter() == "/"
    ended, begun_anew = await Token.filter(owner_id=ada.id).order_by("id")
    assert (ended.id, ended.revoked_at is None, begun_anew.revoked_at) == (session.id, False, None)


def by_secret(secret: bytes) -> Signed:
    """Sign with a secret, or with what is known to all as if it were one."""

    def sign(claims: Claims) -> str:
        told = f"{_part({'alg': 'HS256', 'kid': 'first'})}.{_part(claims)}"
        return f"{told}.{_encoded(hmac.digest(secret, told.encode(), 'sha256'))}"

    return sign


def unsigned(claims: Claims) -> str:
    return f"{_part({'alg': 'none'})}.{_part(claims)}."


def _part(part: Claims) -> str:
    return _encoded(json.dumps(part).encode())


def _encoded(part: bytes) -> str:
    return base64.urlsafe_b64encode(part).rstrip(b"=").decode()


LATER = 10_000
LIES: dict[str, tuple[Claims, Signed]] = {
    "another nonce": ({"nonce": "another"}, signed),
    "no nonce": ({"nonce": None}, signed),
    "another issuer": ({"iss": "https://id.example.com"}, signed),
    "no issuer": ({"iss": None}, signed),
    "another client": ({"aud": "another"}, signed),
    "another client, for us": ({"aud": "another", "azp": CLIENT}, signed),
    "several clients": ({"aud": [CLIENT, "another"]}, signed),
    "for another": ({"aud": [CLIENT, "another"], "azp": "another"}, signed),
    "over": ({"exp": 1}, signed),
    "never over": ({"exp": None}, signed),
    "over at no time": ({"exp": float("nan")}, signed),
    "from the future": ({"iat": int(time.time()) + LATER}, signed),
    "from no time": ({"iat": None}, signed),
    "not yet": ({"nbf": int(time.time()) + LATER}, signed),
    "nobody": ({"sub": None}, signed),
    "nobody at all": ({"sub": ""}, signed),
    "a number": ({"sub": 1}, signed),
    "somebody long": ({"sub": "x" * 256}, signed),
    "with another access token": ({"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"}, signed),
    "unsigned": ({}, unsigned),
    "signed by our secret": ({}, by_secret(SECRET.encode())),
    "signed by what is public": ({}, by_secret(SIGNING.as_pem(private=False))),
    "signed by somebody": ({}, lambda claims: signed(claims, OTHER)),
    "signed by its own": ({}, lambda claims: signed(claims, OTHER, jwk=OTHER.as_dict(private=False))),
    "signed by nobody": ({}, lambda claims: signed(claims, SIGNING, kid="unknown")),
    "cut off": ({}, lambda claims: signed(claims)[:-4]),
    "no token": ({}, lambda _: "nonsense"),
    "no text": ({}, lambda _: 1),  # type: ignore[dict-item,return-value] # which is the point
}


async def test_nobody_comes_in_by_a_lie(
    ada: Member,  # noqa: ARG001 - whom the lies are about
    impostor: Impostor,
    browsing: Browsing,
    elsewhere: Elsewhere,
    caplog: pytest.LogCaptureFixture,
) -> None:
    before = elsewhere.everything()
    led = {}
    for lie, (claimed, sign) in LIES.items():
        impostor.claimed, impostor.sign = claimed, sign
        browser = browsing()
        led[lie] = await browser.enter(), browser.is_in
    assert led == dict.fromkeys(LIES, ("/#/sign-in/untrusted", False))
    impostor.claimed, impostor.sign = {}, signed
    answers = {
        "no code": (JSONResponse({"error": "invalid_grant"}, 400), "untrusted"),
        "no client": (JSONResponse({"error": "<script>"}, 401), "untrusted"),
        "no ID token": (JSONResponse({"access_token": "opaque"}), "untrusted"),
        "elsewhere": (RedirectResponse(f"{impostor.issuer}/keys"), "unreachable"),
        "a page": (Response("<html>", 200), "unreachable"),
        "a list": (JSONResponse([1]), "unreachable"),
        "too much": (Response(b" " * (2 << 20)), "unreachable"),
        "not now": (JSONResponse({}, 503), "unreachable"),
    }
    for answer, word in answers.values():
        impostor.answer = answer
        browser = browsing()
        assert (await browser.enter(), browser.is_in) == (f"/#/sign-in/{word}", False)
    assert elsewhere.everything() == before
    for told in (CODE, ADA, "opaque", "eyJ", "<script>", SECRET, impostor.nonce):
        assert told not in caplog.text
    assert "invalid_claim `nonce`" in caplog.text
    # Which of all that was a lie is seen by the truth, told in the same way.
    impostor.answer = None
    browser = browsing()
    assert (await browser.enter(), browser.is_in) == ("/", True)


async def test_only_the_browser_that_went_comes_back(
    ada: Member,  # noqa: ARG001 - who comes back
    impostor: Impostor,
    browsing: Browsing,
    organisation: Organisation,
) -> None:
    browser, other = browsing(), browsing()
    await other.begin()
    theirs = other.asked["state"]
    await browser.begin()
    led = [
        await browsing().come_back(state=browser.asked["state"]),
        await browser.come_back(state=theirs),
    ]
    for brought in ({"state": ""}, {"state": "\u00e9"}, {"code": ""}, {"code": "a|b"}, {"code": "x" * 5000}):
        await browser.begin()
        led.append(await browser.come_back(**brought))
    await browser.begin()
    led.append(await browser.come_back(state="|".join([browser.asked["state"]] * 2)))
    keys = organisation.house.keys
    over = Errand("chance", int(time.time()) - 1)
    forged = over.cookie(keys).replace(str(over.until_s), str(over.until_s + LIFETIME_S))
    for cookie in (over.cookie(keys), forged, "nonsense", "a:1:b:zz", ""):
        browser.keep(cookie)
        led.append(await browser.come_back(state=over.state))
    assert led == ["/#/sign-in/stale"] * len(led)
    assert impostor.asked["token"] == 0
    await browser.begin()
    assert await browser.come_back(code="", error="access_denied") == "/#/sign-in/cancelled"
    await browser.begin()
    assert await browser.come_back(iss="https://id.example.com") == "/#/sign-in/untrusted"
    assert impostor.asked["token"] == 0
    await browser.begin()
    kept = browser.client.cookies["latchkey_errand"]
    assert await browser.come_back(iss=impostor.issuer, to="https://elsewhere.example") == "/"
    assert await browser.come_back() == "/#/sign-in/stale"
    browser.keep(kept)
    assert await browser.come_back() == "/#/sign-in/untrusted"  # the provider takes no code twice


async def test_a_provider_that_names_itself_always_does(
    ada: Member,  # noqa: ARG001 - who comes back
    impostor: Impostor,
    browsing: Browsing,
) -> None:
    impostor.told = {"authorization_response_iss_parameter_supported": True}
    assert await browsing().enter() == "/#/sign-in/untrusted"
    assert await browsing().enter(iss=impostor.issuer) == "/"


async def test_only_our_page_begins_and_hears_what_is_wrong(
    ada: Member,  # noqa: ARG001 - there is somebody
    impostor: Impostor,
    browsing: Browsing,
) -> None:
    client = browsing().client
    answer = await client.get("/sign-in")
    assert (answer.json(), answer.headers["cache-control"]) == ({"password": True, "provider": "Id"}, "no-store")
    told = [
        (await client.request(method, "/sign-in/oidc", json=body, headers=headers)).status_code
        for method, body, headers in (
            ("POST", {}, {}),
            ("POST", {}, {"sec-fetch-site": "cross-site"}),
            ("PUT", {}, OURS),
            ("POST", {"account": 1}, OURS),
            ("POST", {"account": "https://elsewhere.example"}, OURS),
        )
    ]
    assert told == [403, 403, 405, 400, 400]
    assert not impostor.asked
    impostor.told = {"issuer": f"{impostor.issuer}/"}
    refused = await browsing().begin()
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "5")
    assert refused.json()["errors"] == [
        {"message": "Id does not answer; try again in a moment", "extensions": {"code": "UNAVAILABLE"}}
    ]
    assert "set-cookie" not in refused.headers
    assert (await client.get("/readyz")).status_code == 200


async def test_whoever_fails_too_often_asks_the_provider_no_more(
    ada: Member,  # noqa: ARG001 - who fails
    impostor: Impostor,
    browsing: Browsing,
    organisation: Organisation,
) -> None:
    browser = browsing()
    for _ in range(NETWORK.free - 1):
        with suppress(Unauthenticated), organisation.house.attempts.opening("192.0.2.0"):
            raise Unauthenticated
        with suppress(Unauthenticated), organisation.house.attempts.returning("192.0.2.0"):
            raise Unauthenticated
    with suppress(Unauthenticated), organisation.house.attempts.opening("192.0.2.0"):
        raise Unauthenticated
    assert await browser.enter() == "/", "whoever fails otherwise, there or anywhere"
    impostor.answer = JSONResponse({}, 503)
    assert await browser.enter() == "/#/sign-in/unreachable", "nor is that a failure of theirs"
    impostor.answer = None
    impostor.claimed = {"sub": "new", "email": "unknown@example.com"}
    assert [await browser.enter() for _ in range(2)] == ["/#/sign-in/refused", "/#/sign-in/too-often"]
    assert impostor.asked["token"] == 3


async def test_why_somebody_is_not_let_in(ada: Member, impostor: Impostor, browsing: Browsing) -> None:
    led = []
    for claimed in (
        {"email": "unknown@example.com"},
        {"email_verified": False},
        {"email_verified": "true"},
        {"email_verified": None},
        {"email": None},
        {"email": ["ada@example.com"]},
        {},
        {"sub": "another"},
        {"email": None},
        {"sub": "new", "email": "New@Joining.Example"},
    ):
        impostor.claimed = claimed
        impostor.userinfo = {"sub": "ada"}
        led.append(await browsing().enter())
    assert [place.removeprefix("/#/sign-in/") for place in led] == [
        "refused",
        *["unverified"] * 5,
        "/",
        "somebody-else",
        "/",
        "/",
    ]
    assert await Token.filter(owner_id=ada.id).count() == 2
    made = await Member.get(email_key="new@joining.example")
    assert (made.email, made.base_role, made.name) == ("New@Joining.Example", BuiltInRole.READER, "Ada Okafor")


async def test_under_https_no_other_host_sets_the_cookie(organisation: Organisation, sqlite: None) -> None:  # noqa: ARG001 - as above
    async with pretending() as impostor:
        house = replace(organisation.house, public_url="https://keys.latchkey.test", password_sign_in=False)
        app = assembled(Settings(oidc_issuer=impostor.issuer, oidc_client_id=CLIENT), house)
        transport = httpx2.ASGITransport(app)
        async with httpx2.AsyncClient(transport=transport, base_url="https://keys.latchkey.test") as client:
            browser = Browser(client, impostor)
            begun = await browser.begin(account="main")
            assert begun.headers["set-cookie"].startswith("__Host-latchkey_errand=")
            assert begun.headers["set-cookie"].endswith("; HttpOnly; Max-Age=600; Path=/; SameSite=Lax; Secure")
            assert await browser.come_back() == "/#/sign-in/refused"
            ways = (await client.get("/sign-in")).json()
            assert ways == {"password": False, "provider": urlsplit(impostor.issuer).netloc}
            credentials = {"email": ADA, "password": "correct horse battery staple"}
            answer = await client.post("/session", json=credentials, headers=OURS)
            assert (answer.status_code, answer.json()["errors"][0]["extensions"]["action"]) == (403, "createSession")
        # Without a secret the client says who it is in the body.
        assert [(authorization, form["client_id"]) for authorization, form in impostor.posted] == [(None, CLIENT)]


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.at_s = 1_000.0

    def __call__(self) -> float:
        return self.at_s


async def redeemed(provider: Provider, impostor: Impostor) -> Vouched:
    impostor.used.clear()
    impostor.nonce = "nonce"
    return await provider.redeem(CODE, f"{HERE}/sign-in/oidc", "nonce", "v" * 43)


async def test_keys_are_kept_and_asked_for_anew_where_one_is_unknown(impostor: Impostor) -> None:
    provider = Provider(Relying(impostor.issuer, CLIENT, SECRET), clock := Clock())
    for _ in range(3):
        assert await redeemed(provider, impostor) == Vouched(impostor.issuer, "ada", ADA, "Ada Okafor")
    assert (impostor.asked["configuration"], impostor.asked["keys"]) == (1, 1)
    second = RSAKey.generate_key(2048, {"kid": "second"})
    impostor.keys, impostor.sign = [second], lambda claims: signed(claims, second, "RS256")
    for _ in range(20):
        clock.at_s += 1
        with pytest.raises(Untrusted, match="invalid_key_id"):
            await redeemed(provider, impostor)
    assert impostor.asked["keys"] == 1
    clock.at_s += RENEWED_AFTER_S
    assert (await redeemed(provider, impostor)).subject == "ada"
    impostor.sign = signed  # the old key is no longer good
    for _ in range(20):
        with pytest.raises(Untrusted, match="invalid_key_id"):
            await redeemed(provider, impostor)
    assert (impostor.asked["configuration"], impostor.asked["keys"]) == (1, 2)
    impostor.keys = [SIGNING]
    clock.at_s += KEPT_S
    assert (await redeemed(provider, impostor)).subject == "ada"
    assert (impostor.asked["configuration"], impostor.asked["keys"]) == (2, 3)


async def test_so_many_codes_are_redeemed_at_once(impostor: Impostor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(web.provider, "AT_ONCE", 1)
    provider = Provider(Relying(impostor.issuer, CLIENT, SECRET))
    both = await asyncio.gather(*(redeemed(provider, impostor) for _ in range(2)), return_exceptions=True)
    assert [type(each) for each in both] == [Vouched, Unreachable]
    assert impostor.asked["token"] == 1
    assert (await redeemed(provider, impostor)).subject == "ada"


async def test_a_key_that_is_none_shuts_out_no_other(impostor: Impostor) -> None:
    whole = KeySet([SIGNING]).as_dict(private=False)["keys"]
    for odd in (
        {"kty": "EC", "kid": "odd"},
        {"kty": "PQ"},
        {"kty": "EC", "crv": "P-1", "x": "A", "y": "A"},
        "odd",
        None,
    ):
        impostor.published = {"keys": [odd, *whole]}
        assert (await redeemed(Provider(Relying(impostor.issuer, CLIENT, SECRET)), impostor)).subject == "ada"
    useless: list[Claims] = [{"keys": [{"kty": "EC"}]}, {"keys": []}, {"keys": 1}, {}]
    for impostor.published in useless:
        with pytest.raises(Unreachable, match="its keys are malformed"):
            await redeemed(Provider(Relying(impostor.issuer, CLIENT, SECRET)), impostor)


def test_google_vouches_for_its_own_addresses_alone() -> None:
    provider = Provider(Relying("https://accounts.google.com", CLIENT, SECRET, trusts_email=True))
    for email, hosted, is_vouched in (
        ("ada@Gmail.com", None, True),
        ("ada@example.com", "Example.com", True),
        ("ada@example.com", None, False),
        ("ada@example.com", "example.org", False),
        ("ada@example.com", 1, False),
        ("ada@sub.example.com", "example.com", False),
    ):
        claims = {"sub": "ada", "email": email, "email_verified": True, "hd": hosted}
        assert (provider._vouched(claims).email is not None) == is_vouched, claims  # noqa: SLF001 - Google itself is far


async def test_claims_that_the_id_token_leaves_out_are_asked_for(impostor: Impostor) -> None:
    relying = Relying(impostor.issuer, CLIENT, SECRET, email_claim="upn", trusts_email=True)
    provider = Provider(relying)
    impostor.claimed = {"email_verified": None}
    impostor.userinfo = {"sub": "ada", "upn": "a.okafor@example.com", "name": "A. Okafor", "aud": "another"}
    assert await redeemed(provider, impostor) == Vouched(impostor.issuer, "ada", "a.okafor@example.com", "A. Okafor")
    impostor.userinfo["email_verified"] = False
    assert (await redeemed(provider, impostor)).email is None
    # What it says is verified is `email`, and no other claim.
    impostor.userinfo["email_verified"] = True
    assert (await redeemed(provider, impostor)).email == "a.okafor@example.com"
    suspicious = Provider(replace(relying, trusts_email=False))
    assert (await redeemed(suspicious, impostor)).email is None
    impostor.userinfo["sub"] = "another"
    with pytest.raises(Untrusted, match="not about whom"):
        await redeemed(provider, impostor)
    impostor.claimed["upn"] = ADA
    impostor.asked.clear()
    assert (await redeemed(provider, impostor)).email == ADA
    assert "userinfo" not in impostor.asked


async def test_a_provider_is_what_the_settings_call_it(impostor: Impostor) -> None:
    for told, why in (
        ({"issuer": f"{impostor.issuer}/"}, "calls itself otherwise"),
        ({"issuer": None}, "calls itself otherwise"),
        ({"token_endpoint": "http://id.example.com/token"}, "`token_endpoint`"),
        ({"authorization_endpoint": "javascript:alert(1)"}, "`authorization_endpoint`"),
        ({"jwks_uri": 1}, "`jwks_uri`"),
        ({"userinfo_endpoint": "https://me@id.example.com/"}, "`userinfo_endpoint`"),
    ):
        impostor.told = told
        with pytest.raises(Unreachable, match=why):
            await Provider(Relying(impostor.issuer, CLIENT)).address(HERE, "state", "nonce", "v" * 43)


async def test_a_provider_that_does_not_answer_is_spared(impostor: Impostor) -> None:
    provider = Provider(Relying(f"{impostor.issuer}/nowhere", CLIENT), clock := Clock())
    for _ in range(3):
        with pytest.raises(Unreachable):
            await provider.address(HERE, "state", "nonce", "v" * 43)
    clock.at_s += SPARED_S
    with pytest.raises(Unreachable, match="status 404"):
        await provider.address(HERE, "state", "nonce", "v" * 43)
    gone = Provider(Relying("http://127.0.0.1:1", CLIENT))
    with pytest.raises(Unreachable, match="it did not answer"):
        await gone.address(HERE, "state", "nonce", "v" * 43)
