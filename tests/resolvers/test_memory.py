"""No stale yes, model-checked: two processes change one database at random, and lose what tells them at times."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Coroutine, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from core.errors import Unauthenticated
from core.specifiers import Resource
from core.vocabulary import BuiltInRole
from models import Token, listening, now
from models.database import LISTENER, opened
from models.engines import asyncpg_units
from models.engines.asyncpg_units import LostError
from resolvers import callers, imports, members, tokens
from resolvers.callers import Caller, recognised
from resolvers.imports import Import
from resolvers.members import Grant
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.effort import tries
from tests.organisation import PROJ, Organisation, founded
from tests.resolvers.another_process import ADDRESS, done, may, policy
from tests.resolvers.conftest import SetClock

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
ASKED = ("updateTags", "proj/web")
ROLE = "deployer"
INSIDE, OUTSIDE = f"{ADDRESS}/32", "198.51.100.0/24"
HELD_S = 1.0
"""In under which time a change holds on every other process."""
MINUTE = timedelta(minutes=1)
NEVER = datetime(9000, 1, 1, tzinfo=UTC)

processes = st.sampled_from(["here", "there"])


@dataclass
class Law:
    """What is true of a member with a token, and of an account-wide token, and what the law makes of it."""

    at: datetime
    legacy: str
    """The secret of the account-wide token, which may do anything until all of those end."""
    retires_at: datetime = NEVER
    role: str = "writer"
    holds: bool = False
    """Whether the member has the custom role, in place of the base role."""
    deploys: bool = True
    """Whether the custom role allows what is asked."""
    asleep: bool = False
    scope: str = "writer"
    inside: bool = True
    """Whether the token may be used from where it is."""
    ends_at: datetime = NEVER
    secrets: dict[str, datetime] = field(default_factory=dict)
    """Until when each secret of the token lasts."""

    @property
    def lasts(self) -> bool:
        """Whether the token is not over."""
        return self.at < self.ends_at

    @property
    def is_ending(self) -> bool:
        """Whether something is to end."""
        return any(self.at < end < NEVER for end in (self.retires_at, self.ends_at, *self.secrets.values()))

    @property
    def known(self) -> list[str]:
        """All secrets."""
        return [self.legacy, *self.secrets]

    def allows(self, secret: str) -> bool:
        """Say whether what is asked is allowed with a secret."""
        if secret == self.legacy:
            return self.at < self.retires_at
        member = not self.asleep and (self.deploys if self.holds else self.role == "writer")
        token = self.scope == "writer" or (self.scope == ROLE and self.deploys)
        return member and token and self.inside and self.lasts and self.at < self.secrets[secret]

    def renew(self, secret: str, ends_at: datetime) -> None:
        """Have another secret, and the one before end."""
        self.secrets = {each: ends_at if end == NEVER else self.at for each, end in self.secrets.items()}
        self.secrets[secret] = NEVER


class Pair:
    """Two processes on one database, this one and another."""

    def __init__(self, url: str, runner: asyncio.Runner, set_clock: SetClock) -> None:
        self.elsewhere = Elsewhere(url)
        self.runner = runner
        self._set_clock = set_clock
        self._numbers = count()
        self._stack = AsyncExitStack()
        self.house = self.run(self._opened(url)).house
        command = [sys.executable, "-m", "tests.resolvers.another_process", url, self.house.keys.json()]
        self.there = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    async def _opened(self, url: str) -> Organisation:
        organisation = await founded(await self._stack.enter_async_context(opened(url)))
        # That secrets of another shape exist is heard of within a second: so one does from the beginning.
        await imports.bring(organisation.owner, [Import("first", "api-the-first-of-all")], Said())
        return organisation

    async def found(self) -> Organisation:
        """Found another account, so that nothing is left of what happened before."""
        organisation = await founded(self.house.database, f"account-{next(self._numbers)}", self.house)
        await organisation.define(PROJ)
        return organisation

    def close(self) -> None:
        assert self.there.stdin
        self.there.stdin.close()
        assert self.there.wait(30) == 0
        self.run(self._stack.aclose())

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    def order(self, *words: object) -> Any:
        """Have the other process do or answer something."""
        assert self.there.stdin
        assert self.there.stdout
        self.there.stdin.write(json.dumps(words) + "\n")
        self.there.stdin.flush()
        return json.loads(self.there.stdout.readline())

    def set_clock(self, at: datetime) -> None:
        """Make it a certain time in both processes."""
        self._set_clock(at)
        self.order("clock", at.isoformat())

    def listeners(self) -> list[int]:
        """The server's processes that serve the two listeners."""
        ours = f"application_name = '{LISTENER}' AND datname = current_database()"
        found = self.elsewhere(f"SELECT pid FROM pg_stat_activity WHERE {ours}")  # noqa: S608 - our own words
        return [pid for (pid,) in found]

    @cached_property
    def is_beside(self) -> bool:
        """Whether the server's processes can be stopped: they are on this machine, and obey whoever runs this."""
        with self.elsewhere.transaction() as run:
            [(pid, database)] = run("SELECT pg_backend_pid(), current_database()")
            return serves(pid, database)

    def stop(self) -> list[int]:
        """Stop the processes that serve the listeners, and say which they are."""
        [(database,)] = self.elsewhere("SELECT current_database()")
        stopped = [pid for pid in self.listeners() if serves(pid, database)]
        for pid in stopped:
            os.kill(pid, signal.SIGSTOP)
        return stopped


