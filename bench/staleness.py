"""Whether any yes is stale: answered to a question that was asked after the response of the change that ends it.

Two servers share one database. Through the first, tokens are revoked and their owners demoted, in turns, while both are
asked without a pause over several connections each, by forward-auth, by introspection and over GraphQL. The promise is:
none from the server that made the change, and none from another a second later. On PostgreSQL it is held as well where
the other server's listener loses its connection just before the change, or where that connection goes quiet.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench import paths
from bench.load import LOAD_CORE, Target, checked, say
from bench.organisation import ASSIGN, REVOKE, Made, Organisation, Server, founded, latchkey
from bench.postgres import Postgres, postgres
from bench.results import keep

EACH = 2
"""Connections for each path and server."""
BEFORE_S = 0.15
"""For how long answers flow before the change."""
AFTER_S = 1.3
"""For how long they are asked for after it."""
PROMISED_S = 1.0
"""After how long no other server says yes any more."""
PATIENCE_S = 10.0

CAN = "query ($checks: [AccessCheckInput!]!) { checkAccess(checks: $checks) { allowed } }"
CHECK = {"action": "viewProject", "resource": "proj/web"}
LISTENERS = """SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
AND application_name = 'latchkey listener'"""


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--rounds", type=int, default=50, help="changes of each kind of run (default 50)")
    asked.add_argument("--on", choices=("sqlite", "postgresql"), nargs="*", default=["sqlite", "postgresql"])
    options = asked.parse_args()
    keep("staleness", measured(options.on, options.rounds))


def measured(on: Sequence[str], rounds: int) -> dict[str, Any]:
    """Measure on each kind of database, and on PostgreSQL with listeners that fail."""
    figures: dict[str, Any] = {}
    for kind in on:
        with ExitStack() as stack:
            database = stack.enter_context(stack.enter_context(postgres()).database()) if kind == "postgresql" else None
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="latchkey-bench-")))
            here = stack.enter_context(latchkey(folder, database))
            organisation = founded(here)
            there = stack.enter_context(latchkey(folder, database))
            figures[kind] = _run(organisation, there, rounds, _left_alone)
            if database is not None:
                figures["postgresql, listeners cut"] = _run(organisation, there, rounds, _cutting(database))
                if database.pids:
                    figures["postgresql, listeners quiet"] = _run(organisation, there, rounds, _quieting(database))
        for name in [name for name in figures if name.startswith(kind)]:
            say(f"{name:28} {json.dumps(figures[name])}")
    return figures


Fault = Callable[[], AbstractContextManager[None]]
"""Makes a context for the time from just before a change until the end of its round."""


@contextmanager
def _left_alone() -> Iterator[None]:
    yield


def _cutting(database: Postgres) -> Fault:
    """End the listeners' connections, as a server that is restarted does."""

    @contextmanager
    def cut() -> Iterator[None]:
        pids = [pid for (pid,) in database.run(LISTENERS)]
        if len(pids) != 2:  # noqa: PLR2004 - of two servers
            raise RuntimeError(f"there are {len(pids)} listeners to cut, not two")
        database.run(*(f"SELECT pg_terminate_backend({pid})" for pid in pids))
        yield

    return cut


def _quieting(database: Postgres) -> Fault:
    """Stop the listeners' processes of PostgreSQL, as if the network swallowed all they say."""

    @contextmanager
    def quiet() -> Iterator[None]:
        pids = [pid for (pid,) in database.run(LISTENERS)]
        if not pids:
            raise RuntimeError("there are no listeners to stop")
        for pid in pids:
            database.stopped(pid)
        try:
            yield
        finally:
            for pid in pids:
                database.continued(pid)

    return quiet


@dataclass(slots=True)
class Yeses:
    """When questions were asked that were answered with yes, by who answered."""

    here: list[float] = field(default_factory=list)
    there: list[float] = field(default_factory=list)


