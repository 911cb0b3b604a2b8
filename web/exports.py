"""`GET /tokens/export.csv` and `/audit/export.csv`, each also `.jsonl`: a list as a file.

docs/tokens.md and docs/audit.md are their manuals.

Each page of it is a GraphQL query of the caller's, so it shows what they may see and nothing else. It is sent as it is
read, and only a page of it is in memory at a time.
"""

from asyncio import sleep
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress

import orjson
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from core import tables
from core.errors import Invalid, RateLimited, Unauthenticated
from resolvers.callers import Caller, Request, current
from schema.context import Context
from web import deprecations
from web.bodies import reply_errors, reply_failed
from web.credentials import Gate
from web.errors import Formatted, RejectedError, RequestError, refused, retry_header
from web.execution import Engine, Parameters
from web.rates import told
from web.tables import Line, Table

_STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "INTERNAL": 500, "UNAVAILABLE": 503}


class Exports:
    """Answers requests for a list as a file."""

    def __init__(self, engine: Engine, gate: Gate, table: Table) -> None:
        self._engine = engine
        self._gate = gate
        self._table = table

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see ASGI."""
        http = HTTPRequest(scope, receive)
        request = self._gate.request_of(http)
        try:
            response = await self._answer(http, request)
        except RejectedError as error:
            response = reply_errors(error.errors, request.id, status=error.status, headers=error.headers)
        except RequestError as error:
            headers = retry_header(error.errors[0])
            response = reply_errors(error.errors, request.id, status=error.status, headers=headers)
        except Unauthenticated as error:
            response = reply_errors([refused(error)], request.id, status=401)
        except Invalid as error:
            response = reply_errors([refused(error)], request.id, status=400)
        except RateLimited as error:
            headers = {"Retry-After": str(error.retry_after_s)}
            response = reply_errors([refused(error)], request.id, status=429, headers=headers)
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            response = reply_failed(error, request.id)
        response.raw_headers += (*told(request.standings), *deprecations.told(request.deprecations))
        await response(scope, receive, send)

    async def _answer(self, http: HTTPRequest, request: Request) -> Response:
        if http.method != "GET":
            raise RejectedError(405, "files are had by GET", headers={"Allow": "GET"})
        presented = self._gate.presented(http)
        if presented and presented.ambient:
            self._gate.guard(http.headers)
        caller = await self._gate.caller_of(presented, request)
        if caller is None:
            raise Unauthenticated
        wanted, after = self._asked(http)
        self._engine.learn(self._table.page)
        first = await self._page(caller, wanted, after)  # before anything is sent, so that a refusal is an answer
        ending = http.url.path.rpartition(".")[2]
        header, written, media = {
            "csv": (tables.headed(self._table.columns), self._csv, "text/csv; charset=utf-8"),
            "jsonl": (b"", self._jsonl, "application/jsonl; charset=utf-8"),
        }[ending]
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="{self._table.name}.{ending}"',
            "Content-Type": media,
            "X-Content-Type-Options": "nosniff",
            "X-Request-Id": request.id,
        }
        return StreamingResponse(self._pages(caller, wanted, first, header, written), headers=headers)

    async def _pages(
        self, caller: Caller, wanted: Line, first: Line, header: bytes, written: Callable[[Sequence[Line]], bytes]
    ) -> AsyncIterator[bytes]:
        """Write page after page. What goes wrong later ends the connection: nobody takes a part for the whole."""
        page = first
        yield header
        while True:
            yield written(page["nodes"])
            if not page["pageInfo"]["hasNextPage"]:
                return
            page = await self._next(caller, wanted, page["pageInfo"]["endCursor"])

    async def _next(self, caller: Caller, wanted: Line, after: str) -> Line:
        """Read another page, as soon as its caller has a turn and may spend what it costs."""
        while True:
            try:
                return await self._page(await current(caller), wanted, after)
            except RateLimited as error:
                await sleep(error.retry_after_s)

    async def _page(self, caller: Caller, wanted: Line, after: str | None) -> Line:
        """Read a page. Raises `RequestError` unless all that is refused are columns."""
        parameters = Parameters(self._table.page, None, {"filter": wanted, "after": after})
        response = await self._engine.run(await self._engine.prepare(parameters, Context(caller.request, caller)))
        errors = [error for error in response.get("errors", ()) if not _is_of_column(error)]
        if errors:
            raise RequestError(errors, _STATUS.get(errors[0]["extensions"]["code"], 400))
        page: Line = response["data"][self._table.field]
        return page

    def _csv(self, nodes: Sequence[Line]) -> bytes:
        return tables.written(self._table.columns, map(self._table.flat, nodes))

    def _jsonl(self, nodes: Sequence[Line]) -> bytes:
        return b"".join(orjson.dumps(self._table.line(node)) + b"\n" for node in nodes)

    def _asked(self, http: HTTPRequest) -> tuple[Line, str | None]:
        """Read the filter out of the query string, by the names it has in GraphQL, and after what to go on."""
        given: Line = {}
        for name, text in http.query_params.multi_items():
            if name in given:
                raise RejectedError(400, f"`{name}` is given more than once", "BAD_USER_INPUT")
            given[name] = text
            if name in self._table.flags:
                with suppress(KeyError):
                    given[name] = {"true": True, "false": False}[text]
        if self._table.place is None or "after" not in given:
            return given, None
        after = self._table.place(given.pop("after"))
        return given, after


def _is_of_column(error: Formatted) -> bool:
    return error["extensions"]["code"] == "FORBIDDEN" and len(error.get("path", ())) > 1
