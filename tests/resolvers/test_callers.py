"""From a secret to a caller, and what nobody ever learns of a secret."""

import logging
import re
from datetime import timedelta
from itertools import chain
from typing import Any

import pytest

from core.errors import Conflict, Forbidden, Invalid, Refusal, Unauthenticated
from core.secret import Secret, SecretKind, ServerKeys
from core.vocabulary import BuiltInRole
from models import AuditEntry, Link, SecretDigest, Token, TokenKind, now
from models.database import Database
from resolvers import callers, members, sessions, tokens
from resolvers.house import House
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.tokens import TokenChange
from resolvers.writing import Done, Said
from tests.databases import Elsewhere
from tests.organisation import PASSWORD, Organisation
from tests.resolvers.conftest import Refused, SetClock

SECRET = re.compile(r"lk[pstl]_\w{36}")


@pytest.mark.parametrize(
    "credential",
    ["", " ", "Bearer", "lkp_", "lkp_" + "0" * 36, "x" * 5_000, "\x00", "\ud800", "lkp_" + "é" * 36, "' OR 1=1 --"],
)
async def test_garbage_is_refused_without_a_query(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, credential: str
) -> None:
    monkeypatch.setattr(callers, "found", None)
    with pytest.raises(Unauthenticated) as refusal:
        await callers.identify(credential, organisation.request)
    assert dict(refusal.value.extensions) == {"code": "UNAUTHENTICATED"}


async def test_unknown_dead_and_malformed_are_refused_alike(organisation: Organisation, set_clock: SetClock) -> None:
    revoked, expired, reset = [await organisation.made(organisation.owner) for _ in range(3)]
    await tokens.revoke(organisation.owner, revoked.row.id, Said())
    await tokens.reset(organisation.owner, reset.row.id, Said())
    end = now() + timedelta(hours=1)
    await tokens.update(organisation.owner, expired.row.id, TokenChange(expires_at=end), Said())
    set_clock(end)
    told = []
    for credential in (*(done.secret for done in (revoked, expired, reset)), Secret.mint(SecretKind.PERSONAL).text, ""):
        with pytest.raises(Unauthenticated) as refusal:
            await callers.identify(credential or "", organisation.request)
        told.append((str(refusal.value), dict(refusal.value.extensions)))
    assert told == [("a valid credential is needed", {"code": "UNAUTHENTICATED"})] * 5


async def test_unknown_secrets_never_enter_the_memory(organisation: Organisation) -> None:
    before = len(callers._remembered)  # noqa: SLF001 - the memory is what this is about
    for _ in range(20):
        with pytest.raises(Unauthenticated):
            await organisation.identify(Secret.mint(SecretKind.PERSONAL).text)
    assert len(callers._remembered) == before  # noqa: SLF001


async def test_the_memory_has_an_end(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "MEMORY_SIZE", 3)
    callers._remembered.clear()  # noqa: SLF001
    made = [await organisation.made(organisation.owner) for _ in range(5)]
    for _ in range(2):
        for done in made:
            assert (await organisation.identify(done)).token == done.row
    assert len(callers._remembered) == 3  # noqa: SLF001


async def test_what_memory_knows_is_not_read_again(organisation: Organisation, monkeypatch: pytest.MonkeyPatch) -> None:
    made = await organisation.made(organisation.owner)
    first = await organisation.identify(made)
    monkeypatch.setattr(callers, "found", None)
    again = await organisation.identify(made)
    assert again.token is first.token
    assert again.request.id != first.request.id


async def test_a_secret_used_under_an_older_key_moves_to_the_newest_so_that_the_older_can_be_retired(
    database: Database, organisation: Organisation
) -> None:
    used, unused = [await organisation.made(organisation.owner) for _ in range(2)]
    before = await organisation.identify(used)
    old, new = organisation.house.keys, ServerKeys.mint("second")
    rotated = House(database, ServerKeys({**new.keys, **old.keys}))
    assert used.secret
    assert unused.secret
    callers._remembered.clear()  # noqa: SLF001 - as in the process that is started with the new keys
    assert (await callers.identify(used.secret, callers.Request(rotated, "one"))).token == used.row
    assert {row.token_id: row.key_id for row in await SecretDigest.filter(key_id="second")} == {used.row.id: "second"}
    assert (await tokens.update(before, used.row.id, TokenChange(name="Still me"), Said())).entry
    retired = callers.Request(House(database, new), "two")
    assert (await callers.identify(used.secret, retired)).token == used.row
    with pytest.raises(Unauthenticated):
        await callers.identify(unused.secret, retired)


