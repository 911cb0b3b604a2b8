"""Members from their invitation to their removal, and the account from one owner to the next."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from tortoise.exceptions import IntegrityError

from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from core.secret import Secret, SecretKind
from core.vocabulary import BuiltInRole
from models import Account, AuditEntry, Link, Member, MemberRole, MemberState, Token, TokenKind
from models.database import Database
from resolvers import accounts, members, roles, sessions
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Done, Said
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation, founded
from tests.resolvers.conftest import Refused, SetClock

EMAIL = "Ada@Example.com"
GATE = {"effect": "allow", "actions": ["viewProject"], "resources": ["proj/*"]}


def link_of(done: Done[Any]) -> str:
    """Take the secret out of a link's URL."""
    assert done.secret
    url, _, secret = done.secret.rpartition("/")
    assert url == "http://127.0.0.1:8000/#/invite"
    return secret


async def invited(organisation: Organisation, email: str = EMAIL, **grant: Any) -> Done[Member]:
    return await members.invite(organisation.owner, email, "Ada", Grant(**grant), Said())


async def accepted(organisation: Organisation, done: Done[Any], name: str | None = None) -> Member:
    return (await members.accept_invite(organisation.request, link_of(done), name, PASSWORD)).row


async def owners(account: Account) -> list[str]:
    return [member.name for member in await Member.filter(account_id=account.id, base_role=BuiltInRole.OWNER)]


async def test_an_invitation_lets_in_once(organisation: Organisation, refused: Refused) -> None:
    ops = await organisation.role("ops", GATE)
    done = await invited(organisation, custom_roles=["ops"], role_attributes={"team": ["web"]})
    row = await Member.get(id=done.row.id)
    assert (row.email, row.email_key, row.state, row.password_hash) == (
        EMAIL,
        "ada@example.com",
        MemberState.INVITED,
        None,
    )
    assert done.entry
    assert done.entry.accesses == [{"action": "createMember", "resource": f"member/{row.id}"}]
    assert done.entry.before is None
    assert {**(done.entry.after or {}), "linkMadeAt": ""} == {
        "email": EMAIL,
        "name": "Ada",
        "state": "INVITED",
        "baseRole": "reader",
        "customRoles": [ops.key],
        "roleAttributes": {"team": ["web"]},
        "passwordChangedAt": None,
        "linkMadeAt": "",
    }
    member = await accepted(organisation, done, " Ada L. ")
    assert (member.state, member.name) == (MemberState.ACTIVE, "Ada L.")
    entry = await AuditEntry.get(target_id=row.id, actor_kind="LINK")
    assert entry.accesses == [{"action": "acceptInvite", "resource": f"member/{row.id}"}]
    with refused(Unauthenticated):
        await accepted(organisation, done)
    assert (await sessions.sign_in(organisation.request, EMAIL, PASSWORD)).secret


async def test_links_that_open_nothing_are_refused_alike(organisation: Organisation, refused: Refused) -> None:
    assert organisation.owner.token
    session = organisation.secrets[str(organisation.owner.token.id)]
    told = []
    for link in ("", "lkl_", session, Secret.mint(SecretKind.LINK).text, "\ud800"):
        with refused(Unauthenticated) as refusal:
            await members.accept_invite(organisation.request, link, None, PASSWORD)
        told.append((str(refusal.value), dict(refusal.value.extensions)))
    assert told == [("a valid credential is needed", {"code": "UNAUTHENTICATED"})] * len(told)


async def test_a_link_ends_at_its_very_instant(
    organisation: Organisation, refused: Refused, set_clock: SetClock
) -> None:
    done = await invited(organisation)
    link = await Link.get(member_id=done.row.id)
    assert link.expires_at - link.created_at == pytest.approx(timedelta(days=7), abs=timedelta(seconds=5))
    set_clock(link.expires_at)
    with refused(Unauthenticated):
        await accepted(organisation, done)
    set_clock(link.expires_at - timedelta(microseconds=1))
    assert (await accepted(organisation, done)).state is MemberState.ACTIVE


