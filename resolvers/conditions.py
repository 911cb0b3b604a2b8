"""Conditions on rows, joined as in Python: those that need no SQL come out as `True` or `False`."""

import operator
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Any

from pypika_tortoise.functions import Cast
from tortoise import filters
from tortoise.expressions import Q, ResolveContext
from tortoise.filters import escape_like
from tortoise.query_utils import QueryModifier

from resolvers.statements import dialect

Condition = Q | bool
"""A condition on rows; True and False are those that need no SQL."""


@dataclass(frozen=True, slots=True)
class Match:
    """On which rows something surely matches, and on which it does or could."""

    sure: Condition
    could: Condition


class Like(Q):
    """A glob with a `*` inside, as LIKE, which is deaf to case on SQLite."""

    def __init__(self, column: str, glob: str) -> None:
        super().__init__()
        self.column = column
        self.glob = glob

    def __bool__(self) -> bool:
        return True

    def resolve(self, resolve_context: ResolveContext) -> QueryModifier:
        """Compare the column as text."""
        column = resolve_context.table[self.column]
        return QueryModifier(where_criterion=_like(Cast(column, "VARCHAR"), column, self.glob))


class Glob(Like):
    """A glob on a column of text, which tells upper from lower case on every database."""

    def resolve(self, resolve_context: ResolveContext) -> QueryModifier:
        """Compare in the words of the database that is open."""
        column = resolve_context.table[self.column]
        if dialect() == "sqlite":
            literal = self.glob.replace("[", "[[]").replace("?", "[?]")
            # Cast, so that a prefix leads to no index: another knows better among what to look.
            return QueryModifier(where_criterion=Cast(column, "VARCHAR").glob(literal))
        return QueryModifier(where_criterion=_like(column, column, self.glob))


def _like(compared: Any, column: Any, glob: str) -> filters.Like:  # noqa: ANN401 - terms of pypika's, untyped
    pattern = "%".join(escape_like(piece) for piece in glob.split("*"))
    return filters.Like(compared, column.wrap_constant(pattern))


def every(conditions: Iterable[Condition]) -> Condition:
    """Join as `and`."""
    return _joined(conditions, operator.and_, neutral=True)


def some(conditions: Iterable[Condition]) -> Condition:
    """Join as `or`."""
    return _joined(conditions, operator.or_, neutral=False)


def negated(condition: Condition) -> Condition:
    """Turn round."""
    return not condition if isinstance(condition, bool) else ~Q(condition)


def sql(condition: Condition) -> Q:
    """Make what Tortoise filters by."""
    if isinstance(condition, Q):
        return condition
    return Q() if condition else Q(id__in=[])


def _joined(conditions: Iterable[Condition], join: Callable[[Any, Any], Any], *, neutral: bool) -> Condition:
    listed = [condition for condition in conditions if condition is not neutral]
    if any(isinstance(condition, bool) for condition in listed):
        return not neutral
    return reduce(join, listed) if listed else neutral
