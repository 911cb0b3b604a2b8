"""A small organisation for tests: members of every role with sessions, and what it takes to make more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from core.catalogue import Kind, KindAction, Mark
from core.secret import ServerKeys
from core.vocabulary import BuiltInRole
from models import Account, ActorKind, Member, MemberRole, MemberState, Role, TokenKind, new_id
from models.database import Database, opened
from resolvers import accounts, callers, gates, kinds, roles, sessions, statements, tokens
from resolvers.callers import Caller, Request, identify, with_credential
from resolvers.house import House
from resolvers.scopes import Scope
from resolvers.tokens import NewToken
from resolvers.writing import Done, Said

PASSWORD = "correct horse battery staple"

PROJ = Kind(
    "proj",
    (
        KindAction("viewProject", Mark.READ, gate=True),
        KindAction("createProject", Mark.WRITE),
        KindAction("updateTags", Mark.WRITE),
    ),
    name="Project",
    taggable=True,
)
ENV = Kind(
    "env", (KindAction("updateName", Mark.WRITE),), ("proj",), "Environment", properties=("critical",), taggable=True
)
FLAG = Kind(
    "flag",
    (KindAction("viewFlag", Mark.READ), KindAction("updateOn", Mark.WRITE), KindAction("deleteFlag", Mark.MANAGE)),
    ("env",),
    "Feature flag",
    taggable=True,
)


@dataclass
class Organisation:
    """One account with its owner signed in."""

    house: House
    account: Account
    owner: Caller
    secrets: dict[str, str] = field(default_factory=dict)

    @property
    def request(self) -> Request:
        """A request from nowhere in particular."""
        return Request(self.house, str(new_id()), "192.0.2.1", "tests")

    async def member(
        self,
        base_role: BuiltInRole = BuiltInRole.READER,
        *,
        custom: Sequence[Role] = (),
        attributes: Mapping[str, list[str]] | None = None,
        name: str = "",
        state: MemberState = MemberState.ACTIVE,
    ) -> Member:
        """Write a member directly, whatever it would take to get there."""
        key = str(new_id())
        member = await Member.create(
            account_id=self.account.id,
            email=f"{key}@example.com",
            email_key=f"{key}@example.com",
            name=name or f"{base_role.value} {key[-4:]}",
            base_role=base_role,
            state=state,
            role_attributes=dict(attributes or {}),
        )
        for role in custom:
            await MemberRole.create(account_id=self.account.id, member_id=member.id, role_id=role.id)
        member.account = self.account
        return member

    async def session(self, member: Member) -> Caller:
        """Open a session for a member, without a password."""
        await member.fetch_related("account")
        done = await sessions.open_session(member, self.request)
        assert done.secret
        self.secrets[str(done.row.id)] = done.secret
        return await identify(done.secret, self.request)

    async def as_role(self, role: BuiltInRole) -> Caller:
        """Open a session of a fresh member with this base role."""
        return await self.session(await self.member(role))

    async def role(self, key: str, *policy: Mapping[str, Any]) -> Role:
        """Make a custom role as the owner."""
        return (await roles.create(self.owner, roles.NewRole(key, key.title(), policy), Said())).row

    async def token(
        self, maker: Caller, scope: Scope | None = None, kind: TokenKind = TokenKind.PERSONAL, **wanted: Any
    ) -> Caller:
        """Make a token and identify it."""
        done = await self.made(maker, scope, kind, **wanted)
        return await self.identify(done)

    async def made(
        self, maker: Caller, scope: Scope | None = None, kind: TokenKind = TokenKind.PERSONAL, **wanted: Any
    ) -> Done[Any]:
        """Make a token and keep its secret."""
        wanted.setdefault("name", "a token")
        done = await tokens.create(maker, NewToken(kind, scope=scope or Scope(BuiltInRole.OWNER), **wanted), Said())
        assert done.secret
        self.secrets[str(done.row.id)] = done.secret
        return done

    async def identify(self, made: Done[Any] | str) -> Caller:
        """Make the caller of a secret anew, as the next request would."""
        secret = made if isinstance(made, str) else made.secret
        assert secret
        return await identify(secret, self.request)

    async def define(self, *wanted: Kind) -> None:
        """Define resource kinds as the owner."""
        for kind in wanted or (PROJ, ENV, FLAG):
            await kinds.define(self.owner, kind, Said())
        self.owner = await identify(self.secrets[str(self.owner.token.id)], self.request)  # type: ignore[union-attr]


async def founded(database: Database, key: str = "main", house: House | None = None) -> Organisation:
    """Make an account whose owner is signed in, on a server of its own or on one that is there."""
    house = house or House(database, ServerKeys.mint("first"))
    request = Request(house, str(new_id()), "192.0.2.1", "tests")
    account = (await accounts.create(request, key, key.title(), f"owner@{key}.example")).row
    owner = await Member.get(account_id=account.id)
    owner.state = MemberState.ACTIVE
    owner.name = "Owner"
    await owner.save()
    organisation = Organisation(house, account, await with_credential(account, request, ActorKind.COMMAND_LINE))
    organisation.owner = await organisation.session(owner)
    return organisation


def forget() -> None:
    """Forget all that this process remembers, as if it had just begun."""
    for module in (callers, gates, statements):
        module._remembered.clear()  # noqa: SLF001 - a process has one database, and never needs this


@dataclass(frozen=True, slots=True)
class Founded:
    """What it takes to go on with an organisation whose rows were copied."""

    keys: ServerKeys
    account_id: UUID
    secrets: dict[str, str]

    @classmethod
    async def of(cls, url: str) -> "Founded":
        """Make an account with its owner signed in and a small catalogue."""
        async with opened(url) as database:
            organisation = await founded(database)
            await organisation.define()
            return cls(organisation.house.keys, organisation.account.id, organisation.secrets)

    async def again(self, database: Database) -> Organisation:
        """Go on with it in a database that has its rows."""
        forget()  # what is remembered goes by ids, which here come again
        house = House(database, self.keys)
        request = Request(house, str(new_id()), "192.0.2.1", "tests")
        owner = await identify(next(iter(self.secrets.values())), request)
        return Organisation(house, owner.account, owner, dict(self.secrets))
