"""Request bodies and answers in JSON, and headers that are found without looking through all of them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import orjson
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope

from web.answers import LATE
from web.errors import Formatted, RejectedError, counted, masked, retry_header
from web.media import JSON, is_json


class Found(Headers):
    """Headers by their names, which are asked for in lower case."""

    def __init__(self, raw: list[tuple[bytes, bytes]]) -> None:
        super().__init__(raw=raw)
        self._found: dict[bytes, list[bytes]] = {}
        for name, value in raw:
            if name in self._found:
                self._found[name].append(value)
            else:
                self._found[name] = [value]

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - as in Starlette
        """Give the first value of a header."""
        found = self._found.get(key.encode("latin-1"))
        return default if found is None else found[0].decode("latin-1")

    def getlist(self, key: str) -> list[str]:
        """Give every value of a header."""
        return [value.decode("latin-1") for value in self._found.get(key.encode("latin-1"), ())]


class Asked(Request):
    """A request whose headers are asked for by name, often."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        super().__init__(scope, receive)
        self._headers = Found(scope["headers"])


def is_compressed(headers: Headers) -> bool:
    """Say whether a body is said to be in another encoding than its own."""
    return bool(headers.get("content-encoding", "identity") != "identity")


async def read_json(request: Request, limit_bytes: int) -> Any:  # noqa: ANN401 - a client's JSON may be anything
    """Read a JSON body in UTF-8. Raises `RejectedError` as `read_body`, 415 for its type, or 400 if it is not JSON."""
    if not is_json(request.headers.get("content-type", "")):
        raise RejectedError(415, f"the body must be `{JSON}` in UTF-8")
    if is_compressed(request.headers):
        raise RejectedError(415, "the body must not be compressed")
    try:
        return orjson.loads(await read_body(request, limit_bytes))
    except orjson.JSONDecodeError:
        raise RejectedError(400, "the body is not JSON, or nests too deeply") from None


MAX_QUERY_BYTES = 1 << 15
"""Of a URL's query: what is longer is sent by POST."""
_MAX_PARAMETERS = 16
_IN_JSON = frozenset({"variables", "extensions"})


def read_query(request: Request) -> dict[str, Any]:
    """Read the query of a URL; what is empty counts as left out. Raises `RejectedError`: 414 for its size, else 400."""
    query: bytes = request.scope["query_string"]
    if len(query) > MAX_QUERY_BYTES:
        raise RejectedError(414, f"the URL is longer than {MAX_QUERY_BYTES} bytes: send it by POST")
    try:
        told = parse_qsl(query.decode("ascii"), errors="strict", max_num_fields=_MAX_PARAMETERS)
        read = {name: orjson.loads(value) if name in _IN_JSON else value for name, value in told}
    except ValueError:
        raise RejectedError(400, "the URL must be encoded as a form, `variables` and `extensions` in JSON") from None
    if len(read) < len(told):
        raise RejectedError(400, "a parameter is given twice")
    return read


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read a body, whatever it is. Raises `ClientDisconnect` if the client left.

    Raises `RejectedError`: 413 for its size, 408 if what is left of it took too long.
    """
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise _too_large(limit_bytes)
    chunks: list[bytes] = []
    size, more = 0, True
    while more:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunks.append(message.get("body", b""))
        more = message.get("more_body", False)
        size += len(chunks[-1])
        if size > limit_bytes:
            raise _too_large(limit_bytes)
        if more and request.scope.get("state", {}).get(LATE):
            raise RejectedError(408, "the body did not come in time")
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large(limit_bytes: int) -> RejectedError:
    return RejectedError(413, f"the body is larger than {limit_bytes} bytes")


class Reply(Response):
    """An answer that is whole, so that Starlette need not make anything of it."""

    def __init__(self, body: bytes, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.body = body
        self.status_code = status
        self.raw_headers = headers
        self.background = None


NO_STORE = (b"cache-control", b"no-store")
NOSNIFF = (b"x-content-type-options", b"nosniff")
REQUEST_ID = b"x-request-id"


@lru_cache(maxsize=16)
def media_header(media: str) -> tuple[bytes, bytes]:
    """Say in which media type an answer is."""
    return (b"content-type", f"{media}; charset=utf-8".encode())


def reply(
    content: object, request_id: str, *, status: int = 200, media: str = JSON, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer in JSON, which nobody may keep, nor take for anything else."""
    body = b"" if content is None else orjson.dumps(content)
    told = [NO_STORE, NOSNIFF, media_header(media)]
    if status != 204:  # noqa: PLR2004 - the HTTP status
        told.append((b"content-length", b"%d" % len(body)))
    if headers:
        given = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in headers.items()}
        told = [*((name, value) for name, value in told if name not in given), *given.items()]
    return Reply(body, status, [*told, (REQUEST_ID, request_id.encode())])


def reply_errors(
    errors: list[Formatted],
    request_id: str,
    *,
    status: int,
    media: str = JSON,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Answer with errors alone. A 401 says how to authenticate."""
    challenge = {"WWW-Authenticate": "Bearer"} if status == 401 else {}  # noqa: PLR2004 - the HTTP status
    headers = {**challenge, **(headers or {})}
    return reply({"errors": counted(errors)}, request_id, status=status, media=media, headers=headers)


def reply_failed(error: BaseException, request_id: str, *, media: str = JSON) -> Response:
    """Answer what nobody expected: 503 while the database is away, or else 500."""
    told = masked(error, request_id)
    headers = retry_header(told)
    return reply_errors([told], request_id, status=503 if headers else 500, media=media, headers=headers)
