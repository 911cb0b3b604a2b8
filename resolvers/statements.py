"""Lists as statements: a query written out once for what a caller may do, and rows made of what it gives.

To write a query out takes Tortoise as long as the database needs to answer it, and to make rows of it twice that.
"""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar, cast
from uuid import UUID

from pypika_tortoise.terms import Parameterizer
from tortoise.connection import get_connections
from tortoise.models import Model
from tortoise.queryset import QuerySet, ValuesQuery

if TYPE_CHECKING:
    from resolvers.callers import Caller, Rights

M = TypeVar("M", bound=Model)
Found = Sequence[Mapping[str, Any]]

MEMORY_SIZE = 1_000
"""How many statements a process keeps."""


@dataclass(frozen=True, slots=True)
class Made(Generic[M]):
    """A kind of row that a statement gives: its model, how many columns, and along which attributes from the first."""

    model: type[M]
    width: int
    along: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Statement(Generic[M]):
    """A query for rows, and for those that stand beside them (`select_related`)."""

    sql: str
    values: Sequence[Any]
    made: tuple[Made[Any], ...]

    @classmethod
    def of(cls, rows: QuerySet[M], after: Parameterizer | None = None) -> "Statement[M]":
        """Write a query out; its placeholders come `after` those of a text that it is put into."""
        sql, values = written(rows, after)
        selected = cast("list[tuple[type[M], int, Any, Any, tuple[str | None, ...]]]", rows._select_related_idx)  # noqa: SLF001 - known when it is written
        made = (Made(model, width, tuple(filter(None, path))) for model, width, _, _, path in selected)
        return cls(sql, values, tuple(made))

    async def run(self) -> list[M]:
        """Read the rows. What stands beside several of them is one object."""
        return self.rows(await found(self.sql, self.values))

    def rows(self, found: Found) -> list[M]:
        """Make rows of what was found; columns behind those asked for do not matter."""
        if not found:
            return []
        model, (own, besides) = self.made[0].model, _layout(self.made, tuple(found[0]))
        known: dict[tuple[int, Any], Model] = {}
        rows = []
        for each in found:
            values = list(each.values())
            row = model._init_from_db(**dict(zip(own, values, strict=False)))  # noqa: SLF001 - as Tortoise does
            for part in besides:
                id_ = values[part.id_at]
                beside = known.get((part.start, id_))
                if beside is None and id_ is not None:
                    columns = zip(part.columns, values[part.start : part.end], strict=True)
                    beside = known[part.start, id_] = part.made.model._init_from_db(**dict(columns))  # noqa: SLF001 - see above
                *steps, last = part.made.along
                holder: Model | None = row
                for step in steps:
                    holder = holder and holder.__dict__[f"_{step}"]
                if holder is not None:
                    holder.__dict__[f"_{last}"] = beside
            rows.append(row)
        return rows


class _Beside(NamedTuple):
    """Where in what is found the columns are of a row that stands beside the first."""

    made: Made[Any]
    start: int
    end: int
    columns: Sequence[str]
    id_at: int


@lru_cache(maxsize=MEMORY_SIZE)
def _layout(made: Sequence[Made[Any]], names: tuple[str, ...]) -> tuple[Sequence[str], Sequence[_Beside]]:
    """Tell the columns of the first row from those of each beside it; what stands beside a row comes after that row."""
    ends = list(accumulate(each.width for each in made))
    besides = []
    for each, (start, end) in zip(made[1:], pairwise(ends), strict=True):
        columns = [name.partition(".")[2] for name in names[start:end]]
        besides.append(_Beside(each, start, end, columns, start + columns.index("id")))
    return names[: ends[0]], sorted(besides, key=lambda beside: len(beside.made.along))


def written(query: QuerySet[Any] | ValuesQuery[Any], after: Parameterizer | None = None) -> tuple[str, list[Any]]:
    """Write a query out: its text, and the values of its placeholders."""
    query._choose_db_if_not_chosen()  # noqa: SLF001 - Tortoise's `sql()` does this, and drops the values
    query._make_query()  # noqa: SLF001 - see above
    context = query.query.QUERY_CLS.SQL_CONTEXT.copy(parameterizer=after or Parameterizer())
    return query.query.get_parameterized_sql(context)


def dialect() -> str:
    """Name the words of the database that is open. What is written out in them is kept by this name too."""
    return str(get_connections().get("default").capabilities.dialect)


async def found(sql: str, values: Sequence[Any]) -> Found:
    """Run a statement that reads, and give what it found."""
    _, rows = await get_connections().get("default").execute_query(sql, list(values))
    return cast("Found", rows)


_remembered: "OrderedDict[Hashable, tuple[Rights, Statement[Any]]]" = OrderedDict()


async def remembered(caller: "Caller", what: Hashable, write: Callable[[], Awaitable[QuerySet[M]]]) -> Statement[M]:
    """Write a query out, or find it written already for what this caller may do.

    `what` must tell all that it depends on besides the caller's account and rights, and it may not depend on the time.
    """
    key = (id(caller.rights), caller.account.id, what)
    known = _remembered.get(key)
    if known is not None and known[0] is caller.rights:  # rights that are gone may have left their place to others
        _remembered.move_to_end(key)
        return known[1]
    statement = Statement.of(await write())
    _remembered[key] = (caller.rights, statement)
    if len(_remembered) > MEMORY_SIZE:
        _remembered.popitem(last=False)
    return statement


def uuid(value: object) -> UUID:
    """Read an id, which SQLite keeps as text."""
    return value if isinstance(value, UUID) else UUID(str(value))
