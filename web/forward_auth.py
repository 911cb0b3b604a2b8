"""Forward-auth: `/authz/{account}:{gate}/{path}`, where a proxy asks whether a request that it holds may pass.

The URL names the account because a gate's key is unique in its account only, and the one who asks is a proxy: it has no
credential of its own that could say which account is meant. Every answer carries all four `X-Latchkey-*` headers, so
that a proxy which copies them never lets a client's own through. What is unexpected is a 503, which proxies take for a
no. As busy as the API behind the proxy, this is plain ASGI, and mostly less: see `web.wire`.
"""

import logging
from collections.abc import Callable
from functools import cached_property, lru_cache
from uuid import UUID

import orjson
from starlette.types import Receive, Scope, Send
from uuid_utils import uuid7

from core.errors import RateLimited, Unauthenticated
from core.routes import Request as Proxied
from core.routes import Unreadable
from models import GateSource
from resolvers.callers import Caller, Request, bearer, is_bearer, lease, note_deeds, recognised, use_of
from resolvers.gates import CompiledGate, decide, find, remembered
from resolvers.house import House
from resolvers.refusing import refusal_of
from resolvers.uses import NO_ACTION, Deed, deed
from web import deprecations, logs
from web.answers import Answer, Header, Heard, Party, Settled
from web.bodies import NO_STORE, NOSNIFF
from web.credentials import MAX_CREDENTIAL_LENGTH, program_of
from web.errors import Formatted, masked, refused
from web.proxied import AGENT, FORWARDED_FOR, PREFIX, Asked
from web.proxies import Proxies
from web.rates import told

__all__ = ["PREFIX", "ForwardAuth"]

YESES_KEPT = 10_000
CHALLENGE = 'Bearer realm="latchkey"'

_SUBJECT = (b"x-latchkey-account", b"x-latchkey-member", b"x-latchkey-token")
_NONE = b"-"
_REQUEST_ID = b"x-latchkey-request-id"
_JSON = (b"content-type", b"application/json")
_MOST_WARNED = 1_000

_Ids = tuple[UUID | None, UUID | None, UUID | None]
"""Of an account, a member and a token."""

_log = logging.getLogger(__name__)


