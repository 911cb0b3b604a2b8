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
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule, run_state_machine_as_test

from core.vocabulary import BuiltInRole
from models.database import LISTENER, opened
from resolvers import tokens
from resolvers.scopes import Scope
from resolvers.writing import Said
from tests.databases import Elsewhere
from tests.organisation import Organisation, founded
from tests.resolvers.another_process import done, may

T = TypeVar("T")
ROOT = Path(__file__).parents[2]
ASKED = ("updateTags", "proj/web")
HELD_S = 1.0
"""In under which time a change holds on every other process."""

processes = st.sampled_from(["here", "there"])


@dataclass
class Truth:
    """What the law says of one member with a token, and when it last said yes."""

    role: str = "writer"
    asleep: bool = False
    revoked: bool = False
    yes_until_s: float = float("inf")

    @property
    def allowed(self) -> bool:
        return not (self.asleep or self.revoked) and self.role == "writer"


class Pair:
    """Two processes on one database, this one and another."""

    def __init__(self, url: str, runner: asyncio.Runner) -> None:
        self.elsewhere = Elsewhere(url)
        self.runner = runner
        self._stack = AsyncExitStack()
        self.organisation: Organisation = self.run(self._opened(url))
        keys = self.organisation.house.keys.json()
        self.owner_secret = self.organisation.secrets[str(self.organisation.owner.token.id)]  # type: ignore[union-attr]
        command = [sys.executable, "-m", "tests.resolvers.another_process", url, keys]
        self.there = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    async def _opened(self, url: str) -> Organisation:
        organisation = await founded(await self._stack.enter_async_context(opened(url)))
        await organisation.define()
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

    def do(self, process: str, deed: str, *arguments: object) -> None:
        if process == "here":
            self.run(self._done(deed, *map(str, arguments)))
        else:
            self.order(self.owner_secret, deed, *map(str, arguments))

    async def _done(self, deed: str, *arguments: str) -> None:
        await done(await self.organisation.identify(self.owner_secret), deed, *arguments)

    def may(self, process: str, secret: str) -> bool:
        if process == "here":
            return self.run(may(secret, *ASKED, self.organisation.request))
        return bool(self.order("may", secret, *ASKED))

    def listeners(self) -> list[int]:
        """The server's processes that serve the two listeners."""
        found = self.elsewhere(f"SELECT pid FROM pg_stat_activity WHERE application_name = '{LISTENER}'")  # noqa: S608 - ours
        return [pid for (pid,) in found]


class Memory(RuleBasedStateMachine):
    """A member with a token, asked about by both processes after whatever either changed."""

    pair: ClassVar[Pair]

    @initialize()
    def begin(self) -> None:
        self.truth = Truth()
        self.stopped: list[int] = []
        self.pair.run(self._made())
        self.both_ask()

    async def _made(self) -> None:
        organisation = self.pair.organisation
        member = await organisation.member(BuiltInRole.WRITER)
        self.member_id, self.other_id = member.id, (await organisation.member(BuiltInRole.WRITER)).id
        made = await organisation.made(await organisation.session(member), Scope(BuiltInRole.WRITER))
        self.token_id, self.secret = made.row.id, str(made.secret)

    def teardown(self) -> None:
        if hasattr(self, "stopped"):
            self.go_on()

    def changed(self, process: str) -> None:
        """A change has returned in this process: there it holds at once."""
        if self.truth.allowed:
            self.truth.yes_until_s = float("inf")
        elif self.truth.yes_until_s == float("inf"):
            self.truth.yes_until_s = time.monotonic()
        assert self.pair.may(process, self.secret) is self.truth.allowed

    @rule(process=processes, role=st.sampled_from(["reader", "writer"]))
    def assign(self, process: str, role: str) -> None:
        self.pair.do(process, "assign", self.member_id, role)
        self.truth.role = role
        self.changed(process)

    @rule(process=processes)
    def suspend_or_reinstate(self, process: str) -> None:
        self.pair.do(process, "reinstate" if self.truth.asleep else "suspend", self.member_id)
        self.truth.asleep = not self.truth.asleep
        self.changed(process)

    @precondition(lambda self: not self.truth.revoked)
    @rule(process=processes)
    def revoke(self, process: str) -> None:
        self.pair.do(process, "revoke", self.token_id)
        self.truth.revoked = True
        self.changed(process)

    @rule(process=processes)
    def change_another(self, process: str) -> None:
        """Something that concerns the account, but not this token."""
        self.pair.do(process, "assign", self.other_id, "reader")
        self.pair.do(process, "assign", self.other_id, "writer")
        self.changed(process)

    @rule()
    def both_ask(self) -> None:
        for process in ("here", "there"):
            asked_at_s = time.monotonic()
            if self.pair.may(process, self.secret):
                late_s = HELD_S if not self.pair.elsewhere.is_file else 0.0
                assert self.truth.yes_until_s + late_s > asked_at_s, f"a stale yes {process}"
            elif self.pair.elsewhere.is_file:
                assert not self.truth.allowed

    @precondition(lambda self: not self.pair.elsewhere.is_file)
    @rule()
    def cut_the_listeners(self) -> None:
        """The server ends their connections, which their processes notice."""
        self.go_on()
        for pid in self.pair.listeners():
            self.pair.elsewhere(f"SELECT pg_terminate_backend({pid})")

    @precondition(lambda self: not self.pair.elsewhere.is_file and not self.stopped)
    @rule()
    def stop_the_listeners(self) -> None:
        """Their connections stay open, but nothing comes any more: nobody notices."""
        for pid in self.pair.listeners():
            with suppress(PermissionError, ProcessLookupError):
                os.kill(pid, signal.SIGSTOP)
                self.stopped.append(pid)

    @precondition(lambda self: self.stopped)
    @rule()
    def go_on(self) -> None:
        for pid in self.stopped:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        self.stopped.clear()

    @precondition(lambda self: not self.pair.elsewhere.is_file)
    @rule()
    def wait(self) -> None:
        """Until what was changed must hold everywhere."""
        self.pair.run(asyncio.sleep(HELD_S))
        self.both_ask()


@contextmanager
def paired(url: str) -> Iterator[Pair]:
    with asyncio.Runner() as runner:
        pair = Pair(url, runner)
        try:
            yield pair
        finally:
            pair.close()


def test_no_process_says_yes_when_the_law_has_said_no(database_url: str) -> None:
    with paired(database_url) as pair:
        machine = type("Memory", (Memory,), {"pair": pair})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=10, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
            ),
        )


@pytest.mark.parametrize("disturbance", [None, "cut_the_listeners", "stop_the_listeners"])
def test_a_revocation_elsewhere_holds_within_a_second_however_it_is_heard_of(
    database_url: str,
    postgresql: None,  # noqa: ARG001 - a file needs no listener
    disturbance: str | None,
) -> None:
    with paired(database_url) as pair:
        memory = type("Memory", (Memory,), {"pair": pair})()
        memory.begin()
        pair.run(asyncio.sleep(HELD_S))
        memory.both_ask()
        account = pair.organisation.account.id
        assert pair.organisation.house.database.versions.known(account) is not None, "it is remembered by now"
        try:
            if disturbance:
                getattr(memory, disturbance)()
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
