"""Ends that come near, uses of account-wide tokens, and what comes back or leaks: each is noticed once, and told."""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta

import pytest

from core.errors import Invalid, Unauthenticated
from core.vocabulary import Action, BuiltInRole
from models import ActorKind, AuditEntry, AuditHead, Member, MemberState, Notice, NoticeKind, Token, TokenKind, now
from resolvers import accounts, announcing, leaks, notices, noticing, retirement, telling, tokens
from resolvers.accounts import AccountChange
from resolvers.announcing import announce
from resolvers.callers import Caller, identify
from resolvers.house import House
from resolvers.lifetimes import KINDS, LifetimesChange
from resolvers.reading import readable
from resolvers.tokens import TokenChange
from resolvers.writing import Said
from tests.organisation import Organisation, founded
from tests.resolvers.conftest import SetClock

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)


async def ending(organisation: Organisation, caller: Caller, life: timedelta, made_at: datetime) -> Token:
    """Make a token that lives for so long."""
    row: Token = (await organisation.made(caller, expires_at=made_at + life)).row
    await Token.filter(id=row.id).update(created_at=made_at)
    return row


async def stay(caller: Caller) -> None:
    """Let a session last, however the clock is moved."""
    assert caller.token
    caller.token.expires_at = None
    await Token.filter(id=caller.token.id).update(expires_at=None)


async def days_of(token: Token) -> list[int]:
    found = await Notice.filter(token_id=token.id, kind=NoticeKind.EXPIRING).order_by("id")
    return [notice.details["days"] for notice in found]


