"""Signing in through an OpenID provider: who somebody is here whom it vouches for, and who is nobody."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from core.errors import Conflict, Forbidden, Invalid, Unauthenticated
from core.vocabulary import BuiltInRole
from models import (
    ActorKind,
    AuditEntry,
    Identity,
    Link,
    Member,
    MemberState,
    Outcome,
    SignInMethod,
)
from models.database import Database
from resolvers import identities, members, refusing, sessions
from resolvers.admission import Admission
from resolvers.callers import Caller, with_credential
from resolvers.identities import SomebodyElse, Unvouched, Vouched
from resolvers.members import Grant
from resolvers.writing import Said
from tests.organisation import PASSWORD, Organisation, founded
from tests.resolvers.conftest import Refused

ISSUER = "https://id.example.com"
EMAIL = "Ada@Example.com"
ADA = Vouched(ISSUER, "ada", "ada@example.com", "Ada Okafor")


async def invited(organisation: Organisation, email: str = EMAIL, by: Caller | None = None, **grant: Any) -> Member:
    return (await members.invite(by or organisation.owner, email, None, Grant(**grant), Said())).row


async def entered(organisation: Organisation, vouched: Vouched = ADA, account: str | None = None) -> Caller:
    """Come in, and be who that makes one."""
    return await organisation.identify(await identities.sign_in(organisation.request, vouched, account))


def admitting(organisation: Organisation, **wanted: Any) -> None:
    """Have other settings."""
    organisation.house = replace(organisation.house, **wanted)


async def last_entries(organisation: Organisation, count: int) -> Sequence[AuditEntry]:
    latest = await AuditEntry.filter(account_id=organisation.account.id).order_by("-sequence").limit(count)
    return latest[::-1]


async def test_an_invited_member_accepts_and_is_known_by_their_id_from_then_on(organisation: Organisation) -> None:
    member = await invited(organisation, base_role=BuiltInRole.WRITER)
    first = await identities.sign_in(replace(organisation.request, user_agent="Firefox"), ADA)
    caller = await organisation.identify(first)
    assert caller.member
    assert (caller.member.id, caller.member.state, caller.member.name) == (member.id, MemberState.ACTIVE, "Ada Okafor")
    assert (first.row.method, first.row.last_used_agent) == (SignInMethod.OIDC, "Firefox")
    assert not await Link.filter(member_id=member.id).exists()
    accepted, signed_in = await last_entries(organisation, 2)
    assert [access["action"] for access in accepted.accesses] == ["bindIdentity", "acceptInvite"]
    assert (accepted.actor_kind, accepted.member_id) == (ActorKind.OIDC, member.id)
    assert accepted.after
    assert (accepted.after["state"], accepted.after["issuer"], accepted.after["subject"]) == ("ACTIVE", ISSUER, "ada")
    assert [access["action"] for access in signed_in.accesses] == ["createSession"]
    assert (signed_in.actor_kind, (signed_in.after or {})["issuer"]) == (ActorKind.OIDC, ISSUER)
    for later in (ADA, replace(ADA, email="a.okafor@example.org"), replace(ADA, email=None)):
        again = await entered(organisation, later)
        assert again.member
        assert (again.member.id, again.member.email) == (member.id, EMAIL)
    assert await Identity.all().count() == 1


async def test_whoever_gets_an_address_later_does_not_get_its_member(
    organisation: Organisation, refused: Refused
) -> None:
    member = await invited(organisation)
    await entered(organisation)
    with refused(SomebodyElse):
        await identities.sign_in(organisation.request, replace(ADA, subject="bob"))
    await refusing.record(organisation.house, all_=True)
    [entry] = await last_entries(organisation, 1)
    assert (entry.outcome, entry.actor_kind, entry.target_member_id) == (Outcome.REFUSED, ActorKind.OIDC, member.id)
    assert entry.member_id is None
    # The command line forgets who they are, and ends what was got by it.
    before = await identities.sign_in(organisation.request, ADA)
    caller = await with_credential(organisation.account, organisation.request, ActorKind.COMMAND_LINE)
    assert (await identities.unbind(caller, member.id, Said())).entry
    assert (await identities.unbind(caller, member.id, Said())).entry is None
    with pytest.raises(Unauthenticated):
        await organisation.identify(before)
    assert (await entered(organisation, replace(ADA, subject="bob"))).member
    with refused(SomebodyElse):
        await identities.sign_in(organisation.request, ADA)


async def test_an_entry_names_every_identity_that_is_forgotten(organisation: Organisation) -> None:
    member = await invited(organisation)
    everywhere = [ADA, replace(ADA, issuer="https://other.example.com", subject="ada-2")]
    for vouched in everywhere:
        await entered(organisation, vouched)
    caller = await with_credential(organisation.account, organisation.request, ActorKind.COMMAND_LINE)
    done = await identities.unbind(caller, member.id, Said())
    assert done.entry
    named = [{"issuer": vouched.issuer, "subject": vouched.subject} for vouched in everywhere]
    assert done.entry.before == {**(done.entry.after or {}), "identities": named}
    assert not await Identity.exists(member_id=member.id)


async def test_all_who_may_not_come_in_are_refused_alike(
    organisation: Organisation, database: Database, refused: Refused
) -> None:
    await founded(database, "other")
    for subject in ("suspended", "removed"):
        member = await invited(organisation, f"{subject}@example.com")
        await entered(organisation, Vouched(ISSUER, subject, f"{subject}@example.com"))
        if subject == "removed":
            await members.remove(organisation.owner, member.id, Said())
        else:
            await members.suspend(organisation.owner, member.id, Said())
    never_in = await invited(organisation, "never.in@example.com")
    await members.remove(organisation.owner, never_in.id, Said())
    # They would be welcome, were they new.
    admitting(organisation, admission=Admission(domains=("example.com",)))
    told = []
    for vouched, account in (
        (Vouched(ISSUER, "suspended", "suspended@example.com"), None),
        (Vouched(ISSUER, "suspended"), None),
        (Vouched(ISSUER, "removed", "removed@example.com"), None),
        (Vouched(ISSUER, "removed", "renamed@example.com"), None),
        (Vouched(ISSUER, "somebody", "removed@example.com"), None),
        (Vouched(ISSUER, "never", "never.in@example.com"), None),
        (Vouched(ISSUER, "unknown", "unknown@example.org"), None),
        (Vouched(ISSUER, "unknown", "unknown@sub.example.com"), None),
        (Vouched(ISSUER, "unknown", "unknown@example.com"), "other"),
        (Vouched(ISSUER, "unknown", "unknown@example.com"), "no such account"),
    ):
        with refused(Unauthenticated) as refusal:
            await identities.sign_in(organisation.request, vouched, account)
        told.append((type(refusal.value), str(refusal.value), dict(refusal.value.extensions)))
    assert told == [(Unauthenticated, "a valid credential is needed", {"code": "UNAUTHENTICATED"})] * len(told)
    # Nobody says who somebody is whose address is not vouched for, or is none.
    for email in (None, "no address", "a\x00@example.com"):
        with refused(Unvouched):
            await identities.sign_in(organisation.request, Vouched(ISSUER, "unknown", email))


async def test_who_was_removed_comes_back_if_invited_again(organisation: Organisation) -> None:
    first = await invited(organisation)
    await entered(organisation)
    await members.remove(organisation.owner, first.id, Said())
    second = await invited(organisation)
    caller = await entered(organisation)
    assert caller.member
    assert (caller.member.id, await Identity.all().count()) == (second.id, 1)


async def test_an_invitation_is_worth_no_more_than_who_made_it(organisation: Organisation, refused: Refused) -> None:
    admin = await organisation.member(BuiltInRole.ADMIN)
    await invited(organisation, by=await organisation.session(admin), base_role=BuiltInRole.ADMIN)
    await members.assign_roles(organisation.owner, admin.id, Grant(base_role=BuiltInRole.READER), Said())
    with refused(Unauthenticated):
        await identities.sign_in(organisation.request, ADA)
    await members.assign_roles(organisation.owner, admin.id, Grant(base_role=BuiltInRole.ADMIN), Said())
    assert (await entered(organisation)).member


async def test_a_member_with_a_password_keeps_it(organisation: Organisation) -> None:
    done = await members.invite(organisation.owner, EMAIL, "Ada", Grant(), Said())
    await members.accept_invite(organisation.request, (done.secret or "").rpartition("/")[2], None, PASSWORD)
    caller = await entered(organisation)
    assert caller.member
    assert (caller.member.id, caller.member.name) == (done.row.id, "Ada")
    [bound, _] = await last_entries(organisation, 2)
    assert [access["action"] for access in bound.accesses] == ["bindIdentity"]
    by_password = await sessions.sign_in(organisation.request, EMAIL, PASSWORD)
    assert by_password.row.method is SignInMethod.PASSWORD


async def test_who_comes_in_twice_at_once_is_one_person(organisation: Organisation) -> None:
    member = await invited(organisation)
    both = await asyncio.gather(*(identities.sign_in(organisation.request, ADA) for _ in range(2)))
    assert [done.row.owner_id for done in both] == [member.id] * 2
    bound = await AuditEntry.filter(account_id=organisation.account.id, target_id=member.id).order_by("sequence")
    assert [entry.accesses[0]["action"] for entry in bound] == ["createMember", "bindIdentity"]


async def test_who_is_suspended_meanwhile_gets_no_session(organisation: Organisation, refused: Refused) -> None:
    await invited(organisation)
    caller = await entered(organisation)
    assert caller.member
    found = Member.filter(id=caller.member.id).select_related("account")
    before = await found.get()
    await members.suspend(organisation.owner, before.id, Said())
    for member in (before, await found.get()):
        for identity in (await Identity.get(member_id=member.id), None):
            with refused(Unauthenticated):
                await sessions.open_session(member, organisation.request, identity)


async def test_whom_the_settings_welcome_is_made_a_member_once(organisation: Organisation, refused: Refused) -> None:
    with refused(Unauthenticated):
        await identities.sign_in(organisation.request, ADA)
    admitting(organisation, admission=Admission(domains=("example.com",), role=BuiltInRole.NO_ACCESS))
    vouched = replace(ADA, email=EMAIL, name="\u202e" * 300)
    both = await asyncio.gather(*(identities.sign_in(organisation.request, vouched) for _ in range(2)))
    caller = await entered(organisation)
    assert caller.member
    made = caller.member
    assert [done.row.owner_id for done in both] == [made.id] * 2
    assert (made.base_role, made.state, made.email, made.name) == (
        BuiltInRole.NO_ACCESS,
        MemberState.ACTIVE,
        EMAIL,
        "",
    )
    assert await Member.filter(email_key="ada@example.com").count() == 1
    entry = await AuditEntry.filter(target_id=made.id).order_by("sequence").first()
    assert entry
    assert [access["action"] for access in entry.accesses] == ["createMember", "bindIdentity"]
    assert (entry.actor_kind, entry.member_id) == (ActorKind.OIDC, None)


async def test_a_member_of_several_accounts_is_asked_which(organisation: Organisation, database: Database) -> None:
    other = await founded(database, "other")
    for each in (organisation, other):
        await invited(each)
    for _ in range(2):
        with pytest.raises(Conflict) as refusal:
            await identities.sign_in(organisation.request, ADA)
        extensions = dict(refusal.value.extensions)
        assert extensions == {"code": "CONFLICT", "field": "account", "accounts": ["main", "other"]}
        for each in (organisation, other):
            assert (await entered(each, ADA, each.account.key)).account.id == each.account.id
    # A provider that is for one account says nothing in the others.
    admitting(organisation, admission=Admission(account_key="other"))
    assert (await entered(organisation)).account.id == other.account.id
    with pytest.raises(Unauthenticated):
        await identities.sign_in(organisation.request, ADA, "main")


async def test_passwords_can_be_turned_off(organisation: Organisation, refused: Refused) -> None:
    done = await members.invite(organisation.owner, EMAIL, "Ada", Grant(), Said())
    link = (done.secret or "").rpartition("/")[2]
    admitting(organisation, password_sign_in=False)
    owner = replace(organisation.owner, request=organisation.request)
    active = await organisation.member()
    for deed in (
        lambda: sessions.sign_in(organisation.request, EMAIL, PASSWORD),
        lambda: members.accept_invite(organisation.request, link, None, PASSWORD),
        lambda: members.create_link(owner, active.id, Said()),
        lambda: sessions.change_password(owner, PASSWORD, PASSWORD, Said()),
        lambda: members.transfer_ownership(owner, done.row.id, PASSWORD, Said()),
    ):
        with refused(Forbidden) as refusal:
            await deed()
        assert str(refusal.value) == "signing in with a password is turned off on this server"
    # Who is invited may be invited anew, by whoever may still give what they get.
    assert (await members.create_link(owner, done.row.id, Said())).secret
    assert (await entered(organisation)).member
    # The command line still makes a link, for when they are on again.
    caller = await with_credential(organisation.account, organisation.request, ActorKind.COMMAND_LINE)
    again = await members.create_link(caller, done.row.id, Said())
    admitting(organisation, password_sign_in=True)
    owner = replace(organisation.owner, request=organisation.request)
    with refused(Invalid) as invalid:
        await members.transfer_ownership(owner, done.row.id, PASSWORD, Said())
    assert "you have no password" in str(invalid.value)
    await members.accept_invite(organisation.request, (again.secret or "").rpartition("/")[2], None, PASSWORD)
    assert (await sessions.sign_in(organisation.request, EMAIL, PASSWORD)).secret
