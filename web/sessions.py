"""The console's session: `POST /session` signs a browser in by cookie, `DELETE /session` signs it out.

Both are for this server's own pages: scripts sign in by the `signIn` mutation and get a bearer.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any, Protocol

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import Invalid, RateLimited, Refusal
from resolvers.callers import Caller, Request
from schema.context import Context
from web.bodies import read_json, reply, reply_errors, reply_failed
from web.credentials import Gate, Presented
from web.errors import RejectedError, RequestError, refused, retry_header
from web.execution import Engine, Parameters

BODY_LIMIT_BYTES = 16 << 10
VIEWER = "{ viewer { member { id name email } account { key name } } }"
"""What a page is told about whom it just signed in."""

_STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "CONFLICT": 409, "RATE_LIMITED": 429}


class SignedIn(Protocol):
    """What signing in comes to, as far as a cookie is concerned."""

    @property
    def secret(self) -> str | None:
        """The session's bearer."""
        ...


class Sessions:
    """Answers requests to `/session`. Signing in makes a new session and ends the one that the browser had."""

    def __init__(
        self,
        engine: Engine,
        gate: Gate,
        *,
        sign_in: Callable[[Request, str, str, str | None], Awaitable[SignedIn]],
        sign_out: Callable[[Caller], Awaitable[object]],
        note_device: Callable[[Caller], str],
    ) -> None:
        engine.learn(VIEWER)
        self._engine = engine
        self._gate = gate
        self._sign_in = sign_in
        self._sign_out = sign_out
        self._note_device = note_device

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see ASGI."""
        http = HTTPRequest(scope, receive)
        request = self._gate.request_of(http)
        try:
            response = await answered(self._answer(http, request), request)
        except ClientDisconnect:
            return
        await response(scope, receive, send)

    async def _answer(self, http: HTTPRequest, request: Request) -> Response:
        if http.method not in {"POST", "DELETE"}:
            raise RejectedError(405, "sign in by POST, sign out by DELETE", headers={"Allow": "POST, DELETE"})
        self._gate.guard(http.headers)
        if http.method == "DELETE":
            return await self._ended(http, request)
        return await self._begun(http, request)

    async def _begun(self, http: HTTPRequest, request: Request) -> Response:
        body = await read_json(http, BODY_LIMIT_BYTES)
        if not isinstance(body, dict):
            raise RejectedError(400, "the body must be a JSON object")
        account = body.get("account")
        if not isinstance(account, str | None):
            raise Invalid("account", "must be a string or null")
        request = replace(request, device=self._gate.device_in(http))
        signed_in = await self._sign_in(request, _text(body, "email"), _text(body, "password"), account)
        await self.end(http, request)  # the browser forgets it, and nobody is to go on with it
        secret = signed_in.secret or ""
        caller = await self._gate.caller_of(Presented(secret), request)
        viewer = await self._viewer(Context(request, caller))
        response = reply({"viewer": viewer}, request.id, headers={"Set-Cookie": self._gate.cookie(secret)})
        if caller is not None:
            response.headers.append("Set-Cookie", self._gate.device_cookie(self._note_device(caller)))
        return response

    async def _viewer(self, context: Context) -> Any:  # noqa: ANN401 - as GraphQL answers
        """Tell whom it is that is signed in; None where that cannot be told now, which keeps nobody out."""
        try:
            answer = await self._engine.run(await self._engine.prepare(Parameters(VIEWER, None, None), context))
        except (RequestError, RateLimited):
            return None
        return answer["data"]["viewer"]

    async def _ended(self, http: HTTPRequest, request: Request) -> Response:
        """Sign the browser out."""
        await self.end(http, request)
        return reply(None, request.id, status=204, headers={"Set-Cookie": self._gate.cookie("")})

    async def end(self, http: HTTPRequest, request: Request) -> None:
        """End the session that a browser has, if it has one."""
        with suppress(Refusal):  # what is dead, or no session, is as good as ended
            caller = await self._gate.caller_of(self._gate.in_cookie(http), request)
            if caller is not None:
                await self._sign_out(caller)


async def answered(answering: Awaitable[Response], request: Request) -> Response:
    """Await an answer, or make one of what went wrong. Raises `ClientDisconnect` where there is nobody to answer."""
    try:
        return await answering
    except ClientDisconnect:
        raise
    except RejectedError as error:
        return reply_errors(error.errors, request.id, status=error.status, headers=error.headers)
    except RequestError as error:
        headers = retry_header(error.errors[0])
        return reply_errors(error.errors, request.id, status=error.status, headers=headers)
    except Refusal as error:
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, RateLimited) else {}
        status = _STATUS.get(error.code, 400)
        return reply_errors([refused(error)], request.id, status=status, headers=headers)
    except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
        return reply_failed(error, request.id)


def _text(body: dict[str, Any], field: str) -> str:
    value = body.get(field)
    if not isinstance(value, str) or not value:
        raise Invalid(field, "must be a string that is not empty")
    return value
