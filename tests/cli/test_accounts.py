"""Accounts and links, made at the server's own terminal."""

from dataclasses import replace

import pytest

from cli import accounts, members
from core.errors import Conflict, Invalid
from core.secret import ServerKeys
from models import Account, ActorKind, AuditEntry, Member, MemberState, new_id
from models.database import Database
from resolvers import identities
from resolvers import members as operations
from resolvers.callers import Request
from resolvers.house import House
from resolvers.identities import Vouched

PASSWORD = "correct horse battery staple"


@pytest.fixture
def request_(database: Database) -> Request:
    return Request(House(database, ServerKeys.mint("first"), "https://tokens.example"), str(new_id()))


async def accept(request: Request, link: str) -> Member:
    prefix = "https://tokens.example/#/invite/"
    assert link.startswith(prefix)
    return (await operations.accept_invite(request, link.removeprefix(prefix), "Olive", PASSWORD)).row


async def test_the_first_account_is_made_once(request_: Request) -> None:
    link = await accounts.create_first(request_, "main", "owner@localhost")
    assert link
    assert await accounts.create_first(request_, "main", "owner@localhost") is None
    assert await accounts.create_first(request_, "other", "owner@localhost") is None
    owner = await accept(request_, link)
    assert (owner.email, owner.base_role, owner.state) == ("owner@localhost", "owner", MemberState.ACTIVE)
    assert [account.key for account in await Account.all()] == ["main"]


async def test_an_account_made_later_has_its_own_owner_and_its_own_log(request_: Request) -> None:
    await accounts.create(request_, "one", None, "owner@one.example")
    await accept(request_, await accounts.create(request_, "two", "Number Two", "owner@two.example"))
    two = await Account.get(key="two")
    assert two.name == "Number Two"
    entries = await AuditEntry.filter(account_id=two.id).order_by("sequence")
    assert [(entry.sequence, entry.accesses[0]["action"]) for entry in entries] == [
        (1, "createAccount"),
        (2, "acceptInvite"),
    ]


async def test_a_taken_key_is_refused(request_: Request) -> None:
    await accounts.create(request_, "one", None, "owner@one.example")
    with pytest.raises(Conflict, match="`one`"):
        await accounts.create(request_, "one", None, "other@one.example")
    assert await Member.all().count() == 1


async def test_a_member_gets_a_new_link_and_the_old_one_ends(request_: Request) -> None:
    old = await accounts.create(request_, "one", None, "Owner@one.example")
    new = await members.link(request_, "owner@ONE.example", None)
    with pytest.raises(Exception, match="a valid credential is needed"):
        await accept(request_, old)
    assert (await accept(request_, new)).state is MemberState.ACTIVE


async def test_of_several_accounts_one_must_be_named(request_: Request) -> None:
    for key in ("one", "two"):
        await accounts.create(request_, key, None, "owner@localhost")
    with pytest.raises(Conflict, match="`one`, `two`"):
        await members.link(request_, "owner@localhost", None)
    member = await accept(request_, await members.link(request_, "owner@localhost", "two"))
    assert member.account_id == (await Account.get(key="two")).id


@pytest.mark.parametrize(
    ("email", "account", "field"),
    [("nobody@localhost", None, "EMAIL"), ("owner", None, "EMAIL"), ("owner@localhost", "three", "--account")],
)
async def test_who_is_not_there_is_named(request_: Request, email: str, account: str | None, field: str) -> None:
    await accounts.create(request_, "one", None, "owner@localhost")
    with pytest.raises(Invalid) as refused:
        await members.link(request_, email, account)
    assert refused.value.field == field


async def test_who_a_member_is_at_the_provider_is_forgotten(request_: Request) -> None:
    await accounts.create(request_, "one", None, "Owner@one.example")
    olive = Vouched("https://id.example.com", "olive", "owner@one.example")
    await identities.sign_in(request_, olive)
    assert await members.unbind(request_, "owner@ONE.example", None) == (
        "whoever signs in with the verified address `Owner@one.example` next is that member"
    )
    [entry] = await AuditEntry.filter(actor_kind=ActorKind.COMMAND_LINE).order_by("-sequence").limit(1)
    assert entry.accesses[0]["action"] == "unbindIdentity"
    assert (entry.before or {})["identities"] == [{"issuer": olive.issuer, "subject": olive.subject}]
    assert await members.unbind(request_, "owner@one.example", "one") == "`Owner@one.example` is bound to no identity"
    await identities.sign_in(request_, replace(olive, subject="another"))
