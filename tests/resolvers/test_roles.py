"""Custom roles: made, changed, and deleted only when nobody holds them."""

from typing import Any

import pytest

from core.errors import Conflict, Forbidden, Invalid, NotFound
from core.ids import global_id
from core.vocabulary import BuiltInRole
from models import BasePermissions, Role, Token, TokenKind, TokenRole, now
from resolvers import members, roles, tokens
from resolvers.roles import NewRole, RoleChange
from resolvers.scopes import Scope
from resolvers.writing import Done, Said
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused

GATE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}
FLAGS = {"effect": "allow", "actions": ["updateOn"], "resources": ["proj/*:env/*:flag/*"]}
ROLES = {"effect": "allow", "actions": ["*"], "resources": ["role/*"]}


def new(**wanted: Any) -> NewRole:
    return NewRole(**{"key": "ops", "name": "Ops", "policy": [GATE], **wanted})


async def test_a_role_is_made_as_asked(organisation: Organisation) -> None:
    asked = new(name=" Ops ", description="nights", base_permissions=BasePermissions.READER, policy=[GATE, FLAGS])
    done = await roles.create(organisation.owner, asked, Said("for ops"))
    row = await Role.get(id=done.row.id)
    assert done.entry
    assert done.entry.accesses == [{"action": "createRole", "resource": "role/ops"}]
    assert (done.entry.before, done.entry.comment) == (None, "for ops")
    assert (
        done.entry.after
        == row.snapshot()
        == {
            "key": "ops",
            "name": "Ops",
            "description": "nights",
            "basePermissions": "reader",
            "policy": [GATE, FLAGS],
        }
    )


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("key", {"key": ""}),
        ("key", {"key": "k" * 300}),
        ("key", {"key": "Ops"}),
        ("key", {"key": "-ops"}),
        ("key", {"key": "o ps"}),
        ("key", {"key": "ops\n"}),
        ("key", {"key": "öps"}),
        ("key", {"key": "ops*"}),
        ("key", {"key": "admin"}),
        ("key", {"key": "no_access"}),
        ("key", {"key": "inline"}),
        ("name", {"name": ""}),
        ("name", {"name": "\t"}),
        ("name", {"name": "O\x00ps"}),
        ("name", {"name": "x" * 257}),
        ("description", {"description": "x" * 1025}),
        ("statements[0].effect", {"policy": [{**GATE, "effect": None}]}),
        ("statements[0].notActions", {"policy": [{**GATE, "notActions": ["x"]}]}),
        ("statements[0].actions[0]", {"policy": [{**GATE, "actions": [""]}]}),
        ("statements[1].actions[0]", {"policy": [GATE, {**GATE, "actions": ["updateOn"]}]}),
        ("statements[0].resources[0]", {"policy": [{**GATE, "resources": ["project/*"]}]}),
        ("statements[0].resources[0]", {"policy": [{**GATE, "resources": ["proj/${roleAttribute/}"]}]}),
        ("statements[0].resources", {"policy": [{**GATE, "resources": "proj/*"}]}),
        ("statements[0]", {"policy": ["allow"]}),
        ("statements", {"policy": {}}),
        ("statements", {"policy": [GATE] * 101}),
    ],
)
async def test_a_bad_role_names_the_field(
    organisation: Organisation, refused: Refused, field: str, wanted: dict[str, Any]
) -> None:
    with refused(Invalid) as refusal:
        await roles.create(organisation.owner, new(**wanted), Said())
    assert dict(refusal.value.extensions) == {"code": "BAD_USER_INPUT", "field": field}
    if "key" not in wanted:
        ops = await organisation.role("ops", GATE)
        with refused(Invalid) as refusal:
            await roles.update(organisation.owner, ops.id, RoleChange(**wanted), Said())
        assert refusal.value.field == field


async def test_a_taken_key_is_a_conflict(organisation: Organisation, refused: Refused) -> None:
    await organisation.role("ops", GATE)
    with refused(Conflict) as refusal:
        await roles.create(organisation.owner, new(), Said())
    assert dict(refusal.value.extensions) == {"code": "CONFLICT", "field": "key"}


