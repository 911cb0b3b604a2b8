"""Forward-auth: `/authz/{account}:{gate}/{path}`, where a proxy asks whether a request that it holds may pass.

The URL names the account because a gate's key is unique in its account only, and the one who asks is a proxy: it has no
credential of its own that could say which account is meant. Every answer carries all four `X-Latchkey-*` headers, so
that a proxy which copies them never lets a client's own through. What is unexpected is a 503, which proxies take for a
no. As busy as the API behind the proxy, this is plain ASGI.
"""

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

import orjson
from starlette.types import Receive, Scope, Send
from uuid_utils import uuid7

from core.errors import Unauthenticated
from core.routes import Request as Proxied
from core.routes import Unreadable, located
from models import GateSource
from resolvers.access import Question
from resolvers.callers import Caller, Request
from resolvers.gates import CompiledGate, bearer, decide, find
from web.credentials import MAX_CREDENTIAL_LENGTH, MAX_USER_AGENT_LENGTH, Presented
from web.errors import Formatted, masked
from web.proxies import Proxies

PREFIX = b"/authz/"
CHALLENGE = 'Bearer realm="latchkey"'
NONE = b"-"

Header = tuple[bytes, bytes]

_AUTHORIZATION = b"authorization"
_AGENT = b"user-agent"
_FORWARDED_FOR = b"x-forwarded-for"
_PREFLIGHT = (b"origin", b"access-control-request-method")
_SOURCES: Mapping[GateSource, frozenset[bytes]] = {
    GateSource.FORWARDED: frozenset({b"x-forwarded-method", b"x-forwarded-uri", b"x-forwarded-host"}),
    GateSource.ORIGINAL: frozenset({b"x-original-method", b"x-original-uri", b"x-original-url", b"x-original-host"}),
    GateSource.PATH: frozenset({b"host"}),
    GateSource.FIXED: frozenset(),
}
_READ = frozenset({_AUTHORIZATION, _AGENT, _FORWARDED_FOR, *_PREFLIGHT}.union(*_SOURCES.values()))
_JSON = (b"content-type", b"application/json")
_NO_STORE = (b"cache-control", b"no-store")
_MOST_WARNED = 1_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a proxy hears. `caller` is None where nobody is known."""

    status: int
    caller: Caller | None = None
    challenge: str | None = None
    error: Formatted | None = None

    def headers(self, request_id: str, length: int) -> list[Header]:
        """Write the headers, for a body of this many bytes."""
        told = [
            _NO_STORE,
            (b"content-length", str(length).encode()),
            (b"x-latchkey-request-id", request_id.encode()),
            *_subject(self.caller),
        ]
        if self.challenge is not None:
            told.append((b"www-authenticate", self.challenge.encode()))
        if length:
            told.append(_JSON)
        return told

    @property
    def body(self) -> bytes:
        """Write the body: nothing for a yes."""
        return b"" if self.error is None else orjson.dumps({"errors": [self.error]})


def _subject(caller: Caller | None) -> tuple[Header, Header, Header]:
    account = str(caller.account.id).encode() if caller else NONE
    member = str(caller.member.id).encode() if caller and caller.member else NONE
    token = str(caller.token.id).encode() if caller and caller.token else NONE
    return (b"x-latchkey-account", account), (b"x-latchkey-member", member), (b"x-latchkey-token", token)


def _forbidden(message: str, caller: Caller | None = None) -> Answer:
    return Answer(403, caller, None, {"message": message, "extensions": {"code": "FORBIDDEN"}})


def _unauthenticated(*, presented: bool) -> Answer:
    challenge = f'{CHALLENGE}, error="invalid_token"' if presented else CHALLENGE
    error = {"message": Unauthenticated().message, "extensions": {"code": "UNAUTHENTICATED"}}
    return Answer(401, None, challenge, error)


def _insufficient(caller: Caller, action: str, resource: str) -> Answer:
    extensions = {"code": "FORBIDDEN", "action": action, "resource": resource}
    error = {"message": f"needs `{action}` on `{resource}`", "extensions": extensions}
    return Answer(403, caller, f'Bearer error="insufficient_scope", scope="{action}"', error)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a proxy sent: the headers that are read, and where it asked."""

    headers: Mapping[bytes, bytes]
    repeated: frozenset[bytes]
    method: bytes
    account_key: str
    key: str
    path: bytes
    """What comes after the gate in the URL."""
    query: bytes

    @classmethod
    def of(cls, scope: Scope) -> "Asked":
        """Read an ASGI scope."""
        headers, repeated = _read(scope["headers"])
        place, slash, rest = scope["raw_path"][len(PREFIX) :].partition(b"/")
        account_key, _, key = place.decode("latin-1").partition(":")
        method, query = scope["method"].encode(), scope["query_string"]
        return cls(headers, repeated, method, account_key, key, slash + rest, query)

    def require_once(self, names: Iterable[bytes]) -> None:
        """Raise `Unreadable` if one of these headers came twice: whoever reads on might take the other."""
        for name in self.repeated.intersection(names):
            raise Unreadable(f"more than one `{name.decode()}` header")

    def wanted(self, source: GateSource) -> Proxied | Question:
        """Read the request that is asked about. Raises `Unreadable`."""
        self.require_once(_SOURCES[source])
        match source:
            case GateSource.FORWARDED:
                return self._told(b"x-forwarded-method", self._header(b"x-forwarded-uri"), b"x-forwarded-host")
            case GateSource.ORIGINAL:
                return self._original()
            case GateSource.PATH:
                return Proxied.parse(self.method, self.path or b"/", self.headers.get(b"host"))
            case GateSource.FIXED:
                return self._fixed()

    def _header(self, name: bytes) -> bytes:
        value = self.headers.get(name)
        if value is None:
            raise Unreadable(f"the header `{name.decode()}` is missing")
        return value

    def _told(self, method: bytes, target: bytes, host: bytes) -> Proxied:
        return Proxied.parse(self._header(method), target, self.headers.get(host))

    def _original(self) -> Proxied:
        if b"x-original-uri" in self.headers and b"x-original-url" in self.headers:
            raise Unreadable("both `x-original-uri` and `x-original-url` are given")
        name = b"x-original-url" if b"x-original-url" in self.headers else b"x-original-uri"
        target, host = located(self._header(name))
        told = self._told(b"x-original-method", target, b"x-original-host")
        if host is None:
            return told
        located_there = Proxied.parse(self._header(b"x-original-method"), target, host)
        if told.host not in {None, located_there.host}:
            raise Unreadable("the URL and `x-original-host` name different hosts")
        return located_there

    def _fixed(self) -> Question:
        if self.path.strip(b"/"):
            raise Unreadable("the URL goes on after the gate")  # so it might be the client's, and the query too
        try:
            pairs = parse_qsl(self.query.decode("ascii"), keep_blank_values=True, strict_parsing=True, errors="strict")
        except ValueError:
            pairs = []
        given = dict(pairs)
        if len(pairs) != len(given) or given.keys() != {"action", "resource"}:
            raise Unreadable("the query must be one `action` and one `resource`")
        return Question(given["action"], given["resource"])

    @property
    def may_be_preflight(self) -> bool:
        """Whether it has the headers of a CORS preflight."""
        return all(name in self.headers for name in _PREFLIGHT)


