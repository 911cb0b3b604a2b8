"""What a secret opens, as an integration asks: the truth of now for who may ask, nothing at all for others."""

from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from core.errors import Forbidden, Invalid
from core.receipt import Malformed, Receipt
from core.vocabulary import BuiltInRole
from models import Account, Member, MemberState, SecretDigest, Token, TokenKind, now
from models.database import Database
from resolvers import accounts, members, tokens, verification
from resolvers.access import Question
from resolvers.accounts import AccountChange
from resolvers.callers import Caller, identify
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.organisation import Organisation, founded

FLAG = "proj/web:env/dev:flag/f"
CHECKS = (Question("updateOn", FLAG), Question("updateOnn", FLAG), Question("deleteFlag", FLAG))


async def verifier(organisation: Organisation) -> Caller:
    """A service token that may do nothing but verify."""
    allow = {"effect": "allow", "actions": ["verifyAccessToken"], "resources": ["acct"]}
    return await organisation.token(organisation.owner, Scope(statements=[allow]), TokenKind.SERVICE)


async def test_a_living_token_is_known_by_whose_it_is_and_what_it_may_do_now(organisation: Organisation) -> None:
    asker = await verifier(organisation)
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert writer.member
    made = await organisation.made(writer, name="robot")
    verified = await verification.verify(asker, made.secret or "", "192.0.2.77", CHECKS)
    assert verified
    assert (verified.token.id, verified.subject.member) == (made.row.id, await Member.get(id=writer.member.id))
    assert verified.answers.allowed == [True, False, False]
    assert [bool(answer.verdict) for answer in verified.answers.decisions] == [True, False, False]
    await members.assign_roles(organisation.owner, writer.member.id, Grant(BuiltInRole.READER), Said())
    verified = await verification.verify(asker, made.secret or "", None, CHECKS)
    assert verified
    assert verified.answers.allowed == [False, False, False]


async def test_a_verification_counts_as_a_use_from_where_the_secret_was_presented(organisation: Organisation) -> None:
    asker, made = await verifier(organisation), await organisation.made(organisation.owner)
    await verification.verify(asker, made.secret or "", "2001:DB8::1")
    await organisation.house.uses.flush()
    used = await Token.get(id=made.row.id)
    assert (used.last_used_address, used.last_used_agent) == ("2001:db8::1", None)
    assert used.last_used_at is not None


async def dead_secrets(organisation: Organisation, database: Database) -> dict[str, str]:
    """One secret of every kind that opens no token of the account."""
    owner = organisation.owner
    revoked, expired, graceless = [await organisation.made(owner) for _ in range(3)]
    await tokens.revoke(owner, revoked.row.id, Said())
    await Token.filter(id=expired.row.id).update(expires_at=now() - timedelta(seconds=1))
    await SecretDigest.filter(token_id=graceless.row.id).update(expires_at=now())
    asleep = await organisation.as_role(BuiltInRole.WRITER)
    sleeping = await organisation.made(asleep)
    assert asleep.member
    await Member.filter(id=asleep.member.id).update(state=MemberState.SUSPENDED)
    other = await founded(database, "other")
    foreign = await other.made(other.owner)
    assert owner.token
    texts = {"revoked": revoked, "expired": expired, "graceless": graceless, "sleeping": sleeping, "foreign": foreign}
    living = await organisation.made(owner)
    unknown = (
        (living.secret or "")[:-7] + ("0" if (living.secret or "")[-7] != "0" else "1") + (living.secret or "")[-6:]
    )
    return {
        **{name: done.secret or "" for name, done in texts.items()},
        "session": organisation.secrets[str(owner.token.id)],
        "unknown": unknown,
        "empty": "",
        "garbage": "\ud800 not a secret",
    }


async def test_what_opens_no_token_of_the_account_is_nothing_whyever(
    organisation: Organisation, database: Database
) -> None:
    asker = await verifier(organisation)
    for name, secret in (await dead_secrets(organisation, database)).items():
        assert await verification.verify(asker, secret, None, CHECKS) is None, name


