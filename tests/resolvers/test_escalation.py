"""Every way known to us of getting more than one has, refused."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from core.secret import Secret, SecretKind
from core.vocabulary import BuiltInRole
from models import Link, Member, MemberState, Role, Token, TokenKind, now
from models.database import Database
from resolvers import kinds, members, passwords, roles, tokens
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.roles import RoleChange
from resolvers.scopes import Scope
from resolvers.tokens import NewToken, TokenChange
from resolvers.writing import Said
from tests.organisation import FLAG, PASSWORD, Organisation, founded
from tests.resolvers.test_least_of_both import may

MANAGE_MEMBERS = {
    "effect": "allow",
    "actions": [
        "viewMember",
        "createMember",
        "updateRole",
        "updateCustomRole",
        "updateMemberRoleAttributes",
        "updateMemberState",
    ],
    "resources": ["member/*"],
}
SEE_ROLES = {"effect": "allow", "actions": ["viewRole", "viewRolePolicy", "update*"], "resources": ["role/*"]}
OWN_TOKENS = {"effect": "allow", "actions": ["*"], "resources": ["member/*:token/*"]}
FLAGS = {"effect": "allow", "actions": ["viewProject", "updateOn"], "resources": ["proj/*", "proj/*:env/*:flag/*"]}
ALL_FLAGS = {"effect": "allow", "actions": ["*"], "resources": ["proj/*", "proj/*:env/*:flag/*"]}


async def delegate(organisation: Organisation, *more: dict[str, Any]) -> Caller:
    """Sign in somebody who manages members but is no admin."""
    role = await organisation.role(f"delegate-{await Role.all().count()}", MANAGE_MEMBERS, SEE_ROLES, *more)
    return await organisation.session(await organisation.member(custom=[role]))


async def test_a_token_minted_by_an_over_scoped_token_stays_within_the_first(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    narrow = Scope(statements=[OWN_TOKENS, FLAGS])
    parent = await organisation.token(admin, narrow)
    child = await organisation.token(parent, Scope(BuiltInRole.ADMIN))
    grandchild = await organisation.token(child, Scope(BuiltInRole.ADMIN))
    for caller in (child, grandchild):
        assert may(caller, "updateOn")
        assert not may(caller, "deleteFlag")
    assert (await Token.get(id=child.token.id)).parent_id == parent.token.id  # type: ignore[union-attr]


async def test_a_child_outlives_neither_its_parents_expiry(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    end = now() + timedelta(hours=1)
    parent = await organisation.token(admin, expires_at=end)
    assert (await organisation.made(parent)).row.expires_at == end
    with pytest.raises(Invalid) as refused:
        await organisation.made(parent, expires_at=end + timedelta(seconds=1))
    assert refused.value.field == "expiresAt"


async def test_a_child_does_not_extend_itself(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    parent = await organisation.token(admin, expires_at=now() + timedelta(hours=1))
    child = await organisation.token(parent)
    assert parent.token
    assert child.token
    assert child.token.expires_at
    later = child.token.expires_at + timedelta(seconds=1)
    for wanted in (TokenChange(clear_expiry=True), TokenChange(expires_at=later)):
        with pytest.raises((Forbidden, Invalid)):
            await tokens.update(child, child.token.id, wanted, Said())
    assert (await Token.get(id=child.token.id)).expires_at == parent.token.expires_at


async def test_a_wider_sibling_is_not_reset_by_a_token(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    wide = await organisation.made(admin, Scope(BuiltInRole.ADMIN))
    narrow = await organisation.token(admin, Scope(statements=[OWN_TOKENS]))
    with pytest.raises(Forbidden):
        await tokens.reset(narrow, wide.row.id, Said())
    with pytest.raises(Forbidden):
        await tokens.update(narrow, wide.row.id, TokenChange(clear_expiry=True), Said())
    assert (await organisation.identify(wide)).token


async def test_a_token_does_not_widen_itself(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    narrow = await organisation.token(admin, Scope(statements=[OWN_TOKENS]))
    assert narrow.token
    with pytest.raises(Forbidden):
        await tokens.update(narrow, narrow.token.id, TokenChange(scope=Scope(BuiltInRole.ADMIN)), Said())


async def test_an_admin_narrows_and_revokes_but_never_resets_anothers_token(organisation: Organisation) -> None:
    writer, admin = [await organisation.as_role(role) for role in (BuiltInRole.WRITER, BuiltInRole.ADMIN)]
    made = await organisation.made(writer, Scope(BuiltInRole.READER))
    with pytest.raises(Forbidden):
        await tokens.reset(admin, made.row.id, Said())
    with pytest.raises(Forbidden):
        await tokens.update(admin, made.row.id, TokenChange(scope=Scope(BuiltInRole.WRITER)), Said())
    empty = Scope(statements=[])
    assert (await tokens.update(admin, made.row.id, TokenChange(scope=empty), Said())).entry
    assert (await tokens.revoke(admin, made.row.id, Said())).entry


async def test_a_service_token_beyond_the_caller_is_not_reset(organisation: Organisation) -> None:
    service = await organisation.made(organisation.owner, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    role = await organisation.role("resetter", {"effect": "allow", "actions": ["*"], "resources": ["service-token/*"]})
    caller = await organisation.session(await organisation.member(custom=[role]))
    with pytest.raises(Forbidden):
        await tokens.reset(caller, service.row.id, Said())
    with pytest.raises(Forbidden):
        await tokens.update(caller, service.row.id, TokenChange(clear_expiry=True), Said())
    assert (await tokens.reset(await organisation.as_role(BuiltInRole.ADMIN), service.row.id, Said())).secret


async def test_a_service_token_makes_no_personal_token(organisation: Organisation) -> None:
    service = await organisation.token(organisation.owner, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    with pytest.raises(Invalid):
        await organisation.made(service)


async def test_a_role_is_not_widened_after_it_was_assigned(organisation: Organisation) -> None:
    caller = await delegate(organisation, FLAGS)
    held = await organisation.role("held", FLAGS)
    await organisation.member(custom=[held])
    with pytest.raises(Forbidden):
        await roles.update(caller, held.id, RoleChange(policy=[ALL_FLAGS]), Said())
    assert (await Role.get(id=held.id)).policy == held.policy


async def test_nobody_edits_a_role_they_or_their_tokens_hold(organisation: Organisation) -> None:
    own = await organisation.role("own", MANAGE_MEMBERS, SEE_ROLES, OWN_TOKENS)
    caller = await organisation.session(await organisation.member(custom=[own]))
    with pytest.raises(Forbidden):
        await roles.update(caller, own.id, RoleChange(policy=[ALL_FLAGS]), Said())
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    scoped = await organisation.role("scoped", FLAGS)
    await organisation.made(admin, Scope(custom_roles=["scoped"]))
    with pytest.raises(Forbidden):
        await roles.update(admin, scoped.id, RoleChange(policy=[ALL_FLAGS]), Said())


async def test_role_attributes_do_not_reach_further_than_the_caller(organisation: Organisation) -> None:
    own_project = {"effect": "allow", "actions": ["*"], "resources": ["proj/mine"]}
    caller = await delegate(organisation, own_project)
    by_team = {"effect": "allow", "actions": ["*"], "resources": ["proj/${roleAttribute/team}"]}
    team = await organisation.role("team", by_team)
    member = await organisation.member(custom=[team])
    with pytest.raises(Forbidden):
        await members.assign_roles(caller, member.id, Grant(role_attributes={"team": ["theirs"]}), Said())
    # The sleeping base role of a reader is within nobody but readers, so it is taken away first.
    await Member.filter(id=member.id).update(base_role=BuiltInRole.NO_ACCESS)
    done = await members.assign_roles(caller, member.id, Grant(role_attributes={"team": ["mine"]}), Said())
    assert done.row.role_attributes == {"team": ["mine"]}


async def test_a_sleeping_base_role_is_within_the_giver_too(organisation: Organisation) -> None:
    caller = await delegate(organisation, FLAGS)
    flags = await organisation.role("flags", FLAGS)
    member = await organisation.member(custom=[flags])
    with pytest.raises(Forbidden):
        await members.assign_roles(caller, member.id, Grant(base_role=BuiltInRole.ADMIN), Said())
    dormant = await organisation.member(BuiltInRole.ADMIN, custom=[flags])
    with pytest.raises(Forbidden):
        await members.assign_roles(caller, dormant.id, Grant(custom_roles=[]), Said())


async def test_nobody_invites_beyond_themselves(organisation: Organisation) -> None:
    caller = await delegate(organisation)
    for grant in (Grant(base_role=BuiltInRole.ADMIN), Grant(base_role=BuiltInRole.WRITER)):
        with pytest.raises(Forbidden):
            await members.invite(caller, "new@example.com", None, grant, Said())
    assert not await Member.filter(email_key="new@example.com").exists()
    with pytest.raises(Invalid):
        await members.invite(organisation.owner, "new@example.com", None, Grant(base_role=BuiltInRole.OWNER), Said())


async def test_an_invitation_is_worth_no_more_than_its_inviter_now(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    done = await members.invite(admin, "new@example.com", None, Grant(base_role=BuiltInRole.ADMIN), Said())
    link = (done.secret or "").rpartition("/")[2]
    assert admin.member
    await members.assign_roles(organisation.owner, admin.member.id, Grant(base_role=BuiltInRole.READER), Said())
    with pytest.raises(Unauthenticated):
        await members.accept_invite(organisation.request, link, "New", PASSWORD)
    await members.assign_roles(organisation.owner, admin.member.id, Grant(base_role=BuiltInRole.ADMIN), Said())
    assert (await members.accept_invite(organisation.request, link, "New", PASSWORD)).row.state == "ACTIVE"
    with pytest.raises(Unauthenticated):
        await members.accept_invite(organisation.request, link, "New", PASSWORD)


async def test_a_link_for_somebody_stronger_is_not_made(organisation: Organisation) -> None:
    caller = await delegate(organisation)
    admin = await organisation.member(BuiltInRole.ADMIN)
    with pytest.raises(Forbidden):
        await members.create_link(caller, admin.id, Said())
    an_admin = await organisation.as_role(BuiltInRole.ADMIN)
    owner = await Member.get(account_id=organisation.account.id, base_role=BuiltInRole.OWNER)
    with pytest.raises(Forbidden):
        await members.create_link(an_admin, owner.id, Said())
    assert await Link.filter(inviter_id=an_admin.member.id).count() == 0  # type: ignore[union-attr]


async def test_nobody_changes_their_own_rights(organisation: Organisation) -> None:
    for role in (BuiltInRole.ADMIN, BuiltInRole.OWNER):
        caller = organisation.owner if role is BuiltInRole.OWNER else await organisation.as_role(role)
        assert caller.member
        with pytest.raises(Forbidden):
            await members.assign_roles(caller, caller.member.id, Grant(base_role=BuiltInRole.WRITER), Said())


async def test_only_the_owner_edits_the_owner(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    owner = organisation.owner.member
    assert owner
    made = await organisation.made(organisation.owner)
    for deed in (
        members.suspend(admin, owner.id, Said()),
        members.remove(admin, owner.id, Said()),
        members.assign_roles(admin, owner.id, Grant(base_role=BuiltInRole.READER), Said()),
        members.update(admin, owner.id, "Somebody", Said()),
        tokens.revoke(admin, made.row.id, Said()),
    ):
        with pytest.raises(Forbidden):
            await deed
    assert (await Member.get(id=owner.id)).snapshot() == owner.snapshot()


async def test_reinstating_somebody_stronger_is_refused(organisation: Organisation) -> None:
    caller = await delegate(organisation)
    admin = await organisation.member(BuiltInRole.ADMIN, state=MemberState.SUSPENDED)
    with pytest.raises(Forbidden):
        await members.reinstate(caller, admin.id, Said())


async def test_a_just_demoted_admin_writes_nothing_with_a_caller_made_before(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    target = await organisation.member()
    assert admin.member
    # Another process demoted them: the row is changed beneath this process's memory.
    await Member.filter(id=admin.member.id).update(base_role=BuiltInRole.READER)
    with pytest.raises(Forbidden):
        await members.suspend(admin, target.id, Said())
    await Member.filter(id=admin.member.id).update(state=MemberState.SUSPENDED)
    with pytest.raises(Unauthenticated):
        await members.suspend(admin, target.id, Said())


async def test_lowering_a_mark_needs_full_admin(organisation: Organisation) -> None:
    every_kind = {"effect": "allow", "actions": ["*"], "resources": ["kind/*"]}
    caller = await organisation.session(
        await organisation.member(custom=[await organisation.role("kinds", every_kind)])
    )
    lower = [type(a)(a.key, FLAG.actions[0].mark, a.description, a.gate) for a in FLAG.actions]
    lowered = type(FLAG)(FLAG.key, tuple(lower), FLAG.parents, FLAG.name, taggable=True)
    with pytest.raises(Forbidden):
        await kinds.define(caller, lowered, Said())
    assert (await kinds.define(await organisation.as_role(BuiltInRole.ADMIN), lowered, Said())).entry


async def test_another_account_does_not_exist(organisation: Organisation, database: Database) -> None:
    other = await founded(database, "other")
    made = await other.made(other.owner)
    assert other.owner.member
    for deed in (
        tokens.revoke(organisation.owner, made.row.id, Said()),
        members.suspend(organisation.owner, other.owner.member.id, Said()),
    ):
        with pytest.raises(NotFound):
            await deed


async def test_a_secret_of_the_wrong_kind_opens_nothing(organisation: Organisation) -> None:
    for kind in SecretKind:
        with pytest.raises(Unauthenticated):
            await organisation.identify(Secret.mint(kind).text)
    done = await members.invite(organisation.owner, "new@example.com", None, Grant(), Said())
    with pytest.raises(Unauthenticated):
        await organisation.identify((done.secret or "").rpartition("/")[2])


async def test_a_personal_token_is_made_for_nobody_else(organisation: Organisation) -> None:
    role = await organisation.role("maker", OWN_TOKENS)
    caller = await organisation.session(await organisation.member(custom=[role]))
    done = await tokens.create(caller, NewToken(TokenKind.PERSONAL, "mine", Scope(BuiltInRole.OWNER)), Said())
    assert done.row.owner_id == caller.member.id  # type: ignore[union-attr]


async def test_a_link_made_before_makes_nobody_the_owner(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    owner, heir = organisation.owner, await organisation.member(BuiltInRole.WRITER)
    assert owner.member
    owner.member.password_hash = await passwords.hashed(PASSWORD)
    await owner.member.save()
    link = (await members.create_link(admin, heir.id, Said())).secret or ""
    kept = await Link.get(member_id=heir.id)
    await members.transfer_ownership(await organisation.session(owner.member), heir.id, PASSWORD, Said())
    assert not await Link.filter(member_id=heir.id).exists()
    await Link.bulk_create([kept])  # as if it had been made a moment later
    with pytest.raises(Unauthenticated):
        await members.accept_invite(organisation.request, link.rpartition("/")[2], None, PASSWORD)
    assert (await Member.get(id=heir.id)).password_hash is None


async def test_no_token_prolongs_what_it_made_or_itself_beyond_its_own_end(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    soon = now() + timedelta(minutes=5)
    parent = await organisation.token(admin, Scope(BuiltInRole.ADMIN), expires_at=soon)
    service = await organisation.token(parent, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    assert service.token
    for caller in (parent, service):
        for change in (TokenChange(clear_expiry=True), TokenChange(expires_at=soon + timedelta(seconds=1))):
            with pytest.raises(Invalid, match="`expiresAt` must not be after that of the token"):
                await tokens.update(caller, service.token.id, change, Said())
    assert (await Token.get(id=service.token.id)).expires_at == soon
    longer = TokenChange(expires_at=soon + timedelta(days=1))
    await tokens.update(admin, service.token.id, longer, Said())  # somebody who is there may
    assert (await Token.get(id=service.token.id)).expires_at == longer.expires_at


async def test_nobody_changes_their_own_rights_by_a_service_token_of_a_service_token(
    organisation: Organisation,
) -> None:
    fay = await organisation.as_role(BuiltInRole.ADMIN)
    assert fay.member
    first = await organisation.token(fay, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    second = await organisation.token(first, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    held = await organisation.role("held", FLAGS)
    await members.assign_roles(organisation.owner, fay.member.id, Grant(BuiltInRole.READER, ["held"]), Said())
    await members.suspend(organisation.owner, fay.member.id, Said())
    for caller in (first, second):
        with pytest.raises(Forbidden, match="nobody changes their own rights"):
            await members.reinstate(caller, fay.member.id, Said())
        with pytest.raises(Forbidden, match="nobody changes their own rights"):
            await members.assign_roles(caller, fay.member.id, Grant(BuiltInRole.ADMIN), Said())
        with pytest.raises(Forbidden, match="nobody changes their own rights"):
            await roles.update(caller, held.id, RoleChange(policy=[ALL_FLAGS]), Said())


async def test_a_token_rescoped_by_others_cannot_grow_with_a_role_of_theirs(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    vic = await organisation.member(BuiltInRole.WRITER, attributes={"team": ["web"]})
    token = await organisation.token(
        await organisation.session(vic), Scope(statements=[ALL_FLAGS, OWN_TOKENS, SEE_ROLES])
    )
    assert token.token
    await organisation.role("narrow", FLAGS)
    by_attribute = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/${roleAttribute/team}"]}
    grows = (Scope(custom_roles=["narrow"]), Scope(BuiltInRole.NO_ACCESS), Scope(statements=[by_attribute]))
    for caller in (admin, token):
        for scope in grows:
            with pytest.raises(Forbidden, match="only the owner's own session"):
                await tokens.update(caller, token.token.id, TokenChange(scope=scope), Said())
    await tokens.update(admin, token.token.id, TokenChange(scope=Scope(statements=[FLAGS])), Said())
    assert not may(await organisation.identify(organisation.secrets[str(token.token.id)]), "deleteFlag")


async def test_a_token_may_be_narrowed_by_others_to_fewer_of_its_own_roles(organisation: Organisation) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    await organisation.role("flags", FLAGS)
    await organisation.role("tokens", OWN_TOKENS)
    writer = await organisation.as_role(BuiltInRole.WRITER)
    both = Scope(custom_roles=["flags", "tokens"])
    made = await organisation.made(await organisation.session(await organisation.member(BuiltInRole.ADMIN)), both)
    await tokens.update(admin, made.row.id, TokenChange(scope=Scope(custom_roles=["flags"])), Said())
    built_in = await organisation.made(writer, Scope(BuiltInRole.WRITER))
    await tokens.update(admin, built_in.row.id, TokenChange(scope=Scope(BuiltInRole.READER)), Said())


async def test_becoming_an_equal_takes_rights_over_what_is_theirs(organisation: Organisation) -> None:
    hr = await delegate(organisation, OWN_TOKENS | {"resources": ["member/nobody:token/*"]})
    bob = await organisation.member(BuiltInRole.READER)
    assert hr.member
    with pytest.raises(Forbidden, match="not within your own"):
        await members.create_link(hr, bob.id, Said())
    invited = await members.invite(organisation.owner, "new@example.com", None, Grant(BuiltInRole.NO_ACCESS), Said())
    assert (await members.create_link(hr, invited.row.id, Said())).secret


async def test_a_kind_that_lets_more_be_stated_needs_all_rights_of_an_admin(organisation: Organisation) -> None:
    manage = {"effect": "allow", "actions": ["*"], "resources": ["kind/*"]}
    manager = await organisation.session(await organisation.member(custom=[await organisation.role("kinds", manage)]))
    bare = replace(FLAG, key="plain", parents=(), taggable=False)
    await kinds.define(organisation.owner, bare, Said())
    for wider in (replace(bare, taggable=True), replace(bare, properties=("critical",))):
        with pytest.raises(Forbidden, match="others could gain"):
            await kinds.define(manager, wider, Said())
    await kinds.define(manager, replace(bare, description="Still plain."), Said())
