"""Connections: Relay's lists, a page at a time, nested ones read together with their siblings."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import strawberry
from tortoise.models import Model
from tortoise.queryset import QuerySet

from resolvers import pages, statements
from resolvers.callers import Caller
from resolvers.pages import Page, Placed, Window
from resolvers.statements import Statement
from schema import face
from schema.context import Info

T = TypeVar("T")
M = TypeVar("M", bound=Model)

First = Annotated[
    int | None,
    strawberry.argument(description="How many, from the beginning: up to 100. Without `first` and `last`, 25."),
]
After = Annotated[str | None, strawberry.argument(description="A cursor: only what comes after it.")]
Last = Annotated[
    int | None, strawberry.argument(description="How many, from the end: up to 100. With `first` too, of those.")
]
Before = Annotated[str | None, strawberry.argument(description="A cursor: only what comes before it.")]


@face.choice(
    ASC="Smallest, earliest or first in the alphabet comes first.",
    DESC="Largest, latest or last in the alphabet comes first.",
)
class OrderDirection(StrEnum):
    """Which way a list is ordered."""

    ASC = "ASC"
    DESC = "DESC"


@face.output
class PageInfo:
    """Where a page lies in its list."""

    has_next_page: bool = face.shown("Whether more follows, when paging forwards; false when paging backwards.")
    has_previous_page: bool = face.shown("Whether more comes before, when paging backwards; false when forwards.")
    start_cursor: str | None = face.shown(
        "The cursor of the first row, or of how far was looked where a page ends early; null where there is neither."
    )
    end_cursor: str | None = face.shown(
        "The cursor of the last row, or of how far was looked where a page ends early; null where there is neither."
    )


@face.output
class Edge(Generic[T]):
    """One row of a list, and its place in it."""

    node: T = face.shown("The row itself.")
    cursor: str = face.shown("Its place, for `after` and `before`. Opaque; it holds for this list in this order.")


@face.output
class Connection(Generic[T]):
    """One page of a list."""

    page: strawberry.Private[Page[Any]]
    show: strawberry.Private[Callable[[Any], T]]
    counted: strawberry.Private[Callable[[], Awaitable[int | None]]]
    reached: strawberry.Private[Placed | None] = None
    """The last row looked at, where the page ends before it is full: from there it goes on."""

    @face.field()
    def edges(self) -> list[Edge[T]]:
        """The rows of the page, each with its cursor."""
        cursor = self.page.order.cursor
        return [Edge(node=self.show(row), cursor=cursor(row)) for row in self.page.rows]

    @face.field()
    def nodes(self) -> list[T]:
        """The rows of the page alone."""
        return [self.show(row) for row in self.page.rows]

    @face.field()
    def page_info(self) -> PageInfo:
        """Where the page lies in the list."""
        page = self.page
        begin, end = (page.rows[0], page.rows[-1]) if page.rows else (None, None)
        if self.reached is not None:
            begin, end = (begin, self.reached) if page.has_next else (self.reached, end)
        return PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=None if begin is None else page.order.cursor(begin),
            end_cursor=None if end is None else page.order.cursor(end),
        )

    @face.field()
    async def total_count(self) -> int | None:
        """How many rows the whole list has. Counted only when asked for."""
        return await self.counted()


@dataclass(frozen=True, slots=True)
class Rows(Generic[M]):
    """A list of what a caller may see."""

    name: str
    rows: Callable[[Caller], Awaitable[QuerySet[M]]]
    lasting: bool = False
    """Whether they depend on nothing but the caller's account and rights: on no filter, and not on the time."""


async def listed(caller: Caller, listing: Rows[M], window: Window, show: Callable[[M], T]) -> Connection[T]:
    """Read a page of a list that stands by itself. A lasting query is written out but once."""

    async def write() -> QuerySet[M]:
        return pages.asked(await listing.rows(caller), window)

    async def counted() -> int:
        return await (await listing.rows(caller)).count()

    if listing.lasting:
        statement = await statements.remembered(caller, (listing.name, window), write)
    else:
        statement = Statement.of(await write())
    return Connection(page=Page.cut(await statement.run(), window), show=show, counted=counted)


@dataclass(frozen=True, slots=True)
class Nested(Generic[M]):
    """A list beneath each of several objects. Equal ones, asked at the same time, are read together."""

    name: str
    parent: str
    """The column, or the path to it, that holds a row's parent."""
    rows: Callable[[Caller], Awaitable[QuerySet[M]]]
    narrowed: Hashable = None
    """What tells its rows from others of the same name: the filter."""
    also: str | None = None
    """Another column that may hold it, of rows that may be any number: each page is sought by itself."""


async def beneath(info: Info, parent: UUID, nested: Nested[M], window: Window, show: Callable[[M], T]) -> Connection[T]:
    """Read a page of the list beneath one object, together with those of its siblings."""
    what = (nested.name, nested.narrowed, window)

    async def load(caller: Caller, parents: Sequence[UUID]) -> Any:  # noqa: ANN401 - a mapping of pages
        rows = await nested.rows(caller)
        if nested.also is None:
            return await pages.pages(rows, nested.parent, parents, window)
        return await pages.sought(rows, (nested.parent, nested.also), parents, window)

    async def count(caller: Caller, parents: Sequence[UUID]) -> Any:  # noqa: ANN401 - a mapping of numbers
        rows = await nested.rows(caller)
        if nested.also is None:
            return await pages.counts(rows, nested.parent, parents)
        return await pages.counts_of_either(rows, nested.parent, nested.also, parents)

    async def counted() -> int | None:
        return await info.context.batched(("count", what), parent, count)

    page: Page[M] | None = await info.context.batched(what, parent, load)
    return Connection(page=page or Page([], window.order), show=show, counted=counted)
