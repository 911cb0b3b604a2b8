"""An account's score: one a day, whichever process keeps it; better for every sound token, worse for every fault."""

import asyncio
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import Forbidden, Invalid
from core.vocabulary import BuiltInRole
from models import AuditHead, MemberState, Notice, NoticeKind, Score, Token, TokenKind, TokenOrigin, now
from models.database import Database
from resolvers import scoring
from resolvers.advice import AdviceKind
from resolvers.scopes import Scope
from resolvers.scoring import BROAD, SOUND, keep, score, scores
from tests.organisation import Organisation, founded

FAULTS = (*(kind.value for kind in AdviceKind), BROAD)
COUNTS = st.fixed_dictionaries(dict.fromkeys((*FAULTS, SOUND), st.integers(0, 10_000)))
DAY = timedelta(days=1)


@given(COUNTS, st.sampled_from(FAULTS), st.integers(1, 100))
def test_a_fault_never_raises_a_score_and_a_sound_token_never_lowers_it(
    counts: dict[str, int], fault: str, more: int
) -> None:
    before = score(counts)
    assert 0 <= before <= 100
    assert score({**counts, fault: counts[fault] + more}) <= before
    assert score({**counts, SOUND: counts[SOUND] + more}) >= before
    assert score({**counts, fault: max(0, counts[fault] - more), SOUND: counts[SOUND] + 1}) >= before


@given(COUNTS)
def test_it_is_full_only_where_nothing_is_to_be_said(counts: dict[str, int]) -> None:
    weighing = [counts[fault] for fault in FAULTS if fault not in {"EXPIRING_SOON", "EMPTY_ROLE"}]
    assert (score(counts) == 100) is not any(weighing)


async def test_it_counts_living_tokens_and_what_is_to_be_said_of_them(organisation: Organisation) -> None:
    owner = organisation.owner
    empty = await scoring.reckoned(organisation.account, now())
    assert (empty.score, empty.counts[SOUND]) == (100, 0)
    ends_at = now() + 300 * DAY
    scope = Scope(BuiltInRole.WRITER)
    for _ in range(3):
        await organisation.made(owner, scope, expires_at=ends_at)
    endless = await organisation.made(owner, scope)
    legacy = await organisation.made(owner, Scope(BuiltInRole.ADMIN), expires_at=ends_at)
    over = await organisation.made(owner, scope)
    await Token.filter(id=over.row.id).update(revoked_at=now())
    await Token.filter(id=legacy.row.id).update(kind=TokenKind.ACCOUNT, owner_id=None, last_used_at=now())
    row = await scoring.reckoned(organisation.account, now())
    counts = {name: count for name, count in row.counts.items() if count}
    assert counts == {"TOKENS": 5, "SOUND": 3, "ACCOUNT_TOKEN_USED": 1, "UNATTENDED": 1, "NO_EXPIRY": 1, "BROAD": 1}
    assert row.score == 100 * 3 // (3 + 4 + 2 + 2 + 2)
    assert endless.row.expires_at is None


async def test_one_is_kept_a_day_however_many_keep_it(database: Database, organisation: Organisation) -> None:
    other = await founded(database, "other")
    await organisation.made(organisation.owner)
    at = now()
    await asyncio.gather(*(keep(organisation.house, at) for _ in range(5)))
    await keep(organisation.house, at + DAY)
    kept = await Score.all().order_by("day").values_list("account_id", "day", "score")
    days = [at.date(), (at + DAY).date()]
    assert sorted(kept, key=str) == sorted(
        [
            (account.id, day, value)
            for account, value in ((organisation.account, 0), (other.account, 100))
            for day in days
        ],
        key=str,
    )


async def test_a_server_keeps_it_by_itself(organisation: Organisation) -> None:
    async with scoring.scoring(organisation.house):
        async with asyncio.timeout(10):
            while not await Score.filter(account_id=organisation.account.id).exists():  # noqa: ASYNC110 - no event tells
                await asyncio.sleep(0.01)
    assert await Score.all().count() == 1


async def test_what_there_is_to_advise_is_noticed_along_with_it(organisation: Organisation) -> None:
    await organisation.made(organisation.owner)
    for days in (0, 1):
        await keep(organisation.house, now() + days * DAY)
    (notice,) = await Notice.filter(account_id=organisation.account.id)
    assert (notice.kind, notice.details) == (NoticeKind.ADVICE_DUE, {"count": 1})


@pytest.mark.parametrize("kind", [AdviceKind.EXPIRING_SOON, AdviceKind.EMPTY_ROLE, AdviceKind.SHARED])
async def test_what_the_score_leaves_out_is_noticed_too(organisation: Organisation, kind: AdviceKind) -> None:
    async def made(days: int, *whence: tuple[str, str]) -> None:
        scope, ends_at = Scope(BuiltInRole.WRITER), now() + days * DAY
        token = (await organisation.made(organisation.owner, scope, expires_at=ends_at)).row
        for address, agent in whence:
            about = {"account_id": token.account_id, "token_id": token.id, "first_at": now(), "last_at": now()}
            await TokenOrigin.create(address=address, user_agent=agent, **about)

    await made(300, *((f"192.0.{n}.1", "curl/8") for n in range(4)))
    await keep(organisation.house, now() - 7 * DAY)
    assert await Notice.all().count() == 0
    match kind:
        case AdviceKind.EXPIRING_SOON:
            await made(13)
        case AdviceKind.EMPTY_ROLE:
            await organisation.role("idle", {"effect": "allow", "actions": ["viewMember"], "resources": ["member/*"]})
        case _:
            await made(300, *(("192.0.2.1", agent) for agent in ("curl/8", "terraform/1", "ci (x)")))
            await made(300, *((f"192.0.{n}.1", "curl/8") for n in range(5)))
    await keep(organisation.house, now())
    (notice,) = await Notice.all()
    assert (notice.kind, notice.details) == (NoticeKind.ADVICE_DUE, {"count": 2 if kind is AdviceKind.SHARED else 1})
    assert {row.score for row in await Score.all()} == {100}


async def test_an_account_that_fails_keeps_no_other_from_being_noticed(organisation: Organisation) -> None:
    other = await founded(organisation.house.database, "other")
    for each in (organisation, other):
        await organisation.made(each.owner)
    await AuditHead.filter(account_id=min(organisation.account.id, other.account.id)).delete()
    await keep(organisation.house, now())
    assert await Notice.all().count() == 1


async def test_those_who_may_see_the_last_days_and_today_as_it_is(organisation: Organisation) -> None:
    at = now()
    for days in (3, 1, 0):
        await keep(organisation.house, at - days * DAY)
    await organisation.made(organisation.owner, Scope(BuiltInRole.WRITER))
    listed = await scores(organisation.owner, 30)
    told = [((at.date() - row.day).days, row.score) for row in listed]
    assert told == [(0, 0), (1, 100), (3, 100)]
    assert [row.day for row in await scores(organisation.owner, 2)] == [row.day for row in listed[:2]]
    for days in (0, 367):
        with pytest.raises(Invalid):
            await scores(organisation.owner, days)
    with pytest.raises(Forbidden):
        await scores(await organisation.as_role(BuiltInRole.WRITER), 30)
    member = await organisation.member(BuiltInRole.ADMIN, state=MemberState.ACTIVE)
    assert await scores(await organisation.session(member), 1)
