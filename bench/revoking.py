"""What verification takes while very many tokens are revoked, beside what it takes when nothing else happens.

An account has a hundred thousand tokens to revoke, in some jobs, and others that work. Proxies ask about the latter at
a fixed rate, in turns with a token of the few that are asked about again and again, and with one that is remembered
nowhere: before each job, and while it is under way.
"""

import argparse
import asyncio
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import aiohttp
import uvloop

from bench import bulk, paths
from bench.load import LOAD_CORE, say
from bench.organisation import KEYS, Organisation, founded, latchkey
from bench.results import keep

TOKENS = 100_000
JOBS = 5
WORKING = 20_000
"""How many tokens are asked about once each; there are more than are asked about between two changes."""
FEW = 16
"""How many are asked about again and again."""
EVERY_S = 0.01
"""How long from one question to the next, whenever the answers come."""
IDLE_S = 30.0
UNTOLD_S = 2.0
"""How long questions are asked before they count."""

REVOKE = "mutation ($input: RevokeTokensInput!) { revokeTokens(input: $input) { job { id total } } }"
JOB = "query ($id: ID!) { job(id: $id) { state done total } }"


@dataclass(slots=True)
class Asking:
    """Milliseconds to the answers, by whether the token may be remembered."""

    few: list[float] = field(default_factory=list)
    once: list[float] = field(default_factory=list)

    @property
    def all(self) -> list[float]:
        """Those of both."""
        return self.few + self.once


def main() -> None:
    """Measure and keep the figures."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--tokens", type=int, default=TOKENS, help=f"to revoke, in all (default {TOKENS})")
    asked.add_argument("--jobs", type=int, default=JOBS, help=f"in how many jobs (default {JOBS})")
    options = asked.parse_args()
    keep("revoking", measured(options.tokens, options.jobs))


def measured(tokens: int = TOKENS, jobs: int = JOBS) -> dict[str, Any]:
    """Measure on SQLite, idle and under way in turns."""
    with tempfile.TemporaryDirectory(prefix="latchkey-bench-") as name:
        folder = Path(name)
        with latchkey(folder) as server:
            organisation = founded(server)
            old = [organisation.make("writer", _named(job), scope={"builtInRole": "READER"}) for job in range(jobs)]
        place, each = bulk.place(folder, None), tokens // jobs
        bulk.multiply_tokens(place, 1, WORKING, organisation.tokens["limited"].uuid)
        secrets = bulk.known_secrets(place, folder / KEYS, range(1, WORKING + 1))
        for job, made in enumerate(old):
            first = WORKING + job * each + 1
            bulk.multiply_tokens(place, first, first + each - 2, made.uuid)
        with latchkey(folder) as server:
            here = Organisation(server, organisation.account, organisation.sessions, {}, organisation.tokens)
            return _measured(here, secrets, jobs)


def _named(job: int) -> str:
    return f"Batch {job:03}"


def _measured(organisation: Organisation, secrets: Sequence[str], jobs: int) -> dict[str, Any]:
    os.sched_setaffinity(0, {LOAD_CORE})
    few, once = cycle(secrets[:FEW]), cycle(secrets[FEW:])
    rounds: list[dict[str, Any]] = []
    revoked, took_s = 0, 0.0
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        for job in range(jobs):
            end = time.monotonic() + IDLE_S
            idle = runner.run(_asked(organisation, few, once, lambda end=end: time.monotonic() < end))  # type: ignore[misc]
            wanted = {"filter": {"text": _named(job)}}
            begin = time.monotonic()
            started = organisation.server.ask(REVOKE, organisation.sessions["owner"], input=wanted)["revokeTokens"][
                "job"
            ]
            watch = _Watch(organisation, started["id"])
            meanwhile = runner.run(_asked(organisation, few, once, watch.is_running))
            took_s += time.monotonic() - begin
            revoked += started["total"]
            rounds.append({"idle": _percentiles(idle), "meanwhile": _percentiles(meanwhile)})
            say(json.dumps(rounds[-1]))
    return {
        "tokens": revoked,
        "jobs_s": round(took_s, 1),
        **{when: _medians([each[when] for each in rounds]) for when in ("idle", "meanwhile")},
        "rounds": rounds,
    }


@dataclass(slots=True)
class _Watch:
    """Whether a job is still under way, asked every second."""

    organisation: Organisation
    job_id: str
    _asked_at: float = 0.0
    _runs: bool = True

    def is_running(self) -> bool:
        """Say whether it is."""
        if time.monotonic() > self._asked_at + 1:
            said = self.organisation.server.ask(JOB, self.organisation.sessions["owner"], id=self.job_id)["job"]
            self._runs, self._asked_at = said["state"] == "RUNNING", time.monotonic()
        return self._runs


async def _asked(
    organisation: Organisation, few: Iterator[str], once: Iterator[str], goes_on: Callable[[], bool]
) -> Asking:
    """Ask at a fixed rate for as long as is said, without waiting for answers."""
    asking, begin = Asking(), time.perf_counter()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session, asyncio.TaskGroup() as tasks:
        number = 0
        while True:
            if number % 50 == 0 and not await asyncio.to_thread(goes_on):
                return asking
            told, secrets = ((asking.few, few), (asking.once, once))[number % 2]
            due = begin + number * EVERY_S
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            kept = told if time.perf_counter() - begin > UNTOLD_S else []
            tasks.create_task(_ask(session, organisation.gate, next(secrets), kept))
            number += 1


async def _ask(session: aiohttp.ClientSession, gate: str, secret: str, told: list[float]) -> None:
    begin = time.perf_counter()
    async with session.get(gate, headers=paths.forwarded(secret)) as response:
        await response.read()
    told.append((time.perf_counter() - begin) * 1e3)
    if not response.ok:
        raise RuntimeError(f"{gate} answers {response.status}")


def _percentiles(asking: Asking) -> dict[str, dict[str, float]]:
    told = {"all": asking.all, "few": asking.few, "once": asking.once}
    return {name: _percentiles_of(figures) for name, figures in told.items()}


def _percentiles_of(took_ms: Sequence[float]) -> dict[str, float]:
    hundredths = statistics.quantiles(took_ms, n=100, method="inclusive")
    return {"p50_ms": round(hundredths[49], 2), "p99_ms": round(hundredths[98], 2), "count": len(took_ms)}


def _medians(rounds: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    return {
        which: {
            name: round(statistics.median(each[which][name] for each in rounds), 2) for name in ("p50_ms", "p99_ms")
        }
        for which in rounds[0]
    }


if __name__ == "__main__":
    main()
