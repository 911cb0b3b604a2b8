"""Signing in and out, passwords, and how soon the end of a session is felt."""

import unicodedata
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any
from unittest.mock import Mock

import pytest
from argon2 import PasswordHasher

from core.errors import Conflict, Forbidden, Invalid, NotFound, Unauthenticated
from core.vocabulary import BuiltInRole
from models import ActorKind, AuditEntry, Link, Member, MemberState, SecretDigest, Token, TokenKind
from models.database import Database
from resolvers import members, passwords, sessions, tokens
from resolvers.callers import Caller
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Done, Said
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation, founded
from tests.resolvers.conftest import Refused, SetClock

EMAIL = "Ada@Example.com"
NEW_PASSWORD = "staple battery horse correct"


async def joined(organisation: Organisation, email: str = EMAIL, password: str = PASSWORD, **grant: Any) -> Member:
    """Invite somebody who accepts."""
    done = await members.invite(organisation.owner, email, "Ada", Grant(**grant), Said())
    assert done.secret
    await members.accept_invite(organisation.request, done.secret.rpartition("/")[2], None, password)
    return await Member.get(id=done.row.id)


async def signed_in(organisation: Organisation, password: str = PASSWORD) -> Caller:
    """Sign Ada in and identify her."""
    return await organisation.identify(await sessions.sign_in(organisation.request, EMAIL, password))


def secret(done: Done[Any]) -> str:
    assert done.secret
    return done.secret


class Counting:
    """The real hasher, counting what it is asked to do."""

    def __init__(self, hasher: PasswordHasher) -> None:
        self.hasher = hasher
        self.calls: Counter[str] = Counter()

    def hash(self, password: bytes) -> str:
        self.calls["hash"] += 1
        return self.hasher.hash(password)

    def verify(self, kept: str, password: bytes) -> bool:
        self.calls["verify"] += 1
        return self.hasher.verify(kept, password)


@pytest.fixture
def hashing(monkeypatch: pytest.MonkeyPatch) -> Counting:
    counting = Counting(passwords._hasher)  # noqa: SLF001 - wrapped to count, and it works as ever
    monkeypatch.setattr(passwords, "_hasher", counting)
    return counting


async def test_signing_in_answers_with_a_session_and_records_it(organisation: Organisation) -> None:
    member = await joined(organisation)
    done = await sessions.sign_in(replace(organisation.request, user_agent="curl/8"), " ada@EXAMPLE.com ", PASSWORD)
    assert secret(done).startswith("lkt_")
    row = await Token.get(id=done.row.id)
    assert (row.kind, row.owner_id, row.ending) == (TokenKind.SESSION, member.id, secret(done)[-4:])
    assert row.expires_at
    assert row.expires_at - row.created_at == pytest.approx(timedelta(hours=12), abs=timedelta(seconds=5))
    assert (row.last_used_address, row.last_used_agent) == ("192.0.2.1", "curl/8")
    entry = await AuditEntry.get(id=done.entry.id)  # type: ignore[union-attr]
    assert entry.accesses == [{"action": "createSession", "resource": f"member/{member.id}"}]
    assert (entry.actor_kind, entry.member_id, entry.user_agent) == ("PASSWORD", member.id, "curl/8")
    assert (await organisation.identify(done)).actor is ActorKind.SESSION