def serves(pid: int, database: str) -> bool:
    """Say whether a process of this machine is PostgreSQL's, serves a database, and takes signals."""
    try:
        title = Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8")
        os.kill(pid, 0)
    except (OSError, UnicodeDecodeError):
        return False
    return title.startswith("postgres: ") and f" {database} " in title


class Memory(RuleBasedStateMachine):
    """A member's token and an account-wide one, asked about by both processes after whatever either changed."""

    pair: ClassVar[Pair]

    @initialize()
    def begin(self) -> None:
        self.stopped: list[int] = []
        self.yes_until_s: dict[str, float] = {}
        self.law = Law(now(), "")
        self.pair.set_clock(self.law.at)
        self.pair.run(self._made())
        self.changed("here")
        self.both_ask()

    async def _made(self) -> None:
        self.organisation = organisation = await self.pair.found()
        member = await organisation.member(BuiltInRole.WRITER)
        self.member_id, self.other_id = member.id, (await organisation.member(BuiltInRole.WRITER)).id
        session = await organisation.session(member)
        self.role_id = (await organisation.role(ROLE, *policy(deploys=True))).id
        assert organisation.owner.token
        assert session.token
        self.owner_secret = organisation.secrets[str(organisation.owner.token.id)]
        self.member_secret = organisation.secrets[str(session.token.id)]
        self.law.legacy = f"api-{organisation.account.key}"
        await imports.bring(organisation.owner, [Import("old", self.law.legacy)], Said())
        await self._make()

    async def _make(self) -> None:
        made = await self.organisation.made(
            await self.organisation.identify(self.member_secret), Scope(BuiltInRole.WRITER)
        )
        self.token_id = made.row.id
        self.law.scope, self.law.inside, self.law.ends_at = "writer", True, NEVER
        self.law.secrets = {str(made.secret): NEVER}

    def teardown(self) -> None:
        if hasattr(self, "stopped"):
            self.go_on()

    def do(self, process: str, secret: str, deed: str, on: object, how: object = "") -> str | None:
        """Do something with a secret, in a process."""
        if process == "here":
            return self.pair.run(self._done(secret, deed, str(on), str(how)))
        given: str | None = self.pair.order(secret, deed, str(on), str(how))
        return given

    async def _done(self, secret: str, deed: str, on: str, how: str) -> str | None:
        return await done(await self.organisation.identify(secret), deed, on, how)

    def may(self, process: str, secret: str) -> bool:
        if process == "here":
            return self.pair.run(may(secret, *ASKED, self.organisation.request))
        return bool(self.pair.order("may", secret, *ASKED))

    def changed(self, process: str) -> None:
        """A change has returned in this process: there it holds at once."""
        self.heard_by, self.changed_at_s, self.is_heard = process, time.monotonic(), False
        self.note()
        self.ask(process)

    def note(self) -> None:
        """Note which secrets the law has said no to, and since when."""
        at_s = time.monotonic()
        for secret in self.law.known:
            before_s = self.yes_until_s.get(secret, float("inf"))
            self.yes_until_s[secret] = float("inf") if self.law.allows(secret) else min(before_s, at_s)

    def ask(self, process: str) -> None:
        """Ask about every secret: it is the law, or for a moment what was the law before the last change."""
        for secret in self.law.known:
            asked_at_s, said = time.monotonic(), self.may(process, secret)
            if self.pair.elsewhere.is_file or process == self.heard_by or asked_at_s > self.changed_at_s + HELD_S:
                assert said is self.law.allows(secret), f"{process}: {self.law}"
            elif said:
                assert asked_at_s < self.yes_until_s[secret] + HELD_S, f"a stale yes {process}: {self.law}"

    @rule(process=processes, role=st.sampled_from(["reader", "writer"]))
    def assign(self, process: str, role: str) -> None:
        self.do(process, self.owner_secret, "assign", self.member_id, role)
        self.law.role = role
        self.changed(process)

    @rule(process=processes)
    def hold_or_lay_down_the_custom_role(self, process: str) -> None:
        self.do(process, self.owner_secret, "hold", self.member_id, "" if self.law.holds else ROLE)
        self.law.holds = not self.law.holds
        self.changed(process)

    @rule(process=processes)
    def change_the_custom_role(self, process: str) -> None:
        self.do(process, self.owner_secret, "edit", self.role_id, "" if self.law.deploys else "it deploys")
        self.law.deploys = not self.law.deploys
        self.changed(process)

    @rule(process=processes)
    def suspend_or_reinstate(self, process: str) -> None:
        self.do(process, self.owner_secret, "reinstate" if self.law.asleep else "suspend", self.member_id)
        self.law.asleep = not self.law.asleep
        self.changed(process)

    @precondition(lambda self: self.law.lasts)
    @rule(process=processes)
    def revoke(self, process: str) -> None:
        self.do(process, self.owner_secret, "revoke", self.token_id)
        self.law.ends_at = self.law.at
        self.changed(process)

    @precondition(lambda self: not self.law.lasts and not self.law.asleep)
    @rule()
    def make_another(self) -> None:
        """Go on with another token, which as a new one changes nothing for anybody."""
        self.pair.run(self._make())
        self.note()
        self.ask("here")

    @precondition(lambda self: self.law.lasts and not self.law.asleep)
    @rule(process=processes, scope=st.sampled_from(["reader", "writer", ROLE]))
    def rescope(self, process: str, scope: str) -> None:
        self.do(process, self.member_secret, "rescope", self.token_id, scope)
        self.law.scope = scope
        self.changed(process)

    @precondition(lambda self: self.law.lasts and not self.law.asleep)
    @rule(process=processes)
    def restrict(self, process: str) -> None:
        """Have the token work from elsewhere only, or from here only."""
        self.do(process, self.member_secret, "restrict", self.token_id, OUTSIDE if self.law.inside else INSIDE)
        self.law.inside = not self.law.inside
        self.changed(process)

    @precondition(lambda self: self.law.lasts and not self.law.asleep)
    @rule(process=processes, soon=st.booleans())
    def expire(self, process: str, soon: bool) -> None:
        """Give the token an end, or take it away."""
        ends_at = self.law.at + MINUTE
        self.do(process, self.member_secret, "expire", self.token_id, ends_at.isoformat() if soon else "")
        self.law.ends_at = ends_at if soon else NEVER
        self.changed(process)

    @precondition(lambda self: self.law.lasts and not self.law.asleep)
    @rule(process=processes, grace=st.booleans())
    def reset(self, process: str, grace: bool) -> None:
        ends_at = self.law.at + MINUTE if grace else self.law.at
        how = ends_at.isoformat() if grace else ""
        secret = self.do(process, self.member_secret, "reset", self.token_id, how)
        self.law.renew(str(secret), ends_at)
        self.changed(process)

    @precondition(lambda self: self.law.at < self.law.retires_at)
    @rule(process=processes, soon=st.booleans())
    def retire(self, process: str, soon: bool) -> None:
        """Set when the account-wide tokens end, or that they do not."""
        retires_at = self.law.at + MINUTE
        account_id = self.organisation.account.id
        self.do(process, self.owner_secret, "retire", account_id, retires_at.isoformat() if soon else "")
        self.law.retires_at = retires_at if soon else NEVER
        self.changed(process)

    @rule(process=processes)
    def change_another(self, process: str) -> None:
        """Something that concerns the account, but not these tokens."""
        self.do(process, self.owner_secret, "assign", self.other_id, "reader")
        self.do(process, self.owner_secret, "assign", self.other_id, "writer")
        self.changed(process)

    @precondition(lambda self: self.law.is_ending)
    @rule()
    def let_it_end(self) -> None:
        """Nothing is committed, so nobody is told."""
        self.law.at += MINUTE
        self.pair.set_clock(self.law.at)
        self.note()
        self.both_ask()

    @rule()
    def both_ask(self) -> None:
        self.ask("here")
        self.ask("there")

    @precondition(lambda self: not self.pair.elsewhere.is_file)
    @rule()
    def cut_the_listeners(self) -> None:
        """The server ends their connections, which their processes notice."""
        self.go_on()
        for pid in self.pair.listeners():
            self.pair.elsewhere(f"SELECT pg_terminate_backend({pid})")

    @precondition(lambda self: not self.pair.elsewhere.is_file and not self.stopped and self.pair.is_beside)
    @rule()
    def stop_the_listeners(self) -> None:
        """Their connections stay open, but nothing comes any more: nobody notices."""
        self.stopped = self.pair.stop()

    @precondition(lambda self: self.stopped)
    @rule()
    def go_on(self) -> None:
        for pid in self.stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stopped.clear()

    @precondition(lambda self: not self.pair.elsewhere.is_file and not self.is_heard)
    @rule()
    def wait(self) -> None:
        """Until what was changed must hold everywhere."""
        time_left_s = self.changed_at_s + HELD_S - time.monotonic()
        self.pair.run(asyncio.sleep(max(time_left_s, 0) + 0.01))
        self.is_heard = True
        self.both_ask()


