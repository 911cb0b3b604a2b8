"""Accounts: each made with its owner, whole or not at all, and apart from all others."""

import asyncio

import pytest

from core import chain
from core.errors import Conflict, Invalid
from core.vocabulary import BuiltInRole
from models import Account, AuditEntry, AuditHead, Member, MemberState
from resolvers import accounts, members, sessions
from tests.organisation import PASSWORD, Organisation
from tests.resolvers.conftest import Refused


async def test_an_account_begins_with_its_owner_a_link_and_an_entry(organisation: Organisation) -> None:
    done = await accounts.create(organisation.request, "acme", " Acme ", "Owner@Acme.example")
    account = await Account.get(id=done.row.id)
    owner = await Member.get(account_id=account.id)
    assert (account.key, account.name) == ("acme", "Acme")
    assert (owner.email, owner.base_role, owner.state) == ("Owner@Acme.example", BuiltInRole.OWNER, MemberState.INVITED)
    [entry] = await AuditEntry.filter(account_id=account.id)
    assert entry.accesses == [{"action": "createAccount", "resource": "acct"}]
    assert (entry.actor_kind, entry.member_id, entry.sequence) == ("COMMAND_LINE", None, 1)
    assert (entry.before, entry.after) == (
        None,
        {
            "key": "acme",
            "name": "Acme",
            "verdictLifetimeS": 0,
            "tokenLifetimes": {},
            "maxTokens": None,
            "maxMemberTokens": None,
            "rateLimits": [],
            "revokesReused": False,
            "legacyEndsAt": None,
            "owner": str(owner.id),
            "ownerEmail": "Owner@Acme.example",
        },
    )
    head = await AuditHead.get(account_id=account.id)
    assert (entry.previous, entry.seal) == (chain.genesis(str(account.id)), head.seal)
    assert done.row.version == account.version
    assert done.secret
    link = done.secret.rpartition("/")[2]
    assert (await members.accept_invite(organisation.request, link, "Olga", PASSWORD)).row.id == owner.id
    assert (await sessions.sign_in(organisation.request, "owner@acme.example", PASSWORD)).row.account_id == account.id


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("key", ("", "Acme", "a@example.com")),
        ("key", ("Acme", "Acme", "a@example.com")),
        ("key", ("a" * 300, "Acme", "a@example.com")),
        ("name", ("acme", "", "a@example.com")),
        ("name", ("acme", "Ac\x00me", "a@example.com")),
        ("ownerEmail", ("acme", "Acme", "")),
        ("ownerEmail", ("acme", "Acme", "nobody")),
    ],
)
async def test_a_bad_account_names_the_field(
    organisation: Organisation, refused: Refused, field: str, bad: tuple[str, str, str]
) -> None:
    with refused(Invalid) as refusal:
        await accounts.create(organisation.request, *bad)
    assert refusal.value.field == field


async def test_a_key_is_taken_once_even_at_once(organisation: Organisation, refused: Refused) -> None:
    wanted = [accounts.create(organisation.request, "acme", f"Acme {n}", "a@example.com") for n in range(5)]
    outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["Conflict"] * 4 + ["Done"]
    with refused(Conflict) as refusal:
        await accounts.create(organisation.request, "acme", "Again", "a@example.com")
    assert dict(refusal.value.extensions) == {"code": "CONFLICT", "field": "key"}


async def test_one_address_owns_many_accounts(organisation: Organisation) -> None:
    for key in ("one", "two"):
        await accounts.create(organisation.request, key, key, "same@example.com")
    assert await Member.filter(email_key="same@example.com").count() == 2
