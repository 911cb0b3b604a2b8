"""GraphQL over HTTP, as the specification's draft has it, and over server-sent events where they are asked for first.

docs/specifications.md says what is followed.
"""

from collections.abc import Mapping
from functools import cached_property

import orjson
from graphql import OperationType
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send
from uuid_utils import uuid7

from core.errors import RateLimited, Unauthenticated
from resolvers.callers import Caller, Request, recognised, use_of
from resolvers.house import House
from schema.context import Context
from web import deprecations, events
from web.answers import Answer, Heard, Settled
from web.bodies import (
    NO_STORE,
    NOSNIFF,
    REQUEST_ID,
    Asked,
    Found,
    is_compressed,
    media_header,
    read_json,
    read_query,
    reply,
    reply_errors,
    reply_failed,
)
from web.credentials import MAX_CREDENTIAL_LENGTH, Gate, Presented
from web.errors import RejectedError, RequestError, barren, refused, retry_header
from web.events import EventStream
from web.execution import Engine, Operation, Parameters
from web.execution import Response as Content
from web.media import EVENT_STREAM, GRAPHQL_RESPONSE, JSON, is_json, negotiated, wants_page
from web.rates import told

METHODS = ("GET", "POST")


class Endpoint:
    """Answers HTTP requests to the GraphQL path."""

    def __init__(self, engine: Engine, gate: Gate, *, body_limit_bytes: int) -> None:
        self._engine = engine
        self._gate = gate
        self._body_limit_bytes = body_limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see ASGI."""
        http = Asked(scope, receive)
        request = self._gate.request_of(http)
        try:
            response = await self._answer(http, request)
        except ClientDisconnect:
            return
        if request.standings:
            response.raw_headers += told(request.standings)
        if request.deprecations:
            response.raw_headers[:0] = deprecations.told(request.deprecations)
        await response(scope, receive, send)

    def at_once(self, heard: Heard) -> Settled | None:
        """Answer a known query that waits for nothing and comes with a credential that memory knows.

        See `web.answers.Prompt`. The answer is for this request alone. A page of another origin is CORS's.
        """
        headers = Found(list(heard.headers))
        media = negotiated(tuple(headers.getlist("accept")))
        presented = headers.getlist("authorization")
        if heard.method != "POST" or len(presented) != 1 or headers.get("origin") is not None:
            return None
        if len(heard.body) > self._body_limit_bytes or is_compressed(headers):
            return None
        if media is None or media == EVENT_STREAM or not is_json(headers.get("content-type", "")):
            return None
        secret = Presented.in_header(presented[0]).secret
        address, agent = self._gate.whence(heard.peer, headers)
        known = recognised(secret, self._house, address) if len(secret) <= MAX_CREDENTIAL_LENGTH else None
        if known is None or known.is_counted:
            return None
        request = self._gate.asking(str(uuid7()), address, agent)
        content = self._run_at_once(known, request, heard.body)
        if content is None:
            return None
        body = orjson.dumps(content)
        shown = (NO_STORE, NOSNIFF, media_header(media), (b"content-length", b"%d" % len(body)))
        return Settled(Answer(200, (*deprecations.told(known.deprecations), *shown), body, REQUEST_ID, request.id))

    def _run_at_once(self, caller: Caller, request: Request, body: bytes) -> Content | None:
        """Run what a body asks and note the use that it is; None if it cannot be run at once: then nothing is noted."""
        use = use_of(caller, request.address, request.user_agent)
        request.uses.append(use)
        content: Content | None = None
        try:
            parameters = Parameters.parse(orjson.loads(body))
            content = self._engine.at_once(parameters, Context(request, caller.asking(request)))
        finally:
            if content is None:
                request.uses.clear()
                use.forget()
            else:
                use.note()
        return content

    @cached_property
    def _house(self) -> House:
        return self._gate.asking("", None, None).house  # there is one, whoever asks

    async def _answer(self, http: Asked, request: Request) -> Response:
        accept = tuple(http.headers.getlist("accept"))
        media = negotiated(accept)
        told = JSON if media is None else _read_by_all(media)
        try:
            if http.method == "GET" and wants_page(accept):
                return reply(None, request.id, status=303, headers={"Location": "/"})
            return await self._executed(http, request, media)
        except RejectedError as error:
            return reply_errors(error.errors, request.id, status=error.status, media=told, headers=error.headers)
        except RateLimited as error:
            headers = {"Retry-After": str(error.retry_after_s)}
            return reply_errors([refused(error)], request.id, status=429, media=told, headers=headers)
        except ClientDisconnect:
            raise
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            return reply_failed(error, request.id, media=told)

    async def _executed(self, http: Asked, request: Request, media: str | None) -> Response:
        if http.method not in METHODS:
            problem = "operations are sent by POST, or queries by GET"
            raise RejectedError(405, problem, headers={"Allow": ", ".join(METHODS)})
        if media is None:
            raise RejectedError(406, f"the answer is `{GRAPHQL_RESPONSE}`, `{JSON}` or `{EVENT_STREAM}`")
        presented = self._gate.presented(http)
        if presented and presented.ambient:
            self._gate.guard(http.headers)
        told = _read_by_all(media)
        try:
            caller = await self._gate.caller_of(presented, request)
        except Unauthenticated as error:
            return reply_errors([refused(error)], request.id, status=401, media=told, headers=self._forget(presented))
        parameters = await self._parameters(http)
        try:
            operation = await self._engine.prepare(parameters, Context(request, caller))
            _sent_rightly(operation, http.method, media)
            if media == EVENT_STREAM:
                lasts = operation.type is OperationType.SUBSCRIPTION
                return EventStream(events.told(self._engine, operation), request.id, lasts=lasts)
            return await self._run(operation, request, media)
        except RequestError as error:
            if media == EVENT_STREAM:
                return EventStream(events.told_refusal(error), request.id)
            status = error.status if media == GRAPHQL_RESPONSE else 200
            return reply_errors(error.errors, request.id, status=status, media=media)

    async def _run(self, operation: Operation, request: Request, media: str) -> Response:
        """Run an operation. If nothing came out because the database is away, the status says so under each type."""
        content = await self._engine.run(operation)
        if (away := barren(content)) is not None:
            return reply(content, request.id, status=503, media=media, headers=retry_header(away))
        return reply(content, request.id, media=media)

    async def _parameters(self, http: Asked) -> Parameters:
        """Read what is asked. Raises `RejectedError` for what is no GraphQL request."""
        raw = await read_json(http, self._body_limit_bytes) if http.method == "POST" else read_query(http)
        try:
            return Parameters.parse(raw)
        except RequestError as error:
            raise RejectedError(400, str(error)) from None

    def _forget(self, presented: Presented | None) -> Mapping[str, str]:
        """Take a dead session out of the browser, which would present it for ever."""
        return {"Set-Cookie": self._gate.cookie("")} if presented and presented.ambient else {}


def _read_by_all(media: str) -> str:
    """Choose the media type of an answer that is no stream, though one was asked for: its status says why."""
    return JSON if media == EVENT_STREAM else media


def _sent_rightly(operation: Operation, method: str, media: str) -> None:
    """Raise `RejectedError` for a mutation by GET, and `RequestError` for a subscription that cannot be answered."""
    if operation.type is OperationType.MUTATION and method == "GET":
        raise RejectedError(405, "mutations are sent by POST", headers={"Allow": "POST"})
    if operation.type is OperationType.SUBSCRIPTION and media != EVENT_STREAM:
        raise RequestError.of(f"a subscription needs a WebSocket, or `Accept: {EVENT_STREAM}`", "BAD_REQUEST")
