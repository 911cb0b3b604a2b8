"""The OpenID provider: what it says of itself, the keys that it signs with, and whom it vouches for.

All of it is asked for when somebody signs in, and kept for a while, so that the server starts without the provider.
What the provider proves, Authlib and joserfc decide.
"""

import asyncio
import re
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus

import httpcore2
import orjson
from authlib.oauth2.auth import ClientAuth  # type: ignore[import-untyped]
from authlib.oauth2.rfc6749.parameters import (  # type: ignore[import-untyped]
    prepare_grant_uri,
    prepare_token_request,
)
from authlib.oauth2.rfc7636 import create_s256_code_challenge  # type: ignore[import-untyped]
from authlib.oidc.core import CodeIDToken  # type: ignore[import-untyped]
from authlib.oidc.discovery import get_well_known_url  # type: ignore[import-untyped]
from joserfc import jwt
from joserfc.errors import ClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from resolvers.identities import Vouched
from web.openid import Relying, Unreachable, Untrusted, is_private

TIMEOUT_S = 10
MOST_BYTES = 1 << 20
"""Of one answer."""
KEPT_S = 60 * 60
"""How long what the provider says of itself, and its keys, are taken for true."""
SPARED_S = 5
"""How long it is not asked again once it did not answer."""
RENEWED_AFTER_S = 60
"""How old its keys are at least when they are asked for again because of one that is unknown."""
LEEWAY_S = 60
"""How far its clock may differ from ours."""
AT_ONCE = 20
"""How many codes are redeemed at a time; whoever comes back meanwhile begins anew."""
SCOPE = "openid email profile"
ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512")
"""By which ID tokens may be signed: with no secret that we know as well, and never by none."""
LONGEST_SUBJECT = 255
"""As OpenID Connect has it."""
GOOGLE = "https://accounts.google.com"
GOOGLES_DOMAIN = "gmail.com"

Claims = Mapping[str, Any]

_ERROR = re.compile(r"[a-z_]{1,64}")


@dataclass(frozen=True, slots=True)
class _Endpoints:
    """What the provider says of itself, as far as we ask it."""

    authorization: str
    token: str
    keys: str
    userinfo: str | None
    names_itself: bool
    """Whether it sends browsers back with its name, as RFC 9207 has it."""
    by_body: bool
    """Whether it takes our secret in a body alone."""

    @classmethod
    def read(cls, told: Claims, issuer: str) -> "_Endpoints":
        """Read the discovery document. Raises `Unreachable`."""
        if told.get("issuer") != issuer:
            raise Unreachable("it calls itself otherwise than the settings do, to the letter")
        methods = told.get("token_endpoint_auth_methods_supported")
        by_body = isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods
        return cls(
            _endpoint(told, "authorization_endpoint"),
            _endpoint(told, "token_endpoint"),
            _endpoint(told, "jwks_uri"),
            _endpoint(told, "userinfo_endpoint") if "userinfo_endpoint" in told else None,
            told.get("authorization_response_iss_parameter_supported") is True,
            by_body,
        )


def _endpoint(told: Claims, name: str) -> str:
    url = told.get(name)
    if not isinstance(url, str) or not is_private(url):
        raise Unreachable(f"its `{name}` is missing, or does not begin with `https://`")
    return url


