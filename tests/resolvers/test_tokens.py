"""Tokens from their making to their end: what is fixed, who may change what, and what dies along."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from core.ids import global_id
from core.law import SideKind
from core.specifiers import Resource
from core.vocabulary import Action, BuiltInRole
from models import MemberRole, ScopeKind, SecretDigest, Token, TokenKind, TokenRole, TokenState, now
from resolvers import members, roles, tokens
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import NewToken, TokenChange
from resolvers.writing import Done, Said
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused, SetClock
from tests.resolvers.test_least_of_both import may

GATE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
FLAGS = {"effect": "allow", "actions": ["updateOn"], "resources": ["proj/*:env/*:flag/*"]}
OWN_TOKENS = {"effect": "allow", "actions": ["*"], "resources": ["member/*:token/*"]}
SERVICES = {"effect": "allow", "actions": ["*"], "resources": ["service-token/*"]}
TEAM = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/${roleAttribute/team}"]}
NAIVE = datetime(2999, 1, 1)  # noqa: DTZ001 - it is what is refused
LATEST = datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-12)))


def actions_of(done: Done[Token]) -> list[str]:
    """Name the actions in an entry, all on the token."""
    assert done.entry
    assert {access["resource"] for access in done.entry.accesses} == {str(done.row.resource)}
    return [access["action"] for access in done.entry.accesses]


def changed(done: Done[Token]) -> dict[str, Any]:
    """Show what an entry says changed."""
    assert done.entry
    before, after = done.entry.before or {}, done.entry.after or {}
    return {key: after[key] for key in after if after[key] != before.get(key)}


async def test_a_token_is_made_as_asked_and_recorded_without_its_secret(organisation: Organisation) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert writer.member
    end = now() + timedelta(days=1)
    asked = NewToken(TokenKind.PERSONAL, " Deploy ", Scope(statements=[GATE, FLAGS]), "for\nCI", end)
    done = await tokens.create(writer, asked, Said("please"))
    row = await Token.get(id=done.row.id)
    assert done.secret
    assert done.secret.startswith("lkp_")
    assert (row.name, row.description, row.expires_at, row.ending) == ("Deploy", "for\nCI", end, done.secret[-4:])
    assert (row.owner_id, row.creator_id, row.parent_id) == (writer.member.id, writer.member.id, None)
    assert (row.scope_kind, row.scope_policy, row.ceilings) == (ScopeKind.INLINE, [GATE, FLAGS], [])
    assert actions_of(done) == ["createAccessToken"]
    assert done.entry
    assert (done.entry.before, done.entry.comment) == (None, "please")
    assert done.entry.after == {
        "kind": "PERSONAL",
        "name": "Deploy",
        "description": "for\nCI",
        "scopeKind": "INLINE",
        "scopeRole": None,
        "scopePolicy": [GATE, FLAGS],
        "scopeRoles": [],
        "networks": [],
        "rateLimits": [],
        "trial": None,
        "ending": done.secret[-4:],
        "expiresAt": end.isoformat(),
        "revokedAt": None,
        "resetAt": None,
        "leakedAt": None,
        "responsible": None,
    }
    [digest] = await SecretDigest.filter(token_id=row.id)
    assert len(digest.digest) == 64


def personal(**wanted: Any) -> NewToken:
    """A token that is fine, but for what is said."""
    return replace(NewToken(TokenKind.PERSONAL, "a token", Scope(BuiltInRole.READER)), **wanted)


def statement(**words: Any) -> NewToken:
    """A token with one statement that is fine, but for what is said."""
    said = {**FLAGS, **words}
    return personal(scope=Scope(statements=[{key: value for key, value in said.items() if value is not ...}]))


AT = "scope.statements[0]"


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("kind", personal(kind=TokenKind.SESSION)),
        ("kind", personal(kind=TokenKind.ACCOUNT)),
        ("name", personal(name="")),
        ("name", personal(name="\u2003")),
        ("name", personal(name="x" * 257)),
        ("name", personal(name="a\nb")),
        ("name", personal(name="a\ud800")),
        ("description", personal(description="x" * 1025)),
        ("description", personal(description="a\x00b")),
        ("expiresAt", personal(expires_at=NAIVE)),
        ("expiresAt", personal(expires_at=datetime(2020, 1, 1, tzinfo=UTC))),
        ("expiresAt", personal(expires_at=LATEST)),
        ("scope.customRoles", personal(scope=Scope(custom_roles=[]))),
        ("scope.customRoles[0]", personal(scope=Scope(custom_roles=["unknown"]))),
        ("scope.customRoles[1]", personal(scope=Scope(custom_roles=["ops", "k" * 300]))),
        ("scope.customRoles", personal(scope=Scope(custom_roles=["ops"] * 101))),
        (f"{AT}.actions[0]", statement(actions=["updateOf"])),
        (f"{AT}.actions[1]", statement(actions=["*", "no such thing"])),
        (f"{AT}.actions", statement(actions=[])),
        (f"{AT}.actions", statement(actions=...)),
        (f"{AT}.actions", statement(actions=["*"] * 201)),
        (f"{AT}.notActions", statement(notActions=["updateOn"])),
        (f"{AT}.notResources", statement(notResources=["proj/*"])),
        (f"{AT}.resources", statement(resources=...)),
        (f"{AT}.resources[0]", statement(resources=["proj/*:flag/*"])),
        (f"{AT}.resources[0]", statement(resources=["proj"])),
        (f"{AT}.resources[0]", statement(resources=["proj//"])),
        (f"{AT}.resources[0]", statement(resources=[""])),
        (f"{AT}.resources[0]", statement(resources=["proj/" + "x" * 300])),
        (f"{AT}.resources[0]", statement(resources=["proj/a\x00"])),
        (f"{AT}.resources[0]", statement(resources=["acct/main"])),
        (f"{AT}.resources[1]", statement(resources=["*", "proj/*;{owner:me}"])),
        (f"{AT}.effect", statement(effect="Allow")),
        (AT, statement(sid="one")),
        ("scope.statements", personal(scope=Scope(statements=[FLAGS] * 101))),
        ("scope", statement(effect="deny")),
    ],
)
async def test_a_bad_token_names_the_field(
    organisation: Organisation, refused: Refused, field: str, wanted: NewToken
) -> None:
    await organisation.role("ops", GATE)
    with refused(Invalid) as refusal:
        await tokens.create(organisation.owner, wanted, Said())
    assert dict(refusal.value.extensions) == {"code": "BAD_USER_INPUT", "field": field}


async def test_an_unknown_action_offers_the_nearest(organisation: Organisation, refused: Refused) -> None:
    with refused(Invalid) as refusal:
        await tokens.create(organisation.owner, statement(actions=["updateON"]), Said())
    assert str(refusal.value) == f"`{AT}.actions[0]` is no action of `flag`: `updateON`, did you mean `updateOn`?"


@pytest.mark.parametrize("scope", [Scope(), Scope(statements=[]), Scope(BuiltInRole.NO_ACCESS)])
async def test_an_empty_scope_is_identity_only(organisation: Organisation, scope: Scope) -> None:
    token = await organisation.token(organisation.owner, scope)
    assert token.member
    assert not any(token.could(action) for action in Action)


async def test_a_custom_role_of_ones_own_may_stand_in_a_scope_though_unseen(organisation: Organisation) -> None:
    ops = await organisation.role("ops", GATE, OWN_TOKENS)
    await organisation.role("other", GATE)
    caller = await organisation.session(await organisation.member(custom=[ops]))
    done = await organisation.made(caller, Scope(custom_roles=["ops", "ops"]))
    assert [held.role_id for held in await TokenRole.filter(token_id=done.row.id)] == [ops.id]
    with pytest.raises(Invalid) as refusal:
        await organisation.made(caller, Scope(custom_roles=["other"]))
    assert refusal.value.field == "scope.customRoles[0]"


async def test_each_field_needs_its_own_action_and_says_so(organisation: Organisation, refused: Refused) -> None:
    made = await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    seeing = {"effect": "allow", "actions": ["viewAccessToken"], "resources": ["service-token/*"]}
    changes = {
        "updateAccessTokenName": TokenChange(name="new"),
        "updateAccessTokenDescription": TokenChange(description="new"),
        "updateAccessTokenExpiry": TokenChange(expires_at=now() + timedelta(days=1)),
    }
    for action, change in changes.items():
        others = {"effect": "allow", "actions": [each for each in changes if each != action], "resources": ["*"]}
        role = await organisation.role(action.lower(), seeing, others)
        caller = await organisation.session(await organisation.member(custom=[role]))
        with refused(Forbidden) as refusal:
            await tokens.update(caller, made.row.id, change, Said())
        assert dict(refusal.value.extensions) == {
            "code": "FORBIDDEN",
            "action": action,
            "resource": f"service-token/{made.row.id}",
        }
        done = await tokens.update(organisation.owner, made.row.id, change, Said())
        assert actions_of(done) == [action]
        assert len(changed(done)) == 1


async def test_a_service_tokens_scope_is_fixed_and_the_rest_is_not(
    organisation: Organisation, refused: Refused
) -> None:
    made = await organisation.made(organisation.owner, Scope(BuiltInRole.READER), TokenKind.SERVICE)
    assert made.secret
    assert made.secret.startswith("lks_")
    assert (made.row.owner_id, made.row.creator_id) == (None, organisation.owner.member.id)  # type: ignore[union-attr]
    with refused(Forbidden) as refusal:
        await tokens.update(organisation.owner, made.row.id, TokenChange(scope=Scope()), Said())
    assert refusal.value.extensions["action"] == "updateAccessTokenPolicy"
    role = await organisation.role("services", SERVICES)
    caller = await organisation.session(await organisation.member(custom=[role]))
    with refused(Invalid) as invalid:
        await tokens.update(caller, made.row.id, TokenChange(scope=Scope()), Said())
    assert invalid.value.field == "scope"
    end = now() + timedelta(days=1)
    change = TokenChange(name="CI", description="builds", expires_at=end)
    done = await tokens.update(organisation.owner, made.row.id, change, Said())
    assert changed(done) == {"name": "CI", "description": "builds", "expiresAt": end.isoformat()}
    done = await tokens.update(organisation.owner, made.row.id, TokenChange(description="", clear_expiry=True), Said())
    assert changed(done) == {"description": "", "expiresAt": None}
    assert (await tokens.update(organisation.owner, made.row.id, TokenChange(name="CI"), Said())).entry is None


async def test_nothing_to_change_is_said(organisation: Organisation, refused: Refused) -> None:
    made = await organisation.made(organisation.owner)
    with refused(Invalid) as refusal:
        await tokens.update(organisation.owner, made.row.id, TokenChange(), Said())
    assert refusal.value.field == "input"


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("name", TokenChange(name="")),
        ("description", TokenChange(name="fine", description="\x1b[0m")),
        ("expiresAt", TokenChange(name="fine", expires_at=NAIVE)),
        (
            "scope.statements[0].resources[0]",
            TokenChange(name="fine", scope=Scope(statements=[{**GATE, "resources": ["x/*"]}])),
        ),
        ("scope", TokenChange(scope=Scope(statements=[{**GATE, "effect": "deny"}]))),
    ],
)
async def test_a_bad_change_names_the_field(
    organisation: Organisation, refused: Refused, field: str, wanted: TokenChange
) -> None:
    made = await organisation.made(organisation.owner)
    with refused(Invalid) as refusal:
        await tokens.update(organisation.owner, made.row.id, wanted, Said())
    assert refusal.value.field == field


async def test_a_ceiling_holds_rights_and_attributes_of_the_making(organisation: Organisation) -> None:
    team = await organisation.role("team", TEAM, SERVICES)
    member = await organisation.member(custom=[team], attributes={"team": ["web"]})
    made = await organisation.made(await organisation.session(member), Scope(custom_roles=["team"]), TokenKind.SERVICE)
    row = await Token.get(id=made.row.id)
    assert row.scope_attributes == {"team": ["web"]}
    assert row.ceilings == [
        {"policies": [{"name": "team", "statements": [TEAM, SERVICES], "attributes": {"team": ["web"]}}]}
    ]

    projects = [Resource.of(("proj", name)) for name in ("web", "api")]

    async def reaches() -> list[bool]:
        token = await organisation.identify(made)
        assert {side.kind for side in token.sides} == {SideKind.SCOPE, SideKind.CEILING}
        return [token.rights.decide("viewProject", resource).allowed for resource in projects]

    assert await reaches() == [True, False]
    await members.assign_roles(organisation.owner, member.id, Grant(role_attributes={"team": ["api"]}), Said())
    assert await reaches() == [True, False]
    wide = {**TEAM, "resources": ["proj/*"]}
    await roles.update(organisation.owner, team.id, RoleChange(policy=[wide, SERVICES]), Said())
    assert await reaches() == [True, False]
    await MemberRole.filter(member_id=member.id).delete()
    await members.remove(organisation.owner, member.id, Said())
    assert await reaches() == [True, False]


async def test_a_token_made_with_a_token_carries_its_limits(organisation: Organisation) -> None:
    parent = await organisation.token(organisation.owner, Scope(statements=[OWN_TOKENS, SERVICES, GATE]))
    child = await organisation.token(parent, Scope(BuiltInRole.OWNER))
    service = await organisation.token(parent, Scope(BuiltInRole.OWNER), TokenKind.SERVICE)
    grandchild = await organisation.token(service, Scope(BuiltInRole.OWNER), TokenKind.SERVICE)
    kinds = [[side.kind for side in token.sides] for token in (child, service, grandchild)]
    scope, owner, ceiling = SideKind.SCOPE, SideKind.OWNER, SideKind.CEILING
    assert kinds == [[scope, owner, ceiling], [scope, ceiling, ceiling], [scope, ceiling, ceiling, ceiling]]
    for token in (child, service, grandchild):
        assert token.token
        assert not may(token, "updateOn")
    assert grandchild.token
    assert service.token
    assert grandchild.token.parent_id == service.token.id


async def test_a_revoked_token_takes_all_it_made_along(organisation: Organisation) -> None:
    parent = await organisation.made(organisation.owner)
    sibling = await organisation.made(organisation.owner)
    child = await organisation.made(await organisation.identify(parent))
    service = await organisation.made(await organisation.identify(child), kind=TokenKind.SERVICE)
    grandchild = await organisation.made(await organisation.identify(service), kind=TokenKind.SERVICE)
    ended = await organisation.made(await organisation.identify(child))
    await tokens.revoke(organisation.owner, ended.row.id, Said())
    done = await tokens.revoke(organisation.owner, parent.row.id, Said("leaked"))
    assert actions_of(done) == ["deleteAccessToken"]
    assert {**changed(done), "revokedAt": ""} == {"revokedAt": "", "revokedDescendants": 3}
    for dead in (parent, child, service, grandchild, ended):
        with pytest.raises(Unauthenticated):
            await organisation.identify(dead)
    assert (await organisation.identify(sibling)).token
    assert (await tokens.revoke(organisation.owner, parent.row.id, Said())).entry is None


async def test_what_a_removed_members_token_made_lives_until_that_token_is_revoked_for_it(
    organisation: Organisation,
) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    parent = await organisation.made(admin)
    service = await organisation.made(await organisation.identify(parent), kind=TokenKind.SERVICE)
    await members.remove(organisation.owner, admin.member.id, Said())
    assert (await organisation.identify(service)).token
    assert changed(await tokens.revoke(organisation.owner, parent.row.id, Said())) == {"revokedDescendants": 1}
    with pytest.raises(Unauthenticated):
        await organisation.identify(service)


async def test_a_reset_token_has_one_secret_the_new_one(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    done = await tokens.reset(organisation.owner, made.row.id, Said())
    assert done.secret
    assert done.secret != made.secret
    assert actions_of(done) == ["resetAccessToken"]
    assert set(changed(done)) <= {"ending", "resetAt"}
    assert await SecretDigest.filter(token_id=made.row.id, expires_at=None).count() == 1
    with pytest.raises(Unauthenticated):
        await organisation.identify(made)
    caller = await organisation.identify(done)
    again = await tokens.reset(caller, made.row.id, Said())
    with pytest.raises(Unauthenticated):
        await tokens.reset(caller, made.row.id, Said())
    assert (await organisation.identify(again)).token


async def test_what_has_ended_stays_ended(organisation: Organisation, refused: Refused, set_clock: SetClock) -> None:
    end = now() + timedelta(hours=1)
    expired = await organisation.made(organisation.owner, expires_at=end)
    revoked = await organisation.made(organisation.owner)
    await tokens.revoke(organisation.owner, revoked.row.id, Said())
    set_clock(end - timedelta(microseconds=1))
    assert (await organisation.identify(expired)).token
    set_clock(end)
    with pytest.raises(Unauthenticated):
        await organisation.identify(expired)
    later = end + timedelta(days=1)
    for done in (expired, revoked):
        for change in (
            TokenChange(expires_at=later),
            TokenChange(clear_expiry=True),
            TokenChange(name="new", scope=Scope(BuiltInRole.READER)),
        ):
            with refused(Invalid) as refusal:
                await tokens.update(organisation.owner, done.row.id, change, Said())
            assert refusal.value.field == "id"
        with refused(Invalid) as refusal:
            await tokens.reset(organisation.owner, done.row.id, Said())
        assert refusal.value.field == "id"
        assert (await tokens.update(organisation.owner, done.row.id, TokenChange(name="old"), Said())).entry
    rows = [await Token.get(id=done.row.id) for done in (expired, revoked)]
    assert [tokens.state(row, organisation.account, None, end) for row in rows] == [
        TokenState.EXPIRED,
        TokenState.REVOKED,
    ]


async def test_a_role_in_a_token_without_owner_is_not_widened_beyond_the_caller(
    organisation: Organisation, refused: Refused
) -> None:
    editing = {"effect": "allow", "actions": ["*"], "resources": ["role/*"]}
    ops = await organisation.role("ops", GATE)
    service = await organisation.made(organisation.owner, Scope(custom_roles=["ops"]), TokenKind.SERVICE)
    editor = await organisation.role("editor", editing, GATE)
    caller = await organisation.session(await organisation.member(custom=[editor]))
    with refused(Forbidden):
        await roles.update(caller, ops.id, RoleChange(policy=[GATE, FLAGS]), Said())
    assert (await roles.update(caller, ops.id, RoleChange(policy=[{**GATE, "resources": ["proj/a"]}]), Said())).entry
    await tokens.revoke(organisation.owner, service.row.id, Said())
    assert (await roles.update(caller, ops.id, RoleChange(policy=[GATE, FLAGS]), Said())).entry


async def test_hidden_and_absent_tokens_look_alike(organisation: Organisation, refused: Refused) -> None:
    reader = await organisation.as_role(BuiltInRole.READER)
    made = await organisation.made(organisation.owner)
    told = []
    for token_id in (made.row.id, organisation.account.id):
        for deed in (
            tokens.reset(reader, token_id, Said()),
            tokens.revoke(reader, token_id, Said()),
            tokens.update(reader, token_id, TokenChange(name="mine"), Said()),
        ):
            with refused(NotFound) as refusal:
                await deed
            told.append((str(refusal.value), dict(refusal.value.extensions)))
    assert told == [("not found", {"code": "NOT_FOUND"})] * 6


async def test_a_replayed_creation_makes_no_second_token(organisation: Organisation, refused: Refused) -> None:
    said = Said(idempotency_key="once")
    first = await tokens.create(organisation.owner, personal(), said)
    assert first.entry
    with refused(Conflict) as refusal:
        await tokens.create(organisation.owner, personal(), said)
    assert dict(refusal.value.extensions) == {
        "code": "CONFLICT",
        "field": "idempotencyKey",
        "first": {
            "id": global_id("Token", first.row.id),
            "resource": str(first.row.resource),
            "auditEntry": global_id("AuditEntry", first.entry.id),
        },
    }
