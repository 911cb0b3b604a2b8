"""No list takes more statements for many rows than for few: read off the schema, whatever is asked beneath it."""

from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from graphql import (
    GraphQLField,
    GraphQLNamedType,
    GraphQLObjectType,
    get_named_type,
    get_nullable_type,
    is_composite_type,
    is_interface_type,
    is_list_type,
    is_object_type,
    is_required_argument,
)
from tortoise.expressions import Q
from tortoise.models import Model

from models import (
    Account,
    AuditEntry,
    Channel,
    Delivery,
    Gate,
    GateSource,
    Job,
    JobKind,
    Member,
    Notice,
    NoticeKind,
    Role,
    ScopeKind,
    Token,
    TokenKind,
    TokenRole,
    Webhook,
    now,
)
from models.database import Database
from resolvers import holders, reports, tokens
from resolvers.callers import Caller
from resolvers.reports import Deed, OnBehalfOf
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Said
from schema import schema
from schema.nodes import global_id
from tests.organisation import Organisation, founded
from tests.schema.conftest import Ask

M = TypeVar("M", bound=Model)

CORE = schema._schema  # noqa: SLF001 - Strawberry offers no public way to it
FEW, MANY = 3, 100
ANYTHING = {"effect": "allow", "actions": ["*"], "resources": ["*"]}
FLAG = "proj/web:env/dev:flag/f"
NODES: dict[str, tuple[type[Model], Q]] = {
    "Account": (Account, Q()),
    "Member": (Member, Q()),
    "Role": (Role, Q()),
    "Token": (Token, ~Q(kind=TokenKind.SESSION)),
    "Session": (Token, Q(kind=TokenKind.SESSION)),
    "AuditEntry": (AuditEntry, Q()),
    "Gate": (Gate, Q()),
    "Job": (Job, Q()),
    "Notice": (Notice, Q()),
    "Webhook": (Webhook, Q()),
}
"""Which rows are the nodes of a kind. Resource kinds have keys, and are read together whichever are asked for."""

Fields = tuple[tuple[str, str, GraphQLField], ...]
"""Fields from the root downwards, each with the name of the type it is of."""


def rows_of(shown: GraphQLField) -> GraphQLNamedType | None:
    """Give the type of what a field lists; None for one that lists no objects."""
    type_ = get_nullable_type(shown.type)
    if is_list_type(type_):
        listed = get_named_type(type_)
        return listed if is_composite_type(listed) else None
    if is_object_type(type_) and {"nodes", "pageInfo"} <= type_.fields.keys():
        rows: GraphQLNamedType = get_named_type(type_.fields["nodes"].type)
        return rows
    return None


def places() -> Iterator[Fields]:
    """Find every list there is, by the shortest way from the root."""
    assert CORE.query_type
    seen, line = {CORE.query_type.name}, deque[tuple[GraphQLObjectType, Fields]]([(CORE.query_type, ())])
    while line:
        type_, above = line.popleft()
        for name, shown in type_.fields.items():
            way: Fields = (*above, (type_.name, name, shown))
            rows = rows_of(shown)
            if rows is not None:
                yield way
            beneath = rows or get_named_type(shown.type)
            if is_object_type(beneath) and beneath.name not in seen:
                seen.add(beneath.name)
                line.append((beneath, way))


PLACES = tuple(places())


