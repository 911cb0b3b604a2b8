"""Signing in through the OpenID provider; docs/sign-in.md is its manual.

`POST /sign-in/oidc` tells one of our pages where to send its browser, and `GET /sign-in/oidc` is where that comes back.
What ties the two together is a cookie that nobody but that browser has, so nothing is kept here meanwhile.
"""

import hmac
import logging
import secrets
import time
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import Conflict, Invalid, RateLimited, Unauthenticated
from core.secret import ServerKeys
from resolvers.callers import Request
from resolvers.identities import SomebodyElse, Unvouched, Vouched
from resolvers.input import KEY
from web.bodies import NO_STORE, REQUEST_ID, Reply, read_json, reply
from web.credentials import Gate
from web.errors import RejectedError, masked
from web.openid import Unreachable, Untrusted
from web.sessions import BODY_LIMIT_BYTES, SignedIn, answered

if TYPE_CHECKING:
    from web.provider import Provider

PATH = "/sign-in/oidc"
LIFETIME_S = 10 * 60
"""How long somebody may take at the provider."""
LONGEST = 4096
"""Characters of a code."""

_log = logging.getLogger(__name__)


class Stale(Exception):
    """This browser has not begun to sign in, or too long ago, or once more since."""


class Cancelled(Exception):
    """The provider sends the browser back without a code: whoever was there did not want to, or may not."""


_WORDS: dict[type[Exception], str] = {
    Unvouched: "unverified",
    SomebodyElse: "somebody-else",
    Unauthenticated: "refused",
    RateLimited: "too-often",
    Unreachable: "unreachable",
    Untrusted: "untrusted",
    Stale: "stale",
    Cancelled: "cancelled",
}
"""By what the console's page knows why somebody did not come in; the first that fits."""


@dataclass(frozen=True, slots=True)
class Errand:
    """A way to the provider and back that a browser is on, as its cookie tells it: by a secret, all else follows."""

    chance: str = field(repr=False)
    until_s: int
    account: str = ""

    @classmethod
    def begun(cls, account: str | None) -> "Errand":
        """Begin one, to an account if one was said."""
        now_s = int(time.time())  # nosemgrep: one-clock - a cookie's, kept nowhere
        return cls(secrets.token_urlsafe(32), now_s + LIFETIME_S, account or "")

    @classmethod
    def read(cls, text: str, keys: ServerKeys) -> "Errand":
        """Read a cookie. Raises `Stale` for one that is over, or was not made here."""
        told, _, signature = text.rpartition(":")
        try:
            chance, until_s, account = told.split(":")
            errand = cls(chance, int(until_s), account)
            is_ours = keys.signed(_signed(told), bytes.fromhex(signature))
        except ValueError:
            raise Stale from None
        if not is_ours or errand.until_s <= time.time():  # nosemgrep: one-clock - as above
            raise Stale
        return errand

    def cookie(self, keys: ServerKeys) -> str:
        """Write what `read` reads."""
        told = f"{self.chance}:{self.until_s}:{self.account}"
        return f"{told}:{keys.sign(_signed(told)).hex()}"

    @property
    def state(self) -> str:
        """What the browser is to bring back."""
        return self._derived(b"state")

    @property
    def nonce(self) -> str:
        """What the ID token is to repeat."""
        return self._derived(b"nonce")

    @property
    def verifier(self) -> str:
        """What only we know when the code is redeemed."""
        return self._derived(b"verifier")

    def _derived(self, purpose: bytes) -> str:
        return urlsafe_b64encode(hmac.digest(self.chance.encode(), purpose, "sha256")).rstrip(b"=").decode()


def _signed(told: str) -> bytes:
    return f"oidc errand\n{told}".encode()


class Enter(Protocol):
    """Signs in whom a provider vouches for, to an account if one is said."""

    def __call__(self, request: Request, vouched: Vouched, account_key: str | None) -> Awaitable[SignedIn]:
        """Sign in; see `resolvers.identities`."""
        ...