def _read(headers: Iterable[Header]) -> tuple[dict[bytes, bytes], frozenset[bytes]]:
    found: dict[bytes, bytes] = {}
    repeated: list[bytes] = []
    for name, value in headers:
        if name not in _READ:
            continue
        if name not in found:
            found[name] = value
        elif name == _FORWARDED_FOR:
            found[name] += b"," + value
        else:
            repeated.append(name)
    return found, frozenset(repeated)


class ForwardAuth:
    """Answers the requests below `/authz/`."""

    def __init__(self, asking: Callable[[str, str | None, str | None], Request], proxies: Proxies) -> None:
        self._asking = asking
        self._proxies = proxies
        self._warned: set[str | None] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - no body is read
        """Serve one request; see ASGI."""
        request_id = str(uuid7())
        try:
            answer = await self._answer(scope, request_id)
        except Unreadable as problem:
            answer = _forbidden(str(problem))
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            answer = Answer(503, error=masked(error, request_id))
        body = answer.body
        headers = answer.headers(request_id, len(body))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, scope: Scope, request_id: str) -> Answer:
        peer = scope["client"][0] if scope["client"] else None
        if not self._proxies.trusts(peer):
            self._warn(peer)
            return _forbidden("only a trusted proxy may ask")
        asked = Asked.of(scope)
        asked.require_once((_AUTHORIZATION, *_PREFLIGHT))
        request = self._request(asked, peer, request_id)
        gate = await find(request.house, asked.account_key, asked.key)
        if gate is not None and _passes_unasked(gate, asked):
            return Answer(200)
        presented = asked.headers.get(_AUTHORIZATION)
        if gate is None or presented is None:
            return _unauthenticated(presented=presented is not None)
        try:
            caller = await _caller(gate, presented, request)
        except Unauthenticated:
            return _unauthenticated(presented=True)
        return _judged(gate, caller, asked)

    def _request(self, asked: Asked, peer: str | None, request_id: str) -> Request:
        address = self._proxies.client_of(peer, asked.headers.get(_FORWARDED_FOR, b"").decode("latin-1"))
        agent = asked.headers.get(_AGENT, b"").decode("latin-1")[:MAX_USER_AGENT_LENGTH]
        return self._asking(request_id, address, agent or None)

    def _warn(self, peer: str | None) -> None:
        """Tell the log of a peer that is not trusted, once."""
        if peer not in self._warned and len(self._warned) < _MOST_WARNED:
            self._warned.add(peer)
            _log.warning("%s asks at /authz/ and is no trusted proxy: see LATCHKEY_TRUSTED_PROXIES", peer)


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
    return await bearer(gate, secret, request)


def _judged(gate: CompiledGate, caller: Caller, asked: Asked) -> Answer:
    try:
        passage = decide(gate, caller, asked.wanted(gate.source))
    except Unreadable as problem:
        return _forbidden(str(problem), caller)
    if passage:
        return Answer(200, caller)
    if passage.lacking is None:
        return _forbidden("no route of the gate matches the request", caller)
    return _insufficient(caller, *passage.lacking)