async def test_a_link_made_again_ends_the_earlier(organisation: Organisation, refused: Refused) -> None:
    first = await invited(organisation)
    second = await members.create_link(organisation.owner, first.row.id, Said("lost it"))
    assert second.entry
    assert second.entry.comment == "lost it"
    with refused(Unauthenticated):
        await accepted(organisation, first)
    assert (await accepted(organisation, second)).state is MemberState.ACTIVE


async def test_a_link_for_a_forgotten_password_ends_the_sessions(organisation: Organisation) -> None:
    await accepted(organisation, await invited(organisation))
    session = await sessions.sign_in(organisation.request, EMAIL, PASSWORD)
    done = await members.create_link(organisation.owner, session.row.owner_id, Said())  # type: ignore[arg-type]
    assert (await organisation.identify(session)).member
    await members.accept_invite(organisation.request, link_of(done), None, "another long password")
    with pytest.raises(Unauthenticated):
        await organisation.identify(session)
    with pytest.raises(Unauthenticated):
        await sessions.sign_in(organisation.request, EMAIL, PASSWORD)


async def test_a_suspended_members_link_opens_nothing_until_they_are_back(
    organisation: Organisation, refused: Refused
) -> None:
    member = await organisation.member()
    done = await members.create_link(organisation.owner, member.id, Said())
    await members.suspend(organisation.owner, member.id, Said())
    with refused(Unauthenticated):
        await accepted(organisation, done)
    with refused(Invalid) as refusal:
        await members.create_link(organisation.owner, member.id, Said())
    assert refusal.value.field == "id"
    await members.reinstate(organisation.owner, member.id, Said())
    assert (await accepted(organisation, done)).id == member.id


async def test_a_link_is_no_way_round_ones_own_password(organisation: Organisation, refused: Refused) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    token = await organisation.token(admin, Scope(BuiltInRole.ADMIN))
    service = await organisation.token(admin, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    assert organisation.owner.member
    assert admin.member
    for caller, member in (
        (organisation.owner, organisation.owner.member),
        (admin, admin.member),
        (token, admin.member),
        (service, admin.member),
    ):
        with refused(Forbidden) as refusal:
            await members.create_link(caller, member.id, Said())
        assert refusal.value.extensions["action"] == "createMember"


async def test_a_sleeping_role_beyond_the_inviter_makes_the_link_worthless(
    organisation: Organisation, refused: Refused
) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    await organisation.role("none")
    grant = Grant(base_role=BuiltInRole.ADMIN, custom_roles=["none"])
    done = await members.invite(admin, EMAIL, None, grant, Said())
    await members.assign_roles(organisation.owner, admin.member.id, Grant(base_role=BuiltInRole.WRITER), Said())
    with refused(Unauthenticated):
        await accepted(organisation, done)


async def test_a_link_dies_with_the_token_it_was_made_with(organisation: Organisation, refused: Refused) -> None:
    token = await organisation.token(organisation.owner)
    assert token.token
    done = await members.invite(token, EMAIL, None, Grant(), Said())
    await Token.filter(id=token.token.id).update(revoked_at=token.token.created_at)
    with refused(Unauthenticated):
        await accepted(organisation, done)


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("email", ("", None, Grant())),
        ("email", ("ada", None, Grant())),
        ("email", ("a\u200bda@example.com", None, Grant())),
        ("email", (f"ada@{'x' * 320}", None, Grant())),
        ("email", ("\ufdfa" * 30 + "@example.com", None, Grant())),
        ("name", (EMAIL, "", Grant())),
        ("name", (EMAIL, "  ", Grant())),
        ("name", (EMAIL, "Ada\x07", Grant())),
        ("name", (EMAIL, "Ada\u202e", Grant())),
        ("name", (EMAIL, "x" * 257, Grant())),
        ("baseRole", (EMAIL, None, Grant(base_role=BuiltInRole.OWNER))),
        ("customRoles[0]", (EMAIL, None, Grant(custom_roles=["proj", "ops"]))),
        ("customRoles[1]", (EMAIL, None, Grant(custom_roles=["ops", "k" * 300]))),
        ("customRoles[0]", (EMAIL, None, Grant(custom_roles=["\ud800"]))),
        ("customRoles", (EMAIL, None, Grant(custom_roles=["ops"] * 101))),
        ("roleAttributes.team[0]", (EMAIL, None, Grant(role_attributes={"team": ["*"]}))),
        ("roleAttributes.team[1]", (EMAIL, None, Grant(role_attributes={"team": ["web", "web-*"]}))),
        ("roleAttributes.team", (EMAIL, None, Grant(role_attributes={"team": []}))),
        ("roleAttributes.team[0]", (EMAIL, None, Grant(role_attributes={"team": ["x" * 300]}))),
        ("roleAttributes", (EMAIL, None, Grant(role_attributes={"a b": ["x"]}))),
        ("roleAttributes", (EMAIL, None, Grant(role_attributes={"": ["x"]}))),
        ("roleAttributes", (EMAIL, None, Grant(role_attributes={str(n): ["x"] for n in range(51)}))),
        ("roleAttributes.team", (EMAIL, None, Grant(role_attributes={"team": ["x"] * 101}))),
    ],
)
async def test_a_bad_invitation_names_the_field(
    organisation: Organisation, refused: Refused, field: str, bad: tuple[str, str | None, Grant]
) -> None:
    await organisation.role("ops", GATE)
    with refused(Invalid) as refusal:
        await members.invite(organisation.owner, *bad, Said())
    assert dict(refusal.value.extensions) == {"code": "BAD_USER_INPUT", "field": field}


