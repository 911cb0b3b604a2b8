"""A clock that leaps ahead does nothing that cannot be taken back, until it has gone on for hours."""

from datetime import datetime, timedelta

import pytest

from core.errors import Unauthenticated
from models import AuditEntry, AuditStub, Token, TokenDay, Webhook, now
from resolvers import accounts, clock, deliveries, leaks, members, noticing, pruning, tallies, tokens, webhooks
from resolvers.accounts import AccountChange
from resolvers.callers import Caller
from resolvers.clock import LEAP, SETTLES, Watch
from resolvers.uses import Uses
from resolvers.webhooks import NewWebhook
from resolvers.writing import Said
from tests.organisation import Organisation
from tests.resolvers.conftest import SetClock
from tests.web.receiver import Receiver

SECOND, DAY = timedelta(seconds=1), timedelta(days=1)
KEPT_DAYS = 30


class Process:
    """A process and its two clocks, one of which may leap."""

    def __init__(self, set_clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> None:
        self._set_clock, self._monkeypatch = set_clock, monkeypatch
        self.passed_s = 0.0
        self.at: datetime = now()
        self.leap(timedelta())
        self.restart()

    def at_s(self) -> float:
        """Read the clock."""
        return self.at.timestamp()

    def leap(self, by: timedelta) -> None:
        """Move the clock alone."""
        self.at += by
        self._set_clock(self.at)

    def wait(self, time: timedelta) -> None:
        """Let time pass."""
        self.passed_s += time.total_seconds()
        self.leap(time)

    def restart(self) -> None:
        """Begin anew, with what the database knows alone."""
        self._monkeypatch.setattr(clock, "_watch", Watch(lambda: self.passed_s))


@pytest.fixture
def process(set_clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> Process:
    return Process(set_clock, monkeypatch)


async def recorded(caller: Caller) -> None:
    """Have something recorded now."""
    assert caller.member
    await members.update(caller, caller.member.id, "Another Name", Said())


async def is_pruned(organisation: Organisation) -> bool:
    await pruning.prune_all(organisation.house, KEPT_DAYS)
    return await AuditStub.exists()


@pytest.mark.parametrize("restarts", [False, True])
async def test_the_log_is_pruned_once_the_clock_has_gone_on_and_the_server_says_what_it_waits_for(
    organisation: Organisation, process: Process, caplog: pytest.LogCaptureFixture, *, restarts: bool
) -> None:
    """Whether the clock leapt while it ran, is wrong when it starts, or the machine was off for months."""
    process.wait(SETTLES)
    assert not await is_pruned(organisation)
    assert not caplog.records
    process.leap(400 * DAY)
    if restarts:
        process.restart()
    count = await AuditEntry.all().count()
    assert not await is_pruned(organisation)
    process.wait(SETTLES - SECOND)
    assert not await is_pruned(organisation)
    (line, _) = caplog.messages
    assert line.startswith("the audit log of `main` is not pruned until the clock, which says 20")
    assert line.endswith("has gone on for 6 hours")
    assert await AuditEntry.all().count() == count
    process.wait(SECOND)
    assert await is_pruned(organisation)
    assert await AuditEntry.all().count() == 1


async def test_what_was_recorded_by_a_clock_that_leapt_makes_it_believed_no_earlier(
    organisation: Organisation, process: Process
) -> None:
    writer = await organisation.token(organisation.owner)
    process.leap(400 * DAY)
    await recorded(writer)
    for _ in range(3):
        process.restart()
        assert not await is_pruned(organisation)
        process.wait(SETTLES / 3)
    process.restart()
    assert await is_pruned(organisation)


async def test_a_log_that_was_written_yesterday_is_pruned_at_once(organisation: Organisation, process: Process) -> None:
    writer = await organisation.token(organisation.owner)
    process.wait(400 * DAY)
    await recorded(writer)
    process.wait(DAY)
    process.restart()
    assert await is_pruned(organisation)


async def test_only_a_leap_ahead_makes_it_wait_and_none_of_a_little(process: Process) -> None:
    watch = Watch(lambda: process.passed_s)
    process.wait(SETTLES)
    for by in (LEAP, -400 * DAY, LEAP):
        process.leap(by)
        assert watch.went_on() == SETTLES
    process.leap(SECOND)
    assert watch.went_on() == timedelta()
    process.wait(SETTLES)
    assert watch.went_on() == SETTLES


async def test_the_counts_of_earlier_days_stay_until_it_is_believed(
    organisation: Organisation, process: Process
) -> None:
    caller = await organisation.token(organisation.owner)
    assert caller.token
    uses, noon = Uses(process.at_s), process.at.replace(hour=12)
    process.wait(SETTLES)
    process.leap(noon - process.at)
    leap = (tallies.DAYS_KEPT + 1) * DAY
    for move, by, kept in (
        (process.wait, timedelta(), [noon]),
        (process.leap, leap, [noon, noon + leap]),
        (process.wait, DAY, [noon + leap, noon + leap + DAY]),
    ):
        move(by)
        uses.of(caller.token, None, None).note()
        await uses.flush()
        assert {row.day for row in await TokenDay.all()} == {at.date() for at in kept}


async def test_a_use_that_a_wrong_clock_noted_drops_nothing_when_it_is_right_again(
    organisation: Organisation, process: Process
) -> None:
    caller = await organisation.token(organisation.owner)
    assert caller.token
    uses, begun = Uses(process.at_s), process.at
    process.wait(SETTLES)
    for by in (timedelta(), 2 * tallies.DAYS_KEPT * DAY):
        process.leap(by)
        uses.of(caller.token, None, None).note()
    process.leap(-2 * tallies.DAYS_KEPT * DAY)
    await uses.flush()
    assert {row.day for row in await TokenDay.all()} >= {(begun + SETTLES).date()}


async def test_no_webhook_is_disabled_by_a_leap(sending: Organisation, receiver: Receiver, process: Process) -> None:
    process.wait(SETTLES)
    await webhooks.create(sending.owner, NewWebhook(receiver.url, "a hook"), Said())
    receiver.statuses = [500]
    made = await sending.made(sending.owner)
    await leaks.revoke(sending.request, [made.secret or ""])
    await deliveries.deliver(sending.house)
    assert (await Webhook.get()).failing_since
    process.leap(deliveries.FAILING)
    await deliveries.deliver(sending.house)
    process.wait(SETTLES / 2)
    await deliveries.deliver(sending.house)
    assert len(receiver.received) == 3
    assert (await Webhook.get()).disabled_at is None
    process.wait(SETTLES / 2)
    await deliveries.deliver(sending.house)
    assert (await Webhook.get()).disabled_at


async def test_no_token_is_revoked_for_a_secret_whose_grace_a_leap_ended(
    organisation: Organisation, process: Process
) -> None:
    await accounts.update(organisation.owner, AccountChange(revokes_reused=True), Said())
    made = await organisation.made(organisation.owner)
    await tokens.reset(organisation.owner, made.row.id, Said(), old_ends_at=process.at + DAY)

    async def comes_back() -> bool:
        with pytest.raises(Unauthenticated):
            await organisation.identify(made)
        await noticing.notice(organisation.house)
        return (await Token.get(id=made.row.id)).revoked_at is not None

    process.leap(400 * DAY)
    assert not await comes_back()
    entry = await AuditEntry.filter(target_id=made.row.id).order_by("-sequence").first()
    assert entry
    assert [access["action"] for access in entry.accesses] == ["reuseAccessToken"]
    process.leap(-400 * DAY)
    await organisation.identify(made)
    process.wait(DAY + SETTLES)
    assert await comes_back()