class ForwardAuth:
    """Answers the requests below `/authz/`."""

    def __init__(self, asking: Callable[[str, str | None, str | None], Request], proxies: Proxies) -> None:
        self._asking = asking
        self._proxies = proxies
        self._warned: set[str | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - no body is read
        """Serve one request; see ASGI."""
        request_id = str(uuid7())
        logs.answering(request_id)
        try:
            answer = await self._answer(Heard.of(scope), request_id)
        except Unreadable as problem:
            answer = _forbidden(str(problem))
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            shown = masked(error, request_id)
            answer = _answer(503, error=shown).beside(told((), shown["extensions"].get("retryAfter")))
        await answer.send(send, request_id)

    def at_once(self, heard: Heard) -> Settled | None:
        """Answer if memory knows all that decides; see `web.answers.Prompt`."""
        if not self._proxies.trusts(heard.peer):
            return None
        asked = Asked.of(heard)
        gate = remembered(self._house, *asked.place)
        if gate is None:
            return None
        if (answer := _unasked(gate, asked)) is not None:
            return Settled(answer)
        address, agent = self._whence(heard, asked)
        caller = recognised(asked.secret, self._house, address)
        if caller is None or caller.is_counted or not is_bearer(caller, gate.account_id):
            return None
        answer, deeds = _judged(gate, caller, asked)
        parties = (Party(lease(caller), use_of(caller, address, agent, deeds)),)
        return Settled(answer, parties, refusal_of(caller, deeds, ("", address, agent))).note()

    async def _answer(self, heard: Heard, request_id: str) -> Answer:
        if not self._proxies.trusts(heard.peer):
            self._warn(heard.peer)
            return _forbidden("only a trusted proxy may ask")
        asked = Asked.of(heard)
        request = self._asking(request_id, *self._whence(heard, asked))
        gate = await find(request.house, *asked.place)
        if gate is None:
            return _unauthenticated(Unauthenticated() if asked.presents else None)
        if (answer := _unasked(gate, asked)) is not None:
            return answer
        try:
            caller = await _caller(gate, asked.secret, request)
        except Unauthenticated as error:
            return _unauthenticated(error)
        except RateLimited as limited:
            standings = told(request.standings, limited.retry_after_s)
            return _limited(gate, limited).beside((*deprecations.told(request.deprecations), *standings))
        answer, deeds = _judged(gate, caller, asked)
        note_deeds(caller, *deeds)
        if (refusal := refusal_of(caller, deeds)) is not None:
            refusal.note()
        return answer.beside(told(request.standings))

    @cached_property
    def _house(self) -> House:
        return self._asking("", None, None).house  # there is one, whoever asks

    def _whence(self, heard: Heard, asked: Asked) -> tuple[str | None, str | None]:
        """Say which client the proxy asks for: its address, and its program."""
        address = self._proxies.client_of(heard.peer, asked.text(FORWARDED_FOR))
        return address, program_of(asked.text(AGENT))

    def _warn(self, peer: str | None) -> None:
        """Tell the log of a peer that is not trusted, once."""
        if peer not in self._warned and len(self._warned) < _MOST_WARNED:
            self._warned.add(peer)
            _log.warning("%s asks at /authz/ and is no trusted proxy: see LATCHKEY_TRUSTED_PROXIES", peer)


def _unasked(gate: CompiledGate, asked: Asked) -> Answer | None:
    """Answer what is decided without a caller: preflights that the gate lets pass, and requests that present nothing.

    A CORS preflight carries no credential.
    """
    if gate.preflights and asked.may_be_preflight:
        wanted = asked.wanted(gate.source)
        if isinstance(wanted, Proxied) and wanted.method == "OPTIONS":
            return _answer(200)
    return None if asked.presents else _unauthenticated()


async def _caller(gate: CompiledGate, secret: str, request: Request) -> Caller:
    if len(secret) > MAX_CREDENTIAL_LENGTH:
        raise Unauthenticated
    return await bearer(secret, gate.account_id, request)


def _judged(gate: CompiledGate, caller: Caller, asked: Asked) -> tuple[Answer, tuple[Deed, ...]]:
    answer, deeds = _decided(gate, caller, asked)
    return answer.beside(deprecations.told(caller.deprecations)), deeds


def _decided(gate: CompiledGate, caller: Caller, asked: Asked) -> tuple[Answer, tuple[Deed, ...]]:
    try:
        passage = decide(gate, caller, asked.wanted(gate.source))
    except Unreadable as problem:
        return _forbidden(str(problem), caller), (deed(NO_ACTION, allowed=False),)
    if passage:
        return _yes(_ids(caller)), passage.deeds
    if passage.lacking is None:
        return _forbidden("no route of the gate matches the request", caller), passage.deeds
    return _insufficient(caller, *passage.lacking), passage.deeds


def _forbidden(message: str, caller: Caller | None = None) -> Answer:
    return _answer(403, caller, {"message": message, "extensions": {"code": "FORBIDDEN"}})


def _limited(gate: CompiledGate, limited: RateLimited) -> Answer:
    """Say that there is no room now. nginx makes a 500 of all but 401 and 403, and with `FIXED` it may be nginx."""
    status = 429 if gate.source in {GateSource.FORWARDED, GateSource.PATH} else 403
    return _answer(status, error=refused(limited))


def _unauthenticated(why: Unauthenticated | None = None) -> Answer:
    """Say that a credential is needed, or `why` the one that was presented does not work."""
    challenge = CHALLENGE if why is None else f'{CHALLENGE}, error="invalid_token"'
    return _answer(401, None, refused(why or Unauthenticated()), challenge)


def _insufficient(caller: Caller, action: str, resource: str) -> Answer:
    extensions = {"code": "FORBIDDEN", "action": action, "resource": resource}
    error = {"message": f"needs `{action}` on `{resource}`", "extensions": extensions}
    return _answer(403, caller, error, f'{CHALLENGE}, error="insufficient_scope", scope="{action}"')


def _answer(
    status: int, caller: Caller | None = None, error: Formatted | None = None, challenge: str | None = None
) -> Answer:
    """Write an answer. Without a caller nobody is known; without an error it is a yes."""
    body = b"" if error is None else orjson.dumps({"errors": [error]})
    headers = [NO_STORE, (b"content-length", str(len(body)).encode()), *_subject(_ids(caller))]
    if challenge is not None:
        headers.append((b"www-authenticate", challenge.encode()))
    if body:
        headers += (_JSON, NOSNIFF)
    return Answer(status, tuple(headers), body, _REQUEST_ID)


@lru_cache(maxsize=YESES_KEPT)
def _yes(subject: _Ids) -> Answer:
    return Answer(200, (NO_STORE, (b"content-length", b"0"), *_subject(subject)), b"", _REQUEST_ID)


def _ids(caller: Caller | None) -> _Ids:
    if caller is None:
        return None, None, None
    member, token = caller.member, caller.token
    return caller.account.id, member.id if member else None, token.id if token else None


def _subject(ids: _Ids) -> list[Header]:
    told = [_NONE if each is None else str(each).encode() for each in ids]
    return list(zip(_SUBJECT, told, strict=True))
