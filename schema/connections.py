"""Connections: Relay's lists, a page at a time, nested ones read together with their siblings."""

from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Generic, TypeVar
from uuid import UUID

import strawberry
from tortoise.models import Model
from tortoise.queryset import QuerySet

from resolvers import pages
from resolvers.callers import Caller
from resolvers.pages import Page, Window
from schema import face
from schema.context import Info

T = TypeVar("T")
M = TypeVar("M", bound=Model)

First = Annotated[
    int | None,
    strawberry.argument(description="How many, from the beginning: up to 100. Without `first` and `last`, 25."),
]
After = Annotated[str | None, strawberry.argument(description="A cursor: only what comes after it.")]
Last = Annotated[int | None, strawberry.argument(description="How many, from the end: up to 100.")]
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
    start_cursor: str | None = face.shown("The cursor of the first row; null on an empty page.")
    end_cursor: str | None = face.shown("The cursor of the last row; null on an empty page.")


@face.output
class Edge(Generic[T]):
    """One row of a list, and its place in it."""

    node: T = face.shown("The row itself.")
    cursor: str = face.shown("Its place, for `after` and `before`. Opaque; it holds for this list in this order.")


@face.output
class Connection(Generic[T]):
    """One page of a list."""

    edges: list[Edge[T]] = face.shown("The rows of the page, each with its cursor.")
    nodes: list[T] = face.shown("The rows of the page alone.")
    page_info: PageInfo = face.shown("Where the page lies in the list.")
    counted: strawberry.Private[Callable[[], Awaitable[int | None]]]

    @face.field()
    async def total_count(self) -> int | None:
        """How many rows the whole list has. Counted only when asked for."""
        return await self.counted()

    @classmethod
    def of(
        cls, page: Page[Any], show: Callable[[Any], T], counted: Callable[[], Awaitable[int | None]]
    ) -> "Connection[T]":
        """Show a page."""
        edges = [Edge(node=show(row), cursor=page.order.cursor(row)) for row in page.rows]
        place = PageInfo(
            has_next_page=page.has_next,
            has_previous_page=page.has_previous,
            start_cursor=edges[0].cursor if edges else None,
            end_cursor=edges[-1].cursor if edges else None,
        )
        return cls(edges=edges, nodes=[edge.node for edge in edges], page_info=place, counted=counted)


async def listed(rows: QuerySet[Any], window: Window, show: Callable[[Any], T]) -> Connection[T]:
    """Read a page of a list that stands by itself."""

    async def counted() -> int:
        return await rows.count()

    return Connection.of(await pages.page(rows, window), show, counted)


@dataclass(frozen=True, slots=True)
class Nested(Generic[M]):
    """A list beneath each of several objects. Equal ones, asked at the same time, are read together."""

    name: str
    parent: str
    """The column, or the path to it, that holds a row's parent."""
    rows: Callable[[Caller], Awaitable[QuerySet[M]]]
    narrowed: Hashable = None
    """What tells its rows from others of the same name: the filter."""


async def beneath(info: Info, parent: UUID, nested: Nested[M], window: Window, show: Callable[[M], T]) -> Connection[T]:
    """Read a page of the list beneath one object, together with those of its siblings."""
    what = (nested.name, nested.narrowed, window)

    async def load(caller: Caller, parents: Sequence[UUID]) -> Any:  # noqa: ANN401 - a mapping of pages
        return await pages.pages(await nested.rows(caller), nested.parent, parents, window)

    async def count(caller: Caller, parents: Sequence[UUID]) -> Any:  # noqa: ANN401 - a mapping of numbers
        return await pages.counts(await nested.rows(caller), nested.parent, parents)

    async def counted() -> int | None:
        return await info.context.batched(("count", what), parent, count)

    page: Page[M] | None = await info.context.batched(what, parent, load)
    return Connection.of(page or Page([], window.order), show, counted)
