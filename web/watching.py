"""Requests as those see them who watch: the meters, the access log, the tracer. Nobody does unless the settings say so.

The meters follow a request below ASGI, see `web.wire`. Who writes down each request, a log or a trace, has all of them
go through ASGI.
"""

import logging
from collections import defaultdict
from contextlib import nullcontext
from time import perf_counter
from typing import Any

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from core.meters import Spread
from resolvers.courses import Course, course
from web import logs
from web.answers import Answer, Heard, Settled
from web.app import GRAPHQL_PATH, Application
from web.forward_auth import PREFIX
from web.introspection import PATH as INTROSPECTION_PATH
from web.leaks import PATH as LEAKS_PATH
from web.proxies import Proxies
from web.tables import ENTRIES, TOKENS
from web.tracing import Tracing
from web.wire import Wire

LEFT = 499
"""The status of a request whose client did not wait for the answer, as nginx has it."""

requests: defaultdict[tuple[str, int], Spread] = defaultdict(Spread)
"""How long requests took since the process began, by face and status."""
known = [0, 0]
"""How often the bytes of a request that may be answered at once were not known, and were."""

_FACES = {
    GRAPHQL_PATH: "graphql",
    INTROSPECTION_PATH: "introspection",
    LEAKS_PATH: "leaks",
    "/session": "session",
    "/healthz": "health",
    "/readyz": "health",
    **{f"{table.path}.{ending}": "export" for table in (TOKENS, ENTRIES) for ending in ("csv", "jsonl")},
}
_GATES, _INTROSPECTION = PREFIX, INTROSPECTION_PATH.encode()
_IDS = {b"x-request-id", b"x-latchkey-request-id"}

_access = logging.getLogger(logs.ACCESS)


def face_of(path: str) -> str:
    """Say which face answers at a path: one of a few words, whatever is asked for."""
    if path.startswith(PREFIX.decode()):
        return "forward_auth"
    return _FACES.get(path, "console")


class MeteredWire(Wire):
    """The protocol, which counts what it answers at once."""

    def data_received(self, data: bytes) -> None:
        """Read what came in; see asyncio."""
        self._began_s = perf_counter()
        self._data = data
        super().data_received(data)

    def _found(self, digest: bytes) -> Settled | None:
        settled = super()._found(digest)
        known[settled is not None] += 1
        return settled

    def _write(self, answer: Answer, *, keep_alive: bool) -> None:
        asked = self.url if self._begun else self._data[:32]  # its bytes were known: nothing of it was read
        super()._write(answer, keep_alive=keep_alive)
        face = "forward_auth" if _GATES in asked else "introspection" if _INTROSPECTION in asked else "graphql_query"
        requests[face, answer.status].took(perf_counter() - self._began_s)


class Watched:
    """An application that is watched."""

    def __init__(
        self, app: Application, proxies: Proxies, *, logs_access: bool = False, tracing: Tracing | None = None
    ) -> None:
        self.reads = app.reads
        self._app = app
        self._proxies = proxies
        self._logs_access = logs_access
        self._tracing = tracing
        self._writes_down = logs_access or tracing is not None

    def at_once(self, heard: Heard) -> Settled | None:
        """Answer from memory; see `web.answers.Prompt`."""
        return None if self._writes_down else self._app.at_once(heard)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; see ASGI."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        sent, under_way = Sent(send), Course(face_of(scope["path"]))
        follows = course.set(under_way if scope["type"] == "http" else None)  # many operations have one socket
        began_s = perf_counter()
        tracing = self._tracing.request(scope, under_way, sent) if self._tracing else nullcontext()
        try:
            with tracing:
                await self._app(scope, receive, sent)
        except Exception:
            sent.status = sent.status or 500
            raise
        finally:
            course.reset(follows)
            self._over(scope, under_way, sent, perf_counter() - began_s)

    def _over(self, scope: Scope, under_way: Course, sent: "Sent", took_s: float) -> None:
        status = sent.status or LEFT
        if scope["type"] == "http":
            kind = under_way.operation_type if under_way.face == "graphql" else ""
            requests[f"{under_way.face}_{kind}" if kind else under_way.face, status].took(took_s)
        if self._logs_access:
            self._log(scope, status, sent, took_s)

    def _log(self, scope: Scope, status: int, sent: "Sent", took_s: float) -> None:
        peer = scope["client"][0] if scope["client"] else None
        told: dict[str, Any] = {
            "method": scope.get("method", "GET"),
            "path": scope["raw_path"].decode("ascii", "backslashreplace"),
            "status": status,
            "durationMs": round(took_s * 1000, 3),
            "bytes": sent.size_bytes,
            "address": self._proxies.client_of(peer, ",".join(Headers(scope=scope).getlist("x-forwarded-for"))),
            "requestId": sent.request_id,
        }
        shown = " ".join(f"{name}={value}" for name, value in told.items() if value is not None)
        _access.info("%s", shown, extra={"told": {**told, "message": "request"}})


class Sent:
    """What an application sends, on its way."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0
        self.size_bytes = 0
        self.request_id: str | None = None

    async def __call__(self, message: Message) -> None:
        """Send a message; see ASGI."""
        match message["type"]:
            case "http.response.start" | "websocket.http.response.start":
                self.status = message["status"]
                self.request_id = next((value.decode() for name, value in message["headers"] if name in _IDS), None)
            case "http.response.body" | "websocket.http.response.body":
                self.size_bytes += len(message.get("body", b""))
            case "websocket.accept":
                self.status = 101
            case "websocket.close" if not self.status:
                self.status = 403
        await self._send(message)
