"""Pages of lists, by keyset: a page costs the same wherever it is, and rows that come or go move no other.

Pages are cut as Relay's `connectionFromArray` cuts an array. Every order tells all rows apart, most by ending with the
id; nulls come last in all.
"""

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any, Generic, Protocol, TypeVar, cast
from uuid import UUID

from pypika_tortoise.terms import Parameterizer
from tortoise.expressions import Case, F, Q, RawSQL, When
from tortoise.functions import Count
from tortoise.models import Model
from tortoise.queryset import QuerySet

from core.errors import Invalid
from resolvers.statements import Statement, dialect, found, uuid, written

DEFAULT_SIZE = 25
MAX_SIZE = 100

M = TypeVar("M", bound=Model)
T = TypeVar("T")


@cache  # orders are compared, and so is how they read
def text(most: int) -> Callable[[object], str]:
    """Read a text of up to so many characters out of a cursor."""

    def read(told: object) -> str:
        if not isinstance(told, str) or len(told) > most:
            raise ValueError
        told.encode()  # refuses half a character, which no database takes
        return told

    return read


_word = text(64)


def row_id(told: object) -> UUID:
    """Read an id out of a cursor."""
    return UUID(_word(told))


def number(told: object) -> int:
    """Read a whole number out of a cursor."""
    if not isinstance(told, int) or not 0 <= told < 2**63:
        raise ValueError
    return told


def moment(told: object) -> datetime:
    """Read an aware time out of a cursor."""
    at = datetime.fromisoformat(_word(told))
    if at.tzinfo is None:
        raise ValueError
    return at.astimezone(UTC)


class Placed(Protocol):
    """What has a place in a list: a row, or what stands for one."""

    @property
    def pk(self) -> Any:  # noqa: ANN401 - as Tortoise has it
        """Its id."""
        ...


