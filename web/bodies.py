"""Request bodies and answers in JSON."""

from collections.abc import Mapping
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

from web.errors import Formatted, RejectedError
from web.media import JSON, is_json


async def read_json(request: Request, limit_bytes: int) -> Any:  # noqa: ANN401 - a client's JSON may be anything
    """Read a JSON body in UTF-8. Raises `RejectedError`: 415 for its type, 413 for its size, 400 if it is not JSON."""
    if not is_json(request.headers.get("content-type", "")):
        raise RejectedError(415, f"the body must be `{JSON}` in UTF-8")
    if request.headers.get("content-encoding", "identity") != "identity":
        raise RejectedError(415, "the body must not be compressed")
    try:
        return orjson.loads(await read_body(request, limit_bytes))
    except orjson.JSONDecodeError:
        raise RejectedError(400, "the body is not JSON, or nests too deeply") from None


async def read_body(request: Request, limit_bytes: int) -> bytes:
    """Read a body, whatever it is. Raises `RejectedError`: 413 for its size."""
    body = bytearray()
    announced = request.headers.get("content-length", "0")
    if announced.isdecimal() and int(announced) > limit_bytes:
        raise _too_large(limit_bytes)
    async for chunk in request.stream():
        body += chunk
        if len(body) > limit_bytes:
            raise _too_large(limit_bytes)
    return bytes(body)


def _too_large(limit_bytes: int) -> RejectedError:
    return RejectedError(413, f"the body is larger than {limit_bytes} bytes")


def reply(
    content: object, request_id: str, *, status: int = 200, media: str = JSON, headers: Mapping[str, str] | None = None
) -> Response:
    """Answer in JSON, which nobody may keep."""
    own = {"Cache-Control": "no-store", "X-Request-Id": request_id, "Content-Type": f"{media}; charset=utf-8"}
    body = b"" if content is None else orjson.dumps(content)
    return Response(body, status, {**own, **(headers or {})})


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
    return reply({"errors": errors}, request_id, status=status, media=media, headers={**challenge, **(headers or {})})
