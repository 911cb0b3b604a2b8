"""Errors as clients read them: every one labelled with `extensions.code`, the unexpected ones masked and logged."""

import logging
import re
import traceback
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Self

from graphql import GraphQLError
from strawberry.exceptions import StrawberryInputCoercionError
from strawberry.relay.types import GlobalIDValueError, InvalidGlobalIDError

from core.errors import Refusal, Unavailable
from core.secret import redacted
from models.engines.transactions import AwayError

Formatted = dict[str, Any]
"""One entry of a response's `errors`."""

RETRY_AFTER_S = 5
"""When whoever met a database that does not answer may try again."""

_log = logging.getLogger(__name__)

codes: Counter[str] = Counter()
"""How often clients were told of an error of each code since the process began."""

_VALUE = re.compile(r"[,.]? found: .*|(?<=cannot represent)( [^:]+): .*", re.IGNORECASE | re.DOTALL)
"""What graphql-core shows of a value that is no good: it may be a secret, whose place is enough."""
_UNEXPECTED = frozenset({"INTERNAL", Unavailable.code})
_GROUPED = frozenset({"FORBIDDEN", "UNAUTHENTICATED"}) | _UNEXPECTED
"""Codes of which one error is told for a field however many rows it failed on."""
MAX_ERRORS = 100
"""How many errors of fields are told; one more says of how many others nothing is."""
_BAD_INPUT = (StrawberryInputCoercionError, GlobalIDValueError, InvalidGlobalIDError)


class RequestError(Exception):
    """A GraphQL request that is not executed: its response has errors and no data.

    `status` is the HTTP status under `application/graphql-response+json`.
    """

    def __init__(self, errors: list[Formatted], status: int = 400) -> None:
        super().__init__(errors[0]["message"])
        self.errors = errors
        self.status = status

    @classmethod
    def of(cls, message: str, code: str, **extensions: object) -> Self:
        """Make one of a message and its code."""
        return cls([{"message": message, "extensions": {"code": code, **extensions}}])

    @classmethod
    def labelled(cls, errors: Sequence[GraphQLError], code: str) -> Self:
        """Make one of what graphql-core found in the request, all under one code."""
        return cls([{**_with(error, {"code": code}), "message": withheld(error.message)} for error in errors])

    @classmethod
    def because(cls, refusal: Refusal, status: int = 400) -> Self:
        """Make one of a refusal."""
        return cls([refused(refusal)], status)


class RejectedError(Exception):
    """An HTTP request that never becomes a GraphQL request. `status` holds under every media type."""

    def __init__(
        self, status: int, message: str, code: str = "BAD_REQUEST", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.errors: list[Formatted] = [{"message": message, "extensions": {"code": code}}]
        self.headers = headers or {}


def counted(errors: list[Formatted]) -> list[Formatted]:
    """Count errors that a client is being told of."""
    codes.update(error["extensions"]["code"] for error in errors)
    return errors


def refused(refusal: Refusal) -> Formatted:
    """Format a refusal that happened outside of a field."""
    return {"message": refusal.message, "extensions": dict(refusal.extensions)}


def masked(error: BaseException, request_id: str) -> Formatted:
    """Log an unexpected error with its cause, and tell the caller no more than where to look for it.

    That the database is away tells what to do: to try again.
    """
    if isinstance(error, AwayError):
        _log.warning("request %s: the database is away: %s", request_id, redacted(str(error)))
        return refused(Unavailable(RETRY_AFTER_S))
    _log.error("request %s failed\n%s", request_id, redacted("".join(traceback.format_exception(error))))
    return {"message": "internal error", "extensions": {"code": "INTERNAL", "requestId": request_id}}


def retry_header(error: Formatted) -> dict[str, str]:
    """Say in a header when to try again, if the error says it."""
    wait_s = error["extensions"].get("retryAfter")
    return {} if wait_s is None else {"Retry-After": str(wait_s)}


def barren(response: Mapping[str, Any]) -> Formatted | None:
    """Find the error of a GraphQL response of which nothing came out because the database is away."""
    if "errors" not in response or any(value is not None for value in (response["data"] or {}).values()):
        return None
    return next((error for error in response["errors"] if error["extensions"]["code"] == Unavailable.code), None)


def withheld(message: str) -> str:
    """Take out of a message about a request what was sent in it."""
    return redacted(_VALUE.sub(r"\1", message))


def formatted(errors: Sequence[GraphQLError], request_id: str) -> list[Formatted]:
    """Format what went wrong in fields: refusals as they are, bad input labelled, all else masked.

    A field refused on many rows is one error, at the first of them, with `extensions.count`. Beyond `MAX_ERRORS`, one
    error stands for all others.
    """
    grouped: dict[object, list[tuple[GraphQLError, Formatted]]] = {}
    for index, error in enumerate(errors):
        extensions = _told(error)
        code = extensions["code"]
        place = tuple(part for part in error.path or () if isinstance(part, str))
        key = (place, code, extensions.get("action")) if code in _GROUPED else index
        grouped.setdefault(key, []).append((error, extensions))
    told = [_one(group, request_id) for group in islice(grouped.values(), MAX_ERRORS)]
    if len(grouped) > MAX_ERRORS:
        told.append(_others(len(grouped) - MAX_ERRORS))
    return told


def _others(count: int) -> Formatted:
    return {"message": f"{count} more errors", "extensions": {"code": "TOO_MANY_ERRORS", "count": count}}


def _one(group: list[tuple[GraphQLError, Formatted]], request_id: str) -> Formatted:
    error, extensions = group[0]
    if extensions["code"] in _UNEXPECTED:
        told = {**_with(error, {}), **masked(_cause(error), request_id)}
    else:
        told = _with(error, extensions)
    if len(group) > 1:
        told["extensions"]["count"] = len(group)
    if any(other.get("resource") != extensions.get("resource") for _, other in group):
        told["message"] = f"needs `{extensions['action']}`"
        del told["extensions"]["resource"]
    return told


def _told(error: GraphQLError) -> Formatted:
    """Find the extensions that a caller may read; those of `INTERNAL` where nothing else is known."""
    cause = _cause(error)
    if isinstance(cause, Refusal):
        return dict(cause.extensions)
    if isinstance(cause, _BAD_INPUT) or _is_argument(cause):
        return {"code": "BAD_USER_INPUT"}
    return {"code": Unavailable.code if isinstance(cause, AwayError) else "INTERNAL"}


def _cause(error: GraphQLError) -> Exception:
    cause: Exception = error
    while isinstance(cause, GraphQLError) and cause.original_error:
        cause = cause.original_error
    return cause


def _is_argument(cause: Exception) -> bool:
    """Whether graphql-core refused an argument: it points at the text before it knows the field's path."""
    return isinstance(cause, GraphQLError) and cause.path is None and bool(cause.nodes)


def _with(error: GraphQLError, extensions: Formatted) -> Formatted:
    told: Formatted = {"message": redacted(error.message)}
    if error.locations:
        told["locations"] = [{"line": at.line, "column": at.column} for at in error.locations]
    if error.path is not None:
        told["path"] = error.path
    return {**told, "extensions": extensions}