@contextmanager
def paired(url: str, set_clock: SetClock) -> Iterator[Pair]:
    with asyncio.Runner() as runner:
        pair = Pair(url, runner, set_clock)
        try:
            yield pair
        finally:
            pair.close()


def test_no_process_says_yes_when_the_law_has_said_no(database_url: str, set_clock: SetClock) -> None:
    with paired(database_url, set_clock) as pair:
        machine = type("Memory", (Memory,), {"pair": pair})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=tries(10), stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


@pytest.mark.parametrize("disturbance", [None, "cut_the_listeners", "stop_the_listeners"])
def test_a_revocation_elsewhere_holds_within_a_second_however_it_is_heard_of(
    database_url: str,
    postgresql: None,  # noqa: ARG001 - a file needs no listener
    set_clock: SetClock,
    disturbance: str | None,
) -> None:
    with paired(database_url, set_clock) as pair:
        if disturbance == "stop_the_listeners" and not pair.is_beside:
            pytest.skip("the processes of the server that was given are not here, or are not ours to stop")
        memory = type("Memory", (Memory,), {"pair": pair})()
        memory.begin()
        pair.run(asyncio.sleep(HELD_S))
        memory.both_ask()
        account = memory.organisation.account.id
        assert pair.house.database.versions.known(account) is not None, "it is remembered by now"
        try:
            if disturbance:
                getattr(memory, disturbance)()
            assert bool(memory.stopped) is (disturbance == "stop_the_listeners")
            memory.revoke("there")
            memory.wait()
        finally:
            memory.go_on()


