"""An old secret that comes back is noticed: beside the request, once an hour, and if the account says so it ends."""

import asyncio
from datetime import timedelta

import pytest

from core.errors import Unauthenticated
from core.vocabulary import Action, BuiltInRole
from models import ActorKind, AuditEntry, Notice, NoticeKind, SecretDigest, Token, TokenKind, now
from resolvers import accounts, entries, leaks, tokens, verification
from resolvers.accounts import AccountChange
from resolvers.callers import Request, identify
from resolvers.house import House
from resolvers.noticing import notice, noticing
from resolvers.reuses import MOST, Presented, Reuses
from resolvers.writing import Done, Said
from tests.databases import Elsewhere
from tests.organisation import Organisation
from tests.resolvers.conftest import Away, SetClock

HOUR = timedelta(hours=1)


async def comes_back(organisation: Organisation, made: Done[Token], request_id: str = "1") -> None:
    """Present a secret that has ended, from somewhere."""
    request = Request(organisation.house, request_id, "203.0.113.9", "thief/1")
    with pytest.raises(Unauthenticated):
        await identify(made.secret or "", request)


async def noticed(token: Done[Token]) -> list[AuditEntry]:
    return await AuditEntry.filter(target_id=token.row.id, actor_kind=ActorKind.SYSTEM).order_by("sequence")


async def test_it_is_an_entry_with_where_it_came_from_and_who_owns_the_token_sees_it(
    organisation: Organisation, elsewhere: Elsewhere
) -> None:
    writer = await organisation.as_role(BuiltInRole.WRITER)
    assert writer.member
    made = await organisation.made(writer)
    digest = await SecretDigest.get(token_id=made.row.id)
    new = await tokens.reset(writer, made.row.id, Said())
    before = elsewhere.everything()
    for number in range(3):
        await comes_back(organisation, made, str(number))
    assert elsewhere.everything() == before  # nothing is written on the way
    await notice(organisation.house)
    (entry,) = await noticed(made)
    assert entry.accesses == [{"action": "reuseAccessToken", "resource": str(made.row.resource)}]
    assert (entry.request_id, entry.address, entry.user_agent) == ("0", "203.0.113.9", "thief/1")
    assert (entry.member_id, entry.token_id, entry.target_member_id) == (None, None, writer.member.id)
    assert (entry.after or {}) == {**(entry.before or {}), "reusedSecret": str(digest.id)}
    assert writer.sees(Action.VIEW_AUDIT_LOG, entry)
    assert entries.shows_origin(writer, entry)
    assert not entries.shows_origin(await organisation.as_role(BuiltInRole.WRITER), entry)
    assert (await organisation.identify(new)).token
    assert (await Token.get(id=made.row.id)).version == new.row.version


async def test_it_is_one_entry_an_hour_and_secret(organisation: Organisation, set_clock: SetClock) -> None:
    first = await organisation.made(organisation.owner)
    second = await tokens.reset(organisation.owner, first.row.id, Said())
    await tokens.reset(organisation.owner, first.row.id, Said())
    at = now()
    counts = []
    for after in (timedelta(), timedelta(minutes=59), HOUR + timedelta(minutes=1)):
        set_clock(at + after)
        for _ in range(3):
            await comes_back(organisation, first)
            await comes_back(organisation, second)
            await notice(organisation.house)
        counts.append(len(await noticed(first)))
    assert counts == [2, 2, 4]


@pytest.mark.usefixtures("settled")
async def test_within_the_grace_nothing_is_noticed_and_after_it_the_token_ends_if_the_account_says_so(
    organisation: Organisation, set_clock: SetClock
) -> None:
    await accounts.update(organisation.owner, AccountChange(revokes_reused=True), Said())
    made = await organisation.made(organisation.owner)
    child = await organisation.made(await organisation.identify(made), kind=TokenKind.SERVICE)
    until = now() + HOUR
    new = await tokens.reset(organisation.owner, made.row.id, Said(), old_ends_at=until)
    set_clock(until - timedelta(seconds=1))
    await organisation.identify(made)
    await notice(organisation.house)
    assert await noticed(made) == []
    set_clock(until)
    await comes_back(organisation, made)
    assert (await organisation.identify(new)).token
    await notice(organisation.house)
    (entry,) = await noticed(made)
    assert [access["action"] for access in entry.accesses] == ["reuseAccessToken", "deleteAccessToken"]
    assert (entry.after or {})["revokedDescendants"] == 1
    assert (entry.after or {})["revokedAt"] == until.isoformat()
    for dead in (new, child):
        with pytest.raises(Unauthenticated):
            await organisation.identify(dead)
    await comes_back(organisation, made)
    await notice(organisation.house)
    assert len(await noticed(made)) == 1


