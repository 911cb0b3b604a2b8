"""A token does what its scope allows and what its owner may do now; nothing stored is rewritten."""

from typing import Any

import pytest

from core.errors import Unauthenticated
from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models import ActorKind, Role, Token, TokenKind, TokenState, now
from resolvers import members, roles, tokens
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.organisation import Organisation

FLAG = Resource.parse("proj/web:env/dev:flag/f;")


def may(caller: Caller, action: str, resource: Resource = FLAG) -> bool:
    """Ask in words, as services do."""
    return caller.rights.decide(action, resource).allowed


async def test_a_token_drops_with_its_owner_and_recovers(organisation: Organisation) -> None:
    session = await organisation.as_role(BuiltInRole.ADMIN)
    made = await organisation.made(session, Scope(BuiltInRole.ADMIN))
    stored = (await Token.get(id=made.row.id)).snapshot()
    assert session.member
    expected = {
        BuiltInRole.ADMIN: (True, True, True),
        BuiltInRole.WRITER: (True, True, False),
        BuiltInRole.READER: (True, False, False),
        BuiltInRole.NO_ACCESS: (False, False, False),
    }
    for role in (*expected, *reversed(expected)):
        await members.assign_roles(organisation.owner, session.member.id, Grant(base_role=role), Said())
        token = await organisation.identify(made)
        assert tuple(may(token, word) for word in ("viewFlag", "updateOn", "deleteFlag")) == expected[role]
    assert (await Token.get(id=made.row.id)).snapshot() == stored


async def test_a_token_made_beyond_its_owner_grows_with_them_up_to_its_scope(organisation: Organisation) -> None:
    session = await organisation.as_role(BuiltInRole.READER)
    made = await organisation.made(session, Scope(BuiltInRole.WRITER))
    assert session.member
    assert not may(await organisation.identify(made), "updateOn")
    await members.assign_roles(organisation.owner, session.member.id, Grant(BuiltInRole.ADMIN), Said())
    token = await organisation.identify(made)
    assert (may(token, "updateOn"), may(token, "deleteFlag")) == (True, False)


async def test_a_scope_bounds_an_admin(organisation: Organisation) -> None:
    session = await organisation.as_role(BuiltInRole.ADMIN)
    token = await organisation.token(session, Scope(BuiltInRole.READER))
    assert may(session, "updateOn")
    assert may(token, "viewFlag")
    assert not may(token, "updateOn")


async def test_suspension_stops_and_reinstatement_revives(organisation: Organisation) -> None:
    session = await organisation.as_role(BuiltInRole.WRITER)
    made = await organisation.made(session)
    assert session.member
    assert session.token
    secrets = [made.secret or "", organisation.secrets[str(session.token.id)]]
    await members.suspend(organisation.owner, session.member.id, Said())
    for secret in secrets:
        with pytest.raises(Unauthenticated):
            await organisation.identify(secret)
    row = await Token.get(id=made.row.id).select_related("owner")
    assert tokens.state(row, organisation.account, row.owner, now()) is TokenState.OWNER_INACTIVE
    await members.reinstate(organisation.owner, session.member.id, Said())
    for secret in secrets:
        assert may(await organisation.identify(secret), "updateOn")


async def test_removal_revokes_personal_tokens_and_spares_service_tokens(organisation: Organisation) -> None:
    session = await organisation.as_role(BuiltInRole.ADMIN)
    personal = await organisation.made(session)
    service = await organisation.made(session, Scope(BuiltInRole.WRITER), TokenKind.SERVICE)
    assert session.member
    await members.remove(organisation.owner, session.member.id, Said())
    with pytest.raises(Unauthenticated):
        await organisation.identify(personal)
    assert may(await organisation.identify(service), "updateOn")
    with pytest.raises(Unauthenticated):
        await organisation.identify(organisation.secrets[str(session.token.id)])  # type: ignore[union-attr]


