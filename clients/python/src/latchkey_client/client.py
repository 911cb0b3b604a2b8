"""The two clients. What they ask and how they read it is the same; only the waiting differs."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar

import httpx2

from latchkey_client.answers import Answers, Fields, Verification
from latchkey_client.deeds import Deed
from latchkey_client.errors import Unavailable, told

Checks = Iterable[tuple[str, str]]
"""Pairs of an action and a resource, such as `("updateOn", "proj/web:env/dev:flag/f")`."""

T = TypeVar("T")

_PATH = "/graphql"
_DECISIONS = (
    "decisions @include(if: $explain) { action resource allowed lacking { action resource } problem decisionId }"
)
_VERIFY = f"""
query ($secret: String!, $checks: [AccessCheckInput!], $address: String, $explain: Boolean!) {{
  verifyToken(secret: $secret, checks: $checks, address: $address) {{
    active cacheUntil cacheForS allowed token {{ tokenId kind name expiresAt member {{ memberId name }} }} {_DECISIONS}
  }}
}}"""
_CHECK = f"""
query ($checks: [AccessCheckInput!]!, $explain: Boolean!) {{ checkAccess(checks: $checks) {{ allowed {_DECISIONS} }} }}
"""
_RECORD = """
mutation ($input: RecordAuditEntriesInput!) { recordAuditEntries(input: $input) { count } }
"""
_LIMITS = httpx2.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=3.0)
"""Connections that idle are closed here before most servers close them, as a request to a closing one is lost."""


@dataclass(frozen=True, slots=True)
class _Answer:
    data: Fields
    asked_at_s: float


@dataclass(frozen=True, slots=True)
class _Question(Generic[T]):
    query: str
    variables: Fields
    read: Callable[[_Answer], T]

    @property
    def body(self) -> dict[str, Any]:
        return {"query": self.query, "variables": self.variables}

    def answered(self, response: httpx2.Response, asked_at_s: float) -> T:
        """Read a response. Raises `LatchkeyError`: what cannot be understood is as good as no answer."""
        try:
            answer = response.json()
            if errors := answer.get("errors"):
                raise told(errors[0])
            response.raise_for_status()
            return self.read(_Answer(answer["data"], asked_at_s))
        except (httpx2.HTTPError, ValueError, LookupError, TypeError, AttributeError) as error:
            raise Unavailable(f"an answer with status {response.status_code} is not Latchkey's") from error


class Latchkey:
    """Asks the Latchkey at `url`, as `token`. One for a whole process; it may be shared between threads."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 5.0) -> None:
        self._http = httpx2.Client(**_settings(url, token, timeout_s))

    def verify(
        self, secret: str, checks: Checks = (), address: str | None = None, *, explain: bool = False
    ) -> Verification:
        """Ask what a secret opens that was presented to you from `address`, and what that may do.

        With `explain` each answer has its reasons. Needs `verifyAccessToken`. Raises `LatchkeyError`.
        """
        return self._ask(_verification(secret, checks, address, explain))

    def check(self, checks: Checks, *, explain: bool = False) -> Answers:
        """Ask what the client's own token may do. Raises `LatchkeyError`."""
        return self._ask(_answers(checks, explain))

    def record(self, deeds: Iterable[Deed], *, idempotency_key: str | None = None) -> int:
        """Put what was done with tokens into the audit log, all of it or nothing; returns how many deeds it was.

        A key of your choosing keeps a repeated report from being recorded twice: it is a `CONFLICT`. Needs
        `recordAuditEntry`. Raises `LatchkeyError`.
        """
        return self._ask(_report(deeds, idempotency_key))

    def close(self) -> None:
        """Close its connections."""
        self._http.close()

    def _ask(self, question: _Question[T]) -> T:
        asked_at_s = time.monotonic()
        try:
            response = self._http.post(_PATH, json=question.body)
        except httpx2.HTTPError as error:
            raise Unavailable(f"Latchkey cannot be reached: {type(error).__name__}") from error
        return question.answered(response, asked_at_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class AsyncLatchkey:
    """Asks the Latchkey at `url`, as `token`, in asyncio. One for a whole process."""

    def __init__(self, url: str, token: str, *, timeout_s: float = 5.0) -> None:
        self._http = httpx2.AsyncClient(**_settings(url, token, timeout_s))

    async def verify(
        self, secret: str, checks: Checks = (), address: str | None = None, *, explain: bool = False
    ) -> Verification:
        """Ask what a secret opens; see `Latchkey.verify`."""
        return await self._ask(_verification(secret, checks, address, explain))

    async def check(self, checks: Checks, *, explain: bool = False) -> Answers:
        """Ask what the client's own token may do. Raises `LatchkeyError`."""
        return await self._ask(_answers(checks, explain))

    async def record(self, deeds: Iterable[Deed], *, idempotency_key: str | None = None) -> int:
        """Put what was done with tokens into the audit log; see `Latchkey.record`."""
        return await self._ask(_report(deeds, idempotency_key))

    async def close(self) -> None:
        """Close its connections."""
        await self._http.aclose()

    async def _ask(self, question: _Question[T]) -> T:
        asked_at_s = time.monotonic()
        try:
            response = await self._http.post(_PATH, json=question.body)
        except httpx2.HTTPError as error:
            raise Unavailable(f"Latchkey cannot be reached: {type(error).__name__}") from error
        return question.answered(response, asked_at_s)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def _settings(url: str, token: str, timeout_s: float) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {token}"}
    return {"base_url": url, "headers": headers, "timeout": timeout_s, "limits": _LIMITS}


def _verification(secret: str, checks: Checks, address: str | None, explain: bool) -> _Question[Verification]:
    inputs = _inputs(checks)

    def read(answer: _Answer) -> Verification:
        return Verification.read(answer.data["verifyToken"], len(inputs), answer.asked_at_s)

    return _Question(_VERIFY, {"secret": secret, "checks": inputs, "address": address, "explain": explain}, read)


def _answers(checks: Checks, explain: bool) -> _Question[Answers]:
    inputs = _inputs(checks)

    def read(answer: _Answer) -> Answers:
        return Answers.of(answer.data["checkAccess"], len(inputs))

    return _Question(_CHECK, {"checks": inputs, "explain": explain}, read)


def _report(deeds: Iterable[Deed], idempotency_key: str | None) -> _Question[int]:
    wanted = {"entries": [deed.input for deed in deeds], "idempotencyKey": idempotency_key}
    return _Question(_RECORD, {"input": wanted}, lambda answer: int(answer.data["recordAuditEntries"]["count"]))


def _inputs(checks: Checks) -> list[dict[str, str]]:
    return [{"action": action, "resource": resource} for action, resource in checks]