@dataclass
class World:
    """An account in which every list has so many rows, each pointing to all it can point to."""

    organisation: Organisation
    size: int
    service: Caller | None = None
    arguments: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, organisation: Organisation, size: int) -> "World":
        world = cls(organisation, size)
        owner = organisation.owner
        assert owner.member
        known = await organisation.made(owner, name="known")
        world.service = await organisation.token(owner, Scope(statements=[ANYTHING]), TokenKind.SERVICE, name="CI")
        keys = [f"role-{number}" for number in range(size)]
        roles = [await world.make(Role, key=key, name=key, policy=[ANYTHING]) for key in keys]
        for number, role in enumerate(roles):
            member = await organisation.member(custom=(role, *roles[: min(number, 1)]), name=f"Person {number}")
            parent = await world.token(member, role, known.row)
        hooked: Webhook | None = None
        for number, role in enumerate(roles):
            token = await world.token(owner.member, role, parent)
            await world.make(Gate, key=f"gate-{number}", name="A gate", source=GateSource.PATH)
            await world.make(Job, kind=JobKind.REVOKE_TOKENS, member_id=owner.member.id, request_id="r")
            hook = await world.make(Webhook, url="https://example.com", key_id=organisation.house.keys.newest)
            hooked = hooked or hook
        for number in range(size):
            await tokens.update(owner, token.id, TokenChange(name=f"name {number}"), Said())
            (entry,) = await reports.record(world.service, [Deed("updateOn", FLAG, OnBehalfOf(token.id))], Said())
            about: dict[str, Any] = {
                "token_id": token.id,
                "member_id": owner.member.id,
                "entry_id": entry.id,
                "id": entry.id,
            }
            about["details"] = {"token": {"kind": "PERSONAL", "name": "t", "ending": "abcd"}}
            notice = await world.make(Notice, kind=NoticeKind.LEAKED, key=str(number), at=now(), **about)
            await world.make(Delivery, channel=Channel.WEBHOOK, notice_id=notice.id, webhook_id=hooked.id)  # type: ignore[union-attr]
        organisation.owner = await organisation.identify(organisation.secrets[str(owner.token.id)])  # type: ignore[union-attr]
        checks = ", ".join(f'{{action: "updateOn", resource: "{FLAG}{number}"}}' for number in range(size))
        token_id, member_id = global_id("Token", token.id), global_id("Member", owner.member.id)
        world.arguments = {
            "Query.member": f'(id: "{member_id}")',
            "Query.role": f'(key: "{roles[0].key}")',
            "Query.token": f'(id: "{token_id}")',
            "Query.auditEntry": f'(id: "{global_id("AuditEntry", entry.id)}")',
            "Query.gate": '(key: "gate-0")',
            "Query.auditCounts": '(since: "2020-01-01T00:00:00Z")',
            "Query.webhook": f'(id: "{global_id("Webhook", hook.id)}")',
            "Query.node": f'(id: "{token_id}")',
            "Query.checkAccess": f"(checks: [{checks}])",
            "Query.verifyToken": f'(secret: "{known.secret}", checks: [{checks}])',
            "Query.explainAccess": f'(subject: {{token: "{token_id}"}}, action: "updateOn", resource: "{FLAG}")',
            "Query.whoMay": f'(action: "updateOn", resource: "{FLAG}")',
            "Query.tokensBeyond": "(tokenLifetimes: {personal: {maximumS: 60}, noticeS: 0})",
            "Viewer.may": f'(action: "updateOn", resource: "{FLAG}")',
        }
        return world

    async def make(self, model: type[M], **columns: Any) -> M:
        """Write a row directly."""
        return await model.create(account_id=self.organisation.account.id, **columns)

    async def token(self, owner: Member, role: Role, parent: Token) -> Token:
        """Write a token that points to all it can point to, and a session."""
        whose: dict[str, Any] = {"owner_id": owner.id, "creator_id": owner.id, "ending": "abcd"}
        later = now() + timedelta(days=1)
        await self.make(Token, kind=TokenKind.SESSION, scope_kind=ScopeKind.MEMBER, expires_at=later, **whose)
        token = await self.make(
            Token, kind=TokenKind.PERSONAL, scope_kind=ScopeKind.CUSTOM_ROLES, parent_id=parent.id, **whose
        )
        await self.make(TokenRole, token_id=token.id, role_id=role.id)
        return token

    async def newest(self, name: str) -> str:
        """Give the ids of the newest nodes of a kind, as an argument."""
        model, which = NODES.get(name, NODES["Account"])
        rows = model.filter(which, **{"id" if model is Account else "account_id": self.organisation.account.id})
        ids = [f'"{global_id(name, row.pk)}"' for row in await rows.order_by("-id").limit(self.size)]
        return f"(ids: [{', '.join(ids)}])"

    def asked(self, way: Fields, part: str) -> str:
        """Ask for a list, and for a part of what its rows show."""
        for type_name, name, shown in reversed(way):
            first = self.size if shown is way[-1][2] else 1
            part = f"{name}{self.given(type_name, name, shown, first)} {{ {self.listed(shown, part)} }}"
        return f"{{ {part} }}"

    def parts(self, rows: GraphQLNamedType) -> Iterator[str]:
        """Ask for all that rows show: what they point to one by one, with all that shows in turn."""
        for type_ in CORE.get_possible_types(rows) if is_interface_type(rows) else [rows]:
            assert isinstance(type_, GraphQLObjectType)
            for part in (self.leaves(type_), *(self.field(type_, name) for name in composite(type_))):
                yield f"... on {type_.name} {{ {part} }}"

    def field(self, type_: GraphQLObjectType, name: str) -> str:
        """Ask for what a row points to, for all leaves of that, and for what that points to."""
        shown = type_.fields[name]
        of = rows_of(shown) or get_named_type(shown.type)
        assert isinstance(of, GraphQLObjectType)
        beneath = (
            f"{name}{self.given(of.name, name, below, FEW)} {{ {self.listed(below, '__typename')} }}"
            for name, below in composite(of).items()
        )
        selected = " ".join((self.leaves(of), *beneath))
        return f"{name}{self.given(type_.name, name, shown, FEW)} {{ {self.listed(shown, selected)} }}"

    def leaves(self, type_: GraphQLObjectType) -> str:
        """Ask for all leaves of an object."""
        return " ".join(name for name in type_.fields if name not in composite(type_))

    def listed(self, shown: GraphQLField, selected: str) -> str:
        """Ask something of the rows of a list, and of the list all else there is."""
        if rows_of(shown) is None or is_list_type(get_nullable_type(shown.type)):
            return selected
        return (
            "totalCount pageInfo { hasNextPage hasPreviousPage startCursor endCursor } edges { cursor } "
            f"nodes {{ {selected} }}"
        )

    def given(self, type_name: str, name: str, shown: GraphQLField, first: int) -> str:
        """Give a field its arguments. One that needs some and is not known here fails the test."""
        if "first" in shown.args:
            return f"(first: {first})"
        known = self.arguments.get(f"{type_name}.{name}")
        needed = [key for key, argument in shown.args.items() if is_required_argument(argument)]
        assert known or not needed, f"give {type_name}.{name} its {needed} here"
        return known or ""