@pytest.mark.parametrize(
    "email", ["ada@example.com", " ADA@EXAMPLE.COM", "\uff41da@example.com", "ada@example\u3002com"]
)
async def test_an_address_belongs_to_one_living_member(
    organisation: Organisation, refused: Refused, email: str
) -> None:
    await invited(organisation)
    with refused(Conflict) as refusal:
        await invited(organisation, email)
    assert dict(refusal.value.extensions) == {"code": "CONFLICT", "field": "email"}


async def test_removal_frees_the_address_and_the_roles_and_ends_all_credentials(organisation: Organisation) -> None:
    ops = await organisation.role("ops", GATE)
    member = await accepted(organisation, await invited(organisation, custom_roles=["ops"]))
    session = await sessions.sign_in(organisation.request, EMAIL, PASSWORD)
    caller = await organisation.identify(session)
    for _ in range(2):
        await tokens_of(organisation, caller)
    link = await members.create_link(organisation.owner, member.id, Said())
    done = await members.remove(organisation.owner, member.id, Said("left"))
    assert (done.row.state, done.row.password_hash) == (MemberState.REMOVED, None)
    assert done.entry
    assert done.entry.accesses == [{"action": "deleteMember", "resource": f"member/{member.id}"}]
    assert (done.entry.before or {})["customRoles"] == ["ops"]
    assert {key: (done.entry.after or {})[key] for key in ("state", "customRoles", "revokedTokens", "name")} == {
        "state": "REMOVED",
        "customRoles": [],
        "revokedTokens": 2,
        "name": "Ada",
    }
    assert not await Token.filter(owner_id=member.id, revoked_at=None).exists()
    assert not await MemberRole.filter(role_id=ops.id).exists()
    for dead in (accepted(organisation, link), organisation.identify(session)):
        with pytest.raises(Unauthenticated):
            await dead
    assert (await roles.delete(organisation.owner, ops.id, Said())).entry
    assert (await members.remove(organisation.owner, member.id, Said())).entry is None
    again = await invited(organisation)
    assert again.row.id != member.id
    for deed in (members.reinstate, members.suspend, members.create_link):
        with pytest.raises(Invalid) as refusal:
            await deed(organisation.owner, member.id, Said())
        assert refusal.value.field == "id"


