"""Guards an ASGI application: a route needs an action on a resource, and Latchkey says whether a token may."""

import hashlib
import json
import logging
import re
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from ipaddress import ip_address
from typing import Any, Self

from latchkey_client.answers import Verification, VerifiedToken
from latchkey_client.client import AsyncLatchkey
from latchkey_client.errors import LatchkeyError, RateLimited

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_PART = "[A-Za-z0-9._-]+"
_NAMED = re.compile(r"\{([a-z][A-Za-z0-9_]*)\}")
_BEARER = re.compile(rb"bearer +([!-~]{1,4096})", re.IGNORECASE)
_AMBIGUOUS = re.compile(rb"[\\;\x00]|%(2f|5c|3b|00)", re.IGNORECASE)
"""What some programs take for the end of a segment and others for a letter of it."""
_RETRY_AFTER_S = 5

_log = logging.getLogger(__name__)


class LatchkeyMiddleware:
    """Lets through what Latchkey allows, and refuses all else: also what no rule speaks of.

    `rules` are (method, path, action, resource). A path may have `{parts}` of letters, digits and `._-`, which the
    resource takes up. All rules that match must allow. `public` are (method, path) that anybody may ask for
    where no rule matches. `GET`
    covers `HEAD`; WebSockets have the method `WEBSOCKET`. Paths are those that the application's own routes see.

    The application finds the token in `scope["latchkey"]`, a `VerifiedToken`; None on what is public.
    """

    def __init__(  # noqa: PLR0913 - an application and what its deployment chooses
        self,
        app: ASGIApp,
        client: AsyncLatchkey,
        rules: Iterable[tuple[str, str, str, str]],
        *,
        public: Iterable[tuple[str, str]] = (),
        realm: str = "latchkey",
        kept_verdicts: int = 10_000,
    ) -> None:
        self._app = app
        self._rules = [_Rule.parse(*rule) for rule in rules]
        self._public = [_Rule.parse(*rule) for rule in public]
        self._realm = re.sub(r'["\\]', "", realm)
        self._verdicts = _Verdicts(client, kept_verdicts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it; see ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        try:
            token = await self._admitted(scope)
        except _RefusedError as refused:
            await _refuse(scope, send, refused)
        else:
            await self._app({**scope, "latchkey": token}, receive, send)

    async def _admitted(self, scope: Scope) -> VerifiedToken | None:
        method, path = _asked(scope)
        checks = [check for rule in self._rules if (check := rule.check(method, path))]
        if not checks:
            if any(rule.check(method, path) for rule in self._public):
                return None
            raise _RefusedError(403)
        secret = self._presented(scope)
        try:
            verdict = await self._verdicts.of(secret, checks, _address(scope))
        except LatchkeyError as error:
            _log.warning("a request was refused, since Latchkey did not answer: %s", error)
            wait_s = error.retry_after if isinstance(error, RateLimited) else _RETRY_AFTER_S
            raise _RefusedError(503, (b"retry-after", str(wait_s).encode())) from error
        if not verdict.active:
            raise self._challenge(401, 'error="invalid_token"')
        if not verdict:
            refused = next(action for (action, _), allowed in zip(checks, verdict.allowed, strict=True) if not allowed)
            raise self._challenge(403, f'error="insufficient_scope", scope="{refused}"')
        return verdict.token

    def _presented(self, scope: Scope) -> str:
        given = [value for name, value in scope["headers"] if name.lower() == b"authorization"]
        if len(given) > 1:
            raise self._challenge(400, 'error="invalid_request"')
        found = _BEARER.fullmatch(given[0].strip()) if given else None
        if found is None:
            raise self._challenge(401)
        return found[1].decode("ascii")

    def _challenge(self, status: int, *why: str) -> "_RefusedError":
        challenge = ", ".join((f'Bearer realm="{self._realm}"', *why))
        return _RefusedError(status, (b"www-authenticate", challenge.encode("latin-1")))


class _RefusedError(Exception):
    def __init__(self, status: int, *headers: tuple[bytes, bytes]) -> None:
        super().__init__(status)
        self.status = status
        self.headers = [(b"cache-control", b"no-store"), (b"content-length", b"0"), *headers]


@dataclass(frozen=True, slots=True)
class _Rule:
    method: str
    path: re.Pattern[str]
    action: str
    resource: str

    @classmethod
    def parse(cls, method: str, path: str, action: str = "", resource: str = "") -> Self:
        """Read a rule as it is written. Raises `ValueError`."""
        literals, names = _NAMED.split(path)[::2], _NAMED.findall(path)
        if not path.startswith("/") or any(brace in "".join(literals) for brace in "{}"):
            raise ValueError(f"a path begins with `/` and its parts are written `{{project}}`: `{path}`")
        if unknown := set(_NAMED.findall(resource)) - set(names):
            raise ValueError(f"`{resource}` takes up {sorted(unknown)}, which `{path}` does not have")
        parts = [*(f"(?P<{name}>{_PART})" for name in names), ""]
        pattern = "".join(re.escape(literal) + part for literal, part in zip(literals, parts, strict=True))
        return cls(method.upper(), re.compile(pattern), action, resource)

    def check(self, method: str, path: str) -> tuple[str, str] | None:
        """Give what the request needs; None if this rule is not about it."""
        found = self.path.fullmatch(path) if method == self.method else None
        if found is None:
            return None
        return self.action, _NAMED.sub(lambda name: found[name[1]], self.resource)


class _Verdicts:
    """Asks, and keeps a verdict only for as long as the server allows, under a digest of what was asked."""

    def __init__(self, client: AsyncLatchkey, size: int) -> None:
        self._client = client
        self._size = size
        self._kept: dict[bytes, Verification] = {}

    async def of(self, secret: str, checks: list[tuple[str, str]], address: str | None) -> Verification:
        key = hashlib.sha256(json.dumps((secret, checks, address)).encode()).digest()
        kept = self._kept.get(key)
        if kept and kept.fresh:
            return kept
        self._kept.pop(key, None)
        verdict = await self._client.verify(secret, checks, address)
        if verdict.fresh:
            while len(self._kept) >= self._size:
                del self._kept[next(iter(self._kept))]
            self._kept[key] = verdict
        return verdict


def _asked(scope: Scope) -> tuple[str, str]:
    """Give the method, and the path as the application's routes see it. Raises for one that could be read twice."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    raw = scope.get("raw_path") or b""
    if _AMBIGUOUS.search(raw) or _AMBIGUOUS.search(path.encode(errors="replace")) or {".", ".."} & set(path.split("/")):
        raise _RefusedError(403)
    method = "WEBSOCKET" if scope["type"] == "websocket" else scope["method"].upper()
    return "GET" if method == "HEAD" else method, path


def _address(scope: Scope) -> str | None:
    client = scope.get("client")
    try:
        return str(ip_address(client[0])) if client else None
    except ValueError:
        return None


async def _refuse(scope: Scope, send: Send, refused: _RefusedError) -> None:
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "http.response.start", "status": refused.status, "headers": refused.headers})
    await send({"type": "http.response.body", "body": b""})