async def test_everything_wrong_is_refused_alike_after_as_much_work(
    organisation: Organisation, database: Database, hashing: Counting, refused: Refused, statements: list[str]
) -> None:
    member = await joined(organisation)
    await joined(organisation, "suspended@example.com")
    await Member.filter(email_key="suspended@example.com").update(state=MemberState.SUSPENDED)
    await members.invite(organisation.owner, "invited@example.com", None, Grant(), Said())
    await joined(organisation, "removed@example.com")
    removed = await Member.get(email_key="removed@example.com")
    await members.remove(organisation.owner, removed.id, Said())
    other = await founded(database, "other")
    await joined(organisation, "both@example.com")
    await joined(other, "both@example.com", NEW_PASSWORD)
    assert member.password_hash
    for email, password, account in (
        (EMAIL, "wrong password", None),
        (EMAIL, "", None),
        (EMAIL, "\ud800" * 12, None),
        (EMAIL, PASSWORD, "other"),
        (EMAIL, PASSWORD, "no-such-account"),
        ("unknown@example.com", PASSWORD, None),
        ("unknown@example.com", PASSWORD, "main"),
        ("suspended@example.com", PASSWORD, None),
        ("suspended@example.com", PASSWORD, "main"),
        ("invited@example.com", PASSWORD, None),
        ("removed@example.com", PASSWORD, None),
        ("both@example.com", "wrong password", None),
        ("both@example.com", NEW_PASSWORD, "main"),
    ):
        hashing.calls.clear()
        statements.clear()
        with refused(Unauthenticated) as refusal:
            await sessions.sign_in(replace(organisation.request, address=email), email, password, account)
        told = (str(refusal.value), dict(refusal.value.extensions), dict(hashing.calls), len(statements))
        hashes = sessions.UNNAMED if account is None else 1
        assert told == ("a valid credential is needed", {"code": "UNAUTHENTICATED"}, {"verify": hashes}, 2), email


def test_the_hash_of_nobodys_password_costs_as_much_as_any() -> None:
    assert not passwords._hasher.check_needs_rehash(passwords.NOBODYS)  # noqa: SLF001 - it is about the parameters


async def test_a_password_is_the_same_however_its_letters_are_composed(organisation: Organisation) -> None:
    await joined(organisation, password="Zo\u00eb and the horse")
    assert (await signed_in(organisation, "Zoe\u0308 and the horse")).member


