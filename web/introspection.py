"""`POST /oauth2/introspect`, token introspection as RFC 7662 has it; docs/introspection.md is its manual.

Every malformed request is a 400 `invalid_request`, its media type included: OAuth clients know no other code for it.
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl, unquote_plus

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import Forbidden, Invalid, RateLimited, Retired, Unauthenticated
from core.ids import global_id
from core.vocabulary import Action
from models import Token, TokenKind
from resolvers.access import Asked, Question
from resolvers.callers import Caller, Request, lease, recognised, use_of
from resolvers.house import House
from resolvers.scope_words import scope_words
from resolvers.verification import Verified, recall, require_verifier, verify, verifying
from web import deprecations
from web.answers import Answer, Heard, Party, Settled
from web.bodies import NO_STORE, NOSNIFF, read_body, reply
from web.credentials import Gate, Presented, decoded
from web.errors import RejectedError, masked
from web.media import MediaType
from web.rates import told

PATH = "/oauth2/introspect"
READ = frozenset({b"authorization", b"content-encoding", b"content-type", b"user-agent", b"x-forwarded-for"})
BODY_LIMIT_BYTES = 64 << 10
MAX_PARAMETERS = 32
FORM = "application/x-www-form-urlencoded"
REALM = 'realm="latchkey"'
_UNTOLD = re.compile(r"[^ !#-\[\]-~]")  # what RFC 6749 does not let stand in an `error_description`
_NOT_KEPT = {"Pragma": "no-cache"}  # beside `Cache-Control`, for what is older than HTTP/1.1
_HEADERS = (
    NO_STORE,
    (b"pragma", b"no-cache"),
    NOSNIFF,
    (b"content-type", b"application/json; charset=utf-8"),
)
_INACTIVE = b'{"active":false}'


class RefusedError(Exception):
    """An answer that is no introspection: a status, what the body says and the challenges that go with it."""

    def __init__(
        self,
        status: int,
        error: str | None = None,
        description: str | None = None,
        *challenges: str,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(error)
        said = {"error": error, "error_description": _UNTOLD.sub("?", description or "")}
        self.status = status
        self.body = {key: value for key, value in said.items() if value}
        self.challenges = challenges
        self.retry_after_s = retry_after_s


_INVALID_CLIENT = RefusedError(401, "invalid_client", None, f"Basic {REALM}")


class Introspection:
    """Answers requests to `/oauth2/introspect`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see ASGI."""
        http = HTTPRequest(scope, receive)
        request = self._gate.request_of(http)
        try:
            answer = await self._answer(http, request)
        except ClientDisconnect:
            return
        except RefusedError as refused:
            await _refusal(refused, request)(scope, receive, send)
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            await _refusal(_failed(error, request), request)(scope, receive, send)
        else:
            headers = (*told(request.standings), *deprecations.told(request.deprecations))
            await answer.beside(headers).send(send, request.id)

    def at_once(self, heard: Heard) -> Settled | None:
        """Answer about a living token if memory knows all that decides; see `web.answers.Prompt`."""
        headers = Headers(raw=list(heard.headers))
        _require_form(heard.method, headers, heard.query)
        presented = _Presented.by(headers)
        address, agent = self._gate.whence(heard.peer, headers)
        asker = recognised(presented.secret, self._house, address)
        if asker is None or asker.is_counted or not presented.fits(asker):
            return None
        asked = _Asked.of(heard.body, asker)
        verified = recall(asker, asked.token, asked.address, asked.questions)
        if verified is None:
            return None
        answer = _active(verified).beside(deprecations.told(asker.deprecations))
        subject = verified.subject
        settled = Settled(
            answer,
            (
                Party(lease(asker), use_of(asker, address, agent, (verifying(asker),))),
                Party(lease(subject), use_of(subject, subject.request.address, None, verified.answers.deeds)),
            ),
            verified.refusal,
        ).note()
        return settled if verified.cache_until is None else Settled(answer)

    @cached_property
    def _house(self) -> House:
        return self._gate.asking("", None, None).house  # there is one, whoever asks

    async def _answer(self, http: HTTPRequest, request: Request) -> Answer:
        if http.method != "POST":
            raise RefusedError(405, "invalid_request", "tokens are introspected by POST")
        caller = await self._caller(_Presented.by(http.headers), request)
        try:
            require_verifier(caller)
            _require_form(http.method, http.headers, http.scope["query_string"])
            asked = _Asked.of(await _body(http), caller)
            verified = await verify(caller, asked.token, asked.address, asked.questions)
        except Forbidden:
            lacking = f'{REALM}, error="insufficient_scope", scope="{Action.VERIFY_ACCESS_TOKEN.value}"'
            raise RefusedError(403, "insufficient_scope", None, f"Bearer {lacking}") from None
        except Invalid as problem:
            raise _invalid(problem.message) from None
        except RateLimited as limited:  # of the token that is asked about: for the asker, as good as dead until then
            return _answer(orjson.dumps({"active": False, "retry_after": limited.retry_after_s}))
        return _answer(_INACTIVE) if verified is None else _active(verified)

    async def _caller(self, presented: "_Presented", request: Request) -> Caller:
        try:
            caller = await self._gate.caller_of(Presented(presented.secret), request)
        except Retired as retired:
            raise presented.refused(retired.message) from None
        except Unauthenticated:
            caller = None
        except RateLimited as limited:
            busy = "temporarily_unavailable"
            raise RefusedError(429, busy, limited.message, retry_after_s=limited.retry_after_s) from None
        if caller is None or not presented.fits(caller):
            raise presented.refused()
        return caller


@dataclass(frozen=True, slots=True)
class _Presented:
    """The credential of the one who asks: Basic or Bearer. No cookie counts here, and no bare secret."""

    secret: str
    user: str | None
    """With Basic: a service token's id."""

    @classmethod
    def by(cls, headers: Headers) -> "_Presented":
        """Read it. Raises `RefusedError`."""
        presented = headers.getlist("authorization")
        if len(presented) > 1:
            raise _invalid("more than one `Authorization` header")
        scheme, _, credential = decoded("".join(presented)).strip().partition(" ")
        match scheme.lower():
            case "basic":
                try:
                    user, secret = _basic(credential.strip())
                except Unauthenticated:
                    raise _INVALID_CLIENT from None
                return cls(secret, user)
            case "bearer":
                return cls(credential.strip(), None)
            case _:
                raise RefusedError(401, None, None, f"Basic {REALM}", f"Bearer {REALM}")

    def fits(self, caller: Caller) -> bool:
        """Say whether the secret's caller is the one who was named, if one was."""
        return self.user is None or _is_client(caller.token, self.user)

    def refused(self, why: str | None = None) -> RefusedError:
        """Say how it is refused if it does not work."""
        if self.user is not None:
            return _INVALID_CLIENT
        return RefusedError(401, "invalid_token", why, f'Bearer {REALM}, error="invalid_token"')