class Provider:
    """The provider that members sign in through."""

    def __init__(self, relying: Relying, clock_s: Callable[[], float] = time.monotonic) -> None:
        self.relying = relying
        self._clock_s = clock_s
        self._tls = httpcore2.default_ssl_context()
        self._turn = asyncio.Lock()
        self._redeeming = asyncio.Semaphore(AT_ONCE)
        self._endpoints: _Endpoints | None = None
        self._keys: KeySet | None = None
        self._endpoints_at_s = self._keys_at_s = 0.0
        self._spared_until_s = 0.0

    async def address(self, redirect_uri: str, state: str, nonce: str, verifier: str) -> str:
        """Tell where a browser signs in, by the code flow with PKCE. Raises `Unreachable`."""
        endpoints = await self._known()
        url: str = prepare_grant_uri(
            endpoints.authorization,
            self.relying.client_id,
            "code",
            redirect_uri,
            SCOPE,
            state,
            nonce=nonce,
            code_challenge=create_s256_code_challenge(verifier),
            code_challenge_method="S256",
        )
        return url

    async def sent_back(self, issuer: str | None) -> None:
        """Take the name that a browser was sent back with. Raises `Untrusted` if that is another provider's."""
        if issuer != self.relying.issuer and (issuer is not None or (await self._known()).names_itself):
            raise Untrusted("the browser comes from another provider")

    async def redeem(self, code: str, redirect_uri: str, nonce: str, verifier: str) -> Vouched:
        """Learn for a code whom the provider vouches for. Raises `Unreachable` and `Untrusted`."""
        if self._redeeming.locked():
            raise Unreachable("too many come back from it at once")
        async with self._redeeming:
            return self._vouched(await self._claims(code, redirect_uri, nonce, verifier))

    async def _claims(self, code: str, redirect_uri: str, nonce: str, verifier: str) -> Claims:
        endpoints = await self._known()
        answer = await self._redeemed(endpoints, code, redirect_uri, verifier)
        id_token, access_token = answer.get("id_token"), answer.get("access_token")
        if not isinstance(id_token, str) or not isinstance(access_token, str):
            raise Untrusted("there is no ID token, or no access token")
        claims = await self._verified(endpoints, id_token, nonce, access_token)
        if self.relying.email_claim not in claims and endpoints.userinfo is not None:
            claims = {**claims, **await self._userinfo(endpoints.userinfo, access_token, claims["sub"])}
        return claims

    async def _redeemed(self, endpoints: _Endpoints, code: str, redirect_uri: str, verifier: str) -> Claims:
        headers = {"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}
        body = prepare_token_request("authorization_code", redirect_uri=redirect_uri, code=code, code_verifier=verifier)
        url, headers, body = self._authenticated(endpoints, headers, body)
        status, answer = await self._ask("POST", url, headers, body.encode())
        if status != 200:  # noqa: PLR2004 - the HTTP status
            error = answer.get("error")
            said = error if isinstance(error, str) and _ERROR.fullmatch(error) else f"status {status}"
            raise Untrusted(f"the provider does not take the code: {said}")
        return answer

    def _authenticated(self, endpoints: _Endpoints, headers: dict[str, str], body: str) -> tuple[str, Any, str]:
        """Say in a request who we are."""
        client_id, secret = self.relying.client_id, self.relying.client_secret
        if secret is None:
            auth = ClientAuth(client_id, None, "none")
        elif endpoints.by_body:
            auth = ClientAuth(client_id, secret, "client_secret_post")
        else:  # RFC 6749 has both encoded before they are joined; Authlib does not
            auth = ClientAuth(quote_plus(client_id), quote_plus(secret), "client_secret_basic")
        url, headers, body = auth.prepare("POST", endpoints.token, headers, body)
        return url, headers, body

    async def _verified(self, endpoints: _Endpoints, id_token: str, nonce: str, access_token: str) -> Claims:
        """Check an ID token as OpenID Connect Core 3.1.3.7 has it: its signature, then what it claims."""
        relying = self.relying
        wanted = {
            "iss": {"essential": True, "value": relying.issuer},
            "aud": {"essential": True, "value": relying.client_id},
        }
        proof = {"nonce": nonce, "client_id": relying.client_id, "access_token": access_token}
        try:
            token = await self._signed(endpoints, id_token)
            claims = CodeIDToken(token.claims, token.header, wanted, proof)
            claims.validate(leeway=LEEWAY_S)
        except ClaimError as error:
            raise Untrusted(f"the ID token does not hold: {error.error} `{error.claim}`") from None
        except JoseError as error:
            raise Untrusted(f"the ID token does not hold: {error.error}") from None
        except (ValueError, TypeError, AttributeError):
            raise Untrusted("the ID token is malformed") from None
        if not 0 < len(claims["sub"]) <= LONGEST_SUBJECT:
            raise Untrusted("the ID token does not hold: invalid_claim `sub`")
        return dict(claims)

    async def _signed(self, endpoints: _Endpoints, id_token: str) -> jwt.Token:
        registry = JWSRegistry(algorithms=ALGORITHMS, strict_check_header=False)
        try:
            return jwt.decode(id_token, await self._signing_keys(endpoints), registry=registry)
        except InvalidKeyIdError:
            renewed = await self._signing_keys(endpoints, kept_s=RENEWED_AFTER_S)
            return jwt.decode(id_token, renewed, registry=registry)

    async def _userinfo(self, url: str, access_token: str, subject: str) -> Claims:
        """Ask for the claims that an ID token leaves out, as it may."""
        headers = {"Accept": "application/json", "Authorization": f"Bearer {access_token}"}
        status, told = await self._ask("GET", url, headers)
        if status != 200 or told.get("sub") != subject:  # noqa: PLR2004 - the HTTP status
            raise Untrusted("what the provider tells is not about whom the ID token is about")
        wanted = (self.relying.email_claim, "email_verified", "hd", "name")
        return {name: told[name] for name in wanted if name in told}

    def _vouched(self, claims: Claims) -> Vouched:
        email, name = claims.get(self.relying.email_claim), claims.get("name")
        return Vouched(
            self.relying.issuer,
            claims["sub"],
            email if isinstance(email, str) and self._is_vouched(email, claims) else None,
            name if isinstance(name, str) else None,
        )

    def _is_vouched(self, email: str, claims: Claims) -> bool:
        verified = claims.get("email_verified")
        if self.relying.issuer == GOOGLE and not _is_googles(email, claims.get("hd")):
            return False
        if verified is True and self.relying.email_claim != "email":
            verified = None  # it is about `email`, and says nothing of any other claim
        return verified is True or (verified is None and self.relying.trusts_email)

    async def _known(self) -> _Endpoints:
        async with self._turn:  # whoever comes meanwhile waits for the answer that is under way
            at_s = self._clock_s()
            if self._endpoints is None or at_s >= self._endpoints_at_s + KEPT_S:
                url = get_well_known_url(self.relying.issuer, external=True)
                self._endpoints = _Endpoints.read(await self._told(url), self.relying.issuer)
                self._endpoints_at_s = at_s
            return self._endpoints

    async def _signing_keys(self, endpoints: _Endpoints, kept_s: float = KEPT_S) -> KeySet:
        async with self._turn:
            at_s = self._clock_s()
            if self._keys is None or at_s >= self._keys_at_s + kept_s:
                self._keys = _usable(await self._told(endpoints.keys))
                self._keys_at_s = at_s
            return self._keys

    async def _told(self, url: str) -> Claims:
        """Ask what everybody may know. Once there was no answer, it is spared for a while."""
        if self._clock_s() < self._spared_until_s:
            raise Unreachable("it did not answer a moment ago")
        try:
            status, told = await self._ask("GET", url, {"Accept": "application/json"})
            _require_success(status)
        except Unreachable:
            self._spared_until_s = self._clock_s() + SPARED_S
            raise
        return told

    async def _ask(self, method: str, url: str, headers: Mapping[str, str], body: bytes = b"") -> tuple[int, Claims]:
        """Ask the provider over a connection of its own, following no redirect; its answer is a JSON object."""
        received = bytearray()
        try:
            async with (
                asyncio.timeout(TIMEOUT_S),
                httpcore2.AsyncConnectionPool(ssl_context=self._tls) as pool,
                pool.stream(
                    method, url, headers=[("user-agent", "Latchkey"), *headers.items()], content=body
                ) as answer,
            ):
                async for chunk in answer.aiter_stream():
                    received += chunk
                    if len(received) > MOST_BYTES:
                        raise Unreachable("it answers with too much")
                status = answer.status
        except (TimeoutError, httpcore2.TimeoutException):
            raise Unreachable(f"there was no answer within {TIMEOUT_S} s") from None
        except httpcore2.NetworkError as error:
            raise Unreachable(f"it did not answer: {str(error) or type(error).__name__}") from None
        except httpcore2.ProtocolError:
            raise Unreachable("it did not answer as HTTP has it") from None
        if status >= 500:  # noqa: PLR2004 - the HTTP status
            raise Unreachable(f"it answers with status {status}")
        try:
            told = orjson.loads(received)
        except orjson.JSONDecodeError:
            told = None
        if not isinstance(told, dict):
            raise Unreachable(f"it answers with status {status} and no JSON object")
        return status, told


def _usable(told: Claims) -> KeySet:
    """Take the keys that are any we know of; one that is not shuts out none but itself. Raises `Unreachable`."""
    listed, keys = told.get("keys"), []
    for each in listed if isinstance(listed, list) else []:
        with suppress(JoseError, ValueError, TypeError, KeyError, AttributeError):
            keys += KeySet.import_key_set({"keys": [each]}).keys
    if not keys:
        raise Unreachable("its keys are malformed")
    return KeySet(keys)


def _is_googles(email: str, hosted: object) -> bool:
    """Say whether an address is Google's to vouch for; of others it knows only that somebody once read mail there.

    See https://developers.google.com/identity/gsi/web/guides/verify-google-id-token.
    """
    domain = email.rpartition("@")[2].lower()
    return domain == GOOGLES_DOMAIN or (isinstance(hosted, str) and domain == hosted.lower())


def _require_success(status: int) -> None:
    if status != 200:  # noqa: PLR2004 - the HTTP status
        raise Unreachable(f"it answers with status {status}")
