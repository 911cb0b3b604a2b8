"""What callers of an account share: read once a version, never when a transaction has begun to write."""

from typing import Any

import pytest
from tortoise.transactions import in_transaction

from core.catalogue import Kind, KindAction, Mark
from core.errors import Unauthenticated
from core.specifiers import Resource
from core.vocabulary import Action, BuiltInRole
from models import Member, MemberRole, MemberState, ResourceKind, Token, TokenKind, TokenRole
from models.engines.transactions import Statements
from resolvers import roles
from resolvers.realms import catalogue_of
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.writing import Said, opened
from tests.organisation import Organisation

ALLOW = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
DENY = {"effect": "deny", "actions": ["viewProject"], "resources": ["proj/*"]}
LIMITED = [{"effect": "allow", "actions": ["*"], "resources": ["proj/web"]}]


async def test_a_kind_that_was_defined_before_it_became_latchkeys_own_does_not_stand_in_for_it(
    organisation: Organisation,
) -> None:
    await ResourceKind.create(account_id=organisation.account.id, key="webhook", name="Webhook", actions=[])
    catalogue = await catalogue_of(organisation.account)
    assert catalogue.kinds["webhook"].own
    assert [kind.key for kind in catalogue].count("webhook") == 1


@pytest.fixture
def asked(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> list[str]:  # noqa: ARG001 - founded before
    """Gather every statement from now on."""
    statements: list[str] = []
    for name in ("execute_query", "execute_insert", "execute_many", "execute_several"):
        run = getattr(Statements, name)

        async def noted(client: Statements, sql: Any, *values: Any, run: Any = run) -> Any:
            if not str(sql).startswith("SELECT version"):  # whether memory is current, where only PostgreSQL can tell
                statements.append(sql)
            return await run(client, sql, *values)

        monkeypatch.setattr(Statements, name, noted)
    return statements


async def changed(organisation: Organisation) -> None:
    """Give the account a new version that changes nothing else."""
    await roles.create(organisation.owner, roles.NewRole(f"r{id(object())}", "R", [ALLOW]), Said())


async def test_after_a_change_what_tokens_share_is_read_once(organisation: Organisation, asked: list[str]) -> None:
    await organisation.define()
    writer = await organisation.session(await organisation.member(BuiltInRole.WRITER))
    made = [await organisation.made(writer, Scope(statements=LIMITED)) for _ in range(3)]
    before = await organisation.identify(made[0])
    await changed(organisation)
    counts, found = [], []
    for each in made:
        asked.clear()
        found.append(await organisation.identify(each))
        counts.append(len(asked))
    assert counts == [3, 1, 1]
    assert len({id(caller.rights) for caller in (before, *found)}) == 1, "what says the same is one object"
    assert len({caller.token.id for caller in found if caller.token}) == 3
    assert {caller.account.version for caller in found} == {before.account.version + 1}


async def test_what_differs_is_not_shared(organisation: Organisation) -> None:
    await organisation.define()
    token_maker = {"effect": "allow", "actions": ["*"], "resources": ["member/*:token/*"]}
    role = await organisation.role("team", {**ALLOW, "resources": ["proj/${roleAttribute/team}"]}, token_maker)
    others = [
        await organisation.token(
            await organisation.session(await organisation.member(custom=[role], attributes={"team": [name]})),
            Scope(custom_roles=["team"]),
        )
        for name in ("web", "app")
    ]
    plain = await organisation.token(await organisation.as_role(BuiltInRole.WRITER), Scope(statements=LIMITED))
    service = await organisation.token(organisation.owner, Scope(statements=LIMITED), TokenKind.SERVICE)
    asked = [Resource.parse(f"proj/{name}") for name in ("web", "app", "else")]
    may = [[caller.rights.allows("viewProject", each) for each in asked] for caller in (*others, plain, service)]
    assert may == [[True, False, False], [False, True, False], [True, False, False], [True, False, False]]


async def test_a_catalogue_that_changed_is_another(organisation: Organisation) -> None:
    await organisation.define()
    service = await organisation.made(organisation.owner, Scope(BuiltInRole.READER), TokenKind.SERVICE)
    before = await organisation.identify(service)
    await organisation.define(Kind("extra", (KindAction("viewExtra", Mark.READ),), name="Extra"))
    after = await organisation.identify(service)
    assert "extra" not in before.catalogue.kinds
    assert "extra" in after.catalogue.kinds
    assert after.rights.allows("viewExtra", Resource.parse("extra/one")) is False, "the ceiling is frozen"
    reader = await organisation.as_role(BuiltInRole.READER)
    assert reader.rights.allows("viewExtra", Resource.parse("extra/one"))


async def test_a_write_is_judged_by_what_its_own_transaction_has_written(organisation: Organisation) -> None:
    role = await organisation.role("boss", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    member = await organisation.member(custom=[role])
    caller = await organisation.session(member)
    async with opened(caller, Said()) as (fresh, _):
        assert fresh.rights.allows("viewRole", role.resource)
        await MemberRole.filter(member_id=member.id).delete()
        await Member.filter(id=member.id).update(base_role=BuiltInRole.NO_ACCESS)
        async with opened(caller, Said()) as (inner, _):
            assert not inner.rights.allows("viewRole", role.resource)


async def test_a_write_sees_what_is_committed_and_nothing_older(organisation: Organisation) -> None:
    role = await organisation.role("boss", {"effect": "allow", "actions": ["*"], "resources": ["*"]})
    member = await organisation.member(custom=[role])
    caller = await organisation.session(member)
    await roles.update(organisation.owner, role.id, RoleChange(policy=[DENY]), Said())
    async with opened(caller, Said()) as (fresh, _):
        assert not fresh.rights.allows(Action.VIEW_ROLE.value, role.resource)
    async with in_transaction():
        await Member.filter(id=member.id).update(state=MemberState.SUSPENDED)
        with pytest.raises(Unauthenticated):
            async with opened(caller, Said()):
                pass


async def test_a_token_is_made_in_three_turns(organisation: Organisation, asked: list[str]) -> None:
    """What is locked, who asks, and all that is written: each turn holds up whoever waits to write."""
    await organisation.made(organisation.owner)
    role = await organisation.role("team", ALLOW)
    for scope in (Scope(BuiltInRole.READER), Scope(statements=LIMITED), Scope(statements=[])):
        await organisation.define()
        await organisation.made(organisation.owner, scope)
        asked.clear()
        done = await organisation.made(organisation.owner, scope)
        assert len(asked) == 3
        assert await Token.get(id=done.row.id) == done.row
    done = await organisation.made(organisation.owner, Scope(custom_roles=["team"]))
    assert done.entry
    assert (done.entry.after or {})["scopeRoles"] == ["team"]
    assert [held.role_id for held in await TokenRole.filter(token_id=done.row.id)] == [role.id]