async def test_an_end_is_announced_14_7_and_1_days_before_to_the_second(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    token = await ending(organisation, organisation.owner, 30 * DAY, made_at)
    end = made_at + 30 * DAY
    seen = []
    for days in (14, 7, 1):
        for before in (SECOND, timedelta(), -SECOND):
            set_clock(end - days * DAY - before)
            await announce(organisation.house)
            seen.append(await days_of(token))
    set_clock(end + SECOND)
    await announce(organisation.house)
    assert seen == [[], [14], [14], [14], [14, 7], [14, 7], [14, 7], [14, 7, 1], [14, 7, 1]]
    assert await days_of(token) == [14, 7, 1]
    first = await Notice.filter(token_id=token.id).order_by("id").first()
    assert first
    entry = await AuditEntry.get(id=first.entry_id)
    assert (entry.actor_kind, entry.accesses) == (
        ActorKind.SYSTEM,
        [{"action": "announceExpiry", "resource": str(token.resource)}],
    )
    assert (entry.after or {}) == {**(entry.before or {}), "days": 14, "expiresAt": end.isoformat()}
    assert first.id == entry.id
    assert telling.sentence(first).startswith("The token `a token` (ending in `")


async def test_after_a_pause_only_the_nearest_is_announced(organisation: Organisation, set_clock: SetClock) -> None:
    made_at = now()
    near = await ending(organisation, organisation.owner, 30 * DAY, made_at)
    far = await ending(organisation, organisation.owner, 35 * DAY, made_at)
    set_clock(made_at + 30 * DAY - timedelta(hours=3))
    await announce(organisation.house)
    assert (await days_of(near), await days_of(far)) == ([1], [7])


async def test_a_moved_end_is_announced_anew_and_one_that_was_not_moved_is_not(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    await stay(organisation.owner)
    token = await ending(organisation, organisation.owner, 30 * DAY, made_at)
    set_clock(made_at + 29 * DAY)
    await announce(organisation.house)
    await tokens.update(organisation.owner, token.id, TokenChange(expires_at=made_at + 36 * DAY), Said())
    await announce(organisation.house)
    assert await days_of(token) == [1, 7]
    await tokens.update(organisation.owner, token.id, TokenChange(name="other"), Said())
    await announce(House(organisation.house.database, organisation.house.keys))
    assert await days_of(token) == [1, 7]
    await tokens.update(organisation.owner, token.id, TokenChange(expires_at=made_at + 33 * DAY), Said())
    await announce(organisation.house)
    assert await days_of(token) == [1, 7, 7]


async def test_what_lives_for_less_is_not_announced_as_soon_as_it_is_made(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    lives = [timedelta(hours=1), DAY, 2 * DAY, 7 * DAY, 8 * DAY]
    made = [await ending(organisation, organisation.owner, life, made_at) for life in lives]
    await announce(organisation.house)
    assert await Notice.all().count() == 0
    for hours in range(0, 8 * 24, 12):
        set_clock(made_at + timedelta(hours=hours))
        await announce(organisation.house)
    assert [await days_of(token) for token in made] == [[], [], [1], [1], [7, 1]]


async def test_the_dead_and_sessions_are_never_announced(organisation: Organisation, set_clock: SetClock) -> None:
    made_at = now()
    revoked = await ending(organisation, organisation.owner, 30 * DAY, made_at)
    await tokens.revoke(organisation.owner, revoked.id, Said())
    await Token.filter(kind=TokenKind.SESSION).update(expires_at=made_at + 30 * DAY)
    set_clock(made_at + 29 * DAY + SECOND)
    await announce(organisation.house)
    assert await Notice.all().count() == 0


async def test_the_end_of_all_account_wide_tokens_is_announced_for_each_that_it_ends(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    await stay(organisation.owner)
    sooner = await ending(organisation, organisation.owner, 20 * DAY, made_at)
    later = await ending(organisation, organisation.owner, 50 * DAY, made_at)
    never = (await organisation.made(organisation.owner)).row
    other = (await organisation.made(organisation.owner)).row
    await Token.filter(id__in=[sooner.id, later.id, never.id]).update(kind=TokenKind.ACCOUNT, created_at=made_at)
    await retirement.retire(organisation.owner, made_at + 30 * DAY, Said())
    seen = []
    for at in (made_at + 23 * DAY - SECOND, made_at + 23 * DAY, made_at + 29 * DAY, made_at + 43 * DAY):
        set_clock(at)
        await announce(organisation.house)
        seen.append([await days_of(token) for token in (sooner, later, never, other)])
    assert seen == [
        [[], [14], [14], []],
        [[], [14, 7], [14, 7], []],
        [[], [14, 7, 1], [14, 7, 1], []],
        [[], [14, 7, 1], [14, 7, 1], []],
    ]
    notice = await Notice.filter(token_id=never.id).order_by("id").first()
    assert notice
    assert notice.details["expiresAt"] == (made_at + 30 * DAY).isoformat()
    assert telling.sentence(notice).startswith("The account-wide token `a token` (ending in `")


async def test_many_are_announced_in_chunks_and_each_once_by_however_many_processes(
    organisation: Organisation, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(announcing, "BATCH", 7)
    monkeypatch.setattr(announcing, "CHUNK", 3)
    made_at = now()
    other = await founded(organisation.house.database, "other")
    made = [await ending(organisation, organisation.owner, 30 * DAY, made_at) for _ in range(20)]
    made += [await ending(organisation, organisation.owner, 30 * DAY + SECOND, made_at) for _ in range(4)]
    theirs = await ending(other, other.owner, 30 * DAY, made_at)
    set_clock(made_at + 23 * DAY + SECOND)
    houses = [House(organisation.house.database, organisation.house.keys) for _ in range(3)]
    await asyncio.gather(*map(announce, houses))
    assert [await days_of(token) for token in (*made, theirs)] == [[7]] * 25
    assert await AuditEntry.filter(actor_kind=ActorKind.SYSTEM).count() == 25


async def told_of(token: Token, set_clock: SetClock, house: House) -> Member | None:
    assert token.expires_at
    set_clock(token.expires_at - DAY)
    await announce(house)
    notice = await Notice.get(token_id=token.id, key__contains=":1:").select_related("member")
    return notice.member


async def test_who_owns_a_token_or_answers_for_it_is_told_and_else_the_accounts_owner(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    writer = await organisation.as_role(BuiltInRole.WRITER)
    admin = await organisation.as_role(BuiltInRole.ADMIN)
    assert writer.member
    assert admin.member
    own = await ending(organisation, writer, 30 * DAY, made_at)
    service = await organisation.made(admin, kind=TokenKind.SERVICE, expires_at=made_at + 40 * DAY)
    orphan = await organisation.made(admin, kind=TokenKind.SERVICE, expires_at=made_at + 50 * DAY)
    owner = organisation.owner.member
    assert owner
    assert await told_of(own, set_clock, organisation.house) == writer.member
    assert await told_of(service.row, set_clock, organisation.house) == admin.member
    await Member.filter(id=admin.member.id).update(state=MemberState.SUSPENDED)
    await Token.filter(id=orphan.row.id).update(created_at=made_at)
    assert await told_of(orphan.row, set_clock, organisation.house) == owner


async def test_tightening_tells_who_owns_a_token_or_answers_for_it_and_what_it_cut_is_announced(
    organisation: Organisation, set_clock: SetClock
) -> None:
    writer, admin, leaver = [
        await organisation.as_role(role) for role in (BuiltInRole.WRITER, BuiltInRole.ADMIN, BuiltInRole.ADMIN)
    ]
    own = await organisation.made(writer)
    service = await organisation.made(admin, kind=TokenKind.SERVICE)
    orphan = await organisation.made(leaver, kind=TokenKind.SERVICE)
    at = now()
    set_clock(at)
    short = await ending(organisation, organisation.owner, timedelta(hours=23), at)
    assert leaver.member
    await Member.filter(id=leaver.member.id).update(state=MemberState.SUSPENDED)
    await announce(organisation.house)
    assert await Notice.all().count() == 0

    lifetimes = LifetimesChange({kind: {"maximumS": 24 * 60 * 60} for kind in KINDS}, notice_s=0)
    for _ in range(2):
        await accounts.update(organisation.owner, AccountChange(lifetimes=lifetimes), Said())
    for _ in range(2):
        await announce(organisation.house)
    for made, caller in ((own, writer), (service, admin), (orphan, organisation.owner)):
        first, second = await Notice.filter(token_id=made.row.id).order_by("id")
        assert caller.member
        assert {first.member_id, second.member_id} == {caller.member.id}
        assert (first.kind, first.details["expiresAt"]) == (NoticeKind.SHORTENED, (at + DAY).isoformat())
        assert telling.sentence(first).endswith(
            f" ends at {at + DAY:%Y-%m-%d %H:%M:%S} UTC now: the account changed for how long tokens may live."
        )
        entry = await AuditEntry.get(id=first.entry_id)
        assert (entry.target_id, entry.accesses[0]["action"]) == (made.row.id, "updateTokenLifetimes")
        assert (second.kind, second.details["days"]) == (NoticeKind.EXPIRING, 1)
        assert first.id in [notice.id for notice in await readable(caller, Notice)]
    assert await Notice.filter(token_id=short.id).count() == 0


async def test_a_member_sees_what_they_are_told_and_who_sees_the_log_sees_all(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    writer = await organisation.as_role(BuiltInRole.WRITER)
    await ending(organisation, writer, 30 * DAY, made_at)
    await ending(organisation, organisation.owner, 30 * DAY, made_at)
    set_clock(made_at + 29 * DAY)
    await announce(organisation.house)
    callers = [writer, organisation.owner, await organisation.as_role(BuiltInRole.WRITER)]
    assert [await readable(caller, Notice).count() for caller in callers] == [1, 2, 0]
    for caller in callers:
        seen = [notice.id for notice in await Notice.all() if caller.sees(Action.VIEW_AUDIT_LOG, notice)]
        assert sorted(seen) == sorted(notice.id for notice in await readable(caller, Notice))


async def used_at(organisation: Organisation, token: Token, at: datetime, set_clock: SetClock) -> None:
    set_clock(at)
    await Token.filter(id=token.id).update(last_used_at=at)
    await announce(organisation.house)


async def test_the_use_of_an_account_wide_token_is_noticed_once_a_day(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made = await organisation.made(organisation.owner, kind=TokenKind.SERVICE)
    await Token.filter(id=made.row.id).update(kind=TokenKind.ACCOUNT)
    await announce(organisation.house)
    midnight = now().replace(hour=0, minute=0, second=0, microsecond=0) + 2 * DAY
    counts = []
    for at in (midnight - 2 * SECOND, midnight - SECOND, midnight, midnight + SECOND, midnight + DAY):
        await used_at(organisation, made.row, at, set_clock)
        counts.append(await Notice.filter(kind=NoticeKind.LEGACY_USED).count())
    assert counts == [1, 1, 2, 2, 3]
    notice = await Notice.filter(kind=NoticeKind.LEGACY_USED).order_by("id").first()
    assert notice
    entry = await AuditEntry.get(id=notice.entry_id)
    assert entry.accesses == [{"action": "noticeLegacyUse", "resource": f"account-token/{made.row.id}"}]


async def test_what_comes_back_is_noticed_with_its_entry_once_a_day(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, made.row.id, Said())
    at = now().replace(hour=1) + DAY
    for after in (timedelta(), timedelta(hours=2), DAY):
        set_clock(at + after)
        with pytest.raises(Unauthenticated):
            await identify(made.secret or "", organisation.request)
        await noticing.notice(organisation.house)
    entries = await AuditEntry.filter(actor_kind=ActorKind.SYSTEM).order_by("sequence")
    found = await Notice.filter(kind=NoticeKind.REUSED).order_by("id")
    assert [notice.entry_id for notice in found] == [entries[0].id, entries[2].id]


async def test_what_ends_by_coming_back_is_noticed(organisation: Organisation) -> None:
    await accounts.update(organisation.owner, AccountChange(revokes_reused=True), Said())
    made = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, made.row.id, Said())
    with pytest.raises(Unauthenticated):
        await identify(made.secret or "", organisation.request)
    await noticing.notice(organisation.house)
    notice = await Notice.get(kind=NoticeKind.REUSED)
    assert (await AuditEntry.get(id=notice.entry_id)).accesses[1]["action"] == "deleteAccessToken"


async def test_a_leak_is_noticed_with_its_entry_once(organisation: Organisation) -> None:
    made = await organisation.made(organisation.owner)
    for _ in range(2):
        await leaks.revoke(organisation.request, [made.secret or ""])
    notice = await Notice.get(kind=NoticeKind.LEAKED)
    entry = await AuditEntry.get(id=notice.entry_id)
    assert (entry.actor_kind, entry.target_id) == (ActorKind.POSSESSION, made.row.id)
    assert organisation.owner.member
    assert notice.member_id == organisation.owner.member.id


async def test_advice_is_due_once_a_week_and_only_if_there_is_any(
    organisation: Organisation, set_clock: SetClock
) -> None:
    account = organisation.account
    monday = datetime.fromisoformat("2030-01-07T00:00:00+00:00")
    counts = []
    for at, count in ((monday, 0), (monday, 2), (monday + 7 * DAY - SECOND, 3), (monday + 7 * DAY, 1)):
        set_clock(at)
        await asyncio.gather(*(notices.advice_due(organisation.house, account, count) for _ in range(2)))
        counts.append(await Notice.filter(kind=NoticeKind.ADVICE_DUE).count())
    assert counts == [0, 1, 1, 2]
    assert sentences(await Notice.all().order_by("id")) == [
        "There are 2 pieces of advice on the account's tokens and roles.",
        "There is a piece of advice on the account's tokens and roles.",
    ]


def sentences(found: Sequence[Notice]) -> list[str]:
    return [telling.sentence(notice) for notice in found]


async def test_whoever_follows_gets_each_once_and_goes_on_from_a_cursor(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    first = await ending(organisation, organisation.owner, 30 * DAY, made_at)
    second = await ending(organisation, organisation.owner, 31 * DAY, made_at)
    await stay(organisation.owner)
    set_clock(made_at + 29 * DAY)
    stream = notices.added(organisation.owner, None)
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.sleep(0.1)
    await announce(organisation.house)
    told = [(await asyncio.wait_for(waiting, 20)).row, (await asyncio.wait_for(anext(stream), 20)).row]
    assert [(row.token_id, row.details["days"]) for row in told] == [(second.id, 7), (first.id, 1)]
    await stream.aclose()
    resumed = notices.added(organisation.owner, told[0].id)
    assert (await asyncio.wait_for(anext(resumed), 20)).row.id == told[1].id
    await resumed.aclose()
    with pytest.raises(Invalid, match="after"):
        await anext(notices.added(organisation.owner, first.id))


async def test_an_account_that_fails_holds_up_no_other(organisation: Organisation, set_clock: SetClock) -> None:
    other = await founded(organisation.house.database, "other")
    made_at = now()
    tokens_ = [await ending(each, each.owner, 30 * DAY, made_at) for each in (organisation, other)]
    broken = min(organisation.account, other.account, key=lambda account: account.id)
    await AuditHead.filter(account_id=broken.id).delete()
    set_clock(made_at + 30 * DAY - 7 * DAY)
    await announce(organisation.house)
    assert sorted([await days_of(token) for token in tokens_]) == [[], [7]]


async def test_a_clock_that_was_wrong_for_a_while_loses_nothing(
    organisation: Organisation, set_clock: SetClock
) -> None:
    made_at = now()
    set_clock(made_at + 1000 * DAY)
    await announce(organisation.house)
    set_clock(made_at)
    token = await ending(organisation, organisation.owner, 30 * DAY, made_at)
    set_clock(made_at + 30 * DAY - 7 * DAY)
    await announce(organisation.house)
    assert await days_of(token) == [7]
