"""A small house for the web's own tests: a schema that shows every way of answering, and callers by their secrets."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import strawberry
from starlette.applications import Starlette

from core.errors import Forbidden, Invalid, RateLimited, Unauthenticated
from resolvers.callers import Caller, Request
from web.app import application

ALIVE = "lkp_alive"
ORIGIN = "http://latchkey.test"


class Known(str):
    """A caller by their name, which is their token too."""

    __slots__ = ()

    @property
    def token(self) -> "Known":
        return self

    @property
    def id(self) -> str:
        return str(self)


@dataclass
class World:
    """What the resolvers saw and what they wait for."""

    calls: Counter[str] = field(default_factory=Counter)
    callers: dict[str, Any] = field(default_factory=lambda: {ALIVE: "ada", "lkt_session": "ada"})
    requests: list[Request] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    entered: asyncio.Event = field(default_factory=asyncio.Event)
    finished: list[str] = field(default_factory=list)
    trouble: Exception | None = None

    def asking(self, request_id: str, address: str | None, user_agent: str | None) -> Request:
        request = Request(cast("Any", self), request_id, address, user_agent)
        self.requests.append(request)
        return request

    async def identify(self, secret: str, _: Request) -> Caller:
        self.calls["identify"] += 1
        if secret == "lkp_broken":
            raise RuntimeError("the database has lkp_0123456789abcdef on fire")
        if secret not in self.callers:
            raise Unauthenticated
        return cast("Caller", Known(self.callers[secret]))

    async def sign_in(self, _: Request, email: str, password: str, account: str | None) -> Any:
        if email == "hasty@latchkey.test":
            raise RateLimited(30)
        if (email, password, account) != ("ada@latchkey.test", "analytical", None):
            raise Unauthenticated

        @dataclass
        class SignedIn:
            secret: str | None = "lkt_session"

        return SignedIn()

    def note_device(self, caller: Caller) -> str:
        return f"note-of-{caller}"

    async def sign_out(self, caller: Caller) -> None:
        self.calls[f"sign_out {caller}"] += 1

    async def answers(self) -> None:
        if self.trouble is not None:
            raise self.trouble


def world(info: strawberry.Info) -> World:
    return cast("World", info.context.request.house)


@strawberry.type
class Account:
    key: str = "acme"
    name: str = "Acme"


@strawberry.type
class Member:
    id: strawberry.ID
    name: str = "Ada"
    email: str = "ada@latchkey.test"

    @strawberry.field
    def secretive(self, info: strawberry.Info) -> str | None:
        world(info).calls["secretive"] += 1
        raise Forbidden("viewMemberEmail", f"member/{self.id}")

    @strawberry.field
    def wrong(self) -> str | None:
        raise Invalid("name", f"is no name of {self.id}")

    @strawberry.field
    def friends(self, info: strawberry.Info, first: int | None = None, last: int | None = None) -> "MemberConnection":
        world(info).calls["friends"] += 1
        return MemberConnection.of(first or last or 25)

    @strawberry.field
    def tags(self, info: strawberry.Info) -> list["Tag"]:
        world(info).calls["tags"] += 1
        return []

    @strawberry.field
    def self(self) -> "Member":
        return self


@strawberry.type
class Tag:
    key: str


@strawberry.type
class MemberEdge:
    cursor: str
    node: Member


@strawberry.type
class MemberConnection:
    edges: list[MemberEdge]
    nodes: list[Member]

    @classmethod
    def of(cls, count: int) -> "MemberConnection":
        nodes = [Member(id=strawberry.ID(str(n))) for n in range(count)]
        return cls(edges=[MemberEdge(cursor=node.id, node=node) for node in nodes], nodes=nodes)


@strawberry.type
class Viewer:
    member: Member
    account: Account


@strawberry.input
class Change:
    name: strawberry.Maybe[str]


@strawberry.type
class Query:
    @strawberry.field
    def hello(self, info: strawberry.Info, name: str = "you") -> str | None:
        world(info).calls["hello"] += 1
        return f"hello {name}"

    @strawberry.field
    def viewer(self, info: strawberry.Info) -> Viewer | None:
        world(info).calls["viewer"] += 1
        if info.context.anyone is None:
            raise Unauthenticated
        return Viewer(member=Member(id=strawberry.ID("1")), account=Account())

    @strawberry.field
    def members(
        self, info: strawberry.Info, first: int | None = None, last: int | None = None
    ) -> MemberConnection | None:
        world(info).calls["members"] += 1
        return MemberConnection.of(first or last or 25)

    @strawberry.field
    def nodes(self, info: strawberry.Info, ids: list[strawberry.ID]) -> list[Member | None] | None:
        world(info).calls["nodes"] += 1
        return [Member(id=one) for one in ids]

    @strawberry.field
    async def waiting(self, info: strawberry.Info) -> str | None:
        world(info).calls["waiting"] += 1
        world(info).entered.set()
        try:
            await world(info).gate.wait()
        except asyncio.CancelledError:
            world(info).finished.append("cancelled")
            raise
        return "waited"

    @strawberry.field
    def broken(self) -> str | None:
        raise RuntimeError("could not read lkp_0123456789abcdefghij")

    @strawberry.field
    def misleading(self) -> str | None:
        class ForeignError(Exception):
            extensions: ClassVar[dict[str, str]] = {"code": "BAD_USER_INPUT", "detail": "what nobody may read"}

        raise ForeignError("what nobody may read")

    @strawberry.field
    def invalid(self) -> str | None:
        raise Invalid("name", "must not be empty")

    @strawberry.field
    def unreadable(self) -> strawberry.scalars.JSON | None:
        return cast("strawberry.scalars.JSON", object())


@strawberry.type
class Mutation:
    @strawberry.mutation
    async def slow(self, info: strawberry.Info, name: str) -> str | None:
        world(info).entered.set()
        await world(info).gate.wait()
        world(info).finished.append(name)
        return name

    @strawberry.mutation
    def change(self, info: strawberry.Info, input: Change) -> str | None:  # noqa: A002 - the argument's public name
        world(info).calls["change"] += 1
        return input.name.value if input.name else None


@strawberry.type
class Event:
    number: int

    @strawberry.field
    async def waiting(self, info: strawberry.Info) -> str | None:
        world(info).entered.set()
        await world(info).gate.wait()
        return "waited"


@strawberry.type
class Subscription:
    @strawberry.subscription
    async def events(self, to: int) -> AsyncIterator[Event | None]:
        for number in range(to):
            yield Event(number=number)

    @strawberry.subscription
    async def count(self, info: strawberry.Info, to: int) -> AsyncIterator[int | None]:
        try:
            for number in range(to):
                yield number
        finally:
            world(info).finished.append("count")

    @strawberry.subscription
    async def forever(self, info: strawberry.Info) -> AsyncIterator[int | None]:
        try:
            yield 0
            world(info).entered.set()
            await asyncio.Event().wait()
        finally:
            world(info).finished.append("forever")

    @strawberry.subscription
    async def dying(self) -> AsyncIterator[int | None]:
        yield 0
        raise Unauthenticated

    @strawberry.subscription
    async def failing(self) -> AsyncIterator[int | None]:
        yield 0
        raise RuntimeError("no more lkp_0123456789abcdefghij")


schema = strawberry.Schema(query=Query, mutation=Mutation, subscription=Subscription)
plain_schema = schema._schema  # noqa: SLF001 - as the web does


@asynccontextmanager
async def unfurnished(_: Starlette) -> AsyncIterator[None]:
    yield


def build(world: World, **settings: Any) -> Starlette:
    """Assemble the application around a world."""
    given: dict[str, Any] = {"public_url": ORIGIN, "lifespan": unfurnished, **settings}
    return application(
        schema=schema,
        asking=world.asking,
        identify=world.identify,
        sign_in=world.sign_in,
        sign_out=world.sign_out,
        note_device=world.note_device,
        database_answers=world.answers,
        **given,
    )