async def tokens_of(organisation: Organisation, caller: Caller) -> None:
    """Make a token for a caller whose roles say nothing of tokens."""
    assert caller.member
    await Token.create(
        account_id=organisation.account.id,
        kind=TokenKind.PERSONAL,
        owner_id=caller.member.id,
        scope_kind="BUILT_IN",
        ending="0000",
    )


async def test_suspending_and_reinstating_say_what_they_did_and_twice_changes_nothing(
    organisation: Organisation, refused: Refused
) -> None:
    member = await organisation.member()
    for deed, state in ((members.suspend, "SUSPENDED"), (members.reinstate, "ACTIVE")):
        done = await deed(organisation.owner, member.id, Said())
        assert done.entry
        assert done.entry.accesses == [{"action": "updateMemberState", "resource": f"member/{member.id}"}]
        assert (done.entry.after or {})["state"] == state
        assert (await deed(organisation.owner, member.id, Said())).entry is None
    waiting = await invited(organisation)
    for deed in (members.suspend, members.reinstate):
        with refused(Invalid) as refusal:
            await deed(organisation.owner, waiting.row.id, Said())
        assert refusal.value.field == "id"


async def test_assigning_says_what_it_did_and_needs_something_to_do(
    organisation: Organisation, refused: Refused
) -> None:
    await organisation.role("ops", GATE)
    member = await organisation.member()
    grant = Grant(BuiltInRole.WRITER, ["ops", "ops"], {"team": ["web", "api"]})
    done = await members.assign_roles(organisation.owner, member.id, grant, Said(expected_version=1))
    assert done.entry
    assert [access["action"] for access in done.entry.accesses] == [
        "updateRole",
        "updateCustomRole",
        "updateMemberRoleAttributes",
    ]
    changed = {key: value for key, value in (done.entry.after or {}).items() if value != (done.entry.before or {})[key]}
    assert changed == {"baseRole": "writer", "customRoles": ["ops"], "roleAttributes": {"team": ["web", "api"]}}
    assert done.row.version == 2
    assert (await members.assign_roles(organisation.owner, member.id, grant, Said())).entry is None
    with refused(Conflict) as conflict:
        await members.assign_roles(organisation.owner, member.id, Grant(custom_roles=[]), Said(expected_version=1))
    assert conflict.value.extensions["currentVersion"] == 2
    with refused(Invalid) as refusal:
        await members.assign_roles(organisation.owner, member.id, Grant(), Said())
    assert refusal.value.field == "input"
    with refused(Invalid) as refusal:
        await members.assign_roles(organisation.owner, member.id, Grant(custom_roles=["gone"]), Said())
    assert refusal.value.field == "customRoles[0]"