async def test_who_may_not_verify_is_refused_before_anything_is_looked_up(
    organisation: Organisation, statements: list[str]
) -> None:
    made = await organisation.made(organisation.owner)
    writer = await organisation.token(await organisation.as_role(BuiltInRole.WRITER))
    for caller in (writer, organisation.owner):  # a session never verifies, whatever it may do
        statements.clear()
        for secret in (made.secret or "", "lkp_nothing"):
            with pytest.raises(Forbidden):
                await verification.verify(caller, secret, None, CHECKS)
        assert statements == []


async def test_bad_input_names_its_field(organisation: Organisation) -> None:
    asker = await verifier(organisation)
    with pytest.raises(Invalid, match="`address` must be"):
        await verification.verify(asker, "", "somewhere", CHECKS)
    with pytest.raises(Invalid, match="`checks` must be at most 1000"):
        await verification.verify(asker, "", None, [CHECKS[0]] * 1001)


async def test_a_verdict_may_be_kept_as_long_as_the_account_says_and_never_past_the_tokens_end(
    organisation: Organisation,
) -> None:
    asker = await verifier(organisation)
    made = await organisation.made(organisation.owner)
    soon = await organisation.made(organisation.owner, expires_at=now() + timedelta(seconds=20))

    async def cached_for_s(done: Any) -> float | None:
        current = await identify(organisation.secrets[str(asker.token.id)], organisation.request)  # type: ignore[union-attr]
        verified = await verification.verify(current, done.secret)
        assert verified
        return (verified.cache_until - verified.at).total_seconds() if verified.cache_until else None

    assert await cached_for_s(made) is None
    await accounts.update(organisation.owner, AccountChange(verdict_lifetime_s=60), Said())
    assert await cached_for_s(made) == 60
    assert 0 < (await cached_for_s(soon) or 0) <= 20
    for wrong in (-1, 301):
        with pytest.raises(Invalid, match="`verdictLifetimeS` must be from 0 to 300"):
            await accounts.update(organisation.owner, AccountChange(verdict_lifetime_s=wrong), Said())
    assert (await Account.get(id=organisation.account.id)).verdict_lifetime_s == 60


async def test_a_receipt_proves_the_yes_that_was_given_and_nothing_else(organisation: Organisation) -> None:
    asker = await verifier(organisation)
    made = await organisation.made(organisation.owner)
    verified = await verification.verify(asker, made.secret or "", None, CHECKS)
    assert verified
    yes, malformed, _ = verified.answers.decisions
    text = verified.receipt(yes)
    assert text
    assert verified.receipt(malformed) is None
    assert asker.token
    keys, whom = organisation.house.keys, asker.token.id.bytes
    receipt = Receipt.read(text, whom, "updateOn", FLAG, keys)
    assert (receipt.subject, receipt.at_ms) == (made.row.id.bytes, int(verified.at.timestamp() * 1000))
    foreign = replace(receipt, at_ms=1).text(type(keys).mint("x"))
    altered = ("B" if text[0] == "A" else "A") + text[1:]
    for given, whose, action, resource in (
        (text, made.row.id.bytes, "updateOn", FLAG),
        (text, whom, "deleteFlag", FLAG),
        (text, whom, "updateOn", f"{FLAG}f"),
        (altered, whom, "updateOn", FLAG),
        (text[:-1], whom, "updateOn", FLAG),
        ("é" * 51, whom, "updateOn", FLAG),
        (foreign, whom, "updateOn", FLAG),
    ):
        with pytest.raises(Malformed):
            Receipt.read(given, whose, action, resource, keys)


@pytest.mark.parametrize("scope", ["x" * 200, "\x00", "a\nline"])
async def test_what_stands_behind_an_address_hinders_no_other_use_from_being_written(
    organisation: Organisation, scope: str
) -> None:
    asker, uses = await verifier(organisation), organisation.house.uses
    made, other = [await organisation.made(organisation.owner) for _ in range(2)]
    assert made.secret
    assert other.secret
    with suppress(Invalid):
        await verification.verify(asker, made.secret, f"fe80::1%{scope}")
    await verification.verify(asker, other.secret, "192.0.2.7")
    await uses.flush()
    assert (await Token.get(id=other.row.id)).last_used_address == "192.0.2.7"
    assert (await Token.get(id=made.row.id)).last_used_address in {"fe80::1", None}