async def test_each_field_needs_its_own_action(organisation: Organisation, refused: Refused) -> None:
    ops = await organisation.role("ops", GATE)
    seeing = {"effect": "allow", "actions": ["viewRole"], "resources": ["role/*"]}
    caller = await organisation.session(await organisation.member(custom=[await organisation.role("eyes", seeing)]))
    changes: dict[str, dict[str, Any]] = {
        "updateName": {"name": "Operations"},
        "updateDescription": {"description": "days"},
        "updatePolicy": {"policy": [FLAGS]},
        "updateBasePermissions": {"base_permissions": BasePermissions.READER},
    }
    for action, change in changes.items():
        with refused(Forbidden) as refusal:
            await roles.update(caller, ops.id, RoleChange(**change), Said())
        assert refusal.value.extensions["action"] == action
        done = await roles.update(organisation.owner, ops.id, RoleChange(**change), Said())
        assert done.entry
        assert done.entry.accesses == [{"action": action, "resource": "role/ops"}]
        before, after = done.entry.before or {}, done.entry.after or {}
        assert len([key for key in after if after[key] != before[key]]) == 1
    with refused(Invalid) as invalid:
        await roles.update(organisation.owner, ops.id, RoleChange(), Said())
    assert invalid.value.field == "input"


async def test_a_held_role_stays_and_its_visible_holders_are_named_and_the_others_counted(
    organisation: Organisation, refused: Refused
) -> None:
    ops = await organisation.role("ops", GATE)
    seen, hidden = [await organisation.member(custom=[ops], name=name) for name in ("Seen", "Hidden")]
    token = await organisation.made(organisation.owner, Scope(custom_roles=["ops"]), TokenKind.SERVICE, name="Seen too")
    await organisation.made(organisation.owner, Scope(custom_roles=["ops"]), name="hidden too")
    eyes = {
        "effect": "allow",
        "actions": ["viewMember", "viewAccessToken"],
        "resources": [f"member/{seen.id}", "service-token/*"],
    }
    caller = await organisation.session(
        await organisation.member(custom=[await organisation.role("deleter", ROLES, eyes)])
    )
    with refused(Conflict) as refusal:
        await roles.delete(caller, ops.id, Said())
    assert dict(refusal.value.extensions) == {
        "code": "CONFLICT",
        "holders": [
            {"id": global_id("Member", seen.id), "name": "Seen"},
            {"id": global_id("Token", token.row.id), "name": "Seen too"},
        ],
        "hiddenHolders": 2,
    }
    assert str(hidden.id) not in str(refusal.value)


async def test_a_role_that_nobody_living_holds_is_deleted(organisation: Organisation) -> None:
    ops = await organisation.role("ops", GATE)
    member = await organisation.member(custom=[ops])
    made: list[Done[Token]] = [
        await organisation.made(organisation.owner, Scope(custom_roles=["ops"])) for _ in range(2)
    ]
    await tokens.revoke(organisation.owner, made[0].row.id, Said())
    await Token.filter(id=made[1].row.id).update(expires_at=now())
    await members.remove(organisation.owner, member.id, Said())
    done = await roles.delete(organisation.owner, ops.id, Said("unused"))
    assert done.entry
    assert done.entry.accesses == [{"action": "deleteRole", "resource": "role/ops"}]
    assert (done.entry.before, done.entry.after) == (ops.snapshot(), None)
    assert not await Role.filter(id=ops.id).exists()
    assert not await TokenRole.filter(role_id=ops.id).exists()
    assert (await organisation.role("ops", FLAGS)).id != ops.id


async def test_a_service_token_edits_neither_its_own_role_nor_its_makers(
    organisation: Organisation, refused: Refused
) -> None:
    own = await organisation.role("own", ROLES, GATE)
    makers = await organisation.role(
        "makers", ROLES, GATE, {"effect": "allow", "actions": ["*"], "resources": ["service-token/*"]}
    )
    maker = await organisation.session(await organisation.member(custom=[makers]))
    service = await organisation.token(maker, Scope(custom_roles=["own"]), TokenKind.SERVICE)
    for role in (own, makers):
        with refused(Forbidden) as refusal:
            await roles.update(service, role.id, RoleChange(policy=[GATE]), Said())
        assert str(refusal.value) == "nobody changes their own rights"
    assert (await roles.update(service, own.id, RoleChange(name="Mine"), Said())).entry


async def test_hidden_and_absent_roles_look_alike(organisation: Organisation, refused: Refused) -> None:
    nobody = await organisation.as_role(BuiltInRole.NO_ACCESS)
    ops = await organisation.role("ops", GATE)
    told = []
    for role_id in (ops.id, organisation.account.id):
        for deed in (
            roles.delete(nobody, role_id, Said()),
            roles.update(nobody, role_id, RoleChange(name="x"), Said()),
        ):
            with refused(NotFound) as refusal:
                await deed
            told.append((str(refusal.value), dict(refusal.value.extensions)))
    assert told == [("not found", {"code": "NOT_FOUND"})] * 4