def _basic(credential: str) -> tuple[str, str]:
    """Read a user and a password, each form-urlencoded inside as RFC 6749 section 2.3.1 says."""
    try:
        user, colon, password = b64decode(credential, validate=True).decode().partition(":")
        if not colon:
            raise Unauthenticated
        return unquote_plus(user, errors="strict"), unquote_plus(password, errors="strict")
    except (NotBase64, ValueError):
        raise Unauthenticated from None


def _is_client(token: Token | None, user: str) -> bool:
    return (
        token is not None and token.kind is TokenKind.SERVICE and user in {str(token.id), global_id("Token", token.id)}
    )


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is asked about a token, by whom it was presented and what it wants to do if that is asked too."""

    token: str
    address: str | None
    questions: tuple[Question, ...]

    @classmethod
    def of(cls, body: bytes, caller: Caller) -> "_Asked":
        """Read the form. Raises `Invalid` and `RefusedError`."""
        form = _form(body)
        if "token" not in form:
            raise _invalid("`token` is needed")
        action, resource = form.get("action"), form.get("resource")
        questions: tuple[Question, ...] = ()
        if action is not None and resource is not None:
            questions = (Question(action, resource),)
            Asked.of(questions[0], caller.catalogue)  # a bad question is told before any token is looked up
        elif action is not None or resource is not None:
            raise _invalid(f"`{'resource' if resource is None else 'action'}` is needed beside the other")
        return cls(form["token"], form.get("address"), questions)


def _require_form(method: str, headers: Headers, query: bytes) -> None:
    """Raise `RefusedError` unless the body is a form, and the only place where something is asked."""
    if method != "POST":
        raise RefusedError(405, "invalid_request", "tokens are introspected by POST")
    kind = MediaType.parse(headers.get("content-type", ""))
    if kind.name != FORM or not kind.is_utf8 or headers.get("content-encoding", "identity") != "identity":
        raise _invalid(f"the body must be `{FORM}` in UTF-8, not compressed")
    if query:
        raise _invalid("parameters stand in the body, never in the URL, which many write down")


async def _body(http: HTTPRequest) -> bytes:
    try:
        return await read_body(http, BODY_LIMIT_BYTES)
    except RejectedError as error:
        raise RefusedError(error.status, "invalid_request", str(error)) from None


def _form(body: bytes) -> Mapping[str, str]:
    """Read a form in UTF-8. What has no value is left out, as RFC 6749 section 3.2 says."""
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=MAX_PARAMETERS)
    except ValueError:
        raise _invalid(f"the body must be a form in UTF-8 of at most {MAX_PARAMETERS} parameters") from None
    for name, count in Counter(name for name, _ in pairs).items():
        if count > 1:
            raise _invalid(f"`{name[:64]}` is given twice")
    return {name: value for name, value in pairs if value}


def _active(verified: Verified) -> Answer:
    return _answer(orjson.dumps(_members(verified)))


def _answer(body: bytes) -> Answer:
    length = (b"content-length", str(len(body)).encode())
    return Answer(200, (*_HEADERS, length), body, b"x-request-id")


def _members(verified: Verified) -> dict[str, Any]:
    """Tell what a living token is."""
    token, member = verified.token, verified.subject.member
    members = {
        "active": True,
        "scope": scope_words(verified.subject),
        "client_id": str(token.id),
        "username": (member.name or None) if member else None,
        "token_type": "Bearer",
        "exp": _epoch(verified.expires_at),
        "iat": _epoch(token.created_at),
        "sub": str(member.id if member else token.id),
        "iss": verified.subject.request.house.public_url,
        "jti": str(token.id),
        "account": verified.subject.account.key,
        "token_kind": token.kind.value,
        "cache_until": _epoch(verified.cache_until),
    }
    for since, ends_at in verified.subject.deprecations:
        members |= {"deprecation": _epoch(since), "sunset": _epoch(ends_at)}
    for index in range(len(verified.answers.questions)):
        members["allowed"] = verified.answers.allows(index)
        if not members["allowed"]:  # reasons take longer than a yes
            members["missing"] = [side.value for side in verified.answers.answer(index).verdict.missing]
    return {name: value for name, value in members.items() if value is not None}


def _epoch(at: datetime | None) -> int | None:
    """Give whole seconds since 1970, rounded down: what ends never ends later for it."""
    return int(at.timestamp()) if at else None


def _invalid(problem: str) -> RefusedError:
    return RefusedError(400, "invalid_request", problem)


def _failed(error: Exception, request: Request) -> RefusedError:
    problem = masked(error, request.id)
    wait_s = problem["extensions"].get("retryAfter")
    if wait_s is not None:
        return RefusedError(503, "temporarily_unavailable", problem["message"], retry_after_s=wait_s)
    return RefusedError(500, "server_error", f"{problem['message']}, request {request.id}")


def _refusal(refused: RefusedError, request: Request) -> Response:
    allow = {"Allow": "POST"} if refused.status == 405 else {}  # noqa: PLR2004 - the HTTP status
    response = reply(refused.body, request.id, status=refused.status, headers={**_NOT_KEPT, **allow})
    response.raw_headers += told(request.standings, refused.retry_after_s)
    response.raw_headers += deprecations.told(request.deprecations)
    for challenge in refused.challenges:
        response.headers.append("WWW-Authenticate", challenge)
    return response