def _run(organisation: Organisation, there: Server, rounds: int, fault: Fault) -> dict[str, Any]:
    """Make so many changes; gives counts of stale yeses, and how stale the last one was each time."""
    os.sched_setaffinity(0, {LOAD_CORE})
    counts = {"here": 0, "there_after_1s": 0}
    late_ms = {"here": list[float](), "there": list[float]()}
    asked = 0
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for number in range(rounds):
            changed_at, yeses = runner.run(_round(organisation, there, number, fault))
            asked += len(yeses.here) + len(yeses.there)
            counts["here"] += sum(at > changed_at for at in yeses.here)
            counts["there_after_1s"] += sum(at > changed_at + PROMISED_S for at in yeses.there)
            late_ms["here"].append(max(0.0, max(yeses.here) - changed_at) * 1e3)
            late_ms["there"].append(max(0.0, max(yeses.there) - changed_at) * 1e3)
    return {
        "changes": rounds,
        "yeses": asked,
        "stale_yes": [counts["here"], counts["there_after_1s"]],
        **{f"{where}_ms": _percentiles(each) for where, each in late_ms.items()},
        "each_there_ms": [round(late, 2) for late in late_ms["there"]],
    }


def _percentiles(figures: Sequence[float]) -> dict[str, float]:
    hundredths = statistics.quantiles(figures, n=100, method="inclusive") if len(figures) > 1 else list(figures) * 99
    return {"p50": round(hundredths[49], 2), "p99": round(hundredths[98], 2), "max": round(max(figures), 2)}


async def _round(organisation: Organisation, there: Server, number: int, fault: Fault) -> tuple[float, Yeses]:
    """Make a token, let it be asked about, and end what it may do; gives when that was answered."""
    made = await asyncio.to_thread(
        organisation.make, "writer", f"Round {number}", scope={"statements": [{**_ALLOWING, "effect": "ALLOW"}]}
    )
    yeses, over = Yeses(), asyncio.Event()
    elsewhere = replace(organisation, server=there)
    change = _changes(organisation, made)[number % 2]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as tasks:
        for asking, told in ((organisation, yeses.here), (elsewhere, yeses.there)):
            for target, is_yes in _questions(asking, made):
                for _ in range(EACH):
                    tasks.create_task(_ask(session, target, is_yes, told, over))
        await _until(lambda: bool(yeses.here and yeses.there))
        await asyncio.sleep(BEFORE_S)
        with ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, fault())
            changed_at = await asyncio.to_thread(_answered_at, change)
            await asyncio.sleep(AFTER_S)
            over.set()
    await asyncio.to_thread(checked, _assigning(organisation, "WRITER"))
    return changed_at, yeses


def _answered_at(change: Target) -> float:
    checked(change)
    return time.monotonic()


async def _until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():  # noqa: ASYNC110 - nobody tells of it
            await asyncio.sleep(0.01)


_ALLOWING = {"actions": ["viewProject"], "resources": ["proj/web"]}


def _questions(organisation: Organisation, made: Made) -> list[tuple[Target, Callable[[int, bytes], bool]]]:
    """Ask about a token in three ways, each with what is a yes."""
    with_token = replace(organisation, tokens={**organisation.tokens, "limited": made})
    proxy = Target(organisation.gate, (), paths.forwarded(made.secret), method="GET")
    introspection = paths.introspection(with_token, action=CHECK["action"], resource=CHECK["resource"])
    checking = organisation.server.question(CAN, made.secret, checks=[CHECK])
    return [
        (proxy, lambda status, _: status == 200),  # noqa: PLR2004 - the HTTP status
        (introspection, lambda _, body: b'"allowed":true' in body),
        (checking, lambda _, body: b'"allowed":[true]' in body),
    ]


async def _ask(
    session: aiohttp.ClientSession,
    target: Target,
    is_yes: Callable[[int, bytes], bool],
    told: list[float],
    over: asyncio.Event,
) -> None:
    while not over.is_set():
        at = time.monotonic()
        async with session.request(
            target.method, target.url, headers=target.headers, data=target.body or None
        ) as response:
            if is_yes(response.status, await response.read()):
                told.append(at)


def _changes(organisation: Organisation, made: Made) -> tuple[Target, Target]:
    """Tell what ends it: the demotion of the token's owner, or its revocation."""
    revoking = organisation.server.question(REVOKE, organisation.sessions["owner"], input={"id": made.id})
    return _assigning(organisation, "NO_ACCESS"), revoking


def _assigning(organisation: Organisation, role: str) -> Target:
    assigned = {"id": organisation.members["writer"], "baseRole": role}
    return organisation.server.question(ASSIGN, organisation.sessions["owner"], input=assigned)


if __name__ == "__main__":
    main()