async def test_rights_held_through_two_roles_lose_one(organisation: Organisation) -> None:
    gate = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}

    async def role(key: str, action: str) -> Any:
        flags = {"effect": "allow", "actions": [action], "resources": ["proj/*:env/*:flag/*"]}
        own = {"effect": "allow", "actions": ["*AccessToken*"], "resources": ["member/*:token/*"]}
        return await organisation.role(key, gate, flags, own)

    turns, deletes = await role("turns", "updateOn"), await role("deletes", "deleteFlag")
    session = await organisation.session(await organisation.member(custom=[turns, deletes]))
    made = await organisation.made(session, Scope(custom_roles=["turns", "deletes"]))
    token = await organisation.identify(made)
    assert may(token, "updateOn")
    assert may(token, "deleteFlag")
    assert session.member
    await members.assign_roles(organisation.owner, session.member.id, Grant(custom_roles=["turns"]), Said())
    token = await organisation.identify(made)
    assert may(token, "updateOn")
    assert not may(token, "deleteFlag")


def flags(*actions: str) -> list[dict[str, Any]]:
    """Write a policy of actions on every flag."""
    gate = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
    return [gate, {"effect": "allow", "actions": list(actions), "resources": ["proj/*:env/*:flag/*"]}]


async def rewrite(organisation: Organisation, role: Role, policy: list[dict[str, Any]]) -> None:
    """Change a role's policy as the owner."""
    await roles.update(organisation.owner, role.id, RoleChange(policy=policy), Said())


MAKES_SERVICE_TOKENS = [
    {"effect": "allow", "actions": ["createAccessToken"], "resources": ["service-token/*"]},
    {"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]},
]
WORDS = ("viewFlag", "updateOn", "deleteFlag")


async def test_a_narrowed_role_reaches_every_token_and_a_widened_one_no_further_than_its_ceiling(
    organisation: Organisation,
) -> None:
    scoped = await organisation.role("flags", *flags("updateOn", "deleteFlag"))
    held = await organisation.role("maker", *flags("viewFlag", "updateOn"), *MAKES_SERVICE_TOKENS)
    maker = await organisation.session(await organisation.member(custom=[held]))
    made = await organisation.made(maker, Scope(custom_roles=["flags"]), TokenKind.SERVICE)

    async def allowed() -> tuple[bool, ...]:
        token = await organisation.identify(made)
        return tuple(may(token, word) for word in WORDS)

    assert await allowed() == (False, True, False)
    await rewrite(organisation, scoped, flags("deleteFlag"))
    assert await allowed() == (False, False, False)
    await rewrite(organisation, scoped, flags("*"))
    assert await allowed() == (True, True, False)


async def test_a_service_token_keeps_the_ceiling_of_its_making(organisation: Organisation) -> None:
    """What happens later to its maker, or to the role that the maker held then, neither widens nor narrows it."""
    held = await organisation.role("maker", *flags("updateOn"), *MAKES_SERVICE_TOKENS)
    member = await organisation.member(custom=[held])
    maker = await organisation.session(member)
    made = await organisation.made(maker, Scope(BuiltInRole.OWNER), TokenKind.SERVICE)

    async def allowed() -> tuple[bool, ...]:
        token = await organisation.identify(made)
        assert token.actor is ActorKind.SERVICE
        return tuple(may(token, word) for word in WORDS)

    assert await allowed() == (False, True, False)
    await rewrite(organisation, held, flags("*"))
    assert may(await organisation.session(member), "deleteFlag")
    assert await allowed() == (False, True, False)
    await rewrite(organisation, held, flags("viewFlag"))
    assert await allowed() == (False, True, False)
    await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.ADMIN, custom_roles=[]), Said())
    assert may(await organisation.session(member), "deleteFlag")
    assert await allowed() == (False, True, False)
    await members.remove(organisation.owner, member.id, Said())
    assert await allowed() == (False, True, False)


async def test_role_attributes_in_a_ceiling_are_those_of_its_making(organisation: Organisation) -> None:
    team = {"effect": "allow", "actions": ["*"], "resources": ["proj/${roleAttribute/team}"]}
    held = await organisation.role("maker", team, *MAKES_SERVICE_TOKENS)
    member = await organisation.member(custom=[held], attributes={"team": ["web"]})
    made = await organisation.made(await organisation.session(member), Scope(BuiltInRole.OWNER), TokenKind.SERVICE)
    grant = Grant(role_attributes={"team": ["web", "app"]})
    await members.assign_roles(organisation.owner, member.id, grant, Said())
    app, web = Resource.parse("proj/app;"), Resource.parse("proj/web;")
    assert may(await organisation.session(member), "createProject", app)
    token = await organisation.identify(made)
    assert (may(token, "createProject", web), may(token, "createProject", app)) == (True, False)
