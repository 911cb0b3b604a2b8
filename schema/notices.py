"""Notices in the schema: what people are told without asking, listed and followed."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import strawberry
from tortoise.queryset import QuerySet

from core.vocabulary import Action
from models import Notice as Row
from models import NoticeKind
from resolvers import lists, notices, telling
from resolvers.callers import Caller
from resolvers.pages import Window
from resolvers.reading import readable
from schema import face, nodes
from schema.audit import AuditEntry
from schema.connections import After, Before, Connection, First, Last, Rows, listed
from schema.context import Info
from schema.nodes import Node

if TYPE_CHECKING:
    from schema.members import Member
    from schema.tokens import Token


@face.output
class Notice(Node):
    """Something that Latchkey noticed by itself, and told to whom it concerns. Each is noticed once."""

    row: strawberry.Private[Row]
    kind: NoticeKind = face.column("kind", "What it is about.")
    at: datetime = face.column("at", "When it was noticed.")

    @face.field()
    def message(self) -> str:
        """What was noticed, in a sentence."""
        return telling.sentence(self.row)

    @face.field()
    def days(self) -> int | None:
        """Within how many days the token ends: 14, 7 or 1; null but for `EXPIRING`."""
        days: int | None = self.row.details.get("days")
        return days

    @face.field()
    def expires_at(self) -> datetime | None:
        """When the token ends, as it was then; null but for `EXPIRING` and `SHORTENED`."""
        told: str | None = self.row.details.get("expiresAt")
        return None if told is None else datetime.fromisoformat(told)

    @face.field()
    async def token(self, info: Info) -> Annotated["Token", strawberry.lazy("schema.tokens")] | None:
        """The token it is about, if it is about one that is no session, and you may see it."""
        found: Token | None = await nodes.beside(info, "Token", self.row.token_id)
        return found

    @face.field()
    async def member(self, info: Info) -> Annotated["Member", strawberry.lazy("schema.members")] | None:
        """Who is told: the token's owner or who answers for it, else the account's owner. Null if you may not see."""
        found: Member | None = await nodes.beside(info, "Member", self.row.member_id)
        return found

    @face.field()
    async def audit_entry(self, info: Info) -> AuditEntry | None:
        """What the log says of it, if you may see it."""
        found: AuditEntry | None = await nodes.beside(info, "AuditEntry", self.row.entry_id)
        return found

    @property
    def judged(self) -> Row:
        """The row that guarded fields are judged on."""
        return self.row

    @classmethod
    def of(cls, row: Row) -> "Notice":
        """Show a notice."""
        return cls(id=nodes.id_of("Notice", row), row=row)


async def _find(caller: Caller, keys: Sequence[str]) -> dict[str, Node]:
    return await nodes.by_uuid(keys, lambda ids: readable(caller, Row).filter(id__in=ids).all(), Notice.of)


nodes.register("Notice", _find, Notice.of)


async def _rows(caller: Caller) -> QuerySet[Row]:
    return readable(caller, Row)


@strawberry.type
class NoticeQueries:
    """Reading notices."""

    @face.field(Action.VIEW_AUDIT_LOG)
    async def notices(
        self, info: Info, first: First = None, after: After = None, last: Last = None, before: Before = None
    ) -> Connection[Notice] | None:
        """List the notices that you may see, the latest first: all, or those that you are told."""
        window = Window.of(lists.by_id(descending=True), first, after, last, before)
        return await listed(info.context.caller, Rows("notices", _rows, lasting=True), window, Notice.of)


@strawberry.type
class NoticeSubscriptions:
    """Following notices."""

    @face.subscription(Action.VIEW_AUDIT_LOG)
    async def notice_added(
        self,
        info: Info,
        after: Annotated[
            str | None,
            strawberry.argument(
                description="A cursor of `notices`: begin with what was noticed after it, "
                "so that nothing is missed between two connections. Without it, begin now."
            ),
        ] = None,
    ) -> AsyncIterator[Notice | None]:
        """Follow the notices: each that you may see, as it is made. Ends when your credential does."""
        place = None if after is None else notices.place_of("after", after)
        async with aclosing(notices.added(info.context.caller, place)) as followed:
            async for each in followed:
                info.context.anyone = each.caller
                yield Notice.of(each.row)