@pytest.mark.parametrize("by", ["a reset", "a report", "the command line"])
async def test_one_whose_grace_was_cut_short_is_told_of_and_never_ends_its_token(
    organisation: Organisation, set_clock: SetClock, by: str
) -> None:
    await accounts.update(organisation.owner, AccountChange(revokes_reused=True), Said())
    made = await organisation.made(organisation.owner)
    digest = await SecretDigest.get(token_id=made.row.id)
    child = await organisation.made(await organisation.identify(made), kind=TokenKind.SERVICE)
    until = now() + HOUR
    new = await tokens.reset(organisation.owner, made.row.id, Said(), old_ends_at=until)
    match by:
        case "a reset":
            new = await tokens.reset(organisation.owner, made.row.id, Said(), old_ends_at=until)
        case "a report":
            await leaks.revoke(organisation.request, [made.secret or ""])
        case _:
            await tokens.end_secret(organisation.owner, made.row.id, digest.id, Said())
    for at in (now(), until - timedelta(minutes=1), until + 2 * HOUR):
        set_clock(at)
        await comes_back(organisation, made)
        await notice(organisation.house)
        assert [(await organisation.identify(each)).token is not None for each in (new, child)] == [True, True]
    noted = await noticed(made)
    assert [(entry.after or {})["reusedSecret"] for entry in noted] == [str(digest.id)] * 2
    assert {access["action"] for entry in noted for access in entry.accesses} == {"reuseAccessToken"}
    assert await Notice.filter(token_id=made.row.id, kind=NoticeKind.REUSED).exists()


async def test_a_setting_made_after_the_entry_still_ends_the_token(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, made.row.id, Said())
    await comes_back(organisation, made)
    await notice(organisation.house)
    await accounts.update(organisation.owner, AccountChange(revokes_reused=True), Said())
    await comes_back(organisation, made)
    await notice(organisation.house)
    assert (await Token.get(id=made.row.id)).revoked_at is not None


async def test_an_integration_that_is_handed_it_says_from_where(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, made.row.id, Said())
    asker = await organisation.token(organisation.owner, kind=TokenKind.SERVICE)
    assert await verification.verify(asker, made.secret or "", "198.51.100.4") is None
    await notice(organisation.house)
    assert [entry.address for entry in await noticed(made)] == ["198.51.100.4"]


async def test_two_processes_make_one_entry(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, made.row.id, Said())
    await comes_back(organisation, made)
    other = House(organisation.house.database, organisation.house.keys)
    ((secret_id, presented),) = organisation.house.reuses.take().items()
    for house in (organisation.house, other):
        house.reuses.note(secret_id, presented)
    await asyncio.gather(notice(organisation.house), notice(other))
    assert len(await noticed(made)) == 1


async def test_it_is_noticed_soon_and_at_the_end(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    second = await tokens.reset(organisation.owner, made.row.id, Said())
    await tokens.reset(organisation.owner, made.row.id, Said())
    async with noticing(organisation.house), asyncio.timeout(20):
        await comes_back(organisation, made)
        while not await noticed(made):  # noqa: ASYNC110 - what another task writes
            await asyncio.sleep(0.01)
        await comes_back(organisation, second)
    assert len(await noticed(made)) == 2


async def test_what_could_not_be_recorded_is_kept_as_it_came_first_and_counts_once(
    organisation: Organisation, away: Away
) -> None:
    made = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, made.row.id, Said())
    reuses = organisation.house.reuses
    await comes_back(organisation, made, "first")
    with away():
        for _ in range(3):
            await notice(organisation.house)
    assert reuses.times == 1
    taken = reuses.take()
    await comes_back(organisation, made, "second")
    for secret_id, presented in taken.items():
        reuses.put_back(secret_id, presented)
    await notice(organisation.house)
    assert reuses.times == 2
    assert [entry.request_id for entry in await noticed(made)] == ["first"]


async def test_a_round_that_is_cancelled_keeps_what_it_had_taken_and_counts_none_of_it_again(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    reuses = organisation.house.reuses
    ids = [Token().id for _ in range(3)]
    for secret_id in ids:
        reuses.note(secret_id, Presented("1", None, None))

    async def cancelled(*_: object) -> None:
        raise asyncio.CancelledError

    monkeypatch.setattr("resolvers.noticing._notice", cancelled)
    with pytest.raises(asyncio.CancelledError):
        await notice(organisation.house)
    assert reuses.times == len(ids)
    assert set(reuses.take()) == set(ids)


def test_what_is_gathered_is_bounded() -> None:
    reuses = Reuses()
    ids = [Token().id for _ in range(MOST + 1)]
    for secret_id in ids * 2:
        reuses.note(secret_id, Presented("1", None, None))
    assert list(reuses.take()) == ids[:MOST]
    assert reuses.take() == {}
    assert not reuses.waiting.is_set()
