"""How much is in the variables of a request, seen to before any of them is read."""

from collections.abc import Mapping
from typing import Any

from web.errors import RequestError
from web.limits import Limits

_HOLDERS = frozenset({dict, list})


def refuse_large(variables: Mapping[str, Any], limits: Limits) -> None:
    """Raise `RequestError` if there are too many values, or if they nest too deeply."""
    count = depth = 0
    level: list[Any] = [variables]
    while level:
        depth += 1
        if depth > limits.nesting:
            raise _over("nest too deeply", limits.nesting)
        count += sum(map(len, level))
        if count > limits.values:
            raise _over("hold too many values", limits.values)
        level = [
            child
            for values in map(_within, level)
            if not _HOLDERS.isdisjoint(map(type, values))
            for child in values
            if type(child) in _HOLDERS
        ]


def _within(value: Any) -> Any:  # noqa: ANN401 - a list, or the values of an object
    return value.values() if type(value) is dict else value


def _over(problem: str, limit: int) -> RequestError:
    return RequestError.of(f"the variables {problem}, the limit is {limit}", "QUERY_TOO_COMPLEX", limit=limit)
