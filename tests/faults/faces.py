"""Where a secret is presented: to GraphQL, at a gate, and to introspection, each of which may answer from memory.

A request is sent in one piece, as what comes in parts is never answered from memory.
"""

import json
import socket
import time
from collections.abc import Callable, Mapping
from functools import partial
from http.client import HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from tests.faults.servers import PATIENCE_S

VIEWER = "{ viewer { account { key } } }"
GATE = 'mutation { defineGate(input: { key: "faults", name: "Faults", source: FIXED }) { gate { key } } }'
AT_THE_GATE = "/authz/main:faults?action=viewMember&resource=member%2Fx"
"""Asks for what every token of the load may do."""
SERVICE = """mutation {
  createToken(input: { name: "a service", kind: SERVICE, scope: { builtInRole: ADMIN } }) { secret }
}"""
_FORM = "application/x-www-form-urlencoded"


class Answer(NamedTuple):
    """What a server answered."""

    status: int
    retry_after: str | None
    body: Any
    """What it says in JSON; None if that is nothing."""

    @property
    def is_away(self) -> bool:
        """Whether it says, as it should, that it can do nothing now."""
        if self.status != 503 or not (self.retry_after or "").isdecimal():
            return False
        said = self.body or {}
        if "error" in said:
            return bool(said["error"] == "temporarily_unavailable")
        return {error["extensions"]["code"] for error in said.get("errors", ())} == {"UNAVAILABLE"}

    @property
    def is_busy(self) -> bool:
        """Whether it says that too much is asked at once with the same credential."""
        return self.status == 429 and (self.retry_after or "").isdecimal()

    @property
    def is_yes(self) -> bool:
        """Whether it lets in what was presented."""
        said = self.body or {}
        return self.status == 200 and said.get("active", True) is True and "errors" not in said

    @property
    def is_no(self) -> bool:
        """Whether it lets nobody in with that."""
        return self.status in {401, 403} or (self.status, self.body) == (200, {"active": False})


Face = Callable[[str, str], Answer | None]
"""Presents a secret to the server at a URL; None if it hung up."""


def post(url: str, query: str, credential: str) -> Answer | None:
    """Ask in GraphQL, as `_asked` does."""
    return _asked(url, "/graphql", credential, "application/json", json.dumps({"query": query}))


def answered(ask: Callable[[], Answer | None]) -> Answer:
    """Ask until there is an answer: what was met last may still be on its way."""
    until = time.monotonic() + PATIENCE_S
    while (answer := ask()) is None or answer.is_away or answer.is_busy:
        assert time.monotonic() < until, answer
        time.sleep(0.1)
    return answer


def service(url: str, owner: str) -> str:
    """Make a service token, which may ask for whatever its maker may; returns its secret."""
    return str(answered(partial(post, url, SERVICE, owner)).body["data"]["createToken"]["secret"])


def faces(url: str, owner: str) -> Mapping[str, Face]:
    """Have a gate, and a service that asks about tokens, and give what presents a secret at each face."""
    defined = answered(partial(post, url, GATE, owner))
    assert "errors" not in defined.body, defined
    asker = service(url, owner)

    def introspect(url: str, secret: str) -> Answer | None:
        return _asked(url, "/oauth2/introspect", f"Bearer {asker}", _FORM, f"token={secret}")

    return {
        "GraphQL": lambda url, secret: post(url, VIEWER, secret),
        "the gate": lambda url, secret: _asked(url, AT_THE_GATE, f"Bearer {secret}"),
        "introspection": introspect,
    }


def _asked(url: str, path: str, credential: str, kind: str = "", body: str = "") -> Answer | None:
    """Ask on a connection of its own; None if that ended without an answer. Raises TimeoutError."""
    where, sent = urlsplit(url), body.encode()
    head = [f"{'POST' if sent else 'GET'} {path} HTTP/1.1", f"Host: {where.netloc}", f"Authorization: {credential}"]
    if sent:
        head += [f"Content-Type: {kind}", f"Content-Length: {len(sent)}"]
    try:
        with socket.create_connection((where.hostname or "", where.port or 0), PATIENCE_S) as connection:
            connection.sendall("\r\n".join([*head, "", ""]).encode() + sent)
            with HTTPResponse(connection) as answer:
                answer.begin()
                said = answer.read()
                return Answer(answer.status, answer.headers["Retry-After"], json.loads(said) if said else None)
    except TimeoutError:
        raise
    except (OSError, HTTPException):
        return None
