"""Resets: two secrets until an instant, never three; and an old one is never younger again."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest

from core.errors import Conflict, Invalid, Unauthenticated
from core.secret import Secret, SecretKind
from models import SecretDigest, Token, TokenKind, now
from resolvers import tokens, writing
from resolvers.callers import Caller, is_current, recognised
from resolvers.scopes import Scope
from resolvers.tokens import Reset, TokenChange
from resolvers.writing import Done, Said
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.resolvers.conftest import Refused, SetClock

HOUR = timedelta(hours=1)
MOMENT = timedelta(microseconds=1)


async def reset(
    organisation: Organisation, made: Done[Token], until: datetime | None = None, by: Caller | None = None
) -> Reset:
    return await tokens.reset(by or organisation.owner, made.row.id, Said(), old_ends_at=until)


async def works(organisation: Organisation, *secrets: Done[Token]) -> list[bool]:
    """Say which secrets open their token."""
    found = []
    for made in secrets:
        try:
            found.append((await organisation.identify(made)).token is not None)
        except Unauthenticated:
            found.append(False)
    return found


@pytest.mark.parametrize("kind", [TokenKind.PERSONAL, TokenKind.SERVICE])
async def test_both_secrets_work_until_that_instant(
    organisation: Organisation, set_clock: SetClock, kind: TokenKind
) -> None:
    old = await organisation.made(organisation.owner, kind=kind)
    until = now() + HOUR
    new = await reset(organisation, old, until)
    assert new.old_ends_at == until
    assert new.entry
    assert (new.entry.after or {})["oldSecretExpiresAt"] == until.isoformat()
    assert await works(organisation, old, new) == [True, True]
    caller = await organisation.identify(old)
    for at, lives in ((until - MOMENT, True), (until, False), (until - timedelta(seconds=1), True)):
        set_clock(at)
        assert await works(organisation, old, new) == [lives, True]
        assert (recognised(old.secret or "", organisation.house, None) is not None) is lives
        assert is_current(caller) is lives


async def test_a_grace_is_never_longer_than_the_token_nor_than_a_month(
    organisation: Organisation, refused: Refused, set_clock: SetClock
) -> None:
    end = now() + HOUR
    old = await organisation.made(organisation.owner, expires_at=end)
    new = await reset(organisation, old, end + HOUR)
    assert new.old_ends_at == end
    await tokens.update(organisation.owner, old.row.id, TokenChange(expires_at=end + 2 * HOUR), Said())
    set_clock(end)
    assert await works(organisation, old, new) == [False, True]
    for until in (now() + timedelta(days=31, minutes=1), now() - HOUR, datetime(2999, 1, 1)):  # noqa: DTZ001 - refused
        with refused(Invalid) as refusal:
            await reset(organisation, old, until)
        assert refusal.value.field == "oldSecretExpiresAt"
    assert await works(organisation, new) == [True]


async def test_a_reset_within_a_grace_ends_the_oldest(organisation: Organisation) -> None:
    first = await organisation.made(organisation.owner)
    second = await reset(organisation, first, now() + HOUR)
    third = await reset(organisation, first, now() + HOUR)
    assert await works(organisation, first, second, third) == [False, True, True]
    fourth = await reset(organisation, first)
    assert await works(organisation, first, second, third, fourth) == [False, False, False, True]


async def test_the_old_secret_may_reset_within_its_grace_and_not_after(
    organisation: Organisation, set_clock: SetClock, refused: Refused
) -> None:
    old = await organisation.made(organisation.owner, Scope())
    until = now() + HOUR
    await reset(organisation, old, until)
    caller = await organisation.identify(old)
    set_clock(until)
    with refused(Unauthenticated):  # made while it worked: what is written is asked anew
        await reset(organisation, old, by=caller)


async def test_a_failed_reset_leaves_the_secrets_as_they_are(organisation: Organisation, refused: Refused) -> None:
    old = await organisation.made(organisation.owner)
    new = await reset(organisation, old, now() + HOUR)
    with refused(Conflict):
        await tokens.reset(organisation.owner, old.row.id, Said(expected_version=1))
    assert await works(organisation, old, new) == [True, True]


async def test_a_reset_that_fails_at_its_end_leaves_the_old_secrets_alive(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch, elsewhere: Elsewhere
) -> None:
    old = await organisation.made(organisation.owner)
    new = await reset(organisation, old, now() + HOUR)
    append, living = writing.append, []

    async def failing(*args: Any) -> None:
        await append(*args)
        living.append(await SecretDigest.filter(token_id=old.row.id, expires_at=None).count())
        living.append(await SecretDigest.filter(token_id=old.row.id, expires_at__gt=now()).count())
        raise OSError("the disk is full")

    before = elsewhere.everything()
    with monkeypatch.context() as patched:
        patched.setattr(writing, "append", failing)
        with pytest.raises(OSError, match="the disk is full"):
            await reset(organisation, old)
    assert living == [1, 0]  # the newest alone, as far as the transaction had come
    assert elsewhere.everything() == before
    assert await works(organisation, old, new) == [True, True]


async def test_of_two_resets_at_once_one_wins_and_the_other_is_told(organisation: Organisation) -> None:
    old = await organisation.made(organisation.owner)
    said = Said(expected_version=1)
    wanted = [tokens.reset(organisation.owner, old.row.id, said, old_ends_at=now() + HOUR) for _ in range(4)]
    outcomes = await asyncio.gather(*wanted, return_exceptions=True)
    (won,) = [outcome for outcome in outcomes if isinstance(outcome, Reset)]
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 3
    assert await works(organisation, old, won) == [True, True]


async def test_without_a_version_the_later_reset_sees_the_earlier(organisation: Organisation) -> None:
    old = await organisation.made(organisation.owner)
    done = await asyncio.gather(*(reset(organisation, old, now() + HOUR) for _ in range(3)))
    done.sort(key=lambda each: each.entry.sequence if each.entry else 0)
    assert await works(organisation, old, *done) == [False, False, True, True]


async def test_the_latest_five_ended_secrets_are_kept(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    (first,) = await SecretDigest.filter(token_id=made.row.id)
    for _ in range(6):
        last = await reset(organisation, made)
    digests = await SecretDigest.filter(token_id=made.row.id).order_by("id")
    assert len(digests) == 6
    assert [digest.expires_at is None for digest in digests] == [False] * 5 + [True]
    assert first.id not in {digest.id for digest in digests}
    assert await works(organisation, last) == [True]


async def test_an_ended_secret_takes_the_work_of_one_that_never_was(
    organisation: Organisation, statements: list[str], set_clock: SetClock
) -> None:
    old = await organisation.made(organisation.owner)
    until = now() + HOUR
    await reset(organisation, old, until)
    await organisation.identify(old)  # it is in memory
    set_clock(until)
    asked = []
    for secret in (old.secret or "", "lkp_" + "0" * 30 + "000000", _unknown()):
        statements.clear()
        with pytest.raises(Unauthenticated) as told:
            await organisation.identify(secret)
        asked.append((list(statements), str(told.value), dict(told.value.extensions)))
    ended, malformed, unknown = asked
    assert ended == unknown
    assert len(ended[0]) == 1
    assert malformed[1:] == ended[1:]


def _unknown() -> str:
    return Secret.mint(SecretKind.PERSONAL).text