def composite(type_: GraphQLObjectType) -> dict[str, GraphQLField]:
    return {name: shown for name, shown in type_.fields.items() if is_composite_type(get_named_type(shown.type))}


Grown = Callable[[], Awaitable[list[object]]]


@pytest.fixture
def grown(
    database: Database, organisation: Organisation, ask: Ask, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> Grown:
    """Find the lists that take more statements for many rows than for few."""
    return partial(_grown, database, organisation, ask, statements, monkeypatch)


@pytest.mark.usefixtures("sqlite")
async def test_a_list_takes_as_many_statements_for_many_rows_as_for_few(grown: Grown) -> None:
    assert await grown() == []


@pytest.mark.soak
@pytest.mark.usefixtures("postgresql")
async def test_so_it_does_on_postgresql(grown: Grown) -> None:
    assert await grown() == []


async def _grown(
    database: Database, organisation: Organisation, ask: Ask, statements: list[str], monkeypatch: pytest.MonkeyPatch
) -> list[object]:
    # Who may is decided row by row, so it is looked for chunk by chunk: here there is one chunk.
    monkeypatch.setattr(holders, "CHUNK", 10 * MANY)
    more = await founded(database, "more")
    await more.define()
    worlds = await World.of(organisation, FEW), await World.of(more, MANY)

    async def count(world: World, way: Fields, part: str) -> int:
        statements.clear()
        asker = world.service if way[0][1] == "verifyToken" else world.organisation.owner
        answer = await ask(asker, world.asked(way, part))
        assert "errors" not in answer, (part, answer["errors"][:3])
        if "first" in way[-1][2].args:
            assert len(_shown(answer["data"], way)) == world.size
        return len(statements)

    grown: list[object] = []
    for way in PLACES:
        rows = rows_of(way[-1][2])
        assert rows is not None
        for part in worlds[0].parts(rows):
            for world in worlds:
                world.arguments["Query.nodes"] = await world.newest(part.split()[2])
            few, many = [await count(world, way, part) for world in worlds]
            if few != many:
                grown.append((way[-1][:2], part, few, many))
    return grown


def _shown(shown: Any, way: Fields) -> list[Any]:
    """Take the rows of the last list out of an answer, going by the first row of those above."""
    for _, name, asked in way:
        shown = shown[0] if isinstance(shown, list) else shown
        shown = shown[name]["nodes"] if "first" in asked.args else shown[name]
    rows: list[Any] = shown
    return rows


async def test_fifty_tokens_with_their_owners_and_roles_take_three_statements(
    organisation: Organisation, ask: Ask, statements: list[str]
) -> None:
    roles = [await organisation.role(f"role-{number}", ANYTHING) for number in range(5)]
    for number in range(50):
        member = await organisation.member(custom=(roles[number % 5],))
        scope = Scope(custom_roles=[roles[number % 3].key])
        await organisation.made(await organisation.session(member), scope, name=f"token {number}")
    for asked, most in (
        ("id name kind state createdAt", 1),
        ("id name kind state createdAt owner { name email }", 1),
        ("name owner { name } scope { customRoles { key } }", 2),
        ("name owner { name customRoles { key } } scope { customRoles { key } }", 3),
        ("name owner { name customRoles { key } } scope { customRoles { key } } creator { name }", 4),
    ):
        statements.clear()
        answer = await ask(organisation.owner, f"{{ tokens(first: 50) {{ nodes {{ {asked} }} }} }}")
        assert "errors" not in answer
        assert len(answer["data"]["tokens"]["nodes"]) == 50
        assert len(statements) == most, asked