async def busy_day(organisation: Organisation, refused: Refused) -> list[Done[Any] | Refusal]:
    """Do everything that makes, takes or refuses a secret; give what it came to."""
    owner, request = organisation.owner, organisation.request
    came: list[Done[Any] | Refusal] = []

    def note(done: Done[Any] | Refusal) -> str:
        came.append(done)
        return (done.secret or "").rpartition("/")[2] if isinstance(done, Done) else ""

    first = await members.invite(owner, "ada@example.com", "Ada", Grant(BuiltInRole.ADMIN), Said())
    note(first)
    link = note(await members.create_link(owner, first.row.id, Said("again")))
    note(await members.accept_invite(request, link, None, PASSWORD))
    session = note(await sessions.sign_in(request, "ada@example.com", PASSWORD))
    ada = await organisation.identify(session)
    for kind in (TokenKind.PERSONAL, TokenKind.SERVICE):
        made = await organisation.made(ada, Scope(BuiltInRole.READER), kind)
        note(made)
        note(await tokens.update(ada, made.row.id, TokenChange(name="renamed"), Said()))
        note(await tokens.reset(ada, made.row.id, Said()))
        note(await tokens.revoke(ada, made.row.id, Said()))
    with refused(Invalid) as wrong:
        await sessions.change_password(ada, "a wrong password", "a new long password", Said())
    note(wrong.value)
    note(await sessions.change_password(ada, PASSWORD, "a new long password", Said()))
    with refused(Unauthenticated) as unknown:
        await sessions.sign_in(request, "ada@example.com", "a wrong password")
    note(unknown.value)
    for said in (Said(idempotency_key="once"),) * 2:
        try:
            note(await tokens.create(ada, tokens.NewToken(TokenKind.PERSONAL, "once", Scope()), said))
        except Conflict as conflict:
            note(conflict)
    with refused(Forbidden) as forbidden:
        await members.create_link(ada, first.row.id, Said())
    note(forbidden.value)
    return came


async def test_no_secret_is_anywhere_but_in_its_answer(
    organisation: Organisation,
    elsewhere: Elsewhere,
    refused: Refused,
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.DEBUG):
        came = await busy_day(organisation, refused)
    given = [done.secret.rpartition("/")[2] for done in came if isinstance(done, Done) and done.secret]
    assert len(given) == len(set(given)) == 8
    assert all(SECRET.fullmatch(secret) for secret in given)
    passwords = [PASSWORD, "a wrong password", "a new long password"]
    keys = [*organisation.house.keys.keys.values()]
    forbidden = [
        *(text.encode() for text in (*given, *passwords, *organisation.secrets.values())),
        *(secret[4:].encode() for secret in given),
        *keys,
        *(key.hex().encode() for key in keys),
    ]
    places = elsewhere.kept()
    assert b"ada@example.com" in b"".join(places.values()), "what is looked at is the database indeed"
    places["log"] = "\n".join(record.getMessage() + str(record.__dict__) for record in caplog.records).encode()
    ada = await sessions.sign_in(organisation.request, "ada@example.com", "a new long password")
    caller = await organisation.identify(ada)
    shown = (organisation.house, organisation.house.keys, caller, caller.request, caller.proof, *came)
    rows = chain(await Token.all(), await SecretDigest.all(), await Link.all(), await AuditEntry.all())
    places["repr"] = "\n".join(map(repr, (*shown, *rows, Secret.mint(SecretKind.LINK)))).encode()
    places["errors"] = "\n".join(f"{one} {one.extensions}" for one in came if isinstance(one, Refusal)).encode()
    for where, content in places.items():
        assert not [text for text in forbidden if text in content], where
        if where != "repr":
            assert not SECRET.search(content.decode("latin-1")), where