async def test_a_service_token_does_not_raise_who_made_it(organisation: Organisation, refused: Refused) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    service = await organisation.token(admin, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    await members.assign_roles(organisation.owner, admin.member.id, Grant(BuiltInRole.READER), Said())
    with refused(Forbidden) as refusal:
        await members.assign_roles(service, admin.member.id, Grant(BuiltInRole.ADMIN), Said())
    assert str(refusal.value) == "nobody changes their own rights"


async def test_hidden_and_absent_members_look_alike(organisation: Organisation, refused: Refused) -> None:
    nobody = await organisation.as_role(BuiltInRole.NO_ACCESS)
    hidden = await organisation.member()
    told = []
    for member_id in (hidden.id, organisation.account.id):
        for deed in (members.suspend, members.reinstate, members.remove, members.create_link):
            with refused(NotFound) as refusal:
                await deed(nobody, member_id, Said())
            told.append((str(refusal.value), dict(refusal.value.extensions)))
    assert told == [("not found", {"code": "NOT_FOUND"})] * 8


async def acme_of(database: Database) -> tuple[Organisation, Member, Caller]:
    """Make an account on the command line whose owner comes in by their link and signs in."""
    house = await founded(database, "scratch")
    made = await accounts.create(house.request, "acme", "Acme", "owner@acme.example")
    owner = await accepted(house, made, "Olga")
    acme = Organisation(house.house, made.row, house.owner)
    session = await sessions.sign_in(acme.request, "owner@acme.example", PASSWORD)
    acme.owner = await acme.identify(session)
    return acme, owner, acme.owner


async def test_ownership_passes_from_one_to_one(database: Database) -> None:
    acme, owner, caller = await acme_of(database)
    assert await owners(acme.account) == ["Olga"]
    heir = await acme.member(BuiltInRole.READER, name="Henry")
    done = await members.transfer_ownership(caller, heir.id, PASSWORD, Said("retiring"))
    assert await owners(acme.account) == ["Henry"]
    assert done.entry
    assert done.entry.accesses == [{"action": "updateAccountOwner", "resource": "acct"}]
    assert ((done.entry.before or {})["owner"], (done.entry.after or {})["owner"]) == (str(owner.id), str(heir.id))
    assert done.row.version == (await Account.get(id=acme.account.id)).version
    old = await Member.get(id=owner.id)
    assert (old.base_role, old.version) == (BuiltInRole.ADMIN, owner.version + 1)
    with pytest.raises(Forbidden) as refusal:
        await members.transfer_ownership(caller, owner.id, PASSWORD, Said())
    assert refusal.value.extensions["action"] == "updateAccountOwner"
    assert (await members.suspend(await acme.session(heir), owner.id, Said())).entry
    with pytest.raises(Unauthenticated):
        await members.transfer_ownership(caller, heir.id, PASSWORD, Said())


async def test_there_is_one_owner_at_every_moment(database: Database, elsewhere: Elsewhere) -> None:
    acme, owner, caller = await acme_of(database)
    heir = await acme.member()
    passing = asyncio.create_task(members.transfer_ownership(caller, heir.id, PASSWORD, Said()))
    query, seen = f"SELECT id FROM member WHERE base_role = 'owner' AND account_id = '{acme.account.id}'", set()  # noqa: S608
    while not passing.done():
        seen.add(tuple(elsewhere(query)))
        await asyncio.sleep(0)
    assert seen <= {((str(owner.id),),), ((str(heir.id),),)}
    assert seen
    assert (await passing).entry
    with pytest.raises(IntegrityError):
        await Member.filter(id=owner.id).update(base_role=BuiltInRole.OWNER)
    assert await owners(acme.account) == [heir.name]


async def test_ownership_does_not_pass_just_so(database: Database, elsewhere: Elsewhere) -> None:
    acme, owner, caller = await acme_of(database)
    ops = await acme.role("ops")
    admin = await acme.session(await acme.member(BuiltInRole.ADMIN))
    assert admin.member
    heir = await acme.member()
    unfit = {
        owner.id,
        (await acme.member(state=MemberState.SUSPENDED)).id,
        (await acme.member(state=MemberState.INVITED)).id,
        (await acme.member(custom=[ops])).id,
        acme.account.id,
        (await founded(database, "other")).owner.member.id,  # type: ignore[union-attr]
    }
    before = elsewhere.everything()
    for member_id in unfit:
        with pytest.raises(Invalid) as refusal:
            await members.transfer_ownership(caller, member_id, PASSWORD, Said())
        assert refusal.value.field == "id"
    with pytest.raises(Invalid) as refusal:
        await members.transfer_ownership(caller, heir.id, "wrong password", Said())
    assert dict(refusal.value.extensions) == {"code": "BAD_USER_INPUT", "field": "password"}
    assert elsewhere.everything() == before
    token = await acme.token(caller)
    service = await acme.token(caller, kind=TokenKind.SERVICE)
    for unable in (admin, token, service):
        with pytest.raises(Forbidden) as forbidden:
            await members.transfer_ownership(unable, admin.member.id, PASSWORD, Said())
        assert forbidden.value.extensions["action"] == "updateAccountOwner"
    assert await owners(acme.account) == ["Olga"]