class Oidc:
    """Answers requests to `/sign-in/oidc`."""

    def __init__(
        self,
        gate: Gate,
        provider: "Provider",
        enter: Enter,
        end: Callable[[HTTPRequest, Request], Awaitable[None]],
    ) -> None:
        self._gate = gate
        self._provider = provider
        self._enter = enter
        self._end = end

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see ASGI."""
        http = HTTPRequest(scope, receive)
        request = self._gate.request_of(http)
        try:
            if http.method == "GET":
                response = await self._returned(http, request)
            else:
                response = await answered(self._begun(http, request), request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _begun(self, http: HTTPRequest, request: Request) -> Response:
        """Tell the page where its browser signs in, and give the browser what it is known by when it comes back."""
        if http.method != "POST":
            raise RejectedError(405, "begin by POST, come back by GET", headers={"Allow": "GET, POST"})
        self._gate.guard(http.headers)
        body = await read_json(http, BODY_LIMIT_BYTES)
        account = body.get("account") if isinstance(body, dict) else None
        if account is not None and not (isinstance(account, str) and KEY.fullmatch(account)):
            raise Invalid("account", "must be the key of an account, or null")
        errand = Errand.begun(account)
        try:
            url = await self._provider.address(self._here, errand.state, errand.nonce, errand.verifier)
        except Unreachable as error:
            self._note(request, error)
            message = f"{self._provider.relying.name} does not answer; try again in a moment"
            raise RejectedError(503, message, "UNAVAILABLE", {"Retry-After": "5"}) from None
        await self._end(http, request)  # now, for from elsewhere the browser does not bring its cookie along
        cookie = self._gate.errand_cookie(errand.cookie(request.house.keys), LIFETIME_S)
        return reply({"url": url}, request.id, headers={"Set-Cookie": cookie})

    async def _returned(self, http: HTTPRequest, request: Request) -> Response:
        """Sign the browser in and lead it to the console, or to where that says why not: never anywhere else."""
        cookies, place = [self._gate.errand_cookie("", 0)], "/"
        try:
            cookies.append(self._gate.cookie((await self._entered(http, request)).secret or ""))
        except Conflict as several:
            place = f"/#/sign-in/several/{'/'.join(_accounts(several))}"
        except tuple(_WORDS) as error:
            self._note(request, error)
            place = f"/#/sign-in/{next(word for kind, word in _WORDS.items() if isinstance(error, kind))}"
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            masked(error, request.id)
            place = "/#/sign-in/failed"
        headers = [NO_STORE, (b"referrer-policy", b"no-referrer"), (b"location", place.encode())]
        headers += [(b"set-cookie", cookie.encode()) for cookie in cookies]
        return Reply(b"", 303, [*headers, (b"content-length", b"0"), (REQUEST_ID, request.id.encode())])

    async def _entered(self, http: HTTPRequest, request: Request) -> SignedIn:
        errand = Errand.read(self._gate.errand_in(http) or "", request.house.keys)
        if not hmac.compare_digest(_only(http, "state").encode(), errand.state.encode()):
            raise Stale
        if "error" in http.query_params:
            raise Cancelled
        code = _only(http, "code")
        # Whoever comes back too often in vain has the provider asked in vain.
        with request.house.attempts.returning(request.address) as attempt:
            try:
                await self._provider.sent_back(http.query_params.get("iss"))
                vouched = await self._provider.redeem(code, self._here, errand.nonce, errand.verifier)
                return await self._enter(request, vouched, errand.account or None)
            except (Unreachable, Conflict):
                attempt.is_failure = False  # not of whoever came back
                raise

    def _note(self, request: Request, error: Exception) -> None:
        """Tell the log what went wrong between the provider and us: nothing of what the provider said about anybody."""
        if isinstance(error, Unreachable | Untrusted):
            _log.warning("request %s could not sign in through the OpenID provider: %s", request.id, error)

    @property
    def _here(self) -> str:
        return f"{self._gate.public_url.rstrip('/')}{PATH}"


def _accounts(several: Conflict) -> list[str]:
    """List the keys of the accounts of which one is to be said."""
    accounts = several.extensions.get("accounts")
    return accounts if isinstance(accounts, list) else []


def _only(http: HTTPRequest, name: str) -> str:
    """Take a parameter that is there once, as short as it is."""
    values = http.query_params.getlist(name)
    if len(values) != 1 or not 0 < len(values[0]) <= LONGEST:
        raise Stale
    return values[0]


def ways(gate: Gate, provider_name: str | None, *, passwords: bool) -> Callable[[HTTPRequest], Awaitable[Response]]:
    """Make the endpoint that tells the console's page how members sign in here."""

    async def answer(http: HTTPRequest) -> Response:
        return reply({"password": passwords, "provider": provider_name}, gate.request_of(http).id)

    return answer
