"""What is remembered of versions is never older than the promise, whatever is lost on the way: model-checked."""

import asyncio
from dataclasses import dataclass, field
from uuid import UUID

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from models.listening import TRUSTED_S, HeardVersions
from tests.effort import tries

ACCOUNTS = [UUID(int=number) for number in range(1, 2)]
accounts = st.sampled_from(ACCOUNTS)
MOST_ASKED = 3


@dataclass
class Asked:
    """A question that is under way to the database, and what it found there, once it did."""

    account: UUID
    task: "asyncio.Task[int]"
    answer: "asyncio.Future[int | None]"
    seen: int | None = None


@dataclass
class Commit:
    """A change as the database committed it."""

    account: UUID
    version: int
    at_s: float
    own: bool


@dataclass
class Line:
    """One connection of the listener: what the server has sent on it, in order, and has not arrived yet."""

    listens: bool = False
    under_way: list[Commit | float] = field(default_factory=list)
    """Notifications, and answers to heartbeats as the moment of their sending."""


class Listening(RuleBasedStateMachine):
    """A database that commits, a network that delays and cuts, a clock, and the memory of one process."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.now_s = 1000.0
        self.commits = [Commit(account, 1, 0.0, own=False) for account in ACCOUNTS]
        self.returned = dict.fromkeys(ACCOUNTS, 1)
        self.sent: list[Commit] = []
        self.asked: list[Asked] = []
        self.line: Line | None = None
        self.versions = HeardVersions(self.ask, lambda: self.now_s)
        self.listener_connects_and_hears()
        for account in ACCOUNTS:
            self.read(account)
            assert self.versions.known(account) == 1

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            for asked in self.asked:
                asked.task.cancel()
            self.turn()
            self.loop.close()

    def turn(self) -> None:
        """Let everything run that can."""
        self.loop.run_until_complete(asyncio.sleep(0))
        self.loop.run_until_complete(asyncio.sleep(0))

    def committed(self, account: UUID, at_s: float | None = None) -> int:
        """The version that the database had at a moment."""
        return max(c.version for c in self.commits if c.account == account and (at_s is None or c.at_s <= at_s))

    async def ask(self, _account: UUID) -> int | None:
        return await self.asked[-1].answer

    @rule(seconds=st.sampled_from([0.1, 0.45]))
    def time_passes(self, seconds: float) -> None:
        self.now_s += seconds

    @rule(account=accounts, own=st.booleans())
    def commit(self, account: UUID, own: bool) -> None:
        """The database commits; of an own change the answer is still to come."""
        change = Commit(account, self.committed(account) + 1, self.now_s, own)
        self.commits.append(change)
        if self.line is not None and self.line.listens:
            self.line.under_way.append(change)
        if own:
            self.sent.append(change)

    @precondition(lambda self: self.sent)
    @rule()
    def own_commit_returns(self) -> None:
        change = self.sent.pop(0)
        self.versions.changed(change.account)
        self.returned[change.account] = max(self.returned[change.account], change.version)

    @rule(account=accounts)
    def read(self, account: UUID) -> None:
        """The database is asked and answers at once."""
        self.read_begins(account, at_once=True)
        self.end(self.asked[-1])

    @precondition(lambda self: len(self.asked) < MOST_ASKED)
    @rule(account=accounts, at_once=st.booleans())
    def read_begins(self, account: UUID, at_once: bool = False) -> None:
        answer: asyncio.Future[int | None] = self.loop.create_future()
        asked = Asked(account, None, answer)  # type: ignore[arg-type]
        self.asked.append(asked)
        asked.task = self.loop.create_task(self.versions.read(account))
        self.turn()
        if at_once:
            asked.seen = self.committed(account)

    @precondition(lambda self: any(asked.seen is None for asked in self.asked))
    @rule(data=st.data())
    def read_sees(self, data: st.DataObject) -> None:
        asked = data.draw(st.sampled_from([asked for asked in self.asked if asked.seen is None]))
        asked.seen = self.committed(asked.account)

    @precondition(lambda self: any(asked.seen is not None for asked in self.asked))
    @rule(data=st.data())
    def read_ends(self, data: st.DataObject) -> None:
        self.end(data.draw(st.sampled_from([asked for asked in self.asked if asked.seen is not None])))

    def end(self, asked: Asked) -> None:
        self.asked.remove(asked)
        asked.answer.set_result(asked.seen)
        self.turn()
        assert asked.task.result() == asked.seen

    @precondition(lambda self: self.line is None)
    @rule()
    def listener_connects(self) -> None:
        self.line = Line()

    @precondition(lambda self: self.line is None)
    @rule()
    def listener_connects_and_hears(self) -> None:
        self.listener_connects()
        self.listener_listens()
        self.heartbeat()
        self.something_arrives()

    @precondition(lambda self: self.line is not None and not self.line.listens)
    @rule()
    def listener_listens(self) -> None:
        """LISTEN takes hold at the server, and its answer arrives with the next delivery."""
        assert self.line
        self.line.listens = True
        self.versions.lose()

    @precondition(lambda self: self.line is not None and self.line.listens)
    @rule()
    def heartbeat(self) -> None:
        """The server answers a statement sent now, behind all that it has notified of."""
        assert self.line
        self.line.under_way.append(self.now_s)

    @precondition(lambda self: self.line is not None and self.line.under_way)
    @rule()
    def something_arrives(self) -> None:
        assert self.line
        match self.line.under_way.pop(0):
            case Commit() as change:
                self.versions._notified(None, 0, "", f"{change.account} {change.version}")  # noqa: SLF001 - as asyncpg calls it
            case sent_at_s:
                self.versions.confirm(sent_at_s)

    @precondition(lambda self: self.line is not None and self.line.under_way)
    @rule()
    def everything_arrives(self) -> None:
        while self.line and self.line.under_way:
            self.something_arrives()

    @precondition(lambda self: self.line is not None and self.line.listens)
    @rule()
    def heartbeat_is_answered(self) -> None:
        self.heartbeat()
        self.everything_arrives()

    @precondition(lambda self: self.line is not None)
    @rule()
    def listener_is_cut(self) -> None:
        """What was under way is lost."""
        self.line = None

    @invariant()
    def nothing_known_is_too_old(self) -> None:
        if hasattr(self, "versions"):
            for account in ACCOUNTS:
                known = self.versions.known(account)
                if known is not None:
                    assert known >= self.committed(account, self.now_s - TRUSTED_S), "older than the promise"
                    assert known >= self.returned[account], "older than this process's own change"


TestListening = Listening.TestCase
TestListening.settings = settings(
    max_examples=tries(300), stateful_step_count=30, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


async def test_what_is_known_is_used_only_after_a_heartbeat_and_not_for_long() -> None:
    now_s = [0.0]

    async def ask(_: UUID) -> int | None:
        return 7

    versions = HeardVersions(ask, lambda: now_s[0])
    assert (await versions.read(ACCOUNTS[0]), versions.known(ACCOUNTS[0])) == (7, None)
    versions.lose()
    versions.confirm(0.0)
    assert (await versions.read(ACCOUNTS[0]), versions.known(ACCOUNTS[0])) == (7, 7)
    now_s[0] = TRUSTED_S - 0.001
    assert versions.known(ACCOUNTS[0]) == 7
    now_s[0] = TRUSTED_S
    assert versions.known(ACCOUNTS[0]) is None


async def test_an_account_that_is_not_there_is_not_known() -> None:
    async def ask(_: UUID) -> int | None:
        return None

    with pytest.raises(LookupError, match="there is no account"):
        await HeardVersions(ask).read(ACCOUNTS[0])


async def test_what_was_asked_before_the_listener_was_lost_is_not_remembered() -> None:
    asked, answered = asyncio.Event(), asyncio.Event()

    async def ask(_: UUID) -> int | None:
        asked.set()
        await answered.wait()
        return 1

    versions = HeardVersions(ask, lambda: 0.0)
    reading = asyncio.create_task(versions.read(ACCOUNTS[0]))
    await asked.wait()
    versions.lose()  # a change of this moment would never be heard of
    versions.confirm(0.0)
    answered.set()
    assert await reading == 1
    assert versions.known(ACCOUNTS[0]) is None
