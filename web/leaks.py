"""`POST /tokens/revoke-leaked`: whoever holds a secret may end what it opens; docs/leaks.md is its manual.

No credential counts here, and the answer to what is known and what is not is the same.
"""

from typing import Any

from starlette.requests import ClientDisconnect
from starlette.requests import Request as HTTPRequest
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from core.errors import Invalid, RateLimited, Refusal
from resolvers import leaks
from resolvers.callers import Request
from web.bodies import read_json, reply, reply_errors, reply_failed
from web.credentials import MAX_CREDENTIAL_LENGTH, Gate
from web.errors import RejectedError, refused

PATH = "/tokens/revoke-leaked"
BODY_LIMIT_BYTES = 64 << 10


class Leaks:
    """Answers requests to `/tokens/revoke-leaked`."""

    def __init__(self, gate: Gate) -> None:
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request; see ASGI."""
        http = HTTPRequest(scope, receive)
        request = self._gate.request_of(http)
        try:
            response = await _answer(http, request)
        except ClientDisconnect:
            return
        except RejectedError as error:
            response = reply_errors(error.errors, request.id, status=error.status, headers=error.headers)
        except RateLimited as error:
            headers = {"Retry-After": str(error.retry_after_s)}
            response = reply_errors([refused(error)], request.id, status=429, headers=headers)
        except Refusal as error:
            response = reply_errors([refused(error)], request.id, status=400)
        except Exception as error:  # noqa: BLE001 - the last place where the cause can be logged and masked
            response = reply_failed(error, request.id)
        await response(scope, receive, send)


async def _answer(http: HTTPRequest, request: Request) -> Response:
    if http.method != "POST":
        raise RejectedError(405, "leaked secrets are reported by POST", headers={"Allow": "POST"})
    reported = _reported(await read_json(http, BODY_LIMIT_BYTES))
    await leaks.revoke(request, reported)
    return reply({"reported": len(reported)}, request.id, status=202)


def _reported(body: Any) -> list[str]:  # noqa: ANN401 - a client's JSON may be anything
    """Read `{"token": …}`, `{"tokens": […]}` or `[{"token": …}, …]`. Raises `Invalid`."""
    match body:
        case {"token": _, "tokens": _}:
            raise Invalid("tokens", "cannot be given together with `token`")
        case {"token": token}:
            told = [token]
        case {"tokens": [*tokens]}:
            told = tokens
        case [*each]:
            told = [one.get("token") if isinstance(one, dict) else None for one in each]
        case _:
            raise Invalid("tokens", 'must be a list: send `{"token": …}`, `{"tokens": […]}` or `[{"token": …}]`')
    if not all(isinstance(one, str) and len(one) <= MAX_CREDENTIAL_LENGTH for one in told):
        raise Invalid("tokens", f"must be strings of at most {MAX_CREDENTIAL_LENGTH} characters")
    return told