async def test_a_new_token_leaves_what_others_may_do_in_memory(organisation: Organisation) -> None:
    versions, account = organisation.house.database.versions, organisation.account.id
    before = await versions.read(account)
    made = await organisation.made(organisation.owner)
    await organisation.as_role(BuiltInRole.READER)
    assert await versions.read(account) == before
    await tokens.revoke(organisation.owner, made.row.id, Said())
    assert await versions.read(account) == before + 1


@pytest.mark.parametrize("fate", ["cut", "cancelled"])
async def test_memory_says_yes_no_more_once_commit_was_sent_whatever_came_back(
    organisation: Organisation,
    elsewhere: Elsewhere,
    postgresql: None,  # noqa: ARG001 - a file tells by itself
    monkeypatch: pytest.MonkeyPatch,
    fate: str,
) -> None:
    made = await organisation.made(organisation.owner)
    monkeypatch.setattr(listening, "TRUSTED_S", 60.0)  # however long a busy machine keeps the listener waiting
    elsewhere("ALTER TABLE account DISABLE TRIGGER USER")  # so that the database tells nobody
    async with asyncio.timeout(30):
        while recognised(made.secret or "", organisation.house, None) is None:
            await organisation.identify(made)
            await asyncio.sleep(0.01)
    committed = asyncpg_units.committed

    async def unanswered(connection: Any) -> None:
        await committed(connection)
        if fate == "cut":
            connection.terminate()
            raise ConnectionResetError
        revoking.cancel()

    with monkeypatch.context() as patched:
        patched.setattr(asyncpg_units, "committed", unanswered)
        revoking = asyncio.create_task(tokens.revoke(organisation.owner, made.row.id, Said()))
        with pytest.raises(LostError if fate == "cut" else asyncio.CancelledError):
            await revoking
    assert elsewhere("SELECT count(*) FROM token WHERE revoked_at IS NOT NULL") == [(1,)], "it is committed"
    assert recognised(made.secret or "", organisation.house, None) is None
    with pytest.raises(Unauthenticated):
        await organisation.identify(made)


async def test_what_was_read_while_it_changed_is_thrown_away(
    organisation: Organisation, monkeypatch: pytest.MonkeyPatch
) -> None:
    member = await organisation.member(BuiltInRole.WRITER)
    made = await organisation.made(await organisation.session(member), Scope(BuiltInRole.WRITER))
    read = callers._in_realm  # noqa: SLF001 - the last that is read before it is kept
    fills: list[bool] = []

    async def overtaken(token: Token, *arguments: Any) -> Caller:
        caller = await read(token, *arguments)
        if token.id == made.row.id:
            fills.append(caller.rights.allows("updateTags", Resource.parse("proj/web")))
            if len(fills) == 1:
                await members.assign_roles(organisation.owner, member.id, Grant(BuiltInRole.READER), Said())
        return caller

    monkeypatch.setattr(callers, "_in_realm", overtaken)
    caller = await organisation.identify(made)
    assert fills == [True, False]
    assert not caller.rights.allows("updateTags", Resource.parse("proj/web"))
    kept = recognised(made.secret or "", organisation.house, None)
    assert kept is None or kept.rights is caller.rights
    assert (await organisation.identify(made)).rights is caller.rights
