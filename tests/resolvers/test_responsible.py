"""Service tokens: the account's, bounded for good, followed by their roles, and answered for by somebody."""

import pytest

from core.errors import Forbidden, Invalid
from core.vocabulary import BuiltInRole
from models import MemberState, Token, TokenKind, new_id
from resolvers import lists, members, roles, tokens
from resolvers.callers import Caller
from resolvers.lists import TokenFilter
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Done, Said
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused
from tests.resolvers.test_least_of_both import may
from tests.resolvers.test_tokens import FLAGS, GATE, SERVICES, actions_of, changed

SERVICE = TokenKind.SERVICE


async def listed(caller: Caller, **wanted: object) -> list[str]:
    return sorted(row.name for row in await (await lists.tokens(caller, TokenFilter(**wanted))))  # type: ignore[arg-type]


async def hand_over(caller: Caller, made: Done[Token], change: TokenChange) -> Done[Token]:
    return await tokens.update(caller, made.row.id, change, Said())


async def test_its_maker_answers_for_a_service_token_until_another_member_does(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    made = await organisation.made(admin, kind=SERVICE, name="made")
    child = await organisation.made(await organisation.identify(made), kind=SERVICE, name="child")
    own = await organisation.made(admin, name="own")
    answers = [each.row.responsible_id for each in (made, child, own)]
    assert answers == [admin.member.id, admin.member.id, None]
    assert made.entry
    assert (made.entry.after or {})["responsible"] == str(admin.member.id)
    other = await organisation.member()
    done = await hand_over(organisation.owner, made, TokenChange(responsible_id=other.id))
    assert actions_of(done) == ["updateAccessTokenResponsible"]
    assert changed(done) == {"responsible": str(other.id)}
    assert await listed(organisation.owner, responsible_id=other.id) == ["made"]
    done = await hand_over(organisation.owner, made, TokenChange(clear_responsible=True))
    assert changed(done) == {"responsible": None}
    assert (await hand_over(organisation.owner, made, TokenChange(name="made"))).entry is None


async def test_only_an_active_member_whom_the_caller_sees_answers(organisation: Organisation, refused: Refused) -> None:
    made = await organisation.made(organisation.owner, kind=SERVICE)
    just = await organisation.role("services", SERVICES)
    blind = await organisation.session(await organisation.member(custom=[just]))
    hidden = await organisation.member()
    asleep = [await organisation.member(state=state) for state in MemberState if state is not MemberState.ACTIVE]
    tried = [(organisation.owner, member.id) for member in asleep]
    tried += [(organisation.owner, new_id()), (blind, new_id()), (blind, hidden.id)]
    told = set()
    for caller, member_id in tried:
        with refused(Invalid) as refusal:
            await hand_over(caller, made, TokenChange(responsible_id=member_id))
        told.add((str(refusal.value), refusal.value.field))
    assert told == {("`responsibleId` must name an active member", "responsibleId")}


async def test_nobody_else_answers_for_a_personal_token(organisation: Organisation, refused: Refused) -> None:
    made = await organisation.made(organisation.owner)
    change = TokenChange(responsible_id=organisation.owner.member.id)  # type: ignore[union-attr] # a session has one
    with refused(Forbidden):
        await hand_over(organisation.owner, made, change)


async def test_a_removed_members_service_tokens_work_and_are_listed_for_another(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    left = await organisation.made(admin, kind=SERVICE, name="left")
    await organisation.made(organisation.owner, kind=SERVICE, name="attended")
    nobodys = await organisation.made(organisation.owner, kind=SERVICE, name="nobody's")
    await hand_over(organisation.owner, nobodys, TokenChange(clear_responsible=True))
    await organisation.made(organisation.owner, name="own")
    assert await listed(organisation.owner, unattended=True) == ["nobody's"]
    await members.remove(organisation.owner, admin.member.id, Said())
    assert (await organisation.identify(left)).token
    assert await listed(organisation.owner, unattended=True) == ["left", "nobody's"]
    assert await listed(organisation.owner, unattended=False) == ["attended", "own"]
    owner = organisation.owner.member
    assert owner
    await hand_over(organisation.owner, left, TokenChange(responsible_id=owner.id))
    assert await listed(organisation.owner, unattended=True) == ["nobody's"]
    assert await listed(organisation.owner, responsible_id=owner.id) == ["attended", "left"]


async def test_narrowing_a_role_reaches_service_tokens_and_widening_stops_at_their_ceiling(
    organisation: Organisation,
) -> None:
    ops = await organisation.role("ops", GATE, FLAGS)
    services = await organisation.role("services", SERVICES)
    maker = await organisation.session(await organisation.member(custom=[ops, services]))
    made = [await organisation.made(each, Scope(custom_roles=["ops"]), SERVICE) for each in (maker, organisation.owner)]

    async def can(action: str) -> list[bool]:
        return [may(await organisation.identify(each), action) for each in made]

    assert await can("updateOn") == [True, True]
    await roles.update(organisation.owner, ops.id, RoleChange(policy=[GATE]), Said())
    assert await can("updateOn") == [False, False]
    wide = {**FLAGS, "actions": ["updateOn", "deleteFlag"]}
    await roles.update(organisation.owner, ops.id, RoleChange(policy=[GATE, wide]), Said())
    assert await can("updateOn") == [True, True]
    assert await can("deleteFlag") == [False, True]  # its maker never had that


@pytest.mark.parametrize(
    "change",
    [TokenChange(scope=Scope()), TokenChange(name="x", scope=Scope(BuiltInRole.READER))],
)
async def test_its_scope_is_fixed(organisation: Organisation, refused: Refused, change: TokenChange) -> None:
    made = await organisation.made(organisation.owner, kind=SERVICE)
    caller = await organisation.session(
        await organisation.member(custom=[await organisation.role("services", SERVICES)])
    )
    with refused(Invalid) as refusal:
        await hand_over(caller, made, change)
    assert refusal.value.field == "scope"
