"""Forward-auth: `/authz/{account}:{gate}/{path}`, where a proxy asks whether a request that it holds may pass.

The URL names the account because a gate's key is unique in its account only, and the one who asks is a proxy: it has no
credential of its own that could say which account is meant. Every answer carries all four `X-Latchkey-*` headers, so
that a proxy which copies them never lets a client's own through. What is unexpected is a 503, which proxies take for a
no. As busy as the API behind the proxy, this is plain ASGI.
"""

import logging
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace

import orjson
from starlette.types import Receive, Scope, Send
from uuid_utils import uuid7

from core.errors import Unauthenticated
from core.routes import Request as Proxied
from core.routes import Unreadable
from resolvers.callers import Caller, Request, bearer, is_current, note_use
from resolvers.gates import CompiledGate, decide, find
from web.credentials import MAX_CREDENTIAL_LENGTH, MAX_USER_AGENT_LENGTH, Presented
from web.errors import Formatted, masked
from web.proxied import AGENT, AUTHORIZATION, FORWARDED_FOR, PREFIX, PREFLIGHT, Asked, Header
from web.proxies import Proxies

__all__ = ["PREFIX", "ForwardAuth"]

YESES_KEPT = 10_000
CHALLENGE = 'Bearer realm="latchkey"'
NONE = b"-"

_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_MOST_WARNED = 1_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a proxy hears, all but the request's id."""

    status: int
    headers: tuple[Header, ...]
    body: bytes = b""
    passes: Caller | None = None
    """Who passes, if it is a yes that holds for as long as this caller is current."""

    @classmethod
    def of(
        cls, status: int, caller: Caller | None = None, error: Formatted | None = None, challenge: str | None = None
    ) -> "Answer":
        """Write an answer. Without a caller nobody is known; without an error it is a yes."""
        body = b"" if error is None else orjson.dumps({"errors": [error]})
        headers = [_NO_STORE, (b"content-length", str(len(body)).encode()), *_subject(caller)]
        if challenge is not None:
            headers.append((b"www-authenticate", challenge.encode()))
        if body:
            headers.append(_JSON)
        return cls(status, tuple(headers), body)


def _subject(caller: Caller | None) -> tuple[Header, Header, Header]:
    account = str(caller.account.id).encode() if caller else NONE
    member = str(caller.member.id).encode() if caller and caller.member else NONE
    token = str(caller.token.id).encode() if caller and caller.token else NONE
    return (b"x-latchkey-account", account), (b"x-latchkey-member", member), (b"x-latchkey-token", token)


def _forbidden(message: str, caller: Caller | None = None) -> Answer:
    return Answer.of(403, caller, {"message": message, "extensions": {"code": "FORBIDDEN"}})


def _unauthenticated(*, presented: bool) -> Answer:
    challenge = f'{CHALLENGE}, error="invalid_token"' if presented else CHALLENGE
    error = {"message": Unauthenticated().message, "extensions": {"code": "UNAUTHENTICATED"}}
    return Answer.of(401, None, error, challenge)


def _insufficient(caller: Caller, action: str, resource: str) -> Answer:
    extensions = {"code": "FORBIDDEN", "action": action, "resource": resource}
    error = {"message": f"needs `{action}` on `{resource}`", "extensions": extensions}
    return Answer.of(403, caller, error, f'{CHALLENGE}, error="insufficient_scope", scope="{action}"')


class Yeses:
    """Answers that let requests pass, each for as long as nothing changes that it depends on.

    Each is found by a digest of all that the proxy sent, so that no credential is kept.
    """

    def __init__(self) -> None:
        self._digest_key = secrets.token_bytes(32)
        self._kept: OrderedDict[bytes, Answer] = OrderedDict()

    def digest(self, asked: Asked, address: str | None) -> bytes:
        """Digest a question."""
        return asked.digest(self._digest_key, address)

    def find(self, digest: bytes) -> Answer | None:
        """Find the yes to an equal question, if it would still be given."""
        answer = self._kept.get(digest)
        if answer is None or answer.passes is None or not is_current(answer.passes):
            return None
        self._kept.move_to_end(digest)
        return answer

    def keep(self, digest: bytes, answer: Answer) -> None:
        """Keep an answer if it is a yes, in the place of an earlier one."""
        self._kept.pop(digest, None)
        if answer.passes is not None:
            self._kept[digest] = answer
        if len(self._kept) > YESES_KEPT:
            self._kept.popitem(last=False)


