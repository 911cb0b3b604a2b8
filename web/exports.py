"""`GET /tokens/export.csv` and `/tokens/export.jsonl`: the inventory of tokens as a file; docs/tokens.md is its manual.

Each page of it is a GraphQL query of the caller's, so it shows what they may see and nothing else. It is sent as it is
read, and only a page of it is in memory at a time.
"""

import csv
import io
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import Any

import orjson
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from core.errors import RateLimited, Unauthenticated
from resolvers.callers import Caller, Request, current
from schema.context import Context
from web import deprecations
from web.bodies import reply_errors
from web.credentials import Gate, Presented
from web.errors import Formatted, RejectedError, RequestError, masked, refused
from web.execution import Engine, Parameters
from web.rates import told

PATH = "/tokens/export"
PAGE = """query ($filter: TokenFilterInput, $after: String) {
  tokens(filter: $filter, orderBy: {field: CREATED_AT, direction: ASC}, first: 50, after: $after) {
    nodes {
      id resource kind name description state ending scope { builtInRole customRoles { key } }
      owner { id name } creator { id name } responsible { id name } parent { id }
      networks rateLimits createdAt expiresAt endsAt resetAt revokedAt leakedAt lastUsedAt lastUsedAddress lastUsedAgent
    }
    pageInfo { hasNextPage endCursor }
  }
}"""
YES_OR_NO = {"unattended", "hasNoExpiry", "neverUsed"}
"""The criteria of a filter that are no texts in GraphQL."""
COLUMNS = (
    *("id", "resource", "kind", "name", "description", "state", "ending", "builtInRole", "customRoles"),
    *("ownerId", "owner", "creatorId", "creator", "responsibleId", "responsible", "parentId", "networks", "rateLimits"),
    *("createdAt", "expiresAt", "endsAt", "resetAt", "revokedAt", "leakedAt"),
    *("lastUsedAt", "lastUsedAddress", "lastUsedAgent"),
)
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""What a cell begins with that a spreadsheet would run: https://owasp.org/www-community/attacks/CSV_Injection."""
_STATUS = {"UNAUTHENTICATED": 401, "FORBIDDEN": 403, "INTERNAL": 500}

Line = dict[str, Any]


def _csv(lines: Sequence[Line]) -> bytes:
    written = io.StringIO()
    csv.writer(written).writerows([[_cell(line[column]) for column in COLUMNS] for line in lines])
    return written.getvalue().encode()


def _cell(value: str | list[str] | None) -> str:
    """Write a cell as text; a list's items stand apart by spaces."""
    text = " ".join(value) if isinstance(value, list) else value or ""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _jsonl(lines: Sequence[Line]) -> bytes:
    return b"".join(orjson.dumps(line) + b"\n" for line in lines)


class Exports:
    """Answers requests to `/tokens/export.…`."""

    def __init__(self, engine: Engine, gate: Gate) -> None:
        self._engine = engine
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see ASGI."""
        http = HTTPRequest(scope, receive)
        request = self._gate.request_of(http)
        try:
            response = await self._answer(http, request)
        except RejectedError as error:
            response = reply_errors(error.errors, request.id, status=error.status, headers=error.headers)
        except RequestError as error:
            response = reply_errors(error.errors, request.id, status=error.status)
        except Unauthenticated as error:
            response = reply_errors([refused(error)], request.id, status=401)
        except RateLimited as error:
            headers = {"Retry-After": str(error.retry_after_s)}
            response = reply_errors([refused(error)], request.id, status=429, headers=headers)
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            response = reply_errors([masked(error, request.id)], request.id, status=500)
        response.raw_headers += (*told(request.standings), *deprecations.told(request.deprecations))
        await response(scope, receive, send)

    async def _answer(self, http: HTTPRequest, request: Request) -> Response:
        if http.method != "GET":
            raise RejectedError(405, "tokens are exported by GET", headers={"Allow": "GET"})
        presented = Presented.by(http)
        if presented and presented.ambient:
            self._gate.guard(http.headers)
        caller = await self._gate.caller_of(presented, request)
        if caller is None:
            raise Unauthenticated
        wanted = _filter(http)
        self._engine.learn(PAGE)
        first = await self._page(caller, wanted, None)  # before anything is sent, so that a refusal is an answer
        ending = http.url.path.rpartition(".")[2]
        header, written, media = {
            "csv": (",".join(COLUMNS).encode() + b"\r\n", _csv, "text/csv; charset=utf-8"),
            "jsonl": (b"", _jsonl, "application/jsonl; charset=utf-8"),
        }[ending]
        headers = {
            "Cache-Control": "no-store",
            "Content-Disposition": f'attachment; filename="tokens.{ending}"',
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
            yield written([_line(node) for node in page["nodes"]])
            if not page["pageInfo"]["hasNextPage"]:
                return
            caller = await current(caller)
            page = await self._page(caller, wanted, page["pageInfo"]["endCursor"])

    async def _page(self, caller: Caller, wanted: Line, after: str | None) -> Line:
        """Read a page. Raises `RequestError` unless all that is refused are columns."""
        parameters = Parameters(PAGE, None, {"filter": wanted, "after": after})
        response = await self._engine.run(self._engine.prepare(parameters, Context(caller.request, caller)))
        errors = [error for error in response.get("errors", ()) if not _is_of_column(error)]
        if errors:
            raise RequestError(errors, _STATUS.get(errors[0]["extensions"]["code"], 400))
        page: Line = response["data"]["tokens"]
        return page


def _is_of_column(error: Formatted) -> bool:
    return error["extensions"]["code"] == "FORBIDDEN" and len(error.get("path", ())) > 1


def _filter(http: HTTPRequest) -> Line:
    """Read the filter out of the query string, by the names it has in GraphQL."""
    given: Line = {}
    for name, text in http.query_params.multi_items():
        if name in given:
            raise RejectedError(400, f"`{name}` is given more than once", "BAD_USER_INPUT")
        given[name] = text
        if name in YES_OR_NO:
            with suppress(KeyError):
                given[name] = {"true": True, "false": False}[text]
    return given


def _line(node: Line) -> Line:
    """Lay a token out flat, its columns in their order. What is refused or hidden is None."""
    flat = {
        **node,
        **{f"{name}Id": (node[name] or {}).get("id") for name in ("owner", "creator", "responsible", "parent")},
    }
    flat |= {name: (node[name] or {}).get("name") for name in ("owner", "creator", "responsible")}
    flat["builtInRole"] = node["scope"]["builtInRole"]
    flat["customRoles"] = [role["key"] for role in node["scope"]["customRoles"] or ()]
    return {column: flat[column] for column in COLUMNS}