@dataclass(frozen=True, slots=True)
class Order:
    """An order of a list. Cursors hold its name and direction and fit no other."""

    name: str
    column: str
    read: Callable[[object], Any]
    """From a cursor's JSON to what the column is compared with. Raises ValueError or TypeError."""
    descending: bool = False
    nullable: bool = False
    unique: bool = False
    """Whether no two rows of a list share a value, so that the id has nothing to tell apart."""

    def cursor(self, row: Placed) -> str:
        """Tell a row's place, opaquely."""
        value = getattr(row, self.column)
        told = str(value) if isinstance(value, UUID | datetime) else value
        place = json.dumps([self.name, self.descending, told, str(row.pk)], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(place.encode()).decode().rstrip("=")

    def place(self, field: str, cursor: str) -> "Place":
        """Read a cursor of this order. Raises `Invalid` for any other text."""
        with suppress(ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            name, descending, value, row_id = json.loads(base64.b64decode(_padded(cursor), b"-_", validate=True))
            if (name, descending) == (self.name, self.descending) and (value is not None or self.nullable):
                return Place(None if value is None else self.read(value), UUID(row_id))
        raise Invalid(field, "is no cursor of this list in this order")

    def columns(self, *, forward: bool) -> list[str]:
        """Say by what to sort, in Tortoise's words."""
        sign = "-" if forward is self.descending else ""
        nulls = ["nulls_" if forward else "-nulls_"] if self.nullable else []
        own = [f"{sign}{self.column}"] if self.column != "id" else []
        return [*nulls, *own, *([] if self.unique else [f"{sign}id"])]

    def onto(self, rows: QuerySet[M]) -> QuerySet[M]:
        """Add what the sorting needs beside the columns themselves."""
        if not self.nullable:
            return rows
        null = _is(f"{self.column}__isnull", value=True)
        # Numbers as they stand: PostgreSQL would take parameters for texts.
        last = Case(When(null, then=RawSQL("1")), default=RawSQL("0"))  # type: ignore[arg-type] # takes any expression
        return rows.annotate(nulls_=last)

    def beyond(self, place: "Place", *, forward: bool) -> Q:
        """Tell which rows come after a place, or before it."""
        than = "lt" if forward is self.descending else "gt"
        if self.unique:
            return _is(f"{self.column}__{than}", place.value)
        tie = _is(f"id__{than}", place.id)
        if self.column == "id":
            return tie
        null = _is(f"{self.column}__isnull", value=True)
        if place.value is None:
            return null & tie if forward else null & tie | _is(f"{self.column}__isnull", value=False)
        farther = _is(f"{self.column}__{than}", place.value) | _is(self.column, place.value) & tie
        return farther | null if forward and self.nullable else farther


@dataclass(frozen=True, slots=True)
class Place:
    """Where a row stands in an order."""

    value: Any
    id: UUID


@dataclass(frozen=True, slots=True)
class Window:
    """Which part of a list is asked for: so many from its beginning or its end, between two places."""

    order: Order
    size: int
    forward: bool = True
    after: Place | None = None
    before: Place | None = None
    kept: int | None = None
    """How many of those, from their end, where so many from the beginning are not all that is said."""

    @classmethod
    def of(cls, order: Order, first: int | None, after: str | None, last: int | None, before: str | None) -> "Window":
        """Check what a caller asks. Raises `Invalid` naming the argument."""
        forward = first is not None or last is None
        return cls(
            order,
            _size("first", first) if forward else _size("last", last),
            forward,
            None if after is None else order.place("after", after),
            None if before is None else order.place("before", before),
            _size("last", last) if forward and last is not None else None,
        )

    def within(self, rows: QuerySet[M]) -> QuerySet[M]:
        """Narrow a list to what lies between the two places."""
        if self.after is not None:
            rows = rows.filter(self.order.beyond(self.after, forward=True))
        if self.before is not None:
            rows = rows.filter(self.order.beyond(self.before, forward=False))
        return self.order.onto(rows)


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """A part of a list, in the list's order."""

    rows: list[T]
    order: Order
    has_next: bool = False
    has_previous: bool = False

    @classmethod
    def cut(cls, found: Sequence[T], window: Window, *, short: bool = False) -> "Page[T]":
        """Cut a page out of what was found: up to one row more than asked for, from the window's end inwards.

        `short` if not all was looked at, so that there may be more.
        """
        more = short or len(found) > window.size
        rows = list(found[: window.size])
        if not window.forward:
            rows.reverse()
        left = 0 if window.kept is None else max(0, len(rows) - window.kept)
        return cls(rows[left:], window.order, more and window.forward, left > 0 or (more and not window.forward))


def asked(rows: QuerySet[M], window: Window) -> QuerySet[M]:
    """Ask for the rows of a page, and one more."""
    ordered = window.within(rows).order_by(*window.order.columns(forward=window.forward))
    return ordered.limit(window.size + 1)


async def page(rows: QuerySet[M], window: Window) -> Page[M]:
    """Read one page of a list, in one statement."""
    return Page.cut(await Statement.of(asked(rows, window)).run(), window)


async def pages(rows: QuerySet[M], parent: str, parents: Sequence[UUID], window: Window) -> Mapping[UUID, Page[M]]:
    """Read one page for each of several parents, in one statement however many there are.

    `parent` is the column, or the path to it, that holds a row's parent.
    """
    if len(parents) == 1:
        return {parents[0]: await page(rows.filter(**{parent: parents[0]}), window)}
    of_each = {owner: list[M]() for owner in parents}
    ranked, numbered = _ranked(rows.filter(**{f"{parent}__in": list(parents)}), parent, window)
    listed = Statement.of(rows, numbered)
    # Tortoise has no window functions. The texts are its own, what is put between them is fixed.
    sql = (
        f"SELECT listed.*, ranked.parent_ FROM ({ranked}) AS ranked JOIN ({listed.sql}) AS listed"  # noqa: S608 - see above
        " ON listed.id = ranked.id ORDER BY ranked.parent_, ranked.rank_"
    )
    given = await found(sql, numbered.values)
    for row, one in zip(listed.rows(given), given, strict=True):
        of_each[uuid(one["parent_"])].append(row)
    return {owner: Page.cut(rows, window) for owner, rows in of_each.items()}


async def sought(
    rows: QuerySet[M], columns: Sequence[str], parents: Sequence[UUID], window: Window
) -> Mapping[UUID, Page[M]]:
    """Read one page for each of several parents as `pages` does, however many rows a parent has.

    The parent is held by one of the `columns`, each of which has an index in the list's order. That must be unique.
    """
    order, of_each = window.order, {owner: list[M]() for owner in parents}
    numbered, is_file = Parameterizer(), dialect() == "sqlite"
    numbered.values += map(str, parents)
    given = ", ".join("(?)" if is_file else f"(CAST(${place} AS UUID))" for place in range(1, len(parents) + 1))
    ids = " UNION ".join(
        f"SELECT id FROM ({_sought(rows, column, window, numbered)}) AS of_{column}"  # noqa: S608 - see above
        for column in columns
    )
    # SQLite knows no LATERAL, but a function's argument is worked out for each parent.
    beside = f"json_each((SELECT json_group_array(id) FROM ({ids})))" if is_file else f"LATERAL ({ids})"  # noqa: S608 - see above
    on = f"listed.id = sought.{'value' if is_file else 'id'}"
    listed = Statement.of(rows, numbered)
    sql = (
        f"WITH parents(id) AS (VALUES {given}) SELECT listed.*, parents.id AS parent_ FROM parents"  # noqa: S608 - see above
        f" CROSS JOIN {beside} AS sought JOIN ({listed.sql}) AS listed ON {on}"
    )
    found_rows = await found(sql, numbered.values)
    for row, one in zip(listed.rows(found_rows), found_rows, strict=True):
        of_each[uuid(one["parent_"])].append(row)
    for each in of_each.values():
        each.sort(key=lambda row: getattr(row, order.column), reverse=window.forward is order.descending)
    return {owner: Page.cut(each, window) for owner, each in of_each.items()}


def _sought(rows: QuerySet[M], column: str, window: Window, numbered: Parameterizer) -> str:
    of_parent = rows.filter(**{column: RawSQL("parents.id")})
    return written(asked(of_parent, window).values("id"), numbered)[0]


async def counts(rows: QuerySet[M], parent: str, parents: Sequence[UUID]) -> Mapping[UUID, int]:
    """Count the rows of each of several parents, in one query."""
    of_each = rows.filter(**{f"{parent}__in": list(parents)}).annotate(parent_=F(parent), count_=Count("id"))
    found = await of_each.group_by("parent_").values_list("parent_", "count_")
    counted = {uuid(owner): int(cast("int", count)) for owner, count in found}
    return {owner: counted.get(owner, 0) for owner in parents}


async def counts_of_either(rows: QuerySet[M], one: str, other: str, parents: Sequence[UUID]) -> Mapping[UUID, int]:
    """Count the rows of each of several parents, which are held by one column or by another."""
    but_both = rows.filter(_is(f"{one}__isnull", value=True) | ~_is(one, F(other)))
    by_one, by_other = await counts(rows, one, parents), await counts(but_both, other, parents)
    return {owner: by_one[owner] + by_other[owner] for owner in parents}


def _ranked(rows: QuerySet[M], parent: str, window: Window) -> tuple[str, Parameterizer]:
    """Ask for the ids of each parent's page, and one more, numbered in the order they are cut in."""
    order, numbered = window.order, Parameterizer()
    listed = window.within(rows).annotate(parent_=_column(rows, parent), value_=_column(rows, order.column))
    names = ["id", "parent_", "value_", *(["nulls_"] if order.nullable else [])]
    inner, _ = written(listed.values(*names), numbered)
    by = ", ".join(_sorted(column, order) for column in order.columns(forward=window.forward))
    # What is put into the text are column names and a number of our own.
    outer = (
        "SELECT id, parent_, rank_ FROM ("  # noqa: S608 - see above
        f"SELECT id, parent_, ROW_NUMBER() OVER (PARTITION BY parent_ ORDER BY {by}) AS rank_ FROM ({inner}) AS listed"
        f") AS numbered WHERE rank_ <= {window.size + 1}"
    )
    return outer, numbered


def _column(rows: QuerySet[M], name: str) -> F | RawSQL:
    """Name a column along with its table, which `F` leaves out: what a filter joins may have one of that name too."""
    return F(name) if "__" in name else RawSQL(f'"{rows.model._meta.db_table}"."{name}"')  # noqa: SLF001 - where Tortoise keeps it


def _is(column: str, value: Any) -> Q:  # noqa: ANN401 - whatever the column holds
    return Q(**{column: value})


def _sorted(column: str, order: Order) -> str:
    name = column.removeprefix("-")
    return f"{'value_' if name == order.column else name} {'DESC' if column.startswith('-') else 'ASC'}"


def _size(field: str, asked: int | None) -> int:
    if asked is None:
        return DEFAULT_SIZE
    if not 0 <= asked <= MAX_SIZE:
        raise Invalid(field, f"must be from 0 to {MAX_SIZE}")
    return asked


def _padded(text: str) -> bytes:
    return text.encode("ascii") + b"=" * (-len(text) % 4)