async def test_a_password_too_long_to_be_anybodys_is_wrong_after_the_same_work(
    organisation: Organisation, hashing: Counting, refused: Refused, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest = "correct horse " * 18 + "nags"
    await joined(organisation, password=longest)
    assert (await signed_in(organisation, longest)).member
    composing = Mock(side_effect=unicodedata.normalize)
    monkeypatch.setattr(unicodedata, "normalize", composing)
    for beyond in (longest + "!", longest + "\u0301\u0316" * 1000):
        hashing.calls.clear()
        with refused(Unauthenticated):
            await sessions.sign_in(organisation.request, EMAIL, beyond)
        assert dict(hashing.calls) == {"verify": sessions.UNNAMED}
    assert max(len(call.args[1]) for call in composing.call_args_list) == len(longest) == passwords.LONGEST


async def test_one_address_in_several_accounts_asks_which(organisation: Organisation, database: Database) -> None:
    other = await founded(database, "other")
    await joined(organisation)
    await joined(other)
    with pytest.raises(Conflict) as refusal:
        await sessions.sign_in(organisation.request, EMAIL, PASSWORD)
    assert dict(refusal.value.extensions) == {"code": "CONFLICT", "field": "account", "accounts": ["main", "other"]}
    for house in (organisation, other):
        done = await sessions.sign_in(organisation.request, EMAIL, PASSWORD, house.account.key)
        assert done.row.account_id == house.account.id
    with pytest.raises(Unauthenticated):
        await sessions.sign_in(organisation.request, EMAIL, "wrong password")


async def test_different_passwords_tell_accounts_apart(organisation: Organisation, database: Database) -> None:
    other = await founded(database, "other")
    await joined(organisation)
    await joined(other, password=NEW_PASSWORD)
    assert (await sessions.sign_in(organisation.request, EMAIL, PASSWORD)).row.account_id == organisation.account.id
    assert (await sessions.sign_in(organisation.request, EMAIL, NEW_PASSWORD)).row.account_id == other.account.id


@pytest.mark.parametrize("email", ["", "ada", "ada@", "@example.com", "a d@example.com", "a\x00@example.com"])
async def test_what_is_no_address_is_said_to_be_none(organisation: Organisation, refused: Refused, email: str) -> None:
    with refused(Invalid) as refusal:
        await sessions.sign_in(organisation.request, email, PASSWORD)
    assert refusal.value.field == "email"


async def test_a_new_password_ends_the_other_sessions_and_the_link_and_keeps_this_one(
    organisation: Organisation,
) -> None:
    member = await joined(organisation)
    others = [await sessions.sign_in(organisation.request, EMAIL, PASSWORD) for _ in range(2)]
    this = await sessions.sign_in(organisation.request, EMAIL, PASSWORD)
    caller = await organisation.identify(this)
    token = await organisation.made(caller)
    link = secret(await members.create_link(organisation.owner, member.id, Said())).rpartition("/")[2]
    done = await sessions.change_password(caller, PASSWORD, NEW_PASSWORD, Said("spring cleaning"))
    entry = await AuditEntry.get(id=done.entry.id)  # type: ignore[union-attr]
    assert entry.accesses == [{"action": "updatePassword", "resource": f"member/{member.id}"}]
    assert (entry.actor_kind, entry.token_id, entry.comment) == ("SESSION", this.row.id, "spring cleaning")
    assert {key for key in entry.after or {} if (entry.after or {})[key] != (entry.before or {})[key]} == {
        "passwordChangedAt"
    }
    for other in others:
        with pytest.raises(Unauthenticated):
            await organisation.identify(other)
    assert (await organisation.identify(this)).member
    assert (await organisation.identify(token)).member
    with pytest.raises(Unauthenticated):
        await members.accept_invite(organisation.request, link, None, PASSWORD)
    with pytest.raises(Unauthenticated):
        await signed_in(organisation)
    assert (await signed_in(organisation, NEW_PASSWORD)).member


@pytest.mark.parametrize("password", ["", "short", "x" * 257])
async def test_a_new_password_has_a_length(organisation: Organisation, refused: Refused, password: str) -> None:
    await joined(organisation)
    caller = await signed_in(organisation)
    with refused(Invalid) as refusal:
        await sessions.change_password(caller, PASSWORD, password, Said())
    assert refusal.value.field == "newPassword"


async def test_only_a_session_changes_the_password(organisation: Organisation, refused: Refused) -> None:
    await joined(organisation)
    token = await organisation.token(await signed_in(organisation))
    service = await organisation.token(organisation.owner, Scope(BuiltInRole.ADMIN), TokenKind.SERVICE)
    for caller in (token, service):
        with refused(Forbidden) as refusal:
            await sessions.change_password(caller, PASSWORD, NEW_PASSWORD, Said())
        assert dict(refusal.value.extensions) == {"code": "FORBIDDEN", "action": "updatePassword"}


async def test_signing_out_ends_this_session_alone(organisation: Organisation) -> None:
    await joined(organisation, base_role=BuiltInRole.NO_ACCESS)
    this, other = [await sessions.sign_in(organisation.request, EMAIL, PASSWORD) for _ in range(2)]
    done = await sessions.sign_out(await organisation.identify(this))
    assert done.row.id == this.row.id
    assert done.entry
    assert done.entry.accesses == [{"action": "revokeSession", "resource": f"member/{this.row.owner_id}"}]
    with pytest.raises(Unauthenticated):
        await organisation.identify(this)
    assert (await organisation.identify(other)).member


async def test_a_token_does_not_sign_out(organisation: Organisation, refused: Refused) -> None:
    caller = await organisation.token(organisation.owner)
    with refused(Forbidden) as refusal:
        await sessions.sign_out(caller)
    assert dict(refusal.value.extensions) == {"code": "FORBIDDEN", "action": "revokeSession"}


async def test_sessions_are_revoked_by_their_member_and_by_admins_and_hidden_from_others(
    organisation: Organisation, refused: Refused
) -> None:
    await joined(organisation)
    admin, reader = [await organisation.as_role(role) for role in (BuiltInRole.ADMIN, BuiltInRole.READER)]
    mine, theirs = [await sessions.sign_in(organisation.request, EMAIL, PASSWORD) for _ in range(2)]
    with refused(NotFound):
        await sessions.revoke(reader, theirs.row.id, Said())
    assert organisation.owner.token
    with refused(Forbidden) as refusal:
        await sessions.revoke(admin, organisation.owner.token.id, Said())
    assert refusal.value.extensions["action"] == "revokeSession"
    token = await organisation.made(organisation.owner)
    with refused(NotFound):
        await sessions.revoke(organisation.owner, token.row.id, Said())
    assert (await sessions.revoke(await organisation.identify(mine), theirs.row.id, Said())).entry
    assert (await sessions.revoke(admin, mine.row.id, Said())).entry
    assert (await sessions.revoke(admin, mine.row.id, Said())).entry is None
    for done in (mine, theirs):
        with pytest.raises(Unauthenticated):
            await organisation.identify(done)


async def test_a_session_is_no_token(organisation: Organisation, refused: Refused) -> None:
    caller = organisation.owner
    assert caller.token
    for deed in (tokens.revoke, tokens.reset):
        with refused(NotFound):
            await deed(caller, caller.token.id, Said())


async def test_a_session_ends_at_its_very_instant(organisation: Organisation, set_clock: SetClock) -> None:
    await joined(organisation)
    done = await sessions.sign_in(organisation.request, EMAIL, PASSWORD)
    end = done.row.expires_at
    assert end
    assert (await organisation.identify(done)).member
    set_clock(end - timedelta(microseconds=1))
    assert (await organisation.identify(done)).member
    set_clock(end)
    with pytest.raises(Unauthenticated):
        await organisation.identify(done)


@pytest.mark.parametrize(
    "written",
    [
        "UPDATE token SET revoked_at = created_at WHERE id = '{token}'",
        "UPDATE member SET state = 'SUSPENDED' WHERE id = '{member}'",
        "DELETE FROM secret WHERE token_id = '{token}'",
    ],
)
async def test_memory_never_answers_after_another_process_wrote(
    organisation: Organisation, elsewhere: Elsewhere, written: str
) -> None:
    member = await joined(organisation)
    done = await sessions.sign_in(organisation.request, EMAIL, PASSWORD)
    assert (await organisation.identify(done)).member
    with elsewhere.transaction() as run:
        run(written.format(token=done.row.id, member=member.id))
        run("UPDATE account SET version = version + 1")
        assert (await organisation.identify(done)).member, "it is not committed yet"
    await elsewhere.heard()
    with pytest.raises(Unauthenticated):
        await organisation.identify(done)


async def test_a_demotion_elsewhere_is_felt_in_time(organisation: Organisation, elsewhere: Elsewhere) -> None:
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert admin.member
    assert admin.token
    made = organisation.secrets[str(admin.token.id)]
    assert (await organisation.identify(made)).sides[0].policies[0].name == "admin"
    with elsewhere.transaction() as run:
        run(f"UPDATE member SET base_role = 'reader' WHERE id = '{admin.member.id}'")  # noqa: S608 - an id of ours
        run("UPDATE account SET version = version + 1")
    await elsewhere.heard()
    assert (await organisation.identify(made)).sides[0].policies[0].name == "reader"


async def test_a_password_that_changes_while_somebody_signs_in_lets_them_in_no_more(
    organisation: Organisation, refused: Refused
) -> None:
    member = await joined(organisation)
    await member.fetch_related("account")
    await Member.filter(id=member.id).update(password_hash=await passwords.hashed(NEW_PASSWORD))
    with refused(Unauthenticated):
        await sessions.open_session(member, organisation.request)
    assert not await Link.filter(member_id=member.id).exists()
    assert not await SecretDigest.filter(token__owner_id=member.id).exists()
