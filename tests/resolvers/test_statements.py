"""A list that was written out once is written out anew for whoever may do something else."""

from tortoise.queryset import QuerySet

from core.vocabulary import BuiltInRole
from models import Token
from models.database import Database
from resolvers import callers, lists, pages, roles, statements
from resolvers.callers import Caller
from resolvers.lists import TokenFilter
from resolvers.pages import Window
from resolvers.roles import RoleChange
from resolvers.statements import Statement
from resolvers.writing import Said
from tests.organisation import Organisation, founded

WINDOW = Window.of(lists.by_id(), 10, None, None, None)
MINE = {"effect": "allow", "actions": ["createAccessToken"], "resources": ["member/*:token/*"]}
ALL = {"effect": "allow", "actions": ["*"], "resources": ["*"]}


async def listing(caller: Caller) -> Statement[Token]:
    async def write() -> QuerySet[Token]:
        return pages.asked(await lists.tokens(caller, TokenFilter()), WINDOW)

    return await statements.remembered(caller, ("tokens", WINDOW), write)


async def test_a_statement_is_written_once_for_what_a_caller_may_do(organisation: Organisation) -> None:
    secret = (await organisation.made(organisation.owner)).secret or ""
    first = await listing(await organisation.identify(secret))
    assert await listing(await organisation.identify(secret)) is first
    assert await listing(organisation.owner) is not first


async def test_a_role_that_loses_rights_loses_them_in_the_list_too(organisation: Organisation) -> None:
    await organisation.made(organisation.owner, name="the owner's")
    role = await organisation.role("sees", ALL)
    caller = await organisation.session(await organisation.member(custom=(role,)))
    assert [row.name for row in await (await listing(caller)).run()] == ["the owner's"]
    await roles.update(organisation.owner, role.id, RoleChange(policy=[MINE]), Said())
    assert await (await listing(await callers.again(caller))).run() == []


async def test_equal_rights_in_another_account_see_that_account(database: Database, organisation: Organisation) -> None:
    other = await founded(database, "other")
    for each in (organisation, other):
        await each.made(each.owner, name=each.account.key)
        assert [row.name for row in await (await listing(each.owner)).run()] == [each.account.key]


async def test_rows_that_share_an_owner_share_the_object(organisation: Organisation) -> None:
    session = await organisation.as_role(BuiltInRole.ADMIN)
    for _ in range(2):
        await organisation.made(session)
    assert session.member
    one, two = await (await listing(session)).run()
    assert one.owner is two.owner
    assert one.owner
    assert one.owner.id == session.member.id