class ForwardAuth:
    """Answers the requests below `/authz/`."""

    def __init__(self, asking: Callable[[str, str | None, str | None], Request], proxies: Proxies) -> None:
        self._asking = asking
        self._proxies = proxies
        self._yeses = Yeses()
        self._warned: set[str | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - no body is read
        """Serve one request; see ASGI."""
        request_id = str(uuid7())
        try:
            answer = await self._answer(scope, request_id)
        except Unreadable as problem:
            answer = _forbidden(str(problem))
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            answer = Answer.of(503, error=masked(error, request_id))
        headers = [*answer.headers, (b"x-latchkey-request-id", request_id.encode())]
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": answer.body})

    async def _answer(self, scope: Scope, request_id: str) -> Answer:
        peer = scope["client"][0] if scope["client"] else None
        if not self._proxies.trusts(peer):
            self._warn(peer)
            return _forbidden("only a trusted proxy may ask")
        asked = Asked.of(scope)
        asked.require_once((AUTHORIZATION, *PREFLIGHT))
        address = self._proxies.client_of(peer, asked.text(FORWARDED_FOR))
        agent = asked.text(AGENT)[:MAX_USER_AGENT_LENGTH] or None
        if asked.repeated:
            return await _decided(asked, self._asking(request_id, address, agent))
        digest = self._yeses.digest(asked, address)
        answer = self._yeses.find(digest)
        if answer is None:
            answer = await _decided(asked, self._asking(request_id, address, agent))
            self._yeses.keep(digest, answer)
        elif answer.passes is not None:
            note_use(answer.passes, address, agent)
        return answer

    def _warn(self, peer: str | None) -> None:
        """Tell the log of a peer that is not trusted, once."""
        if peer not in self._warned and len(self._warned) < _MOST_WARNED:
            self._warned.add(peer)
            _log.warning("%s asks at /authz/ and is no trusted proxy: see LATCHKEY_TRUSTED_PROXIES", peer)


async def _decided(asked: Asked, request: Request) -> Answer:
    gate = await find(request.house, *asked.place)
    if gate is not None and _passes_unasked(gate, asked):
        return Answer.of(200)
    presented = asked.headers.get(AUTHORIZATION)
    if gate is None or presented is None:
        return _unauthenticated(presented=presented is not None)
    try:
        caller = await _caller(gate, presented, request)
    except Unauthenticated:
        return _unauthenticated(presented=True)
    return _judged(gate, caller, asked)


def _passes_unasked(gate: CompiledGate, asked: Asked) -> bool:
    """Say whether it is a CORS preflight, which carries no credential, at a gate that lets them pass."""
    if not gate.preflights or not asked.may_be_preflight:
        return False
    wanted = asked.wanted(gate.source)
    return isinstance(wanted, Proxied) and wanted.method == "OPTIONS"


async def _caller(gate: CompiledGate, presented: bytes, request: Request) -> Caller:
    secret = Presented.parse(presented.decode("latin-1")).secret
    if len(secret) > MAX_CREDENTIAL_LENGTH:
        raise Unauthenticated
    return await bearer(secret, gate.account_id, request)


def _judged(gate: CompiledGate, caller: Caller, asked: Asked) -> Answer:
    try:
        passage = decide(gate, caller, asked.wanted(gate.source))
    except Unreadable as problem:
        return _forbidden(str(problem), caller)
    if passage:
        # Had something changed between finding the gate and the caller, the answer would hold for neither state.
        passes = caller if gate.version == caller.account.version else None
        return replace(Answer.of(200, caller), passes=passes)
    if passage.lacking is None:
        return _forbidden("no route of the gate matches the request", caller)
    return _insufficient(caller, *passage.lacking)
